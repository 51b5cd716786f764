//! The write-behind queue: the sessions whose writes were accepted and could not be done, in the order in which that
//! happened. Bounded by count and bytes.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::operation::{Action, Operation};
use crate::error::{Error, Kind};
use crate::store::Event;

/// How much may be queued.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Store operations in flight, and sessions with pending writes.
    pub count: usize,
    /// Bytes of their data.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            count: 100_000,
            bytes: 64 << 20,
        }
    }
}

/// Where a session stands in the write-behind queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(u64);

/// See the module.
#[derive(Debug, Default)]
pub struct PendingWrites {
    last: u64,
    /// The queue of each session, and the bytes of its operations.
    queues: BTreeMap<u64, (Rc<str>, usize)>,
    bytes: usize,
}

impl PendingWrites {
    /// Adds a session's queue at the end.
    pub fn add(&mut self, queue: &Rc<str>, bytes: usize) -> Position {
        self.last += 1;
        self.queues.insert(self.last, (Rc::clone(queue), bytes));
        self.bytes += bytes;
        Position(self.last)
    }

    /// The pending writes of a session take this many bytes now.
    pub fn weigh(&mut self, position: Position, bytes: usize) {
        if let Some((_, before)) = self.queues.get_mut(&position.0) {
            self.bytes = self.bytes - *before + bytes;
            *before = bytes;
        }
    }

    /// A session has no pending writes any more.
    pub fn remove(&mut self, position: Position) {
        if let Some((_, bytes)) = self.queues.remove(&position.0) {
            self.bytes -= bytes;
        }
    }

    /// The session that has waited for longest.
    #[must_use]
    pub fn first(&self) -> Option<Rc<str>> {
        let first = self.queues.first_key_value();
        first.map(|(_, (queue, _))| Rc::clone(queue))
    }

    /// How many sessions have pending writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Bytes of all pending writes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more is pending than `limits` allow. The writes of a single session may take more bytes.
    #[must_use]
    pub fn exceeds(&self, limits: Limits) -> bool {
        self.len() > limits.count || (self.len() > 1 && self.bytes > limits.bytes)
    }
}

/// The event for a write that was accepted and will not be done.
pub fn given_up(operation: &Operation, why: &str) -> Event {
    let what = match &operation.action {
        Action::RemoveKey { .. } | Action::Destroy => "the removal of",
        _ => "a save of",
    };
    let whose = operation
        .record
        .as_ref()
        .map_or_else(String::new, |record| {
            let record = record.borrow();
            let key = record.keys.first().map_or("", |key| &*key.name);
            format!("{} ({key})", record.uuid)
        });
    Event::Error(Error::new(
        Kind::GivenUp,
        format!("{what} {whose} is given up: {why}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_wait_in_the_order_in_which_they_came() {
        let mut pending = PendingWrites::default();
        let [first, second] = ["a", "b"].map(|name| pending.add(&name.into(), 10));
        pending.weigh(first, 30);
        assert_eq!(pending.bytes(), 40);
        assert_eq!(pending.first().as_deref(), Some("a"));
        let limits = Limits {
            count: 2,
            bytes: 30,
        };
        assert!(pending.exceeds(limits));
        pending.remove(second);
        assert!(!pending.exceeds(limits), "a single one may be larger");
        pending.remove(first);
        assert!(pending.is_empty() && pending.bytes() == 0);
    }
}
