//! What is on its way to the store: sent, answered, or waited for too long.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

use super::operation::{Action, InDoubt, Operation, value_of};
use super::{Closing, Completion, Engine, Value};
use crate::error::{Error, Kind, Result};
use crate::session::{Record, Written};
use crate::store::{Backend, Event, Failed, Op, Reply, taken};

/// Something on its way to the store.
pub struct Entry {
    pub sent: Sent,
    pub kind: &'static str,
    pub weight: usize,
    pub began: Instant,
    /// When that was for the cache cache.
    pub asked: u64,
}

/// Whose it is: everything needed when the answer comes.
pub enum Sent {
    /// An operation on no session in particular.
    Plain(u32),
    /// One that changes what is stored under names: this, or all of them.
    Change(u32, Option<String>),
    /// The operation that its queue waits for.
    Queue {
        queue: Rc<str>,
        operation: Operation,
        written: Option<Box<Written>>,
        /// Whether nobody knew what became of an attempt before this one.
        again: bool,
    },
    /// A look at whether the store is back.
    Trial,
    /// The close, and who waits for it.
    Close(Vec<u32>),
}

impl<B: Backend> Engine<B> {
    /// Everything that was completed since the last call.
    pub fn drain(&mut self) -> (Vec<Completion>, Vec<Event>) {
        let now = self.now();
        let answers = self.backend.take();
        for event in answers.events {
            match event {
                Event::Tracking(is_told) => self.cache.told(is_told),
                Event::Changed(names) if names.is_empty() => self.cache.clear(),
                Event::Changed(names) => names.iter().for_each(|name| self.cache.invalidate(name)),
                event => {
                    if event == Event::Connect {
                        self.recovered(false);
                    }
                    self.events.push(event);
                }
            }
        }
        for (ticket, answer) in answers.replies {
            let (reply, op) = match answer {
                Ok(reply) => (Ok(reply), None),
                Err(Failed { error, op }) => (Err(error), Some(op)),
            };
            let Some(entry) = self.sent.remove(&ticket) else {
                continue;
            };
            self.sent_bytes -= entry.weight;
            self.stats.answered(entry.kind, now - entry.began);
            if let Err(error) = &reply {
                self.stats.failed(error);
            }
            let wrote = matches!(reply, Ok(Reply::Saved(_) | Reply::Removed { .. }));
            self.heard(&reply, wrote);
            if let Ok(Reply::Loaded(Some(found))) = &reply
                && self.cache.is_on()
            {
                let record = Record::loaded((**found).clone());
                self.cache
                    .keep(record, entry.asked, found.renewal_due_in, now);
            }
            match entry.sent {
                Sent::Plain(op) => self.finish(op, reply.map(value_of)),
                Sent::Change(op, name) => {
                    match name {
                        Some(name) => self.cache.forget(&name),
                        None => self.cache.clear(),
                    }
                    self.finish(op, reply.map(value_of));
                }
                Sent::Queue {
                    queue,
                    mut operation,
                    mut written,
                    again,
                } => {
                    let is_open = |error: &Error| error.will_pass() && (again || error.in_doubt);
                    if let (Some(op), Err(error)) = (op, &reply)
                        && is_open(error)
                        && !matches!(operation.action, Action::Load { .. })
                    {
                        let written = written.take();
                        operation.in_doubt = Some(Box::new(InDoubt { op: *op, written }));
                    }
                    self.settle(
                        &queue,
                        operation,
                        written.as_deref(),
                        reply,
                        entry.asked,
                        again,
                    );
                }
                Sent::Trial => {}
                Sent::Close(ops) => self.closed(ops, &reply.map(value_of)),
            }
        }
        self.replay(now);
        if self.sent.is_empty()
            && self.pending.is_empty()
            && let Some(Closing { ops, .. }) = self.closing.take()
        {
            self.submit_close(ops);
        }
        self.backend.flush();
        (taken(&mut self.done), std::mem::take(&mut self.events))
    }

    /// What an answer says of the store.
    pub(super) fn heard(&mut self, reply: &Result<Reply>, wrote: bool) {
        match reply {
            Err(error) if error.will_pass() => self.has_failed(error),
            _ => self.recovered(wrote && reply.is_ok()),
        }
    }

    pub(super) fn has_failed(&mut self, error: &Error) {
        if self.breaker.failed(error, self.now()) {
            self.events.push(Event::Breaker(true));
        }
    }

    pub(super) fn recovered(&mut self, wrote: bool) {
        if self.breaker.succeeded(wrote) {
            self.events.push(Event::Breaker(false));
        }
    }

    /// Fails the operations that have waited for longer than the deadline, and tries a store that has failed again.
    /// Answers the tickets of those that are at the store, for a store that has no deadlines of its own.
    pub fn expire(&mut self, now: Instant) -> Vec<u32> {
        if let Some(closing) = self.closing.take_if(|closing| now >= closing.deadline) {
            self.abandon();
            self.submit_close(closing.ops);
        }
        if self.breaker.try_now(now) {
            let ticket = self.ticket();
            match self.backend.submit(ticket, Op::Ping) {
                Some(reply) => self.heard(&reply, false),
                None => self.send(ticket, Sent::Trial, "ping", 0),
            }
        }
        self.replay(now);
        let mut late = HashSet::new();
        while let Some(&(at, op)) = self.deadlines.front() {
            if self.outstanding.contains(&op) {
                if at > now {
                    break;
                }
                late.insert(op);
            }
            self.deadlines.pop_front();
        }
        if !late.is_empty() {
            let waited = self.timeout.as_millis();
            let message = format!("the store did not answer within {waited} ms");
            let error = Error::new(Kind::Timeout, message);
            let mut found = self.found_meanwhile(&late);
            for op in late {
                self.has_failed(&error);
                self.finish(op, found.remove(&op).ok_or_else(|| error.clone()));
            }
        }
        self.backend.flush();
        let is_late = |entry: &Entry| entry.began + self.timeout <= now;
        let late = self.sent.iter().filter(|(_, entry)| is_late(entry));
        late.map(|(ticket, _)| *ticket).collect()
    }

    pub(super) fn ticket(&mut self) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        self.tickets
    }

    pub(super) fn send(&mut self, ticket: u32, sent: Sent, kind: &'static str, weight: usize) {
        let entry = Entry {
            sent,
            kind,
            weight,
            began: self.now(),
            asked: self.cache.now(),
        };
        self.sent.insert(ticket, entry);
        self.sent_bytes += weight;
    }

    /// Whether something of `weight` bytes may be sent. A single one may always: however big it is.
    pub(super) fn room(&self, weight: usize) -> Result<()> {
        // What is only read takes no place from what is pending, nor is it held up by it.
        let pending = if weight == 0 { 0 } else { self.pending.len() };
        let count = self.sent.len() + pending;
        let bytes = self.sent_bytes + self.pending.bytes();
        if count < self.limits.count
            && (weight == 0 || count == 0 || bytes + weight <= self.limits.bytes)
        {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unavailable,
            format!(
                "{count} operations wait for the store, with {bytes} bytes: no more are taken (`maxQueue`, `maxQueueBytes`)"
            ),
        ))
    }

    pub(super) fn wait(&mut self, op: u32) {
        while let Some((_, first)) = self.deadlines.front()
            && !self.outstanding.contains(first)
        {
            self.deadlines.pop_front();
        }
        let at = self.now() + self.timeout;
        self.outstanding.insert(op);
        self.deadlines.push_back((at, op));
    }

    pub(super) fn finish(&mut self, op: u32, result: Result<Value>) {
        if self.outstanding.remove(&op) {
            self.done.push((op, result));
        }
    }
}
