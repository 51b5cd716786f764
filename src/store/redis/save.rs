//! Saves: one script each. The sequence of a save lets it be asked for again where its connection was lost, and be done
//! once.

use std::rc::Rc;

use redis::{Cmd, RedisWrite, Value};
use smallvec::SmallVec;

use super::client::Client;
use super::commands::{SAVE, joined};
use super::layout;
use crate::error::{Error, Kind, Result};
use crate::session::fields::{self, Changes};
use crate::session::{Create, Saved, Update, Write};
use crate::store::Reply;

/// What a save sends: fields to be set, then fields to be deleted, as `write()` of the scripts takes them.
pub struct Fields<'a> {
    /// The properties.
    pub changes: Changes<'a>,
    /// The keys, which go first.
    pub keys: &'a [(Rc<str>, Option<String>)],
    /// The writer, and the sequence of the save.
    pub stamp: Option<(&'a str, u64)>,
    /// The time to live, ms.
    pub ttl: Option<u64>,
}

impl Fields<'_> {
    /// Writes them as arguments of a command.
    pub fn write(&self, command: &mut Cmd) {
        let (set, removed) = (&self.changes.set, &self.changes.removed);
        let count = self.keys.len() + usize::from(self.stamp.is_some()) + 1 + set.len();
        command.arg(2 * count);
        for (name, resource) in self.keys {
            joined(command, "@", name);
            command.write_arg(resource.as_deref().unwrap_or_default().as_bytes());
        }
        if let Some((writer, sequence)) = self.stamp {
            command.write_arg(writer.as_bytes());
            command.arg(sequence);
        }
        command.write_arg(b"ttl");
        command.arg(layout::ttl_field(self.ttl.unwrap_or(0)));
        for (name, value) in set {
            joined(command, ".", name);
            command.write_arg(value.as_bytes());
        }
        for name in removed {
            joined(command, ".", name);
        }
    }
}

/// What `save.lua` is called with.
struct Save<'a> {
    uuid: &'a str,
    primary: &'a str,
    mode: &'static str,
    /// Of a first save who makes it; of an update `''`, or the version, and whether the writer reserve.
    by_or_basis: String,
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
            command.write_arg(self.by_or_basis.as_bytes());
            command.arg(self.added.len());
            self.fields.write(command);
        };
        client.script(&SAVE, self.primary, &keys, &arguments).await
    }
}

/// Stores a session for the first time. Where it is to be stored may change, so that it is looked for there if it is asked
/// for again.
pub async fn create(client: &Client, create: &mut Create) -> Result<Saved> {
    if !create.displaced {
        let reply = first(client, create).await?;
        if reply != Value::Int(-1) {
            return saved(&reply, &create.uuid);
        }
        // Another session lives there that has other keys. Its own redis_key has its uuid in the name.
        create.primary = format!("{}#{}", create.primary, create.uuid).into();
        create.displaced = true;
    }
    let reply = first(client, create).await?;
    Ok(Saved {
        primary: Some(Rc::clone(&create.primary)),
        ..saved(&reply, &create.uuid)?
    })
}

async fn first(client: &Client, create: &Create) -> Result<Value> {
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
        by_or_basis: format!("{} {}", &client.writer[1..], create.sequence),
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

/// Stores what has changed.
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
        by_or_basis: expected.unwrap_or_default(),
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
            let there = parts.into_iter().nth(1).unwrap_or(Value::Nil);
            let found = layout::resident(&update.primary, there)?;
            found.map_or_else(
                || Err(Error::gone(&update.uuid)),
                |found| Ok(Reply::Conflict(Box::new(found))),
            )
        }
        reply => saved(&reply, &update.uuid).map(Reply::Saved),
    }
}

fn saved(reply: &Value, uuid: &str) -> Result<Saved> {
    let strange =
        |reply: &Value| Error::new(Kind::Store, format!("Redis answered a save with {reply:?}"));
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
            _ => Err(strange(reply)),
        },
        _ => Err(strange(reply)),
    }
}
