//! The embedded default: sessions and values in this process, each operation done before the call returns.
//!
//! The layout is that of Redis (`docs/storage.md`): a session lives under the name of its first key, other keys
//! point there. Entries are in the order of their last use; beyond `max` the one used longest ago is dropped and
//! told of as an event. What has expired is removed before the next operation. A deadline that was moved is
//! only looked at again when its old time has come, so that a save doesn't cost a search.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use foldhash::HashMap;
use lru::LruCache;
use uuid::Uuid;

use super::{
    Answers, Backend, Create, Destroy, Event, Op, RemoveKey, Reply, Saved, Stored, Update,
};
use crate::error::{Error, Result};
use crate::fields;
use crate::record::UUID_PREFIX;

const NEVER: u64 = u64::MAX;

struct Session {
    uuid: Uuid,
    version: u64,
    text: Box<str>,
    keys: Vec<(Rc<str>, Option<Box<str>>)>,
}

enum Body {
    Value(Box<str>),
    Session(Session),
}

struct Entry {
    body: Body,
    written: u64,
    expires: u64,
    /// Where it stands in `deadlines`.
    looked_at: u64,
}

/// See the module.
pub struct MemoryStore {
    max: Option<NonZeroUsize>,
    started: Instant,
    entries: LruCache<Rc<str>, Entry>,
    /// Keys that are not the home of their session, and where it lives.
    pointers: HashMap<Rc<str>, Rc<str>>,
    deadlines: BTreeSet<(u64, Rc<str>)>,
    events: Vec<Event>,
}

