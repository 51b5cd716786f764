//! What is pending to the store: queues whose work was accepted and could not be done, in the order in which they came to
//! be. Bounded by count and bytes. A session that is made and removed while the store is away costs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;

use super::operation::{Action, Operation, SaveMode, Shared, Value, coalesce};
use super::prepare::unwritable;
use super::{Engine, Sent, closed};
use crate::error::{Error, Kind, Result};
use crate::store::{Backend, Event};

/// How many operations are at the store at once while what is pending is being done.
const AT_ONCE: usize = 256;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Operations at the store and sessions that something is pending of.
    pub count: usize,
    /// Bytes of their texts.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            count: 100_000,
            bytes: 64 << 20,
        }
    }
}

/// The place of a queue among those that something is pending of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

/// See the module.
#[derive(Debug, Default)]
pub struct PendingWrites {
    next: u64,
    queues: BTreeMap<u64, (Rc<str>, usize)>,
    bytes: usize,
}

impl PendingWrites {
    /// Adds a queue at the end.
    pub fn add(&mut self, queue: &Rc<str>, bytes: usize) -> Place {
        self.next += 1;
        self.queues.insert(self.next, (Rc::clone(queue), bytes));
        self.bytes += bytes;
        Place(self.next)
    }

    /// What is pending of a queue has become more or less.
    pub fn weigh(&mut self, place: Place, bytes: usize) {
        if let Some((_, before)) = self.queues.get_mut(&place.0) {
            self.bytes = self.bytes - *before + bytes;
            *before = bytes;
        }
    }

    /// Nothing is pending any more.
    pub fn remove(&mut self, place: Place) {
        if let Some((_, bytes)) = self.queues.remove(&place.0) {
            self.bytes -= bytes;
        }
    }

    /// The queue that has waited for longest.
    #[must_use]
    pub fn first(&self) -> Option<Rc<str>> {
        self.queues
            .first_key_value()
            .map(|(_, (queue, _))| Rc::clone(queue))
    }

    /// How many queues.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<B: Backend> Engine<B> {
    /// A operation could not be done: it is pending, if it is one that can be, or in_doubt, and gives the error for those who wait.
    pub(super) fn defer(&mut self, queue: &Rc<str>, operation: Operation, error: Error) -> Error {
        let is_pending = operation.can_be_pending();
        if !is_pending && operation.in_doubt.is_none() {
            self.has_ended(queue, &operation, false);
            return error;
        }
        self.occupy(queue, &operation);
        let record = operation.record.clone().filter(|_| !is_pending);
        let mut waiting =
            std::mem::take(&mut self.queues.entry(Rc::clone(queue)).or_default().waiting);
        // What is turned away goes with what comes after it.
        let mut rest = waiting.make_contiguous();
        while let Some((operation, later)) = rest.split_first_mut() {
            if !operation.can_be_pending() {
                operation.pass_on(false, &mut *later);
            }
            rest = later;
        }
        let kept = kept(&error);
        let first = Operation {
            waiters: SmallVec::new(),
            ..operation
        };
        let mut pending = VecDeque::from([first]);
        let mut others = Vec::new();
        for mut operation in waiting {
            if operation.can_be_pending() {
                for op in std::mem::take(&mut operation.waiters) {
                    self.finish(op, Err(kept.clone()));
                }
                if let Some(operation) = coalesce(pending.back_mut(), operation) {
                    pending.push_back(operation);
                }
            } else {
                others.push(operation);
            }
        }
        self.queues.entry(Rc::clone(queue)).or_default().waiting = pending;
        for other in others {
            self.turn_away(queue, other, &error);
        }
        if let Some(record) = record {
            self.review(queue, &record);
        }
        self.weigh(queue);
        self.keep_within_limits(&error);
        if is_pending { kept } else { error }
    }

