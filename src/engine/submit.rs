//! The way of an operation to the store: into its session's queue, and out of it when its turn has come.

use std::rc::Rc;

use super::core::Engine;
use super::in_flight::{Entry, Purpose};
use super::operation::{Action, Operation, Value};
use super::outcome::Written;
use super::prepare::{Prepared, prepare};
use super::{in_doubt, outcome};
use crate::error::{Error, Kind, Result};
use crate::session::Shared;
use crate::store::{Backend, Reply, StoreOp};

impl<B: Backend> Engine<B> {
    pub(super) fn on_session(
        &mut self,
        op: u32,
        record: &Shared,
        action: Action,
    ) -> Option<Result<Value>> {
        let queue = self.queues.of(&record.borrow());
        let operation = Operation::new(Some(Rc::clone(record)), action, op);
        self.enqueue(op, &queue, operation)
    }

    pub(super) fn enqueue(
        &mut self,
        op: u32,
        queue: &Rc<str>,
        operation: Operation,
    ) -> Option<Result<Value>> {
        if self.closing.has_begun() {
            return Some(Err(Error::closed()));
        }
        if self.can_replay(queue) {
            self.replay_queue(queue);
        }
        if self.queues.is_pending(queue) {
            return Some(self.join_pending(queue, operation));
        }
        if let Action::Load { name, .. } = &operation.action
            && self.breaker.down().is_some()
            && let Some(found) = self.projected(queue, name, operation.record.as_ref())
        {
            return Some(Ok(found));
        }
        if self.queues.contains(queue) {
            self.name_queue(queue, &operation);
            self.queues.push(queue, operation);
            self.wait(op);
            return None;
        }
        let answer = self.start(queue, operation, false);
        if answer.is_none() {
            self.wait(op);
        }
        answer
    }

    /// Starts an operation of a queue that has nothing in flight. Gives its result if it is done at once. What the store
    /// can't do now becomes a pending write; a `probe` is sent all the same.
    pub(super) fn start(
        &mut self,
        queue: &Rc<str>,
        mut operation: Operation,
        probe: bool,
    ) -> Option<Result<Value>> {
        let in_doubt = in_doubt::repeat(&mut operation);
        let repeated = in_doubt.is_some();
        let prepared = if let Some(store_op) = in_doubt {
            Ok(Prepared::Send(store_op))
        } else {
            self.sequence += 1;
            operation.follow_names();
            prepare(&operation, self.settings.default_ttl, self.sequence)
        };
        let store_op = match prepared {
            Ok(Prepared::Done(value)) => {
                // The key of a session that is not stored yet: what has changed is still to be saved.
                if matches!(value, Value::Count(1..)) {
                    self.failed(queue, &mut operation);
                }
                return Some(Ok(value));
            }
            Ok(Prepared::Send(store_op)) => store_op,
            Err(error) => {
                self.failed(queue, &mut operation);
                return Some(Err(error));
            }
        };
        if let Action::Load { name, .. } = &operation.action
            && let Some(found) = self.cached(name, operation.record.as_ref())
        {
            return Some(Ok(found));
        }
        let (kind, weight) = (store_op.kind(), store_op.weight());
        if !probe && let Some(error) = self.refusal(&operation.action, weight) {
            if repeated {
                in_doubt::postpone(&mut operation, store_op);
            }
            return Some(Err(self.defer(queue, operation, error)));
        }
        if store_op.is_write() {
            self.breaker.write_sent();
        }
        let write = store_op.write().map(Rc::clone);
        let ticket = self.in_flight.next_ticket();
        if let Some(mut reply) = self.backend.submit(ticket, store_op) {
            let now = self.now();
            let written = Written {
                write: write.as_deref(),
                since: Some(now),
                now,
            };
            outcome::date(&mut reply, now);
            let result = outcome::apply(&operation, &written, reply, true);
            if result.is_err() {
                self.failed(queue, &mut operation);
            }
            return Some(result);
        }
        self.name_queue(queue, &operation);
        self.queues.get_or_begin(queue).ticket = Some(ticket);
        let purpose = Purpose::Queued {
            queue: Rc::clone(queue),
            operation,
            write,
            repeated,
        };
        self.send(ticket, purpose, kind, weight);
        None
    }

