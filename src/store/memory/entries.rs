//! The entries of the memory store by name, in the order of their last use, each until its TTL has run out.
//!
//! A save that moves a deadline to a later time does not touch the ordered set of deadlines: [`Entries::remove_expired`]
//! puts the entry at its new place when the old time has come.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::rc::Rc;

use lru::LruCache;
use uuid::Uuid;

use super::data::Data;
use super::keys::Keys;
use super::text::Text;

const NEVER: u64 = u64::MAX;

/// How often a session was written. That it is never 0 saves the 8 bytes that would tell a session from a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(NonZeroU64);

impl Version {
    /// The version of a session that was written once.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The session is written once more. Gives the number.
    pub fn raise(&mut self) -> u64 {
        self.0 = self.0.saturating_add(1);
        self.get()
    }
}

/// A stored session.
pub struct Session {
    /// Its identity.
    pub uuid: Uuid,
    /// How often it was written.
    pub version: Version,
    /// Its data.
    pub data: Data,
    /// Its keys.
    pub keys: Keys,
}

/// The content of an entry.
pub enum Body {
    /// A value, as JSON text.
    Value(Text),
    /// A session.
    Session(Session),
}

/// An entry. Times are ms since the store was made.
pub struct Entry {
    /// The content.
    pub body: Body,
    written: u64,
    expires: u64,
    /// Its time in [`Entries::deadlines`]: never later than `expires`.
    listed_at: u64,
}

impl Entry {
    /// Whether more than half of its TTL has passed.
    pub fn is_renewal_due(&self, now: u64) -> bool {
        self.renewal_due_in(now).is_some_and(|left| left < 0)
    }

    /// ms until half of its TTL has passed: negative after that; absent without a TTL.
    pub fn renewal_due_in(&self, now: u64) -> Option<i64> {
        let half = (self.expires - self.written) / 2;
        let due = self.written + half;
        (self.expires != NEVER).then(|| due.cast_signed() - now.cast_signed())
    }
}

/// See the module.
pub struct Entries {
    lru: LruCache<Rc<str>, Entry>,
    /// When to check whether an entry has expired.
    deadlines: BTreeSet<(u64, Rc<str>)>,
}

impl Entries {
    /// No entries.
    pub fn new() -> Self {
        Self {
            lru: LruCache::unbounded(),
            deadlines: BTreeSet::new(),
        }
    }

    /// The entry `name`. Counts as a use.
    pub fn get(&mut self, name: &str) -> Option<&Entry> {
        self.lru.get(name)
    }

    /// The content of the entry `name`. Does not count as a use.
    pub fn peek(&self, name: &str) -> Option<&Body> {
        self.lru.peek(name).map(|entry| &entry.body)
    }

    /// The session with the primary key `name`. Does not count as a use.
    pub fn peek_session(&mut self, name: &str) -> Option<&mut Session> {
        match &mut self.lru.peek_mut(name)?.body {
            Body::Session(session) => Some(session),
            Body::Value(_) => None,
        }
    }

    /// The session `uuid` with the primary key `name`, and that name. Counts as a use.
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

    /// Adds an entry under a name that has none. `ttl` is in ms; absent for none.
    pub fn insert(&mut self, name: Rc<str>, body: Body, ttl: Option<u64>, now: u64) {
        let expires = deadline(ttl, now);
        if expires != NEVER {
            self.deadlines.insert((expires, Rc::clone(&name)));
        }
        let entry = Entry {
            body,
            written: now,
            expires,
            listed_at: expires,
        };
        self.lru.put(name, entry);
    }

    /// Renews the TTL: `ttl` ms from `now`. Counts as a use.
    pub fn touch(&mut self, name: &str, ttl: Option<u64>, now: u64) {
        let Some((name, entry)) = self.lru.get_key_value_mut(name) else {
            return;
        };
        entry.written = now;
        entry.expires = deadline(ttl, now);
        if entry.expires < entry.listed_at {
            let at = std::mem::replace(&mut entry.listed_at, entry.expires);
            self.deadlines.remove(&(at, Rc::clone(name)));
            self.deadlines.insert((entry.expires, Rc::clone(name)));
        }
    }

    /// Removes the entry `name`.
    pub fn remove(&mut self, name: &str) -> Option<(Rc<str>, Body)> {
        let removed = self.lru.pop_entry(name)?;
        Some(self.without_deadline(removed))
    }

    /// Removes the least recently used entry.
    pub fn remove_oldest(&mut self) -> Option<(Rc<str>, Body)> {
        let removed = self.lru.pop_lru()?;
        Some(self.without_deadline(removed))
    }

    fn without_deadline(&mut self, (name, entry): (Rc<str>, Entry)) -> (Rc<str>, Body) {
        if entry.listed_at == NEVER {
            return (name, entry.body);
        }
        let deadline = (entry.listed_at, name);
        self.deadlines.remove(&deadline);
        (deadline.1, entry.body)
    }

    /// Removes one entry that has expired.
    pub fn remove_expired(&mut self, now: u64) -> Option<(Rc<str>, Body)> {
        while self.deadlines.first().is_some_and(|(at, _)| *at <= now) {
            let (_, name) = self.deadlines.pop_first()?;
            let Some(entry) = self.lru.peek_mut(&name) else {
                continue;
            };
            entry.listed_at = entry.expires;
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

    /// All entries, the most recently used first.
    pub fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Body)> {
        self.lru.iter().map(|(name, entry)| (name, &entry.body))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.lru.len()
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.lru.clear();
        self.deadlines.clear();
    }

    /// Whether there are neither entries nor deadlines.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.lru.is_empty() && self.deadlines.is_empty()
    }
}

fn deadline(ttl: Option<u64>, now: u64) -> u64 {
    ttl.map_or(NEVER, |ttl| now.saturating_add(ttl))
}
