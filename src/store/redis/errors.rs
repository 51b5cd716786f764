//! What errors of a connection and of the server mean for an operation.

use redis::{ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, Value};

use crate::error::{Error, Kind, Result};

/// Why a command has no reply.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It was never written to a socket.
    NotSent(Error),
    /// It was written, and the connection was lost before the reply came: Redis may have executed it.
    InDoubt(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(error) => error,
            Failure::InDoubt(error) => error.maybe_done(),
        }
    }
}

/// The reply to a command. An error that the server replied with is a value; [`checked`] makes it an error.
pub type Response = std::result::Result<Value, Failure>;

/// The reply, if it is not an error. `name` is the key or value that the command was for.
///
/// # Errors
/// The server's error: `Corrupt` where the Redis key holds another type, `Auth`, `Unavailable` or `Refused` where the
/// same may succeed later, `Store` otherwise.
pub fn checked(name: &str, reply: Value) -> Result<Value> {
    let Value::ServerError(error) = reply else {
        return Ok(reply);
    };
    let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
    Err(match error.kind() {
        _ if text.contains("WRONGTYPE") => {
            Error::corrupt(name, "another type of value is stored there")
        }
        Some(ServerErrorKind::NoPerm) => Error::new(Kind::Auth, text),
        _ => match error.code() {
            "NOAUTH" => Error::new(Kind::Auth, text),
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "BUSY" | "MOVED" | "ASK" => {
                Error::new(Kind::Unavailable, text)
            }
            "READONLY" | "OOM" | "MISCONF" | "NOREPLICAS" | "TRYAGAIN" => {
                Error::new(Kind::Refused, text)
            }
            _ => Error::new(Kind::Store, text),
        },
    })
}

/// The error of a connection, or of an attempt to establish one, with what to do about it.
pub fn connection_error(error: &RedisError, address: &ConnectionInfo) -> Error {
    let server = address.addr();
    let text = error.to_string();
    if text.contains("WRONGPASS")
        || text.contains("NOAUTH")
        || error.kind() == ErrorKind::AuthenticationFailed
    {
        let message = format!(
            "Redis at {server} rejected the user name or password; check `username`, `password`: {text}"
        );
        return Error::new(Kind::Auth, message);
    }
    if text.contains("DB index") {
        let db = address.redis_settings().db();
        return Error::new(
            Kind::Option,
            format!("Redis at {server} has no database {db}; check `db`: {text}"),
        );
    }
    if error.kind() == ErrorKind::RESP3NotSupported {
        return Error::new(
            Kind::Unavailable,
            format!("Redis at {server} is older than 6.0, which is needed"),
        );
    }
    if error.is_timeout() {
        return Error::new(
            Kind::Timeout,
            format!("Redis at {server} did not answer in time: {text}"),
        );
    }
    Error::new(
        Kind::Unavailable,
        format!("Redis at {server} cannot be reached: {text}"),
    )
}
