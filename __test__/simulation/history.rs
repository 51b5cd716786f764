//! A history: random operations of several processes on a session or two, with random faults between them and the server,
//! all of it from one number. A plan is made first and then played, so that parts of it can be left out.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use drachtio_session::engine::{Engine, Environment, Limits, SaveMode, Settings, Size};
use drachtio_session::error::{Error, Kind};
use drachtio_session::store::memory::MemoryStore;
use drachtio_session::store::{Backend, Reply, StoreOp};
use foldhash::quality::SeedableRandomState;

use crate::client::{self, SimulatedRedis};
use crate::handle::{self, Changes, Process, Session, Store};
use crate::model;
use crate::network::{self, Event, Faults, Host, Link, MS, Mood, Network, SECOND, Time, to_ms};
use crate::random::Random;
use crate::server::{Pairs, Text, raw, short};

const DAY: u64 = 86_400_000;

/// The key of requests outside of a dialog, and the number that their session has in a history.
pub const JOINED: &str = "mks:joined";
pub const JOINED_SESSION: usize = 9;

/// How a history is set up.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // each is decided for itself
pub struct Setup {
    pub memory: bool,
    pub processes: usize,
    pub sessions: usize,
    /// Whether the second session takes a key from the first one.
    pub takes_over: bool,
    /// A fault comes before one in so many steps; never where it is 0.
    pub faultiness: u64,
    pub crashes: bool,
    pub cache: bool,
    pub links: usize,
    /// ms.
    pub ttl: u64,
    pub limits: Limits,
    pub most_recent: usize,
    pub timeout: Time,
    pub command_timeout: Time,
    pub skew: bool,
    pub latency: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Invite,
    Create,
    /// A session begins with a key that another one has.
    TakeOver,
    /// A request outside of a dialog, whose session joins the one that has its key by then.
    Message,
    Load,
    Save,
    SaveUnchanged,
    Update,
    AddKey,
    DeleteKey,
    Destroy,
    Info,
    Ack,
    Bye,
    Fault,
    Idle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    None,
    UntilDone,
    For(Time),
}

/// One thing that is done; `dice` decide which of what there is by then.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub what: What,
    pub dice: [u32; 4],
    pub pause: Pause,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let setup = Setup::new(&mut random);
        let mut steps = Vec::new();
        let takes_over = setup.sessions > 1 && setup.takes_over;
        for session in 0..setup.sessions - usize::from(takes_over) {
            let what = if random.one_in(3) {
                What::Invite
            } else {
                What::Create
            };
            let mut step = Step::new(what, &mut random);
            step.dice[3] = u32::try_from(session).unwrap_or(0);
            step.pause = if random.one_in(4) {
                Pause::None
            } else {
                Pause::UntilDone
            };
            steps.push(step);
        }
        for _ in 0..8 + random.below(30) {
            if setup.faultiness > 0 && random.one_in(setup.faultiness) {
                let mut fault = Step::new(What::Fault, &mut random);
                fault.pause = Pause::None;
                steps.push(fault);
            }
            let what = match Self::what(&mut random) {
                What::Save if takes_over && random.one_in(3) => What::TakeOver,
                what => what,
            };
            let mut step = Step::new(what, &mut random);
            if what == What::Idle {
                let most = if setup.ttl < DAY { setup.ttl } else { 1500 };
                step.pause = Pause::For(random.below(most) * MS);
            }
            steps.push(step);
        }
        Self { seed, setup, steps }
    }

    fn what(random: &mut Random) -> What {
        if random.one_in(5) {
            return What::Load;
        }
        match random.below(20) {
            0..3 => What::Update,
            3..5 => What::SaveUnchanged,
            5..7 => What::AddKey,
            7 => What::DeleteKey,
            8 if random.one_in(4) => What::Destroy,
            9..12 => What::Info,
            12 if random.one_in(3) => What::Bye,
            13 if random.one_in(3) => What::Idle,
            14 if random.one_in(2) => What::Ack,
            15 if random.one_in(3) => What::Message,
            _ => What::Save,
        }
    }
}

