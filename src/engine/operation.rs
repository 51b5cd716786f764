//! One operation on a session: what it does, which session it is about, and which callers wait for it.

use std::rc::Rc;

use smallvec::{SmallVec, smallvec};

use crate::session::{Change, Shared, State};
use crate::store::StoreOp;

/// The result of an operation that has succeeded.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing; for a load: there is no such session.
    Nothing,
    /// A session that was loaded.
    Session(Shared),
    /// The record at hand is what the store has (`true`), or has to be merged with it first (`false`).
    Current(bool),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// A number.
    Count(u64),
}

/// What a save writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveMode {
    /// What has changed; a new session only if it has data.
    Changes,
    /// A new session even if it is empty; of any session the time to live.
    Always,
    /// As `Changes`, for the short time until a challenged request is repeated.
    ForRetry,
}

/// What an operation does.
#[derive(Debug)]
pub enum Action {
    /// Looks up which session has a key.
    Load {
        /// The key's name.
        name: Rc<str>,
        /// Whether the record keeps the key even if the store does not have it: the session may have other keys.
        keeps_key: bool,
    },
    /// Saves the data.
    Save {
        /// What has changed.
        change: Change,
        /// How much is written.
        mode: SaveMode,
        /// The time to live asked for, ms.
        ttl: Option<u64>,
        /// Whether it fails where another process has stored something since this one last saw the session.
        if_unchanged: bool,
    },
    /// Stores a change if the store still has what it was made from.
    CompareAndSet {
        /// What is stored.
        change: Change,
        /// The time to live asked for, ms.
        ttl: Option<u64>,
        /// Whether it has failed so often that it asks for a write reservation.
        reserve: bool,
    },
    /// Removes a key.
    RemoveKey {
        /// The key's name.
        name: Rc<str>,
        /// What has changed in the data, to be saved if the session stays.
        change: Change,
        /// The time to live asked for, ms.
        ttl: Option<u64>,
    },
    /// Removes the session.
    Destroy,
}

/// See the module.
pub struct Operation {
    /// The session; absent for a load that waits behind operations on one.
    pub record: Option<Shared>,
    /// What it does.
    pub action: Action,
    /// The numbers by which callers wait for it.
    pub callers: SmallVec<[u32; 2]>,
    /// Of an in-doubt write the store operation that was sent, to be repeated unchanged.
    pub in_doubt: Option<Box<StoreOp>>,
    /// Whether what it saves was passed on, because its caller was told that it has failed.
    pub is_passed_on: bool,
}

impl Operation {
    /// An operation on a session, for one caller.
    #[must_use]
    pub fn new(record: Option<Shared>, action: Action, op: u32) -> Self {
        Self {
            record,
            action,
            callers: smallvec![op],
            in_doubt: None,
            is_passed_on: false,
        }
    }

    /// Whether the write-behind queue takes it if the store can't do it now. What its caller has to know the result of is
    /// not, unless an attempt of it may have been done.
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

