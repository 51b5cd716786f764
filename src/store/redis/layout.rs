//! What the hashes mean that sessions are stored in; `docs/storage.md` has it for people. The scripts know it too.

use std::time::{SystemTime, UNIX_EPOCH};

use redis::Value;

use crate::error::{Error, Result};
use crate::session::fields::{self, Field};
use crate::session::{Document, Stored};

/// What is stored under the name of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that this key leads to.
    Nothing,
    /// The key's session.
    Session(Box<Stored>),
    /// The redis_key in Redis where the key's session lives.
    Elsewhere(String),
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// The value of the field `ttl`: how long, and since when.
pub fn ttl_field(ttl: u64) -> String {
    format!("{ttl}@{}", now())
}

/// ms until half of the time to live has passed, below 0 when it has; nothing if it never ends.
fn renewal_due_in(field: &str) -> Option<i64> {
    let (ttl, at) = field.split_once('@')?;
    let (ttl, at) = (ttl.parse::<i64>().ok()?, at.parse::<i64>().ok()?);
    let now = i64::try_from(now()).unwrap_or(i64::MAX);
    (ttl > 0).then(|| at.saturating_add(ttl / 2).saturating_sub(now))
}

/// Reads the reply to an `HGETALL` of the redis_key of the key `name`. `primary` is where a pointer led from there.
///
/// # Errors
/// When it is neither nothing, nor a pointer, nor a session.
pub fn read(name: &str, primary: Option<&str>, reply: Value) -> Result<Found> {
    let (pointer, session) = parse(primary.unwrap_or(name), reply)?;
    if let (Some(pointer), None) = (pointer, primary) {
        return Ok(Found::Elsewhere(pointer));
    }
    let has_key = |session: &Stored| session.keys.iter().any(|(key, _)| **key == *name);
    Ok(session
        .filter(has_key)
        .map_or(Found::Nothing, |session| Found::Session(Box::new(session))))
}

/// Reads the reply to an `HGETALL` of `primary`: the session that lives there.
///
/// # Errors
/// When it is neither nothing, nor a pointer, nor a session.
pub fn resident(primary: &str, reply: Value) -> Result<Option<Stored>> {
    parse(primary, reply).map(|(_, session)| session)
}

/// Where the key of a redis_key leads, if not there; and the session that lives there.
fn parse(redis_key: &str, reply: Value) -> Result<(Option<String>, Option<Stored>)> {
    let mut session = Stored {
        uuid: String::new(),
        primary: redis_key.into(),
        keys: Vec::new(),
        document: Document::default(),
        version: 0,
        renewal_due: false,
        renewal_due_in: None,
    };
    let mut properties = Vec::with_capacity(16);
    let mut pointer = None;
    let mut is_ours = false;
    let pairs = pairs(reply, redis_key)?;
    let is_empty = pairs.is_empty();
    for (field, value) in pairs {
        match field.as_bytes().first() {
            Some(b'.') => properties.push((field, value)),
            Some(b'@') => session
                .keys
                .push((field[1..].into(), (!value.is_empty()).then_some(value))),
            _ => match field.as_str() {
                "->" => pointer = Some(value),
                "gone" => is_ours = true,
                "uuid" => session.uuid = value,
                "version" => {
                    session.version = value
                        .parse()
                        .map_err(|why| Error::corrupt(redis_key, why))?;
                }
                "ttl" => {
                    let renewal_due_in = renewal_due_in(&value);
                    session.renewal_due = renewal_due_in.is_some_and(|left| left < 0);
                    session.renewal_due_in =
                        renewal_due_in.and_then(|left| u64::try_from(left).ok());
                }
                _ => {}
            },
        }
    }
    if session.uuid.is_empty() {
        return if is_empty || is_ours || pointer.is_some() {
            Ok((pointer, None))
        } else {
            Err(Error::corrupt(redis_key, "the hash has no field `uuid`"))
        };
    }
    let mut fields: Vec<Field<'_>> = properties
        .iter()
        .map(|(field, value)| (&field[1..], value.as_str()))
        .collect();
    fields::order(&mut fields);
    let text = fields::join(fields.iter().copied());
    // What a person wrote by hand may be anything; one look at the whole finds it.
    let parts = fields::split(&text).map_err(|why| Error::corrupt(redis_key, why))?;
    if parts.len() != fields.len() {
        return Err(Error::corrupt(
            redis_key,
            "a field is not the JSON text of one value",
        ));
    }
    session.document = text.into();
    Ok((pointer, Some(session)))
}

