//! Compaction of pending writes: drops saves of a session that the pending writes remove.

use super::core::Engine;
use super::operation::{Action, Operation};
use super::queues::Queue;
use crate::session::{Record, State};
use crate::store::Backend;

impl<B: Backend> Engine<B> {
    /// Whether the pending writes remove all keys of a session, those too that other records of it in this process have
    /// added.
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

/// Compacts the pending writes of a queue, which remove the session `uuid`. The last removal takes over the changes of the
/// saves, in case another process has added a key and the session stays. In-doubt writes stay unchanged. If the store can't
/// have the session yet, drops all of its writes and gives `true`: there is nothing to replay.
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
            // The changes of another record must not be written before older changes.
            break;
        }
        if matches!(operation.action, Action::Save { .. })
            && let Some(save) = operations.remove(at)
        {
            last -= 1;
            operations[last].take_along(&save);
        }
    }
    false
}
