//! Compaction of pending writes: what need not be written of a session that ends while its writes are pending.

use super::core::Engine;
use super::operation::{Action, Operation};
use super::queues::Queue;
use crate::session::{Record, State};
use crate::store::Backend;

impl<B: Backend> Engine<B> {
    /// Whether the pending writes remove all keys of a session, also those that other records of it have added here.
    pub(super) fn is_ending(&self, queue: &str, record: &Record) -> bool {
        let mine = || {
            self.queues
                .operations(queue)
                .filter(|operation| operation.is_of(&record.uuid))
        };
        let ends = |record: &Record| {
            let mut keys = record.keys.iter();
            keys.all(|key| mine().any(|operation| operation.removes(&key.name)))
        };
        ends(record)
            && mine()
                .filter_map(|operation| operation.record.as_ref())
                .all(|record| ends(&record.borrow()))
    }
}

/// The pending writes of a queue remove the session `uuid`: its saves go with the last removal, in case that another process
/// has added a key. In-doubt writes stay as they are. If none of them can have been stored nothing has to be done at all,
/// which is answered.
pub fn compact(queue: &mut Queue, uuid: &str) -> bool {
    let operations = &mut queue.operations;
    let mut mine = operations.iter().filter(|operation| operation.is_of(uuid));
    let first = mine
        .clone()
        .next()
        .and_then(|operation| operation.record.as_ref());
    let is_new = first.is_some_and(|record| record.borrow().state == State::New);
    if is_new && mine.all(|operation| operation.in_doubt.is_none()) {
        operations.retain(|operation| {
            let mine = operation.record.as_ref().filter(|_| operation.is_of(uuid));
            mine.is_none_or(|record| {
                record.borrow_mut().state = State::Removed;
                false
            })
        });
        return true;
    }
    let is_removal = |operation: &Operation| {
        let removes = matches!(operation.action, Action::RemoveKey { .. } | Action::Destroy);
        removes && operation.is_of(uuid) && operation.in_doubt.is_none()
    };
    let Some(mut last) = operations.iter().rposition(is_removal) else {
        return false;
    };
    for at in (0..last).rev() {
        let (operation, removal) = (&operations[at], &operations[last]);
        if operation.in_doubt.is_some() || !operation.is_of(uuid) || operation.change().is_none() {
            continue;
        }
        let record = removal.record.as_ref();
        let is_same = record.is_some_and(|record| operation.is_by(record));
        if !is_same && !matches!(removal.action, Action::Destroy) {
            // What another record of the session has changed must not come before what is older.
            break;
        }
        if matches!(operation.action, Action::Save { .. })
            && let Some(save) = operations.remove(at)
        {
            last -= 1;
            operations[last].precede(&save);
        }
    }
    false
}