impl Step {
    fn new(what: What, random: &mut Random) -> Self {
        let dice = random.next();
        let more = random.next();
        let pause = match random.below(9) {
            0..3 => Pause::UntilDone,
            3..5 => Pause::For(random.below(8 * MS)),
            _ => Pause::None,
        };
        #[allow(clippy::cast_possible_truncation)] // they are dice
        let dice = [
            dice as u32,
            (dice >> 32) as u32,
            more as u32,
            (more >> 32) as u32,
        ];
        Self { what, dice, pause }
    }
}

impl Setup {
    fn new(random: &mut Random) -> Self {
        let memory = random.one_in(16);
        let faultiness = *random.pick(&[0, 0, 8, 8, 3]);
        let is_tight = random.one_in(12);
        let faultless = faultiness == 0 && !is_tight;
        let limits = if is_tight {
            Limits {
                count: 1 + usize::try_from(random.below(4)).unwrap_or(0),
                bytes: 64 << 20,
            }
        } else {
            Limits::default()
        };
        let timeout = if faultless { 10 * SECOND } else { 400 * MS };
        Self {
            memory,
            processes: if memory { 1 } else { 3 },
            sessions: 1 + usize::from(random.one_in(4)),
            takes_over: random.one_in(3),
            faultiness: if memory { 0 } else { faultiness },
            crashes: !memory && faultiness > 0 && random.one_in(4),
            cache: random.one_in(2),
            links: 1 + usize::from(random.one_in(3)),
            ttl: if !memory && random.one_in(6) {
                500 + random.below(3000)
            } else {
                DAY
            },
            limits: if memory { Limits::default() } else { limits },
            most_recent: *random.pick(&[4096, 4096, 2, 0]),
            timeout,
            command_timeout: if faultless { timeout } else { 200 * MS },
            skew: random.one_in(3),
            latency: *random.pick(&[20, 200, 1000]),
        }
    }

    /// Whether something may fail.
    pub fn is_faulty(&self) -> bool {
        self.faultiness > 0 || self.limits.count < 1000
    }

    pub fn expires(&self) -> bool {
        self.ttl < DAY
    }
}

/// What became of an operation.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub error: Option<Error>,
    pub uuid: Option<Text>,
    pub found: bool,
    pub degraded: bool,
    pub data: Pairs,
    /// The process has crashed meanwhile.
    pub lost: bool,
}

/// An operation, with the moments of its start and its end: a count over all of the history.
#[derive(Debug, Clone)]
pub struct Entry {
    pub what: What,
    pub session: usize,
    pub actor: usize,
    pub handle: usize,
    pub property: Option<Text>,
    /// Without one the property is taken away.
    pub value: Option<u64>,
    pub key: Option<Text>,
    /// Those of a session that begins.
    pub keys: Vec<Text>,
    pub status: u16,
    pub token: Option<Text>,
    pub start: u64,
    pub end: u64,
    pub started: Time,
    pub ended: Time,
    pub outcome: Outcome,
}

/// A session in the hands of a process.
struct Handle {
    actor: usize,
    session: usize,
    name: Text,
    written: u64,
    object: Rc<Session>,
}

/// What the operations that run have in common with the history.
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    moment: u64,
    handles: Vec<Handle>,
    /// The keys of each session that a process has seen, by its slot.
    knows: Vec<Vec<(usize, Text)>>,
}

/// What was found at the end, by the server itself.
#[derive(Debug, Default)]
pub struct Final {
    pub found: Vec<(Text, Option<Text>)>,
    /// The data of each session.
    pub data: Vec<(Text, Pairs)>,
    pub at: Time,
}

/// A history that was played.
pub struct Played {
    pub wrong: Vec<String>,
    pub entries: Vec<Entry>,
    pub end: Final,
    pub trace: Vec<String>,
    pub faults: Vec<String>,
    pub digest: u64,
}

struct History {
    setup: Setup,
    network: Rc<RefCell<Network>>,
    /// All that there were.
    processes: Vec<Rc<Process>>,
    /// Those that are alive.
    slots: Vec<usize>,
    log: Rc<RefCell<Log>>,
    last_key: usize,
    last_handle: usize,
    faults: Vec<String>,
    random: Random,
    wrong: Vec<String>,
}

/// Plays a plan.
pub fn play(plan: &Plan, traces: bool) -> Played {
    let mut history = History::new(plan, traces);
    history.run(&plan.steps);
    history.finish()
}

