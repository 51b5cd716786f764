//! The engine: its parts, and what callers ask of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::breaker::Breaker;
use super::deadlines::{Closing, Deadlines};
use super::environment::Environment;
use super::in_flight::InFlight;
use super::near_cache::{Cache, Size};
use super::operation::{Action, Operation, SaveMode, Value};
use super::pending_writes::{Limits, PendingWrites};
use super::queues::Queues;
use super::statistics::Statistics;
use crate::error::Result;
use crate::session::{Change, Patch, Record, Shared, State};
use crate::store::{Backend, Event, StoreOp};

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

/// The engine of one store in one JavaScript environment. See the module above.
pub struct Engine<B> {
    /// The store.
    pub backend: B,
    pub(super) settings: Settings,
    pub(super) environment: Environment,
    /// The sequence number of the last write.
    pub(super) sequence: u64,
    pub(super) queues: Queues,
    pub(super) in_flight: InFlight,
    pub(super) pending: PendingWrites,
    pub(super) cache: Cache,
    pub(super) breaker: Breaker,
    pub(super) deadlines: Deadlines,
    pub(super) statistics: Statistics,
    pub(super) closing: Closing,
    pub(super) events: Vec<Event>,
}

impl<B: Backend> Engine<B> {
    /// An engine over `backend`.
    pub fn new(backend: B, settings: Settings, environment: Environment) -> Self {
        Self {
            backend,
            cache: Cache::new(settings.cache, environment.hasher.clone()),
            settings,
            environment,
            sequence: 0,
            queues: Queues::default(),
            in_flight: InFlight::default(),
            pending: PendingWrites::default(),
            breaker: Breaker::default(),
            deadlines: Deadlines::default(),
            statistics: Statistics::default(),
            closing: Closing::default(),
            events: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        (self.environment.clock)()
    }

    /// How long callers wait for operations that are started from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.settings.timeout = timeout;
    }

    /// How long callers wait for an operation.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// How many store operations are in flight, those included whose callers have had their answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether [`Engine::expire`] has something to do, even if no caller waits.
    #[must_use]
    pub fn has_background_work(&self) -> bool {
        !self.pending.is_empty() || !self.breaker.is_well()
    }

    /// Finds the session that has the key `name`. `live` is the one that this process has under that name; with `keeps_key`
    /// it keeps the key even if the store does not have it.
    pub fn load(
        &mut self,
        op: u32,
        name: &str,
        live: Option<&Shared>,
        keeps_key: bool,
    ) -> Option<Result<Value>> {
        // A session that has ended may have lost its keys to others.
        let live = live.filter(|live| keeps_key || live.borrow().state != State::Removed);
        if let Some(live) = live
            && live.borrow().state == State::New
        {
            return Some(Ok(Value::Current(true)));
        }
        let queue = match live {
            Some(live) => Some(self.queues.of(&live.borrow())),
            None => self.queues.by_name(name),
        };
        if queue
            .as_ref()
            .is_none_or(|queue| !self.queues.contains(queue))
            && let Some(found) = self.cached(name, live)
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
            return self.plain(op, StoreOp::Load { name });
        };
        let action = Action::Load { name, keeps_key };
        self.enqueue(op, &queue, Operation::new(live.map(Rc::clone), action, op))
    }

    /// Whether it is certain that the store has just this record, so that no load is necessary for one of its keys.
    pub fn is_current(&mut self, record: &Record) -> bool {
        record.is_current((self.environment.clock)()) || self.backend.is_current(record)
    }

    /// The session with the key `name`, by the near cache.
    pub(super) fn cached(&mut self, name: &str, live: Option<&Shared>) -> Option<Value> {
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

    /// Empties the near cache: an invalidation may have been missed.
    pub fn clear_cache(&mut self) {
        self.cache.clear();
    }

    /// Saves a session, with what has changed in its data object since the last save. `ttl` in ms.
    pub fn save(
        &mut self,
        op: u32,
        record: &Shared,
        patch: &Patch,
        mode: SaveMode,
        ttl: Option<u64>,
        if_unchanged: bool,
    ) -> Option<Result<Value>> {
        let change = record.borrow_mut().take(patch);
        let action = Action::Save {
            change,
            mode,
            ttl,
            if_unchanged,
        };
        self.on_session(op, record, action)
    }

    /// Stores a patch that was made from what the store is known to have, if it still has that. With `reserve` the writer
    /// has lost against others, and asks for a write reservation.
    pub fn compare_and_set(
        &mut self,
        op: u32,
        record: &Shared,
        patch: &Patch,
        ttl: Option<u64>,
        reserve: bool,
    ) -> Option<Result<Value>> {
        let change = Change::new(record.borrow().stored_document.clone(), patch.clone());
        let action = Action::CompareAndSet {
            change,
            ttl,
            reserve,
        };
        self.on_session(op, record, action)
    }

    /// Removes the key `name` of a session, and with the last key the session; what has changed is saved if it stays.
    pub fn remove_key(
        &mut self,
        op: u32,
        record: &Shared,
        name: &str,
        patch: &Patch,
        ttl: Option<u64>,
    ) -> Option<Result<Value>> {
        let change = record.borrow_mut().take(patch);
        let name = name.into();
        self.on_session(op, record, Action::RemoveKey { name, change, ttl })
    }

    /// Removes a session with all of its keys.
    pub fn destroy(&mut self, op: u32, record: &Shared) -> Option<Result<Value>> {
        self.on_session(op, record, Action::Destroy)
    }

    /// What the engine has done, as JSON: `StoreStats` in `index.d.ts`.
    #[must_use]
    pub fn stats(&self) -> serde_json::Value {
        let mut all = self.statistics.json();
        all.extend(self.backend.stats());
        all.insert("cache".to_owned(), self.cache.json());
        all.insert("inFlight".to_owned(), self.in_flight.len().into());
        all.insert("pendingWrites".to_owned(), self.pending.len().into());
        all.insert("pendingBytes".to_owned(), self.pending.bytes().into());
        let is_open = self.breaker.down().is_some();
        all.insert("breakerOpen".to_owned(), is_open.into());
        all.into()
    }
}
