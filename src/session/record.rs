//! One session as this process knows it: its uuid, its keys, and the text that was last stored or loaded. What is
//! written of it is in `writes`.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Instant;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::fields;
use super::stored::Stored;

/// What every uuid of a session begins with.
pub const UUID_PREFIX: &str = "mks:session:";

/// What the name of every key begins with; the rest is the key's id, for a dialog its Call-ID.
pub const KEY_PREFIX: &str = "mks:";

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In this process only: nothing was stored yet.
    New,
    /// As `New`, but nobody knows what became of a first save that is not tried any more.
    Uncertain,
    /// In the store, as far as this process knows.
    Stored,
    /// Removed or expired. There is no way back.
    Removed,
    /// It could not be loaded. It may exist, so it is never created; its key can be removed.
    Unknown,
}

/// What the first save of a session does where another one has its key already ([`crate::store::Create::join_existing`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Takes the key from it.
    Takes,
    /// Joins it.
    Joins,
}

/// One of the names a session is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `mks:` and the id.
    pub name: Rc<str>,
    /// The JSON text of what the application keeps with the key.
    pub resource: Option<String>,
    /// Whether the store has it like this.
    pub stored: bool,
}

/// That a session is what the store has. Whoever hears of changes has it, and lets go of it when that is not certain any
/// more; a record only refers to it.
#[derive(Debug)]
pub struct Validity {
    /// How long it holds.
    pub until: Instant,
    /// How often one was asked for, and was there.
    pub hits: Rc<Cell<u64>>,
    /// Whether this one was, since somebody has looked.
    pub was_used: Cell<bool>,
}

/// One session as this process knows it.
#[derive(Debug, Clone)]
pub struct Record {
    /// `mks:session:` and a uuid: who it is, whatever its keys are.
    pub uuid: Rc<str>,
    /// The name it is stored under: its first key's, unless another session lived there.
    pub primary: Rc<str>,
    /// The names it is found by.
    pub keys: Vec<Key>,
    /// The text last stored or loaded, as the store has confirmed it.
    pub text: Rc<str>,
    /// The text when all saves that were asked for are done: what the next difference is taken from.
    pub view: Rc<str>,
    /// The text that the data object has given or got last; another one than `view` if that has moved on since.
    pub shown: Rc<str>,
    /// What its first save does.
    pub first: First,
    /// Where it stands.
    pub state: State,
    /// Whether it was made from what is pending, and not from what the store has.
    pub ahead: bool,
    /// How often it had been written when `text` was stored; 0 where the store does not count, or it is not known that
    /// `text` is all there was.
    pub version: u64,
    /// The highest version heard of.
    pub newest: u64,
    /// Whether the next save writes even if nothing has changed: its time to live is half over.
    pub renewal_due: bool,
    /// What a load found, and its version, that are not in `text` and `version` yet: the data object has to be merged
    /// first.
    pub incoming: Option<(Rc<str>, u64)>,
    /// That all of this is what the store has, and nothing is under way; see [`Record::is_current`].
    pub validity: Weak<Validity>,
}