impl History {
    fn new(plan: &Plan, traces: bool) -> Self {
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

    fn begin_process(&mut self) -> usize {
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
        let links = if setup.memory { 0 } else { setup.links };
        let host = Host {
            links: (0..links).map(|_| Link::new()).collect(),
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

    fn now(&self) -> Time {
        self.network.borrow().now()
    }

    // The time.

    /// Lets things happen until something is so, or a time has come; answers whether it is so.
    fn pump(&mut self, until: Time, stop: impl Fn(&Log) -> bool) -> bool {
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

    fn happens(&mut self, event: Event) {
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
                process.hand_over();
            }
            _ => process.drain(),
        }
    }

    // The steps.

    fn run(&mut self, steps: &[Step]) {
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

    fn step(&mut self, step: &Step) -> Option<usize> {
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
            What::Info | What::Ack | What::Bye => self.request(step.what, first, second, third),
            _ => self.on_handle(step.what, first, second, third),
        }
    }

    fn new_key(&mut self, slot: usize, session: usize) -> Text {
        self.last_key += 1;
        let key: Text = format!("mks:k{}", self.last_key).into();
        self.log.borrow_mut().knows[slot].push((session, Rc::clone(&key)));
        key
    }

    fn entry(&mut self, what: What, session: usize, actor: usize) -> Entry {
        let mut log = self.log.borrow_mut();
        log.moment += 1;
        Entry {
            what,
            session,
            actor,
            handle: 0,
            property: None,
            value: None,
            key: None,
            keys: Vec::new(),
            status: 200,
            token: None,
            start: log.moment,
            end: u64::MAX,
            started: self.network.borrow().now(),
            ended: 0,
            outcome: Outcome::default(),
        }
    }

    /// Has a process do something, and notes what comes of it.
    fn operate<F: Future<Output = Outcome> + 'static>(
        &mut self,
        entry: Entry,
        task: impl FnOnce(Rc<Process>) -> F,
    ) -> usize {
        let actor = entry.actor;
        let number = self.log.borrow().entries.len();
        self.network
            .borrow_mut()
            .say(|| format!("p{actor} begins {}", described(&entry)));
        self.log.borrow_mut().entries.push(entry);
        let process = Rc::clone(&self.processes[actor]);
        let (log, network) = (Rc::clone(&self.log), Rc::clone(&self.network));
        let task = task(Rc::clone(&process));
        process.start(async move {
            let outcome = task.await;
            let mut log = log.borrow_mut();
            log.moment += 1;
            let moment = log.moment;
            let entry = &mut log.entries[number];
            if entry.end < u64::MAX {
                return;
            }
            entry.end = moment;
            let mut net = network.borrow_mut();
            entry.ended = net.now();
            let uuid = entry.outcome.uuid.take();
            entry.outcome = outcome;
            if entry.outcome.uuid.is_none() {
                entry.outcome.uuid = uuid;
            }
            net.say(|| format!("p{actor} has ended {}", described(entry)));
        });
        number
    }

    fn invite(&mut self, first: usize, second: usize, session: usize) -> usize {
        let slot = first % self.slots.len();
        let key = self.new_key(slot, session);
        let mut entry = self.entry(What::Invite, session, self.slots[slot]);
        entry.key = Some(Rc::clone(&key));
        entry.keys = vec![Rc::clone(&key)];
        entry.status = if second.is_multiple_of(8) { 486 } else { 200 };
        let request = handle::Request {
            method: "INVITE",
            key,
            to_tag: false,
            status: entry.status,
            changes: Changes::new(),
            thinks: thinks(second),
        };
        let seen = self.seen();
        self.operate(entry, |process| requested(process, request, seen))
    }

    /// What notes the session that the next operation, a request, has: before its handler answers.
    fn seen(&self) -> impl FnOnce(&Text) + 'static {
        let log = Rc::clone(&self.log);
        let number = log.borrow().entries.len();
        move |uuid| log.borrow_mut().entries[number].outcome.uuid = Some(Rc::clone(uuid))
    }

    fn create(&mut self, first: usize, second: usize, session: usize) -> usize {
        let slot = first % self.slots.len();
        let mut keys = vec![self.new_key(slot, session)];
        if second.is_multiple_of(2) {
            keys.push(self.new_key(slot, session));
        }
        let actor = self.slots[slot];
        let mut entry = self.entry(What::Create, session, actor);
        let object = Session::create(&self.processes[actor]);
        entry.keys.clone_from(&keys);
        entry.outcome.uuid = Some(object.uuid());
        entry.handle = self.add_handle(actor, session, &object);
        self.operate(entry, |_| async move {
            for key in &keys {
                if let Err(error) = object.add_key(key) {
                    return failed(error);
                }
            }
            ended(object.write(SaveMode::Always, false).await)
        })
    }

