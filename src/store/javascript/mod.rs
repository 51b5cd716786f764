//! Stores written in JavaScript, of the shape that connect and express have: `get`, `set` and `destroy`.
//!
//! Two kinds of entry go through them: `mks:<id>` holds the session's uuid, and the uuid holds
//! `{"keys":{"mks:<id>":resource,...},"session":{...}}`. An operation is a future on a local executor; where it needs
//! the store it leaves a [`Call`] for JavaScript and goes on when [`JavaScriptStore::answer`] brings what came of it.
//! JavaScript is never called from here, so a store may answer in the same turn, late, twice or never. Nothing counts
//! the writes: one that is asked for again changes what is still as it was before it.
//!
//! The engine's queues keep the operations of one process apart. Several processes on such a store are as safe
//! as the store: it has nothing that would make reading and writing one step.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use futures_executor::{LocalPool, LocalSpawner};
use futures_util::future::{AbortHandle, Abortable};
use futures_util::task::LocalSpawnExt;
use tokio::sync::oneshot;

use super::{Answers, Backend, Failed, Reply, StoreOp};
use crate::error::{Error, Kind, Result};
use crate::session::fields;
use crate::session::{Change, Document, Patch, Write};
use crate::session::{Create, RemoveKey, Saved, Stored, Update};

/// What JavaScript has to ask its store.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// To be given back with the answer.
    pub id: u32,
    /// `get`, `set` or `destroy`.
    pub method: &'static str,
    /// The entry's name.
    pub name: String,
    /// For `set`: the JSON text of the value.
    pub text: Option<String>,
    /// For `set`: the time to live asked for, ms.
    pub ttl: Option<u64>,
}

#[derive(Default)]
struct Desk {
    next: u32,
    calls: Vec<Call>,
    open: HashMap<u32, oneshot::Sender<Result<Option<String>>>>,
    replies: Vec<(u32, std::result::Result<Reply, Failed>)>,
    running: HashMap<u32, (AbortHandle, Rc<StoreOp>)>,
}

/// See the module.
pub struct JavaScriptStore {
    pool: LocalPool,
    spawner: LocalSpawner,
    desk: Rc<RefCell<Desk>>,
}

impl JavaScriptStore {
    /// A store with nothing under way.
    #[must_use]
    pub fn new() -> Self {
        let pool = LocalPool::new();
        Self {
            spawner: pool.spawner(),
            pool,
            desk: Rc::default(),
        }
    }

    /// What JavaScript has to ask now.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.desk.borrow_mut().calls)
    }

    /// What the store answered to a call: the JSON text of a value, nothing, or its error. An answer that comes twice,
    /// or after the operation was given up, is ignored.
    pub fn answer(&mut self, id: u32, answer: Result<Option<String>>) {
        let waiting = self.desk.borrow_mut().open.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
            self.pool.run_until_stalled();
        }
    }

    /// Gives up operations that the store has not answered in time.
    pub fn give_up(&mut self, tickets: &[u32]) {
        let mut desk = self.desk.borrow_mut();
        for ticket in tickets {
            if let Some((running, op)) = desk.running.remove(ticket) {
                running.abort();
                let error = Error::new(
                    Kind::Timeout,
                    "the JavaScript store did not call back in time",
                );
                desk.replies
                    .push((*ticket, Err(failed(error.maybe_done(), &op))));
            }
        }
        drop(desk);
        self.pool.run_until_stalled();
        self.desk
            .borrow_mut()
            .open
            .retain(|_, waiting| !waiting.is_closed());
    }
}

impl Default for JavaScriptStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for JavaScriptStore {
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<Result<Reply>> {
        if matches!(op, StoreOp::Close) {
            return Some(Ok(Reply::Done));
        }
        let (handle, registration) = AbortHandle::new_pair();
        let op = Rc::new(op);
        let running = (handle, Rc::clone(&op));
        self.desk.borrow_mut().running.insert(ticket, running);
        let desk = Rc::clone(&self.desk);
        let work = async move {
            let reply = perform(&desk, &op).await;
            let reply = reply.map_err(|error| failed(error, &op));
            let mut desk = desk.borrow_mut();
            if desk.running.remove(&ticket).is_some() {
                desk.replies.push((ticket, reply));
            }
        };
        let spawned = self.spawner.spawn_local(async move {
            let _ = Abortable::new(work, registration).await;
        });
        debug_assert!(spawned.is_ok(), "the pool lives as long as its spawner");
        self.pool.run_until_stalled();
        None
    }

