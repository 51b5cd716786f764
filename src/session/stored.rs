//! What a store is asked to write of a session, and what it has of one.

use std::rc::Rc;

use super::fields::quoted;

/// A session to be stored for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Who it is.
    pub uuid: Rc<str>,
    /// The name to store it under.
    pub primary: Rc<str>,
    /// Its data.
    pub text: Rc<str>,
    /// Its keys, each with the JSON text of its resource.
    pub keys: Vec<(Rc<str>, Option<String>)>,
    /// Whether a session that has the primary's key already takes the data over. Otherwise it loses that key: a new
    /// dialog has begun under the same Call-ID.
    pub join_existing: bool,
    /// Its time to live, ms.
    pub ttl: Option<u64>,
    /// Its sequence.
    pub sequence: u64,
    /// Whether `primary` is not that of its first key, because another session lives there.
    pub displaced: bool,
}

/// A difference to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Who it is.
    pub uuid: Rc<str>,
    /// Where it is stored.
    pub primary: Rc<str>,
    /// Its data as it was before the changes.
    pub base: Rc<str>,
    /// Its data now.
    pub text: Rc<str>,
    /// The keys it had.
    pub known: Vec<Rc<str>>,
    /// The keys that are new, or have another resource.
    pub added: Vec<(Rc<str>, Option<String>)>,
    /// Its time to live, ms, from now on.
    pub ttl: Option<u64>,
    /// What the store must have for the write to be done; otherwise it answers [`Reply::Conflict`].
    pub basis: Option<Box<Basis>>,
    /// Its sequence.
    pub sequence: u64,
    /// Whether it may have been done before, for a store that does not count.
    pub again: bool,
}

/// What is stored, as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// The version; 0 where the store does not count.
    pub version: u64,
    /// The data.
    pub text: Rc<str>,
    /// Whether the writer has lost so often that it is to have the next turn.
    pub reserve: bool,
}

/// A key to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveKey {
    /// Whose, and where that session is stored; absent when it could not be loaded: then whoever has the key.
    pub of: Option<(Rc<str>, Rc<str>)>,
    /// The key's name.
    pub name: Rc<str>,
    /// Data as last stored and as it is now, to be saved if the session stays.
    pub data: Option<(Rc<str>, Rc<str>)>,
    /// The time to live of what stays, ms.
    pub ttl: Option<u64>,
    /// Its sequence; none where it is not known whose key it is.
    pub sequence: u64,
}

/// A session to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroy {
    /// Who it is.
    pub uuid: Rc<str>,
    /// Where it is stored.
    pub primary: Rc<str>,
    /// The keys it is known to have.
    pub known: Vec<Rc<str>>,
}

/// A session as a store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Who it is.
    pub uuid: String,
    /// The name it is stored under.
    pub primary: Rc<str>,
    /// Its keys, each with the JSON text of its resource.
    pub keys: Vec<(Rc<str>, Option<String>)>,
    /// Its data: the text of a JSON object.
    pub text: String,
    /// How often it was written; 0 where the store does not count.
    pub version: u64,
    /// Whether more than half of its time to live has passed, so that it should be written again.
    pub renewal_due: bool,
    /// ms until then; nothing where it is not known, or never.
    pub renewal_due_in: Option<u64>,
}

/// What a store says of a session it has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The version written; 0 where the store does not count.
    pub version: u64,
    /// Where the session was stored, if not where it should have been.
    pub primary: Option<Rc<str>>,
    /// Who took the data over, if not the session itself ([`Create::join_existing`]).
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
            self.text
        )
    }
}
