//! The embedded default: sessions and values in this process. Each operation is done before the call returns.
//!
//! The layout is that of Redis (`docs/storage.md`): the store keeps a session under its primary key, and a pointer for each
//! further key. Beyond `max` entries it evicts the least recently used one and emits an event. Each operation first removes
//! the entries that have expired.
//!
//! A process may have millions of sessions. `data`, `text` and `keys` store a session in few bytes; `entries` has the order
//! of use and the deadlines.

mod data;
mod entries;
mod keys;
mod text;

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Instant;

use data::Data;
use entries::{Body, Entries, Session, Version};
use foldhash::HashMap;
use keys::{Key, Keys};
use uuid::Uuid;

use super::{Answers, Backend, Event, Reply, StoreOp};
use crate::error::{Error, Result};
use crate::session::{Create, Destroy, NamedKey, RemoveKey, Saved, Stored, Update, leg};
use crate::session::{Record, State, UUID_PREFIX};

/// See the module.
pub struct MemoryStore {
    max: Option<NonZeroUsize>,
    started: Instant,
    entries: Entries,
    /// By the name of a further key, the primary key of its session.
    pointers: HashMap<Rc<str>, Rc<str>>,
    events: Vec<Event>,
}

impl MemoryStore {
    /// An empty store; without `max` it evicts nothing.
    #[must_use]
    pub fn new(max: Option<NonZeroUsize>) -> Self {
        Self {
            max,
            started: Instant::now(),
            entries: Entries::new(),
            pointers: HashMap::default(),
            events: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn perform(&mut self, op: StoreOp) -> Result<Reply> {
        let now = self.now();
        self.expire(now);
        match op {
            StoreOp::Load { name } => Ok(Reply::Loaded(self.load(&name, now).map(Box::new))),
            StoreOp::Create(create) => self.create(create, now).map(Reply::Saved),
            StoreOp::Update(update) => self.update_if(update, now),
            StoreOp::RemoveKey(remove) => self.remove_key(&remove),
            StoreOp::Destroy(Destroy { uuid, primary, .. }) => {
                if self.session(&primary, &uuid).is_some() {
                    self.remove(&primary);
                }
                Ok(Reply::Removed {
                    left: 0,
                    version: 0,
                })
            }
            StoreOp::Get { name } => {
                let primary = self
                    .pointers
                    .get(name.as_str())
                    .map_or(&*name, |primary| primary);
                let entry = self.entries.get(primary);
                Ok(Reply::Text(
                    entry.map(|entry| text_of(primary, &entry.body)),
                ))
            }
            StoreOp::Set { name, text, ttl } => {
                self.remove(&name);
                self.pointers.remove(name.as_str());
                let body = Body::Value(text.as_str().into());
                self.insert(name.as_str().into(), body, ttl, now);
                Ok(Reply::Done)
            }
            StoreOp::Delete { name } => {
                self.remove(&self.primary_of(&name));
                Ok(Reply::Done)
            }
            StoreOp::Touch { name, ttl } => {
                self.entries.touch(&self.primary_of(&name), ttl, now);
                Ok(Reply::Done)
            }
            StoreOp::All => Ok(Reply::Texts(
                self.entries
                    .iter()
                    .map(|(name, body)| text_of(name, body))
                    .collect(),
            )),
            StoreOp::Ids => Ok(Reply::Texts(
                self.entries
                    .iter()
                    .map(|(name, _)| name.to_string())
                    .collect(),
            )),
            StoreOp::Length => Ok(Reply::Count(self.entries.len() as u64)),
            StoreOp::Ping => Ok(Reply::Done),
            StoreOp::Clear | StoreOp::Close => {
                self.entries.clear();
                self.pointers.clear();
                Ok(Reply::Done)
            }
        }
    }

    fn primary_of(&self, name: &str) -> Rc<str> {
        self.pointers
            .get(name)
            .map_or_else(|| name.into(), Rc::clone)
    }

    fn session(&mut self, primary: &str, uuid: &str) -> Option<(&Rc<str>, &mut Session)> {
        self.entries.session(primary, parse_uuid(uuid))
    }

    fn load(&mut self, name: &str, now: u64) -> Option<Stored> {
        let primary = self.pointers.get(name).map_or(name, |primary| primary);
        let entry = self.entries.get(primary)?;
        let Body::Session(session) = &entry.body else {
            return None;
        };
        session
            .keys
            .has(primary, name)
            .then(|| stored(primary, session, entry.renewal_due_in(now)))
    }

    /// Gives other names to the keys that claim names which dialogs of other sessions have.
    fn check_claims(&self, save: &mut impl Claims, uuid: Uuid) {
        for index in 0..save.keys().len() {
            while self.is_taken(&save.keys()[index], uuid) {
                save.rename(index);
            }
        }
    }

    /// Whether a key claims its name, and a dialog of another session than `uuid` has it.
    fn is_taken(&self, key: &NamedKey, uuid: Uuid) -> bool {
        if !key.is_claim() {
            return false;
        }
        let primary = self.pointers.get(&key.name).unwrap_or(&key.name);
        match self.entries.peek(primary) {
            Some(Body::Session(session)) => {
                session.uuid != uuid
                    && session
                        .keys
                        .keeps_name(primary, &key.name, key.leg.as_deref())
            }
            _ => false,
        }
    }

    fn create(&mut self, mut create: Create, now: u64) -> Result<Saved> {
        let uuid = parse_uuid(&create.uuid);
        self.check_claims(&mut create, uuid);
        let create = &create;
        let mut primary = Rc::clone(&create.primary);
        let is_renamed = !create.renamed.is_empty();
        let mut saved = Saved {
            version: 1,
            primary: is_renamed.then(|| Rc::clone(&primary)),
            renamed: create.renamed.clone(),
            ..Saved::default()
        };
        match self.entries.peek(&primary) {
            Some(Body::Value(_)) => return Err(Error::corrupt(&primary, "it is a plain value")),
            Some(Body::Session(resident)) if resident.uuid != uuid => {
                let has_key = resident.keys.has(&primary, &primary);
                if create.join && has_key {
                    return self.join(create, now);
                }
                if resident.keys.len() > usize::from(has_key) {
                    primary = format!("{primary}#{}", create.uuid).into();
                    saved.primary = Some((&*primary).into());
                }
            }
            _ => {}
        }
        self.remove(&primary);
        let keys = create
            .write
            .keys
            .iter()
            .map(|key| self.take_over(key, &primary))
            .collect();
        let session = Session {
            uuid,
            version: Version::FIRST,
            data: Data::new(&create.write.change.result),
            keys: Keys::new(&primary, keys),
        };
        self.insert(primary, Body::Session(session), create.write.ttl, now);
        Ok(saved)
    }

    /// Adds the data of a new session to the session that has its key.
    fn join(&mut self, create: &Create, now: u64) -> Result<Saved> {
        let Some(Body::Session(resident)) = self.entries.peek(&create.primary) else {
            return Err(Error::gone(&create.uuid));
        };
        let uuid = format!("{UUID_PREFIX}{}", resident.uuid);
        let update = Update {
            uuid: uuid.as_str().into(),
            primary: Rc::clone(&create.primary),
            write: Rc::clone(&create.write),
            known: vec![Rc::clone(&create.primary)],
            expected: None,
            sequence: 0,
            repeated: false,
            renamed: Vec::new(),
        };
        self.update(&update, now).map(|saved| Saved {
            primary: (!create.renamed.is_empty()).then(|| Rc::clone(&create.primary)),
            renamed: create.renamed.clone(),
            uuid: Some(uuid),
            ..saved
        })
    }

    fn update_if(&mut self, mut update: Update, now: u64) -> Result<Reply> {
        if let Some(expected) = &update.expected
            && let Some((primary, session)) = self.session(&update.primary, &update.uuid)
            && session.version.get() != expected.version
        {
            let newer = stored(primary, session, None);
            return Ok(Reply::Conflict(Box::new(newer)));
        }
        let uuid = parse_uuid(&update.uuid);
        self.check_claims(&mut update, uuid);
        let saved = self.update(&update, now)?;
        let renamed = update.renamed;
        Ok(Reply::Saved(Saved { renamed, ..saved }))
    }

    fn update(&mut self, update: &Update, now: u64) -> Result<Saved> {
        let Some((primary, session)) = self.session(&update.primary, &update.uuid) else {
            return Err(Error::gone(&update.uuid));
        };
        session.data.apply(&update.write.change);
        let version = session.version.raise();
        let primary = Rc::clone(primary);
        for key in &update.write.keys {
            let key = self.take_over(key, &primary);
            if let Some(session) = self.entries.peek_session(&primary) {
                session.keys.put(&primary, key);
            }
        }
        self.entries.touch(&primary, update.write.ttl, now);
        Ok(Saved {
            version,
            ..Saved::default()
        })
    }

    /// Makes a key lead to the session at `primary`. Another session that has the key loses it.
    fn take_over(&mut self, key: &NamedKey, primary: &Rc<str>) -> Key {
        let name = &key.name;
        let owner = self.primary_of(name);
        if owner != *primary {
            self.drop_key(&owner, name);
        }
        let name = if name == primary {
            self.pointers.remove(name);
            Rc::clone(primary)
        } else {
            self.pointers.insert(Rc::clone(name), Rc::clone(primary));
            Rc::clone(name)
        };
        let text = leg::joined(key.leg.as_deref(), key.resource.as_deref());
        Key {
            name,
            text: text.into(),
        }
    }

    fn drop_key(&mut self, primary: &str, name: &str) -> u64 {
        let Some(session) = self.entries.peek_session(primary) else {
            return 0;
        };
        session.keys.remove(primary, name);
        let left = session.keys.len();
        self.unpoint(name, primary);
        if left == 0 {
            self.remove(primary);
        }
        left as u64
    }

    fn remove_key(&mut self, remove: &RemoveKey) -> Result<Reply> {
        let nothing = Reply::Removed {
            left: 0,
            version: 0,
        };
        let primary = match &remove.of {
            Some((uuid, primary)) => match self.session(primary, uuid) {
                Some((primary, _)) => Rc::clone(primary),
                None => return Ok(nothing),
            },
            None => self.primary_of(&remove.name),
        };
        let left = self.drop_key(&primary, &remove.name);
        let version = if let (Some((uuid, primary)), Some(write), true) =
            (&remove.of, &remove.write, left > 0)
        {
            let update = Update {
                uuid: Rc::clone(uuid),
                primary: Rc::clone(primary),
                write: Rc::clone(write),
                known: Vec::new(),
                expected: None,
                sequence: 0,
                repeated: false,
                renamed: Vec::new(),
            };
            self.update(&update, self.now())?.version
        } else if let Some(session) = self.entries.peek_session(&primary) {
            session.version.raise()
        } else {
            0
        };
        Ok(Reply::Removed { left, version })
    }

    fn insert(&mut self, name: Rc<str>, body: Body, ttl: Option<u64>, now: u64) {
        self.entries.insert(name, body, ttl, now);
        if self.max.is_some_and(|max| self.entries.len() > max.get())
            && let Some((name, body)) = self.entries.remove_oldest()
        {
            self.forget(&name, &body);
            self.events
                .push(Event::Evict(name.to_string(), text_of(&name, &body)));
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some((name, body)) = self.entries.remove(name) {
            self.forget(&name, &body);
        }
    }

    fn expire(&mut self, now: u64) {
        while let Some((name, body)) = self.entries.remove_expired(now) {
            self.forget(&name, &body);
        }
    }

    /// Removes the pointers to an entry that was removed.
    fn forget(&mut self, primary: &str, body: &Body) {
        if let Body::Session(session) = body {
            for (name, _) in session.keys.iter(primary) {
                self.unpoint(name, primary);
            }
        }
    }

    /// Removes the pointer from a name to `primary`, if there is one.
    fn unpoint(&mut self, name: &str, primary: &str) {
        if self.pointers.get(name).is_some_and(|to| **to == *primary) {
            self.pointers.remove(name);
        }
    }
}

impl Backend for MemoryStore {
    fn is_current(&mut self, record: &Record) -> bool {
        let now = self.now();
        self.expire(now);
        let is_settled = record.state == State::Stored && record.incoming.is_none();
        let Some(entry) = self.entries.get(&record.primary).filter(|_| is_settled) else {
            return false;
        };
        let Body::Session(session) = &entry.body else {
            return false;
        };
        // A key that another session takes away does not raise the version.
        let has_keys =
            record.keys.iter().all(|key| key.stored) && record.keys.len() == session.keys.len();
        has_keys
            && session.version.get() == record.version
            && session.uuid == parse_uuid(&record.uuid)
            && !entry.is_renewal_due(now)
    }

    fn submit(&mut self, _ticket: u32, op: StoreOp) -> Option<Result<Reply>> {
        Some(self.perform(op))
    }

    fn take(&mut self) -> Answers {
        Answers {
            replies: Vec::new(),
            events: std::mem::take(&mut self.events),
        }
    }
}

/// A save whose keys may claim names.
trait Claims {
    fn keys(&self) -> &[NamedKey];
    fn rename(&mut self, index: usize);
}

impl Claims for Create {
    fn keys(&self) -> &[NamedKey] {
        &self.write.keys
    }

    fn rename(&mut self, index: usize) {
        self.rename(index);
    }
}

impl Claims for Update {
    fn keys(&self) -> &[NamedKey] {
        &self.write.keys
    }

    fn rename(&mut self, index: usize) {
        self.rename(index);
    }
}

fn parse_uuid(uuid: &str) -> Uuid {
    uuid.strip_prefix(UUID_PREFIX)
        .and_then(|uuid| Uuid::parse_str(uuid).ok())
        .unwrap_or_default()
}

/// A session as the engine gets it. `renewal_due_in`: ms, negative where the renewal is due already.
fn stored(primary: &str, session: &Session, renewal_due_in: Option<i64>) -> Stored {
    Stored {
        uuid: format!("{UUID_PREFIX}{}", session.uuid),
        primary: primary.into(),
        keys: session.keys.named(primary),
        document: session.data.document(),
        version: session.version.get(),
        renewal_due: renewal_due_in.is_some_and(|left| left < 0),
        renewal_due_in: renewal_due_in.and_then(|left| u64::try_from(left).ok()),
        renewal_due_at: None,
    }
}

fn text_of(name: &str, body: &Body) -> String {
    match body {
        Body::Value(text) => text.join(),
        Body::Session(session) => stored(name, session, None).envelope(),
    }
}

#[cfg(test)]
mod tests;