    fn add_handle(&mut self, actor: usize, session: usize, object: &Rc<Session>) -> usize {
        self.last_handle += 1;
        let name: Text = format!("d{}", self.last_handle).into();
        self.log.borrow_mut().handles.push(Handle {
            actor,
            session,
            name,
            written: 0,
            object: Rc::clone(object),
        });
        self.last_handle
    }

    /// A second session begins with a key that the first one has for certain.
    fn take_over(&mut self, first: usize, second: usize) -> Option<usize> {
        let slot = first % self.slots.len();
        let key = {
            let log = self.log.borrow();
            if log.entries.iter().any(|entry| entry.what == What::TakeOver) {
                return None;
            }
            let added = |entry: &Entry| {
                let is_done = entry.end < u64::MAX
                    && entry.outcome.error.is_none()
                    && !entry.outcome.lost
                    && entry.session == 0;
                match entry.what {
                    What::Create if is_done => entry.keys.clone(),
                    What::AddKey if is_done => entry.key.iter().cloned().collect(),
                    _ => Vec::new(),
                }
            };
            let keys: Vec<Text> = log.entries.iter().flat_map(added).collect();
            let key = keys.get(second % keys.len().max(1))?;
            let removes = |entry: &Entry| {
                matches!(entry.what, What::DeleteKey | What::Bye) && entry.key.as_ref() == Some(key)
            };
            if log.entries.iter().any(removes) {
                return None;
            }
            Rc::clone(key)
        };
        let actor = self.slots[slot];
        let mut entry = self.entry(What::TakeOver, 1, actor);
        let object = Session::create(&self.processes[actor]);
        entry.key = Some(Rc::clone(&key));
        entry.keys = vec![Rc::clone(&key)];
        entry.outcome.uuid = Some(object.uuid());
        entry.handle = self.add_handle(actor, 1, &object);
        self.log.borrow_mut().knows[slot].push((1, Rc::clone(&key)));
        Some(self.operate(entry, |_| async move {
            if let Err(error) = object.add_key(&key) {
                return failed(error);
            }
            ended(object.write(SaveMode::Always, false).await)
        }))
    }

    /// Whether two sessions want a key.
    fn is_contested(&self, key: &Text) -> bool {
        let log = self.log.borrow();
        let takes = |entry: &Entry| entry.what == What::TakeOver && entry.key.as_ref() == Some(key);
        log.entries.iter().any(takes)
    }

    fn message(&mut self, first: usize, second: usize) -> usize {
        let slot = first % self.slots.len();
        let key: Text = JOINED.into();
        let mut entry = self.entry(What::Message, JOINED_SESSION, self.slots[slot]);
        self.last_handle += 1;
        let property: Text = format!("m{}", self.last_handle).into();
        entry.key = Some(Rc::clone(&key));
        entry.property = Some(Rc::clone(&property));
        entry.value = Some(1);
        let request = handle::Request {
            method: "MESSAGE",
            key,
            to_tag: false,
            status: 200,
            changes: vec![(property, Some("1".into()))],
            thinks: thinks(second),
        };
        let seen = self.seen();
        self.operate(entry, |process| requested(process, request, seen))
    }

