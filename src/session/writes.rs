//! The writes of a record, and what the store's reply means for it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::document::Document;
use super::key::Key;
use super::patch::Patch;
use super::record::{FirstSave, Record, State};
use super::stored::{Change, Create, Expected, NamedKey, Saved, Update, Write};

impl Record {
    /// The write of a save with `change`: with all keys for a first save, otherwise with those that the store does not have.
    /// `ttl` is in ms.
    #[must_use]
    pub fn write(&self, change: Change, ttl: Option<u64>, is_first: bool) -> Rc<Write> {
        let keys = self.keys.iter().filter(|key| is_first || !key.stored);
        let keys: Vec<NamedKey> = keys.map(Key::named).collect();
        Rc::new(Write { change, keys, ttl })
    }

    /// The first save of this session. Its first key becomes the primary key.
    #[must_use]
    pub fn create(&mut self, write: Rc<Write>, sequence: u64) -> Create {
        self.primary = self
            .keys
            .first()
            .map_or_else(|| Rc::clone(&self.uuid), |key| Rc::clone(&key.name));
        Create {
            join: self.first == FirstSave::Joins,
            uuid: Rc::clone(&self.uuid),
            primary: Rc::clone(&self.primary),
            write,
            sequence,
            displaced: false,
            renamed: Vec::new(),
        }
    }

    /// A later save of this session.
    #[must_use]
    pub fn update(&self, write: Rc<Write>, sequence: u64) -> Update {
        Update {
            uuid: Rc::clone(&self.uuid),
            primary: Rc::clone(&self.primary),
            write,
            known: self.known(),
            expected: None,
            sequence,
            repeated: false,
            renamed: Vec::new(),
        }
    }

    /// A first save was in doubt, and the engine does not repeat it any more.
    pub fn mark_uncertain(&mut self) {
        if self.state == State::New {
            self.state = State::Uncertain;
        }
    }

    /// The condition of a compare-and-set: the store has what this process knows.
    #[must_use]
    pub fn expected(&self, reserve: bool) -> Expected {
        Expected {
            reserve,
            version: self.version,
            document: self.stored_document.clone(),
        }
    }

    /// The names of the keys that the store has.
    #[must_use]
    pub fn known(&self) -> Vec<Rc<str>> {
        self.keys
            .iter()
            .filter(|key| key.stored)
            .map(|key| Rc::clone(&key.name))
            .collect()
    }

    /// The store has done a save.
    pub fn saved(&mut self, write: &Write, saved: Saved) {
        let is_first = matches!(self.state, State::New | State::Uncertain);
        self.confirm(&write.change, saved.version);
        if is_first && !self.stored_document.is_same(&write.change.result) {
            // A first save writes all of the data, whatever it was made from.
            self.stored_document = write.change.result.clone();
        }
        if saved.uuid.is_none() {
            self.counted(saved.version);
        }
        self.acknowledge(write, saved);
    }

    /// The store has started the TTL of the session anew, `ttl` ms, at `since` or later; without `since` it is not known
    /// when, so that a renewal falls due at `now`.
    pub fn renewed(&mut self, ttl: Option<u64>, since: Option<Instant>, now: Instant) {
        self.renewal_due_at = ttl.and_then(|ttl| match since {
            Some(since) => since.checked_add(Duration::from_millis(ttl / 2)),
            None => Some(now),
        });
    }

    /// The store has done a compare-and-set. The data object does not have its change yet: [`Record::merge`] adds it.
    pub fn compared_and_set(&mut self, write: &Write, saved: Saved) {
        let version = saved.version;
        let overtaken = self.has_seen(version);
        let exact = version == self.newest + 1 && self.version == self.newest;
        self.acknowledge(write, saved);
        if !overtaken {
            let version = if exact { version } else { self.version };
            self.incoming = Some((write.change.result.clone(), version));
        }
    }

    /// The store has done a compare-and-set whose caller has got an error already. The record treats it as a write of
    /// another process, which the next load brings.
    pub fn compared_and_set_unheard(&mut self, write: &Write, saved: Saved) {
        self.acknowledge(write, saved);
    }

    /// Whether a reply has shown this version or a later one.
    fn has_seen(&self, version: u64) -> bool {
        version > 0 && version <= self.newest
    }

    /// The store has written this version for this process.
    pub fn counted(&mut self, version: u64) {
        // A larger step means that another process has written a version that this one does not know.
        if version == self.newest + 1 {
            match &mut self.incoming {
                Some((_, known)) if *known == self.newest => *known = version,
                None if self.version == self.newest => self.version = version,
                _ => {}
            }
        }
        self.newest = self.newest.max(version);
    }

    fn acknowledge(&mut self, write: &Write, saved: Saved) {
        self.newest = self.newest.max(saved.version);
        self.state = State::Stored;
        self.renewal_due = false;
        self.rename_keys(&saved.renamed);
        if let Some(primary) = saved.primary {
            self.primary = primary;
        }
        if let Some(uuid) = saved.uuid {
            self.uuid = uuid.into();
        }
        for written in &write.keys {
            let name = self.name_now(&written.name);
            let is_same = |key: &&mut Key| {
                key.name == name && key.resource == written.resource && key.leg == written.leg
            };
            if let Some(key) = self.keys.iter_mut().find(is_same) {
                key.stored = true;
            }
        }
    }

    /// The store has done a change: applies it to the confirmed document, unless a load has brought it already.
    pub fn confirm(&mut self, change: &Change, version: u64) {
        if self.has_seen(version) {
            return;
        }
        let is_last = self.projected.is_same(&change.result);
        self.stored_document = if self.stored_document.is_same(&change.base) {
            change.result.clone()
        } else {
            self.stored_document.apply(&change.patch)
        };
        if let Some((document, _)) = &mut self.incoming {
            *document = document.apply(&change.patch);
        } else if is_last {
            self.projected = self.stored_document.clone();
        }
    }

    /// Takes the changes of the data object, `patch`, and those of failed saves for the next save.
    pub fn take(&mut self, patch: &Patch) -> Change {
        let patch = std::mem::take(&mut self.unsaved).then(patch);
        let change = Change::new(self.projected.clone(), patch);
        self.projected = change.result.clone();
        change
    }

    /// A save of `patch` has failed: the next one writes it.
    pub fn not_saved(&mut self, patch: &Patch) {
        self.unsaved = patch.then(&self.unsaved);
    }

    /// The store has done a save of `patch` after all, which the engine had reported as failed.
    pub fn saved_after_all(&mut self, patch: &Patch) {
        self.unsaved = self.unsaved.without(patch);
    }

    /// Whether a save of an unchanged data object would write nothing, and no other save is queued or in flight.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.state == State::Stored
            && self.incoming.is_none()
            && !self.is_dirty()
            && self.projected.is_same(&self.stored_document)
    }

    /// Computes the projected document anew after a write has failed: the confirmed one, with the `changes` that are still
    /// queued.
    pub fn review<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        let after = |document: Document, change: &Change| {
            if document.is_same(&change.base) {
                change.result.clone()
            } else {
                document.apply(&change.patch)
            }
        };
        self.projected = changes.fold(self.stored_document.clone(), after);
    }
}
