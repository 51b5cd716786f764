//! Saves, with `save.lua`. Each has a sequence number, so that a save that is repeated after a lost connection is done
//! once.

use std::fmt::Write as _;
use std::rc::Rc;

use redis::{Cmd, RedisWrite, Value};
use smallvec::SmallVec;

use super::arguments::Fields;
use super::client::Client;
use super::layout;
use super::scripts::SAVE;
use crate::error::{Error, Kind, Result};
use crate::session::fields::{self, Changes};
use crate::session::{Create, NamedKey, Saved, UUID_PREFIX, Update, Write, leg, short_uuid};
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
    added: &'a [NamedKey],
    known: &'a [Rc<str>],
    ttl: Option<u64>,
    fields: Fields<'a>,
}

impl Save<'_> {
    async fn send(&self, client: &Client) -> Result<Value> {
        let others = self.known.iter().filter(|name| {
            ***name != *self.primary && !self.added.iter().any(|new| new.name == **name)
        });
        let added = self.added.iter().map(|key| &key.name);
        let keys: SmallVec<[&str; 4]> = added.chain(others).map(|name| &**name).collect();
        let arguments = |command: &mut Cmd| {
            command.write_arg(short_uuid(self.uuid).as_bytes());
            self.mode(command);
            command.arg(self.ttl.unwrap_or(0));
            command.write_arg(self.by_or_expected.as_bytes());
            command.arg(self.added.len());
            self.fields.write(command);
        };
        client.script(&SAVE, self.primary, &keys, &arguments).await
    }

    /// Adds the mode, and the numbers of the added keys that have a tag and do not claim their names: the rest do, which
    /// takes no bytes.
    fn mode(&self, command: &mut Cmd) {
        let takes = |key: &NamedKey| !key.claims && leg::has_tag(key.leg.as_deref());
        if !self.added.iter().any(takes) {
            return command.write_arg(self.mode.as_bytes());
        }
        let mut mode = self.mode.to_owned();
        for (at, _) in (1..).zip(self.added).filter(|(_, key)| takes(key)) {
            // Writing to a string does not fail.
            let _ = write!(mode, " {at}");
        }
        command.write_arg(mode.as_bytes());
    }
}

/// Stores a session for the first time. Where another session uses the primary key, or a dialog has a name that it claims,
/// it changes the primary key and the name in `create`, so that a repeated save finds this session.
///
/// # Errors
/// `Gone` when the session was stored before and is not there any more; `Corrupt` when the data is not a JSON object;
/// the error of the connection or of the server.
pub async fn create(client: &Client, create: &mut Create) -> Result<Saved> {
    loop {
        let reply = save_first(client, create).await?;
        if let Some(taken) = taken(&reply) {
            taken.for_each(|index| create.rename(index));
        } else if reply == Value::Int(-1) && !create.displaced {
            // A session with other keys is stored there. The uuid makes the primary key of this one unique.
            create.primary = format!("{}#{}", create.primary, create.uuid).into();
            create.displaced = true;
        } else {
            let is_elsewhere = create.displaced || !create.renamed.is_empty();
            return Ok(Saved {
                primary: is_elsewhere.then(|| Rc::clone(&create.primary)),
                renamed: create.renamed.clone(),
                ..saved(&reply, &create.uuid)?
            });
        }
    }
}

/// The indices of the added keys whose names other dialogs have, if that is the reply.
fn taken(reply: &Value) -> Option<impl Iterator<Item = usize>> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let (first, taken) = parts.split_first()?;
    let index = |number: &Value| match number {
        Value::Int(number) => usize::try_from(number - 1).ok(),
        _ => None,
    };
    (*first == Value::Int(-3)).then(|| taken.iter().filter_map(index))
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
/// Where a dialog has a name that the save claims, it changes the name in `update`.
///
/// # Errors
/// `Gone` when the session is not there any more; `Corrupt` when the data is not a JSON object; the error of the
/// connection or of the server.
pub async fn update(client: &Client, update: &mut Update) -> Result<Reply> {
    let reply = loop {
        let reply = save_changes(client, update).await?;
        let Some(taken) = taken(&reply) else {
            break reply;
        };
        taken.for_each(|index| update.rename(index));
    };
    match reply {
        Value::Array(parts) if parts.first() == Some(&Value::Int(-2)) => {
            let fields = parts.into_iter().nth(1).unwrap_or(Value::Nil);
            let found = layout::stored_session(&update.primary, fields)?;
            found.map_or_else(
                || Err(Error::gone(&update.uuid)),
                |found| Ok(Reply::Conflict(Box::new(found))),
            )
        }
        reply => Ok(Reply::Saved(Saved {
            renamed: update.renamed.clone(),
            ..saved(&reply, &update.uuid)?
        })),
    }
}

async fn save_changes(client: &Client, update: &Update) -> Result<Value> {
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
    save.send(client).await
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
                uuid: Some([UUID_PREFIX, &String::from_utf8_lossy(uuid)].concat()),
                ..Saved::default()
            }),
            _ => Err(unexpected(reply)),
        },
        _ => Err(unexpected(reply)),
    }
}