    fn load(&mut self, first: usize, second: usize) -> Option<usize> {
        let slot = first % self.slots.len();
        let (session, key) = {
            let log = self.log.borrow();
            let mut all: Vec<&(usize, Text)> = log.knows.iter().flatten().collect();
            all.sort();
            all.dedup();
            let (session, key) = all.get(second % all.len().max(1))?;
            (*session, Rc::clone(key))
        };
        let actor = self.slots[slot];
        let mut entry = self.entry(What::Load, session, actor);
        entry.key = Some(Rc::clone(&key));
        self.last_handle += 1;
        entry.handle = self.last_handle;
        let name: Text = format!("d{}", self.last_handle).into();
        let log = Rc::clone(&self.log);
        let number = log.borrow().entries.len();
        Some(self.operate(entry, |process| async move {
            let found = match process.load(&key).await {
                Ok(found) => found,
                Err(error) => return failed(error),
            };
            let Some(object) = found else {
                return Outcome::default();
            };
            let outcome = Outcome {
                found: true,
                uuid: Some(object.uuid()),
                data: object.data(),
                ..Outcome::default()
            };
            let mut log = log.borrow_mut();
            // A key that another session has taken leads there.
            let begun =
                |entry: &&Entry| !entry.keys.is_empty() && entry.outcome.uuid == outcome.uuid;
            let session = log
                .entries
                .iter()
                .find(begun)
                .map_or(session, |entry| entry.session);
            log.entries[number].session = session;
            for key in object.keys() {
                if !log.knows[slot].iter().any(|(_, known)| *known == key) {
                    log.knows[slot].push((session, key));
                }
            }
            log.handles.push(Handle {
                actor,
                session,
                name,
                written: 0,
                object,
            });
            outcome
        }))
    }

    fn request(&mut self, what: What, first: usize, second: usize, third: usize) -> Option<usize> {
        let slot = first % self.slots.len();
        let (session, key) = {
            let knows = &self.log.borrow().knows[slot];
            let (session, key) = knows.get(second % knows.len().max(1))?;
            (*session, Rc::clone(key))
        };
        if self.is_contested(&key) {
            return None;
        }
        let mut entry = self.entry(what, session, self.slots[slot]);
        entry.key = Some(Rc::clone(&key));
        let mut changes = Changes::new();
        if what == What::Info && !third.is_multiple_of(4) {
            self.last_handle += 1;
            let property: Text = format!("r{}", self.last_handle).into();
            changes.push((Rc::clone(&property), Some("1".into())));
            entry.property = Some(property);
            entry.value = Some(1);
        }
        let method = match what {
            What::Info => "INFO",
            What::Ack => "ACK",
            _ => "BYE",
        };
        let request = handle::Request {
            method,
            key,
            to_tag: true,
            status: 200,
            changes,
            thinks: thinks(third),
        };
        let seen = self.seen();
        Some(self.operate(entry, |process| requested(process, request, seen)))
    }

    fn on_handle(
        &mut self,
        what: What,
        first: usize,
        second: usize,
        third: usize,
    ) -> Option<usize> {
        let (actor, session, name, object, written) = {
            let mut log = self.log.borrow_mut();
            let count = log.handles.len();
            if count == 0 {
                return None;
            }
            let handle = &mut log.handles[first % count];
            let removes = second.is_multiple_of(6);
            if !removes {
                handle.written += 1;
            }
            (
                handle.actor,
                handle.session,
                Rc::clone(&handle.name),
                Rc::clone(&handle.object),
                (!removes).then_some(handle.written),
            )
        };
        let slot = self.slots.iter().position(|number| *number == actor)?;
        let mut entry = self.entry(what, session, actor);
        let changes: Changes = vec![(
            Rc::clone(&name),
            written.map(|value| value.to_string().into()),
        )];
        if !matches!(what, What::DeleteKey | What::Destroy) {
            entry.property = Some(Rc::clone(&name));
            entry.value = written;
        }
        match what {
            What::Update => {
                let token: Text = format!("{name}:{}", entry.start).into();
                entry.token = Some(Rc::clone(&token));
                Some(self.operate(entry, |process| async move {
                    object.change(&changes);
                    match process.update(&object, &token).await {
                        Ok(_) => Outcome::default(),
                        Err(error) => failed(error),
                    }
                }))
            }
            What::AddKey => {
                let key = self.new_key(slot, session);
                entry.key = Some(Rc::clone(&key));
                Some(self.operate(entry, |_| async move {
                    object.change(&changes);
                    if let Err(error) = object.add_key(&key) {
                        return failed(error);
                    }
                    ended(object.write(SaveMode::Always, false).await)
                }))
            }
            What::DeleteKey => {
                let key = {
                    let log = self.log.borrow();
                    let mut mine = log.knows[slot].iter().filter(|(of, _)| *of == session);
                    let count = mine.clone().count();
                    Rc::clone(&mine.nth(third % count.max(1))?.1)
                };
                entry.key = Some(Rc::clone(&key));
                Some(self.operate(
                    entry,
                    |_| async move { ended(object.delete_key(&key).await) },
                ))
            }
            What::Destroy => {
                Some(self.operate(entry, |_| async move { ended(object.destroy().await) }))
            }
            _ => {
                let if_unchanged = what == What::SaveUnchanged;
                Some(self.operate(entry, |_| async move {
                    object.change(&changes);
                    ended(object.write(SaveMode::Always, if_unchanged).await)
                }))
            }
        }
    }

