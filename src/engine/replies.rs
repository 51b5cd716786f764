//! The way back: what the store has answered, and what has waited too long.

use std::rc::Rc;
use std::time::Instant;

use super::core::Engine;
use super::deadlines::Completion;
use super::in_flight::{Entry, Purpose};
use super::operation::{Action, Operation, Value};
use super::outcome::Written;
use super::{in_doubt, outcome};
use crate::error::{Error, Kind, Result};
use crate::session::{Record, Renamed};
use crate::store::{Backend, Event, Failed, Reply, StoreOp};

/// How long the near cache keeps a session whose time to live was not renewed, ms.
const UNRENEWED: u64 = 2000;

impl<B: Backend> Engine<B> {
    /// Everything that was completed since the last call.
    pub fn drain(&mut self) -> (Vec<Completion>, Vec<Event>) {
        let now = self.now();
        let answers = self.backend.take();
        for event in answers.events {
            self.take_event(event);
        }
        for (ticket, answer) in answers.replies {
            if let Some(entry) = self.in_flight.take(ticket) {
                self.take_answer(entry, answer, now);
            }
        }
        self.replay(now);
        self.close_when_done();
        self.backend.flush();
        (self.deadlines.take(), std::mem::take(&mut self.events))
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Tracking(is_on) => self.cache.track(is_on),
            Event::Changed(names) if names.is_empty() => self.cache.clear(),
            Event::Changed(names) => names.iter().for_each(|name| self.cache.invalidate(name)),
            event => {
                if event == Event::Connect {
                    self.store_has_answered(false);
                }
                self.events.push(event);
            }
        }
    }

    fn take_answer(
        &mut self,
        entry: Entry,
        answer: std::result::Result<Reply, Failed>,
        now: Instant,
    ) {
        let (mut reply, store_op) = match answer {
            Ok(reply) => (Ok(reply), None),
            Err(Failed { error, op }) => (Err(error), Some(op)),
        };
        outcome::date(&mut reply, now);
        self.statistics.answered(entry.kind, now - entry.began);
        if let Err(error) = &reply {
            self.statistics.failed(error);
        }
        self.judge(&reply);
        if entry.purpose.is_write() {
            self.breaker.write_ended();
        }
        if let Ok(Reply::Loaded(Some(found))) = &reply
            && self.cache.is_on()
        {
            let record = Record::loaded((**found).clone());
            self.cache
                .keep(record, entry.cache_time, found.renewal_due_in, now);
        }
        match entry.purpose {
            Purpose::Plain(op) => self.deadlines.complete(op, reply.map(Value::from)),
            Purpose::Change(op, name) => {
                match name {
                    Some(name) => self.cache.forget(&name),
                    None => self.cache.clear(),
                }
                self.deadlines.complete(op, reply.map(Value::from));
            }
            Purpose::Queued {
                queue,
                mut operation,
                write,
                repeated,
            } => {
                if let (Some(store_op), Err(error)) = (store_op, &reply) {
                    // The store may have it under these names.
                    self.rename(&queue, &operation, store_op.renamed());
                    in_doubt::keep(&mut operation, store_op, error, repeated);
                }
                let answered = Answered {
                    written: Written {
                        write: write.as_deref(),
                        since: (!repeated).then_some(entry.began),
                        now,
                    },
                    cache_time: entry.cache_time,
                    repeated,
                };
                self.settle(&queue, operation, reply, &answered);
            }
            Purpose::Probe => {}
            Purpose::Close(ops) => self.closed(ops, &reply.map(Value::from)),
        }
    }

    /// What an answer says of the store.
    pub(super) fn judge(&mut self, reply: &Result<Reply>) {
        match reply {
            Err(error) if error.will_pass() => self.store_has_failed(error),
            Ok(Reply::Saved(_) | Reply::Removed { .. }) => self.store_has_answered(true),
            _ => self.store_has_answered(false),
        }
    }

    pub(super) fn store_has_failed(&mut self, error: &Error) {
        let now = self.now();
        if self.breaker.failed(error, now) {
            self.events.push(Event::Breaker(true));
        }
    }

    fn store_has_answered(&mut self, has_written: bool) {
        if self.breaker.succeeded(has_written) {
            self.events.push(Event::Breaker(false));
        }
    }

    /// Completes an operation that was in flight, and starts the next one of its queue.
    fn settle(
        &mut self,
        queue: &Rc<str>,
        mut operation: Operation,
        reply: Result<Reply>,
        answered: &Answered<'_>,
    ) {
        let callers = std::mem::take(&mut operation.callers);
        let has_callers = callers.iter().any(|op| self.deadlines.is_waiting(*op));
        let could_be_pending = operation.can_be_pending();
        if let Some(entry) = self.queues.get_mut(queue) {
            entry.ticket = None;
        }
        let result = match reply {
            Err(error) if error.will_pass() => {
                if let Some(record) = &operation.record {
                    self.forget(&operation, &record.borrow());
                }
                Err(self.defer(queue, operation, error))
            }
            reply => {
                if let Ok(Reply::Saved(saved)) = &reply {
                    self.rename(queue, &operation, &saved.renamed);
                }
                let result = outcome::apply(&operation, &answered.written, reply, has_callers);
                self.keep(queue, &operation, &result, answered);
                if result.is_err() {
                    self.failed(queue, &mut operation);
                } else if answered.repeated && !could_be_pending {
                    let later = self.queues.get_mut(queue);
                    operation.succeed(later.into_iter().flat_map(|queue| &mut queue.operations));
                    self.review(queue, &operation);
                }
                result
            }
        };
        // Callers that waited too long were told that the deadline has passed: what became of their operation in the end is
        // news. But not that something was not done that no caller was promised.
        if let Err(error) = &result
            && error.kind != Kind::Timeout
            && !has_callers
            && (could_be_pending
                || !answered.repeated
                || !matches!(error.kind, Kind::Gone | Kind::Conflict))
        {
            self.events.push(Event::Error(error.clone()));
        }
        for op in callers {
            self.deadlines.complete(op, result.clone());
        }
        self.advance(queue, false);
    }

    /// The store has, or may have, keys of an operation's session under other names: loads by these find its queue too.
    fn rename(&mut self, queue: &Rc<str>, operation: &Operation, renamed: &[Renamed]) {
        let Some(record) = operation.record.as_ref().filter(|_| !renamed.is_empty()) else {
            return;
        };
        record.borrow_mut().rename_keys(renamed);
        self.name_queue(queue, operation);
    }

    /// Starts the operations of a queue, until one is in flight again, or pending, or the queue is empty.
    pub(super) fn advance(&mut self, queue: &Rc<str>, probe: bool) {
        while let Some(operation) = self.queues.next(queue) {
            let callers = operation.callers.clone();
            let Some(result) = self.start(queue, operation, probe) else {
                return;
            };
            if let Err(error) = &result
                && callers.is_empty()
                && !error.will_pass()
            {
                // Its caller was told that it would be done later.
                self.events.push(Event::Error(error.clone()));
            }
            for op in callers {
                self.deadlines.complete(op, result.clone());
            }
        }
        self.queues.retire(queue);
    }

    /// What an operation on a session means for the near cache.
    fn keep(
        &mut self,
        queue: &Rc<str>,
        operation: &Operation,
        result: &Result<Value>,
        answered: &Answered<'_>,
    ) {
        let Some(record) = operation.record.as_ref().filter(|_| self.cache.is_on()) else {
            return;
        };
        let mut record = record.borrow_mut();
        match (&operation.action, result) {
            (Action::Load { .. }, _) => {}
            (Action::RemoveKey { .. }, Ok(Value::Count(1..)))
            | (Action::Save { .. } | Action::CompareAndSet { .. }, Ok(_)) => {
                if let Some(stored) = record.as_stored() {
                    let renewal_due_in = match answered.written.write {
                        Some(write) => write.ttl.map(|ttl| ttl / 2),
                        // Its time to live was not renewed, and it is not known here how much of it is left.
                        None => Some(UNRENEWED),
                    };
                    let now = self.now();
                    self.cache
                        .keep(stored, answered.cache_time, renewal_due_in, now);
                    if self.queues.is_last(queue) {
                        self.validate(&mut record, Some(queue));
                    }
                } else {
                    self.forget(operation, &record);
                }
            }
            _ => self.forget(operation, &record),
        }
    }

    /// A record that is equal to what the near cache has needs no load, if nothing of its keys is under way. The queue
    /// `ending` has nothing more under way.
    pub(super) fn validate(&mut self, record: &mut Record, ending: Option<&Rc<str>>) {
        if self
            .queues
            .all_of(record)
            .all(|queue| Some(queue) == ending)
        {
            record.validity = self.cache.validity(record);
        }
    }

    /// The near cache forgets a session, and those that had its keys before.
    fn forget(&mut self, operation: &Operation, record: &Record) {
        self.cache.forget(&record.primary);
        // A session that could not be loaded has no keys here.
        let removed = match &operation.action {
            Action::RemoveKey { name, .. } => Some(name),
            _ => None,
        };
        let names = record.keys.iter().map(|key| &key.name).chain(removed);
        for name in names.filter(|name| **name != record.primary) {
            self.cache.forget(name);
        }
    }

    /// Completes the operations whose deadline has passed, and probes a store that has failed. Gives the tickets of the
    /// store operations that are late, for a store that has no deadlines of its own.
    pub fn expire(&mut self, now: Instant) -> Vec<u32> {
        self.close_if_late(now);
        if self.breaker.probe(now) {
            let ticket = self.in_flight.next_ticket();
            match self.backend.submit(ticket, StoreOp::Ping) {
                Some(reply) => self.judge(&reply),
                None => self.send(ticket, Purpose::Probe, "ping", 0),
            }
        }
        self.replay(now);
        let late = self.deadlines.passed(now);
        if !late.is_empty() {
            let waited = self.settings.timeout.as_millis();
            let message = format!("the store did not answer within {waited} ms");
            let error = Error::new(Kind::Timeout, message);
            let mut found = self.projected_for(&late);
            for op in late {
                self.store_has_failed(&error);
                let result = found.remove(&op).ok_or_else(|| error.clone());
                self.deadlines.complete(op, result);
            }
        }
        self.backend.flush();
        self.in_flight.late(now, self.settings.timeout)
    }
}

/// What is known of an operation that the store has answered.
struct Answered<'a> {
    /// What it wrote, and when.
    written: Written<'a>,
    /// The time of the near cache when it was sent.
    cache_time: u64,
    /// Whether an earlier attempt may have been done.
    repeated: bool,
}
