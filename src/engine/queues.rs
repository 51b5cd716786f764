//! One queue per session: what is asked for of a session is done in that order.

use std::collections::VecDeque;
use std::rc::Rc;

use smallvec::SmallVec;

use super::in_flight::Sent;
use super::operation::{self, Action, InDoubt, Operation, coalesce};
use super::pending_writes::Place;
use super::prepare::{Prepared, prepare};
use super::{BRIEFLY, Engine, Shared, Value, closed};
use crate::error::{Kind, Result};
use crate::session::{Record, Written};
use crate::store::{Backend, Event, Reply};

#[derive(Default)]
pub struct Queue {
    pub waiting: VecDeque<Operation>,
    /// What is at the store, if anything is.
    pub ticket: Option<u32>,
    /// The names by which loads find this queue.
    pub names: SmallVec<[Rc<str>; 2]>,
    /// Where it stands if what waits is pending; then nothing of it is at the store.
    pub pending: Option<Place>,
}

impl<B: Backend> Engine<B> {
    pub(super) fn on_session(
        &mut self,
        op: u32,
        record: &Shared,
        action: Action,
    ) -> Option<Result<Value>> {
        let queue = self.queue(&record.borrow());
        self.enqueue(
            op,
            &queue,
            Operation::new(Some(Rc::clone(record)), action, op),
        )
    }

    /// The queue of a session: where something of it is under way, or else of what has one of its keys, so that two
    /// sessions that are new under the same key are stored one after the other.
    pub(super) fn queue(&self, record: &Record) -> Rc<str> {
        let queue = self.queues_of(record).next();
        Rc::clone(queue.unwrap_or(&record.uuid))
    }

    /// The queues in which something of a session, or of what has one of its keys, is under way.
    fn queues_of<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a Rc<str>> {
        let own = self.queues.get_key_value(&*record.uuid);
        let names = record.keys.iter().map(|key| &*key.name);
        let others = std::iter::once(&*record.uuid)
            .chain(names)
            .filter_map(|name| self.queue_by_name.get(name));
        own.map(|(queue, _)| queue).into_iter().chain(others)
    }

    pub(super) fn enqueue(
        &mut self,
        op: u32,
        queue: &Rc<str>,
        operation: Operation,
    ) -> Option<Result<Value>> {
        if self.closed {
            return Some(Err(closed()));
        }
        if self.can_replay(queue) {
            self.replay_queue(queue);
        }
        if self.is_pending(queue) {
            return Some(self.join_pending(queue, operation));
        }
        if let Action::Load { name, .. } = &operation.action
            && self.breaker.down().is_some()
            && let Some(found) = self.found_ahead(queue, name, operation.record.as_ref())
        {
            return Some(Ok(found));
        }
        if self.queues.contains_key(queue) {
            self.occupy(queue, &operation);
            let waiting = &mut self.queues.entry(Rc::clone(queue)).or_default().waiting;
            if let Some(operation) = coalesce(waiting.back_mut(), operation) {
                waiting.push_back(operation);
            }
            self.wait(op);
            return None;
        }
        let answer = self.start(queue, operation, false);
        if answer.is_none() {
            self.wait(op);
        }
        answer
    }

