//! The reply parser: reads replies and push messages (RESP3) from a socket, as far as they have arrived.

use std::io::{self, BufReader, ErrorKind, Read};

use redis::{Parser, RedisError, Value};

use super::socket::Stream;

/// The size of the read buffer, bytes. The parser asks for less at a time.
const BUFFER: usize = 64 << 10;

/// Reads from the socket until a read gives less than it asked for: the socket is empty then, and one system call is
/// saved by not asking again before it is readable.
struct Source {
    stream: Stream,
    was_short: bool,
    /// Whether the last read has found nothing.
    is_empty: bool,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.was_short {
            Err(ErrorKind::WouldBlock.into())
        } else {
            self.stream.read(buffer)
        };
        match &read {
            // 0 is the end of the stream, which the next read must find, too.
            Ok(count) => self.was_short = *count > 0 && *count < buffer.len(),
            Err(error) => self.is_empty = error.kind() == ErrorKind::WouldBlock,
        }
        read
    }
}

/// A socket and its parser. A reply may arrive in any number of pieces.
pub struct ReplyReader {
    source: BufReader<Source>,
    parser: Parser,
}

impl ReplyReader {
    /// A parser for what arrives from `stream`.
    pub fn new(stream: Stream) -> Self {
        let source = Source {
            stream,
            was_short: false,
            is_empty: false,
        };
        Self {
            source: BufReader::with_capacity(BUFFER, source),
            parser: Parser::new(),
        }
    }

    /// The socket, to write to.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.source.get_mut().stream
    }

    /// The socket is readable again.
    pub fn set_readable(&mut self) {
        let source = self.source.get_mut();
        (source.was_short, source.is_empty) = (false, false);
    }

    /// The next reply or push message; `None` if it has not arrived completely.
    ///
    /// # Errors
    /// When the stream has ended or failed, or has something else than RESP. The connection is of no use then.
    pub fn next(&mut self) -> Result<Option<Value>, RedisError> {
        match self.parser.parse_value(&mut self.source) {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.source.get_ref().is_empty => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The Redis keys that a push message of the kind `invalidate` names. `None` stands for all keys (the database was
/// flushed), or for a key that is not UTF-8.
pub fn invalidated(data: Vec<Value>, redis_keys: &mut Vec<Option<String>>) {
    for value in data {
        let Value::Array(changed) = value else {
            redis_keys.push(None);
            continue;
        };
        redis_keys.extend(changed.into_iter().map(|redis_key| match redis_key {
            Value::BulkString(redis_key) => String::from_utf8(redis_key).ok(),
            Value::SimpleString(redis_key) => Some(redis_key),
            _ => None,
        }));
    }
}
