//! Each store operation as calls to a JavaScript store.
//!
//! Such a store has two kinds of entry: `mks:<id>` holds the uuid of the key's session, and the uuid holds
//! `{"keys":{"mks:<id>":resource,...},"session":{...}}`, with `"legs":{"mks:<id>":leg,...}` if a key has a leg. It keeps no sequence numbers, so a repeated save compares
//! values instead.

use std::rc::Rc;

use super::calls::Calls;
use crate::error::{Error, Kind, Result};
use crate::session::fields;
use crate::session::{
    Change, Create, Document, NamedKey, Patch, RemoveKey, Saved, Stored, Update, Write,
};
use crate::store::backend::{Reply, StoreOp};

/// Does `op`.
///
/// # Errors
/// `Gone` when a session to be changed is not there any more; `Corrupt` when an entry is not of the shape above; the
/// error that the store has called back with.
pub async fn execute(calls: &Calls, op: &StoreOp) -> Result<Reply> {
    match op {
        StoreOp::Load { name } => load(calls, name)
            .await
            .map(|found| Reply::Loaded(found.map(Box::new))),
        StoreOp::Create(create) => self::create(calls, create).await.map(Reply::Saved),
        StoreOp::Update(update) => self::update(calls, update).await,
        StoreOp::RemoveKey(remove) => remove_key(calls, remove)
            .await
            .map(|left| Reply::Removed { left, version: 0 }),
        StoreOp::Destroy(destroy) => {
            let found = read(calls, &destroy.uuid).await?;
            let keys = found.map_or_else(
                || destroy.known.clone(),
                |found| found.keys.into_iter().map(|key| key.name).collect(),
            );
            remove_session(calls, &destroy.uuid, keys).await?;
            Ok(Reply::Removed {
                left: 0,
                version: 0,
            })
        }
        StoreOp::Ping => calls.get("mks:").await.map(|_| Reply::Done),
        _ => Err(Error::new(
            Kind::Argument,
            "an application must call its JavaScript store itself for values",
        )),
    }
}

/// The session in the entry `uuid`.
async fn read(calls: &Calls, uuid: &str) -> Result<Option<Stored>> {
    let Some(text) = calls.get(uuid).await? else {
        return Ok(None);
    };
    let unreadable = |why: serde_json::Error| Error::corrupt(uuid, why);
    let envelope = fields::split(&text).map_err(unreadable)?;
    let part = |wanted: &str| {
        let found = envelope
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| *value);
        found.ok_or_else(|| Error::corrupt(uuid, format_args!("it has no \"{wanted}\"")))
    };
    let text = part("session")?;
    fields::split(text).map_err(unreadable)?;
    let keys = fields::split(part("keys")?).map_err(unreadable)?;
    let legs = part("legs").map_or_else(|_| Ok(Vec::new()), fields::split);
    let legs = legs.map_err(unreadable)?;
    let keys = keys
        .into_iter()
        .map(|(written, resource)| {
            let name: String =
                serde_json::from_str(&format!("\"{written}\"")).map_err(unreadable)?;
            let leg = legs.iter().find(|(name, _)| *name == written);
            let leg = leg.map(|(_, leg)| serde_json::from_str::<String>(leg).map_err(unreadable));
            Ok(NamedKey {
                resource: (resource != "null").then(|| resource.to_owned()),
                leg: leg.transpose()?.map(Into::into),
                ..NamedKey::plain(name.into())
            })
        })
        .collect::<Result<_>>()?;
    // Only the session of a challenged request has a cookie: its TTL is short, so the next save must renew it.
    let renewal_due = part("cookie").is_ok();
    let (uuid, text) = (uuid.to_owned(), text.to_owned());
    Ok(Some(Stored {
        primary: uuid.as_str().into(),
        uuid,
        keys,
        document: text.into(),
        version: 0,
        renewal_due,
        renewal_due_in: None,
        renewal_due_at: None,
    }))
}

/// The uuid in the entry of the key `name`.
async fn uuid_of(calls: &Calls, name: &str) -> Result<Option<String>> {
    let Some(text) = calls.get(name).await? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|_| Error::corrupt(name, "the entry of a key must be the uuid of its session"))
}

async fn load(calls: &Calls, name: &str) -> Result<Option<Stored>> {
    let Some(uuid) = uuid_of(calls, name).await? else {
        return Ok(None);
    };
    Ok(read(calls, &uuid)
        .await?
        .filter(|found| found.keys.iter().any(|key| *key.name == *name)))
}

async fn write(calls: &Calls, stored: &Stored, ttl: Option<u64>) -> Result<()> {
    calls.set(&stored.uuid, stored.entry(), ttl).await
}

async fn write_keys(calls: &Calls, uuid: &str, names: &[Rc<str>], ttl: Option<u64>) -> Result<()> {
    for name in names {
        calls.set(name, fields::quoted(uuid), ttl).await?;
    }
    Ok(())
}

/// Removes the key from its session, if that is another one than `uuid`.
async fn take_over(calls: &Calls, name: &str, uuid: &str) -> Result<()> {
    match uuid_of(calls, name).await? {
        Some(other) if other != uuid => {
            let other: Rc<str> = other.into();
            let of = Some((Rc::clone(&other), other));
            let remove = RemoveKey {
                of,
                name: name.into(),
                write: None,
                ttl: None,
                sequence: 0,
            };
            remove_key(calls, &remove).await.map(|_| ())
        }
        _ => Ok(()),
    }
}

