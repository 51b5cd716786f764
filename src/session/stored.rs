//! What a store is asked to write of a session, and what it has of one.

use std::rc::Rc;

use super::document::Document;
use super::fields::quoted;
use super::patch::Patch;

/// A key's name, and the JSON text of the resource that is kept with it.
pub type NamedKey = (Rc<str>, Option<String>);

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
    /// `patch` made to `base`.
    #[must_use]
    pub fn new(base: Document, patch: Patch) -> Self {
        let result = base.apply(&patch);
        Self {
            base,
            patch,
            result,
        }
    }

    /// Bytes of the texts that it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.base.len() + self.patch.len()
    }

    /// Takes in a change that comes after this one.
    pub fn append(&mut self, later: &Self) {
        self.patch = self.patch.then(&later.patch);
        self.result = later.result.clone();
    }

    /// Takes in a change that came before this one.
    pub fn prepend(&mut self, earlier: &Self) {
        let is_next = self.base.is_same(&earlier.result);
        self.base = earlier.base.clone();
        self.patch = earlier.patch.then(&self.patch);
        if !is_next {
            self.result = self.base.apply(&self.patch);
        }
    }

    /// A change that came before this one, and that this one repeats, was done after all.
    pub fn subtract(&mut self, done: &Patch) {
        self.base = self.base.apply(done);
        self.patch = self.patch.without(done);
        self.result = self.base.apply(&self.patch);
    }
}

/// What a save or a removal writes of a session. The store gets it; the record is brought up to date from it when the store
/// has done it.
#[derive(Debug, PartialEq, Eq)]
pub struct Write {
    /// The data.
    pub change: Change,
    /// The keys that are new, or have another resource.
    pub keys: Vec<NamedKey>,
    /// The time to live from now on, ms.
    pub ttl: Option<u64>,
}

/// A session to be stored for the first time: all of its data, which is what [`Write::change`] leads to, and all of its
/// keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its identity.
    pub uuid: Rc<str>,
    /// The name to store it under.
    pub primary: Rc<str>,
    /// What is written.
    pub write: Rc<Write>,
    /// Whether a session that has the primary key already takes the data over. Otherwise it loses that key: a new dialog
    /// has begun under the same Call-ID.
    pub join: bool,
    /// The sequence number of the write.
    pub sequence: u64,
    /// Whether `primary` is not the name of its first key, because another session is stored there.
    pub displaced: bool,
}

/// A change to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The session's identity.
    pub uuid: Rc<str>,
    /// The name it is stored under.
    pub primary: Rc<str>,
    /// What is written.
    pub write: Rc<Write>,
    /// The keys that the store has.
    pub known: Vec<Rc<str>>,
    /// What the store must have for the write to be done; otherwise it answers with a conflict.
    pub expected: Option<Box<Expected>>,
    /// The sequence number of the write; 0 for none.
    pub sequence: u64,
    /// Whether it may have been done before, for a store that keeps no sequence numbers.
    pub repeated: bool,
}

/// What is stored, as this process knows it: the condition of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The version; 0 where the store does not count.
    pub version: u64,
    /// The data.
    pub document: Document,
    /// Whether the writer has lost so often that it gets a write reservation if it loses again.
    pub reserve: bool,
}

/// A key to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveKey {
    /// The identity of the session and the name it is stored under; absent when it could not be loaded: then the key is
    /// removed from any session that has it.
    pub of: Option<(Rc<str>, Rc<str>)>,
    /// The key's name.
    pub name: Rc<str>,
    /// What is written if the session stays.
    pub write: Option<Rc<Write>>,
    /// The time to live of what stays, ms.
    pub ttl: Option<u64>,
    /// The sequence number of the write; 0 where the session is not known.
    pub sequence: u64,
}

/// A session to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroy {
    /// Its identity.
    pub uuid: Rc<str>,
    /// The name it is stored under.
    pub primary: Rc<str>,
    /// The keys that it is known to have.
    pub known: Vec<Rc<str>>,
}

/// A session as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its identity.
    pub uuid: String,
    /// The name it is stored under.
    pub primary: Rc<str>,
    /// Its keys.
    pub keys: Vec<NamedKey>,
    /// Its data.
    pub document: Document,
    /// How often it was written; 0 where the store does not count.
    pub version: u64,
    /// Whether more than half of its time to live has passed, so that it should be written again.
    pub renewal_due: bool,
    /// ms until then; absent where it is not known, or never.
    pub renewal_due_in: Option<u64>,
}

/// What a store answers to a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The version written; 0 where the store does not count.
    pub version: u64,
    /// The name the session was stored under, if it is another one than the write named.
    pub primary: Option<Rc<str>>,
    /// The identity of the session that took the data over, if one did ([`Create::join`]).
    pub uuid: Option<String>,
}

impl Stored {
    /// The text that `get` gives for a session: `{"keys":{"mks:<id>":resource,...},"session":{...}}`.
    #[must_use]
    pub fn envelope(&self) -> String {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|(name, resource)| {
                format!("{}:{}", quoted(name), resource.as_deref().unwrap_or("null"))
            })
            .collect();
        format!(
            "{{\"keys\":{{{}}},\"session\":{}}}",
            keys.join(","),
            self.document.text()
        )
    }
}