    fn take(&mut self) -> Answers {
        Answers {
            replies: std::mem::take(&mut self.desk.borrow_mut().replies),
            events: Vec::new(),
        }
    }
}

fn failed(error: Error, op: &StoreOp) -> Failed {
    let mut op = Box::new(op.clone());
    if let StoreOp::Update(update) = &mut *op {
        update.repeated = true;
    }
    Failed { error, op }
}

async fn ask(
    desk: &RefCell<Desk>,
    method: &'static str,
    name: &str,
    text: Option<String>,
    ttl: Option<u64>,
) -> Result<Option<String>> {
    let answer = {
        let mut desk = desk.borrow_mut();
        desk.next = desk.next.wrapping_add(1);
        let id = desk.next;
        let (sender, answer) = oneshot::channel();
        desk.open.insert(id, sender);
        desk.calls.push(Call {
            id,
            method,
            name: name.to_owned(),
            text,
            ttl,
        });
        answer
    };
    answer
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Closed, "the store was closed")))
}

async fn perform(desk: &RefCell<Desk>, op: &StoreOp) -> Result<Reply> {
    match op {
        StoreOp::Load { name } => load(desk, name)
            .await
            .map(|found| Reply::Loaded(found.map(Box::new))),
        StoreOp::Create(create) => self::create(desk, create).await.map(Reply::Saved),
        StoreOp::Update(update) => self::update(desk, update).await,
        StoreOp::RemoveKey(remove) => remove_key(desk, remove)
            .await
            .map(|left| Reply::Removed { left, version: 0 }),
        StoreOp::Destroy(destroy) => {
            let found = read(desk, &destroy.uuid).await?;
            let keys = found.map_or_else(
                || destroy.known.clone(),
                |found| found.keys.into_iter().map(|key| key.0).collect(),
            );
            remove_session(desk, &destroy.uuid, keys).await?;
            Ok(Reply::Removed {
                left: 0,
                version: 0,
            })
        }
        StoreOp::Ping => ask(desk, "get", "mks:", None, None)
            .await
            .map(|_| Reply::Done),
        _ => Err(Error::new(
            Kind::Argument,
            "call the JavaScript store itself for that",
        )),
    }
}

/// The session stored under `uuid`.
async fn read(desk: &RefCell<Desk>, uuid: &str) -> Result<Option<Stored>> {
    let Some(text) = ask(desk, "get", uuid, None, None).await? else {
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
    let keys = keys
        .into_iter()
        .map(|(name, resource)| {
            let name: String = serde_json::from_str(&format!("\"{name}\"")).map_err(unreadable)?;
            Ok((
                name.into(),
                (resource != "null").then(|| resource.to_owned()),
            ))
        })
        .collect::<Result<_>>()?;
    // What has a cookie is there for a short time only (lib/javascript-store.js).
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
    }))
}

async fn uuid_of(desk: &RefCell<Desk>, name: &str) -> Result<Option<String>> {
    let Some(text) = ask(desk, "get", name, None, None).await? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|_| Error::corrupt(name, "a key holds the uuid of its session"))
}

async fn load(desk: &RefCell<Desk>, name: &str) -> Result<Option<Stored>> {
    let Some(uuid) = uuid_of(desk, name).await? else {
        return Ok(None);
    };
    Ok(read(desk, &uuid)
        .await?
        .filter(|found| found.keys.iter().any(|(key, _)| **key == *name)))
}

async fn write(desk: &RefCell<Desk>, stored: &Stored, ttl: Option<u64>) -> Result<()> {
    ask(desk, "set", &stored.uuid, Some(stored.envelope()), ttl)
        .await
        .map(|_| ())
}

async fn write_keys(
    desk: &RefCell<Desk>,
    uuid: &str,
    names: &[Rc<str>],
    ttl: Option<u64>,
) -> Result<()> {
    for name in names {
        ask(desk, "set", name, Some(fields::quoted(uuid)), ttl).await?;
    }
    Ok(())
}

/// Takes a key from the session that has it, if that is another one than `uuid`.
async fn claim(desk: &RefCell<Desk>, name: &str, uuid: &str) -> Result<()> {
    match uuid_of(desk, name).await? {
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
            remove_key(desk, &remove).await.map(|_| ())
        }
        _ => Ok(()),
    }
}

