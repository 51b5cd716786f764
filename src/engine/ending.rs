//! Sessions that end while something is pending of them: what need not be done then.

use std::rc::Rc;

use super::Engine;
use super::operation::Action;
use crate::session::{Record, State};
use crate::store::Backend;

impl<B: Backend> Engine<B> {
    /// Whether what is pending removes all of a session's keys, also those that others here have given it.
    pub(super) fn is_ending(&self, queue: &Rc<str>, record: &Record) -> bool {
        let Some(entry) = self.queues.get(queue) else {
            return false;
        };
        let mine = || {
            entry
                .waiting
                .iter()
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

    /// A session is removed by what is pending: its saves need not be done by themselves. They go with the last removal, in
    /// case that another process has added a key. Nothing has to be done at all, which is answered, if none of it can
    /// have been stored. What may have been done already stays as it is.
    pub(super) fn shorten(&mut self, queue: &Rc<str>, uuid: &str) -> bool {
        let Some(entry) = self.queues.get_mut(queue) else {
            return false;
        };
        let mut mine = entry
            .waiting
            .iter()
            .filter(|operation| operation.is_of(uuid));
        let first = mine
            .clone()
            .next()
            .and_then(|operation| operation.record.as_ref());
        let is_new = first.is_some_and(|record| record.borrow().state == State::New);
        let never_stored = is_new && mine.all(|operation| operation.in_doubt.is_none());
        if never_stored {
            entry.waiting.retain(|operation| {
                let mine = operation.record.as_ref().filter(|_| operation.is_of(uuid));
                mine.is_none_or(|record| {
                    record.borrow_mut().state = State::Removed;
                    false
                })
            });
            return true;
        }
        let last = entry.waiting.iter().rposition(|operation| {
            let removes = matches!(operation.action, Action::RemoveKey { .. } | Action::Destroy);
            removes && operation.is_of(uuid) && operation.in_doubt.is_none()
        });
        let Some(mut last) = last else { return false };
        for at in (0..last).rev() {
            let (operation, removal) = (&entry.waiting[at], &entry.waiting[last]);
            if operation.in_doubt.is_some()
                || !operation.is_of(uuid)
                || operation.changes().is_none()
            {
                continue;
            }
            let same = matches!((&operation.record, &removal.record), (Some(a), Some(b)) if Rc::ptr_eq(a, b));
            if !same && !matches!(removal.action, Action::Destroy) {
                // What another object of the session has changed is not to come before what is older.
                break;
            }
            if matches!(operation.action, Action::Save { .. })
                && let Some(save) = entry.waiting.remove(at)
            {
                last -= 1;
                entry.waiting[last].action.precede(&save.action);
            }
        }
        false
    }
}
