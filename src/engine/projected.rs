//! Projected sessions: as they will be once their queued, in-flight and pending operations are done. A load gets one when
//! the store is unavailable, or its deadline has passed.

use std::cell::RefCell;
use std::rc::Rc;

use foldhash::HashMap;

use super::core::Engine;
use super::operation::{Action, Operation, Value};
use crate::error::{Error, Result};
use crate::session::{Record, Shared};
use crate::store::Backend;

impl<B: Backend> Engine<B> {
    /// The session of a queue with pending writes that has the key `name`, once they are done.
    ///
    /// # Errors
    /// `error`, when none of the pending writes concerns that key.
    pub(super) fn projected_of_pending(
        &self,
        queue: &Rc<str>,
        name: &str,
        live: Option<&Shared>,
        error: &Error,
    ) -> Result<Value> {
        match project(self.queues.operations(queue).rev(), name) {
            Some(Value::Session(found)) if is_same(&found, live) => Ok(Value::Current(true)),
            Some(found) => Ok(found),
            None => Err(error.clone()),
        }
    }

    /// The results of the loads `late`: their deadlines have passed while they were queued behind operations on their
    /// sessions. A load that the queue can't answer is absent.
    pub(super) fn projected_for(&self, late: &[u32]) -> HashMap<u32, Value> {
        let mut found = HashMap::default();
        for (queue, entry) in self.queues.iter() {
            for operation in &entry.operations {
                let Action::Load { name, .. } = &operation.action else {
                    continue;
                };
                for op in operation.callers.iter().filter(|op| late.contains(op)) {
                    if let Some(value) = self.projected(queue, name, operation.record.as_ref()) {
                        found.insert(*op, value);
                    }
                }
            }
        }
        found
    }

    /// The session that has the key `name` once all operations of its queue are done; absent if they do not show it.
    pub(super) fn projected(
        &self,
        queue: &Rc<str>,
        name: &str,
        live: Option<&Shared>,
    ) -> Option<Value> {
        let entry = self.queues.get(queue)?;
        let in_flight = entry
            .ticket
            .and_then(|ticket| self.in_flight.operation(ticket));
        let operations = entry.operations.iter().rev().chain(in_flight);
        let writes =
            operations.filter(|operation| !matches!(operation.action, Action::Load { .. }));
        match project(writes, name)? {
            Value::Session(found) if is_same(&found, live) => Some(Value::Current(true)),
            Value::Session(found) if live.is_none() => Some(Value::Session(found)),
            _ => None,
        }
    }
}

fn is_same(found: &Shared, live: Option<&Shared>) -> bool {
    live.is_some_and(|live| found.borrow().uuid == live.borrow().uuid)
}

/// The session that has the key `name` after `operations`, which come in reverse order; absent if none concerns that key.
fn project<'a>(operations: impl Iterator<Item = &'a Operation>, name: &str) -> Option<Value> {
    for operation in operations {
        let Some(record) = &operation.record else {
            continue;
        };
        if operation.removes(name) {
            return Some(Value::Nothing);
        }
        if operation.is_of_placeholder() {
            continue;
        }
        if record.borrow().keys.iter().any(|key| *key.name == *name) {
            let projection = Record::projection(record);
            return Some(Value::Session(Rc::new(RefCell::new(projection))));
        }
    }
    None
}
