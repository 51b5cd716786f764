//! Sessions that end while something is owed of them: what need not be done then.

use std::rc::Rc;

use super::Engine;
use super::task::Task;
use crate::record::{Record, State};
use crate::store::Backend;

impl<B: Backend> Engine<B> {
    /// Whether what is owed removes all of a session's keys, also those that others here have given it.
    pub(super) fn is_ending(&self, lane: &Rc<str>, record: &Record) -> bool {
        let Some(entry) = self.lanes.get(lane) else {
            return false;
        };
        let mine = || entry.waiting.iter().filter(|job| job.is_of(&record.uuid));
        let ends = |record: &Record| {
            let mut keys = record.keys.iter();
            keys.all(|key| mine().any(|job| job.removes(&key.name)))
        };
        ends(record)
            && mine()
                .filter_map(|job| job.record.as_ref())
                .all(|record| ends(&record.borrow()))
    }

    /// A session is removed by what is owed: its saves need not be done by themselves. They go with the last removal, in
    /// case that another process has added a key. Nothing has to be done at all, which is answered, if none of it can
    /// have been stored. What may have been done already stays as it is.
    pub(super) fn shorten(&mut self, lane: &Rc<str>, uuid: &str) -> bool {
        let Some(entry) = self.lanes.get_mut(lane) else {
            return false;
        };
        let mut mine = entry.waiting.iter().filter(|job| job.is_of(uuid));
        let first = mine.clone().next().and_then(|job| job.record.as_ref());
        let is_new = first.is_some_and(|record| record.borrow().state == State::New);
        let never_stored = is_new && mine.all(|job| job.sealed.is_none());
        if never_stored {
            entry.waiting.retain(|job| {
                let mine = job.record.as_ref().filter(|_| job.is_of(uuid));
                mine.is_none_or(|record| {
                    record.borrow_mut().state = State::Removed;
                    false
                })
            });
            return true;
        }
        let last = entry.waiting.iter().rposition(|job| {
            let removes = matches!(job.task, Task::RemoveKey { .. } | Task::Destroy);
            removes && job.is_of(uuid) && job.sealed.is_none()
        });
        let Some(mut last) = last else { return false };
        for at in (0..last).rev() {
            let (job, removal) = (&entry.waiting[at], &entry.waiting[last]);
            if job.sealed.is_some() || !job.is_of(uuid) || job.changes().is_none() {
                continue;
            }
            let same =
                matches!((&job.record, &removal.record), (Some(a), Some(b)) if Rc::ptr_eq(a, b));
            if !same && !matches!(removal.task, Task::Destroy) {
                // What another object of the session has changed is not to come before what is older.
                break;
            }
            if matches!(job.task, Task::Save { .. })
                && let Some(save) = entry.waiting.remove(at)
            {
                last -= 1;
                entry.waiting[last].task.precede(&save.task);
            }
        }
        false
    }
}