    /// Why an action can't be sent to the store now, if it can't.
    fn refusal(&self, action: &Action, weight: usize) -> Option<Error> {
        let is_save = matches!(action, Action::Save { .. } | Action::CompareAndSet { .. });
        let refusal = if !is_save {
            self.breaker.down()
        } else if self.breaker.may_probe_write(self.now()) {
            None
        } else {
            self.breaker.refusal()
        };
        refusal.or_else(|| self.check_room(weight).err())
    }

    /// An operation on no session in particular.
    pub fn plain(&mut self, op: u32, store_op: StoreOp) -> Option<Result<Value>> {
        let default_ttl = self.settings.default_ttl;
        let mut store_op = store_op;
        if let StoreOp::Set { ttl, .. } | StoreOp::Touch { ttl, .. } = &mut store_op {
            *ttl = ttl.or(default_ttl);
        }
        if self.closing.has_begun() {
            return Some(Err(Error::closed()));
        }
        if let Some(error) = self.breaker.down() {
            return Some(Err(error));
        }
        let weight = store_op.weight();
        if let Err(full) = self.check_room(weight) {
            return Some(Err(full));
        }
        let changes = match &store_op {
            _ if !self.cache.may_keep() => None,
            StoreOp::Set { name, .. } | StoreOp::Delete { name } | StoreOp::Touch { name, .. } => {
                Some(Some(name.clone()))
            }
            StoreOp::Clear => Some(None),
            _ => None,
        };
        // What walks through the whole store takes its time; each of its commands has a deadline.
        let is_long = store_op.is_long();
        let kind = store_op.kind();
        let ticket = self.in_flight.next_ticket();
        if let Some(mut reply) = self.backend.submit(ticket, store_op) {
            if matches!(reply, Ok(Reply::Loaded(Some(_)))) {
                outcome::date(&mut reply, self.now());
            }
            return Some(reply.map(Value::from));
        }
        let purpose = changes.map_or(Purpose::Plain(op), |name| Purpose::Change(op, name));
        self.send(ticket, purpose, kind, weight);
        if is_long {
            self.deadlines.wait(op, None);
        } else {
            self.wait(op);
        }
        None
    }

    pub(super) fn send(
        &mut self,
        ticket: u32,
        purpose: Purpose,
        kind: &'static str,
        weight: usize,
    ) {
        let entry = Entry {
            purpose,
            kind,
            weight,
            began: self.now(),
            cache_time: self.cache.now(),
        };
        self.in_flight.add(ticket, entry);
    }

    fn wait(&mut self, op: u32) {
        let at = self.now() + self.settings.timeout;
        self.deadlines.wait(op, Some(at));
    }

    /// Whether `weight` bytes more may be sent. A single operation may always, however large it is.
    fn check_room(&self, weight: usize) -> Result<()> {
        // A read takes no room from pending writes, nor do they take any from it.
        let pending = if weight == 0 { 0 } else { self.pending.len() };
        let count = self.in_flight.len() + pending;
        let bytes = self.in_flight.bytes() + self.pending.bytes();
        let limits = self.settings.limits;
        if count < limits.count && (weight == 0 || count == 0 || bytes + weight <= limits.bytes) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unavailable,
            format!(
                "{count} operations with {bytes} bytes wait for the store: it takes no more (`maxQueue`, `maxQueueBytes`)"
            ),
        ))
    }

    /// Has loads by the keys of an operation's session find its queue, and the near cache not be trusted for them.
    pub(super) fn name_queue(&mut self, queue: &Rc<str>, operation: &Operation) {
        let Some(record) = &operation.record else {
            self.queues.get_or_begin(queue);
            return;
        };
        let record = record.borrow();
        let cache = &mut self.cache;
        cache.revoke(&record.primary);
        self.queues.name(queue, &record, |name| {
            if *name != record.primary {
                cache.revoke(name);
            }
        });
    }

    /// An operation will not be done: what it would have saved is passed on.
    pub(super) fn failed(&mut self, queue: &Rc<str>, operation: &mut Operation) {
        let later = self.queues.get_mut(queue);
        operation.fail(later.into_iter().flat_map(|queue| &mut queue.operations));
        self.review(queue, operation);
    }

    pub(super) fn review(&self, queue: &Rc<str>, operation: &Operation) {
        if let Some(record) = &operation.record {
            self.queues.review(queue, record);
        }
    }
}
