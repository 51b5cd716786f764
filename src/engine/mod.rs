//! Operations in, completions out. One queue per session keeps its operations in the order they were asked for.
//!
//! Each operation has a sequence of the caller's choice. [`Engine`] answers it at once when it can (an unchanged save,
//! anything in memory), otherwise with [`Engine::drain`]. A queue exists while something is on its way to the store
//! or waits behind it; loads by any key of that session join it, so that they see what was asked for before them.
//! Saves that wait are merged when they come from the same [`crate::session::Record`]: the newest text has all of its changes.
//!
//! `in_flight` is what is on its way to the store, `queues` the order, `cache` what is known without asking.
//! While the store fails (`breaker`), saves and removals are told of as failed and stay in their queues: they are
//! pending (`pending`), and done when the store is back.

mod breaker;
mod cache;
mod ending;
mod environment;
mod in_flight;
mod operation;
mod pending_writes;
mod prepare;
mod projected;
mod queues;
mod statistics;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use breaker::Breaker;
use cache::Cache;
pub use cache::Size;
pub use environment::Environment;
use foldhash::{HashMap, HashSet};
use in_flight::{Entry, Sent};
use operation::{Action, Operation, value_of};
pub use operation::{SaveMode, Shared, Value};
pub use pending_writes::Limits;
use pending_writes::PendingWrites;
use queues::Queue;
use statistics::Statistics;

use crate::error::{Error, Kind, Result};
use crate::session::State;
use crate::store::{Backend, Event, Op};

/// A close that waits for the rest.
struct Closing {
    ops: Vec<u32>,
    deadline: Instant,
}

/// How long a session is kept cache whose time to live was not started anew, ms.
const BRIEFLY: u64 = 2000;

/// An operation that is done.
pub type Completion = (u32, Result<Value>);

/// How an engine works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The time to live of what is saved without one of its own, ms; `None` means forever.
    pub default_ttl: Option<u64>,
    /// How long a caller waits for an operation.
    pub timeout: Duration,
    /// How much may be queued.
    pub limits: Limits,
    /// The size of the near cache; without it there is none.
    pub cache: Option<Size>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_ttl: None,
            timeout: Duration::from_secs(2),
            limits: Limits::default(),
            cache: None,
        }
    }
}

/// The engine of one store in one JavaScript environment. See the module.
pub struct Engine<B> {
    environment: Environment,
    /// The store.
    pub backend: B,
    /// The time to live of what is saved without one of its own, ms.
    default_ttl: Option<u64>,
    timeout: Duration,
    limits: Limits,
    closed: bool,
    closing: Option<Closing>,
    tickets: u32,
    /// The sequence of the last write.
    sequences: u64,
    sent: HashMap<u32, Entry>,
    /// Bytes of what is at the store.
    sent_bytes: usize,
    queues: HashMap<Rc<str>, Queue>,
    queue_by_name: HashMap<Rc<str>, Rc<str>>,
    breaker: Breaker,
    pending: PendingWrites,
    cache: Cache,
    stats: Statistics,
    /// Who is still waited for.
    outstanding: HashSet<u32>,
    deadlines: VecDeque<(Instant, u32)>,
    done: Vec<Completion>,
    events: Vec<Event>,
}

