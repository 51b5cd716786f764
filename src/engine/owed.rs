//! What is owed to the store: lanes whose work was accepted and could not be done, in the order in which they came to
//! be. Bounded by count and bytes. A session that is made and removed while the store is away costs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;

use super::prepare::unwritable;
use super::task::{Extent, Job, Shared, Task, Value, coalesce};
use super::{Engine, Sent, closed};
use crate::error::{Error, Kind, Result};
use crate::store::{Backend, Event};

/// How many operations are at the store at once while what is owed is being done.
const AT_ONCE: usize = 256;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Operations at the store and sessions that something is owed of.
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

/// The place of a lane among those that something is owed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Owed {
    next: u64,
    lanes: BTreeMap<u64, (Rc<str>, usize)>,
    bytes: usize,
}

impl Owed {
    /// Adds a lane at the end.
    pub fn add(&mut self, lane: &Rc<str>, bytes: usize) -> Place {
        self.next += 1;
        self.lanes.insert(self.next, (Rc::clone(lane), bytes));
        self.bytes += bytes;
        Place(self.next)
    }

    /// What is owed of a lane has become more or less.
    pub fn weigh(&mut self, place: Place, bytes: usize) {
        if let Some((_, before)) = self.lanes.get_mut(&place.0) {
            self.bytes = self.bytes - *before + bytes;
            *before = bytes;
        }
    }

    /// Nothing is owed any more.
    pub fn remove(&mut self, place: Place) {
        if let Some((_, bytes)) = self.lanes.remove(&place.0) {
            self.bytes -= bytes;
        }
    }

    /// The lane that has waited for longest.
    #[must_use]
    pub fn first(&self) -> Option<Rc<str>> {
        self.lanes
            .first_key_value()
            .map(|(_, (lane, _))| Rc::clone(lane))
    }

    /// How many lanes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<B: Backend> Engine<B> {
    /// A job could not be done: it is owed, if it is one that can be, or sealed, and gives the error for those who wait.
    pub(super) fn put_off(&mut self, lane: &Rc<str>, job: Job, error: Error) -> Error {
        let is_owed = job.can_be_owed();
        if !is_owed && job.sealed.is_none() {
            self.has_ended(lane, &job, false);
            return error;
        }
        self.occupy(lane, &job);
        let record = job.record.clone().filter(|_| !is_owed);
        let mut waiting =
            std::mem::take(&mut self.lanes.entry(Rc::clone(lane)).or_default().waiting);
        // What is turned away goes with what comes after it.
        let mut rest = waiting.make_contiguous();
        while let Some((job, later)) = rest.split_first_mut() {
            if !job.can_be_owed() {
                job.pass_on(false, &mut *later);
            }
            rest = later;
        }
        let kept = kept(&error);
        let first = Job {
            waiters: SmallVec::new(),
            ..job
        };
        let mut owed = VecDeque::from([first]);
        let mut others = Vec::new();
        for mut job in waiting {
            if job.can_be_owed() {
                for op in std::mem::take(&mut job.waiters) {
                    self.finish(op, Err(kept.clone()));
                }
                if let Some(job) = coalesce(owed.back_mut(), job) {
                    owed.push_back(job);
                }
            } else {
                others.push(job);
            }
        }
        self.lanes.entry(Rc::clone(lane)).or_default().waiting = owed;
        for other in others {
            self.turn_away(lane, other, &error);
        }
        if let Some(record) = record {
            self.review(lane, &record);
        }
        self.weigh(lane);
        self.keep_within_limits(&error);
        if is_owed { kept } else { error }
    }

    /// Answers a job that can't be owed, on a lane that something is owed of.
    fn turn_away(&mut self, lane: &Rc<str>, mut job: Job, error: &Error) {
        let waiters = std::mem::take(&mut job.waiters);
        let result = if let Task::Load { name, .. } = &job.task {
            self.owed_session(lane, name, job.record.as_ref(), error)
        } else {
            if let Some(record) = &job.record {
                self.review(lane, record);
            }
            Err(error.clone())
        };
        for op in waiters {
            self.finish(op, result.clone());
        }
    }

    /// Brings the account of a lane up to date, after its jobs have changed.
    fn weigh(&mut self, lane: &Rc<str>) {
        let Some(entry) = self.lanes.get_mut(lane) else {
            return;
        };
        let weight = entry.waiting.iter().map(Job::weight).sum();
        match entry.owed {
            Some(place) if entry.waiting.is_empty() => {
                self.owed.remove(place);
                entry.owed = None;
                self.retire(lane);
            }
            Some(place) => self.owed.weigh(place, weight),
            None if entry.waiting.is_empty() => self.retire(lane),
            None => entry.owed = Some(self.owed.add(lane, weight)),
        }
    }

