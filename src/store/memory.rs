//! The embedded default: sessions and values in this process, each operation done before the call returns.
//!
//! The layout is that of Redis (`docs/storage.md`): a session lives under the name of its first key, other keys
//! point there. Beyond `max` entries the one used longest ago is dropped and told of as an event. What has expired is
//! removed before the next operation.
//!
//! There may be millions: `text` and `keys` keep what a session has in few bytes, `entries` has the order and the
//! deadlines.

mod entries;
mod keys;
mod text;

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Instant;

use entries::{Body, Entries, Session};
use foldhash::HashMap;
use keys::{Key, Keys};
use uuid::Uuid;

use super::{
    Answers, Backend, Create, Destroy, Event, Op, RemoveKey, Reply, Saved, Stored, Update,
};
use crate::error::{Error, Result};
use crate::fields;
use crate::record::UUID_PREFIX;

/// See the module.
pub struct MemoryStore {
    max: Option<NonZeroUsize>,
    started: Instant,
    entries: Entries,
    /// Keys that are not the home of their session, and where it lives.
    pointers: HashMap<Rc<str>, Rc<str>>,
    events: Vec<Event>,
}

impl MemoryStore {
    /// An empty store; without `max` nothing is ever dropped.
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

    fn perform(&mut self, op: Op) -> Result<Reply> {
        let now = self.now();
        self.expire(now);
        match op {
            Op::Load { name } => Ok(Reply::Loaded(self.load(&name, now).map(Box::new))),
            Op::Create(create) => self.create(&create, now).map(Reply::Saved),
            Op::Update(update) => self.update_if(&update, now),
            Op::RemoveKey(remove) => self.remove_key(&remove),
            Op::Destroy(Destroy { uuid, home, .. }) => {
                if self.session(&home, &uuid).is_some() {
                    self.remove(&home);
                }
                Ok(Reply::Removed {
                    left: 0,
                    version: 0,
                })
            }
            Op::Get { name } => {
                let home = self.pointers.get(name.as_str()).map_or(&*name, |home| home);
                let entry = self.entries.get(home);
                Ok(Reply::Text(entry.map(|entry| text_of(home, &entry.body))))
            }
            Op::Set { name, text, ttl } => {
                self.remove(&name);
                self.pointers.remove(name.as_str());
                let body = Body::Value(text.as_str().into());
                self.insert(name.as_str().into(), body, ttl, now);
                Ok(Reply::Done)
            }
            Op::Delete { name } => {
                self.remove(&self.home_of(&name));
                Ok(Reply::Done)
            }
            Op::Touch { name, ttl } => {
                self.entries.touch(&self.home_of(&name), ttl, now);
                Ok(Reply::Done)
            }
            Op::All => Ok(Reply::Texts(
                self.entries
                    .iter()
                    .map(|(name, body)| text_of(name, body))
                    .collect(),
            )),
            Op::Ids => Ok(Reply::Texts(
                self.entries
                    .iter()
                    .map(|(name, _)| name.to_string())
                    .collect(),
            )),
            Op::Length => Ok(Reply::Count(self.entries.len() as u64)),
            Op::Ping => Ok(Reply::Done),
            Op::Clear | Op::Close => {
                self.entries.clear();
                self.pointers.clear();
                Ok(Reply::Done)
            }
        }
    }

    fn home_of(&self, name: &str) -> Rc<str> {
        self.pointers
            .get(name)
            .map_or_else(|| name.into(), Rc::clone)
    }

    fn session(&mut self, home: &str, uuid: &str) -> Option<(&Rc<str>, &mut Session)> {
        self.entries.session(home, parse_uuid(uuid))
    }

    fn load(&mut self, name: &str, now: u64) -> Option<Stored> {
        let home = self.pointers.get(name).map_or(name, |home| home);
        let entry = self.entries.get(home)?;
        let Body::Session(session) = &entry.body else {
            return None;
        };
        session
            .keys
            .has(home, name)
            .then(|| stored(home, session, entry.is_half_over(now)))
    }

    fn create(&mut self, create: &Create, now: u64) -> Result<Saved> {
        let uuid = parse_uuid(&create.uuid);
        let mut home: Rc<str> = (&*create.home).into();
        let mut saved = Saved {
            version: 1,
            ..Saved::default()
        };
        match self.entries.peek(&home) {
            Some(Body::Value(_)) => return Err(Error::corrupt(&home, "it is a plain value")),
            Some(Body::Session(resident)) if resident.uuid != uuid => {
                let has_key = resident.keys.has(&home, &home);
                if create.adopt && has_key {
                    return self.adopt(create, now);
                }
                if resident.keys.len() > usize::from(has_key) {
                    home = format!("{home}#{}", create.uuid).into();
                    saved.home = Some((&*home).into());
                }
            }
            _ => {}
        }
        self.remove(&home);
        let keys = create
            .keys
            .iter()
            .map(|(name, resource)| self.claim(name, resource.as_ref(), &home))
            .collect();
        let session = Session {
            uuid,
            version: 1,
            text: (&*create.text).into(),
            keys: Keys::new(&home, keys),
        };
        self.insert(home, Body::Session(session), create.ttl, now);
        Ok(saved)
    }

