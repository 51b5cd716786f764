//! Reads the hashes that sessions are stored in. `docs/storage.md` describes their layout, which the scripts know as
//! well.

use std::time::{SystemTime, UNIX_EPOCH};

use redis::Value;

use crate::error::{Error, Result};
use crate::session::fields::{self, Field};
use crate::session::{Document, NamedKey, Stored, UUID_PREFIX, leg};

/// What a Redis key holds for a key of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// No session that has the key.
    Nothing,
    /// The session that has the key.
    Session(Box<Stored>),
    /// A pointer, with the Redis key of the session.
    Pointer(String),
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// The value of the field `ttl` of a session that is written now: the TTL in ms, `@`, and ms since 1970.
pub fn ttl_field(ttl: u64) -> String {
    format!("{ttl}@{}", now())
}

/// From the field `ttl`, ms until half of the TTL has passed: negative after that; `None` without a TTL.
fn renewal_due_in(field: &str) -> Option<i64> {
    let (ttl, at) = field.split_once('@')?;
    let (ttl, at) = (ttl.parse::<i64>().ok()?, at.parse::<i64>().ok()?);
    let now = i64::try_from(now()).unwrap_or(i64::MAX);
    (ttl > 0).then(|| at.saturating_add(ttl / 2).saturating_sub(now))
}

/// Reads the reply to `HGETALL` for the key `name`: of its own Redis key, or of that of `primary`, where a pointer
/// leads.
///
/// # Errors
/// `Corrupt` when it is neither empty, nor a pointer, a tombstone or a session.
pub fn read(name: &str, primary: Option<&str>, reply: Value) -> Result<Found> {
    let (pointer, session) = parse(primary.unwrap_or(name), reply)?;
    if let (Some(pointer), None) = (pointer, primary) {
        return Ok(Found::Pointer(pointer));
    }
    let has_key = |session: &Stored| session.keys.iter().any(|key| *key.name == *name);
    Ok(session
        .filter(has_key)
        .map_or(Found::Nothing, |session| Found::Session(Box::new(session))))
}

/// Reads the reply to `HGETALL` for the primary key `primary`: the session that is stored there.
///
/// # Errors
/// `Corrupt` when it is neither empty, nor a pointer, a tombstone or a session.
pub fn stored_session(primary: &str, reply: Value) -> Result<Option<Stored>> {
    parse(primary, reply).map(|(_, session)| session)
}

/// The pointer in the hash, and the session. A hash has both where a displaced session uses the Redis key as its own
/// key.
fn parse(name: &str, reply: Value) -> Result<(Option<String>, Option<Stored>)> {
    let mut session = Stored {
        uuid: String::new(),
        primary: name.into(),
        keys: Vec::new(),
        document: Document::default(),
        version: 0,
        renewal_due: false,
        renewal_due_in: None,
        renewal_due_at: None,
    };
    let mut properties = Vec::with_capacity(16);
    let mut pointer = None;
    let mut is_tombstone = false;
    let pairs = pairs(reply, name)?;
    let is_empty = pairs.is_empty();
    for (field, value) in pairs {
        match field.as_bytes().first() {
            Some(b'.') => properties.push((field, value)),
            Some(b'@') => session.keys.push(key(&field[1..], value)),
            _ => match field.as_str() {
                "->" => pointer = Some(value),
                "gone" => is_tombstone = true,
                "uuid" => session.uuid = [UUID_PREFIX, &value].concat(),
                "version" => {
                    session.version = value.parse().map_err(|why| Error::corrupt(name, why))?;
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
        return if is_empty || is_tombstone || pointer.is_some() {
            Ok((pointer, None))
        } else {
            Err(Error::corrupt(name, "the hash has no field `uuid`"))
        };
    }
    let mut fields: Vec<Field<'_>> = properties
        .iter()
        .map(|(field, value)| (&field[1..], value.as_str()))
        .collect();
    fields::order(&mut fields);
    let text = fields::join(fields.iter().copied());
    // Other programs can write these fields. Joined and split again, they must be the same properties.
    let parts = fields::split(&text).map_err(|why| Error::corrupt(name, why))?;
    if parts.len() != fields.len() {
        return Err(Error::corrupt(
            name,
            "a field is not the JSON text of one value",
        ));
    }
    session.document = text.into();
    Ok((pointer, Some(session)))
}

/// The key `name` from the value of its field.
fn key(name: &str, value: String) -> NamedKey {
    let (leg, resource) = leg::split(&value);
    let leg = leg.map(Into::into);
    let resource = if leg.is_none() {
        (!value.is_empty()).then_some(value)
    } else {
        resource.map(str::to_owned)
    };
    NamedKey {
        resource,
        leg,
        ..NamedKey::plain(name.into())
    }
}

fn pairs(reply: Value, name: &str) -> Result<Vec<(String, String)>> {
    let not_text = || Error::corrupt(name, "it is not a hash of text");
    let text = |value: Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| not_text()),
        Value::SimpleString(text) => Ok(text),
        _ => Err(not_text()),
    };
    match reply {
        Value::Map(entries) => entries
            .into_iter()
            .map(|(field, value)| Ok((text(field)?, text(value)?)))
            .collect(),
        // The reply of a script, which has no maps.
        Value::Array(flat) => {
            let mut flat = flat.into_iter();
            let mut pairs = Vec::with_capacity(flat.len() / 2);
            while let Some(field) = flat.next() {
                let value = flat.next().ok_or_else(not_text)?;
                pairs.push((text(field)?, text(value)?));
            }
            Ok(pairs)
        }
        Value::Nil => Ok(Vec::new()),
        _ => Err(not_text()),
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
            Ok(Found::Pointer("mks:a".into()))
        );
        assert_eq!(read("mks:b", None, hash(&[])), Ok(Found::Nothing));
    }

    #[test]
    fn what_is_no_session_is_an_error_that_names_the_key() {
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
    fn a_renewal_is_due_when_half_of_the_ttl_has_passed() {
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
