//! How operations get into the write-behind queue while the store fails, and out of it when the store answers again.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;

use super::compaction::compact;
use super::core::Engine;
use super::operation::{Action, Operation, SaveMode, Value, coalesce};
use super::pending_writes::given_up;
use super::prepare::unwritable;
use crate::error::{Error, Kind, Result};
use crate::session::Shared;
use crate::store::Backend;

/// How many store operations are in flight at once while pending writes are replayed.
const REPLAYED_AT_ONCE: usize = 256;

impl<B: Backend> Engine<B> {
    /// The store could not do an operation: it becomes a pending write if it may, or stays an in-doubt write. So do the
    /// writes behind it. Gives the error for its callers.
    pub(super) fn defer(
        &mut self,
        queue: &Rc<str>,
        mut operation: Operation,
        error: Error,
    ) -> Error {
        let is_pending = operation.can_be_pending();
        if !is_pending && operation.in_doubt.is_none() {
            self.failed(queue, &mut operation);
            return error;
        }
        self.name_queue(queue, &operation);
        let record = operation.record.clone().filter(|_| !is_pending);
        let entry = self.queues.get_or_begin(queue);
        let mut queued = std::mem::take(&mut entry.operations);
        // What a rejected operation would have saved goes with what comes after it.
        queued.push_front(Operation {
            callers: SmallVec::new(),
            ..operation
        });
        fail_in_turn(&mut queued, |operation| !operation.can_be_pending());
        let kept = kept(&error);
        let mut pending = VecDeque::from_iter(queued.pop_front());
        let mut rejected = Vec::new();
        for mut operation in queued {
            if operation.can_be_pending() {
                for op in std::mem::take(&mut operation.callers) {
                    self.deadlines.complete(op, Err(kept.clone()));
                }
                if let Some(operation) = coalesce(pending.back_mut(), operation) {
                    pending.push_back(operation);
                }
            } else {
                rejected.push(operation);
            }
        }
        self.queues.get_or_begin(queue).operations = pending;
        for operation in rejected {
            self.reject(queue, operation, &error);
        }
        if let Some(record) = record {
            self.queues.review(queue, &record);
        }
        self.weigh(queue);
        self.keep_within_limits(&error);
        if is_pending { kept } else { error }
    }

    /// Completes an operation that can't be pending, behind pending writes of its session.
    fn reject(&mut self, queue: &Rc<str>, mut operation: Operation, error: &Error) {
        let callers = std::mem::take(&mut operation.callers);
        let result = if let Action::Load { name, .. } = &operation.action {
            self.projected_of_pending(queue, name, operation.record.as_ref(), error)
        } else {
            self.review(queue, &operation);
            Err(error.clone())
        };
        for op in callers {
            self.deadlines.complete(op, result.clone());
        }
    }

    /// Brings the write-behind queue up to date after the operations of a session's queue have changed.
    fn weigh(&mut self, queue: &Rc<str>) {
        let Some(entry) = self.queues.get_mut(queue) else {
            return;
        };
        let weight = entry.operations.iter().map(Operation::weight).sum();
        match entry.pending {
            Some(position) if entry.operations.is_empty() => {
                self.pending.remove(position);
                entry.pending = None;
                self.queues.retire(queue);
            }
            Some(position) => self.pending.weigh(position, weight),
            None if entry.operations.is_empty() => self.queues.retire(queue),
            None => entry.pending = Some(self.pending.add(queue, weight)),
        }
    }

