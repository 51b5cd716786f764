//! One session as this process knows it: its uuid, its keys, the data that the store has confirmed, and the changes that
//! are not written yet.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::document::Document;
use super::key::Key;
use super::patch::Patch;
use super::stored::{Renamed, Stored};

/// The prefix of every uuid of a session.
pub const UUID_PREFIX: &str = "mks:session:";

/// The prefix of every key's name. After it comes the id of the key, for a dialog its Call-ID.
pub const KEY_PREFIX: &str = "mks:";

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In this process only: no save was done yet.
    New,
    /// As `New`, but a first save was in doubt and is not repeated any more: the store may have the session.
    Uncertain,
    /// In the store, as far as this process knows.
    Stored,
    /// Removed or expired. This is final.
    Removed,
    /// The engine could not load it. It may exist, so it is never created; its key can be removed.
    Unknown,
}

/// What the first save of a session does when another session has its key ([`super::Create::join`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstSave {
    /// Takes the key from the other session.
    Takes,
    /// Joins the other session: that one gets the data.
    Joins,
}

/// The uuid of a session without its prefix, as Redis has it.
#[must_use]
pub fn short_uuid(uuid: &str) -> &str {
    uuid.strip_prefix(UUID_PREFIX).unwrap_or(uuid)
}

/// Cache validity: proves a record equal to what the store has. The near cache owns it and drops it with the first
/// invalidation; a record only refers to it.
#[derive(Debug)]
pub struct Validity {
    /// When it expires.
    pub until: Instant,
    /// The near cache's count of the loads that it has answered.
    pub hits: Rc<Cell<u64>>,
    /// Whether a load has used it since the near cache last read this flag.
    pub was_used: Cell<bool>,
}

/// A record, shared by JavaScript and the operations on it.
pub type Shared = Rc<RefCell<Record>>;

/// One session as this process knows it.
#[derive(Debug, Clone)]
pub struct Record {
    /// `mks:session:` and a version 4 UUID: its identity, whatever its keys are.
    pub uuid: Rc<str>,
    /// The primary key: the name of its first key, unless another session is stored there. Empty before the first save.
    pub primary: Rc<str>,
    /// The keys that it is found by.
    pub keys: Vec<Key>,
    /// The data that the store has confirmed.
    pub stored_document: Document,
    /// The data once all queued and pending saves are done.
    pub projected: Document,
    /// The changes of saves that have failed. The data object has them; the next save writes them.
    pub unsaved: Patch,
    /// What its first save does when another session has its key.
    pub first: FirstSave,
    /// Its state.
    pub state: State,
    /// Whether it was made from a projected session, and not from a reply of the store.
    pub is_projection: bool,
    /// Of a projection, the record that it was made from, until the first save of that has decided on the uuid and the
    /// primary key.
    pub origin: Option<Shared>,
    /// The version of `stored_document`; 0 if the store does not count versions, or may have a newer document.
    pub version: u64,
    /// The highest version that the store has answered with.
    pub newest: u64,
    /// Whether the next save writes even if nothing has changed: half of the TTL is over.
    pub renewal_due: bool,
    /// When that will be so; absent without a TTL, and where the store does not say it.
    pub renewal_due_at: Option<Instant>,
    /// The keys that the store has stored under other names, in order: operations may still name the earlier ones.
    pub renamed: Vec<Renamed>,
    /// Whether keys were renamed since a caller has been told so.
    pub has_new_names: bool,
    /// The document of a load or conflict, with its version, until it is merged into the data object.
    pub incoming: Option<(Document, u64)>,
    /// Proves that the store has all of this, and that no operation on it is queued; see [`Record::is_current`].
    pub validity: Weak<Validity>,
}

thread_local! {
    /// The primary key of a session that is not stored.
    static NO_PRIMARY: Rc<str> = "".into();
}

fn named(id: Uuid) -> Rc<str> {
    let mut name = [0; UUID_PREFIX.len() + Hyphenated::LENGTH];
    let (prefix, uuid) = name.split_at_mut(UUID_PREFIX.len());
    prefix.copy_from_slice(UUID_PREFIX.as_bytes());
    id.hyphenated().encode_lower(uuid);
    // Both parts are ASCII.
    String::from_utf8_lossy(&name).into()
}