    // The faults.

    #[allow(clippy::too_many_lines)] // one fault after the other
    fn fault(&mut self, dice: [u32; 4]) {
        let [which, slot, how, lasts] = dice.map(u64::from);
        let slot = usize::try_from(slot).unwrap_or(0) % self.slots.len();
        let host = self.slots[slot];
        let mut lasts = (10 + lasts % 300) * MS;
        let network = Rc::clone(&self.network);
        let mut net = network.borrow_mut();
        let number = usize::try_from(how).unwrap_or(0) % 8;
        let until = |net: &mut Network, lasts| {
            let at = net.now() + lasts;
            net.add(at, Event::Mend(host));
        };
        let crashes = if self.setup.crashes { 3 } else { 0 };
        let said = match which % (20 + crashes) {
            0 | 1 => {
                net.reset(host);
                format!("the connections of p{host} are reset")
            }
            2..=4 => {
                net.cut_after(host, number, how % 5, true);
                until(&mut net, lasts);
                format!("a connection of p{host} is cut after {} replies", how % 5)
            }
            5 | 6 => {
                net.cut_after(host, number, how % 5, false);
                until(&mut net, lasts);
                format!("a connection of p{host} is cut after {} requests", how % 5)
            }
            7 | 8 => {
                net.hosts[host].faults.stall_in = true;
                until(&mut net, lasts);
                format!("what is sent to p{host} is stalled")
            }
            9 => {
                net.hosts[host].faults.stall_out = true;
                until(&mut net, lasts);
                format!("what p{host} sends is stalled")
            }
            10 => {
                net.hosts[host].faults.stall_out = true;
                net.hosts[host].faults.stall_in = true;
                until(&mut net, lasts);
                format!("the network of p{host} is stalled")
            }
            11 | 12 => {
                net.hosts[host].faults.delay = how % (15 * MS);
                until(&mut net, lasts);
                format!("the network of p{host} is slow")
            }
            13 => {
                if how % 4 == 0 {
                    lasts *= 10;
                }
                net.hosts[host].faults.reject = true;
                net.reset(host);
                until(&mut net, lasts);
                format!("p{host} can't connect")
            }
            14 => {
                if how % 2 == 0 {
                    lasts *= 8;
                }
                for host in self.slots.clone() {
                    net.hosts[host].faults.reject = true;
                    net.reset(host);
                    let at = net.now() + lasts;
                    net.add(at, Event::Mend(host));
                }
                "the server is away".to_owned()
            }
            15 => {
                net.knows_scripts = false;
                "the scripts are flushed".to_owned()
            }
            16 => {
                net.mood = Some(Mood::Loading);
                let at = net.now() + lasts;
                net.add(at, Event::Calm);
                "the server is loading".to_owned()
            }
            17 | 18 => {
                let mood = if how % 2 == 0 {
                    Mood::ReadOnly
                } else {
                    Mood::OutOfMemory
                };
                net.mood = Some(mood);
                let at = net.now() + lasts;
                net.add(at, Event::Calm);
                format!("the server takes no writes: {mood:?}")
            }
            19 => {
                // Shorter than a reply may take.
                let busy = how % (30 * MS);
                net.hosts[host].busy_until = net.now() + busy;
                lasts = busy;
                format!("p{host} is busy")
            }
            _ => {
                drop(net);
                self.crash(slot);
                net = network.borrow_mut();
                format!("p{host} crashes")
            }
        };
        let at = to_ms(net.now());
        net.say(|| format!("fault: {said} for {} ms", to_ms(lasts)));
        let moment = self.log.borrow().moment;
        self.faults.push(format!(
            "{moment}: {said}, at {at} ms for {} ms",
            to_ms(lasts)
        ));
    }

    fn crash(&mut self, slot: usize) {
        let number = self.slots[slot];
        self.processes[number].crash();
        {
            let mut log = self.log.borrow_mut();
            log.moment += 1;
            let moment = log.moment;
            let now = self.now();
            for entry in &mut log.entries {
                if entry.actor == number && entry.end == u64::MAX {
                    entry.end = moment;
                    entry.ended = now;
                    entry.outcome.lost = true;
                }
            }
            log.handles.retain(|handle| handle.actor != number);
        }
        self.slots[slot] = self.begin_process();
    }