async fn create(desk: &RefCell<Desk>, create: &Create) -> Result<Saved> {
    if create.join
        && let Some(resident) = load(desk, &create.primary).await?
        && resident.uuid != *create.uuid
    {
        let Write { change, keys, ttl } = &*create.write;
        let joining = Write {
            change: Change::new(Document::default(), Patch::setting(change.result.text())),
            keys: keys.clone(),
            ttl: *ttl,
        };
        let update = Update {
            uuid: resident.uuid.as_str().into(),
            primary: resident.uuid.as_str().into(),
            write: Rc::new(joining),
            known: Vec::new(),
            expected: None,
            sequence: 0,
            repeated: false,
        };
        self::update(desk, &update).await?;
        return Ok(Saved {
            uuid: Some(resident.uuid),
            ..Saved::default()
        });
    }
    let Write { change, keys, ttl } = &*create.write;
    let names: Vec<_> = keys.iter().map(|(name, _)| Rc::clone(name)).collect();
    for name in &names {
        claim(desk, name, &create.uuid).await?;
    }
    let stored = Stored {
        uuid: create.uuid.to_string(),
        primary: Rc::clone(&create.uuid),
        keys: keys.clone(),
        document: change.result.clone(),
        version: 0,
        renewal_due: false,
        renewal_due_in: None,
    };
    // The data first: a key that leads nowhere would be an error, data that no key leads to only waits for its end.
    write(desk, &stored, *ttl).await?;
    write_keys(desk, &create.uuid, &names, *ttl).await?;
    Ok(Saved::default())
}

async fn update(desk: &RefCell<Desk>, update: &Update) -> Result<Reply> {
    let Some(mut stored) = read(desk, &update.uuid).await? else {
        return Err(Error::gone(&update.uuid));
    };
    if update
        .expected
        .as_ref()
        .is_some_and(|expected| expected.document != stored.document)
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
        .retain(|(known, _)| !keys.iter().any(|(name, _)| name == known));
    let mut names = update.known.clone();
    let renewed = ttl.is_some() || stored.renewal_due;
    names.retain(|name| renewed && stored.keys.iter().any(|(known, _)| known == name));
    names.extend(keys.iter().map(|(name, _)| Rc::clone(name)));
    for (name, _) in keys {
        claim(desk, name, &update.uuid).await?;
    }
    stored.keys.extend(keys.iter().cloned());
    write(desk, &stored, *ttl).await?;
    write_keys(desk, &update.uuid, &names, *ttl).await?;
    Ok(Reply::Saved(Saved::default()))
}

/// What is left of a change that may have been done before: the properties that are stored as they were before it. The
/// others were changed by it, or by another process since.
fn not_done(stored: &Document, change: &Change) -> std::result::Result<Patch, serde_json::Error> {
    Ok(change.patch.except(&change.base.patch_to(stored)?))
}

async fn remove_key(desk: &RefCell<Desk>, remove: &RemoveKey) -> Result<u64> {
    let uuid = match &remove.of {
        Some((uuid, _)) => Some(uuid.to_string()),
        None => uuid_of(desk, &remove.name).await?,
    };
    let Some(uuid) = uuid else { return Ok(0) };
    let Some(mut stored) = read(desk, &uuid).await? else {
        ask(desk, "destroy", &remove.name, None, None).await?;
        return Ok(0);
    };
    let before = stored.keys.len();
    stored.keys.retain(|(name, _)| *name != remove.name);
    if stored.keys.len() == before {
        return Ok(before as u64);
    }
    if stored.keys.is_empty() {
        remove_session(desk, &uuid, vec![Rc::clone(&remove.name)]).await?;
        return Ok(0);
    }
    if let Some(write) = &remove.write {
        stored.document = stored.document.apply(&write.change.patch);
    }
    write(desk, &stored, remove.ttl).await?;
    ask(desk, "destroy", &remove.name, None, None).await?;
    Ok(stored.keys.len() as u64)
}

async fn remove_session(desk: &RefCell<Desk>, uuid: &str, names: Vec<Rc<str>>) -> Result<()> {
    for name in names {
        ask(desk, "destroy", &name, None, None).await?;
    }
    ask(desk, "destroy", uuid, None, None).await.map(|_| ())
}

#[cfg(test)]
mod tests;