    /// Answers a operation that can't be pending, on a queue that something is pending of.
    fn turn_away(&mut self, queue: &Rc<str>, mut operation: Operation, error: &Error) {
        let waiters = std::mem::take(&mut operation.waiters);
        let result = if let Action::Load { name, .. } = &operation.action {
            self.pending_session(queue, name, operation.record.as_ref(), error)
        } else {
            if let Some(record) = &operation.record {
                self.review(queue, record);
            }
            Err(error.clone())
        };
        for op in waiters {
            self.finish(op, result.clone());
        }
    }

    /// Brings the account of a queue up to date, after its operations have changed.
    fn weigh(&mut self, queue: &Rc<str>) {
        let Some(entry) = self.queues.get_mut(queue) else {
            return;
        };
        let weight = entry.waiting.iter().map(Operation::weight).sum();
        match entry.pending {
            Some(place) if entry.waiting.is_empty() => {
                self.pending.remove(place);
                entry.pending = None;
                self.retire(queue);
            }
            Some(place) => self.pending.weigh(place, weight),
            None if entry.waiting.is_empty() => self.retire(queue),
            None => entry.pending = Some(self.pending.add(queue, weight)),
        }
    }

    /// An operation on a queue that something is pending of: it is pending too, or answered without the store.
    pub(super) fn join_pending(
        &mut self,
        queue: &Rc<str>,
        mut operation: Operation,
    ) -> Result<Value> {
        let error = self.breaker.refusal().unwrap_or_else(|| {
            let message = "what was asked for before is still pending to the store";
            Error::new(Kind::Unavailable, message)
        });
        if let Action::Load { name, .. } = &operation.action {
            return self.pending_session(queue, name, operation.record.as_ref(), &error);
        }
        let Some(record) = operation.record.clone() else {
            return Err(error);
        };
        let uuid = Rc::clone(&record.borrow().uuid);
        let hopeless = unwritable(&record.borrow());
        if let Action::Save {
            base, text, mode, ..
        } = &operation.action
            && base == text
            && *mode != SaveMode::Always
            && (hopeless.is_some()
                || !record.borrow().is_dirty(None)
                || self.has_save(queue, &record))
        {
            return Ok(Value::Nothing);
        }
        if let Some(hopeless) = hopeless
            && matches!(
                operation.action,
                Action::Save { .. } | Action::CompareAndSet { .. }
            )
        {
            return Err(hopeless);
        }
        if !operation.can_be_pending() {
            self.review(queue, &record);
            return Err(error);
        }
        operation.waiters.clear();
        self.occupy(queue, &operation);
        if let Some(entry) = self.queues.get_mut(queue)
            && let Some(operation) = coalesce(entry.waiting.back_mut(), operation)
        {
            entry.waiting.push_back(operation);
        }
        let ending = self.is_ending(queue, &record.borrow());
        let settled = ending && self.shorten(queue, &uuid);
        self.weigh(queue);
        self.keep_within_limits(&error);
        if settled {
            Ok(Value::Count(0))
        } else {
            Err(kept(&error))
        }
    }

    /// Whether what is pending has a save of a record that its new keys go with.
    fn has_save(&self, queue: &Rc<str>, record: &Shared) -> bool {
        let waiting = self.queues.get(queue).map(|queue| queue.waiting.iter());
        waiting.into_iter().flatten().any(|operation| {
            let theirs = operation.record.as_ref();
            operation.in_doubt.is_none()
                && matches!(operation.action, Action::Save { .. })
                && theirs.is_some_and(|theirs| Rc::ptr_eq(theirs, record))
        })
    }

    fn keep_within_limits(&mut self, error: &Error) {
        while self.pending.len() > self.limits.count
            || (self.pending.len() > 1 && self.pending.bytes() > self.limits.bytes)
        {
            let Some(queue) = self.pending.first() else {
                return;
            };
            self.give_up(
                &queue,
                &format!("too much is pending to the store: {}", error.message),
            );
        }
    }

