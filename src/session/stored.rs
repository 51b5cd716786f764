//! The writes that a store gets for a session, and the session that it gives.

use std::rc::Rc;
use std::time::Instant;

use super::document::Document;
use super::fields::quoted;
use super::leg;
use super::patch::Patch;

/// A key as a store gets and gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedKey {
    /// Its name.
    pub name: Rc<str>,
    /// The JSON text of the resource.
    pub resource: Option<String>,
    /// The leg descriptor ([`super::leg`]).
    pub leg: Option<Rc<str>>,
    /// Of a key that is written: it begins a dialog, and must not take the name from another one.
    pub claims: bool,
}

impl NamedKey {
    /// A key without a resource and a leg.
    #[must_use]
    pub fn plain(name: Rc<str>) -> Self {
        Self {
            name,
            resource: None,
            leg: None,
            claims: false,
        }
    }

    /// Whether the store must check that the name is free: a key without a tag has no other name.
    #[must_use]
    pub fn is_claim(&self) -> bool {
        self.claims && leg::has_tag(self.leg.as_deref())
    }
}

/// A key that a store has stored under another name, because a dialog of another session has its own
/// ([`NamedKey::claims`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The name that the write had for the key.
    pub from: Rc<str>,
    /// The name that it has now.
    pub to: Rc<str>,
}

/// A change of a session's data, from one document to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The data before the change.
    pub base: Document,
    /// The change.
    pub patch: Patch,
    /// The data after it.
    pub result: Document,
}

impl Change {
    /// The change that applies `patch` to `base`.
    #[must_use]
    pub fn new(base: Document, patch: Patch) -> Self {
        let result = base.apply(&patch);
        Self {
            base,
            patch,
            result,
        }
    }

    /// The bytes of its texts.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.base.len() + self.patch.len()
    }

    /// Adds a change that comes after this one.
    pub fn append(&mut self, later: &Self) {
        self.patch = self.patch.then(&later.patch);
        self.result = later.result.clone();
    }

    /// Adds a change that came before this one.
    pub fn prepend(&mut self, earlier: &Self) {
        let is_next = self.base.is_same(&earlier.result);
        self.base = earlier.base.clone();
        self.patch = earlier.patch.then(&self.patch);
        if !is_next {
            self.result = self.base.apply(&self.patch);
        }
    }

    /// Removes an earlier change that this one repeats, because the store has done it after all.
    pub fn subtract(&mut self, done: &Patch) {
        self.base = self.base.apply(done);
        self.patch = self.patch.without(done);
        self.result = self.base.apply(&self.patch);
    }
}

/// What a save or a removal writes of a session. The store gets it; the engine updates the record from it when the store
/// has done it.
#[derive(Debug, PartialEq, Eq)]
pub struct Write {
    /// The data.
    pub change: Change,
    /// The keys that are new, or have another resource.
    pub keys: Vec<NamedKey>,
    /// The TTL, ms from the write on; absent for none.
    pub ttl: Option<u64>,
}

impl Write {
    /// The same, with the next name for the key at `index`, of the session `uuid`, and that name; after the last resort
    /// the key does not claim any more.
    #[must_use]
    fn with_alternative(&self, index: usize, uuid: &str) -> (Self, Option<Renamed>) {
        let mut keys = self.keys.clone();
        let mut renamed = None;
        if let Some(key) = keys.get_mut(index) {
            let next = leg::alternative(&key.name, key.leg.as_deref(), uuid);
            key.claims = next.is_some();
            renamed = next.map(|to| {
                let from = std::mem::replace(&mut key.name, Rc::clone(&to));
                Renamed { from, to }
            });
        }
        let write = Self {
            change: self.change.clone(),
            keys,
            ttl: self.ttl,
        };
        (write, renamed)
    }
}

/// The first save of a session: all of its data (the result of [`Write::change`]) and all of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its identity.
    pub uuid: Rc<str>,
    /// Its primary key.
    pub primary: Rc<str>,
    /// What is written.
    pub write: Rc<Write>,
    /// Whether a session that has the primary key already gets the data. Otherwise it loses that key: a new dialog has begun
    /// with the same Call-ID.
    pub join: bool,
    /// The sequence number of the write.
    pub sequence: u64,
    /// Whether `primary` is not its first key, because another session is stored there.
    pub displaced: bool,
    /// The keys that have got another name since the operation was asked for.
    pub renamed: Vec<Renamed>,
}

