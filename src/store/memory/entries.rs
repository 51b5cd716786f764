//! What is stored, by name: in the order of its last use, and until its time has come.
//!
//! A deadline that was moved is only looked at again when its old time has come, so that a save doesn't cost a search.

use std::collections::BTreeSet;
use std::rc::Rc;

use lru::LruCache;
use uuid::Uuid;

use super::keys::Keys;
use super::text::Text;

const NEVER: u64 = u64::MAX;

/// A session, as it is kept.
pub struct Session {
    /// Who it is.
    pub uuid: Uuid,
    /// How often it was written.
    pub version: u64,
    /// Its data.
    pub text: Text,
    /// What it is found by.
    pub keys: Keys,
}

/// What is kept under a name.
pub enum Body {
    /// A value.
    Value(Text),
    /// A session.
    Session(Session),
}

/// The same, and for how long. Times are ms since the store was made.
pub struct Entry {
    /// What is kept.
    pub body: Body,
    written: u64,
    expires: u64,
    /// Where it stands in the deadlines.
    looked_at: u64,
}

impl Entry {
    /// Whether more than half of its time has passed.
    pub fn is_renewal_due(&self, now: u64) -> bool {
        self.expires != NEVER && now - self.written > self.expires - now
    }
}

/// See the module.
pub struct Entries {
    lru: LruCache<Rc<str>, Entry>,
    deadlines: BTreeSet<(u64, Rc<str>)>,
}

impl Entries {
    /// Nothing.
    pub fn new() -> Self {
        Self {
            lru: LruCache::unbounded(),
            deadlines: BTreeSet::new(),
        }
    }

    /// What is kept under `name`, which is a use of it.
    pub fn get(&mut self, name: &str) -> Option<&Entry> {
        self.lru.get(name)
    }

    /// The same, which is no use of it.
    pub fn peek(&self, name: &str) -> Option<&Body> {
        self.lru.peek(name).map(|entry| &entry.body)
    }

    /// The session that lives under `name`, to be changed; no use of it.
    pub fn peek_session(&mut self, name: &str) -> Option<&mut Session> {
        match &mut self.lru.peek_mut(name)?.body {
            Body::Session(session) => Some(session),
            Body::Value(_) => None,
        }
    }

    /// The session that is `uuid` and lives under `name`, with that name; a use of it.
    pub fn session(&mut self, name: &str, uuid: Uuid) -> Option<(&Rc<str>, &mut Session)> {
        match self.lru.get_key_value_mut(name)? {
            (
                name,
                Entry {
                    body: Body::Session(session),
                    ..
                },
            ) if session.uuid == uuid => Some((name, session)),
            _ => None,
        }
    }

    /// Keeps something under a name that has nothing.
    pub fn insert(&mut self, name: Rc<str>, body: Body, ttl: Option<u64>, now: u64) {
        let expires = deadline(ttl, now);
        if expires != NEVER {
            self.deadlines.insert((expires, Rc::clone(&name)));
        }
        let entry = Entry {
            body,
            written: now,
            expires,
            looked_at: expires,
        };
        self.lru.put(name, entry);
    }

    /// Starts the time to live anew; a use.
    pub fn touch(&mut self, name: &str, ttl: Option<u64>, now: u64) {
        let Some((name, entry)) = self.lru.get_key_value_mut(name) else {
            return;
        };
        entry.written = now;
        entry.expires = deadline(ttl, now);
        if entry.expires < entry.looked_at {
            let at = std::mem::replace(&mut entry.looked_at, entry.expires);
            self.deadlines.remove(&(at, Rc::clone(name)));
            self.deadlines.insert((entry.expires, Rc::clone(name)));
        }
    }

    /// Takes out what is kept under `name`.
    pub fn remove(&mut self, name: &str) -> Option<(Rc<str>, Body)> {
        let removed = self.lru.pop_entry(name)?;
        Some(self.without_deadline(removed))
    }

    /// Takes out what was used longest ago.
    pub fn remove_oldest(&mut self) -> Option<(Rc<str>, Body)> {
        let removed = self.lru.pop_lru()?;
        Some(self.without_deadline(removed))
    }

    fn without_deadline(&mut self, (name, entry): (Rc<str>, Entry)) -> (Rc<str>, Body) {
        if entry.looked_at == NEVER {
            return (name, entry.body);
        }
        let deadline = (entry.looked_at, name);
        self.deadlines.remove(&deadline);
        (deadline.1, entry.body)
    }

    /// Takes out something whose time has come.
    pub fn remove_expired(&mut self, now: u64) -> Option<(Rc<str>, Body)> {
        while self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
            let (_, name) = self.deadlines.pop_first()?;
            let Some(entry) = self.lru.peek_mut(&name) else {
                continue;
            };
            entry.looked_at = entry.expires;
            match entry.expires {
                NEVER => {}
                later if later > now => {
                    self.deadlines.insert((later, name));
                }
                _ => {
                    return self
                        .lru
                        .pop_entry(&name)
                        .map(|(name, entry)| (name, entry.body));
                }
            }
        }
        None
    }

    /// All of it, the last used first.
    pub fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Body)> {
        self.lru.iter().map(|(name, entry)| (name, &entry.body))
    }

    /// How much there is.
    pub fn len(&self) -> usize {
        self.lru.len()
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        self.lru.clear();
        self.deadlines.clear();
    }

    /// Whether nothing is left anywhere.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.lru.is_empty() && self.deadlines.is_empty()
    }
}

fn deadline(ttl: Option<u64>, now: u64) -> u64 {
    ttl.map_or(NEVER, |ttl| now.saturating_add(ttl))
}
