//! Operations in, completions out. One lane per session keeps its operations in the order they were asked for.
//!
//! Each operation has a number of the caller's choice. [`Engine`] answers it at once when it can (an unchanged save,
//! anything in memory), otherwise with [`Engine::drain`]. A lane exists while something is on its way to the store
//! or waits behind it; loads by any key of that session join it, so that they see what was asked for before them.
//! Saves that wait are merged when they come from the same [`crate::record::Record`]: the newest text has all of its changes.
//!
//! `flights` is what is on its way to the store, `lanes` the order, `near` what is known without asking.
//! While the store fails (`health`), saves and removals are told of as failed and stay in their lanes: they are
//! owed (`owed`), and done when the store is back.

mod ending;
mod flights;
mod health;
mod lanes;
mod meanwhile;
mod near;
mod owed;
mod prepare;
mod stats;
mod task;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use flights::{Flight, Sent};
use foldhash::{HashMap, HashSet};
use health::Health;
use lanes::Lane;
use near::Near;
pub use near::Size;
pub use owed::Limits;
use owed::Owed;
use stats::Stats;
pub use task::{Extent, Shared, Value};
use task::{Job, Task, value_of};

use crate::error::{Error, Kind, Result};
use crate::record::State;
use crate::store::{Backend, Event, Op};

/// A close that waits for the rest.
struct Closing {
    ops: Vec<u32>,
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
    /// The number of the last write.
    numbers: u64,
    sent: HashMap<u32, Flight>,
    /// Bytes of what is at the store.
    sent_bytes: usize,
    lanes: HashMap<Rc<str>, Lane>,
    lane_of: HashMap<Rc<str>, Rc<str>>,
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
            numbers: 0,
            sent: HashMap::default(),
            sent_bytes: 0,
            lanes: HashMap::default(),
            lane_of: HashMap::default(),
            health: Health::default(),
            owed: Owed::default(),
            near: Near::new(near),
            stats: Stats::default(),
            outstanding: HashSet::default(),
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

    /// Finds the session that has the key `name`. `live` is the one this process has under that name; with
    /// `lenient` it is not taken for removed where the key leads nowhere.
    pub fn load(
        &mut self,
        op: u32,
        name: &str,
        live: Option<&Shared>,
        lenient: bool,
    ) -> Option<Result<Value>> {
        // One that has ended leaves its keys to others.
        let live = live.filter(|live| lenient || live.borrow().state != State::Removed);
        if let Some(live) = live
            && live.borrow().state == State::New
        {
            return Some(Ok(Value::Current(true)));
        }
        let lane = match live {
            Some(live) => Some(self.lane(&live.borrow())),
            None => self.lane_of.get(name).map(Rc::clone),
        };
        if lane
            .as_ref()
            .is_none_or(|lane| !self.lanes.contains_key(lane))
            && let Some(found) = self.near(name, live)
        {
            let same = match &found {
                Value::Session(record) => Some(record),
                Value::Current(true) => live,
                _ => None,
            };
            if let Some(same) = same {
                self.prove(&mut same.borrow_mut(), None);
            }
            return Some(Ok(found));
        }
        let name = name.into();
        let Some(lane) = lane else {
            return self.plain(op, Op::Load { name });
        };
        let task = Task::Load { name, lenient };
        self.enqueue(op, &lane, Job::new(live.map(Rc::clone), task, op))
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

    /// It may have missed that others have changed something: nothing is taken for known.
    pub fn distrust(&mut self) {
        self.near.clear();
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
        let (base, text) = (Rc::clone(&record.borrow().text), text.into());
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
        let name = name.into();
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
            _ if !self.near.may_keep() => None,
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
            // One close for all who ask.
            let closing = self.closing.as_mut().map(|closing| &mut closing.ops);
            let sent = self
                .sent
                .values_mut()
                .find_map(|flight| match &mut flight.sent {
                    Sent::Close(ops) => Some(ops),
                    _ => None,
                });
            return match closing.or(sent) {
                Some(ops) => {
                    ops.push(op);
                    None
                }
                None => Some(Ok(Value::Nothing)),
            };
        }
        self.closed = true;
        self.near.told(false);
        let ops = vec![op];
        if self.sent.is_empty() && self.owed.is_empty() {
            self.submit_close(ops);
            // done at once, where the store has nothing to wait for
            return self
                .done
                .pop_if(|(done, _)| *done == op)
                .map(|(_, result)| result);
        }
        self.closing = Some(Closing { ops, deadline });
        None
    }

    fn submit_close(&mut self, ops: Vec<u32>) {
        let ticket = self.ticket();
        match self.backend.submit(ticket, Op::Close) {
            Some(reply) => self.closed(ops, &reply.map(value_of)),
            None => self.send(ticket, Sent::Close(ops), "close", 0),
        }
    }

    fn closed(&mut self, ops: Vec<u32>, result: &Result<Value>) {
        self.done
            .extend(ops.into_iter().map(|op| (op, result.clone())));
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
}

fn closed() -> Error {
    Error::new(Kind::Closed, "the store was closed: make a new one")
}

#[cfg(test)]
mod tests;
