//! An established connection: commands out, replies in, on JavaScript's thread and without waiting.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write as _};
use std::time::{Duration, Instant};

use redis::{Cmd, PushKind, RedisError, Value};

use super::errors::Response;
use super::reply::ReplyReader;
use super::socket::{Ready, Stream, Watch};
use crate::store::executor::Responder;

/// Up to this size, in bytes, a buffer for commands is kept for the next ones.
pub const MAX_BUFFER: usize = 1 << 20;

/// Commands that are written together, without waiting for the replies in between.
#[derive(Default)]
pub struct Pipeline {
    /// The commands in RESP.
    bytes: Vec<u8>,
    /// Where the reply to each goes.
    responders: Vec<Responder<Response>>,
}

impl Pipeline {
    /// Adds a command.
    pub fn push(&mut self, command: &Cmd, responder: Responder<Response>) {
        command.write_packed_command(&mut self.bytes);
        self.responders.push(responder);
    }

    /// Whether it has no commands.
    pub fn is_empty(&self) -> bool {
        self.responders.is_empty()
    }

    /// How many commands it has.
    pub fn len(&self) -> usize {
        self.responders.len()
    }

    /// Where the replies would have gone, of commands that are not sent.
    pub fn into_responders(self) -> Vec<Responder<Response>> {
        self.responders
    }
}

/// See the module.
pub struct Connection {
    // Before the reader, which has the socket: the watch must end before the socket is closed.
    watch: Box<dyn Watch>,
    reader: ReplyReader,
    out: Vec<u8>,
    written: usize,
    /// Whether the socket had no room for all of `out`.
    is_full: bool,
    /// Where the next replies go, in the order of the commands, and when each command was sent.
    in_flight: VecDeque<(Responder<Response>, Instant)>,
}

impl Connection {
    /// A connection over `stream`, whose handshake is done.
    pub fn new(stream: Stream, watch: Box<dyn Watch>) -> Self {
        Self {
            watch,
            reader: ReplyReader::new(stream),
            out: Vec::new(),
            written: 0,
            is_full: false,
            in_flight: VecDeque::new(),
        }
    }

    /// What has become possible with the socket since the last call.
    pub fn ready(&self) -> Ready {
        self.watch.ready()
    }

    /// Takes the commands of a pipeline, for [`Connection::write`].
    pub fn add(&mut self, pipeline: &mut Pipeline, now: Instant) {
        if self.out.is_empty() {
            std::mem::swap(&mut self.out, &mut pipeline.bytes);
        } else {
            self.out.append(&mut pipeline.bytes);
        }
        let responders = pipeline.responders.drain(..);
        self.in_flight
            .extend(responders.map(|responder| (responder, now)));
    }