    /// Starts a operation on a queue that has nothing at the store. Answers it if it is done at once. One that the store can't
    /// do now is pending; a `trial` is sent all the same.
    pub(super) fn start(
        &mut self,
        queue: &Rc<str>,
        mut operation: Operation,
        trial: bool,
    ) -> Option<Result<Value>> {
        let in_doubt = operation.in_doubt.take();
        let again = in_doubt.is_some();
        let prepared = if let Some(in_doubt) = in_doubt {
            Ok(Prepared::Send(in_doubt.op, in_doubt.written))
        } else {
            self.sequences += 1;
            prepare(&operation, self.default_ttl, self.sequences)
        };
        let (what, written) = match prepared {
            Ok(Prepared::Done(value)) => return Some(Ok(value)),
            Ok(Prepared::Send(what, written)) => (what, written),
            Err(error) => {
                self.has_ended(queue, &operation, false);
                return Some(Err(error));
            }
        };
        if let Action::Load { name, .. } = &operation.action
            && let Some(found) = self.cache(name, operation.record.as_ref())
        {
            return Some(Ok(found));
        }
        let (kind, weight) = (what.kind(), what.weight());
        let refusal = match &operation.action {
            _ if trial => None,
            Action::Save { .. } | Action::CompareAndSet { .. }
                if self.breaker.try_write_now(self.now()) =>
            {
                None
            }
            Action::Save { .. } | Action::CompareAndSet { .. } => self.breaker.refusal(),
            _ => self.breaker.down(),
        };
        // What was pending has its place already.
        let refusal = refusal.or_else(|| if trial { None } else { self.room(weight).err() });
        if let Some(error) = refusal {
            operation.in_doubt = again.then(|| Box::new(InDoubt { op: what, written }));
            return Some(Err(self.defer(queue, operation, error)));
        }
        let ticket = self.ticket();
        if let Some(reply) = self.backend.submit(ticket, what) {
            let result = operation::apply(&operation, written.as_deref(), reply, true);
            if result.is_err() {
                self.has_ended(queue, &operation, false);
            }
            return Some(result);
        }
        self.occupy(queue, &operation);
        let queue = Rc::clone(queue);
        self.queues.entry(Rc::clone(&queue)).or_default().ticket = Some(ticket);
        let sent = Sent::Queue {
            queue,
            operation,
            written,
            again,
        };
        self.send(ticket, sent, kind, weight);
        None
    }

    /// After something was not done, or was of which nobody knew: what waits goes on from there.
    pub(super) fn has_ended(&mut self, queue: &Rc<str>, operation: &Operation, done: bool) {
        if let Some(entry) = self.queues.get_mut(queue) {
            operation.pass_on(done, &mut entry.waiting);
        }
        if let Some(record) = &operation.record {
            self.review(queue, record);
        }
    }

    /// What the store will have of a session is what it has confirmed, with what waits to be done.
    pub(super) fn review(&self, queue: &Rc<str>, record: &Shared) {
        let waiting = self
            .queues
            .get(queue)
            .into_iter()
            .flat_map(|queue| &queue.waiting);
        let of_record = |operation: &&Operation| {
            operation
                .record
                .as_ref()
                .is_some_and(|other| Rc::ptr_eq(other, record))
        };
        record.borrow_mut().review(
            waiting
                .filter(of_record)
                .filter(|operation| operation.will_save())
                .filter_map(Operation::changes),
        );
    }

    pub(super) fn occupy(&mut self, queue: &Rc<str>, operation: &Operation) {
        let entry = self.queues.entry(Rc::clone(queue)).or_default();
        let Some(record) = &operation.record else {
            return;
        };
        let record = record.borrow();
        self.cache.doubt(&record.primary);
        for key in &record.keys {
            if !self.queue_by_name.contains_key(&key.name) {
                if key.name != record.primary {
                    self.cache.doubt(&key.name);
                }
                self.queue_by_name
                    .insert(Rc::clone(&key.name), Rc::clone(queue));
                entry.names.push(Rc::clone(&key.name));
            }
        }
        let uuid = &record.uuid;
        if **queue != **uuid && !self.queue_by_name.contains_key(&**uuid) {
            self.queue_by_name.insert(Rc::clone(uuid), Rc::clone(queue));
            entry.names.push(Rc::clone(uuid));
        }
    }

    /// A record that is as what is cache needs no look there, if nothing of its keys is under way; on `ending` nothing is any
    /// more.
    pub(super) fn validate(&mut self, record: &mut Record, ending: Option<&Rc<str>>) {
        if self.queues_of(record).all(|queue| Some(queue) == ending) {
            record.validity = self.cache.validate(record);
        }
    }

