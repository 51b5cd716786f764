//! Sessions as they will be when what is under way or owed is done: for loads that can't wait for that.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::task::{Job, Shared, Task, Value};
use super::{Engine, Sent};
use crate::error::{Error, Result};
use crate::record::State;
use crate::store::Backend;

impl<B: Backend> Engine<B> {
    /// The session of an owed lane that has the key `name`, as it will be when everything is done.
    /// Where that is not known of the key, it is the `error`.
    pub(super) fn owed_session(
        &self,
        lane: &Rc<str>,
        name: &str,
        live: Option<&Shared>,
        error: &Error,
    ) -> Result<Value> {
        let jobs = self.lanes.get(lane).map(|lane| lane.waiting.iter().rev());
        match (ahead(jobs.into_iter().flatten(), name), live) {
            (Some(Value::Session(found)), Some(live))
                if found.borrow().uuid == live.borrow().uuid =>
            {
                Ok(Value::Current(true))
            }
            (Some(found), _) => Ok(found),
            (None, _) => Err(error.clone()),
        }
    }

    /// What loads that have waited too long behind operations on their sessions give: these as they will be.
    pub(super) fn found_meanwhile(&self, late: &HashSet<u32>) -> HashMap<u32, Value> {
        let mut found = HashMap::new();
        for (lane, entry) in &self.lanes {
            for job in &entry.waiting {
                let Task::Load { name, .. } = &job.task else {
                    continue;
                };
                for op in job.waiters.iter().filter(|op| late.contains(op)) {
                    if let Some(value) = self.found_ahead(lane, name, job.record.as_ref()) {
                        found.insert(*op, value);
                    }
                }
            }
        }
        found
    }

    /// The session that has the key `name` when everything that is under way on its lane is done.
    pub(super) fn found_ahead(
        &self,
        lane: &Rc<str>,
        name: &str,
        live: Option<&Shared>,
    ) -> Option<Value> {
        let entry = self.lanes.get(lane)?;
        let flight = entry.ticket.and_then(|ticket| self.sent.get(&ticket));
        let flight = flight.and_then(|flight| match &flight.sent {
            Sent::Lane { job, .. } => Some(job),
            _ => None,
        });
        let jobs = entry.waiting.iter().rev().chain(flight);
        let writes = jobs.filter(|job| !matches!(job.task, Task::Load { .. }));
        match (ahead(writes, name), live) {
            (Some(Value::Session(found)), Some(live))
                if found.borrow().uuid == live.borrow().uuid =>
            {
                Some(Value::Current(true))
            }
            (Some(Value::Session(found)), None) => Some(Value::Session(found)),
            _ => None,
        }
    }
}

/// The session that has the key `name` after jobs, the last one first, are done, as far as they tell.
fn ahead<'a>(jobs: impl Iterator<Item = &'a Job>, name: &str) -> Option<Value> {
    for job in jobs {
        let Some(record) = &job.record else { continue };
        if job.removes(name) {
            return Some(Value::Nothing);
        }
        // What stands in for a session that could not be loaded is not it.
        if record.borrow().state == State::Unknown {
            continue;
        }
        if record.borrow().keys.iter().any(|key| *key.name == *name) {
            let ahead = record.borrow().ahead();
            return Some(Value::Session(Rc::new(RefCell::new(ahead))));
        }
    }
    None
}