    /// Writes as many bytes as the socket has room for.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn write(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.reader.stream().write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.set_full(true);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.set_full(false);
        self.written = 0;
        self.out.clear();
        if self.out.capacity() > MAX_BUFFER {
            self.out = Vec::new();
        }
        Ok(())
    }

    fn set_full(&mut self, is_full: bool) {
        if self.is_full != is_full {
            self.is_full = is_full;
            self.watch.want_write(is_full);
        }
    }

    /// Reads what has arrived, and puts each reply where it goes. `pushed` gets the push messages.
    ///
    /// # Errors
    /// When the connection is lost, or the server sends what is not a reply.
    pub fn read(&mut self, mut pushed: impl FnMut(PushKind, Vec<Value>)) -> Result<(), RedisError> {
        self.reader.set_readable();
        while let Some(value) = self.reader.next()? {
            if let Value::Push { kind, data } = value {
                pushed(kind, data);
            } else {
                let Some((responder, _)) = self.in_flight.pop_front() else {
                    return Err(io::Error::from(ErrorKind::InvalidData).into());
                };
                responder.respond(Ok(value));
            }
        }
        Ok(())
    }

    /// Whether the oldest command in flight was sent at least `time` before `now`.
    pub fn has_waited(&self, now: Instant, time: Duration) -> bool {
        self.in_flight
            .front()
            .is_some_and(|(_, since)| *since + time <= now)
    }

    /// Closes the connection, and gives where the replies of the commands in flight would have gone.
    pub fn close(self) -> impl Iterator<Item = Responder<Response>> {
        self.in_flight.into_iter().map(|(responder, _)| responder)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::cell::Cell;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::pin::Pin;
    use std::rc::Rc;

    use futures_util::FutureExt;

    use super::*;
    use crate::store::executor::RunQueue;

    struct TestWatch(Rc<Cell<bool>>);

    impl Watch for TestWatch {
        fn ready(&self) -> Ready {
            Ready::default()
        }
        fn want_write(&self, wants: bool) {
            self.0.set(wants);
        }
    }

    /// A connection, the server's side of it, and whether it waits for room to write.
    fn pair() -> (Connection, UnixStream, Rc<Cell<bool>>) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a socket of ours");
        let wants = Rc::new(Cell::new(false));
        let watch = Box::new(TestWatch(Rc::clone(&wants)));
        (Connection::new(Stream::Unix(ours), watch), theirs, wants)
    }

    type Reply = Pin<Box<dyn Future<Output = Response>>>;

    fn ask(connection: &mut Connection, argument: &str) -> Reply {
        let mut pipeline = Pipeline::default();
        let (responder, response) = Rc::<RunQueue>::default().response();
        pipeline.push(redis::cmd("ECHO").arg(argument), responder);
        connection.add(&mut pipeline, Instant::now());
        Box::pin(response)
    }

    fn reply(response: &mut Reply) -> Option<Response> {
        response.now_or_never()
    }

    fn silent(_: PushKind, _: Vec<Value>) {
        panic!("the server has sent no push message");
    }

    #[test]
    fn commands_are_written_as_the_socket_gets_room() {
        let (mut connection, mut server, wants) = pair();
        let text = "x".repeat(4 << 20);
        let _answer = ask(&mut connection, &text);
        connection.write().expect("a part of it");
        assert!(wants.get());
        // A command that is added meanwhile goes behind the first.
        let _next = ask(&mut connection, "next");
        let whole = format!(
            "*2\r\n$4\r\nECHO\r\n${}\r\n{text}\r\n*2\r\n$4\r\nECHO\r\n$4\r\nnext\r\n",
            text.len()
        );
        let mut read = Vec::new();
        let mut room = vec![0; 1 << 20];
        while read.len() < whole.len() {
            let count = server.read(&mut room).expect("bytes");
            read.extend_from_slice(&room[..count]);
            connection.write().expect("the rest");
        }
        assert_eq!(read, whole.as_bytes());
        assert!(!wants.get());
    }

    #[test]
    fn a_reply_may_come_in_pieces() {
        let (mut connection, mut server, _) = pair();
        let (mut first, mut second) = (ask(&mut connection, "a"), ask(&mut connection, "b"));
        let replies = b"$4\r\nab\r\n\r\n*2\r\n:1\r\n%1\r\n+k\r\n_\r\n";
        for (at, byte) in replies.iter().enumerate() {
            let is_whole = at >= 10;
            assert_eq!(reply(&mut first).is_some(), at == 10, "at {at}");
            server.write_all(&[*byte]).expect("a byte");
            connection.read(silent).expect("a connection");
            assert!(is_whole || reply(&mut second).is_none());
        }
        let map = Value::Map(vec![(Value::SimpleString("k".into()), Value::Nil)]);
        let reply = reply(&mut second).expect("a reply").expect("a value");
        assert_eq!(reply, Value::Array(vec![Value::Int(1), map]));
    }

    #[test]
    fn a_push_message_is_no_reply() {
        let (mut connection, mut server, _) = pair();
        let mut answer = ask(&mut connection, "a");
        server
            .write_all(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx\r\n:1\r\n")
            .expect("bytes");
        let mut pushed = Vec::new();
        connection
            .read(|kind, data| pushed.push((kind, data)))
            .expect("a connection");
        let redis_keys = Value::Array(vec![Value::BulkString(b"x".to_vec())]);
        assert_eq!(pushed, [(PushKind::Invalidate, vec![redis_keys])]);
        assert!(matches!(reply(&mut answer), Some(Ok(Value::Int(1)))));
    }

    #[test]
    fn an_error_of_the_server_is_a_reply() {
        let (mut connection, mut server, _) = pair();
        let mut answer = ask(&mut connection, "a");
        server.write_all(b"-ERR no\r\n").expect("bytes");
        connection.read(silent).expect("a connection");
        assert!(matches!(
            reply(&mut answer),
            Some(Ok(Value::ServerError(error))) if error.details() == Some("no")
        ));
    }

    #[test]
    fn a_stream_that_ends_or_is_not_resp_is_an_error() {
        for bytes in [&b""[..], b"$5\r\nab", b"?\r\n", b":1\r\n:2\r\n"] {
            let (mut connection, mut server, _) = pair();
            let _answer = ask(&mut connection, "a");
            server.write_all(bytes).expect("bytes");
            drop(server);
            // After a short read the next call reads the end of the stream.
            let read = connection
                .read(silent)
                .and_then(|()| connection.read(silent));
            assert!(read.is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn commands_in_flight_are_given_back_when_it_closes() {
        let (mut connection, _server, _) = pair();
        let _answers = [ask(&mut connection, "a"), ask(&mut connection, "b")];
        assert!(connection.has_waited(Instant::now(), Duration::ZERO));
        assert!(!connection.has_waited(Instant::now(), Duration::from_secs(60)));
        assert_eq!(connection.close().count(), 2);
    }
}