    /// An operation on a session that has pending writes: it becomes pending too, or is answered without the store.
    pub(super) fn join_pending(
        &mut self,
        queue: &Rc<str>,
        mut operation: Operation,
    ) -> Result<Value> {
        let error = self.breaker.refusal().unwrap_or_else(|| {
            let message = "earlier writes of this session are still pending";
            Error::new(Kind::Unavailable, message)
        });
        if let Action::Load { name, .. } = &operation.action {
            return self.projected_of_pending(queue, name, operation.record.as_ref(), &error);
        }
        let Some(record) = operation.record.clone() else {
            return Err(error);
        };
        let uuid = Rc::clone(&record.borrow().uuid);
        let unwritable = unwritable(&record.borrow());
        if let Action::Save { change, mode, .. } = &operation.action
            && change.patch.is_empty()
            && *mode != SaveMode::Always
            && (unwritable.is_some()
                || !record.borrow().is_dirty()
                || self.has_save(queue, &record))
        {
            return Ok(Value::Nothing);
        }
        if let Some(error) = unwritable
            && matches!(
                operation.action,
                Action::Save { .. } | Action::CompareAndSet { .. }
            )
        {
            return Err(error);
        }
        if !operation.can_be_pending() {
            operation.fail([]);
            self.queues.review(queue, &record);
            return Err(error);
        }
        operation.callers.clear();
        self.name_queue(queue, &operation);
        self.queues.push(queue, operation);
        let is_ending = self.is_ending(queue, &record.borrow());
        let entry = self.queues.get_mut(queue).filter(|_| is_ending);
        let is_settled = entry.is_some_and(|queue| compact(queue, &uuid));
        self.weigh(queue);
        self.keep_within_limits(&error);
        if is_settled {
            Ok(Value::Count(0))
        } else {
            Err(kept(&error))
        }
    }

    /// Whether a pending save of a record takes its new keys along.
    fn has_save(&self, queue: &Rc<str>, record: &Shared) -> bool {
        self.queues.operations(queue).any(|operation| {
            operation.in_doubt.is_none()
                && matches!(operation.action, Action::Save { .. })
                && operation.is_by(record)
        })
    }

    fn keep_within_limits(&mut self, error: &Error) {
        while self.pending.exceeds(self.settings.limits)
            && let Some(queue) = self.pending.first()
        {
            let why = format!("too many writes are pending: {}", error.message);
            self.give_up(&queue, &why);
        }
    }

    /// Gives up the pending writes of a session.
    pub(super) fn give_up(&mut self, queue: &Rc<str>, why: &str) {
        let Some(entry) = self.queues.get_mut(queue) else {
            return;
        };
        let mut operations = std::mem::take(&mut entry.operations);
        fail_in_turn(&mut operations, |_| true);
        for operation in operations {
            if let (Some(_), Some(record)) = (&operation.in_doubt, &operation.record) {
                record.borrow_mut().mark_uncertain();
            }
            self.review(queue, &operation);
            if operation.can_be_pending() {
                self.events.push(given_up(&operation, why));
            }
        }
        self.weigh(queue);
    }

    /// Replays pending writes as far as the store answers: the oldest first, some at once.
    pub(super) fn replay(&mut self, now: Instant) {
        if self.pending.is_empty() {
            return;
        }
        // Each session once: one that can't be replayed now becomes pending again.
        let mut left = self.pending.len();
        let probe = !self.breaker.is_well() && self.breaker.may_probe_write(now);
        let before = self.in_flight.last_ticket();
        while left > 0
            && self.in_flight.len() < REPLAYED_AT_ONCE
            && (self.breaker.is_well() || (probe && self.in_flight.last_ticket() == before))
            && let Some(queue) = self.pending.first()
        {
            left -= 1;
            self.replay_queue(&queue);
        }
    }

    /// Whether the pending writes of a session are to be replayed now, before what comes behind them.
    pub(super) fn can_replay(&self, queue: &str) -> bool {
        if !self.queues.is_pending(queue) {
            return false;
        }
        // An in-doubt write whose caller was told that it has failed must not hold up what comes after it.
        let first = self.queues.operations(queue).next();
        let is_pending = first.is_some_and(Operation::can_be_pending);
        self.breaker.is_well() || (!is_pending && self.breaker.down().is_none())
    }

    /// Replays the pending writes of a session.
    pub(super) fn replay_queue(&mut self, queue: &Rc<str>) {
        if let Some(entry) = self.queues.get_mut(queue)
            && let Some(position) = entry.pending.take()
        {
            self.pending.remove(position);
            self.advance(queue, true);
        }
    }
}

/// The operations that `fails` picks will not be done: each passes its change on to what comes after it.
fn fail_in_turn(operations: &mut VecDeque<Operation>, fails: impl Fn(&Operation) -> bool) {
    let mut rest = operations.make_contiguous();
    while let Some((operation, later)) = rest.split_first_mut() {
        if fails(operation) {
            operation.fail(&mut *later);
        }
        rest = later;
    }
}

fn kept(error: &Error) -> Error {
    let message = format!(
        "{}; the write is pending, and done when the store answers again",
        error.message
    );
    Error::new(error.kind, message)
}
