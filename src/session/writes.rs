//! What is written of a session, and what the store has done of it.

use std::rc::Rc;

use super::record::{First, Key, Record, State, patched};
use super::stored::{Basis, Create, Saved, Update};

/// What a save is writing.
#[derive(Debug)]
pub struct Written {
    /// The data before the changes.
    pub base: Rc<str>,
    /// The data with them.
    pub text: Rc<str>,
    /// The keys that go along, with their resources.
    pub keys: Vec<(Rc<str>, Option<String>)>,
    /// The time to live, ms.
    pub ttl: Option<u64>,
}

impl Record {
    /// The first save of this session.
    #[must_use]
    pub fn create(&mut self, text: &Rc<str>, ttl: Option<u64>, sequence: u64) -> Create {
        self.primary = self
            .keys
            .first()
            .map_or_else(|| Rc::clone(&self.uuid), |key| Rc::clone(&key.name));
        Create {
            join_existing: self.first == First::Joins,
            uuid: Rc::clone(&self.uuid),
            primary: Rc::clone(&self.primary),
            text: Rc::clone(text),
            keys: self
                .keys
                .iter()
                .map(|key| (Rc::clone(&key.name), key.resource.clone()))
                .collect(),
            ttl,
            sequence,
            displaced: false,
        }
    }

    /// A later save of this session: the changes from `base` to `text`.
    #[must_use]
    pub fn update(
        &self,
        base: &Rc<str>,
        text: &Rc<str>,
        ttl: Option<u64>,
        sequence: u64,
    ) -> Update {
        Update {
            uuid: Rc::clone(&self.uuid),
            primary: Rc::clone(&self.primary),
            base: Rc::clone(base),
            text: Rc::clone(text),
            known: self.known(),
            added: self
                .keys
                .iter()
                .filter(|key| !key.stored)
                .map(|key| (Rc::clone(&key.name), key.resource.clone()))
                .collect(),
            ttl,
            basis: None,
            sequence,
            again: false,
        }
    }

    /// It is not known what became of a save, and it is not tried any more.
    pub fn doubt(&mut self) {
        if self.state == State::New {
            self.state = State::Uncertain;
        }
    }

    /// What the store has as far as this process knows, for a write that is to be done only then. One that `reserve` gets
    /// its turn.
    #[must_use]
    pub fn basis(&self, reserve: bool) -> Basis {
        Basis {
            reserve,
            version: self.version,
            text: Rc::clone(&self.text),
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

    /// The store has done what was written.
    pub fn saved(&mut self, written: &Written, saved: Saved) {
        self.confirm(written, saved.version);
        if saved.uuid.is_none() {
            self.counted(saved.version);
        }
        self.acknowledge(written, saved);
    }

    /// The store has what was written, which is not in the data object yet: [`Record::merge`] brings it there.
    pub fn compared_and_set(&mut self, written: &Written, saved: Saved) {
        let version = saved.version;
        let overtaken = self.has_seen(version);
        let exact = version == self.newest + 1 && self.version == self.newest;
        self.acknowledge(written, saved);
        if !overtaken {
            let version = if exact { version } else { self.version };
            self.incoming = Some((Rc::clone(&written.text), version));
        }
    }

    /// The store has what was written, and nobody is there any more to bring it into the data object: here it is as if
    /// somebody else had written it, and comes with the next load.
    pub fn compared_and_set_unheard(&mut self, written: &Written, saved: Saved) {
        self.acknowledge(written, saved);
    }

    /// Whether a load has brought what is stored with this version, or later.
    fn has_seen(&self, version: u64) -> bool {
        version > 0 && version <= self.newest
    }

    /// The store has written this version for us.
    pub fn counted(&mut self, version: u64) {
        // More than one further means that somebody else has written what is not in `text`.
        if version == self.newest + 1 {
            match &mut self.incoming {
                Some((_, known)) if *known == self.newest => *known = version,
                None if self.version == self.newest => self.version = version,
                _ => {}
            }
        }
        self.newest = self.newest.max(version);
    }

    fn acknowledge(&mut self, written: &Written, saved: Saved) {
        self.newest = self.newest.max(saved.version);
        self.state = State::Stored;
        self.renewal_due = false;
        if let Some(primary) = saved.primary {
            self.primary = primary;
        }
        if let Some(uuid) = saved.uuid {
            self.uuid = uuid.into();
        }
        for (name, resource) in &written.keys {
            let known = |key: &&mut Key| key.name == *name && key.resource == *resource;
            if let Some(key) = self.keys.iter_mut().find(known) {
                key.stored = true;
            }
        }
    }

    /// The store has the changes that were written, on top of what a load has brought meanwhile, unless that had them
    /// already.
    pub fn confirm(&mut self, written: &Written, version: u64) {
        if self.has_seen(version) {
            return;
        }
        self.text = patched(&self.text, &written.base, &written.text);
        if let Some((text, _)) = &mut self.incoming {
            *text = patched(text, &written.base, &written.text);
        }
    }

    /// Something was not done: what the store will have is what it has confirmed, with what still waits to be saved,
    /// each from its text before the changes to that with them. The rest goes with the next save.
    pub fn review<'a>(&mut self, waiting: impl Iterator<Item = (&'a Rc<str>, &'a Rc<str>)>) {
        self.view = Rc::clone(&self.text);
        for (base, text) in waiting.filter(|(base, text)| base != text) {
            self.view = patched(&self.view, base, text);
        }
    }
}
