//! A process: an engine and its event loop, as `lib/native/engine.js` has them, and the live sessions of
//! `lib/session/registry.js`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use drachtio_session::engine::{Engine, Value};
use drachtio_session::error::{Error, Result};
use drachtio_session::store::{Backend, Event};
use uuid::Uuid;

use super::request::Leaving;
use super::session::Session;
use super::store::Store;
use super::update::Updating;
use crate::network::{self, MS, Network, Time};
use crate::random::Random;
use crate::server::Text;
use crate::tasks::{Answer, Tasks};

/// Between looks at the deadlines.
pub const TICK: Time = 50 * MS;

/// An operation of the engine that is waited for.
pub(super) struct Waiting {
    pub(super) answer: Answer<Result<Value>>,
    pub(super) since: Time,
    pub(super) has_deadline: bool,
}

/// A process: an engine, and the sessions that it has.
pub struct Process {
    pub number: usize,
    pub engine: RefCell<Engine<Store>>,
    pub tasks: Tasks,
    pub network: Rc<RefCell<Network>>,
    /// The sessions that requests hold, or that were used last, by key.
    pub(super) live: RefCell<BTreeMap<Text, Rc<Session>>>,
    pub(super) recent: RefCell<VecDeque<Rc<Session>>>,
    pub most_recent: usize,
    pub(super) updates: RefCell<BTreeMap<Text, VecDeque<Updating>>>,
    pub(super) next_op: Cell<u32>,
    pub(super) waiting: RefCell<BTreeMap<u32, Waiting>>,
    /// The responses that leave when the operations of this turn are written.
    pub(super) written: RefCell<Vec<Rc<Leaving>>>,
    pub(super) gathering: Cell<bool>,
    pub(super) ticking: Cell<bool>,
    pub(super) random: RefCell<Random>,
    pub(super) timeout: Time,
    /// How many operations the store has failed.
    pub(super) failures: Cell<u64>,
    pub is_down: Cell<bool>,
    pub is_alive: Cell<bool>,
    /// The errors that the engine has reported.
    pub reported: RefCell<Vec<(Time, Error)>>,
    /// What is against the guarantees.
    pub wrong: RefCell<Vec<String>>,
    pub(super) clock: Box<dyn Fn() -> Instant>,
}

