//! The end of an engine: what was accepted is finished, the rest is given up at the deadline.

use std::time::Instant;

use super::core::Engine;
use super::in_flight::Purpose;
use super::operation::Value;
use super::pending_writes::{PendingWrites, given_up};
use crate::error::{Error, Result};
use crate::store::{Backend, StoreOp};

impl<B: Backend> Engine<B> {
    /// Finishes what was accepted, pending writes included, then closes the store. Whatever comes later is refused, and what
    /// is not done by the deadline is given up.
    pub fn close(&mut self, op: u32, deadline: Instant) -> Option<Result<Value>> {
        if self.closing.has_begun() {
            // One close for all that ask.
            let waiting = self.closing.waiting();
            return match waiting.or(self.in_flight.closing()) {
                Some(ops) => {
                    ops.push(op);
                    None
                }
                None => Some(Ok(Value::Nothing)),
            };
        }
        self.closing.begin();
        self.cache.track(false);
        if self.in_flight.is_empty() && self.pending.is_empty() {
            self.submit_close(vec![op]);
            // A store that has nothing to wait for is closed at once.
            return self.deadlines.take_last(op);
        }
        self.closing.wait(op, deadline);
        None
    }

    /// Closes the store once everything is finished.
    pub(super) fn close_when_done(&mut self) {
        if self.in_flight.is_empty()
            && self.pending.is_empty()
            && let Some(ops) = self.closing.take()
        {
            self.submit_close(ops);
        }
    }

    /// Closes the store if the deadline for everything else has passed.
    pub(super) fn close_if_late(&mut self, now: Instant) {
        if let Some(ops) = self.closing.take_if_late(now) {
            self.abandon();
            self.submit_close(ops);
        }
    }

    fn submit_close(&mut self, ops: Vec<u32>) {
        let ticket = self.in_flight.next_ticket();
        match self.backend.submit(ticket, StoreOp::Close) {
            Some(reply) => self.closed(ops, &reply.map(Value::from)),
            None => self.send(ticket, Purpose::Close(ops), "close", 0),
        }
    }

    pub(super) fn closed(&mut self, ops: Vec<u32>, result: &Result<Value>) {
        for op in ops {
            self.deadlines.complete_always(op, result.clone());
        }
    }

    /// What is not done now will not be: callers and, for writes, listeners are told.
    fn abandon(&mut self) {
        self.pending = PendingWrites::default();
        let in_flight = self.in_flight.abandon().into_iter();
        let in_flight = in_flight.filter_map(|entry| match entry.purpose {
            Purpose::Queued { operation, .. } => Some((
                operation,
                "the store was closed before it answered; it may have been done",
            )),
            _ => None,
        });
        let queued = self.queues.abandon().into_iter();
        let queued = queued.map(|operation| (operation, "the store was closed"));
        let writes = in_flight
            .chain(queued)
            .filter(|(operation, _)| operation.can_be_pending());
        self.events
            .extend(writes.map(|(operation, why)| given_up(&operation, why)));
        self.deadlines.complete_all(&Err(Error::closed()));
    }
}