async fn create(calls: &Calls, create: &Create) -> Result<Saved> {
    if create.join
        && let Some(existing) = load(calls, &create.primary).await?
        && existing.uuid != *create.uuid
    {
        let Write { change, keys, ttl } = &*create.write;
        let joining = Write {
            change: Change::new(Document::default(), Patch::setting(change.result.text())),
            keys: keys.clone(),
            ttl: *ttl,
        };
        let update = Update {
            uuid: existing.uuid.as_str().into(),
            primary: existing.uuid.as_str().into(),
            write: Rc::new(joining),
            known: Vec::new(),
            expected: None,
            sequence: 0,
            repeated: false,
            renamed: Vec::new(),
        };
        self::update(calls, &update).await?;
        return Ok(Saved {
            uuid: Some(existing.uuid),
            ..Saved::default()
        });
    }
    let Write { change, keys, ttl } = &*create.write;
    let names: Vec<_> = keys.iter().map(|key| Rc::clone(&key.name)).collect();
    for name in &names {
        take_over(calls, name, &create.uuid).await?;
    }
    let stored = Stored {
        uuid: create.uuid.to_string(),
        primary: Rc::clone(&create.uuid),
        keys: keys.clone(),
        document: change.result.clone(),
        version: 0,
        renewal_due: false,
        renewal_due_in: None,
        renewal_due_at: None,
    };
    // The data first: if the process ends in between, data that no key leads to expires unseen, but a key without data
    // would lead nowhere.
    write(calls, &stored, *ttl).await?;
    write_keys(calls, &create.uuid, &names, *ttl).await?;
    Ok(Saved::default())
}

async fn update(calls: &Calls, update: &Update) -> Result<Reply> {
    let Some(mut stored) = read(calls, &update.uuid).await? else {
        return Err(Error::gone(&update.uuid));
    };
    if update
        .expected
        .as_ref()
        .is_some_and(|expected| differ(&expected.document, &stored.document))
    {
        return Ok(Reply::Conflict(Box::new(stored)));
    }
    let Write { change, keys, ttl } = &*update.write;
    let patch = if update.repeated {
        not_done(&stored.document, change).map_err(|why| Error::corrupt(&update.uuid, why))?
    } else {
        change.patch.clone()
    };
    stored.document = stored.document.apply(&patch);
    stored
        .keys
        .retain(|known| !keys.iter().any(|key| key.name == known.name));
    let mut names = update.known.clone();
    let renewed = ttl.is_some() || stored.renewal_due;
    names.retain(|name| renewed && stored.keys.iter().any(|known| known.name == *name));
    names.extend(keys.iter().map(|key| Rc::clone(&key.name)));
    for key in keys {
        take_over(calls, &key.name, &update.uuid).await?;
    }
    stored.keys.extend(keys.iter().cloned());
    write(calls, &stored, *ttl).await?;
    write_keys(calls, &update.uuid, &names, *ttl).await?;
    Ok(Reply::Saved(Saved::default()))
}

/// Whether two documents have other properties: a store may have put them in another order.
fn differ(one: &Document, other: &Document) -> bool {
    one.patch_to(other).is_ok_and(|patch| !patch.is_empty())
}

/// What a repeated save changes: the properties that have their value from before the save. Others were changed by its
/// first attempt, or by a newer write.
fn not_done(stored: &Document, change: &Change) -> std::result::Result<Patch, serde_json::Error> {
    Ok(change.patch.except(&change.base.patch_to(stored)?))
}

async fn remove_key(calls: &Calls, remove: &RemoveKey) -> Result<u64> {
    let uuid = match &remove.of {
        Some((uuid, _)) => Some(uuid.to_string()),
        None => uuid_of(calls, &remove.name).await?,
    };
    let Some(uuid) = uuid else { return Ok(0) };
    let Some(mut stored) = read(calls, &uuid).await? else {
        unpoint(calls, &remove.name, &uuid).await?;
        return Ok(0);
    };
    let before = stored.keys.len();
    stored.keys.retain(|key| key.name != remove.name);
    let had_key = stored.keys.len() < before;
    if had_key && stored.keys.is_empty() {
        remove_session(calls, &uuid, vec![Rc::clone(&remove.name)]).await?;
        return Ok(0);
    }
    if let Some(write) = &remove.write {
        stored.document = stored.document.apply(&write.change.patch);
    }
    if had_key || remove.write.is_some() {
        write(calls, &stored, remove.ttl).await?;
    }
    if had_key {
        unpoint(calls, &remove.name, &uuid).await?;
    }
    Ok(stored.keys.len() as u64)
}

async fn remove_session(calls: &Calls, uuid: &str, names: Vec<Rc<str>>) -> Result<()> {
    for name in names {
        unpoint(calls, &name, uuid).await?;
    }
    calls.destroy(uuid).await
}

/// Removes the entry of a key, unless the key leads to another session: that one has taken it.
async fn unpoint(calls: &Calls, name: &str, uuid: &str) -> Result<()> {
    match uuid_of(calls, name).await? {
        Some(owner) if owner == uuid => calls.destroy(name).await,
        _ => Ok(()),
    }
}
