//! What concerns everything under the prefix: found by `SCAN` in batches, so that the server is never held up.

use std::collections::HashSet;

use futures_util::future::join_all;
use redis::Value;

use super::perform::{checked, load};
use super::worker::Links;
use crate::error::{Error, Kind, Result};
use crate::fields;

/// How many keys a `SCAN` looks at.
const COUNT: usize = 500;

/// The pattern that matches what begins with `prefix`, whatever is in it.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('*');
    pattern
}

/// Calls `each` with the places of every batch; a place comes once.
async fn walk(links: &Links, mut each: impl AsyncFnMut(Vec<String>) -> Result<()>) -> Result<()> {
    let pattern = pattern(&links.config.prefix);
    let mut seen = HashSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let mut command = redis::cmd("SCAN");
        command
            .arg(&cursor)
            .arg("MATCH")
            .arg(&pattern)
            .arg("COUNT")
            .arg(COUNT);
        let Value::Array(reply) = links.surely("", command).await? else {
            return Err(strange());
        };
        let [Value::BulkString(next), Value::Array(places)] = reply.as_slice() else {
            return Err(strange());
        };
        cursor = String::from_utf8_lossy(next).into_owned();
        let places = places.iter().filter_map(|place| match place {
            Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        });
        each(places.filter(|place| seen.insert(place.clone())).collect()).await?;
        if cursor == "0" {
            return Ok(());
        }
    }
}

fn strange() -> Error {
    Error::new(Kind::Store, "Redis answered a SCAN with something else")
}

/// The names of all sessions, each by its home, and of all plain values.
pub async fn ids(links: &Links) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    walk(links, async |places| {
        let kinds = join_all(places.iter().map(|place| {
            let mut command = redis::cmd("HEXISTS");
            command.arg(place).arg("uuid");
            links.of(place).request(command)
        }));
        for (place, kind) in places.iter().zip(kinds.await) {
            // 0 is a pointer, or gone meanwhile; what is no hash is a plain value.
            let kind = checked(place, kind?);
            if kind.as_ref().is_ok_and(|kind| *kind == Value::Int(1)) || is_plain(&kind) {
                ids.push(links.name(place).to_owned());
            }
        }
        Ok(())
    })
    .await?;
    Ok(ids)
}

fn is_plain(kind: &Result<Value>) -> bool {
    kind.as_ref()
        .is_err_and(|error| error.kind == Kind::Corrupt)
}

/// The texts of all sessions and plain values.
pub async fn all(links: &Links) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let names = ids(links).await?;
    for batch in names.chunks(COUNT) {
        let found = join_all(batch.iter().map(async |name| {
            let mut command = redis::cmd("GET");
            command.arg(links.place(name));
            match links.surely(name, command).await {
                Ok(Value::BulkString(text)) => Ok(String::from_utf8(text)
                    .ok()
                    .filter(|text| fields::check(text).is_ok())),
                Ok(_) => Ok(None),
                Err(error) if error.kind == Kind::Corrupt => home(links, name).await,
                Err(error) => Err(error),
            }
        }));
        for text in found.await {
            texts.extend(text?);
        }
    }
    Ok(texts)
}

/// The session that lives at the home `name`, by any key that it has; what is no session is left out.
async fn home(links: &Links, name: &str) -> Result<Option<String>> {
    let mut command = redis::cmd("HKEYS");
    command.arg(links.place(name));
    let fields = match links.surely(name, command).await {
        Ok(Value::Array(fields)) => fields,
        Ok(_) => return Ok(None),
        Err(error) if error.kind == Kind::Corrupt => return Ok(None),
        Err(error) => return Err(error),
    };
    let key = fields.iter().find_map(|field| match field {
        Value::BulkString(field) if field.first() == Some(&b'@') => {
            Some(String::from_utf8_lossy(&field[1..]))
        }
        _ => None,
    });
    let Some(key) = key else { return Ok(None) };
    match load(links, &key).await {
        Ok(found) => Ok(found.map(|found| found.envelope())),
        Err(error) if error.kind == Kind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes everything under the prefix.
pub async fn clear(links: &Links) -> Result<()> {
    walk(links, async |places| {
        let gone = join_all(places.iter().map(|place| {
            let mut command = redis::cmd("UNLINK");
            command.arg(place);
            links.of(place).request(command)
        }));
        for (place, reply) in places.iter().zip(gone.await) {
            checked(place, reply?)?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn a_prefix_is_matched_as_it_is_written() {
        assert_eq!(pattern("sess:"), "sess:*");
        assert_eq!(pattern("a*[b]?\\"), r"a\*\[b\]\?\\*");
        assert_eq!(pattern(""), "*");
    }
}
