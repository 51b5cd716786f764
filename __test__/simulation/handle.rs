//! What the JavaScript side does on top of the engine: sessions with their data objects, `update()`, and requests on their
//! way through the middleware. It follows `lib/` function by function; all that touches the engine's operations and the
//! records is in this file.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use drachtio_session::engine::{Engine, SaveMode, Shared, Value};
use drachtio_session::error::{Error, Kind, Result};
use drachtio_session::rules::{self, Facts, Finish, Placeholder, Plan};
use drachtio_session::session::{FirstSave, Patch, Record, State, fields};
use drachtio_session::store::memory::MemoryStore;
use drachtio_session::store::{Answers, Backend, Event, Reply, StoreOp};
use uuid::Uuid;

use crate::client::SimulatedRedis;
use crate::network::{self, MS, Network, Time};
use crate::random::Random;
use crate::server::{Pairs, Text};
use crate::tasks::{Answer, Tasks, all};

/// Between looks at the deadlines.
pub const TICK: Time = 50 * MS;

/// Attempts of `update()` after which a writer reserves the next write, and waits before it.
const PATIENCE: u32 = 2;

/// One of the stores.
pub enum Store {
    Redis(Box<SimulatedRedis>),
    Memory(Box<MemoryStore>),
}

impl Backend for Store {
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<Result<Reply>> {
        match self {
            Self::Redis(store) => store.submit(ticket, op),
            Self::Memory(store) => store.submit(ticket, op),
        }
    }

    fn flush(&mut self) {
        if let Self::Redis(store) = self {
            store.flush();
        }
    }

    fn take(&mut self) -> Answers {
        match self {
            Self::Redis(store) => store.take(),
            Self::Memory(store) => store.take(),
        }
    }

    fn is_current(&mut self, record: &Record) -> bool {
        match self {
            Self::Redis(store) => store.is_current(record),
            Self::Memory(store) => store.is_current(record),
        }
    }
}

/// An operation of the engine that is waited for.
struct Waiting {
    answer: Answer<Result<Value>>,
    since: Time,
    has_deadline: bool,
}

/// One that waits for an `update()` to be done.
struct Updating {
    session: Rc<Session>,
    token: Text,
    answer: Answer<Result<u64>>,
    deadline: Time,
}

