//! Operations in, completions out. One lane per session keeps its operations in the order they were asked for.
//!
//! Each operation has a number of the caller's choice. [`Engine`] answers it at once when it can (an unchanged save,
//! anything in memory), otherwise with [`Engine::drain`]. A lane exists while something is on its way to the store
//! or waits behind it; loads by any key of that session join it, so that they see what was asked for before them.
//! Saves that wait are merged when they come from the same [`Record`]: the newest text has all of its changes.
//!
//! While the store fails ([`health`]), saves and removals are told of as failed and stay in their lanes: they are
//! owed ([`owed`]), and done when the store is back.

mod health;
mod near;
mod owed;
mod stats;
mod task;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use health::Health;
use near::Near;
pub use near::Size;
pub use owed::Limits;
use owed::{Owed, Place};
use stats::Stats;
pub use task::{Extent, Shared, Value};
use task::{Job, Prepared, Task, coalesce, value_of};

use crate::error::{Error, Kind, Result};
use crate::record::{Record, State, Written};
use crate::store::{Backend, Event, Op, Reply};

/// Something on its way to the store.
struct Flight {
    sent: Sent,
    kind: &'static str,
    weight: usize,
    began: Instant,
    /// When that was for the near cache.
    asked: u64,
}

/// Whose it is: everything needed when the answer comes.
enum Sent {
    /// An operation on no session in particular.
    Plain(u32),
    /// One that changes what is stored under names: this, or all of them.
    Change(u32, Option<String>),
    /// The operation that its lane waits for.
    Lane {
        lane: Rc<str>,
        job: Job,
        written: Option<Box<Written>>,
    },
    /// A look at whether the store is back.
    Trial,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Job>,
    /// The names by which loads find this lane.
    names: Vec<String>,
    /// Where it stands if what waits is owed; then nothing of it is at the store.
    owed: Option<Place>,
}

/// A close that waits for the rest.
struct Closing {
    op: u32,
    deadline: Instant,
}

/// How long a session is kept near whose time to live was not started anew, ms.
const BRIEFLY: u64 = 2000;

/// An operation that is done.
pub type Completion = (u32, Result<Value>);

/// The engine of one store in one JavaScript environment. See the module.
pub struct Engine<B> {
    /// The store.
    pub backend: B,
    /// The time to live of what is saved without one of its own, ms.
    default_ttl: Option<u64>,
    timeout: Duration,
    limits: Limits,
    closed: bool,
    closing: Option<Closing>,
    tickets: u32,
    sent: HashMap<u32, Flight>,
    /// Bytes of what is at the store.
    sent_bytes: usize,
    lanes: HashMap<Rc<str>, Lane>,
    lane_of: HashMap<String, Rc<str>>,
    health: Health,
    owed: Owed,
    near: Near,
    stats: Stats,
    /// Who is still waited for.
    outstanding: HashSet<u32>,
    deadlines: VecDeque<(Instant, u32)>,
    done: Vec<Completion>,
    events: Vec<Event>,
}

impl<B: Backend> Engine<B> {
    /// An engine over `backend`; `default_ttl` in ms, `timeout` is what an operation may take, `near` the size of the near
    /// cache if there is one.
    pub fn new(
        backend: B,
        default_ttl: Option<u64>,
        timeout: Duration,
        limits: Limits,
        near: Option<Size>,
    ) -> Self {
        Self {
            backend,
            default_ttl,
            timeout,
            limits,
            closed: false,
            closing: None,
            tickets: 0,
            sent: HashMap::new(),
            sent_bytes: 0,
            lanes: HashMap::new(),
            lane_of: HashMap::new(),
            health: Health::default(),
            owed: Owed::default(),
            near: Near::new(near),
            stats: Stats::default(),
            outstanding: HashSet::new(),
            deadlines: VecDeque::new(),
            done: Vec::new(),
            events: Vec::new(),
        }
    }