    /// Lets go of what is pending of a queue, and says so.
    pub(super) fn give_up(&mut self, queue: &Rc<str>, why: &str) {
        let Some(entry) = self.queues.get_mut(queue) else {
            return;
        };
        let operations = std::mem::take(&mut entry.waiting);
        for operation in &operations {
            if let (Some(_), Some(record)) = (&operation.in_doubt, &operation.record) {
                record.borrow_mut().doubt();
            }
            if let Some(record) = &operation.record {
                self.review(queue, record);
            }
            if operation.can_be_pending() {
                self.events.push(given_up(operation, why));
            }
        }
        self.weigh(queue);
    }

    /// The store is closed: what is not done now will not be, and whoever waits hears of it.
    pub(super) fn abandon(&mut self) {
        let queues = std::mem::take(&mut self.queues);
        let sent = std::mem::take(&mut self.sent);
        self.queue_by_name.clear();
        self.pending = PendingWrites::default();
        self.sent_bytes = 0;
        let sent = sent.values().filter_map(|entry| match &entry.sent {
            Sent::Queue { operation, .. } => Some((
                operation,
                "the store was closed before it answered, it may have been done",
            )),
            _ => None,
        });
        let waiting = queues.values().flat_map(|queue| &queue.waiting);
        let waiting = waiting.map(|operation| (operation, "the store was closed"));
        let writes = sent
            .chain(waiting)
            .filter(|(operation, _)| operation.can_be_pending());
        self.events
            .extend(writes.map(|(operation, why)| given_up(operation, why)));
        for op in std::mem::take(&mut self.outstanding) {
            self.done.push((op, Err(closed())));
        }
    }

    /// Does what is pending, as far as the store is well: oldest first, some at once.
    pub(super) fn replay(&mut self, now: Instant) {
        if self.pending.is_empty() {
            return;
        }
        // Each queue once: one that can't be paid now is pending again.
        let mut left = self.pending.len();
        let trial = !self.breaker.is_well() && self.breaker.try_write_now(now);
        let before = self.tickets;
        while left > 0
            && self.sent.len() < AT_ONCE
            && (self.breaker.is_well() || (trial && self.tickets == before))
            && let Some(queue) = self.pending.first()
        {
            left -= 1;
            self.replay_queue(&queue);
        }
    }

    /// Whether what is pending of a queue is to be done now, before what was asked for.
    pub(super) fn can_replay(&self, queue: &str) -> bool {
        let Some(entry) = self
            .queues
            .get(queue)
            .filter(|queue| queue.pending.is_some())
        else {
            return false;
        };
        // What nobody was told to be pending must not hold up what comes after it.
        let first = entry.waiting.front();
        let is_pending = first.is_some_and(Operation::can_be_pending);
        self.breaker.is_well() || (!is_pending && self.breaker.down().is_none())
    }

    /// Whether something is pending of a queue.
    pub(super) fn is_pending(&self, queue: &str) -> bool {
        self.queues
            .get(queue)
            .is_some_and(|queue| queue.pending.is_some())
    }

    /// Does what is pending of a queue.
    pub(super) fn replay_queue(&mut self, queue: &Rc<str>) {
        if let Some(entry) = self.queues.get_mut(queue)
            && let Some(place) = entry.pending.take()
        {
            self.pending.remove(place);
            self.advance(queue, true);
        }
    }
}

/// What is told of a save or removal that is not done.
fn given_up(operation: &Operation, why: &str) -> Event {
    let what = match &operation.action {
        Action::RemoveKey { .. } | Action::Destroy => "the removal of",
        _ => "a save of",
    };
    let whose = operation
        .record
        .as_ref()
        .map_or_else(String::new, |record| {
            let record = record.borrow();
            let key = record.keys.first().map_or("", |key| &*key.name);
            format!("{} ({key})", record.uuid)
        });
    Event::Error(Error::new(
        Kind::GivenUp,
        format!("{what} {whose} is given up: {why}"),
    ))
}

fn kept(error: &Error) -> Error {
    let message = format!(
        "{}; it is kept, and done when the store is back",
        error.message
    );
    Error::new(error.kind, message)
}
