//! One lane per session: what is asked for of a session is done in that order.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;

use super::flights::Sent;
use super::owed::Place;
use super::prepare::{Prepared, prepare};
use super::task::{self, Job, Sealed, Task, coalesce};
use super::{BRIEFLY, Engine, Shared, Value, closed};
use crate::error::{Kind, Result};
use crate::record::{Record, Written};
use crate::store::{Backend, Event, Reply};

#[derive(Default)]
pub struct Lane {
    pub waiting: VecDeque<Job>,
    /// What is at the store, if anything is.
    pub ticket: Option<u32>,
    /// The names by which loads find this lane.
    pub names: SmallVec<[Rc<str>; 2]>,
    /// Where it stands if what waits is owed; then nothing of it is at the store.
    pub owed: Option<Place>,
}

impl<B: Backend> Engine<B> {
    pub(super) fn on_session(
        &mut self,
        op: u32,
        record: &Shared,
        task: Task,
    ) -> Option<Result<Value>> {
        let lane = self.lane(&record.borrow());
        self.enqueue(op, &lane, Job::new(Some(Rc::clone(record)), task, op))
    }

    /// The lane of a session: where something of it is under way, or else of what has one of its keys, so that two
    /// sessions that are new under the same key are stored one after the other.
    pub(super) fn lane(&self, record: &Record) -> Rc<str> {
        let lane = self.lanes_of(record).next();
        Rc::clone(lane.unwrap_or(&record.uuid))
    }

    /// The lanes in which something of a session, or of what has one of its keys, is under way.
    fn lanes_of<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a Rc<str>> {
        let own = self.lanes.get_key_value(&*record.uuid);
        let names = record.keys.iter().map(|key| &*key.name);
        let others = std::iter::once(&*record.uuid)
            .chain(names)
            .filter_map(|name| self.lane_of.get(name));
        own.map(|(lane, _)| lane).into_iter().chain(others)
    }

    pub(super) fn enqueue(&mut self, op: u32, lane: &Rc<str>, job: Job) -> Option<Result<Value>> {
        if self.closed {
            return Some(Err(closed()));
        }
        if self.can_be_paid(lane) {
            self.pay_lane(lane);
        }
        if self.is_owed(lane) {
            return Some(self.join_owed(lane, job));
        }
        if let Task::Load { name, .. } = &job.task
            && self.health.down().is_some()
            && let Some(found) = self.found_ahead(lane, name, job.record.as_ref())
        {
            return Some(Ok(found));
        }
        if self.lanes.contains_key(lane) {
            self.occupy(lane, &job);
            let waiting = &mut self.lanes.entry(Rc::clone(lane)).or_default().waiting;
            if let Some(job) = coalesce(waiting.back_mut(), job) {
                waiting.push_back(job);
            }
            self.wait(op);
            return None;
        }
        let answer = self.start(lane, job, false);
        if answer.is_none() {
            self.wait(op);
        }
        answer
    }

    /// Starts a job on a lane that has nothing at the store. Answers it if it is done at once. One that the store can't
    /// do now is owed; a `trial` is sent all the same.
    pub(super) fn start(
        &mut self,
        lane: &Rc<str>,
        mut job: Job,
        trial: bool,
    ) -> Option<Result<Value>> {
        let sealed = job.sealed.take();
        let again = sealed.is_some();
        let prepared = if let Some(sealed) = sealed {
            Ok(Prepared::Send(sealed.op, sealed.written))
        } else {
            self.numbers += 1;
            prepare(&job, self.default_ttl, self.numbers)
        };
        let (what, written) = match prepared {
            Ok(Prepared::Done(value)) => return Some(Ok(value)),
            Ok(Prepared::Send(what, written)) => (what, written),
            Err(error) => {
                self.has_ended(lane, &job, false);
                return Some(Err(error));
            }
        };
        if let Task::Load { name, .. } = &job.task
            && let Some(found) = self.near(name, job.record.as_ref())
        {
            return Some(Ok(found));
        }
        let (kind, weight) = (what.kind(), what.weight());
        let refusal = match &job.task {
            _ if trial => None,
            Task::Save { .. } | Task::Swap { .. } if self.health.try_write_now(Instant::now()) => {
                None
            }
            Task::Save { .. } | Task::Swap { .. } => self.health.refusal(),
            _ => self.health.down(),
        };
        // What was owed has its place already.
        let refusal = refusal.or_else(|| if trial { None } else { self.room(weight).err() });
        if let Some(error) = refusal {
            job.sealed = again.then(|| Box::new(Sealed { op: what, written }));
            return Some(Err(self.put_off(lane, job, error)));
        }
        let ticket = self.ticket();
        if let Some(reply) = self.backend.submit(ticket, what) {
            let result = task::apply(&job, written.as_deref(), reply, true);
            if result.is_err() {
                self.has_ended(lane, &job, false);
            }
            return Some(result);
        }
        self.occupy(lane, &job);
        let lane = Rc::clone(lane);
        self.lanes.entry(Rc::clone(&lane)).or_default().ticket = Some(ticket);
        let sent = Sent::Lane {
            lane,
            job,
            written,
            again,
        };
        self.send(ticket, sent, kind, weight);
        None
    }

    /// After something was not done, or was of which nobody knew: what waits goes on from there.
    pub(super) fn has_ended(&mut self, lane: &Rc<str>, job: &Job, done: bool) {
        if let Some(entry) = self.lanes.get_mut(lane) {
            job.pass_on(done, &mut entry.waiting);
        }
        if let Some(record) = &job.record {
            self.review(lane, record);
        }
    }

