//! What the engine asks of a store: a [`Backend`] does each [`StoreOp`], and answers it with a [`Reply`].
//!
//! A name is the key of a session (`mks:<Call-ID>` for a dialog) or the name of a plain value; a store may add a
//! prefix. Texts are JSON. TTLs are ms; `None` means no end.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::session::{Create, Destroy, Record, RemoveKey, Renamed, Saved, Stored, Update, Write};

/// A store operation. One on a session names it by its uuid and primary key, so that it cannot change another session.
///
/// A write has a sequence number, rising with each write of this process; 0 is none. A store that several processes
/// share does the writes of one number once, however often they are repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOp {
    /// Find the session that has the key `name`.
    Load {
        /// The key's name.
        name: Rc<str>,
    },
    /// Store a session for the first time.
    Create(Create),
    /// Store the changes of a session. Fails with `Gone` if the session is not there any more.
    Update(Update),
    /// Remove a key, and with the last one the session.
    RemoveKey(RemoveKey),
    /// Remove a session with all of its keys.
    Destroy(Destroy),
    /// The value stored under `name`; for a session the text of `{"keys":{...},"session":{...}}`.
    Get {
        /// The name.
        name: String,
    },
    /// Store a value.
    Set {
        /// The name.
        name: String,
        /// Its JSON text.
        text: String,
        /// Its TTL, ms.
        ttl: Option<u64>,
    },
    /// Remove a value, or a session with its keys.
    Delete {
        /// The name.
        name: String,
    },
    /// Start the TTL anew.
    Touch {
        /// The name.
        name: String,
        /// The TTL, ms.
        ttl: Option<u64>,
    },
    /// The texts of all sessions and values, as `Get` gives them.
    All,
    /// The primary keys of all sessions, and the names of all values.
    Ids,
    /// How many sessions and values there are.
    Length,
    /// Remove all sessions and values.
    Clear,
    /// Do nothing: the reply shows that the store is available.
    Ping,
    /// Close the store, after the operations in flight.
    Close,
}

impl StoreOp {
    /// Its name in the statistics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Load { .. } => "load",
            Self::Create(_) | Self::Update(_) => "save",
            Self::RemoveKey(_) | Self::Destroy(_) => "remove",
            Self::Get { .. } => "get",
            Self::Set { .. } => "set",
            Self::Delete { .. } => "destroy",
            Self::Touch { .. } => "touch",
            Self::All | Self::Ids | Self::Length | Self::Clear => "scan",
            Self::Ping => "ping",
            Self::Close => "close",
        }
    }

    /// Whether it writes a session, or removes something of one.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Create(_) | Self::Update(_) | Self::RemoveKey(_) | Self::Destroy(_)
        )
    }

    /// Whether it walks through everything that is stored.
    #[must_use]
    pub fn is_long(&self) -> bool {
        matches!(self, Self::All | Self::Ids | Self::Length | Self::Clear)
    }

    /// What it writes of a session.
    #[must_use]
    pub fn write(&self) -> Option<&Rc<Write>> {
        match self {
            Self::Create(create) => Some(&create.write),
            Self::Update(update) => Some(&update.write),
            Self::RemoveKey(remove) => remove.write.as_ref(),
            _ => None,
        }
    }

    /// The keys that have got another name since it was asked for.
    #[must_use]
    pub fn renamed(&self) -> &[Renamed] {
        match self {
            Self::Create(create) => &create.renamed,
            Self::Update(update) => &update.renamed,
            _ => &[],
        }
    }

    /// The size of its data, bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Create(create) => create.write.change.result.len(),
            Self::Update(update) => update.write.change.patch.len(),
            Self::RemoveKey(remove) => remove
                .write
                .as_ref()
                .map_or(0, |write| write.change.patch.len()),
            Self::Set { text, .. } => text.len(),
            _ => 0,
        }
    }
}

/// Takes the items, and leaves an empty list with the same capacity.
pub fn taken<T>(list: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(list.len());
    std::mem::replace(list, room)
}

/// The result of an [`StoreOp`].
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Load`.
    Loaded(Option<Box<Stored>>),
    /// To `Create` and `Update`.
    Saved(Saved),
    /// To `Update`: the stored session, which is not what the update expects.
    Conflict(Box<Stored>),
    /// To `RemoveKey` and `Destroy`: how many keys are left.
    Removed {
        /// 0 when the session is gone.
        left: u64,
        /// The version written, if keys are left; 0 where the store has no versions.
        version: u64,
    },
    /// To `Get`.
    Text(Option<String>),
    /// To `All` and `Ids`.
    Texts(Vec<String>),
    /// To `Length`.
    Count(u64),
    /// To all others.
    Done,
}

/// A failed operation. The engine repeats `op` if the failure leaves it in doubt ([`Error::in_doubt`]).
#[derive(Debug)]
pub struct Failed {
    /// Why it failed.
    pub error: Error,
    /// The operation, as it must be repeated.
    pub op: Box<StoreOp>,
}

/// What a store reports besides replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Whether the store reports, from now on, every change that other processes make.
    Tracking(bool),
    /// Other processes have changed what is stored under these names; without names, under any.
    Changed(Vec<String>),
    /// The store is available.
    Connect,
    /// The store is not available.
    Disconnect(Error),
    /// An attempt to connect failed, or an operation without a caller.
    Error(Error),
    /// The breaker has opened (`true`) or closed.
    Breaker(bool),
    /// A session or value was evicted to keep within `max`: its name and its text.
    Evict(String, String),
}

/// What a store hands to the engine.
pub struct Answers {
    /// The operations that have ended, each by the ticket it was submitted with.
    pub replies: Vec<(u32, std::result::Result<Reply, Failed>)>,
    /// What has happened besides, in order.
    pub events: Vec<Event>,
}

/// A store, seen from the engine.
pub trait Backend {
    /// Starts an operation. Gives its result if it has ended; [`Backend::take`] gives that of any other. The operation
    /// may go on only with the next [`Backend::flush`].
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<Result<Reply>>;

    /// Sends the submitted operations.
    fn flush(&mut self) {}

    /// Takes the results and events since the last call.
    fn take(&mut self) -> Answers;

    /// Whether a load by a key of this record would give just the record: for a store that can tell at once.
    fn is_current(&mut self, _record: &Record) -> bool {
        false
    }

    /// The store's own statistics, by name.
    fn stats(&self) -> Map<String, Value> {
        Map::new()
    }
}