    // The end.

    fn finish(mut self) -> Played {
        let done = |log: &Log| log.entries.iter().all(|entry| entry.end < u64::MAX);
        let now = self.now();
        if !self.pump(now + 60 * SECOND, done) {
            self.wrong.push("9 an operation never ends".to_owned());
        }
        {
            let mut net = self.network.borrow_mut();
            net.mood = None;
            for host in 0..net.hosts.len() {
                if net.hosts[host].is_alive {
                    net.mend(host);
                }
            }
        }
        let mut end = Final::default();
        if self.setup.memory {
            self.look_in_memory(&mut end);
        }
        self.close();
        if !self.setup.memory {
            self.look(&mut end);
        }
        let entries = std::mem::take(&mut self.log.borrow_mut().entries);
        let mut wrong = std::mem::take(&mut self.wrong);
        let given_up = |number: usize| {
            let told = self.processes[number].told.borrow();
            let of_kind = told.iter().filter(|(_, error)| error.kind == Kind::GivenUp);
            of_kind.map(|(at, _)| *at).max()
        };
        let given_up: Vec<Option<Time>> = (0..self.processes.len()).map(given_up).collect();
        let crashed: Vec<bool> = self
            .processes
            .iter()
            .map(|process| !process.is_alive.get())
            .collect();
        wrong.extend(model::check(
            &self.setup,
            &entries,
            &end,
            &given_up,
            &crashed,
        ));
        for process in &self.processes {
            wrong.append(&mut process.wrong.borrow_mut());
        }
        self.expire(&mut wrong);
        for process in &self.processes {
            process.forget();
        }
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for entry in &entries {
            for byte in format!("{entry:?}").bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            if entries.len() > 1_000_000 {
                break;
            }
        }
        let trace = self.network.borrow_mut().trace.take().unwrap_or_default();
        Played {
            wrong,
            entries,
            end,
            trace,
            faults: self.faults,
            digest,
        }
    }

    /// Closes all stores: what was accepted is done first.
    fn close(&mut self) {
        let closed = Rc::new(RefCell::new(0));
        let alive: Vec<Rc<Process>> = self
            .slots
            .iter()
            .map(|number| Rc::clone(&self.processes[*number]))
            .collect();
        for process in &alive {
            let (closed, one) = (Rc::clone(&closed), Rc::clone(process));
            process.start(async move {
                let _ = one.close(10 * SECOND).await;
                *closed.borrow_mut() += 1;
            });
        }
        let now = self.now();
        let count = alive.len();
        if !self.pump(now + 15 * SECOND, |_| *closed.borrow() == count) {
            self.wrong.push("9 a store does not close".to_owned());
        }
        for process in &alive {
            let stats = process.engine.borrow().stats();
            for name in ["inFlight", "pendingWrites", "pendingBytes"] {
                if stats[name] != 0 {
                    let what = format!("9 p{}: {name} is {}", process.number, stats[name]);
                    self.wrong.push(what);
                }
            }
            if process.waits() > 0 {
                self.wrong.push("9 an operation never ends".to_owned());
            }
        }
    }

    fn all_keys(&self) -> Vec<Text> {
        let keys = (1..=self.last_key).map(|number| format!("mks:k{number}").into());
        keys.chain(std::iter::once(JOINED.into())).collect()
    }

    fn look(&self, end: &mut Final) {
        let mut net = self.network.borrow_mut();
        end.at = net.now();
        net.server.expire_all();
        net.server.take_told();
        let read = |key: &Text| {
            let hash = net.server.keys.get(key);
            let fields = hash.map(|hash| hash.fields.clone()).unwrap_or_default();
            client::parse(key, &fields, 0).unwrap_or_default()
        };
        for key in self.all_keys() {
            let (pointer, session) = read(&key);
            let session = match pointer {
                Some(primary) => read(&primary).1,
                None => session,
            };
            let session =
                session.filter(|session| session.keys.iter().any(|(name, _)| *name == key));
            let uuid: Option<Text> = session.as_ref().map(|session| session.uuid.as_str().into());
            end.found.push((key, uuid));
        }
        for (key, hash) in &net.server.keys {
            if let (_, Some(session)) = read(key) {
                let data: Pairs = hash
                    .fields
                    .iter()
                    .filter_map(|(field, value)| {
                        Some((field.strip_prefix('.')?.into(), Rc::clone(value)))
                    })
                    .collect();
                end.data.push((session.uuid.as_str().into(), data));
            }
        }
    }