    /// What the store will have of a session is what it has confirmed, with what waits to be done.
    pub(super) fn review(&self, lane: &Rc<str>, record: &Shared) {
        let waiting = self
            .lanes
            .get(lane)
            .into_iter()
            .flat_map(|lane| &lane.waiting);
        let of_record = |job: &&Job| {
            job.record
                .as_ref()
                .is_some_and(|other| Rc::ptr_eq(other, record))
        };
        record.borrow_mut().review(
            waiting
                .filter(of_record)
                .filter(|job| job.will_save())
                .filter_map(Job::changes),
        );
    }

    pub(super) fn occupy(&mut self, lane: &Rc<str>, job: &Job) {
        let entry = self.lanes.entry(Rc::clone(lane)).or_default();
        let Some(record) = &job.record else { return };
        let record = record.borrow();
        self.near.doubt(&record.home);
        for key in &record.keys {
            if !self.lane_of.contains_key(&key.name) {
                if key.name != record.home {
                    self.near.doubt(&key.name);
                }
                self.lane_of.insert(Rc::clone(&key.name), Rc::clone(lane));
                entry.names.push(Rc::clone(&key.name));
            }
        }
        let uuid = &record.uuid;
        if **lane != **uuid && !self.lane_of.contains_key(&**uuid) {
            self.lane_of.insert(Rc::clone(uuid), Rc::clone(lane));
            entry.names.push(Rc::clone(uuid));
        }
    }

    /// A record that is as what is near needs no look there, if nothing of its keys is under way; on `ending` nothing is any
    /// more.
    pub(super) fn prove(&mut self, record: &mut Record, ending: Option<&Rc<str>>) {
        if self.lanes_of(record).all(|lane| Some(lane) == ending) {
            record.proof = self.near.prove(record);
        }
    }

    pub(super) fn settle(
        &mut self,
        lane: &Rc<str>,
        mut job: Job,
        written: Option<&Written>,
        reply: Result<Reply>,
        asked: u64,
        again: bool,
    ) {
        let waiters = std::mem::take(&mut job.waiters);
        let heard = waiters.iter().any(|op| self.outstanding.contains(op));
        let was_owed = job.can_be_owed();
        if let Some(entry) = self.lanes.get_mut(lane) {
            entry.ticket = None;
        }
        let result = match reply {
            Err(error) if error.will_pass() => {
                if let Some(record) = job.record.clone() {
                    self.let_go(&job, &record.borrow());
                }
                Err(self.put_off(lane, job, error))
            }
            reply => {
                let result = task::apply(&job, written, reply, heard);
                self.keep(lane, &job, written, &result, asked);
                if result.is_err() || (again && !was_owed) {
                    self.has_ended(lane, &job, result.is_ok());
                }
                result
            }
        };
        // Those who waited too long were told just that; what came of it in the end is news. But not that something
        // was not done of which nobody was told that it would be.
        if let Err(error) = &result
            && error.kind != Kind::Timeout
            && !heard
            && (was_owed || !again || !matches!(error.kind, Kind::Gone | Kind::Conflict))
        {
            self.events.push(Event::Error(error.clone()));
        }
        for op in waiters {
            self.finish(op, result.clone());
        }
        self.advance(lane, false);
    }

    /// What an operation on a session means for the near cache.
    pub(super) fn keep(
        &mut self,
        lane: &Rc<str>,
        job: &Job,
        written: Option<&Written>,
        result: &Result<Value>,
        asked: u64,
    ) {
        let Some(record) = job.record.as_ref().filter(|_| self.near.is_on()) else {
            return;
        };
        let mut record = record.borrow_mut();
        match (&job.task, result) {
            (Task::Load { .. }, _) => {}
            (Task::RemoveKey { .. }, Ok(Value::Count(1..)))
            | (Task::Save { .. } | Task::Swap { .. }, Ok(_)) => match record.as_stored() {
                Some(stored) => {
                    let ages_in = match written {
                        Some(written) => written.ttl.map(|ttl| ttl / 2),
                        // Its time to live goes on from when it was: that has to be looked at soon.
                        None => Some(BRIEFLY),
                    };
                    self.near.keep(stored, asked, ages_in, Instant::now());
                    let is_last = |lane: &Lane| lane.waiting.is_empty();
                    if self.lanes.get(lane).is_some_and(is_last) {
                        self.prove(&mut record, Some(lane));
                    }
                }
                None => self.let_go(job, &record),
            },
            _ => self.let_go(job, &record),
        }
    }

    /// Nothing is known of a session, nor of those that had its keys before.
    fn let_go(&mut self, job: &Job, record: &Record) {
        self.near.forget(&record.home);
        // One that could not be loaded has no keys here.
        let removed = match &job.task {
            Task::RemoveKey { name, .. } => Some(name),
            _ => None,
        };
        let names = record.keys.iter().map(|key| &key.name).chain(removed);
        for name in names.filter(|name| **name != record.home) {
            self.near.forget(name);
        }
    }

    /// Starts what waits on a lane, until something is at the store again, or is owed, or the lane is empty.
    pub(super) fn advance(&mut self, lane: &Rc<str>, trial: bool) {
        while let Some(entry) = self.lanes.get_mut(lane).filter(|lane| lane.owed.is_none()) {
            let Some(job) = entry.waiting.pop_front() else {
                break;
            };
            let waiters = job.waiters.clone();
            let Some(result) = self.start(lane, job, trial) else {
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
        self.retire(lane);
    }

    /// Forgets a lane that has nothing to do.
    pub(super) fn retire(&mut self, lane: &Rc<str>) {
        if let Some(over) = self.lanes.get(lane)
            && over.owed.is_none()
            && let Some(over) = self.lanes.remove(lane)
        {
            for name in over.names {
                self.lane_of.remove(&name);
            }
        }
    }
}
