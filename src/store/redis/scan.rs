//! What concerns everything under the prefix: found by `SCAN` in batches, so that the server is never held up.

use std::collections::HashSet;

use redis::Value;

use super::perform::{checked, load};
use super::pool::Links;
use super::tasks;
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

/// A walk through everything under the prefix.
struct Walk<'a> {
    links: &'a Links,
    pattern: String,
    seen: HashSet<String>,
    /// None when it is over.
    cursor: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(links: &'a Links) -> Self {
        Self {
            links,
            pattern: pattern(&links.config.prefix),
            seen: HashSet::new(),
            cursor: Some("0".to_owned()),
        }
    }

    /// The places of the next batch; a place comes once. Nothing when it is over.
    async fn next(&mut self) -> Result<Option<Vec<String>>> {
        let Some(cursor) = self.cursor.take() else {
            return Ok(None);
        };
        let mut command = redis::cmd("SCAN");
        command
            .arg(&cursor)
            .arg("MATCH")
            .arg(&self.pattern)
            .arg("COUNT")
            .arg(COUNT);
        let ask = || self.links.of("").request(&command);
        let Value::Array(reply) = self.links.repeated("", ask).await? else {
            return Err(strange());
        };
        let [Value::BulkString(next), Value::Array(places)] = reply.as_slice() else {
            return Err(strange());
        };
        self.cursor = Some(String::from_utf8_lossy(next).into_owned()).filter(|next| next != "0");
        let places = places.iter().filter_map(|place| match place {
            Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        });
        let fresh = places.filter(|place| self.seen.insert(place.clone()));
        Ok(Some(fresh.collect()))
    }
}

/// What a command answers about each of some places, all at once.
async fn each(
    links: &Links,
    places: &[String],
    verb: &str,
    argument: Option<&str>,
) -> Vec<Result<Value>> {
    let mut asked = Vec::with_capacity(places.len());
    for place in places {
        let mut command = redis::cmd(verb);
        command.arg(place).arg(argument);
        asked.push(links.of(place).request(&command));
    }
    let replies = places.iter().zip(tasks::all(asked).await);
    replies
        .map(|(place, reply)| checked(place, reply?))
        .collect()
}

fn strange() -> Error {
    Error::new(Kind::Store, "Redis answered a SCAN with something else")
}

/// The names of all sessions, each by its home, and of all plain values.
pub async fn ids(links: &Links) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut walk = Walk::new(links);
    while let Some(places) = walk.next().await? {
        let kinds = each(links, &places, "HEXISTS", Some("uuid")).await;
        for (place, kind) in places.iter().zip(kinds) {
            // 0 is a pointer, or gone meanwhile; what is no hash is a plain value.
            if kind.as_ref().is_ok_and(|kind| *kind == Value::Int(1)) || is_plain(&kind) {
                ids.push(links.name(place).to_owned());
            } else {
                kind?;
            }
        }
    }
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
        for text in tasks::all(batch.iter().map(|name| text(links, name))).await {
            texts.extend(text?);
        }
    }
    Ok(texts)
}

/// The text of what is stored under `name`.
async fn text(links: &Links, name: &str) -> Result<Option<String>> {
    match links.surely("GET", name, &|_| {}).await {
        Ok(Value::BulkString(text)) => Ok(String::from_utf8(text)
            .ok()
            .filter(|text| fields::check(text).is_ok())),
        Ok(_) => Ok(None),
        Err(error) if error.kind == Kind::Corrupt => home(links, name).await,
        Err(error) => Err(error),
    }
}

/// The session that lives at the home `name`, by any key that it has; what is no session is left out.
async fn home(links: &Links, name: &str) -> Result<Option<String>> {
    let fields = match links.surely("HKEYS", name, &|_| {}).await {
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
    let mut walk = Walk::new(links);
    while let Some(places) = walk.next().await? {
        for gone in each(links, &places, "UNLINK", None).await {
            gone?;
        }
    }
    Ok(())
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