impl Process {
    pub fn new(
        number: usize,
        engine: Engine<Store>,
        network: &Rc<RefCell<Network>>,
        clock: Box<dyn Fn() -> Instant>,
        timeout: Time,
        most_recent: usize,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            number,
            engine: RefCell::new(engine),
            tasks: Tasks::default(),
            network: Rc::clone(network),
            live: RefCell::default(),
            recent: RefCell::default(),
            most_recent,
            updates: RefCell::default(),
            next_op: Cell::new(1),
            waiting: RefCell::default(),
            written: RefCell::default(),
            gathering: Cell::new(false),
            ticking: Cell::new(false),
            random: RefCell::new(Random::new(seed)),
            timeout,
            failures: Cell::default(),
            is_down: Cell::new(false),
            is_alive: Cell::new(true),
            reported: RefCell::default(),
            wrong: RefCell::default(),
            clock,
        })
    }

    pub(super) fn now(&self) -> Time {
        self.network.borrow().now()
    }

    /// A version 4 UUID (RFC 9562).
    pub fn uuid(&self) -> Uuid {
        let mut random = self.random.borrow_mut();
        let bits = u128::from(random.next()) << 64 | u128::from(random.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    pub(super) fn fails(&self, rule: &str, what: &str) {
        let line = format!("{rule} p{}: {what}", self.number);
        self.wrong.borrow_mut().push(line);
    }

    // The event loop.

    /// Runs `task`, as something that the application begins.
    pub fn start(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.start(task);
        self.flush();
    }

    /// The end of a turn: what it has asked for goes to the store.
    pub fn flush(&self) {
        self.tasks.run();
        while self.gathering.replace(false) {
            self.engine.borrow_mut().backend.flush();
            for leaving in self.written.take() {
                leaving.leave();
            }
            self.tasks.run();
        }
    }

    /// Settles what was completed.
    pub fn drain(&self) {
        let (done, events) = self.engine.borrow_mut().drain();
        let now = self.now();
        for event in events {
            match event {
                Event::Error(error) => self.reported.borrow_mut().push((now, error)),
                Event::Breaker(open) => self.is_down.set(open),
                _ => {}
            }
        }
        for (op, result) in done {
            let Some(waiting) = self.waiting.borrow_mut().remove(&op) else {
                self.fails("9", &format!("operation {op} has ended twice"));
                continue;
            };
            if waiting.has_deadline {
                let net = self.network.borrow();
                let local = |time| net.passes(self.number, time);
                let took = local(now).saturating_sub(local(waiting.since));
                // The event loop may have been busy, the timer just missed it.
                let busy = 40 * MS;
                if took > self.timeout + TICK + TICK / 10 + busy {
                    drop(net);
                    self.fails("9", &format!("an operation has taken {took} µs"));
                }
            }
            if result.as_ref().is_err_and(Error::will_pass) {
                self.failures.set(self.failures.get() + 1);
            }
            waiting.answer.give(result);
        }
        self.flush();
    }

    /// The timer: looks at the deadlines while there is something to wait for.
    pub fn tick(&self) {
        if !self.is_alive.get() {
            return;
        }
        self.drain();
        let is_busy =
            !self.waiting.borrow().is_empty() || self.engine.borrow().has_background_work();
        self.ticking.set(is_busy);
        if is_busy {
            self.engine.borrow_mut().expire((self.clock)());
            self.drain();
            self.schedule_tick();
        }
    }

    pub(super) fn schedule_tick(&self) {
        let mut net = self.network.borrow_mut();
        let at = (net.now() + TICK).max(net.hosts[self.number].busy_until);
        net.add(at, network::Event::Tick(self.number));
    }

    /// How many operations are waited for.
    pub fn waits(&self) -> usize {
        self.waiting.borrow().len()
    }

    pub(super) async fn sleep(&self, time: Time) {
        let (answer, coming) = self.tasks.ask();
        {
            let mut net = self.network.borrow_mut();
            let at = net.now() + time;
            net.add(at, network::Event::Wake(self.number, answer));
        }
        coming.await;
    }

    pub(super) async fn run(
        &self,
        start: impl FnOnce(&mut Engine<Store>, u32) -> Option<Result<Value>>,
    ) -> Result<Value> {
        self.run_within(true, start).await
    }

    pub(super) async fn run_within(
        &self,
        has_deadline: bool,
        start: impl FnOnce(&mut Engine<Store>, u32) -> Option<Result<Value>>,
    ) -> Result<Value> {
        let op = self.next_op.replace(self.next_op.get() + 1);
        let answer = start(&mut self.engine.borrow_mut(), op);
        if let Some(answer) = answer {
            return answer;
        }
        let (answer, coming) = self.tasks.ask();
        let waiting = Waiting {
            answer,
            since: self.now(),
            has_deadline,
        };
        self.waiting.borrow_mut().insert(op, waiting);
        if !self.ticking.replace(true) {
            self.schedule_tick();
        }
        self.gathering.set(true);
        coming.await
    }

    /// `store.close({timeout})`.
    pub async fn close(&self, timeout: Time) -> Result<()> {
        let deadline = (self.clock)() + Duration::from_micros(timeout);
        self.run_within(false, |engine, op| engine.close(op, deadline))
            .await
            .map(|_| ())
    }

    /// The process is killed.
    pub fn crash(&self) {
        self.is_alive.set(false);
        self.tasks.clear();
        self.waiting.borrow_mut().clear();
        self.live.borrow_mut().clear();
        self.recent.borrow_mut().clear();
        self.updates.borrow_mut().clear();
        self.written.borrow_mut().clear();
        if let Store::Redis(store) = &self.engine.borrow().backend {
            store.crash();
        }
        self.network.borrow_mut().crash(self.number);
    }

    /// Drops everything that refers to the process.
    pub fn forget(&self) {
        self.tasks.clear();
        self.live.borrow_mut().clear();
        self.recent.borrow_mut().clear();
        self.updates.borrow_mut().clear();
        self.waiting.borrow_mut().clear();
        if let Store::Redis(store) = &self.engine.borrow().backend {
            store.crash();
        }
    }

    // Live sessions, and those that were used last.

    /// The live session that has this key, if there is one.
    pub(super) fn find_live(&self, name: &str) -> Option<Rc<Session>> {
        self.live_or_ended(name)
            .filter(|session| !session.is_removed())
    }

    pub(super) fn live_or_ended(&self, name: &str) -> Option<Rc<Session>> {
        self.live.borrow().get(name).cloned()
    }

    pub(super) fn list(&self, name: &Text, session: &Rc<Session>) {
        self.live
            .borrow_mut()
            .insert(Rc::clone(name), Rc::clone(session));
    }

    pub(super) fn unlist(&self, names: &[Text], session: &Rc<Session>) {
        let mut live = self.live.borrow_mut();
        for name in names {
            if live
                .get(name)
                .is_some_and(|other| Rc::ptr_eq(other, session))
            {
                live.remove(name);
            }
        }
    }

    pub(super) fn add_recent(&self, session: &Rc<Session>) {
        session.is_recent.set(true);
        self.recent.borrow_mut().push_back(Rc::clone(session));
        while self.recent.borrow().len() > self.most_recent {
            let oldest = self.recent.borrow_mut().pop_front();
            if let Some(oldest) = oldest {
                oldest.is_recent.set(false);
                self.unlist(&oldest.keys(), &oldest);
            }
        }
    }

    pub(super) fn remove_recent(&self, session: &Rc<Session>) {
        session.is_recent.set(false);
        self.recent
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, session));
    }
}
