//! Reads the options of a store, which JavaScript passes as the text of a JSON object. A store takes each option by
//! name and type; an option that it has not taken is unknown. An error names the option, what it must be and what it
//! was.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};

/// The longest timeout that an option may ask for, ms: a day.
pub const MAX_TIMEOUT: u64 = 86_400_000;

/// The longest TTL that an option may ask for, seconds: about 100 years.
pub const MAX_TTL_SECONDS: f64 = 3.2e9;

/// Options that were not taken yet.
pub struct Options {
    owner: &'static str,
    given: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Options {
    /// Reads `text`. Messages begin with `owner`: the class, or the option, that the options are for.
    ///
    /// # Errors
    /// `Option` when `text` is not a JSON object.
    pub fn new(owner: &'static str, text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(given)) => Ok(Self {
                owner,
                given,
                known: Vec::new(),
            }),
            _ => Err(Error::new(
                Kind::Option,
                format!("{owner}: the options must be an object, not {text}"),
            )),
        }
    }

    fn take<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        self.known.push(name);
        match self.given.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(&value) {
                Some(read) => Ok(Some(read)),
                None => Err(self.error(format!("`{name}` must be {what}, not {value}"))),
            },
        }
    }

    /// An error of the kind `Option` that names the owner of the options.
    #[must_use]
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new(Kind::Option, format!("{}: {message}", self.owner))
    }

    /// A string.
    ///
    /// # Errors
    /// `Option` when it is something else.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        self.take(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A string that is not empty.
    ///
    /// # Errors
    /// `Option` when it is something else.
    pub fn filled(&mut self, name: &'static str) -> Result<Option<String>> {
        self.take(name, "a string that is not empty", |value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        })
    }

    /// A whole number from `from` to `to`, or a string of its digits (as environment variables have it).
    ///
    /// # Errors
    /// `Option` when it is something else.
    pub fn whole(&mut self, name: &'static str, from: u64, to: u64) -> Result<Option<u64>> {
        self.take(
            name,
            &format!("a whole number from {from} to {to}"),
            |value| {
                let number = value
                    .as_u64()
                    .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                number.filter(|number| (from..=to).contains(number))
            },
        )
    }

    /// A duration, given in ms: from 1 ms to one day; `default`, in ms, where it is not given.
    ///
    /// # Errors
    /// `Option` when it is something else.
    pub fn millis(&mut self, name: &'static str, default: u64) -> Result<Duration> {
        Ok(Duration::from_millis(
            self.whole(name, 1, MAX_TIMEOUT)?.unwrap_or(default),
        ))
    }

    /// A number of seconds greater than 0, or a string of it, as ms, rounded up.
    ///
    /// # Errors
    /// `Option` when it is something else.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within the bounds that are checked
    pub fn seconds(&mut self, name: &'static str) -> Result<Option<u64>> {
        self.take(
            name,
            "a number of seconds greater than 0 (at most 100 years)",
            |value| {
                let seconds = value
                    .as_f64()
                    .or_else(|| value.as_str().and_then(|text| text.parse().ok()))?;
                (seconds > 0.0 && seconds <= MAX_TTL_SECONDS)
                    .then_some((seconds * 1000.0).ceil() as u64)
            },
        )
    }

    /// An option that is an object of options of its own: `None` for `false`; without options for `true` and where it
    /// is not given. Their messages begin with `owner`.
    ///
    /// # Errors
    /// `Option` when it is something else.
    pub fn nested(&mut self, name: &'static str, owner: &'static str) -> Result<Option<Self>> {
        let given = self.take(name, "true, false or an object", |value| match value {
            Value::Bool(false) => Some(None),
            Value::Bool(true) => Some(Some(Map::new())),
            Value::Object(given) => Some(Some(given.clone())),
            _ => None,
        })?;
        let given = given.unwrap_or_else(|| Some(Map::new()));
        Ok(given.map(|given| Self {
            owner,
            given,
            known: Vec::new(),
        }))
    }

    /// Checks that every option was taken.
    ///
    /// # Errors
    /// `Option` when one was not: it is unknown.
    pub fn finish(self) -> Result<()> {
        match self.given.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                let known = self.known.join(", ");
                Err(self.error(format!(
                    "there is no option `{unknown}`; the options are {known}"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        Options::new("RedisStore", text).expect("an object")
    }

    #[test]
    fn an_error_names_the_option_and_what_it_must_be() {
        let error = options(r#"{"port":"x"}"#)
            .whole("port", 1, 65_535)
            .expect_err("no number");
        assert_eq!(error.kind, Kind::Option);
        assert_eq!(
            error.message,
            "RedisStore: `port` must be a whole number from 1 to 65535, not \"x\""
        );
        assert!(options(r#"{"port":0}"#).whole("port", 1, 65_535).is_err());
        assert_eq!(
            options(r#"{"port":"6379"}"#).whole("port", 1, 65_535),
            Ok(Some(6379))
        );
        assert_eq!(options(r#"{"ttl":1.5}"#).seconds("ttl"), Ok(Some(1500)));
        assert!(options(r#"{"ttl":-1}"#).seconds("ttl").is_err());
    }

    #[test]
    fn an_option_that_is_not_taken_is_unknown() {
        let mut given = options(r#"{"port":1,"hots":"x"}"#);
        given.whole("port", 1, 2).expect("a port");
        let error = given.finish().expect_err("unknown");
        assert_eq!(
            error.message,
            "RedisStore: there is no option `hots`; the options are port"
        );
        assert!(Options::new("RedisStore", "[]").is_err());
    }
}
