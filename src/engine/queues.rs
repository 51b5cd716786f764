//! The operations of each session, in the order of the calls.
//!
//! A queue exists while something of its session is in flight, queued or pending. It is found by the uuid and by every key
//! of the session, so that a load by any key is done after what was asked for before it.

use std::collections::VecDeque;
use std::rc::Rc;

use foldhash::HashMap;
use smallvec::SmallVec;

use super::operation::{Operation, coalesce};
use super::pending_writes::Position;
use crate::session::{Change, Record, Shared};

/// The operations of one session.
#[derive(Default)]
pub struct Queue {
    /// Those that the store has not been sent.
    pub operations: VecDeque<Operation>,
    /// The ticket of the one that is in flight, if one is.
    pub ticket: Option<u32>,
    /// Where it stands in the write-behind queue, if it does; then nothing of it is in flight.
    pub pending: Option<Position>,
    /// The names by which it is found, besides its own.
    names: SmallVec<[Rc<str>; 2]>,
}

/// See the module.
#[derive(Default)]
pub struct Queues {
    /// By the uuid of the session whose operation began the queue.
    queues: HashMap<Rc<str>, Queue>,
    by_name: HashMap<Rc<str>, Rc<str>>,
}

impl Queues {
    /// The queue of a session: where something of it is under way, or else of a session that has one of its keys, so that
    /// two sessions that are new under the same key are stored one after the other.
    pub fn of(&self, record: &Record) -> Rc<str> {
        let queue = self.all_of(record).next();
        Rc::clone(queue.unwrap_or(&record.uuid))
    }

    /// The queues in which something of a session, or of one that has a key of it, is under way.
    pub fn all_of<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a Rc<str>> {
        let own = self.queues.get_key_value(&*record.uuid);
        let names = record.keys.iter().map(|key| &*key.name);
        let others = std::iter::once(&*record.uuid)
            .chain(names)
            .filter_map(|name| self.by_name.get(name));
        own.map(|(queue, _)| queue).into_iter().chain(others)
    }

    /// The queue of the session that has the key `name`, if something of it is under way.
    pub fn by_name(&self, name: &str) -> Option<Rc<str>> {
        self.by_name.get(name).map(Rc::clone)
    }

    /// Whether there is such a queue.
    pub fn contains(&self, queue: &str) -> bool {
        self.queues.contains_key(queue)
    }

    /// A queue.
    pub fn get(&self, queue: &str) -> Option<&Queue> {
        self.queues.get(queue)
    }

    /// A queue, to be changed.
    pub fn get_mut(&mut self, queue: &str) -> Option<&mut Queue> {
        self.queues.get_mut(queue)
    }

    /// A queue, to be changed; it is begun if it does not exist.
    pub fn get_or_begin(&mut self, queue: &Rc<str>) -> &mut Queue {
        self.queues.entry(Rc::clone(queue)).or_default()
    }

    /// Has a queue found by the names of a session. Calls `found` with each name that leads there only now.
    pub fn name(&mut self, queue: &Rc<str>, record: &Record, mut found: impl FnMut(&Rc<str>)) {
        let entry = self.queues.entry(Rc::clone(queue)).or_default();
        for key in &record.keys {
            if !self.by_name.contains_key(&key.name) {
                found(&key.name);
                self.by_name.insert(Rc::clone(&key.name), Rc::clone(queue));
                entry.names.push(Rc::clone(&key.name));
            }
        }
        let uuid = &record.uuid;
        if **queue != **uuid && !self.by_name.contains_key(&**uuid) {
            self.by_name.insert(Rc::clone(uuid), Rc::clone(queue));
            entry.names.push(Rc::clone(uuid));
        }
    }

    /// Adds an operation at the end of a queue, or to the save that is there.
    pub fn push(&mut self, queue: &Rc<str>, operation: Operation) {
        let operations = &mut self.get_or_begin(queue).operations;
        if let Some(operation) = coalesce(operations.back_mut(), operation) {
            operations.push_back(operation);
        }
    }

    /// Takes the first operation of a queue whose next one may be started: nothing of it is pending.
    pub fn next(&mut self, queue: &str) -> Option<Operation> {
        let entry = self.queues.get_mut(queue);
        let entry = entry.filter(|entry| entry.pending.is_none())?;
        entry.operations.pop_front()
    }

    /// Whether nothing is queued behind what is in flight.
    pub fn is_last(&self, queue: &str) -> bool {
        let entry = self.queues.get(queue);
        entry.is_some_and(|entry| entry.operations.is_empty())
    }

    /// Whether a queue stands in the write-behind queue.
    pub fn is_pending(&self, queue: &str) -> bool {
        let entry = self.queues.get(queue);
        entry.is_some_and(|entry| entry.pending.is_some())
    }

    /// The operations of a queue that the store has not been sent, the first one first.
    pub fn operations(&self, queue: &str) -> impl DoubleEndedIterator<Item = &Operation> {
        let entry = self.queues.get(queue);
        entry.into_iter().flat_map(|entry| &entry.operations)
    }

    /// Has a record know what the store will have of its session: what it has confirmed, with what is queued by this record.
    pub fn review(&self, queue: &str, record: &Shared) {
        let changes = self
            .operations(queue)
            .filter(|operation| operation.is_by(record) && !operation.is_passed_on)
            .filter_map(Operation::change);
        let changes: SmallVec<[&Change; 4]> = changes.collect();
        record.borrow_mut().review(changes.into_iter());
    }

    /// Ends a queue that has nothing to do.
    pub fn retire(&mut self, queue: &str) {
        if self.is_pending(queue) {
            return;
        }
        if let Some(entry) = self.queues.remove(queue) {
            for name in entry.names {
                self.by_name.remove(&name);
            }
        }
    }

    /// Forgets everything, and gives what the store has not been sent.
    pub fn abandon(&mut self) -> Vec<Operation> {
        self.by_name.clear();
        let mut queues: Vec<_> = std::mem::take(&mut self.queues).into_iter().collect();
        queues.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        queues
            .into_iter()
            .flat_map(|(_, queue)| queue.operations)
            .collect()
    }

    /// All queues.
    pub fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Queue)> {
        self.queues.iter()
    }

    /// Whether nothing is under way of any session.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.by_name.is_empty()
    }
}