    /// What an operation may take from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// What an operation may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many operations wait for the store, those included that nobody waits for any more.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.sent.len()
    }

    /// Whether there is something to be done later ([`Engine::expire`]), though nobody waits for it.
    #[must_use]
    pub fn is_restless(&self) -> bool {
        !self.owed.is_empty() || !self.health.is_well()
    }

    /// Finds the session that has the key `name`. `live` is the one this process has under that name.
    pub fn load(&mut self, op: u32, name: &str, live: Option<&Shared>) -> Option<Result<Value>> {
        if let Some(live) = live
            && !live.borrow().may_be_stored()
            && live.borrow().state == State::New
        {
            return Some(Ok(Value::Current(true)));
        }
        let task = Task::Load {
            name: name.to_owned(),
        };
        let lane = match live {
            Some(live) => Some(self.lane(&live.borrow())),
            None => self.lane_of.get(name).map(Rc::clone),
        };
        if lane
            .as_ref()
            .is_none_or(|lane| !self.lanes.contains_key(lane))
            && let Some(found) = self.near(name, live)
        {
            return Some(Ok(found));
        }
        let job = Job {
            record: live.map(Rc::clone),
            task,
            waiters: vec![op],
        };
        match lane {
            Some(lane) => self.enqueue(op, &lane, job),
            None => self.plain(
                op,
                Op::Load {
                    name: name.to_owned(),
                },
            ),
        }
    }

    /// The session with the key `name`, without asking the store.
    fn near(&mut self, name: &str, live: Option<&Shared>) -> Option<Value> {
        let found = self.near.get(name, Instant::now());
        let value = found.and_then(|found| {
            let Some(live) = live else {
                return Some(Value::Session(Rc::new(RefCell::new(found.clone()))));
            };
            let mut record = live.borrow_mut();
            if record.uuid != found.uuid || record.state != State::Stored {
                return None;
            }
            if record.version == found.version {
                return Some(Value::Current(true));
            }
            Some(Value::Current(!record.absorb(found.stored())))
        });
        self.near.count(value.is_some());
        value
    }

    /// Saves a session; `text` is absent while nobody has read its data. `ttl` in ms.
    pub fn save(
        &mut self,
        op: u32,
        record: &Shared,
        text: Option<String>,
        extent: Extent,
        ttl: Option<u64>,
        if_unchanged: bool,
    ) -> Option<Result<Value>> {
        let (base, text) = record.borrow_mut().take(text);
        let task = Task::Save {
            base,
            text,
            extent,
            ttl,
            if_unchanged,
        };
        self.on_session(op, record, task)
    }

    /// Stores `text`, which was made from what the store is known to have, if it still has that. One that `insists` has
    /// lost against others, and is to have its turn.
    pub fn swap(
        &mut self,
        op: u32,
        record: &Shared,
        text: String,
        ttl: Option<u64>,
        insists: bool,
    ) -> Option<Result<Value>> {
        let (base, text) = (Arc::clone(&record.borrow().text), text.into());
        self.on_session(
            op,
            record,
            Task::Swap {
                base,
                text,
                ttl,
                insists,
            },
        )
    }

    /// Takes the key `name` from a session, and with the last key the session; what has changed is saved if it stays.
    pub fn remove_key(
        &mut self,
        op: u32,
        record: &Shared,
        name: &str,
        text: Option<String>,
        ttl: Option<u64>,
    ) -> Option<Result<Value>> {
        let data = record.borrow_mut().take(text);
        let name = name.to_owned();
        self.on_session(op, record, Task::RemoveKey { name, data, ttl })
    }

    /// Removes a session with all of its keys.
    pub fn destroy(&mut self, op: u32, record: &Shared) -> Option<Result<Value>> {
        self.on_session(op, record, Task::Destroy)
    }

    /// An operation on no session in particular.
    pub fn plain(&mut self, op: u32, what: Op) -> Option<Result<Value>> {
        let what = match what {
            Op::Set { name, text, ttl } => Op::Set {
                name,
                text,
                ttl: ttl.or(self.default_ttl),
            },
            Op::Touch { name, ttl } => Op::Touch {
                name,
                ttl: ttl.or(self.default_ttl),
            },
            other => other,
        };
        if self.closed {
            return Some(Err(closed()));
        }
        if let Some(error) = self.health.down() {
            return Some(Err(error));
        }
        // What walks through the whole store takes its time; each command of it has a deadline.
        let long = matches!(what, Op::All | Op::Ids | Op::Length | Op::Clear);
        let weight = what.weight();
        if let Err(full) = self.room(weight) {
            return Some(Err(full));
        }
        let changes = match &what {
            Op::Set { name, .. } | Op::Delete { name } | Op::Touch { name, .. } => {
                Some(Some(name.clone()))
            }
            Op::Clear => Some(None),
            _ => None,
        };
        let kind = what.kind();
        let ticket = self.ticket();
        if let Some(reply) = self.backend.submit(ticket, what) {
            return Some(reply.map(value_of));
        }
        let sent = changes.map_or(Sent::Plain(op), |name| Sent::Change(op, name));
        self.send(ticket, sent, kind, weight);
        if long {
            self.outstanding.insert(op);
        } else {
            self.wait(op);
        }
        None
    }

    /// Finishes what was asked for, also what is owed, then lets go of the store. Whatever comes later is refused, and
    /// what is not done by the deadline is given up.
    pub fn close(&mut self, op: u32, deadline: Instant) -> Option<Result<Value>> {
        if self.closed {
            return Some(Ok(Value::Nothing));
        }
        self.closed = true;
        self.near.told(false);
        if self.sent.is_empty() && self.owed.is_empty() {
            return self.submit_close(op);
        }
        self.closing = Some(Closing { op, deadline });
        None
    }

    fn submit_close(&mut self, op: u32) -> Option<Result<Value>> {
        let ticket = self.ticket();
        let reply = self
            .backend
            .submit(ticket, Op::Close)
            .map(|reply| reply.map(value_of));
        if reply.is_none() {
            self.send(ticket, Sent::Plain(op), "close", 0);
            self.outstanding.insert(op);
        }
        reply
    }

    /// Everything that was completed since the last call.
    pub fn drain(&mut self) -> (Vec<Completion>, Vec<Event>) {
        let now = Instant::now();
        let answers = self.backend.take();
        for event in answers.events {
            match event {
                Event::Tracking(is_told) => self.near.told(is_told),
                Event::Changed(names) if names.is_empty() => self.near.clear(),
                Event::Changed(names) => names.iter().for_each(|name| self.near.invalidate(name)),
                event => {
                    if event == Event::Connect {
                        self.recovered(false);
                    }
                    self.events.push(event);
                }
            }
        }
        for (ticket, reply) in answers.replies {
            let Some(flight) = self.sent.remove(&ticket) else {
                continue;
            };
            self.sent_bytes -= flight.weight;
            self.stats.answered(flight.kind, now - flight.began);
            if let Err(error) = &reply {
                self.stats.failed(error);
            }
            let wrote = matches!(&flight.sent, Sent::Lane { job, .. } if job.can_be_owed());
            self.heard(&reply, wrote);
            if let Ok(Reply::Loaded(Some(found))) = &reply
                && self.near.is_on()
            {
                let record = Record::loaded((**found).clone());
                self.near.keep(record, flight.asked, found.ages_in, now);
            }
            match flight.sent {
                Sent::Plain(op) => self.finish(op, reply.map(value_of)),
                Sent::Change(op, name) => {
                    match name {
                        Some(name) => self.near.forget(&name),
                        None => self.near.clear(),
                    }
                    self.finish(op, reply.map(value_of));
                }
                Sent::Lane { lane, job, written } => {
                    self.settle(&lane, job, written, reply, flight.asked);
                }
                Sent::Trial => {}
            }
        }
        self.pay(now);
        if self.sent.is_empty()
            && self.owed.is_empty()
            && let Some(Closing { op, .. }) = self.closing.take()
            && let Some(result) = self.submit_close(op)
        {
            self.done.push((op, result));
        }
        (
            std::mem::take(&mut self.done),
            std::mem::take(&mut self.events),
        )
    }

    /// What it has done, as JSON: see `StoreStats` in `index.d.ts`.
    #[must_use]
    pub fn stats(&self) -> serde_json::Value {
        let (sessions, bytes) = self.near.usage();
        let counts = self.near.counts();
        let mut all = self.stats.json();
        all.extend(self.backend.stats());
        let cache = serde_json::json!({
            "on": self.near.is_on(),
            "sessions": sessions,
            "bytes": bytes,
            "hits": counts.hits,
            "misses": counts.misses,
            "invalidations": counts.invalidations,
        });
        all.insert("cache".to_owned(), cache);
        all.insert("inFlight".to_owned(), self.sent.len().into());
        all.insert("owed".to_owned(), self.owed.len().into());
        all.insert("owedBytes".to_owned(), self.owed.bytes().into());
        all.insert("open".to_owned(), self.health.down().is_some().into());
        all.into()
    }

    /// What an answer says of the store.
    fn heard(&mut self, reply: &Result<Reply>, wrote: bool) {
        match reply {
            Err(error) if error.will_pass() => self.has_failed(error),
            _ => self.recovered(wrote && reply.is_ok()),
        }
    }

    fn has_failed(&mut self, error: &Error) {
        if self.health.failed(error, Instant::now()) {
            self.events.push(Event::Breaker(true));
        }
    }

    fn recovered(&mut self, wrote: bool) {
        if self.health.succeeded(wrote) {
            self.events.push(Event::Breaker(false));
        }
    }

    /// Fails the operations that have waited for longer than the deadline, and tries a store that has failed again.
    /// Answers the tickets of those that are at the store, for a store that has no deadlines of its own.
    pub fn expire(&mut self, now: Instant) -> Vec<u32> {
        if let Some(closing) = self.closing.take_if(|closing| now >= closing.deadline) {
            self.abandon();
            if let Some(result) = self.submit_close(closing.op) {
                self.done.push((closing.op, result));
            }
        }
        if self.health.try_now(now) {
            let ticket = self.ticket();
            match self.backend.submit(ticket, Op::Ping) {
                Some(reply) => self.heard(&reply, false),
                None => self.send(ticket, Sent::Trial, "ping", 0),
            }
        }
        self.pay(now);
        let mut late = Vec::new();
        while let Some(&(at, op)) = self.deadlines.front() {
            if self.outstanding.contains(&op) {
                if at > now {
                    break;
                }
                late.push(op);
                let waited = self.timeout.as_millis();
                let error = Error::new(
                    Kind::Timeout,
                    format!("the store did not answer within {waited} ms"),
                );
                self.has_failed(&error);
                let found = self.found_meanwhile(op);
                self.finish(op, found.ok_or(error));
            }
            self.deadlines.pop_front();
        }
        if late.is_empty() {
            return Vec::new();
        }
        let is_late = |sent: &Sent| match sent {
            Sent::Plain(op) | Sent::Change(op, _) => late.contains(op),
            Sent::Lane { job, .. } => job.waiters.iter().any(|op| late.contains(op)),
            Sent::Trial => false,
        };
        self.sent
            .iter()
            .filter(|(_, flight)| is_late(&flight.sent))
            .map(|(ticket, _)| *ticket)
            .collect()
    }

    fn ticket(&mut self) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        self.tickets
    }

    fn send(&mut self, ticket: u32, sent: Sent, kind: &'static str, weight: usize) {
        let flight = Flight {
            sent,
            kind,
            weight,
            began: Instant::now(),
            asked: self.near.now(),
        };
        self.sent.insert(ticket, flight);
        self.sent_bytes += weight;
    }

    /// Whether something of `weight` bytes may be sent. A single one may always: however big it is.
    fn room(&self, weight: usize) -> Result<()> {
        let count = self.sent.len() + self.owed.len();
        let bytes = self.sent_bytes + self.owed.bytes();
        if count < self.limits.count && (count == 0 || bytes + weight <= self.limits.bytes) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unavailable,
            format!(
                "{count} operations wait for the store, with {bytes} bytes: no more are taken (`maxQueue`, `maxQueueBytes`)"
            ),
        ))
    }

    fn wait(&mut self, op: u32) {
        while let Some((_, first)) = self.deadlines.front()
            && !self.outstanding.contains(first)
        {
            self.deadlines.pop_front();
        }
        let at = Instant::now() + self.timeout;
        self.outstanding.insert(op);
        self.deadlines.push_back((at, op));
    }

    fn finish(&mut self, op: u32, result: Result<Value>) {
        if self.outstanding.remove(&op) {
            self.done.push((op, result));
        }
    }

    fn on_session(&mut self, op: u32, record: &Shared, task: Task) -> Option<Result<Value>> {
        let lane = self.lane(&record.borrow());
        let record = Some(Rc::clone(record));
        let waiters = vec![op];
        self.enqueue(
            op,
            &lane,
            Job {
                record,
                task,
                waiters,
            },
        )
    }

    /// The lane of a session: that of whatever is under way with one of its keys, so that two sessions that are new
    /// under the same key are stored one after the other.
    fn lane(&self, record: &Record) -> Rc<str> {
        let mut busy = record
            .keys
            .iter()
            .filter_map(|key| self.lane_of.get(&key.name));
        busy.next()
            .map_or_else(|| Rc::from(&*record.uuid), Rc::clone)
    }

    fn enqueue(&mut self, op: u32, lane: &Rc<str>, job: Job) -> Option<Result<Value>> {
        if self.closed {
            return Some(Err(closed()));
        }
        if self.is_owed(lane) && self.health.is_well() {
            self.pay_lane(lane);
        }
        if self.is_owed(lane) {
            return Some(self.join_owed(lane, job));
        }
        if let Task::Load { name } = &job.task
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
    fn start(&mut self, lane: &Rc<str>, job: Job, trial: bool) -> Option<Result<Value>> {
        let (what, written) = match task::prepare(&job, self.default_ttl) {
            Ok(Prepared::Done(value)) => return Some(Ok(value)),
            Ok(Prepared::Send(what, written)) => (what, written),
            Err(error) => return Some(Err(error)),
        };
        if let Task::Load { name } = &job.task
            && let Some(found) = self.near(name, job.record.as_ref())
        {
            return Some(Ok(found));
        }
        let (kind, weight) = (what.kind(), what.weight());
        let refusal = match &job.task {
            _ if trial => None,
            Task::Save { .. } | Task::Swap { .. } => self.health.refusal(),
            _ => self.health.down(),
        };
        if let Some(error) = refusal.or_else(|| self.room(weight).err()) {
            return Some(Err(self.put_off(lane, job, None, error)));
        }
        let ticket = self.ticket();
        if let Some(reply) = self.backend.submit(ticket, what) {
            return Some(task::apply(&job, written.as_deref(), reply));
        }
        self.occupy(lane, &job);
        let lane = Rc::clone(lane);
        self.send(ticket, Sent::Lane { lane, job, written }, kind, weight);
        None
    }

    fn occupy(&mut self, lane: &Rc<str>, job: &Job) {
        let entry = self.lanes.entry(Rc::clone(lane)).or_default();
        let Some(record) = &job.record else { return };
        for key in &record.borrow().keys {
            if !self.lane_of.contains_key(&key.name) {
                self.lane_of.insert(key.name.clone(), Rc::clone(lane));
                entry.names.push(key.name.clone());
            }
        }
    }

    fn settle(
        &mut self,
        lane: &Rc<str>,
        mut job: Job,
        written: Option<Box<Written>>,
        reply: Result<Reply>,
        asked: u64,
    ) {
        let waiters = std::mem::take(&mut job.waiters);
        let result = match reply {
            Err(error) if error.will_pass() => {
                if let Some(record) = &job.record {
                    self.near.forget(&record.borrow().home);
                }
                Err(self.put_off(lane, job, written, error))
            }
            reply => {
                let result = task::apply(&job, written.as_deref(), reply);
                self.keep(&job, written.as_deref(), &result, asked);
                result
            }
        };
        // Those who waited too long were told just that; what came of it in the end is news.
        if let Err(error) = &result
            && error.kind != Kind::Timeout
            && !waiters.iter().any(|op| self.outstanding.contains(op))
        {
            self.events.push(Event::Error(error.clone()));
        }
        for op in waiters {
            self.finish(op, result.clone());
        }
        self.advance(lane, false);
    }

    /// What an operation on a session means for the near cache.
    fn keep(&mut self, job: &Job, written: Option<&Written>, result: &Result<Value>, asked: u64) {
        let Some(record) = job.record.as_ref().filter(|_| self.near.is_on()) else {
            return;
        };
        let record = record.borrow();
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
                }
                None => self.near.forget(&record.home),
            },
            _ => {
                self.near.forget(&record.home);
                // One that could not be loaded has no home here.
                if let Task::RemoveKey { name, .. } = &job.task {
                    self.near.forget(name);
                }
            }
        }
    }

    /// Starts what waits on a lane, until something is at the store again, or is owed, or the lane is empty.
    fn advance(&mut self, lane: &Rc<str>, trial: bool) {
        while let Some(entry) = self.lanes.get_mut(lane).filter(|lane| lane.owed.is_none()) {
            let Some(job) = entry.waiting.pop_front() else {
                break;
            };
            let waiters = job.waiters.clone();
            match self.start(lane, job, trial) {
                None => return,
                Some(result) => waiters
                    .into_iter()
                    .for_each(|op| self.finish(op, result.clone())),
            }
        }
        self.retire(lane);
    }

    /// Forgets a lane that has nothing to do.
    fn retire(&mut self, lane: &Rc<str>) {
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

fn closed() -> Error {
    Error::new(Kind::Closed, "the store was closed: make a new one")
}

#[cfg(test)]
mod tests;