/// A process: an engine, and the sessions that it has.
pub struct Process {
    pub number: usize,
    pub engine: RefCell<Engine<Store>>,
    pub tasks: Tasks,
    pub network: Rc<RefCell<Network>>,
    /// The sessions that requests hold, or that were used last, by key.
    live: RefCell<BTreeMap<Text, Rc<Session>>>,
    recent: RefCell<VecDeque<Rc<Session>>>,
    pub most_recent: usize,
    updates: RefCell<BTreeMap<Text, VecDeque<Updating>>>,
    next_op: Cell<u32>,
    waiting: RefCell<BTreeMap<u32, Waiting>>,
    /// Who wants to know when what was asked for is handed over.
    sent: RefCell<Vec<Rc<Leaving>>>,
    gathering: Cell<bool>,
    ticking: Cell<bool>,
    random: RefCell<Random>,
    timeout: Time,
    /// How many operations the store has failed.
    failures: Cell<u64>,
    pub is_down: Cell<bool>,
    pub is_alive: Cell<bool>,
    /// What the engine has told of besides.
    pub told: RefCell<Vec<(Time, Error)>>,
    /// What is against the guarantees.
    pub wrong: RefCell<Vec<String>>,
    clock: Box<dyn Fn() -> Instant>,
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
            sent: RefCell::default(),
            gathering: Cell::new(false),
            ticking: Cell::new(false),
            random: RefCell::new(Random::new(seed)),
            timeout,
            failures: Cell::default(),
            is_down: Cell::new(false),
            is_alive: Cell::new(true),
            told: RefCell::default(),
            wrong: RefCell::default(),
            clock,
        })
    }

    fn now(&self) -> Time {
        self.network.borrow().now()
    }

    /// A version 4 UUID (RFC 9562).
    pub fn uuid(&self) -> Uuid {
        let mut random = self.random.borrow_mut();
        let bits = u128::from(random.next()) << 64 | u128::from(random.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    fn fails(&self, rule: &str, what: &str) {
        let line = format!("{rule} p{}: {what}", self.number);
        self.wrong.borrow_mut().push(line);
    }

    // The event loop.

    /// Runs `task`, as something that the application begins.
    pub fn start(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.start(task);
        self.hand_over();
    }

    /// The end of a turn: what it has asked for goes to the store.
    pub fn hand_over(&self) {
        self.tasks.run();
        while self.gathering.replace(false) {
            self.engine.borrow_mut().backend.flush();
            for leaving in self.sent.take() {
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
                Event::Error(error) => self.told.borrow_mut().push((now, error)),
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
        self.hand_over();
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

    fn schedule_tick(&self) {
        let mut net = self.network.borrow_mut();
        let at = (net.now() + TICK).max(net.hosts[self.number].busy_until);
        net.add(at, network::Event::Tick(self.number));
    }

    /// How many operations are waited for.
    pub fn waits(&self) -> usize {
        self.waiting.borrow().len()
    }

    async fn sleep(&self, time: Time) {
        let (answer, coming) = self.tasks.ask();
        {
            let mut net = self.network.borrow_mut();
            let at = net.now() + time;
            net.add(at, network::Event::Wake(self.number, answer));
        }
        coming.await;
    }

    async fn run(
        &self,
        start: impl FnOnce(&mut Engine<Store>, u32) -> Option<Result<Value>>,
    ) -> Result<Value> {
        self.run_within(true, start).await
    }

    async fn run_within(
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
        self.sent.borrow_mut().clear();
        if let Store::Redis(store) = &self.engine.borrow().backend {
            store.crash();
        }
        self.network.borrow_mut().crash(self.number);
    }

    /// Lets go of everything that refers to the process.
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
    fn find_live(&self, name: &str) -> Option<Rc<Session>> {
        self.live_or_ended(name)
            .filter(|session| !session.is_removed())
    }

    fn live_or_ended(&self, name: &str) -> Option<Rc<Session>> {
        self.live.borrow().get(name).cloned()
    }

    fn list(&self, name: &Text, session: &Rc<Session>) {
        self.live
            .borrow_mut()
            .insert(Rc::clone(name), Rc::clone(session));
    }

    fn unlist(&self, names: &[Text], session: &Rc<Session>) {
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

    fn add_recent(&self, session: &Rc<Session>) {
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

    fn remove_recent(&self, session: &Rc<Session>) {
        session.is_recent.set(false);
        self.recent
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, session));
    }

    // Finding sessions.

    /// `Session.loadFromStorage({store}, id)`.
    pub async fn load(self: &Rc<Self>, name: &Text) -> Result<Option<Rc<Session>>> {
        let live = self.live_or_ended(name);
        self.find(name, live).await
    }

    async fn find(
        self: &Rc<Self>,
        name: &Text,
        live: Option<Rc<Session>>,
    ) -> Result<Option<Rc<Session>>> {
        let floors = self.network.borrow().hosts[self.number].floor.clone();
        let failures = self.failures.get();
        let mut live = live;
        if let Some(live) = &live {
            live.hold();
        }
        loop {
            let is_current = live.as_ref().is_some_and(|live| {
                live.has(name) && self.engine.borrow_mut().is_current(&live.record.borrow())
            });
            let value = if is_current {
                Ok(Value::Current(true))
            } else {
                let record = live.as_ref().map(|live| Rc::clone(&live.record));
                self.run(|engine, op| engine.load(op, name, record.as_ref(), false))
                    .await
            };
            let value = match value {
                Ok(value) => value,
                Err(error) => {
                    release(live);
                    return Err(error);
                }
            };
            let other = match &value {
                Value::Session(record) => self.known(record),
                _ => None,
            };
            if let Some(other) = &other
                && other.record.borrow().is_behind()
            {
                other.hold();
                release(live.replace(Rc::clone(other)));
                continue;
            }
            let found = match value {
                Value::Session(record) => {
                    let session = other.unwrap_or_else(|| Session::loaded(self, &record));
                    session.found(Some(&record), false);
                    Some(session)
                }
                Value::Current(is_current) => {
                    if let Some(live) = &live {
                        live.found(None, is_current);
                    }
                    live.clone()
                }
                _ => {
                    if let Some(live) = &live {
                        live.refresh_keys();
                    }
                    None
                }
            };
            if let Some(found) = &found {
                // One that has writes pending knows better than the store.
                let knows = self.failures.get() == failures;
                let knows = knows && !self.engine.borrow().has_background_work();
                self.check(found, knows.then_some(&floors));
            }
            release(live);
            return Ok(found);
        }
    }

    /// The session that another load has brought home while this one was under way.
    fn known(&self, record: &Shared) -> Option<Rc<Session>> {
        let names: Vec<Text> = record
            .borrow()
            .keys
            .iter()
            .map(|key| Rc::clone(&key.name))
            .collect();
        names.iter().find_map(|name| {
            let session = self.find_live(name)?;
            absorb(&session.record, record).map(|_| session)
        })
    }

    /// What a process knows of a session with a version is what the server had with it, and is not older than what the
    /// process was told of.
    fn check(&self, session: &Session, floors: Option<&BTreeMap<Text, u64>>) {
        let record = session.record.borrow();
        if record.state != State::Stored || record.is_projection {
            return;
        }
        if record.version > 0 && record.version == record.newest && record.incoming.is_none() {
            let text = record.stored_document.text();
            let known = sorted(&text);
            let net = self.network.borrow();
            let there = net
                .server
                .versions
                .get(&(Rc::clone(&record.uuid), record.version));
            if let Some(there) = there
                && !same_fields(there, &known)
            {
                let what = format!(
                    "{} with version {} is {text}, the server had {there:?}",
                    record.uuid, record.version
                );
                self.fails("10", &what);
            }
        }
        let floor = floors.and_then(|floors| floors.get(&record.uuid));
        let floor = floor.copied().unwrap_or(0);
        if record.newest < floor {
            let what = format!(
                "{} is of version {}, but the process was told of {floor} before it asked",
                record.uuid, record.newest
            );
            self.fails("11", &what);
        }
    }

    // Requests.

    /// A request on its way through the middleware, whose handler tells `seen`, makes changes, and answers with `status`
    /// after a while. It is over when the response has left.
    pub async fn request(self: &Rc<Self>, request: &Request, seen: impl FnOnce(Seen)) {
        let id = &request.key;
        let mut facts = Facts::NETWORK;
        facts.set(Facts::TO_TAG, request.to_tag);
        let live = self.live_or_ended(id);
        let is_pending = live
            .as_ref()
            .is_some_and(|live| live.pending.borrow().as_ref() == Some(id));
        facts.set(Facts::PENDING, is_pending);
        let plan = rules::plan(request.method, facts, 0);
        let session = if plan.contains(Plan::CREATE) {
            let session = self.placeholder(plan, false, id);
            session.degraded.set(self.is_down.get());
            session
        } else {
            match self.find(id, live).await {
                Ok(Some(found)) => found,
                Ok(None) => self.placeholder(plan, false, id),
                Err(_) => {
                    let known = self.find_live(id);
                    let session = known.unwrap_or_else(|| self.placeholder(plan, true, id));
                    session.degraded.set(true);
                    session
                }
            }
        };
        session.hold();
        if plan.contains(Plan::FORMS_DIALOG) {
            *session.pending.borrow_mut() = Some(Rc::clone(id));
        }
        seen(Seen {
            uuid: session.uuid(),
            degraded: session.degraded.get(),
            data: session.data(),
        });
        session.change(&request.changes);
        if request.thinks > 0 {
            self.sleep(request.thinks).await;
        }
        let end = rules::finish(plan, facts, request.status);
        let (answer, left) = self.tasks.ask();
        let leaving = Rc::new(Leaving(RefCell::new(Some(answer))));
        let task = {
            let (session, leaving, id) = (Rc::clone(&session), Rc::clone(&leaving), Rc::clone(id));
            async move {
                let _ = match end {
                    Finish::Remove => {
                        let early = plan.contains(Plan::ENDS_DIALOG);
                        let early = early.then(|| Rc::clone(&leaving));
                        session.remove_key(&id, early).await
                    }
                    Finish::SaveChanges => session.write(SaveMode::Changes, false).await,
                    Finish::SaveDialog => session.write(SaveMode::Always, false).await,
                    Finish::SaveForRetry => session.write(SaveMode::ForRetry, false).await,
                    Finish::Nothing => Ok(()),
                };
                let decides = plan.intersects(Plan::FORMS_DIALOG | Plan::ENDS_DIALOG);
                if decides && session.pending.borrow().as_ref() == Some(&id) {
                    *session.pending.borrow_mut() = None;
                }
                session.release();
                leaving.leave();
            }
        };
        self.tasks.start(task);
        left.await;
    }

    fn placeholder(self: &Rc<Self>, plan: Plan, failed: bool, name: &Text) -> Rc<Session> {
        let id = self.uuid();
        let mut record = match rules::placeholder(plan, failed) {
            Placeholder::New => Record::new(id),
            Placeholder::Joining => Record {
                first: FirstSave::Joins,
                ..Record::new(id)
            },
            Placeholder::Unknown => Record::unknown(id),
            Placeholder::Ended => {
                let record = Record {
                    state: State::Removed,
                    ..Record::new(id)
                };
                return Session::new(self, Rc::new(RefCell::new(record)), true);
            }
        };
        record.add_key(name, None);
        Session::new(self, Rc::new(RefCell::new(record)), true)
    }

    // update()

    /// All objects of a session in this process share one queue.
    pub async fn update(self: &Rc<Self>, session: &Rc<Session>, token: &Text) -> Result<u64> {
        let uuid = session.uuid();
        let (answer, coming) = self.tasks.ask();
        let item = Updating {
            session: Rc::clone(session),
            token: Rc::clone(token),
            answer,
            deadline: self.now() + self.timeout,
        };
        let is_first = {
            let mut updates = self.updates.borrow_mut();
            let is_first = !updates.contains_key(&uuid);
            updates.entry(Rc::clone(&uuid)).or_default().push_back(item);
            is_first
        };
        if is_first {
            let process = Rc::clone(self);
            self.tasks
                .start(async move { process.run_updates(&uuid).await });
        }
        coming.await
    }

    async fn run_updates(self: &Rc<Self>, uuid: &Text) {
        loop {
            let batch: Vec<Updating> = {
                let mut updates = self.updates.borrow_mut();
                let Some(waiting) = updates.get_mut(uuid) else {
                    return;
                };
                if waiting.is_empty() {
                    updates.remove(uuid);
                    return;
                }
                waiting.drain(..).collect()
            };
            let batch = self.flushed(batch).await;
            let Some(session) = batch.first().map(|item| Rc::clone(&item.session)) else {
                continue;
            };
            if let Err(error) = session.reload().await {
                for item in batch {
                    item.answer.give(Err(error.clone()));
                }
                continue;
            }
            self.store_updates(&session, batch).await;
        }
    }

    /// What this process has changed goes first.
    async fn flushed(&self, batch: Vec<Updating>) -> Vec<Updating> {
        let mut sessions: Vec<Rc<Session>> = Vec::new();
        for item in &batch {
            if !sessions
                .iter()
                .any(|other| Rc::ptr_eq(other, &item.session))
            {
                sessions.push(Rc::clone(&item.session));
            }
        }
        let writes = sessions.iter().map(|session| {
            let session = Rc::clone(session);
            async move {
                let is_stored = session.record.borrow().state == State::Stored;
                let mode = if is_stored {
                    SaveMode::Changes
                } else {
                    SaveMode::Always
                };
                session.write(mode, false).await
            }
        });
        let results = all(writes.collect()).await;
        let mut left = Vec::new();
        for item in batch {
            let at = sessions
                .iter()
                .position(|session| Rc::ptr_eq(session, &item.session));
            match &results[at.unwrap_or(0)] {
                Ok(()) => left.push(item),
                Err(error) => item.answer.give(Err(error.clone())),
            }
        }
        left
    }

    async fn store_updates(&self, session: &Rc<Session>, mut batch: Vec<Updating>) {
        let mut attempt = 0;
        while !batch.is_empty() {
            let before = session.record.borrow().stored_document.text();
            let mut data = parsed(&before);
            let made: Vec<u64> = batch
                .iter()
                .map(|item| count(&mut data, &item.token))
                .collect();
            let patch = Patch::between(&before, &joined(&data)).expect("JSON");
            let record = Rc::clone(&session.record);
            let reserves = attempt >= PATIENCE;
            let result = self
                .run(|engine, op| engine.compare_and_set(op, &record, &patch, None, reserves))
                .await;
            if let Err(error) = &result
                && error.kind != Kind::Conflict
            {
                for item in batch {
                    item.answer.give(Err(error.clone()));
                }
                return;
            }
            session.bring_home(false);
            if result.is_ok() {
                for item in &batch {
                    if !Rc::ptr_eq(&item.session, session)
                        && let Some(differs) = absorb(&item.session.record, &session.record)
                    {
                        item.session.bring_home(!differs);
                    }
                }
                for (item, value) in batch.into_iter().zip(made) {
                    item.answer.give(Ok(value));
                }
                return;
            }
            let now = self.now();
            let (late, left): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|item| item.deadline <= now);
            for item in late {
                item.answer.give(Err(Error::conflict(&session.uuid())));
            }
            batch = left;
            if attempt > PATIENCE {
                let pause = self.random.borrow_mut().below(MS);
                self.sleep(pause).await;
            }
            attempt += 1;
        }
    }
}

/// Takes over what a load brought for a session that is here already.
fn absorb(record: &Shared, fresh: &Shared) -> Option<bool> {
    if Rc::ptr_eq(record, fresh) {
        return Some(false);
    }
    let (mut record, fresh) = (record.borrow_mut(), fresh.borrow());
    (record.uuid == fresh.uuid && record.state == State::Stored)
        .then(|| !fresh.is_projection && record.absorb(fresh.stored()))
}

fn release(live: Option<Rc<Session>>) {
    if let Some(live) = live {
        live.release();
    }
}

/// What `update()` does here: it counts, and leaves its token.
fn count(data: &mut Pairs, token: &str) -> u64 {
    let count = get(data, "count").map_or(0, |text| text.parse().unwrap_or(0)) + 1;
    let tokens = match get(data, "tokens") {
        Some(text) if text.len() > 2 => format!("{},\"{token}\"]", &text[..text.len() - 1]),
        _ => format!("[\"{token}\"]"),
    };
    put(data, "count", Some(&count.to_string().into()));
    put(data, "tokens", Some(&tokens.into()));
    count
}

pub fn get<'a>(data: &'a Pairs, name: &str) -> Option<&'a Text> {
    data.iter()
        .find(|(there, _)| **there == *name)
        .map(|(_, value)| value)
}

fn put(data: &mut Pairs, name: &str, value: Option<&Text>) {
    match (data.iter().position(|(there, _)| **there == *name), value) {
        (Some(at), Some(value)) => data[at].1 = Rc::clone(value),
        (None, Some(value)) => data.push((name.into(), Rc::clone(value))),
        (Some(at), None) => drop(data.remove(at)),
        (None, None) => {}
    }
}

fn parsed(text: &str) -> Pairs {
    let fields = fields::split(text).unwrap_or_default();
    fields
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn joined(data: &Pairs) -> String {
    fields::join(data.iter().map(|(name, value)| (&**name, &**value)))
}

fn sorted(text: &str) -> Pairs {
    let mut fields = parsed(text);
    fields.sort();
    fields
}

/// Whether fields of the server, whose names begin with a dot, are these properties.
fn same_fields(there: &Pairs, known: &Pairs) -> bool {
    there.len() == known.len()
        && there
            .iter()
            .zip(known)
            .all(|((field, one), (name, other))| field[1..] == **name && one == other)
}

/// A response that leaves once.
struct Leaving(RefCell<Option<Answer<()>>>);

impl Leaving {
    fn leave(&self) {
        if let Some(answer) = self.0.take() {
            answer.give(());
        }
    }
}

/// A change of the data object: properties with their new value, or without one.
pub type Changes = Vec<(Text, Option<Text>)>;

pub struct Request {
    pub method: &'static str,
    pub key: Text,
    pub to_tag: bool,
    pub status: u16,
    pub changes: Changes,
    /// How long the handler takes to answer.
    pub thinks: Time,
}

/// What a handler sees of its session.
pub struct Seen {
    pub uuid: Text,
    pub degraded: bool,
    pub data: Pairs,
}

/// A key that is being removed, and who waits for that.
type Removal = (Text, Vec<Answer<Result<()>>>);

/// `Session` of `lib/`, with its data object.
pub struct Session {
    process: std::rc::Weak<Process>,
    pub record: Shared,
    /// Whether nothing is in the record.
    is_new: Cell<bool>,
    data: RefCell<Option<Pairs>>,
    /// The data when the record got or gave it last.
    snapshot: RefCell<Pairs>,
    names: RefCell<Option<Vec<Text>>>,
    held: Cell<u32>,
    saves: Cell<u32>,
    is_stored: Cell<bool>,
    is_recent: Cell<bool>,
    removals: RefCell<Vec<Removal>>,
    pub degraded: Cell<bool>,
    pending: RefCell<Option<Text>>,
    me: std::rc::Weak<Session>,
}

impl Session {
    fn new(process: &Rc<Process>, record: Shared, is_new: bool) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            process: Rc::downgrade(process),
            record,
            is_new: Cell::new(is_new),
            data: RefCell::default(),
            snapshot: RefCell::default(),
            names: RefCell::default(),
            held: Cell::default(),
            saves: Cell::default(),
            is_stored: Cell::default(),
            is_recent: Cell::default(),
            removals: RefCell::default(),
            degraded: Cell::default(),
            pending: RefCell::default(),
            me: std::rc::Weak::clone(me),
        })
    }

    /// `new Session({store})`.
    pub fn create(process: &Rc<Process>) -> Rc<Self> {
        let record = Record::new(process.uuid());
        Self::new(process, Rc::new(RefCell::new(record)), true)
    }

    fn loaded(process: &Rc<Process>, record: &Shared) -> Rc<Self> {
        Self::new(process, Rc::clone(record), false)
    }

    /// A session lives no longer than its process.
    fn process(&self) -> Rc<Process> {
        self.process.upgrade().expect("its process")
    }

    fn me(&self) -> Rc<Self> {
        self.me.upgrade().expect("itself")
    }

    pub fn uuid(&self) -> Text {
        Rc::clone(&self.record.borrow().uuid)
    }

    fn is_removed(&self) -> bool {
        self.record.borrow().state == State::Removed
    }

    pub fn keys(&self) -> Vec<Text> {
        let mut names = self.names.borrow_mut();
        let names = names.get_or_insert_with(|| {
            let record = self.record.borrow();
            record.keys.iter().map(|key| Rc::clone(&key.name)).collect()
        });
        names.clone()
    }

    fn has(&self, name: &Text) -> bool {
        self.keys().contains(name)
    }

    /// `mks.set(id)`.
    pub fn add_key(&self, name: &Text) -> Result<()> {
        {
            let mut record = self.record.borrow_mut();
            if record.state == State::Removed {
                return Err(Error::gone(&record.uuid));
            }
            record.add_key(name, None);
        }
        if let Some(names) = &mut *self.names.borrow_mut()
            && !names.contains(name)
        {
            names.push(Rc::clone(name));
        }
        if self.is_live() {
            self.process().list(name, &self.me());
        }
        Ok(())
    }

    // The data object.

    pub fn data(&self) -> Pairs {
        let mut data = self.data.borrow_mut();
        data.get_or_insert_with(|| {
            let given = if self.is_new.get() {
                Pairs::new()
            } else {
                parsed(&self.record.borrow().projected.text())
            };
            (*self.snapshot.borrow_mut()).clone_from(&given);
            given
        })
        .clone()
    }

    /// What the application does to the data object.
    pub fn change(&self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        self.data();
        if let Some(data) = &mut *self.data.borrow_mut() {
            for (name, value) in changes {
                put(data, name, value.as_ref());
            }
        }
    }

    /// What has changed since the record got or gave the data.
    fn patch(&self) -> Patch {
        let data = self.data.borrow();
        let patch = data.as_ref().map(|data| {
            let before = joined(&self.snapshot.borrow());
            Patch::between(&before, &joined(data)).expect("JSON")
        });
        patch.unwrap_or_default()
    }

    /// The record has got all that has changed.
    fn recorded(&self) {
        if let Some(data) = &*self.data.borrow() {
            (*self.snapshot.borrow_mut()).clone_from(data);
        }
    }

    fn is_untouched(&self) -> bool {
        let data = self.data.borrow();
        data.as_ref()
            .is_none_or(|data| *data == *self.snapshot.borrow())
    }

    /// Brings what a load has found, and the record has not merged yet, into the data object.
    fn merge(&self) {
        self.is_new.set(false);
        let mine = self.patch();
        let theirs = self.record.borrow_mut().merge(&mine).expect("JSON");
        let changes = theirs.changes().expect("JSON");
        if let Some(data) = &mut *self.data.borrow_mut() {
            for data in [data, &mut *self.snapshot.borrow_mut()] {
                for name in &changes.removed {
                    put(data, name, None);
                }
                for (name, value) in &changes.set {
                    put(data, name, Some(&(*value).into()));
                }
            }
        }
    }

    /// The store was asked again: nothing has come if it `is_current`.
    fn bring_home(&self, is_current: bool) {
        if !is_current {
            self.refresh_keys();
            self.merge();
        }
    }

    /// A load has found it: it is its record, or it is current, or has to be merged.
    fn found(&self, record: Option<&Shared>, is_current: bool) {
        let is_own = record.is_some_and(|record| Rc::ptr_eq(record, &self.record));
        if !is_own {
            self.bring_home(is_current);
        }
        if record.is_some() || !is_current {
            self.is_stored.set(true);
        }
        if self.is_stored.get() {
            self.degraded.set(false);
        }
    }

    /// The record may have changed: nobody gets it any more by keys that it has lost.
    fn refresh_keys(&self) {
        let before = self.keys();
        *self.names.borrow_mut() = None;
        let now = self.keys();
        let lost: Vec<Text> = before
            .into_iter()
            .filter(|name| !now.contains(name))
            .collect();
        self.process().unlist(&lost, &self.me());
    }

    // Who holds it.

    fn is_live(&self) -> bool {
        self.held.get() > 0 || self.is_recent.get()
    }

    fn hold(&self) {
        if self.held.replace(self.held.get() + 1) > 0 {
            return;
        }
        let process = self.process();
        if self.is_recent.get() {
            process.remove_recent(&self.me());
        } else {
            for name in self.keys() {
                process.list(&name, &self.me());
            }
        }
    }

    fn release(&self) {
        if self.held.get() == 0 {
            return;
        }
        self.held.set(self.held.get() - 1);
        if self.held.get() > 0 {
            return;
        }
        if self.is_stored.get() {
            self.process().add_recent(&self.me());
        } else {
            self.process().unlist(&self.keys(), &self.me());
        }
    }

    // Operations.

    /// `mks.save()`, and what the middleware writes.
    pub async fn write(&self, mode: SaveMode, if_unchanged: bool) -> Result<()> {
        let patch = self.patch();
        if mode == SaveMode::Changes && patch.is_empty() && self.record.borrow().is_clean() {
            return Ok(());
        }
        self.recorded();
        self.saves.set(self.saves.get() + 1);
        let process = self.process();
        let result = process
            .run(|engine, op| engine.save(op, &self.record, &patch, mode, None, if_unchanged))
            .await;
        self.saves.set(self.saves.get() - 1);
        if result.is_ok() && !self.is_stored.get() {
            let is_stored = mode == SaveMode::Always || self.record.borrow().state == State::Stored;
            self.is_stored.set(is_stored);
        }
        if let Err(error) = &result
            && error.kind == Kind::Conflict
        {
            self.bring_home(false);
        }
        result.map(|_| ())
    }

    /// `mks.del(id)`; the response to a BYE may leave when the store has been told.
    async fn remove_key(&self, name: &Text, sent: Option<Rc<Leaving>>) -> Result<()> {
        let process = self.process();
        let running = {
            let mut removals = self.removals.borrow_mut();
            removals
                .iter_mut()
                .find(|(other, _)| other == name)
                .map(|(_, waiting)| {
                    let (answer, coming) = process.tasks.ask();
                    waiting.push(answer);
                    coming
                })
        };
        if let Some(running) = running {
            return running.await;
        }
        let is_last = self.keys().len() <= 1;
        // With its last key the session goes, and so do its changes.
        let patch = if is_last {
            Patch::default()
        } else {
            let patch = self.patch();
            self.recorded();
            patch
        };
        self.removals
            .borrow_mut()
            .push((Rc::clone(name), Vec::new()));
        let may_leave = is_last && self.saves.get() == 0 && self.is_untouched();
        let result = process
            .run(|engine, op| {
                let answer = engine.remove_key(op, &self.record, name, &patch, None);
                if let Some(leaving) = sent.filter(|_| may_leave && answer.is_none()) {
                    process.sent.borrow_mut().push(leaving);
                }
                answer
            })
            .await;
        let waiting = {
            let mut removals = self.removals.borrow_mut();
            let at = removals.iter().position(|(other, _)| other == name);
            at.map_or_else(Vec::new, |at| removals.remove(at).1)
        };
        if result.is_ok() {
            if let Some(names) = &mut *self.names.borrow_mut() {
                names.retain(|other| other != name);
            }
        } else {
            *self.names.borrow_mut() = None;
        }
        process.unlist(std::slice::from_ref(name), &self.me());
        let left = match &result {
            Ok(Value::Count(left)) => Some(*left),
            _ => None,
        };
        if left == Some(0) {
            self.is_stored.set(false);
        }
        let result = if is_last && left.is_some_and(|left| left > 0) {
            // Another process has added a key.
            self.write(SaveMode::Changes, false).await
        } else {
            result.map(|_| ())
        };
        for answer in waiting {
            answer.give(result.clone());
        }
        result
    }

    pub async fn delete_key(&self, name: &Text) -> Result<()> {
        self.remove_key(name, None).await
    }

    /// `mks.destroy()`.
    pub async fn destroy(&self) -> Result<()> {
        let names = self.keys();
        self.refresh_keys();
        let process = self.process();
        let result = process
            .run(|engine, op| engine.destroy(op, &self.record))
            .await;
        process.unlist(&names, &self.me());
        result.map(|_| ())
    }

    /// Asks the store again, by the first key.
    async fn reload(&self) -> Result<()> {
        let Some(name) = self.keys().first().cloned() else {
            return Ok(());
        };
        let process = self.process();
        let value = process
            .run(|engine, op| engine.load(op, &name, Some(&self.record), true))
            .await?;
        if let Value::Current(is_current) = value {
            self.bring_home(is_current);
        }
        Ok(())
    }
}
