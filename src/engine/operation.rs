//! What is done to a session, and what the store's answer does to the record; `prepare` has what the store is asked.

use std::cell::RefCell;
use std::rc::Rc;

use smallvec::{SmallVec, smallvec};

use crate::error::{Error, Kind, Result};
use crate::session::Stored;
use crate::session::{Record, State, Written, patched};
use crate::store::{Op, Reply};

/// A session, shared by the caller and the operations on it.
pub type Shared = Rc<RefCell<Record>>;

/// What an operation gives when it succeeds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing to tell; for a load: there is no such session.
    Nothing,
    /// A session that was loaded.
    Session(Shared),
    /// The session at hand is what the store has (`true`), or has to be merged with it first (`false`).
    Current(bool),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// A number.
    Count(u64),
}

/// How much a save writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveMode {
    /// What has changed; a new session only if there is something in it.
    Changes,
    /// A new session even if it is empty, and the time to live of any.
    Always,
    /// As `Changes`, for the short time until a challenged request comes again.
    ForRetry,
}

/// Something to be done to a session, in its turn.
#[derive(Debug)]
pub enum Action {
    /// Look up who has a key.
    Load {
        /// The key's name.
        name: Rc<str>,
        /// Whether that the key leads nowhere says nothing of the session: it may have others.
        lenient: bool,
    },
    /// Save the data.
    Save {
        /// Its text before the changes.
        base: Rc<str>,
        /// Its text with them.
        text: Rc<str>,
        /// How much.
        mode: SaveMode,
        /// The time to live asked for, ms.
        ttl: Option<u64>,
        /// Whether it is to fail if somebody else has stored something since this process last saw it.
        if_unchanged: bool,
    },
    /// Store a text that was made from what the store has, and only if it still has that.
    CompareAndSet {
        /// What it was made from.
        base: Rc<str>,
        /// The text.
        text: Rc<str>,
        /// The time to live asked for, ms.
        ttl: Option<u64>,
        /// Whether it has failed so often that it is to have its turn.
        reserve: bool,
    },
    /// Take a key away.
    RemoveKey {
        /// The key's name.
        name: Rc<str>,
        /// The data before and after the changes, to be saved if the session stays.
        data: (Rc<str>, Rc<str>),
        /// The time to live asked for, ms.
        ttl: Option<u64>,
    },
    /// Remove the session.
    Destroy,
}

impl Action {
    /// Lets a removal take along what a save of the same record before it has changed.
    pub fn precede(&mut self, save: &Self) {
        if let (Self::RemoveKey { data, .. }, Self::Save { base, text, .. }) = (self, save) {
            data.0 = patched(&data.0, text, base);
        }
    }
}

/// A action, whose, and who waits for it.
pub struct Operation {
    /// The session; absent for a load that waits behind operations on one.
    pub record: Option<Shared>,
    /// What to do.
    pub action: Action,
    /// The callers' numbers.
    pub waiters: SmallVec<[u32; 2]>,
    /// Set once an attempt was made of which nobody knows whether it was done.
    pub in_doubt: Option<Box<InDoubt>>,
}

/// A write of which nobody knows whether it was done. It is repeated just as it was, with its number, before anything
/// else of its session is done, until the store says what became of it.
pub struct InDoubt {
    /// What the store is asked.
    pub op: Op,
    /// What it is writing.
    pub written: Option<Box<Written>>,
}

impl Operation {
    /// Something to be done to a session, for one caller.
    #[must_use]
    pub fn new(record: Option<Shared>, action: Action, op: u32) -> Self {
        Self {
            record,
            action,
            waiters: smallvec![op],
            in_doubt: None,
        }
    }

    /// Whether it is done later if the store can't do it now. What somebody waits to hear of is not, unless an attempt of
    /// it may have been done.
    #[must_use]
    pub fn can_be_pending(&self) -> bool {
        match &self.action {
            Action::Save {
                mode, if_unchanged, ..
            } => !if_unchanged && *mode != SaveMode::ForRetry,
            Action::RemoveKey { .. } | Action::Destroy => true,
            Action::Load { .. } | Action::CompareAndSet { .. } => false,
        }
    }

