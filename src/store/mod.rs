//! What a store must do: turn an [`StoreOp`] into a [`Reply`]. The engine above knows nothing else of it.
//!
//! Names are what sessions and plain values are found by (`mks:<Call-ID>` for a dialog); a store may put a prefix in
//! front. Texts are JSON. Times to live are milliseconds; `None` means forever.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::session::{Create, Destroy, RemoveKey, Saved, Stored, Update, Write};

pub mod javascript;
pub mod memory;
pub mod options;
pub mod redis;

/// Something to do. A session operation names the session by uuid and primary, so that it can't hit another one.
///
/// What writes has a sequence, rising with each write of this process: a store that other processes write to as well does
/// it once, however often it is asked for by that sequence. 0 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOp {
    /// Find the session that has the key `name`.
    Load {
        /// The key's name.
        name: Rc<str>,
    },
    /// Store a session for the first time.
    Create(Create),
    /// Store the difference to what was stored. Fails with `Gone` if the session is not there any more.
    Update(Update),
    /// Take a key away, and with the last one the session.
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
        /// Its time to live, ms.
        ttl: Option<u64>,
    },
    /// Remove a value, or a session with its keys.
    Delete {
        /// The name.
        name: String,
    },
    /// Start the time to live anew.
    Touch {
        /// The name.
        name: String,
        /// The time to live, ms.
        ttl: Option<u64>,
    },
    /// The texts of everything there is, as `Get` gives them.
    All,
    /// The names of everything there is; a session is counted once, under its primary.
    Ids,
    /// How many there are.
    Length,
    /// Remove everything.
    Clear,
    /// Answer, to show that the store can be asked.
    Ping,
    /// Finish what was asked for, then let go of everything.
    Close,
}

impl StoreOp {
    /// What it is, for statistics.
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
            Self::Ping | Self::Close => "ping",
        }
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

    /// Bytes of the data that goes with it.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Create(create) => create.write.change.patch.len(),
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

/// Takes what is there, and leaves room for as much again.
pub fn taken<T>(list: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(list.len());
    std::mem::replace(list, room)
}

/// What became of an [`StoreOp`].
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Load`.
    Loaded(Option<Box<Stored>>),
    /// To `Create` and `Update`.
    Saved(Saved),
    /// To `Update`: what is stored is not its basis, but this.
    Conflict(Box<Stored>),
    /// To `RemoveKey` and `Destroy`: how many keys are left.
    Removed {
        /// 0 when the session is gone.
        left: u64,
        /// The version written, if something is left; 0 where the store does not count.
        version: u64,
    },
    /// To `Get`.
    Text(Option<String>),
    /// To `All` and `Ids`.
    Texts(Vec<String>),
    /// To `Length`.
    Count(u64),
    /// To everything else.
    Done,
}

/// An operation that has failed, given back: where nobody knows whether it was done ([`Error::in_doubt`]) it can be
/// repeated just as it was.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// What was to be done.
    pub op: Box<StoreOp>,
}

/// Something that happened without being asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server tells of changes that others make to what was read or written, or does not any more.
    Tracking(bool),
    /// Somebody has changed what is stored under these names; all of them, if there are none.
    Changed(Vec<String>),
    /// The store can be used (again).
    Connect,
    /// The store cannot be used.
    Disconnect(Error),
    /// Trying to reach the store failed, or an operation that nobody waits for.
    Error(Error),
    /// Operations are not tried any more (`true`), or again, because the store has failed repeatedly.
    Breaker(bool),
    /// Something was dropped to keep within `max`: its name and its text.
    Evict(String, String),
}

/// What the engine gets back from a store.
pub struct Answers {
    /// Operations that are done: the ticket they were submitted with, and what became of them.
    pub replies: Vec<(u32, std::result::Result<Reply, Failed>)>,
    /// What happened besides.
    pub events: Vec<Event>,
}

/// A store, seen from the engine.
pub trait Backend {
    /// Starts an operation. One that is done at once is answered; any other comes with [`Backend::take`], and may wait
    /// for [`Backend::flush`].
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<Result<Reply>>;

    /// Hands over what was submitted.
    fn flush(&mut self) {}

    /// Takes what has been answered since the last call.
    fn take(&mut self) -> Answers;

    /// What it has to say of itself, by name.
    fn stats(&self) -> Map<String, Value> {
        Map::new()
    }
}