impl MemoryStore {
    /// An empty store; without `max` nothing is ever dropped.
    #[must_use]
    pub fn new(max: Option<NonZeroUsize>) -> Self {
        Self {
            max,
            started: Instant::now(),
            entries: LruCache::unbounded(),
            pointers: HashMap::default(),
            deadlines: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER)
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
                let home = self.home_of(&name);
                let entry = self.entries.get(&home);
                Ok(Reply::Text(entry.map(|entry| text_of(&home, entry))))
            }
            Op::Set { name, text, ttl } => {
                self.remove(&name);
                self.pointers.remove(name.as_str());
                self.insert(&name.as_str().into(), Body::Value(text.into()), ttl, now);
                Ok(Reply::Done)
            }
            Op::Delete { name } => {
                self.remove(&self.home_of(&name));
                Ok(Reply::Done)
            }
            Op::Touch { name, ttl } => {
                self.touch(&self.home_of(&name), ttl, now);
                Ok(Reply::Done)
            }
            Op::All => Ok(Reply::Texts(
                self.entries
                    .iter()
                    .map(|(name, entry)| text_of(name, entry))
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
                self.deadlines.clear();
                Ok(Reply::Done)
            }
        }
    }

    fn home_of(&self, name: &str) -> Rc<str> {
        self.pointers
            .get(name)
            .map_or_else(|| name.into(), Rc::clone)
    }

    fn session(&mut self, home: &str, uuid: &str) -> Option<&mut Session> {
        match self.entries.get_mut(home) {
            Some(Entry {
                body: Body::Session(session),
                ..
            }) if is(session, uuid) => Some(session),
            _ => None,
        }
    }

    fn load(&mut self, name: &str, now: u64) -> Option<Stored> {
        let home = self.home_of(name);
        let entry = self.entries.get(&home)?;
        let Body::Session(session) = &entry.body else {
            return None;
        };
        session.keys.iter().any(|(key, _)| **key == *name).then(|| {
            let half_over = entry.expires != NEVER && now - entry.written > entry.expires - now;
            stored(&home, session, half_over)
        })
    }

    fn create(&mut self, create: &Create, now: u64) -> Result<Saved> {
        let mut home: Rc<str> = (&*create.home).into();
        let mut saved = Saved {
            version: 1,
            ..Saved::default()
        };
        match self.entries.peek_mut(&home).map(|entry| &mut entry.body) {
            Some(Body::Value(_)) => return Err(Error::corrupt(&home, "it is a plain value")),
            Some(Body::Session(resident)) if !is(resident, &create.uuid) => {
                let has_key = resident.keys.iter().any(|(key, _)| *key == home);
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
            .map(|(key, resource)| (self.claim(key, &home), boxed(resource.as_ref())))
            .collect();
        let uuid = parse_uuid(&create.uuid);
        let session = Session {
            uuid,
            version: 1,
            text: (*create.text).into(),
            keys,
        };
        self.insert(&home, Body::Session(session), create.ttl, now);
        Ok(saved)
    }

    /// Puts the data of a new session into the one that has its key already.
    fn adopt(&mut self, create: &Create, now: u64) -> Result<Saved> {
        let Some(Entry {
            body: Body::Session(resident),
            ..
        }) = self.entries.peek(&*create.home)
        else {
            return Err(Error::gone(&create.uuid));
        };
        let uuid = format!("{UUID_PREFIX}{}", resident.uuid);
        let update = Update {
            uuid: uuid.as_str().into(),
            home: Arc::clone(&create.home),
            base: fields::EMPTY.into(),
            text: Arc::clone(&create.text),
            known: vec![Arc::clone(&create.home)],
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
            && let Some(session) = self.session(&update.home, &update.uuid)
            && session.version != basis.version
        {
            let newer = stored(&update.home, session, false);
            return Ok(Reply::Conflict(Box::new(newer)));
        }
        self.update(update, now).map(Reply::Saved)
    }

    fn update(&mut self, update: &Update, now: u64) -> Result<Saved> {
        let home: Rc<str> = self
            .entries
            .get_key_value(&*update.home)
            .map_or("".into(), |(name, _)| Rc::clone(name));
        let Some(session) = self.session(&home, &update.uuid) else {
            return Err(Error::gone(&update.uuid));
        };
        if *session.text == *update.base {
            session.text = (*update.text).into();
        } else {
            let unreadable = |why| Error::corrupt(&update.home, why);
            let base = fields::split(&update.base).map_err(unreadable)?;
            let now = fields::split(&update.text).map_err(unreadable)?;
            let changes = fields::diff(&base, &now);
            session.text =
                fields::apply(&fields::split(&session.text).map_err(unreadable)?, &changes).into();
        }
        session.version += 1;
        let version = session.version;
        for (key, resource) in &update.added {
            let name = self.claim(key, &home);
            if let Some(session) = self.session(&home, &update.uuid) {
                session.keys.retain(|(known, _)| *known != name);
                session.keys.push((name, boxed(resource.as_ref())));
            }
        }
        self.touch(&home, update.ttl, now);
        Ok(Saved {
            version,
            ..Saved::default()
        })
    }

    /// Takes the key `name` from whoever has it, unless that is the session at `home`, and lets it lead there.
    fn claim(&mut self, name: &str, home: &Rc<str>) -> Rc<str> {
        let owner = self.home_of(name);
        if owner != *home {
            self.drop_key(&owner, name);
        }
        if *name == **home {
            self.pointers.remove(name);
            return Rc::clone(home);
        }
        let name: Rc<str> = name.into();
        self.pointers.insert(Rc::clone(&name), Rc::clone(home));
        name
    }

    fn drop_key(&mut self, home: &Rc<str>, name: &str) -> u64 {
        let Some(Entry {
            body: Body::Session(session),
            ..
        }) = self.entries.peek_mut(home)
        else {
            return 0;
        };
        session.keys.retain(|(key, _)| **key != *name);
        let left = session.keys.len();
        if self.pointers.get(name) == Some(home) {
            self.pointers.remove(name);
        }
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
            Some((uuid, home)) if self.session(home, uuid).is_some() => (&**home).into(),
            Some(_) => return Ok(nothing),
            None => self.home_of(&remove.name),
        };
        let left = self.drop_key(&home, &remove.name);
        let version = if let (Some((uuid, home)), Some((base, text)), true) =
            (&remove.of, &remove.data, left > 0)
        {
            let update = Update {
                uuid: Arc::clone(uuid),
                home: Arc::clone(home),
                base: Arc::clone(base),
                text: Arc::clone(text),
                known: Vec::new(),
                added: Vec::new(),
                ttl: remove.ttl,
                basis: None,
                number: 0,
                again: false,
            };
            self.update(&update, self.now())?.version
        } else if let Some(Entry {
            body: Body::Session(session),
            ..
        }) = self.entries.peek_mut(&home)
        {
            session.version += 1;
            session.version
        } else {
            0
        };
        Ok(Reply::Removed { left, version })
    }

    fn insert(&mut self, name: &Rc<str>, body: Body, ttl: Option<u64>, now: u64) {
        self.entries.put(
            Rc::clone(name),
            Entry {
                body,
                written: now,
                expires: NEVER,
                looked_at: NEVER,
            },
        );
        self.touch(name, ttl, now);
        if self.max.is_some_and(|max| self.entries.len() > max.get())
            && let Some((name, entry)) = self.entries.pop_lru()
        {
            self.events
                .push(Event::Evict(name.to_string(), text_of(&name, &entry)));
            self.forget(name, &entry);
        }
    }

    fn touch(&mut self, name: &str, ttl: Option<u64>, now: u64) {
        let Some((name, _)) = self.entries.get_key_value(name) else {
            return;
        };
        let name = Rc::clone(name);
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        entry.written = now;
        entry.expires = ttl.map_or(NEVER, |ttl| now.saturating_add(ttl));
        if entry.expires < entry.looked_at {
            self.deadlines.remove(&(entry.looked_at, Rc::clone(&name)));
            entry.looked_at = entry.expires;
            self.deadlines.insert((entry.expires, name));
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some((name, entry)) = self.entries.pop_entry(name) {
            self.forget(name, &entry);
        }
    }

    /// Lets nothing lead to an entry that was taken out.
    fn forget(&mut self, name: Rc<str>, entry: &Entry) {
        if let Body::Session(session) = &entry.body {
            for (key, _) in &session.keys {
                if self.pointers.get(key) == Some(&name) {
                    self.pointers.remove(key);
                }
            }
        }
        if entry.looked_at != NEVER {
            self.deadlines.remove(&(entry.looked_at, name));
        }
    }

    fn expire(&mut self, now: u64) {
        while self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, name)) = self.deadlines.pop_first() else {
                return;
            };
            let Some(entry) = self.entries.peek_mut(&name) else {
                continue;
            };
            entry.looked_at = entry.expires;
            match entry.expires {
                NEVER => {}
                later if later > now => {
                    self.deadlines.insert((later, name));
                }
                _ => self.remove(&name),
            }
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

fn is(session: &Session, uuid: &str) -> bool {
    session.uuid == parse_uuid(uuid)
}

fn parse_uuid(uuid: &str) -> Uuid {
    uuid.strip_prefix(UUID_PREFIX)
        .and_then(|uuid| Uuid::parse_str(uuid).ok())
        .unwrap_or_default()
}

fn boxed(text: Option<&String>) -> Option<Box<str>> {
    text.map(|text| text.as_str().into())
}

fn stored(home: &str, session: &Session, ageing: bool) -> Stored {
    Stored {
        uuid: format!("{UUID_PREFIX}{}", session.uuid),
        home: home.into(),
        keys: session
            .keys
            .iter()
            .map(|(key, resource)| ((&**key).into(), resource.as_deref().map(str::to_owned)))
            .collect(),
        text: session.text.to_string(),
        version: session.version,
        ageing,
        ages_in: None,
    }
}

fn text_of(name: &str, entry: &Entry) -> String {
    match &entry.body {
        Body::Value(text) => text.to_string(),
        Body::Session(session) => stored(name, session, false).envelope(),
    }
}

#[cfg(test)]
mod tests;
