//! Saves, with `save.lua`. Each has a sequence number, so that a save that is repeated after a lost connection is done
//! once.

use std::rc::Rc;

use redis::{Cmd, RedisWrite, Value};
use smallvec::SmallVec;

use super::arguments::Fields;
use super::client::Client;
use super::layout;
use super::scripts::SAVE;
use crate::error::{Error, Kind, Result};
use crate::session::fields::{self, Changes};
use crate::session::{Create, Saved, Update, Write};
use crate::store::backend::Reply;

/// What `save.lua` is called with.
struct Save<'a> {
    uuid: &'a str,
    primary: &'a str,
    /// `create`, `join` or `update`.
    mode: &'static str,
    /// Of a first save the field `by`. Of an update `''`, or the version that must be stored and `1` if the writer
    /// gets the write reservation when it is not, else `0`.
    by_or_expected: String,
    added: &'a [(Rc<str>, Option<String>)],
    known: &'a [Rc<str>],
    ttl: Option<u64>,
    fields: Fields<'a>,
}

impl Save<'_> {
    async fn send(&self, client: &Client) -> Result<Value> {
        let others = self.known.iter().filter(|name| {
            ***name != *self.primary && !self.added.iter().any(|(new, _)| new == *name)
        });
        let added = self.added.iter().map(|(name, _)| name);
        let keys: SmallVec<[&str; 4]> = added.chain(others).map(|name| &**name).collect();
        let arguments = |command: &mut Cmd| {
            command.write_arg(self.uuid.as_bytes());
            command.write_arg(self.mode.as_bytes());
            command.arg(self.ttl.unwrap_or(0));
            command.write_arg(self.by_or_expected.as_bytes());
            command.arg(self.added.len());
            self.fields.write(command);
        };
        client.script(&SAVE, self.primary, &keys, &arguments).await
    }
}

/// Stores a session for the first time. Where another session uses the primary key, it changes the primary key in
/// `create`, so that a repeated save finds this session.
///
/// # Errors
/// `Gone` when the session was stored before and is not there any more; `Corrupt` when the data is not a JSON object;
/// the error of the connection or of the server.
pub async fn create(client: &Client, create: &mut Create) -> Result<Saved> {
    if !create.displaced {
        let reply = save_first(client, create).await?;
        if reply != Value::Int(-1) {
            return saved(&reply, &create.uuid);
        }
        // A session with other keys is stored there. The uuid makes the primary key of this one unique.
        create.primary = format!("{}#{}", create.primary, create.uuid).into();
        create.displaced = true;
    }
    let reply = save_first(client, create).await?;
    Ok(Saved {
        primary: Some(Rc::clone(&create.primary)),
        ..saved(&reply, &create.uuid)?
    })
}

async fn save_first(client: &Client, create: &Create) -> Result<Value> {
    let unreadable = |why| Error::corrupt(&create.primary, why);
    let Write { change, keys, ttl } = &*create.write;
    let text = change.result.text();
    let changes = Changes {
        set: fields::split(&text).map_err(unreadable)?,
        removed: Vec::new(),
    };
    let joins = create.join && !create.displaced;
    let save = Save {
        uuid: &create.uuid,
        primary: &create.primary,
        mode: if joins { "join" } else { "create" },
        by_or_expected: format!("{} {}", &client.writer[1..], create.sequence),
        added: keys,
        known: &[],
        ttl: *ttl,
        fields: Fields {
            changes,
            keys,
            stamp: Some((&client.writer, create.sequence)),
            ttl: *ttl,
        },
    };
    save.send(client).await
}

/// Stores the changes of a session. Gives `Conflict`, with what is stored, where `update.expected` has another version.
///
/// # Errors
/// `Gone` when the session is not there any more; `Corrupt` when the data is not a JSON object; the error of the
/// connection or of the server.
pub async fn update(client: &Client, update: &Update) -> Result<Reply> {
    let unreadable = |why| Error::corrupt(&update.primary, why);
    let Write { change, keys, ttl } = &*update.write;
    let changes = change.patch.changes().map_err(unreadable)?;
    let expected = update.expected.as_ref();
    let expected =
        expected.map(|expected| format!("{} {}", expected.version, u8::from(expected.reserve)));
    let save = Save {
        uuid: &update.uuid,
        primary: &update.primary,
        mode: "update",
        by_or_expected: expected.unwrap_or_default(),
        added: keys,
        known: &update.known,
        ttl: *ttl,
        fields: Fields {
            changes,
            keys,
            stamp: (update.sequence > 0).then_some((&client.writer, update.sequence)),
            ttl: *ttl,
        },
    };
    match save.send(client).await? {
        Value::Array(parts) if parts.first() == Some(&Value::Int(-2)) => {
            let fields = parts.into_iter().nth(1).unwrap_or(Value::Nil);
            let found = layout::stored_session(&update.primary, fields)?;
            found.map_or_else(
                || Err(Error::gone(&update.uuid)),
                |found| Ok(Reply::Conflict(Box::new(found))),
            )
        }
        reply => saved(&reply, &update.uuid).map(Reply::Saved),
    }
}

fn saved(reply: &Value, uuid: &str) -> Result<Saved> {
    let unexpected =
        |reply: &Value| Error::new(Kind::Store, format!("save.lua replied with {reply:?}"));
    match reply {
        Value::Int(0) => Err(Error::gone(uuid)),
        Value::Int(version) => Ok(Saved {
            version: version.unsigned_abs(),
            ..Saved::default()
        }),
        Value::Array(parts) => match parts.as_slice() {
            [Value::Int(version), Value::BulkString(uuid)] => Ok(Saved {
                version: version.unsigned_abs(),
                uuid: Some(String::from_utf8_lossy(uuid).into_owned()),
                primary: None,
            }),
            _ => Err(unexpected(reply)),
        },
        _ => Err(unexpected(reply)),
    }
}