    /// Bytes that it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let data = match &self.action {
            Action::Save { change, .. }
            | Action::CompareAndSet { change, .. }
            | Action::RemoveKey { change, .. } => change.weight(),
            Action::Load { .. } | Action::Destroy => 0,
        };
        size_of::<Self>() + data
    }

    /// Whether it is about the session `uuid`.
    #[must_use]
    pub fn is_of(&self, uuid: &str) -> bool {
        self.record
            .as_ref()
            .is_some_and(|mine| *mine.borrow().uuid == *uuid)
    }

    /// Whether it was asked for by way of this record.
    #[must_use]
    pub fn is_by(&self, record: &Shared) -> bool {
        self.record
            .as_ref()
            .is_some_and(|mine| Rc::ptr_eq(mine, record))
    }

    /// What it saves of the data object.
    #[must_use]
    pub fn change(&self) -> Option<&Change> {
        match &self.action {
            Action::Save { change, .. } | Action::RemoveKey { change, .. } => Some(change),
            Action::Load { .. } | Action::CompareAndSet { .. } | Action::Destroy => None,
        }
    }

    fn change_mut(&mut self) -> Option<&mut Change> {
        match &mut self.action {
            Action::Save { change, .. } | Action::RemoveKey { change, .. } => Some(change),
            Action::Load { .. } | Action::CompareAndSet { .. } | Action::Destroy => None,
        }
    }

    /// It will not be done, or its caller has been told so: the next of the operations `later` by the same record saves what
    /// it does not, otherwise the next save of the record.
    pub fn fail<'a>(&mut self, later: impl IntoIterator<Item = &'a mut Self>) {
        let (Some(record), Some(change)) = (&self.record, self.change()) else {
            return;
        };
        if self.is_passed_on {
            return;
        }
        match next_by(record, later) {
            Some(next) => next.prepend(change),
            None => record.borrow_mut().not_saved(&change.patch),
        }
        self.is_passed_on = true;
    }

    /// It was done: where its caller has been told otherwise, what comes later does not save it again.
    pub fn succeed<'a>(&self, later: impl IntoIterator<Item = &'a mut Self>) {
        let (Some(record), Some(change), true) = (&self.record, self.change(), self.is_passed_on)
        else {
            return;
        };
        if let Some(next) = next_by(record, later) {
            next.subtract(&change.patch);
        }
        record.borrow_mut().saved_after_all(&change.patch);
    }

    /// A removal takes along what a save of the same record before it has changed.
    pub fn take_along(&mut self, save: &Self) {
        if let (Some(change), Some(earlier)) = (self.change_mut(), save.change()) {
            change.prepend(earlier);
        }
    }

    /// Whether it removes the key `name`.
    #[must_use]
    pub fn removes(&self, name: &str) -> bool {
        match &self.action {
            Action::RemoveKey { name: removed, .. } => {
                let record = self.record.as_ref().map(|record| record.borrow());
                **removed == *name
                    || record.is_some_and(|record| *record.name_now(removed) == *name)
            }
            Action::Destroy => self.record.as_ref().is_some_and(|record| {
                let keys = &record.borrow().keys;
                keys.iter().any(|key| *key.name == *name)
            }),
            _ => false,
        }
    }

    /// The store may have given the key that it removes another name since it was asked for.
    pub fn follow_names(&mut self) {
        if let (Action::RemoveKey { name, .. }, Some(record)) = (&mut self.action, &self.record) {
            let mut record = record.borrow_mut();
            record.follow_origin();
            *name = record.name_now(name);
        }
    }

    /// Whether what it is about is the placeholder of a session that could not be loaded.
    #[must_use]
    pub fn is_of_placeholder(&self) -> bool {
        let state = self.record.as_ref().map(|record| record.borrow().state);
        state == Some(State::Unknown)
    }
}

/// What the first of some operations by `record` saves.
fn next_by<'a>(
    record: &Shared,
    operations: impl IntoIterator<Item = &'a mut Operation>,
) -> Option<&'a mut Change> {
    let mut operations = operations.into_iter();
    let next = operations.find(|next| next.change().is_some() && next.is_by(record))?;
    next.change_mut()
}

/// Merges a save into one that is queued before it; gives back what has to be queued by itself.
pub fn coalesce(last: Option<&mut Operation>, mut operation: Operation) -> Option<Operation> {
    let Some(last) = last.filter(|last| last.in_doubt.is_none()) else {
        return Some(operation);
    };
    let same = matches!((&last.record, &operation.record), (Some(a), Some(b)) if Rc::ptr_eq(a, b));
    let Action::Save {
        change,
        mode,
        ttl,
        if_unchanged: false,
    } = &mut last.action
    else {
        return Some(operation);
    };
    match &operation.action {
        // Not where a load was merged between the two: the later one is based on more than the earlier one leads to.
        Action::Save {
            change: later,
            mode: later_mode,
            ttl: later_ttl,
            if_unchanged: false,
        } if same && mode == later_mode && later.base.is_same(&change.result) => {
            change.append(later);
            *ttl = *later_ttl;
            last.callers.append(&mut operation.callers);
            None
        }
        _ => Some(operation),
    }
}
