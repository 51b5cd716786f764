//! Plays a plan: processes, the time, and one step after the other.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use drachtio_session::engine::{Engine, Environment, Settings, Size};
use drachtio_session::store::memory::MemoryStore;
use foldhash::quality::SeedableRandomState;

use super::log::{Log, Played};
use super::plan::{Pause, Plan, Setup, Step, What};
use crate::client::SimulatedRedis;
use crate::glue::{Process, Store};
use crate::network::{self, Connection, Event, Faults, Host, Network, SECOND, Time};
use crate::random::Random;

/// A history that is being played.
pub(super) struct History {
    pub(super) setup: Setup,
    pub(super) network: Rc<RefCell<Network>>,
    /// All that there were.
    pub(super) processes: Vec<Rc<Process>>,
    /// Those that are alive.
    pub(super) slots: Vec<usize>,
    pub(super) log: Rc<RefCell<Log>>,
    pub(super) last_key: usize,
    pub(super) last_handle: usize,
    pub(super) last_dialog: u64,
    pub(super) faults: Vec<String>,
    pub(super) random: Random,
    pub(super) wrong: Vec<String>,
}

/// Plays a plan.
pub fn play(plan: &Plan, traces: bool) -> Played {
    let mut history = History::new(plan, traces);
    history.run(&plan.steps);
    history.finish()
}

impl History {
    pub(super) fn new(plan: &Plan, traces: bool) -> Self {
        let mut network = Network::new(plan.seed ^ 0xfeed, Instant::now());
        network.trace = traces.then(Vec::new);
        let mut history = Self {
            setup: plan.setup.clone(),
            network: Rc::new(RefCell::new(network)),
            processes: Vec::new(),
            slots: Vec::new(),
            log: Rc::default(),
            last_key: 0,
            last_handle: 0,
            last_dialog: 0,
            faults: Vec::new(),
            random: Random::new(plan.seed ^ 0xbeef),
            wrong: Vec::new(),
        };
        for _ in 0..plan.setup.processes {
            let number = history.begin_process();
            history.slots.push(number);
            history.log.borrow_mut().knows.push(Vec::new());
        }
        history
    }

    pub(super) fn begin_process(&mut self) -> usize {
        let setup = &self.setup;
        let drift = if setup.skew {
            self.random.below(20_000).cast_signed() - 10_000
        } else {
            0
        };
        let skew = if setup.skew {
            self.random.below(4000).cast_signed() - 2000
        } else {
            0
        };
        let mut net = self.network.borrow_mut();
        let connections = if setup.memory { 0 } else { setup.connections };
        let host = Host {
            connections: (0..connections).map(|_| Connection::new()).collect(),
            faults: Faults::default(),
            is_alive: true,
            latency: setup.latency,
            is_woken: false,
            busy_until: 0,
            drift,
            skew,
            tracks: setup.cache,
            command_timeout: setup.command_timeout,
            floor: std::collections::BTreeMap::new(),
            changed: false,
        };
        let number = net.add_host(host);
        let clock = network::clock(&net, drift);
        let own_clock = network::clock(&net, drift);
        drop(net);
        let store = if setup.memory {
            Store::Memory(Box::new(MemoryStore::new(None)))
        } else {
            let writer = format!("writer-{number}");
            let network = Rc::clone(&self.network);
            Store::Redis(Box::new(SimulatedRedis::new(network, number, &writer)))
        };
        let settings = Settings {
            default_ttl: Some(setup.ttl),
            timeout: Duration::from_micros(setup.timeout),
            limits: setup.limits,
            cache: setup.cache.then_some(Size {
                max: 64 << 20,
                ttl: Duration::from_secs(60),
            }),
        };
        let environment = Environment {
            clock,
            hasher: SeedableRandomState::fixed(),
        };
        let engine = Engine::new(store, settings, environment);
        let process = Process::new(
            number,
            engine,
            &self.network,
            own_clock,
            setup.timeout,
            setup.most_recent,
            self.random.next(),
        );
        self.processes.push(process);
        number
    }

    pub(super) fn now(&self) -> Time {
        self.network.borrow().now()
    }

    // The time.

    /// Lets things happen until something is so, or a time has come; answers whether it is so.
    pub(super) fn pump(&mut self, until: Time, stop: impl Fn(&Log) -> bool) -> bool {
        loop {
            if stop(&self.log.borrow()) {
                return true;
            }
            let event = self.network.borrow_mut().next(until);
            let Some(event) = event else {
                self.network.borrow_mut().advance(until);
                return false;
            };
            self.happens(event);
        }
    }

    pub(super) fn happens(&mut self, event: Event) {
        let number = match &event {
            Event::Turn(number) | Event::Tick(number) | Event::Wake(number, _) => *number,
            _ => return self.network.borrow_mut().happens(event),
        };
        let process = Rc::clone(&self.processes[number]);
        if !process.is_alive.get() {
            return;
        }
        {
            let mut net = self.network.borrow_mut();
            let busy_until = net.hosts[number].busy_until;
            if busy_until > net.now() {
                net.add(busy_until, event);
                return;
            }
            if matches!(event, Event::Turn(_)) {
                net.hosts[number].is_woken = false;
            }
        }
        match event {
            Event::Tick(_) => process.tick(),
            Event::Wake(_, answer) => {
                answer.give(());
                process.flush();
            }
            _ => process.drain(),
        }
    }

    // The steps.

    pub(super) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            let entry = self.step(step);
            let now = self.now();
            match (step.pause, entry) {
                (Pause::UntilDone, Some(entry)) => {
                    let is_done = |log: &Log| log.entries[entry].end < u64::MAX;
                    if !self.pump(now + 60 * SECOND, is_done) {
                        self.wrong.push("9 an operation never ends".to_owned());
                        return;
                    }
                }
                (Pause::For(time), _) => {
                    self.pump(now + time, |_| false);
                }
                _ => {}
            }
        }
    }

    pub(super) fn step(&mut self, step: &Step) -> Option<usize> {
        let [first, second, third, fourth] = step.dice.map(|dice| dice as usize);
        match step.what {
            What::Fault => {
                self.fault(step.dice);
                None
            }
            What::Idle => None,
            What::Invite => Some(self.invite(first, second, fourth)),
            What::Create => Some(self.create(first, second, fourth)),
            What::TakeOver => self.take_over(first, second),
            What::Message => Some(self.message(first, second)),
            What::Load => self.load(first, second),
            What::Dialog => Some(self.dialog(first, second)),
            What::FindDialog => self.find_dialog(first, second, false),
            What::HangUp => self.find_dialog(first, second, true),
            What::Info | What::Ack | What::Bye => self.request(step.what, first, second, third),
            _ => self.on_handle(step.what, first, second, third),
        }
    }
}
