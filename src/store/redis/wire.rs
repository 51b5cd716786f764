//! A connection that is made: commands out, replies in, on the thread of JavaScript and without waiting.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
#[cfg(windows)]
use std::os::windows::io::AsRawSocket;
#[cfg(unix)]
use std::os::{fd::AsRawFd, unix::net::UnixStream};
use std::time::{Duration, Instant};

use redis::{Cmd, Parser, PushKind, RedisError, Value};

use super::link::Answer;

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

/// Up to here the room for commands is kept for the next ones.
const KEPT: usize = 1 << 20;

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

/// Reads what is there. After a short read nothing is: the next one is not tried before the socket is ready again.
struct Source<'a> {
    stream: &'a mut Stream,
    was_short: bool,
    /// Whether the last read has found nothing.
    is_empty: bool,
}

impl Read for Source<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = match self.stream {
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

/// See the module.
pub struct Wire {
    // Before the stream: a socket is not watched any more when it is closed.
    watch: Box<dyn Watch>,
    stream: Stream,
    parser: Parser,
    out: Vec<u8>,
    written: usize,
    /// Whether there was no room for all of it.
    is_full: bool,
    /// Who waits for a reply, and since when, in the order of the commands.
    asked: VecDeque<(Answer, Instant)>,
}

impl Wire {
    /// A connection that was made.
    pub fn new(stream: Stream, watch: Box<dyn Watch>) -> Self {
        Self {
            watch,
            stream,
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

    /// Adds a command to what is to be written.
    pub fn add(&mut self, command: &Cmd, answer: Answer, now: Instant) {
        command.write_packed_command(&mut self.out);
        self.asked.push_back((answer, now));
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn write(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
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
        let mut source = Source {
            stream: &mut self.stream,
            was_short: false,
            is_empty: false,
        };
        loop {
            match self.parser.parse_value(&mut source) {
                Ok(Value::Push { kind, data }) => heard(kind, data),
                Ok(reply) => {
                    let Some((answer, _)) = self.asked.pop_front() else {
                        return Err(io::Error::from(ErrorKind::InvalidData).into());
                    };
                    // Whoever has asked may be gone.
                    let _ = answer.send(Ok(reply));
                }
                Err(_) if source.is_empty => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a reply has been waited for longer than `timeout`.
    pub fn is_late(&self, now: Instant, timeout: Duration) -> bool {
        self.asked
            .front()
            .is_some_and(|(_, since)| *since + timeout <= now)
    }

    /// Ends it; whoever waits for a reply is left.
    pub fn end(self) -> impl Iterator<Item = Answer> {
        self.asked.into_iter().map(|(answer, _)| answer)
    }
}