fn pairs(reply: Value, redis_key: &str) -> Result<Vec<(String, String)>> {
    let strange = || Error::corrupt(redis_key, "it is not a hash of text");
    let text = |value: Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| strange()),
        Value::SimpleString(text) => Ok(text),
        _ => Err(strange()),
    };
    match reply {
        Value::Map(entries) => entries
            .into_iter()
            .map(|(field, value)| Ok((text(field)?, text(value)?)))
            .collect(),
        // as a script gives it
        Value::Array(flat) => {
            let mut flat = flat.into_iter();
            let mut pairs = Vec::with_capacity(flat.len() / 2);
            while let Some(field) = flat.next() {
                let value = flat.next().ok_or_else(strange)?;
                pairs.push((text(field)?, text(value)?));
            }
            Ok(pairs)
        }
        Value::Nil => Ok(Vec::new()),
        _ => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(entries: &[(&str, &str)]) -> Value {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Value::Map(
            entries
                .iter()
                .map(|(field, value)| (bulk(field), bulk(value)))
                .collect(),
        )
    }

    #[test]
    fn a_session_a_pointer_and_nothing() {
        let session = hash(&[
            ("uuid", "u"),
            ("version", "3"),
            ("@mks:a", ""),
            (".x", "1"),
            (".y", r#"{"z":[]}"#),
        ]);
        let Ok(Found::Session(found)) = read("mks:a", None, session.clone()) else {
            panic!("no session")
        };
        assert_eq!(
            (&*found.document.text(), found.version),
            (r#"{"x":1,"y":{"z":[]}}"#, 3)
        );
        assert_eq!(
            read("mks:b", Some("mks:a"), session),
            Ok(Found::Nothing),
            "it does not have that key"
        );
        assert_eq!(
            read("mks:b", None, hash(&[("->", "mks:a")])),
            Ok(Found::Elsewhere("mks:a".into()))
        );
        assert_eq!(read("mks:b", None, hash(&[])), Ok(Found::Nothing));
    }

    #[test]
    fn what_is_no_session_is_an_error_that_names_the_place() {
        for bad in [
            hash(&[(".x", "1")]),
            hash(&[("other", "1")]),
            hash(&[("uuid", "u"), ("@mks:a", ""), (".x", "1,\"y\":2")]),
            hash(&[("uuid", "u"), ("@mks:a", ""), (".x", "{")]),
            hash(&[("uuid", "u"), ("@mks:a", ""), (".x\"", "1")]),
            hash(&[("uuid", "u"), ("version", "many")]),
            Value::Int(1),
            Value::Map(vec![(Value::BulkString(vec![0xff]), Value::Nil)]),
        ] {
            let error = read("mks:a", None, bad).expect_err("no session");
            assert!(error.message.contains("mks:a"), "{error}");
        }
    }

    #[test]
    fn a_session_ages_when_half_of_its_time_has_passed() {
        assert!(
            renewal_due_in(&ttl_field(60_000))
                .is_some_and(|left| (29_000..=30_000).contains(&left))
        );
        assert!(renewal_due_in(&format!("60000@{}", now() - 31_000)).is_some_and(|left| left < 0));
        for never in ["0@1", "", "x@y", "1@99999999999999999999"] {
            assert_eq!(renewal_due_in(never), None, "{never}");
        }
    }
}
