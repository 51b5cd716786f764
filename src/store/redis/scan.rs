//! Operations on everything under the prefix: found by `SCAN` in batches, so that no command blocks the server for
//! long.

use std::collections::HashSet;

use redis::Value;

use super::client::Client;
use super::errors::checked;
use super::load::load;
use crate::error::{Error, Kind, Result};
use crate::session::fields;
use crate::store::executor;

/// How many keys a `SCAN` looks at.
const COUNT: usize = 500;

/// The glob pattern that matches what begins with `prefix`; special characters in `prefix` are escaped.
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
    client: &'a Client,
    pattern: String,
    seen: HashSet<String>,
    /// `None` after the last batch.
    cursor: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(client: &'a Client) -> Self {
        Self {
            client,
            pattern: pattern(&client.config.prefix),
            seen: HashSet::new(),
            cursor: Some("0".to_owned()),
        }
    }

    /// The Redis keys of the next batch, each once even if `SCAN` repeats it; `None` after the last one.
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
        let request = || self.client.queue("").request(&command);
        let Value::Array(reply) = self.client.repeated("", request).await? else {
            return Err(unexpected());
        };
        let [Value::BulkString(next), Value::Array(redis_keys)] = reply.as_slice() else {
            return Err(unexpected());
        };
        self.cursor = Some(String::from_utf8_lossy(next).into_owned()).filter(|next| next != "0");
        let redis_keys = redis_keys.iter().filter_map(|redis_key| match redis_key {
            Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        });
        let fresh = redis_keys.filter(|redis_key| self.seen.insert(redis_key.clone()));
        Ok(Some(fresh.collect()))
    }
}

/// The reply to a command for each of `redis_keys`, all in one pipeline.
async fn each(
    client: &Client,
    redis_keys: &[String],
    verb: &str,
    argument: Option<&str>,
) -> Vec<Result<Value>> {
    let mut requests = Vec::with_capacity(redis_keys.len());
    for redis_key in redis_keys {
        let mut command = redis::cmd(verb);
        command.arg(redis_key).arg(argument);
        requests.push(client.queue(redis_key).request(&command));
    }
    let replies = redis_keys.iter().zip(executor::all(requests).await);
    replies
        .map(|(redis_key, reply)| checked(redis_key, reply?))
        .collect()
}

fn unexpected() -> Error {
    Error::new(
        Kind::Store,
        "Redis replied to SCAN with something else than a cursor and keys",
    )
}

/// The primary keys of all sessions, and the names of all plain values.
///
/// # Errors
/// The error of the connection or of the server.
pub async fn ids(client: &Client) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut walk = Walk::new(client);
    while let Some(redis_keys) = walk.next().await? {
        let kinds = each(client, &redis_keys, "HEXISTS", Some("uuid")).await;
        for (redis_key, kind) in redis_keys.iter().zip(kinds) {
            // 0 is a pointer or a tombstone, or was removed meanwhile. What is no hash is a plain value.
            if kind.as_ref().is_ok_and(|kind| *kind == Value::Int(1)) || is_plain(&kind) {
                ids.push(client.name(redis_key).to_owned());
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

/// The texts of all sessions and plain values, as `get` gives them.
///
/// # Errors
/// The error of the connection or of the server.
pub async fn all(client: &Client) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let names = ids(client).await?;
    for batch in names.chunks(COUNT) {
        for text in executor::all(batch.iter().map(|name| text(client, name))).await {
            texts.extend(text?);
        }
    }
    Ok(texts)
}

/// The text of what is stored under `name`.
async fn text(client: &Client, name: &str) -> Result<Option<String>> {
    match client.send("GET", name, &|_| {}).await {
        Ok(Value::BulkString(text)) => Ok(String::from_utf8(text)
            .ok()
            .filter(|text| fields::check(text).is_ok())),
        Ok(_) => Ok(None),
        Err(error) if error.kind == Kind::Corrupt => session(client, name).await,
        Err(error) => Err(error),
    }
}

/// The text of the session whose primary key is `name`, which may not be among its keys any more. `None` for what is
/// not a session.
async fn session(client: &Client, name: &str) -> Result<Option<String>> {
    let fields = match client.send("HKEYS", name, &|_| {}).await {
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
    match load(client, &key).await {
        Ok(found) => Ok(found.map(|found| found.envelope())),
        Err(error) if error.kind == Kind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes everything under the prefix.
///
/// # Errors
/// The error of the connection or of the server.
pub async fn clear(client: &Client) -> Result<()> {
    let mut walk = Walk::new(client);
    while let Some(redis_keys) = walk.next().await? {
        for reply in each(client, &redis_keys, "UNLINK", None).await {
            reply?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn special_characters_of_a_prefix_match_themselves() {
        assert_eq!(pattern("sess:"), "sess:*");
        assert_eq!(pattern("a*[b]?\\"), r"a\*\[b\]\?\\*");
        assert_eq!(pattern(""), "*");
    }
}