impl Create {
    /// The key at `index` is that of another dialog: takes the next name for it.
    pub fn rename(&mut self, index: usize) {
        let (write, renamed) = self.write.with_alternative(index, &self.uuid);
        self.write = Rc::new(write);
        if let Some(renamed) = renamed {
            if renamed.from == self.primary {
                self.primary = Rc::clone(&renamed.to);
            }
            self.renamed.push(renamed);
        }
    }
}

/// A later save of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The session's identity.
    pub uuid: Rc<str>,
    /// Its primary key.
    pub primary: Rc<str>,
    /// What is written.
    pub write: Rc<Write>,
    /// The names of the keys that the store has.
    pub known: Vec<Rc<str>>,
    /// The condition of a compare-and-set: if the store has something else, it does not write, and answers with a conflict.
    pub expected: Option<Box<Expected>>,
    /// The sequence number of the write; 0 for none.
    pub sequence: u64,
    /// Whether it repeats an in-doubt write, for a store that keeps no sequence numbers.
    pub repeated: bool,
    /// The keys that have got another name since the operation was asked for.
    pub renamed: Vec<Renamed>,
}

impl Update {
    /// The key at `index` is that of another dialog: takes the next name for it.
    pub fn rename(&mut self, index: usize) {
        let (write, renamed) = self.write.with_alternative(index, &self.uuid);
        self.write = Rc::new(write);
        self.renamed.extend(renamed);
    }
}

/// The stored session as this process knows it: the condition of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The version; 0 if the store does not count versions.
    pub version: u64,
    /// The data.
    pub document: Document,
    /// Whether the writer asks for a write reservation if it loses: it has lost often.
    pub reserve: bool,
}

/// The removal of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveKey {
    /// The identity of the session and its primary key; absent if the engine could not load it: then the store removes the
    /// key from the session that has it.
    pub of: Option<(Rc<str>, Rc<str>)>,
    /// The key's name.
    pub name: Rc<str>,
    /// What is written if the session has keys left.
    pub write: Option<Rc<Write>>,
    /// The TTL of the session if it has keys left, ms.
    pub ttl: Option<u64>,
    /// The sequence number of the write; 0 if the session is not known.
    pub sequence: u64,
}

/// The removal of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroy {
    /// Its identity.
    pub uuid: Rc<str>,
    /// Its primary key.
    pub primary: Rc<str>,
    /// The names of the keys that this process knows.
    pub known: Vec<Rc<str>>,
}

/// A session as a store gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its identity.
    pub uuid: String,
    /// Its primary key.
    pub primary: Rc<str>,
    /// Its keys.
    pub keys: Vec<NamedKey>,
    /// Its data.
    pub document: Document,
    /// The version: how often it was written; 0 if the store does not count versions.
    pub version: u64,
    /// Whether more than half of its TTL has passed, so that the next save must renew it.
    pub renewal_due: bool,
    /// ms until then; absent if the store does not say it, or the session has no TTL.
    pub renewal_due_in: Option<u64>,
    /// When that will be; the engine computes it when it gets the reply.
    pub renewal_due_at: Option<Instant>,
}

/// The reply of a store to a save.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The version written; 0 if the store does not count versions.
    pub version: u64,
    /// The primary key, if it is another one than the write named.
    pub primary: Option<Rc<str>>,
    /// The identity of the session that got the data, if the save joined one ([`Create::join`]).
    pub uuid: Option<String>,
    /// The keys that are stored under another name than the one that the record had for them.
    pub renamed: Vec<Renamed>,
}

impl Stored {
    /// The JSON text that `store.get` gives for a session: `{"keys":{"mks:<id>":resource,...},"session":{...}}`.
    #[must_use]
    pub fn envelope(&self) -> String {
        self.with_parts("")
    }

    /// The JSON text of its entry in a JavaScript store: the [`envelope`](Self::envelope), with
    /// `"legs":{"mks:<id>":leg,...}` if a key has a leg.
    #[must_use]
    pub fn entry(&self) -> String {
        let legs = self.keys.iter().filter_map(|key| {
            let leg = key.leg.as_deref()?;
            Some(format!("{}:{}", quoted(&key.name), quoted(leg)))
        });
        let legs: Vec<String> = legs.collect();
        if legs.is_empty() {
            return self.envelope();
        }
        self.with_parts(&format!(",\"legs\":{{{}}}", legs.join(",")))
    }

    fn with_parts(&self, more: &str) -> String {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|key| {
                let resource = key.resource.as_deref().unwrap_or("null");
                format!("{}:{resource}", quoted(&key.name))
            })
            .collect();
        format!(
            "{{\"keys\":{{{}}},\"session\":{}{more}}}",
            keys.join(","),
            self.document.text()
        )
    }
}
