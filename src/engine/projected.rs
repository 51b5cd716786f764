//! Sessions as they will be when what is under way or pending is done: for loads that can't wait for that.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::operation::{Action, Operation, Shared, Value};
use super::{Engine, Sent};
use crate::error::{Error, Result};
use crate::session::State;
use crate::store::Backend;

impl<B: Backend> Engine<B> {
    /// The session of an pending queue that has the key `name`, as it will be when everything is done.
    /// Where that is not known of the key, it is the `error`.
    pub(super) fn pending_session(
        &self,
        queue: &Rc<str>,
        name: &str,
        live: Option<&Shared>,
        error: &Error,
    ) -> Result<Value> {
        let operations = self
            .queues
            .get(queue)
            .map(|queue| queue.waiting.iter().rev());
        match (ahead(operations.into_iter().flatten(), name), live) {
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
        for (queue, entry) in &self.queues {
            for operation in &entry.waiting {
                let Action::Load { name, .. } = &operation.action else {
                    continue;
                };
                for op in operation.waiters.iter().filter(|op| late.contains(op)) {
                    if let Some(value) = self.found_ahead(queue, name, operation.record.as_ref()) {
                        found.insert(*op, value);
                    }
                }
            }
        }
        found
    }

    /// The session that has the key `name` when everything that is under way on its queue is done.
    pub(super) fn found_ahead(
        &self,
        queue: &Rc<str>,
        name: &str,
        live: Option<&Shared>,
    ) -> Option<Value> {
        let entry = self.queues.get(queue)?;
        let sent = entry.ticket.and_then(|ticket| self.sent.get(&ticket));
        let sent = sent.and_then(|sent| match &sent.sent {
            Sent::Queue { operation, .. } => Some(operation),
            _ => None,
        });
        let operations = entry.waiting.iter().rev().chain(sent);
        let writes =
            operations.filter(|operation| !matches!(operation.action, Action::Load { .. }));
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

/// The session that has the key `name` after operations, the last one first, are done, as far as they tell.
fn ahead<'a>(operations: impl Iterator<Item = &'a Operation>, name: &str) -> Option<Value> {
    for operation in operations {
        let Some(record) = &operation.record else {
            continue;
        };
        if operation.removes(name) {
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