impl Record {
    /// A new session, which is in this process only.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self::with_uuid(named(id))
    }

    fn with_uuid(uuid: Rc<str>) -> Self {
        let document = Document::default();
        Self {
            uuid,
            primary: NO_PRIMARY.with(Rc::clone),
            keys: Vec::with_capacity(1),
            projected: document.clone(),
            stored_document: document,
            unsaved: Patch::default(),
            first: FirstSave::Takes,
            state: State::New,
            is_projection: false,
            origin: None,
            version: 0,
            newest: 0,
            renewal_due: false,
            renewal_due_at: None,
            renamed: Vec::new(),
            has_new_names: false,
            incoming: None,
            validity: Weak::new(),
        }
    }

    /// A session that the engine could not load.
    #[must_use]
    pub fn unknown(id: Uuid) -> Self {
        Self {
            state: State::Unknown,
            ..Self::new(id)
        }
    }

    /// A session as the store gave it.
    #[must_use]
    pub fn loaded(stored: Stored) -> Self {
        let document = stored.document.clone();
        let version = stored.version;
        let mut record = Self::with_uuid(stored.uuid.as_str().into());
        record.absorb(stored);
        record.incoming = None;
        record.projected = document.clone();
        record.stored_document = document;
        record.version = version;
        record
    }

    /// The session as a store would give it: without changes that are not confirmed.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored {
            uuid: self.uuid.to_string(),
            primary: Rc::clone(&self.primary),
            keys: self.keys.iter().map(Key::named).collect(),
            document: self.stored_document.clone(),
            version: self.version,
            renewal_due: self.renewal_due,
            renewal_due_in: None,
            renewal_due_at: self.renewal_due_at,
        }
    }

    /// The session as the store has it, without unconfirmed changes; absent if the store may have a newer version.
    #[must_use]
    pub fn as_stored(&self) -> Option<Self> {
        let incoming = self.incoming.as_ref();
        let (document, version) = incoming.map_or(
            (&self.stored_document, self.version),
            |(document, version)| (document, *version),
        );
        if version == 0 || version != self.newest {
            return None;
        }
        Some(Self {
            uuid: Rc::clone(&self.uuid),
            primary: Rc::clone(&self.primary),
            keys: self.keys.iter().filter(|key| key.stored).cloned().collect(),
            stored_document: document.clone(),
            projected: document.clone(),
            unsaved: Patch::default(),
            first: self.first,
            state: self.state,
            is_projection: false,
            origin: None,
            version,
            newest: self.newest,
            renewal_due: self.renewal_due,
            renewal_due_at: self.renewal_due_at,
            renamed: Vec::new(),
            has_new_names: false,
            incoming: None,
            validity: Weak::new(),
        })
    }

    /// The projected session: as the store will have it when all queued and pending saves are done.
    #[must_use]
    pub fn projection(of: &Shared) -> Self {
        let record = of.borrow();
        let stored = Stored {
            document: record.projected.clone(),
            ..record.stored()
        };
        Self {
            version: 0,
            newest: record.newest,
            is_projection: true,
            origin: Some(Rc::clone(of)),
            ..Self::loaded(stored)
        }
    }

    /// Takes over what the first save of the record that a projection was made from has decided: it may have stored the
    /// session elsewhere, or have joined another one.
    pub fn follow_origin(&mut self) {
        let Some(origin) = self.origin.clone() else {
            return;
        };
        let mut first = origin.borrow_mut();
        first.follow_origin();
        match first.state {
            State::New | State::Uncertain | State::Unknown => return,
            State::Stored => {
                self.uuid = Rc::clone(&first.uuid);
                self.primary = Rc::clone(&first.primary);
                self.rename_keys(&first.renamed);
            }
            State::Removed => {}
        }
        drop(first);
        self.origin = None;
    }

    /// The session has ended. A record of it that was not stored yet must not be stored any more.
    pub fn end(&mut self) {
        self.state = State::Removed;
        if let Some(origin) = self.origin.take() {
            let mut origin = origin.borrow_mut();
            if origin.state == State::New {
                origin.end();
            }
        }
    }

    /// How long it is, as far as this process knows, until half of the TTL has passed: zero when it has; then the next save
    /// writes even if nothing has changed. Nothing without a TTL, and where the session is not stored.
    pub fn renewal_in(&mut self, now: Instant) -> Option<Duration> {
        if self.state != State::Stored {
            return None;
        }
        let left = self
            .renewal_due_at
            .map(|at| at.saturating_duration_since(now));
        self.renewal_due |= left.is_some_and(|left| left.is_zero());
        if self.renewal_due {
            Some(Duration::ZERO)
        } else {
            left
        }
    }

    /// Takes over a reply of the store for this session: the keys at once, the properties when [`Record::merge`] is called.
    /// Gives whether anything is new. Ignores a version older than one that this process has seen.
    pub fn absorb(&mut self, stored: Stored) -> bool {
        if stored.version > 0 && stored.version < self.newest {
            return false;
        }
        let mut known = self.keys.iter().filter(|key| key.stored);
        let keys_changed = !stored
            .keys
            .iter()
            .all(|key| known.next().is_some_and(|known| known.is(key)))
            || known.next().is_some();
        let mine = std::mem::take(&mut self.keys);
        self.keys = stored.keys.into_iter().map(Key::of).collect();
        for key in mine.into_iter().filter(|key| !key.stored) {
            let leg = key.leg.as_deref().unwrap_or("");
            self.add_leg(&key.name, key.resource, Some(leg), Some(key.claims));
        }
        self.primary = stored.primary;
        self.state = State::Stored;
        self.newest = stored.version;
        self.renewal_due = stored.renewal_due;
        self.renewal_due_at = stored.renewal_due_at;
        self.is_projection = false;
        let is_known = stored.version > 0 && stored.version == self.version;
        let changed = !is_known && self.stored_document != stored.document;
        self.incoming = changed.then_some((stored.document, stored.version));
        if !changed {
            self.version = stored.version;
        }
        changed || keys_changed
    }

    /// Merges the document from [`Record::absorb`]. `mine`: the changes of the data object that no save has taken yet.
    /// Properties that were changed in this process keep their values. Gives the patch for the data object.
    ///
    /// # Errors
    /// When the stored document is not a JSON object. The store checks that when it reads one.
    pub fn merge(&mut self, mine: &Patch) -> Result<Patch, serde_json::Error> {
        let Some((document, version)) = self.incoming.take() else {
            return Ok(Patch::default());
        };
        self.version = version;
        let before = std::mem::replace(&mut self.stored_document, document);
        let theirs = before.patch_to(&self.stored_document)?;
        let queued = before.patch_to(&self.projected)?;
        let theirs = theirs.except(mine).except(&self.unsaved).except(&queued);
        self.projected = if self.projected.is_same(&before) {
            self.stored_document.clone()
        } else {
            self.projected.apply(&theirs)
        };
        Ok(theirs)
    }

    /// Whether a reply of the store has shown that another process has written a version which this one has not loaded.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let incoming = self.incoming.as_ref();
        incoming.map_or(self.version, |(_, version)| *version) < self.newest
    }

    /// Whether the cache validity proves the record equal to what the store has, so that a load by one of its keys is not
    /// necessary.
    #[must_use]
    pub fn is_current(&self, now: Instant) -> bool {
        let Some(validity) = self.validity.upgrade() else {
            return false;
        };
        let is_current = self.state == State::Stored
            && self.incoming.is_none()
            && self.keys.iter().all(|key| key.stored)
            && now < validity.until;
        if is_current {
            validity.hits.set(validity.hits.get() + 1);
            validity.was_used.set(true);
        }
        is_current
    }

    /// Whether the store may have the session.
    #[must_use]
    pub fn may_be_stored(&self) -> bool {
        matches!(self.state, State::Stored | State::Uncertain)
    }

    /// Whether a save would write anything even if the data object has not changed.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.unsaved.is_empty() || self.renewal_due || self.keys.iter().any(|key| !key.stored)
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