    /// Puts the data of a new session into the one that has its key already.
    fn adopt(&mut self, create: &Create, now: u64) -> Result<Saved> {
        let Some(Body::Session(resident)) = self.entries.peek(&create.home) else {
            return Err(Error::gone(&create.uuid));
        };
        let uuid = format!("{UUID_PREFIX}{}", resident.uuid);
        let update = Update {
            uuid: uuid.as_str().into(),
            home: Rc::clone(&create.home),
            base: fields::EMPTY.into(),
            text: Rc::clone(&create.text),
            known: vec![Rc::clone(&create.home)],
            added: create.keys.clone(),
            ttl: create.ttl,
            basis: None,
            number: 0,
            again: false,
        };
        self.update(&update, now).map(|saved| Saved {
            uuid: Some(uuid),
            ..saved
        })
    }

    fn update_if(&mut self, update: &Update, now: u64) -> Result<Reply> {
        if let Some(basis) = &update.basis
            && let Some((home, session)) = self.session(&update.home, &update.uuid)
            && session.version != basis.version
        {
            let newer = stored(home, session, false);
            return Ok(Reply::Conflict(Box::new(newer)));
        }
        self.update(update, now).map(Reply::Saved)
    }

    fn update(&mut self, update: &Update, now: u64) -> Result<Saved> {
        let Some((home, session)) = self.session(&update.home, &update.uuid) else {
            return Err(Error::gone(&update.uuid));
        };
        if session.text == *update.base {
            session.text = (&*update.text).into();
        } else {
            let unreadable = |why| Error::corrupt(&update.home, why);
            let stored = session.text.join();
            let base = fields::split(&update.base).map_err(unreadable)?;
            let now = fields::split(&update.text).map_err(unreadable)?;
            let changes = fields::diff(&base, &now);
            let merged = fields::apply(&fields::split(&stored).map_err(unreadable)?, &changes);
            session.text = merged.as_str().into();
        }
        session.version += 1;
        let version = session.version;
        let home = Rc::clone(home);
        for (name, resource) in &update.added {
            let key = self.claim(name, resource.as_ref(), &home);
            if let Some(session) = self.entries.peek_session(&home) {
                session.keys.put(&home, key);
            }
        }
        self.entries.touch(&home, update.ttl, now);
        Ok(Saved {
            version,
            ..Saved::default()
        })
    }

    /// Takes a key from whoever has it, unless that is the session at `home`, and lets it lead there.
    fn claim(&mut self, name: &str, resource: Option<&String>, home: &Rc<str>) -> Key {
        let owner = self.home_of(name);
        if owner != *home {
            self.drop_key(&owner, name);
        }
        let name = if *name == **home {
            self.pointers.remove(name);
            Rc::clone(home)
        } else {
            let name: Rc<str> = name.into();
            self.pointers.insert(Rc::clone(&name), Rc::clone(home));
            name
        };
        Key {
            name,
            resource: resource.map(|text| text.as_str().into()),
        }
    }

    fn drop_key(&mut self, home: &str, name: &str) -> u64 {
        let Some(session) = self.entries.peek_session(home) else {
            return 0;
        };
        session.keys.remove(home, name);
        let left = session.keys.len();
        self.unpoint(name, home);
        if left == 0 {
            self.remove(home);
        }
        left as u64
    }

    fn remove_key(&mut self, remove: &RemoveKey) -> Result<Reply> {
        let nothing = Reply::Removed {
            left: 0,
            version: 0,
        };
        let home = match &remove.of {
            Some((uuid, home)) => match self.session(home, uuid) {
                Some((home, _)) => Rc::clone(home),
                None => return Ok(nothing),
            },
            None => self.home_of(&remove.name),
        };
        let left = self.drop_key(&home, &remove.name);
        let version = if let (Some((uuid, home)), Some((base, text)), true) =
            (&remove.of, &remove.data, left > 0)
        {
            let update = Update {
                uuid: Rc::clone(uuid),
                home: Rc::clone(home),
                base: Rc::clone(base),
                text: Rc::clone(text),
                known: Vec::new(),
                added: Vec::new(),
                ttl: remove.ttl,
                basis: None,
                number: 0,
                again: false,
            };
            self.update(&update, self.now())?.version
        } else if let Some(session) = self.entries.peek_session(&home) {
            session.version += 1;
            session.version
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

    /// Lets nothing lead to an entry that was taken out.
    fn forget(&mut self, home: &str, body: &Body) {
        if let Body::Session(session) = body {
            for (name, _) in session.keys.iter(home) {
                self.unpoint(name, home);
            }
        }
    }

    /// Lets a name not lead to `home`.
    fn unpoint(&mut self, name: &str, home: &str) {
        if self.pointers.get(name).is_some_and(|to| **to == *home) {
            self.pointers.remove(name);
        }
    }
}

impl Backend for MemoryStore {
    fn submit(&mut self, _ticket: u32, op: Op) -> Option<Result<Reply>> {
        Some(self.perform(op))
    }

    fn take(&mut self) -> Answers {
        Answers {
            replies: Vec::new(),
            events: std::mem::take(&mut self.events),
        }
    }
}

fn parse_uuid(uuid: &str) -> Uuid {
    uuid.strip_prefix(UUID_PREFIX)
        .and_then(|uuid| Uuid::parse_str(uuid).ok())
        .unwrap_or_default()
}

fn stored(home: &str, session: &Session, ageing: bool) -> Stored {
    Stored {
        uuid: format!("{UUID_PREFIX}{}", session.uuid),
        home: home.into(),
        keys: session
            .keys
            .iter(home)
            .map(|(name, resource)| (name.into(), resource.map(str::to_owned)))
            .collect(),
        text: session.text.join(),
        version: session.version,
        ageing,
        ages_in: None,
    }
}

fn text_of(name: &str, body: &Body) -> String {
    match body {
        Body::Value(text) => text.join(),
        Body::Session(session) => stored(name, session, false).envelope(),
    }
}

#[cfg(test)]
mod tests;