    /// An operation on a lane that something is owed of: it is owed too, or answered without the store.
    pub(super) fn join_owed(&mut self, lane: &Rc<str>, mut job: Job) -> Result<Value> {
        let error = self.health.refusal().unwrap_or_else(|| {
            let message = "what was asked for before is still owed to the store";
            Error::new(Kind::Unavailable, message)
        });
        if let Task::Load { name, .. } = &job.task {
            return self.owed_session(lane, name, job.record.as_ref(), &error);
        }
        let Some(record) = job.record.clone() else {
            return Err(error);
        };
        let uuid = Rc::clone(&record.borrow().uuid);
        let hopeless = unwritable(&record.borrow());
        if let Task::Save {
            base, text, extent, ..
        } = &job.task
            && base == text
            && *extent != Extent::Always
            && (hopeless.is_some()
                || !record.borrow().is_dirty(None)
                || self.has_save(lane, &record))
        {
            return Ok(Value::Nothing);
        }
        if let Some(hopeless) = hopeless
            && matches!(job.task, Task::Save { .. } | Task::Swap { .. })
        {
            return Err(hopeless);
        }
        if !job.can_be_owed() {
            self.review(lane, &record);
            return Err(error);
        }
        job.waiters.clear();
        self.occupy(lane, &job);
        if let Some(entry) = self.lanes.get_mut(lane)
            && let Some(job) = coalesce(entry.waiting.back_mut(), job)
        {
            entry.waiting.push_back(job);
        }
        let ending = self.is_ending(lane, &record.borrow());
        let settled = ending && self.shorten(lane, &uuid);
        self.weigh(lane);
        self.keep_within_limits(&error);
        if settled {
            Ok(Value::Count(0))
        } else {
            Err(kept(&error))
        }
    }

    /// Whether what is owed has a save of a record that its new keys go with.
    fn has_save(&self, lane: &Rc<str>, record: &Shared) -> bool {
        let waiting = self.lanes.get(lane).map(|lane| lane.waiting.iter());
        waiting.into_iter().flatten().any(|job| {
            let theirs = job.record.as_ref();
            job.sealed.is_none()
                && matches!(job.task, Task::Save { .. })
                && theirs.is_some_and(|theirs| Rc::ptr_eq(theirs, record))
        })
    }

    fn keep_within_limits(&mut self, error: &Error) {
        while self.owed.len() > self.limits.count
            || (self.owed.len() > 1 && self.owed.bytes() > self.limits.bytes)
        {
            let Some(lane) = self.owed.first() else {
                return;
            };
            self.give_up(
                &lane,
                &format!("too much is owed to the store: {}", error.message),
            );
        }
    }

    /// Lets go of what is owed of a lane, and says so.
    pub(super) fn give_up(&mut self, lane: &Rc<str>, why: &str) {
        let Some(entry) = self.lanes.get_mut(lane) else {
            return;
        };
        let jobs = std::mem::take(&mut entry.waiting);
        for job in &jobs {
            if let (Some(_), Some(record)) = (&job.sealed, &job.record) {
                record.borrow_mut().doubt();
            }
            if let Some(record) = &job.record {
                self.review(lane, record);
            }
            if job.can_be_owed() {
                self.events.push(given_up(job, why));
            }
        }
        self.weigh(lane);
    }

    /// The store is closed: what is not done now will not be, and whoever waits hears of it.
    pub(super) fn abandon(&mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        let sent = std::mem::take(&mut self.sent);
        self.lane_of.clear();
        self.owed = Owed::default();
        self.sent_bytes = 0;
        let sent = sent.values().filter_map(|flight| match &flight.sent {
            Sent::Lane { job, .. } => Some((
                job,
                "the store was closed before it answered, it may have been done",
            )),
            _ => None,
        });
        let waiting = lanes.values().flat_map(|lane| &lane.waiting);
        let waiting = waiting.map(|job| (job, "the store was closed"));
        let writes = sent.chain(waiting).filter(|(job, _)| job.can_be_owed());
        self.events
            .extend(writes.map(|(job, why)| given_up(job, why)));
        for op in std::mem::take(&mut self.outstanding) {
            self.done.push((op, Err(closed())));
        }
    }

    /// Does what is owed, as far as the store is well: oldest first, some at once.
    pub(super) fn pay(&mut self, now: Instant) {
        if self.owed.is_empty() {
            return;
        }
        // Each lane once: one that can't be paid now is owed again.
        let mut left = self.owed.len();
        let trial = !self.health.is_well() && self.health.try_write_now(now);
        let before = self.tickets;
        while left > 0
            && self.sent.len() < AT_ONCE
            && (self.health.is_well() || (trial && self.tickets == before))
            && let Some(lane) = self.owed.first()
        {
            left -= 1;
            self.pay_lane(&lane);
        }
    }

    /// Whether what is owed of a lane is to be done now, before what was asked for.
    pub(super) fn can_be_paid(&self, lane: &str) -> bool {
        let Some(entry) = self.lanes.get(lane).filter(|lane| lane.owed.is_some()) else {
            return false;
        };
        // What nobody was told to be owed must not hold up what comes after it.
        let first = entry.waiting.front();
        let is_owed = first.is_some_and(Job::can_be_owed);
        self.health.is_well() || (!is_owed && self.health.down().is_none())
    }

    /// Whether something is owed of a lane.
    pub(super) fn is_owed(&self, lane: &str) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.owed.is_some())
    }

    /// Does what is owed of a lane.
    pub(super) fn pay_lane(&mut self, lane: &Rc<str>) {
        if let Some(entry) = self.lanes.get_mut(lane)
            && let Some(place) = entry.owed.take()
        {
            self.owed.remove(place);
            self.advance(lane, true);
        }
    }
}

/// What is told of a save or removal that is not done.
fn given_up(job: &Job, why: &str) -> Event {
    let what = match &job.task {
        Task::RemoveKey { .. } | Task::Destroy => "the removal of",
        _ => "a save of",
    };
    let whose = job.record.as_ref().map_or_else(String::new, |record| {
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