thread_local! {
    /// The text of a session that has nothing in it.
    static EMPTY: Rc<str> = fields::EMPTY.into();
    /// The primary of one that is not stored.
    static NOWHERE: Rc<str> = "".into();
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
    /// A session that is in this process only.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self::with_uuid(named(id))
    }

    fn with_uuid(uuid: Rc<str>) -> Self {
        let text = EMPTY.with(Rc::clone);
        Self {
            uuid,
            primary: NOWHERE.with(Rc::clone),
            keys: Vec::with_capacity(1),
            view: Rc::clone(&text),
            shown: Rc::clone(&text),
            text,
            first: First::Takes,
            state: State::New,
            ahead: false,
            version: 0,
            newest: 0,
            renewal_due: false,
            incoming: None,
            validity: Weak::new(),
        }
    }

    /// A session that could not be loaded.
    #[must_use]
    pub fn unknown(id: Uuid) -> Self {
        Self {
            state: State::Unknown,
            ..Self::new(id)
        }
    }

    /// A session as the store has it.
    #[must_use]
    pub fn loaded(stored: Stored) -> Self {
        let mut record = Self::with_uuid(stored.uuid.as_str().into());
        record.absorb(stored);
        if let Some((text, version)) = record.incoming.take() {
            record.view = Rc::clone(&text);
            record.shown = Rc::clone(&text);
            (record.text, record.version) = (text, version);
        }
        record
    }

    /// The session as a store would give it.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored {
            uuid: self.uuid.to_string(),
            primary: Rc::clone(&self.primary),
            keys: self
                .keys
                .iter()
                .map(|key| (Rc::clone(&key.name), key.resource.clone()))
                .collect(),
            text: self.text.to_string(),
            version: self.version,
            renewal_due: self.renewal_due,
            renewal_due_in: None,
        }
    }

    /// The session as it was just stored, and nothing of what has happened to it here since; nothing if that is not
    /// known for certain.
    #[must_use]
    pub fn as_stored(&self) -> Option<Self> {
        let incoming = self.incoming.as_ref();
        let (text, version) = incoming.map_or((&self.text, self.version), |(text, version)| {
            (text, *version)
        });
        if version == 0 || version != self.newest {
            return None;
        }
        Some(Self {
            uuid: Rc::clone(&self.uuid),
            primary: Rc::clone(&self.primary),
            keys: self.keys.iter().filter(|key| key.stored).cloned().collect(),
            text: Rc::clone(text),
            view: Rc::clone(text),
            shown: Rc::clone(text),
            first: self.first,
            state: self.state,
            ahead: false,
            version,
            newest: self.newest,
            renewal_due: self.renewal_due,
            incoming: None,
            validity: Weak::new(),
        })
    }

    /// The session as it will be in the store when all that was asked for is done: for somebody else to go on from.
    #[must_use]
    pub fn ahead(&self) -> Self {
        let mut stored = self.stored();
        stored.text = self.view.to_string();
        Self {
            version: 0,
            newest: self.newest,
            ahead: true,
            ..Self::loaded(stored)
        }
    }

    /// Adds a key, or gives the one there is another resource.
    pub fn add_key(&mut self, name: &str, resource: Option<String>) {
        match self.keys.iter_mut().find(|key| *key.name == *name) {
            Some(key) if key.resource == resource => {}
            Some(key) => (key.resource, key.stored) = (resource, false),
            None => self.keys.push(Key {
                name: name.into(),
                resource,
                stored: false,
            }),
        }
    }

    /// Forgets a key.
    pub fn drop_key(&mut self, name: &str) {
        self.keys.retain(|key| *key.name != *name);
    }

    /// Takes over what the store has for this session: keys at once, properties when [`Record::text`] is merged.
    /// Answers whether anything is new here. What is older than what this process knows is left alone.
    pub fn absorb(&mut self, stored: Stored) -> bool {
        if stored.version > 0 && stored.version < self.newest {
            return false;
        }
        let known = self.keys.iter().filter(|key| key.stored);
        let known = known.map(|key| (&key.name, &key.resource));
        let keys_changed = known.ne(stored.keys.iter().map(|(name, resource)| (name, resource)));
        let mine = std::mem::take(&mut self.keys);
        self.keys = stored
            .keys
            .into_iter()
            .map(|(name, resource)| Key {
                name,
                resource,
                stored: true,
            })
            .collect();
        for key in mine.into_iter().filter(|key| !key.stored) {
            self.add_key(&key.name, key.resource);
        }
        self.primary = stored.primary;
        self.state = State::Stored;
        self.newest = stored.version;
        self.renewal_due = stored.renewal_due;
        self.ahead = false;
        let changed = *self.text != *stored.text;
        self.incoming = changed.then(|| (stored.text.into(), stored.version));
        if !changed {
            self.version = stored.version;
        }
        changed || keys_changed
    }

    /// Merges what [`Record::absorb`] brought with `mine`, the text of the data object (absent while nobody has read
    /// it). Answers what has to be done to the data object, as the text of `{"set":{...},"removed":[...]}`, or
    /// nothing if there is nothing to do.
    ///
    /// # Errors
    /// When a text is not one of an object: `mine` always is, and what was absorbed was checked by its store.
    pub fn merge(&mut self, mine: Option<&str>) -> Result<Option<String>, serde_json::Error> {
        let Some((stored, version)) = self.incoming.take() else {
            return Ok(None);
        };
        self.version = version;
        let base = std::mem::replace(&mut self.text, stored);
        let Some(mine) = mine else {
            self.view = Rc::clone(&self.text);
            return Ok(None);
        };
        let (base, stored, mine) = (
            fields::split(&base)?,
            fields::split(&self.text)?,
            fields::split(mine)?,
        );
        let changes = fields::merge(&base, &stored, &mine);
        if changes.is_empty() {
            return Ok(None);
        }
        self.view = fields::apply(&fields::split(&self.view)?, &changes).into();
        let removed: Vec<String> = changes
            .removed
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        Ok(Some(format!(
            "{{\"set\":{},\"removed\":[{}]}}",
            fields::join(changes.set),
            removed.join(",")
        )))
    }

    /// Whether others have written what is not known here, as far as is known.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let incoming = self.incoming.as_ref();
        incoming.map_or(self.version, |(_, version)| *version) < self.newest
    }

    /// Whether it is certain that the store has nothing else, and has all of its keys. Whoever asks by one of those may have it.
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

    /// Whether there may be something to be loaded or removed.
    #[must_use]
    pub fn may_be_stored(&self) -> bool {
        matches!(self.state, State::Stored | State::Uncertain)
    }

    /// Whether a save of `text` (absent: nobody has read the data) would change anything.
    #[must_use]
    pub fn is_dirty(&self, text: Option<&str>) -> bool {
        let differs = text.is_some_and(|text| *text != *self.view);
        differs || self.renewal_due || self.keys.iter().any(|key| !key.stored)
    }

    /// Takes the text of the data object for a save, absent while nobody has read it: gives what it changes, from and
    /// to.
    pub fn take(&mut self, text: Option<String>) -> (Rc<str>, Rc<str>) {
        let base = Rc::clone(&self.view);
        if let Some(text) = text {
            if *text != *base {
                self.view = text.into();
            }
            self.shown = Rc::clone(&self.view);
        }
        (base, Rc::clone(&self.view))
    }

    /// The text for a data object to be made of it.
    pub fn give(&mut self) -> String {
        self.shown = Rc::clone(&self.view);
        self.view.to_string()
    }

    /// Whether a save of the text that the data object has given or got last would write nothing, and nothing is on its
    /// way.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.state == State::Stored
            && Rc::ptr_eq(&self.shown, &self.view)
            && self.incoming.is_none()
            && !self.is_dirty(None)
            && self.view == self.text
    }
}

/// `text` with the changes from `base` to `now` made to it.
pub fn patched(text: &Rc<str>, base: &Rc<str>, now: &Rc<str>) -> Rc<str> {
    if text == base {
        return Rc::clone(now);
    }
    // All three were split before; one that can't be is no reason to lose track of what was written.
    let patched = || {
        let (base, now) = (fields::split(base).ok()?, fields::split(now).ok()?);
        let changes = fields::diff(&base, &now);
        Some(fields::apply(&fields::split(text).ok()?, &changes))
    };
    patched().map_or_else(|| Rc::clone(now), Into::into)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