    /// Bytes it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        let text = match &self.action {
            Action::Save { base, text, .. } | Action::CompareAndSet { base, text, .. } => {
                base.len() + text.len()
            }
            Action::RemoveKey { data, .. } => data.0.len() + data.1.len(),
            Action::Load { .. } | Action::Destroy => 0,
        };
        size_of::<Self>() + text
    }

    /// Whether it is about this session.
    #[must_use]
    pub fn is_of(&self, uuid: &str) -> bool {
        self.record
            .as_ref()
            .is_some_and(|mine| *mine.borrow().uuid == *uuid)
    }

    /// The data before and after what it saves.
    #[must_use]
    pub fn changes(&self) -> Option<(&Rc<str>, &Rc<str>)> {
        match &self.action {
            Action::Save { base, text, .. } => Some((base, text)),
            Action::RemoveKey { data, .. } => Some((&data.0, &data.1)),
            Action::Load { .. } | Action::CompareAndSet { .. } | Action::Destroy => None,
        }
    }

    /// Whether it will save that in the end, as far as is known.
    #[must_use]
    pub fn will_save(&self) -> bool {
        self.in_doubt.is_none() || self.can_be_pending()
    }

    /// It has ended, `done` or not, where the operations that wait of its record may take the opposite for granted: the next
    /// of them saves what it has not, and not what it has.
    pub fn pass_on<'a>(&self, done: bool, later: impl IntoIterator<Item = &'a mut Self>) {
        let (Some(mine), Some((base, text))) = (&self.record, self.changes()) else {
            return;
        };
        let is_next = |operation: &&mut Self| {
            let theirs = operation.record.as_ref();
            operation.changes().is_some() && theirs.is_some_and(|theirs| Rc::ptr_eq(theirs, mine))
        };
        let next = later
            .into_iter()
            .find(is_next)
            .map(|operation| &mut operation.action);
        if let Some(
            Action::Save { base: before, .. }
            | Action::RemoveKey {
                data: (before, _), ..
            },
        ) = next
        {
            *before = if done {
                patched(before, base, text)
            } else {
                patched(before, text, base)
            };
        }
    }

    /// Whether it takes the key `name` away.
    #[must_use]
    pub fn removes(&self, name: &str) -> bool {
        match &self.action {
            Action::RemoveKey { name: removed, .. } => **removed == *name,
            Action::Destroy => self.record.as_ref().is_some_and(|record| {
                let keys = &record.borrow().keys;
                keys.iter().any(|key| *key.name == *name)
            }),
            _ => false,
        }
    }
}

/// Merges a save into one that waits already; gives back what has to wait by itself.
pub fn coalesce(last: Option<&mut Operation>, mut operation: Operation) -> Option<Operation> {
    let Some(last) = last.filter(|last| last.in_doubt.is_none()) else {
        return Some(operation);
    };
    let same = matches!((&last.record, &operation.record), (Some(a), Some(b)) if Rc::ptr_eq(a, b));
    let Action::Save {
        text,
        mode,
        ttl,
        if_unchanged: false,
        ..
    } = &mut last.action
    else {
        return Some(operation);
    };
    match &operation.action {
        // Not where a load has been merged between the two: the changes of others would go out as ours.
        Action::Save {
            base,
            text: newer,
            mode: now,
            ttl: newer_ttl,
            if_unchanged: false,
        } if same && mode == now && Rc::ptr_eq(base, text) => {
            *text = Rc::clone(newer);
            *ttl = *newer_ttl;
            last.waiters.append(&mut operation.waiters);
            None
        }
        _ => Some(operation),
    }
}

/// What a reply means for the record of a operation, and for those who wait for it, if that is `heard` by anybody.
pub fn apply(
    operation: &Operation,
    written: Option<&Written>,
    reply: Result<Reply>,
    heard: bool,
) -> Result<Value> {
    let Some(shared) = &operation.record else {
        return reply.map(value_of);
    };
    let mut record = shared.borrow_mut();
    match reply {
        Ok(Reply::Saved(saved)) if matches!(operation.action, Action::CompareAndSet { .. }) => {
            match written {
                Some(written) if heard => record.compared_and_set(written, saved),
                Some(written) => record.compared_and_set_unheard(written, saved),
                None => {}
            }
            Ok(Value::Current(false))
        }
        Ok(Reply::Conflict(newer)) => {
            record.absorb(*newer);
            Err(Error::conflict(&record.uuid))
        }
        Ok(Reply::Saved(saved)) => {
            if let Some(written) = written {
                record.saved(written, saved);
            }
            Ok(Value::Nothing)
        }
        Ok(Reply::Removed { left, version }) => {
            if let Action::RemoveKey { name, .. } = &operation.action {
                record.drop_key(name);
            }
            if left == 0 {
                record.state = State::Removed;
            } else {
                if let Some(written) = written {
                    record.confirm(written, version);
                }
                record.counted(version);
            }
            Ok(Value::Count(left))
        }
        Ok(Reply::Loaded(found)) => Ok(found_again(&mut record, &operation.action, found)),
        Ok(other) => Ok(value_of(other)),
        Err(error) => {
            if error.kind == Kind::Gone {
                record.state = State::Removed;
            }
            // A JavaScript store may fail half way through.
            if error.in_doubt {
                record.doubt();
            }
            Err(error)
        }
    }
}

/// What a load means for a session that this process has already.
fn found_again(record: &mut Record, action: &Action, found: Option<Box<Stored>>) -> Value {
    match found {
        Some(stored) if *stored.uuid == *record.uuid => Value::Current(!record.absorb(*stored)),
        Some(other) => Value::Session(Rc::new(RefCell::new(Record::loaded(*other)))),
        None => {
            // This key is gone. Others may still lead to the session, also some that this process has not heard of: whether
            // it has ended the next write finds out.
            if let Action::Load {
                name,
                lenient: false,
            } = action
            {
                record.keys.retain(|key| key.name != *name || !key.stored);
            }
            Value::Nothing
        }
    }
}

/// What a reply gives to the one who asked.
pub fn value_of(reply: Reply) -> Value {
    match reply {
        Reply::Loaded(Some(stored)) => {
            Value::Session(Rc::new(RefCell::new(Record::loaded(*stored))))
        }
        Reply::Text(Some(text)) => Value::Text(text),
        Reply::Texts(texts) => Value::Texts(texts),
        Reply::Count(count) => Value::Count(count),
        Reply::Removed { left, .. } => Value::Count(left),
        Reply::Loaded(None)
        | Reply::Text(None)
        | Reply::Saved(_)
        | Reply::Conflict(_)
        | Reply::Done => Value::Nothing,
    }
}
