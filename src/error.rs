//! Every failure that an application can see, each with its stable code.

use std::fmt;

/// What went wrong, as a stable code that applications may test for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An argument of a call is invalid.
    Argument,
    /// An option is unknown or has an invalid value.
    Option,
    /// The session was removed or has expired. A save does not create it again.
    Gone,
    /// Another process has changed the session, and the write was conditional.
    Conflict,
    /// The store did not answer within the deadline.
    Timeout,
    /// The store cannot be reached.
    Unavailable,
    /// The store was closed by the application.
    Closed,
    /// The Redis server rejected the user name or the password.
    Auth,
    /// The record stored under the name of a session is not one.
    Corrupt,
    /// The store answered with an error of its own.
    Store,
    /// The store refuses writes: it is read-only or out of memory.
    Refused,
    /// The engine gave up a write that it had accepted: the write-behind queue was full, or the store was closed.
    GivenUp,
}

impl Kind {
    /// The code as JavaScript sees it in `err.code`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Argument => "ERR_SESSION_ARGUMENT",
            Self::Option => "ERR_SESSION_OPTION",
            Self::Gone => "ERR_SESSION_GONE",
            Self::Conflict => "ERR_SESSION_CONFLICT",
            Self::Timeout => "ERR_SESSION_TIMEOUT",
            Self::Unavailable => "ERR_SESSION_STORE_UNAVAILABLE",
            Self::Closed => "ERR_SESSION_STORE_CLOSED",
            Self::Auth => "ERR_SESSION_STORE_AUTH",
            Self::Corrupt => "ERR_SESSION_CORRUPT",
            Self::Store => "ERR_SESSION_STORE",
            Self::Refused => "ERR_SESSION_STORE_REFUSED",
            Self::GivenUp => "ERR_SESSION_GIVEN_UP",
        }
    }
}

/// A failure: its kind, and a message that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The stable code.
    pub kind: Kind,
    /// The message, without the code.
    pub message: String,
    /// Whether the store may have done the operation all the same.
    pub in_doubt: bool,
}

impl Error {
    /// A failure of `kind` with `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            in_doubt: false,
        }
    }

    /// The same failure, of an operation that the store may have done.
    #[must_use]
    pub fn maybe_done(self) -> Self {
        Self {
            in_doubt: true,
            ..self
        }
    }

    /// The same, of something that may have been done if `is_in_doubt`.
    #[must_use]
    pub fn maybe_done_if(self, is_in_doubt: bool) -> Self {
        Self {
            in_doubt: self.in_doubt || is_in_doubt,
            ..self
        }
    }

    /// Whether the store failed, and not the operation: a repetition may succeed later.
    #[must_use]
    pub fn will_pass(&self) -> bool {
        matches!(
            self.kind,
            Kind::Timeout | Kind::Unavailable | Kind::Auth | Kind::Refused
        )
    }

    /// The store was closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(Kind::Closed, "the store was closed: make a new one")
    }

    /// Another process has changed the session `uuid`.
    #[must_use]
    pub fn conflict(uuid: &str) -> Self {
        Self::new(
            Kind::Conflict,
            format!("another process has changed {uuid} since it was loaded; nothing was written"),
        )
    }

    /// The store does not have the session `uuid` any more.
    #[must_use]
    pub fn gone(uuid: &str) -> Self {
        Self::new(
            Kind::Gone,
            format!("{uuid} was removed or has expired; a save does not bring it back"),
        )
    }

    /// The record stored under `name` is not a session: `why`.
    pub fn corrupt(name: &str, why: impl fmt::Display) -> Self {
        Self::new(
            Kind::Corrupt,
            format!("the record stored under \"{name}\" is not a session: {why}"),
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)
    }
}

impl std::error::Error for Error {}

/// The result of a function that fails with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
