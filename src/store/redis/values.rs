//! Plain values, by name; where a session has that name, the same for the session.

use std::rc::Rc;

use redis::{Cmd, RedisWrite, Value};

use super::client::Client;
use super::errors::checked;
use super::load::load;
use super::remove::destroy;
use super::save::update;
use crate::error::{Error, Kind, Result};
use crate::session::fields;
use crate::session::{Change, Destroy, Patch, Update, Write};

/// The JSON text stored under `name`; for a session `{"keys":{"mks:<id>":resource,...},"session":{...}}`.
///
/// # Errors
/// `Corrupt` when it is not JSON text, or neither a value nor a session; the error of the connection or of the server.
pub async fn get(client: &Client, name: &str) -> Result<Option<String>> {
    match client.send("GET", name, &|_| {}).await {
        Ok(Value::BulkString(text)) => String::from_utf8(text)
            .ok()
            .filter(|text| fields::check(text).is_ok())
            .map(Some)
            .ok_or_else(|| Error::corrupt(name, "it is not JSON text")),
        Ok(_) => Ok(None),
        // Another type of value: a session or a pointer, if it is a hash.
        Err(error) if error.kind == Kind::Corrupt => {
            Ok(load(client, name).await?.map(|found| found.envelope()))
        }
        Err(error) => Err(error),
    }
}

/// Stores a value under `name`: the JSON text `text`, with a TTL in ms or none. The command is not repeated: another
/// client's `SET` may have come in between.
///
/// # Errors
/// The error of the connection or of the server.
pub async fn set(client: &Client, name: &str, text: &str, ttl: Option<u64>) -> Result<()> {
    let arguments = |command: &mut Cmd| {
        command.write_arg(text.as_bytes());
        if let Some(ttl) = ttl {
            command.arg("PX").arg(ttl);
        }
    };
    let reply = client.once("SET", name, &arguments).await?;
    checked(name, reply).map(|_| ())
}

/// Starts the TTL of a session with all of its keys, or of a value, anew. `ttl` is in ms; without it there is no end.
///
/// # Errors
/// The error of the connection or of the server.
pub async fn touch(client: &Client, name: &str, ttl: Option<u64>) -> Result<()> {
    match load(client, name).await {
        Ok(Some(found)) => {
            let unchanged = Write {
                change: Change::new(found.document, Patch::default()),
                keys: Vec::new(),
                ttl,
            };
            let mut unchanged = Update {
                uuid: found.uuid.into(),
                primary: found.primary,
                write: Rc::new(unchanged),
                known: found.keys.into_iter().map(|key| key.name).collect(),
                expected: None,
                sequence: 0,
                repeated: false,
                renamed: Vec::new(),
            };
            update(client, &mut unchanged).await.map(|_| ())
        }
        Err(error) if error.kind != Kind::Corrupt => Err(error),
        _ => {
            let verb = if ttl.is_some() { "PEXPIRE" } else { "PERSIST" };
            let more = |command: &mut Cmd| {
                command.arg(ttl);
            };
            client.send(verb, name, &more).await.map(|_| ())
        }
    }
}

/// Removes a session with all of its keys, or a value.
///
/// # Errors
/// The error of the connection or of the server.
pub async fn delete(client: &Client, name: &str) -> Result<()> {
    match load(client, name).await {
        Ok(Some(found)) => {
            let session = Destroy {
                uuid: found.uuid.into(),
                primary: found.primary,
                known: found.keys.into_iter().map(|key| key.name).collect(),
            };
            destroy(client, &session).await
        }
        Err(error) if error.kind != Kind::Corrupt => Err(error),
        _ => client.send("UNLINK", name, &|_| {}).await.map(|_| ()),
    }
}