    fn look_in_memory(&self, end: &mut Final) {
        end.at = self.now();
        let mut engine = self.processes[0].engine.borrow_mut();
        for key in self.all_keys() {
            let op = StoreOp::Load {
                name: Rc::clone(&key),
            };
            let found = match engine.backend.submit(0, op) {
                Some(Ok(Reply::Loaded(found))) => found,
                _ => None,
            };
            let uuid: Option<Text> = found.as_ref().map(|found| found.uuid.as_str().into());
            if let (Some(uuid), Some(found)) = (&uuid, found)
                && !end.data.iter().any(|(other, _)| other == uuid)
            {
                let text = found.document.text();
                let data = drachtio_session::session::fields::split(&text);
                let data = data.unwrap_or_default();
                let data = data
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect();
                end.data.push((Rc::clone(uuid), data));
            }
            end.found.push((key, uuid));
        }
    }

    /// Nothing is left behind when all times to live are over; and each session counts its keys right.
    fn expire(&self, wrong: &mut Vec<String>) {
        let mut net = self.network.borrow_mut();
        for (key, hash) in &net.server.keys {
            let keys = hash
                .fields
                .iter()
                .filter(|(field, _)| field.starts_with('@'));
            let count = keys.count().to_string();
            if let Some(uuid) = raw(hash, "uuid")
                && raw(hash, "keys").is_none_or(|keys| **keys != *count)
            {
                wrong.push(format!(
                    "12 {key} of {} counts its keys wrong: {hash:?}",
                    short(uuid)
                ));
            }
        }
        net.server.now += 2 * DAY;
        net.server.expire_all();
        for (key, hash) in &net.server.keys {
            wrong.push(format!("12 {key} is left behind: {hash:?}"));
        }
    }
}

/// How long a handler takes: mostly no time at all.
fn thinks(dice: usize) -> Time {
    let dice = dice as u64;
    if dice % 5 == 1 {
        dice / 5 % (20 * MS)
    } else {
        0
    }
}

fn failed(error: Error) -> Outcome {
    Outcome {
        error: Some(error),
        ..Outcome::default()
    }
}

fn ended(result: Result<(), Error>) -> Outcome {
    Outcome {
        error: result.err(),
        ..Outcome::default()
    }
}

async fn requested(
    process: Rc<Process>,
    request: handle::Request,
    note: impl FnOnce(&Text),
) -> Outcome {
    let mut outcome = Outcome::default();
    process
        .request(&request, |seen| {
            note(&seen.uuid);
            outcome.uuid = Some(seen.uuid);
            outcome.degraded = seen.degraded;
            outcome.data = seen.data;
        })
        .await;
    outcome
}

/// An operation for people to read.
pub fn described(entry: &Entry) -> String {
    let mut line = format!("{:?} of session {}", entry.what, entry.session);
    if entry.handle > 0 {
        let _ = write!(line, " by d{}", entry.handle);
    }
    if let Some(key) = &entry.key {
        let _ = write!(line, " {key}");
    }
    if entry.keys.len() > 1 {
        let _ = write!(line, " {:?}", entry.keys);
    }
    if let Some(property) = &entry.property {
        match entry.value {
            Some(value) => {
                let _ = write!(line, " {property}={value}");
            }
            None => {
                let _ = write!(line, " without {property}");
            }
        }
    }
    if entry.end < u64::MAX {
        let outcome = &entry.outcome;
        let _ = match &outcome.error {
            Some(error) => write!(line, ": {error}"),
            None if outcome.lost => write!(line, ": lost with its process"),
            None => write!(line, ": done"),
        };
        if let Some(uuid) = &outcome.uuid {
            let _ = write!(line, " {}", short(uuid));
        }
        if entry.what == What::Load {
            let _ = write!(line, " found {} {:?}", outcome.found, outcome.data);
        }
        if outcome.degraded {
            line.push_str(" degraded");
        }
    }
    line
}