impl<B: Backend> Engine<B> {
    /// An engine over `backend`.
    pub fn new(backend: B, settings: Settings, environment: Environment) -> Self {
        let Settings {
            default_ttl,
            timeout,
            limits,
            cache,
        } = settings;
        Self {
            backend,
            default_ttl,
            timeout,
            limits,
            closed: false,
            closing: None,
            tickets: 0,
            sequences: 0,
            sent: HashMap::default(),
            sent_bytes: 0,
            queues: HashMap::default(),
            queue_by_name: HashMap::default(),
            breaker: Breaker::default(),
            pending: PendingWrites::default(),
            cache: Cache::new(cache, environment.hasher.clone()),
            environment,
            stats: Statistics::default(),
            outstanding: HashSet::default(),
            deadlines: VecDeque::new(),
            done: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The current time.
    fn now(&self) -> Instant {
        (self.environment.clock)()
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
    pub fn has_background_work(&self) -> bool {
        !self.pending.is_empty() || !self.breaker.is_well()
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
        let queue = match live {
            Some(live) => Some(self.queue(&live.borrow())),
            None => self.queue_by_name.get(name).map(Rc::clone),
        };
        if queue
            .as_ref()
            .is_none_or(|queue| !self.queues.contains_key(queue))
            && let Some(found) = self.cache(name, live)
        {
            let same = match &found {
                Value::Session(record) => Some(record),
                Value::Current(true) => live,
                _ => None,
            };
            if let Some(same) = same {
                self.validate(&mut same.borrow_mut(), None);
            }
            return Some(Ok(found));
        }
        let name = name.into();
        let Some(queue) = queue else {
            return self.plain(op, Op::Load { name });
        };
        let action = Action::Load { name, lenient };
        self.enqueue(op, &queue, Operation::new(live.map(Rc::clone), action, op))
    }

    /// The session with the key `name`, without asking the store.
    fn cache(&mut self, name: &str, live: Option<&Shared>) -> Option<Value> {
        let found = self.cache.get(name, (self.environment.clock)());
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
        self.cache.count(value.is_some());
        value
    }

    /// It may have missed that others have changed something: nothing is taken for known.
    pub fn distrust(&mut self) {
        self.cache.clear();
    }

    /// Saves a session; `text` is absent while nobody has read its data. `ttl` in ms.
    pub fn save(
        &mut self,
        op: u32,
        record: &Shared,
        text: Option<String>,
        mode: SaveMode,
        ttl: Option<u64>,
        if_unchanged: bool,
    ) -> Option<Result<Value>> {
        let (base, text) = record.borrow_mut().take(text);
        let action = Action::Save {
            base,
            text,
            mode,
            ttl,
            if_unchanged,
        };
        self.on_session(op, record, action)
    }

    /// Stores `text`, which was made from what the store is known to have, if it still has that. One that `reserve` has
    /// lost against others, and is to have its turn.
    pub fn compare_and_set(
        &mut self,
        op: u32,
        record: &Shared,
        text: String,
        ttl: Option<u64>,
        reserve: bool,
    ) -> Option<Result<Value>> {
        let (base, text) = (Rc::clone(&record.borrow().text), text.into());
        self.on_session(
            op,
            record,
            Action::CompareAndSet {
                base,
                text,
                ttl,
                reserve,
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
        self.on_session(op, record, Action::RemoveKey { name, data, ttl })
    }

    /// Removes a session with all of its keys.
    pub fn destroy(&mut self, op: u32, record: &Shared) -> Option<Result<Value>> {
        self.on_session(op, record, Action::Destroy)
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
        if let Some(error) = self.breaker.down() {
            return Some(Err(error));
        }
        // What walks through the whole store takes its time; each command of it has a deadline.
        let long = matches!(what, Op::All | Op::Ids | Op::Length | Op::Clear);
        let weight = what.weight();
        if let Err(full) = self.room(weight) {
            return Some(Err(full));
        }
        let changes = match &what {
            _ if !self.cache.may_keep() => None,
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

    /// Finishes what was asked for, also what is pending, then lets go of the store. Whatever comes later is refused, and
    /// what is not done by the deadline is given up.
    pub fn close(&mut self, op: u32, deadline: Instant) -> Option<Result<Value>> {
        if self.closed {
            // One close for all who ask.
            let closing = self.closing.as_mut().map(|closing| &mut closing.ops);
            let sent = self
                .sent
                .values_mut()
                .find_map(|entry| match &mut entry.sent {
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
        self.cache.told(false);
        let ops = vec![op];
        if self.sent.is_empty() && self.pending.is_empty() {
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
        let (sessions, bytes) = self.cache.usage();
        let counts = self.cache.counts();
        let mut all = self.stats.json();
        all.extend(self.backend.stats());
        let cache = serde_json::json!({
            "on": self.cache.is_on(),
            "sessions": sessions,
            "bytes": bytes,
            "hits": counts.hits,
            "misses": counts.misses,
            "invalidations": counts.invalidations,
        });
        all.insert("cache".to_owned(), cache);
        all.insert("inFlight".to_owned(), self.sent.len().into());
        all.insert("pendingWrites".to_owned(), self.pending.len().into());
        all.insert("pendingBytes".to_owned(), self.pending.bytes().into());
        all.insert(
            "breakerOpen".to_owned(),
            self.breaker.down().is_some().into(),
        );
        all.into()
    }
}

fn closed() -> Error {
    Error::new(Kind::Closed, "the store was closed: make a new one")
}

#[cfg(test)]
mod tests;
