//! A connection that is made: commands out, replies in, on the thread of JavaScript and without waiting.

use std::collections::VecDeque;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
#[cfg(windows)]
use std::os::windows::io::AsRawSocket;
#[cfg(unix)]
use std::os::{fd::AsRawFd, unix::net::UnixStream};
use std::time::{Duration, Instant};

use redis::{Cmd, Parser, PushKind, RedisError, Value};

use super::executor::Answer;

/// A socket as the system calls it.
#[cfg(unix)]
pub type Socket = std::os::fd::RawFd;
/// A socket as the system calls it.
#[cfg(windows)]
pub type Socket = std::os::windows::io::RawSocket;

/// What a socket can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// There is something to read, or to find out by reading.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

/// Tells when a socket can be read, and written.
pub trait Watch {
    /// What it can do; that is told once.
    fn ready(&self) -> Ready;
    /// Whether room to write is of interest.
    fn want_write(&self, wants: bool);
}

/// Up to here the room for commands is kept for the next ones, bytes.
pub const KEPT: usize = 1 << 20;

/// A socket that does not block.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A path.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// As the system calls it.
    pub fn socket(&self) -> Socket {
        match self {
            #[cfg(unix)]
            Self::Tcp(stream) => stream.as_raw_fd(),
            #[cfg(windows)]
            Self::Tcp(stream) => stream.as_raw_socket(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

/// How much is read at once, bytes: the parser asks for less.
const ROOM: usize = 64 << 10;

/// Reads what is there. After a short read nothing is: the next one is not tried before the socket is ready again.
struct Source {
    stream: Stream,
    was_short: bool,
    /// Whether the last read has found nothing.
    is_empty: bool,
}

impl Read for Source {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            _ if self.was_short => Err(ErrorKind::WouldBlock.into()),
            Stream::Tcp(stream) => stream.read(room),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.read(room),
        };
        match &read {
            // 0 is the end of the connection, which the next read has to find, too.
            Ok(count) => self.was_short = *count > 0 && *count < room.len(),
            Err(error) => self.is_empty = error.kind() == ErrorKind::WouldBlock,
        }
        read
    }
}

/// Commands that wait for being sent.
#[derive(Default)]
pub struct Queue {
    /// As they are sent.
    pub bytes: Vec<u8>,
    /// Where the reply of each goes.
    pub answers: Vec<Answer>,
}

impl Queue {
    /// Adds a command.
    pub fn push(&mut self, command: &Cmd, answer: Answer) {
        command.write_packed_command(&mut self.bytes);
        self.answers.push(answer);
    }
}

/// See the module.
pub struct Connection {
    // Before the source: a socket is not watched any more when it is closed.
    watch: Box<dyn Watch>,
    source: BufReader<Source>,
    parser: Parser,
    out: Vec<u8>,
    written: usize,
    /// Whether there was no room for all of it.
    is_full: bool,
    /// Who waits for a reply, and since when, in the order of the commands.
    asked: VecDeque<(Answer, Instant)>,
}

impl Connection {
    /// A connection that was made.
    pub fn new(stream: Stream, watch: Box<dyn Watch>) -> Self {
        let source = Source {
            stream,
            was_short: false,
            is_empty: false,
        };
        Self {
            watch,
            source: BufReader::with_capacity(ROOM, source),
            parser: Parser::new(),
            out: Vec::new(),
            written: 0,
            is_full: false,
            asked: VecDeque::new(),
        }
    }

    /// What the socket can do; that is told once.
    pub fn ready(&self) -> Ready {
        self.watch.ready()
    }

    /// Takes commands over, to be written.
    pub fn add(&mut self, queue: &mut Queue, now: Instant) {
        if self.out.is_empty() {
            std::mem::swap(&mut self.out, &mut queue.bytes);
        } else {
            self.out.append(&mut queue.bytes);
        }
        let answers = queue.answers.drain(..);
        self.asked.extend(answers.map(|answer| (answer, now)));
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn write(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self
                .source
                .get_mut()
                .stream
                .write(&self.out[self.written..])
            {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.heed(true);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.heed(false);
        self.written = 0;
        self.out.clear();
        if self.out.capacity() > KEPT {
            self.out = Vec::new();
        }
        Ok(())
    }

    fn heed(&mut self, is_full: bool) {
        if self.is_full != is_full {
            self.is_full = is_full;
            self.watch.want_write(is_full);
        }
    }

    /// Reads what is there, and hands the replies out. `heard` is told of what the server says unasked.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn read(&mut self, mut heard: impl FnMut(PushKind, Vec<Value>)) -> Result<(), RedisError> {
        let source = self.source.get_mut();
        (source.was_short, source.is_empty) = (false, false);
        loop {
            match self.parser.parse_value(&mut self.source) {
                Ok(Value::Push { kind, data }) => heard(kind, data),
                Ok(reply) => {
                    let Some((answer, _)) = self.asked.pop_front() else {
                        return Err(io::Error::from(ErrorKind::InvalidData).into());
                    };
                    answer.give(Ok(reply));
                }
                Err(_) if self.source.get_ref().is_empty => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a reply has been waited for as long as that.
    pub fn has_waited(&self, now: Instant, time: Duration) -> bool {
        self.asked
            .front()
            .is_some_and(|(_, since)| *since + time <= now)
    }

    /// Ends it; whoever waits for a reply is left.
    pub fn end(self) -> impl Iterator<Item = Answer> {
        self.asked.into_iter().map(|(answer, _)| answer)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::cell::Cell;
    use std::pin::Pin;
    use std::rc::Rc;

    use futures_util::FutureExt;

    use super::super::executor::{Asked, Turn};
    use super::*;

    struct Told(Rc<Cell<bool>>);

    impl Watch for Told {
        fn ready(&self) -> Ready {
            Ready::default()
        }
        fn want_write(&self, wants: bool) {
            self.0.set(wants);
        }
    }

    /// A connection, the server's side of it, and whether it waits for room.
    fn wired() -> (Connection, UnixStream, Rc<Cell<bool>>) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a socket of ours");
        let wants = Rc::new(Cell::new(false));
        let watch = Box::new(Told(Rc::clone(&wants)));
        (Connection::new(Stream::Unix(ours), watch), theirs, wants)
    }

    type Coming = Pin<Box<dyn Future<Output = Asked>>>;

    fn ask(connection: &mut Connection, argument: &str) -> Coming {
        let mut queue = Queue::default();
        let (answer, coming) = Rc::<Turn>::default().ask();
        queue.push(redis::cmd("ECHO").arg(argument), answer);
        connection.add(&mut queue, Instant::now());
        Box::pin(coming)
    }

    fn reply(coming: &mut Coming) -> Option<Asked> {
        coming.now_or_never()
    }

    fn silent(_: PushKind, _: Vec<Value>) {
        panic!("the server has said nothing");
    }

    #[test]
    fn what_there_is_no_room_for_is_written_later() {
        let (mut connection, mut server, wants) = wired();
        let text = "x".repeat(4 << 20);
        let _answer = ask(&mut connection, &text);
        connection.write().expect("a part of it");
        assert!(wants.get());
        // More may be added meanwhile, and goes behind.
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
        let (mut connection, mut server, _) = wired();
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
    fn what_the_server_says_unasked_is_no_reply() {
        let (mut connection, mut server, _) = wired();
        let mut answer = ask(&mut connection, "a");
        server
            .write_all(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx\r\n:1\r\n")
            .expect("bytes");
        let mut heard = Vec::new();
        connection
            .read(|kind, data| heard.push((kind, data)))
            .expect("a connection");
        let redis_keys = Value::Array(vec![Value::BulkString(b"x".to_vec())]);
        assert_eq!(heard, [(PushKind::Invalidate, vec![redis_keys])]);
        assert!(matches!(reply(&mut answer), Some(Ok(Value::Int(1)))));
    }

    #[test]
    fn an_error_of_the_server_is_a_reply() {
        let (mut connection, mut server, _) = wired();
        let mut answer = ask(&mut connection, "a");
        server.write_all(b"-ERR no\r\n").expect("bytes");
        connection.read(silent).expect("a connection");
        assert!(matches!(
            reply(&mut answer),
            Some(Ok(Value::ServerError(error))) if error.details() == Some("no")
        ));
    }

    #[test]
    fn a_connection_that_is_no_good_ends() {
        for said in [&b""[..], b"$5\r\nab", b"?\r\n", b":1\r\n:2\r\n"] {
            let (mut connection, mut server, _) = wired();
            let _answer = ask(&mut connection, "a");
            server.write_all(said).expect("bytes");
            drop(server);
            // After a short read the socket is looked at again when it is ready again.
            let read = connection
                .read(silent)
                .and_then(|()| connection.read(silent));
            assert!(read.is_err(), "{:?}", String::from_utf8_lossy(said));
        }
    }

    #[test]
    fn whoever_waits_is_left_when_it_ends() {
        let (mut connection, _server, _) = wired();
        let _answers = [ask(&mut connection, "a"), ask(&mut connection, "b")];
        assert!(connection.has_waited(Instant::now(), Duration::ZERO));
        assert!(!connection.has_waited(Instant::now(), Duration::from_secs(60)));
        assert_eq!(connection.end().count(), 2);
    }
}
