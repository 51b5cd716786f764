//! A socket that does not block, and what watches it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
#[cfg(windows)]
use std::os::windows::io::AsRawSocket;
#[cfg(unix)]
use std::os::{fd::AsRawFd, unix::net::UnixStream};

/// The operating system's number for a socket.
#[cfg(unix)]
pub type Socket = std::os::fd::RawFd;
/// The operating system's number for a socket.
#[cfg(windows)]
pub type Socket = std::os::windows::io::RawSocket;

/// What can be done with a socket now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read gives bytes, the end of the stream or an error.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

/// Watches a socket until it is dropped. Drop it before the socket is closed.
pub trait Watch {
    /// What has become possible since the last call.
    fn ready(&self) -> Ready;
    /// Whether to watch for room to write as well.
    fn want_write(&self, wants: bool);
}

/// A connected socket that does not block.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// The number of the socket.
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
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