    pub(super) fn settle(
        &mut self,
        queue: &Rc<str>,
        mut operation: Operation,
        written: Option<&Written>,
        reply: Result<Reply>,
        asked: u64,
        again: bool,
    ) {
        let waiters = std::mem::take(&mut operation.waiters);
        let heard = waiters.iter().any(|op| self.outstanding.contains(op));
        let could_be_pending = operation.can_be_pending();
        if let Some(entry) = self.queues.get_mut(queue) {
            entry.ticket = None;
        }
        let result = match reply {
            Err(error) if error.will_pass() => {
                if let Some(record) = operation.record.clone() {
                    self.let_go(&operation, &record.borrow());
                }
                Err(self.defer(queue, operation, error))
            }
            reply => {
                let result = operation::apply(&operation, written, reply, heard);
                self.keep(queue, &operation, written, &result, asked);
                if result.is_err() || (again && !could_be_pending) {
                    self.has_ended(queue, &operation, result.is_ok());
                }
                result
            }
        };
        // Those who waited too long were told just that; what came of it in the end is news. But not that something
        // was not done of which nobody was told that it would be.
        if let Err(error) = &result
            && error.kind != Kind::Timeout
            && !heard
            && (could_be_pending || !again || !matches!(error.kind, Kind::Gone | Kind::Conflict))
        {
            self.events.push(Event::Error(error.clone()));
        }
        for op in waiters {
            self.finish(op, result.clone());
        }
        self.advance(queue, false);
    }

    /// What an operation on a session means for the cache cache.
    pub(super) fn keep(
        &mut self,
        queue: &Rc<str>,
        operation: &Operation,
        written: Option<&Written>,
        result: &Result<Value>,
        asked: u64,
    ) {
        let Some(record) = operation.record.as_ref().filter(|_| self.cache.is_on()) else {
            return;
        };
        let mut record = record.borrow_mut();
        match (&operation.action, result) {
            (Action::Load { .. }, _) => {}
            (Action::RemoveKey { .. }, Ok(Value::Count(1..)))
            | (Action::Save { .. } | Action::CompareAndSet { .. }, Ok(_)) => {
                match record.as_stored() {
                    Some(stored) => {
                        let renewal_due_in = match written {
                            Some(written) => written.ttl.map(|ttl| ttl / 2),
                            // Its time to live goes on from when it was: that has to be looked at soon.
                            None => Some(BRIEFLY),
                        };
                        self.cache.keep(stored, asked, renewal_due_in, self.now());
                        let is_last = |queue: &Queue| queue.waiting.is_empty();
                        if self.queues.get(queue).is_some_and(is_last) {
                            self.validate(&mut record, Some(queue));
                        }
                    }
                    None => self.let_go(operation, &record),
                }
            }
            _ => self.let_go(operation, &record),
        }
    }

    /// Nothing is known of a session, nor of those that had its keys before.
    fn let_go(&mut self, operation: &Operation, record: &Record) {
        self.cache.forget(&record.primary);
        // One that could not be loaded has no keys here.
        let removed = match &operation.action {
            Action::RemoveKey { name, .. } => Some(name),
            _ => None,
        };
        let names = record.keys.iter().map(|key| &key.name).chain(removed);
        for name in names.filter(|name| **name != record.primary) {
            self.cache.forget(name);
        }
    }

    /// Starts what waits on a queue, until something is at the store again, or is pending, or the queue is empty.
    pub(super) fn advance(&mut self, queue: &Rc<str>, trial: bool) {
        while let Some(entry) = self
            .queues
            .get_mut(queue)
            .filter(|queue| queue.pending.is_none())
        {
            let Some(operation) = entry.waiting.pop_front() else {
                break;
            };
            let waiters = operation.waiters.clone();
            let Some(result) = self.start(queue, operation, trial) else {
                return;
            };
            if let Err(error) = &result
                && waiters.is_empty()
                && !error.will_pass()
            {
                // It was said to be done later.
                self.events.push(Event::Error(error.clone()));
            }
            for op in waiters {
                self.finish(op, result.clone());
            }
        }
        self.retire(queue);
    }

    /// Forgets a queue that has nothing to do.
    pub(super) fn retire(&mut self, queue: &Rc<str>) {
        if let Some(over) = self.queues.get(queue)
            && over.pending.is_none()
            && let Some(over) = self.queues.remove(queue)
        {
            for name in over.names {
                self.queue_by_name.remove(&name);
            }
        }
    }
}
