//! The time, the connections between processes and the server, and what goes wrong on them. Everything that happens is an
//! event at a moment; events of one moment happen in the order in which they were added.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use drachtio_session::error::{Error, Kind};

use crate::random::Random;
use crate::server::{Command, Invalidation, Reply, Server, Text};
use crate::tasks::Answer;

/// µs.
pub type Time = u64;

pub const MS: Time = 1000;
pub const SECOND: Time = 1000 * MS;

/// What the server's clock says at the beginning, ms since 1970.
const EPOCH: u64 = 1_700_000_000_000;

/// How long commands wait for a lost connection to be made anew.
const PATIENCE: Time = SECOND;

/// Why a command has no reply.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It was never sent.
    Refused(Error),
    /// It was sent, and its reply was lost.
    Lost(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Lost(error) => error.maybe_done(),
        }
    }
}

pub type Asked = Result<Reply, Failure>;

/// A command; a script may be asked for by its digest.
#[derive(Debug, Clone)]
pub struct Request {
    pub command: Command,
    pub by_digest: bool,
}

#[derive(Debug)]
pub enum FromServer {
    Reply(Reply),
    Invalidate(Invalidation),
    Closed(Error),
}

/// How a connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Connecting,
    Up,
    Down(Error),
}

/// One connection of a process, and the one that is made after it is lost.
pub struct Connection {
    pub standing: Standing,
    /// The number of the connection.
    pub epoch: u64,
    pub outcome: Option<Result<(), Error>>,
    pub was_lost: bool,
    pub tracking: bool,
    pub queue: VecDeque<(Request, Answer<Asked>)>,
    /// The answers to commands that were sent, and when.
    pub asked: VecDeque<(Answer<Asked>, Time)>,
    pub inbox: VecDeque<FromServer>,
    lost_at: Option<Time>,
    failures: u32,
    /// When the last message arrives, in each direction.
    last_out: Time,
    last_in: Time,
    /// Connections over which nothing comes through any more, in each direction.
    dead_out: u64,
    dead_in: u64,
    /// How many messages still come through.
    cut_out: Option<u64>,
    cut_in: Option<u64>,
    /// What waits until the network is mended.
    stalled_out: Vec<(u64, Request)>,
    stalled_in: Vec<(u64, FromServer)>,
}

/// What is wrong with the network of a process.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    pub stall_out: bool,
    pub stall_in: bool,
    pub reject: bool,
    pub delay: Time,
}

/// One process, as the network sees it.
#[allow(clippy::struct_excessive_bools)] // each is a state of its own
pub struct Host {
    pub connections: Vec<Connection>,
    pub faults: Faults,
    pub is_alive: bool,
    /// What a message takes at least.
    pub latency: Time,
    /// Whether a look at what has come is due.
    pub is_woken: bool,
    /// Its event loop is busy until then.
    pub busy_until: Time,
    /// How much faster its clock goes, parts per million.
    pub drift: i64,
    /// How much its time of day differs from the server's, ms.
    pub skew: i64,
    /// Whether its connections have tracking on.
    pub tracks: bool,
    pub command_timeout: Time,
    /// By uuid, the oldest version that it may find: that of the last invalidation that it got.
    pub floor: BTreeMap<Text, u64>,
    /// Whether a connection stands otherwise than before.
    pub changed: bool,
}

/// What the server answers instead of doing what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Loading,
    ReadOnly,
    OutOfMemory,
}

pub enum Event {
    /// A process looks at what has come.
    Turn(usize),
    /// The timer of a process.
    Tick(usize),
    /// Wakes a task whose pause is over.
    Wake(usize, Answer<()>),
    /// A request arrives at the server.
    Request(usize, usize, u64, Request),
    /// A message arrives at a process.
    Message(usize, usize, u64, FromServer),
    /// An attempt to connect begins.
    Attempt(usize, usize),
    /// The server hears of a new connection.
    Accept(usize, usize, u64),
    /// A connection is made.
    Connected(usize, usize, u64),
    /// An attempt has failed.
    Failed(usize, usize, Error),
    /// The network of a process is mended.
    Mend(usize),
    /// The server is well again.
    Calm,
}

/// See the module.
pub struct Network {
    pub now: Rc<Cell<Time>>,
    pub start: Instant,
    pub random: Random,
    pub server: Server,
    pub hosts: Vec<Host>,
    pub mood: Option<Mood>,
    /// Whether the server knows the scripts.
    pub knows_scripts: bool,
    events: BTreeMap<(Time, u64), Event>,
    added: u64,
    /// What has happened, for a history that is printed.
    pub trace: Option<Vec<String>>,
}

fn unavailable(message: &str) -> Error {
    Error::new(Kind::Unavailable, message)
}

impl Network {
    pub fn new(seed: u64, start: Instant) -> Self {
        let mut server = Server::default();
        server.now = EPOCH;
        server.tracks_all_keys = seed.is_multiple_of(2);
        Self {
            now: Rc::default(),
            start,
            random: Random::new(seed),
            server,
            hosts: Vec::new(),
            mood: None,
            knows_scripts: true,
            events: BTreeMap::new(),
            added: 0,
            trace: None,
        }
    }

    pub fn now(&self) -> Time {
        self.now.get()
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10.3} ms  {}", to_ms(now), line()));
        }
    }

    pub fn add(&mut self, at: Time, event: Event) {
        self.added += 1;
        self.events.insert((at.max(self.now()), self.added), event);
    }

    pub fn next(&mut self, until: Time) -> Option<Event> {
        let (&(at, number), _) = self.events.first_key_value()?;
        if at > until {
            return None;
        }
        self.now.set(at);
        self.server.now = EPOCH + at / MS;
        self.events.remove(&(at, number))
    }

    /// Ends time's standing still: nothing happens until then.
    pub fn advance(&mut self, until: Time) {
        self.now.set(self.now().max(until));
        self.server.now = EPOCH + self.now() / MS;
    }

    /// The time of day of a process, ms since 1970.
    pub fn wall(&self, host: usize) -> u64 {
        (EPOCH + self.now() / MS).saturating_add_signed(self.hosts[host].skew)
    }

    /// The clock of a process: how long it takes for this to pass there.
    pub fn passes(&self, host: usize, time: Time) -> Time {
        time.saturating_add_signed(time.cast_signed() / 1_000_000 * self.hosts[host].drift)
    }

    pub fn add_host(&mut self, host: Host) -> usize {
        let number = self.hosts.len();
        let connections = host.connections.len();
        self.hosts.push(host);
        for connection in 0..connections {
            self.add(self.now(), Event::Attempt(number, connection));
        }
        number
    }

    /// A process is to look at what has come.
    pub fn wake(&mut self, host: usize) {
        let now = self.now();
        let one = &mut self.hosts[host];
        if one.is_woken || !one.is_alive {
            return;
        }
        one.is_woken = true;
        let busy_until = one.busy_until;
        let pause = if self.random.one_in(8) {
            self.random.below(3 * MS)
        } else {
            0
        };
        self.add((now + pause).max(busy_until), Event::Turn(host));
    }

    fn travels(&mut self, host: usize) -> Time {
        let Host {
            latency, faults, ..
        } = &self.hosts[host];
        let base = latency + faults.delay;
        let more = if self.random.one_in(10) { 10 } else { 1 };
        base + self.random.below(base * more + 1)
    }

    /// Sends what waits on a connection that is up.
    pub fn send(&mut self, host: usize) {
        for number in 0..self.hosts[host].connections.len() {
            let now = self.now();
            loop {
                let connection = &mut self.hosts[host].connections[number];
                if connection.standing != Standing::Up {
                    break;
                }
                let Some((request, answer)) = connection.queue.pop_front() else {
                    break;
                };
                connection.asked.push_back((answer, now));
                self.send_request(host, number, request);
            }
        }
    }

    fn send_request(&mut self, host: usize, number: usize, request: Request) {
        let travel = self.travels(host);
        let now = self.now();
        let stalls = self.hosts[host].faults.stall_out;
        let connection = &mut self.hosts[host].connections[number];
        let epoch = connection.epoch;
        if connection.dead_out >= epoch {
            return;
        }
        if let Some(left) = &mut connection.cut_out {
            if *left == 0 {
                connection.cut_out = None;
                connection.dead_out = epoch;
                self.close_soon(host, number);
                return;
            }
            *left -= 1;
        }
        if stalls {
            connection.stalled_out.push((epoch, request));
            return;
        }
        connection.last_out = connection.last_out.max(now + travel);
        let at = connection.last_out;
        self.add(at, Event::Request(host, number, epoch, request));
    }

    fn send_message(&mut self, host: usize, number: usize, epoch: u64, message: FromServer) {
        let travel = self.travels(host);
        let now = self.now();
        let stalls = self.hosts[host].faults.stall_in;
        let connection = &mut self.hosts[host].connections[number];
        if connection.dead_in >= epoch || connection.epoch != epoch {
            return;
        }
        if let Some(left) = &mut connection.cut_in {
            if *left == 0 {
                connection.cut_in = None;
                connection.dead_in = epoch;
                self.close_soon(host, number);
                return;
            }
            *left -= 1;
        }
        if stalls {
            connection.stalled_in.push((epoch, message));
            return;
        }
        connection.last_in = connection.last_in.max(now + travel);
        let at = connection.last_in;
        self.add(at, Event::Message(host, number, epoch, message));
    }

    /// A connection was cut: its process hears of it some time later, or finds out by waiting.
    fn close_soon(&mut self, host: usize, number: usize) {
        self.say(|| format!("p{host}.{number}: the connection is cut"));
        if self.random.one_in(3) {
            return;
        }
        let epoch = self.hosts[host].connections[number].epoch;
        let at = self.now() + self.random.below(20 * MS);
        let closed = FromServer::Closed(unavailable("the connection was cut"));
        self.add(at, Event::Message(host, number, epoch, closed));
    }

    /// Loses all connections of a process. What is on its way to the server may still come there.
    pub fn reset(&mut self, host: usize) {
        for number in 0..self.hosts[host].connections.len() {
            let loses_requests = self.random.one_in(2);
            let connection = &mut self.hosts[host].connections[number];
            if connection.standing != Standing::Up {
                continue;
            }
            connection.dead_in = connection.epoch;
            if loses_requests {
                connection.dead_out = connection.epoch;
            }
            connection
                .inbox
                .push_back(FromServer::Closed(unavailable("the connection was reset")));
        }
        self.wake(host);
    }

    /// Cuts a connection of a process after so many messages, in one direction.
    pub fn cut_after(&mut self, host: usize, number: usize, messages: u64, inbound: bool) {
        let connections = self.hosts[host].connections.len();
        let connection = &mut self.hosts[host].connections[number % connections];
        if inbound {
            connection.cut_in = Some(messages);
        } else {
            connection.cut_out = Some(messages);
        }
    }

    /// The network of a process is well again: what was stalled arrives now.
    pub fn mend(&mut self, host: usize) {
        self.hosts[host].faults = Faults::default();
        for number in 0..self.hosts[host].connections.len() {
            let connection = &mut self.hosts[host].connections[number];
            (connection.cut_in, connection.cut_out) = (None, None);
            let out = std::mem::take(&mut connection.stalled_out);
            let inbound = std::mem::take(&mut connection.stalled_in);
            for (epoch, request) in out {
                let at = self.now() + self.travels(host);
                let connection = &mut self.hosts[host].connections[number];
                connection.last_out = connection.last_out.max(at);
                let at = connection.last_out;
                self.add(at, Event::Request(host, number, epoch, request));
            }
            for (epoch, message) in inbound {
                self.send_message(host, number, epoch, message);
            }
        }
    }

    /// The process is no more. What it has sent may still arrive.
    pub fn crash(&mut self, host: usize) {
        let one = &mut self.hosts[host];
        one.is_alive = false;
        for connection in &mut one.connections {
            connection.dead_in = connection.epoch;
            connection.inbox.clear();
            connection.queue.clear();
            connection.asked.clear();
            connection.stalled_out.clear();
            connection.standing = Standing::Down(unavailable("the process has crashed"));
        }
        let connections = one.connections.len();
        for number in 0..connections {
            self.server.forget_client((host, number));
        }
    }

    /// Drops the connections of a process.
    pub fn close(&mut self, host: usize) {
        let closed = Error::new(Kind::Closed, "the store was closed: make a new one");
        for number in 0..self.hosts[host].connections.len() {
            let connection = &mut self.hosts[host].connections[number];
            connection.standing = Standing::Down(closed.clone());
            connection.epoch += 1;
            let queue = std::mem::take(&mut connection.queue);
            let asked = std::mem::take(&mut connection.asked);
            let answers = queue.into_iter().map(|(_, answer)| answer);
            for answer in answers.chain(asked.into_iter().map(|(answer, _)| answer)) {
                answer.give(Err(Failure::Refused(closed.clone())));
            }
            self.server.forget_client((host, number));
        }
        self.hosts[host].tracks = false;
    }

    /// A connection is of no use any more: another one is made.
    pub fn lose(&mut self, host: usize, number: usize, error: &Error) {
        let now = self.now();
        self.say(|| format!("p{host}.{number}: lost, {error}"));
        let one = &mut self.hosts[host];
        one.changed = true;
        let connection = &mut one.connections[number];
        connection.dead_in = connection.epoch;
        connection.inbox.clear();
        connection.tracking = false;
        connection.was_lost = true;
        connection.standing = Standing::Connecting;
        connection.lost_at = Some(now);
        connection.failures = 0;
        for (answer, _) in std::mem::take(&mut connection.asked) {
            answer.give(Err(Failure::Lost(error.clone())));
        }
        self.add(now, Event::Attempt(host, number));
    }

    /// Does what an event is about; the events of processes are their own.
    pub fn happens(&mut self, event: Event) {
        match event {
            Event::Turn(_) | Event::Tick(_) | Event::Wake(..) => {}
            Event::Request(host, number, epoch, request) => {
                self.executes(host, number, epoch, &request);
            }
            Event::Message(host, number, epoch, message) => {
                let connection = &mut self.hosts[host].connections[number];
                if connection.epoch != epoch || connection.standing != Standing::Up {
                    return;
                }
                if connection.dead_in >= epoch && !matches!(message, FromServer::Closed(_)) {
                    return;
                }
                connection.inbox.push_back(message);
                self.wake(host);
            }
            Event::Attempt(host, number) => self.attempts(host, number),
            Event::Accept(host, number, epoch) => {
                let connection = &mut self.hosts[host].connections[number];
                if connection.epoch == epoch {
                    // What was sent over the connection before is not read any more.
                    connection.dead_out = epoch - 1;
                    self.server.forget_client((host, number));
                }
            }
            Event::Connected(host, number, epoch) => {
                let one = &mut self.hosts[host];
                let tracks = one.tracks;
                let connection = &mut one.connections[number];
                if connection.epoch != epoch || !one.is_alive {
                    return;
                }
                connection.standing = Standing::Up;
                connection.outcome = Some(Ok(()));
                connection.failures = 0;
                connection.tracking = tracks;
                one.changed = true;
                self.say(|| format!("p{host}.{number}: connected"));
                self.wake(host);
            }
            Event::Failed(host, number, error) => self.fails(host, number, error),
            Event::Mend(host) => self.mend(host),
            Event::Calm => self.mood = None,
        }
    }

    fn executes(&mut self, host: usize, number: usize, epoch: u64, request: &Request) {
        if self.hosts[host].connections[number].dead_out >= epoch {
            self.say(|| format!("p{host}.{number}: a request is lost: {request:?}"));
            return;
        }
        let refusal = match (&self.mood, &request.command) {
            (Some(Mood::Loading), _) => Some("LOADING"),
            (_, Command::HGetAll(_) | Command::Ping) => None,
            (Some(Mood::ReadOnly), _) => Some("READONLY"),
            (Some(Mood::OutOfMemory), Command::Save(_)) => Some("OOM"),
            _ if !self.knows_scripts && request.by_digest => Some("NOSCRIPT"),
            _ => None,
        };
        let (reply, invalidations) = if let Some(code) = refusal {
            (Reply::Error(code), Vec::new())
        } else {
            if !matches!(request.command, Command::HGetAll(_) | Command::Ping) {
                self.knows_scripts = true;
            }
            self.server.execute((host, number), &request.command)
        };
        self.say(|| {
            format!(
                "server: p{host}.{number} {:?} -> {reply:?}",
                request.command
            )
        });
        self.notify(invalidations);
        self.send_message(host, number, epoch, FromServer::Reply(reply));
    }

    /// Sends invalidations.
    pub fn notify(&mut self, invalidations: Vec<((usize, usize), Invalidation)>) {
        for ((host, number), invalidation) in invalidations {
            self.say(|| format!("server: tells p{host}.{number} of {invalidation:?}"));
            let epoch = self.hosts[host].connections[number].epoch;
            self.send_message(host, number, epoch, FromServer::Invalidate(invalidation));
        }
    }

    fn attempts(&mut self, host: usize, number: usize) {
        let travel = self.travels(host);
        let now = self.now();
        let one = &mut self.hosts[host];
        let connection = &mut one.connections[number];
        if !one.is_alive
            || matches!(&connection.standing, Standing::Down(error) if error.kind == Kind::Closed)
        {
            return;
        }
        connection.standing = Standing::Connecting;
        if one.faults.reject {
            let error = unavailable("connection refused");
            self.add(now + travel, Event::Failed(host, number, error));
        } else if one.faults.stall_in || one.faults.stall_out {
            let error = Error::new(Kind::Timeout, "no answer to the attempt to connect");
            let timeout = one.command_timeout;
            self.add(now + timeout, Event::Failed(host, number, error));
        } else {
            connection.epoch += 1;
            let epoch = connection.epoch;
            connection.last_out = now;
            connection.last_in = now;
            (connection.cut_in, connection.cut_out) = (None, None);
            self.add(now + travel, Event::Accept(host, number, epoch));
            self.add(now + 2 * travel, Event::Connected(host, number, epoch));
        }
    }

    fn fails(&mut self, host: usize, number: usize, error: Error) {
        let now = self.now();
        let part = self.random.below(256);
        let one = &mut self.hosts[host];
        if !one.is_alive {
            return;
        }
        let connection = &mut one.connections[number];
        if matches!(&connection.standing, Standing::Down(error) if error.kind == Kind::Closed) {
            return;
        }
        connection.failures += 1;
        let base = 50 * (1 << (connection.failures.min(6) - 1)).min(40);
        let mut pause = (base + base * part / 512) * MS;
        let patience = connection
            .lost_at
            .map_or(0, |lost| PATIENCE.saturating_sub(now - lost));
        if patience == 0 {
            connection.outcome = Some(Err(error.clone()));
            connection.standing = Standing::Down(error);
            one.changed = true;
            self.wake(host);
        } else {
            pause = pause.min(patience);
        }
        self.add(now + pause, Event::Attempt(host, number));
    }
}

impl Connection {
    pub fn new() -> Self {
        Self {
            standing: Standing::Connecting,
            epoch: 0,
            outcome: None,
            was_lost: false,
            tracking: false,
            queue: VecDeque::new(),
            asked: VecDeque::new(),
            inbox: VecDeque::new(),
            lost_at: None,
            failures: 0,
            last_out: 0,
            last_in: 0,
            dead_out: 0,
            dead_in: 0,
            cut_out: None,
            cut_in: None,
            stalled_out: Vec::new(),
            stalled_in: Vec::new(),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // a history takes seconds
pub fn to_ms(time: Time) -> f64 {
    time as f64 / 1000.0
}

/// The clock of a process.
pub fn clock(network: &Network, drift: i64) -> Box<dyn Fn() -> Instant> {
    let (now, start) = (Rc::clone(&network.now), network.start);
    Box::new(move || {
        let time = now.get();
        let time = time.saturating_add_signed(time.cast_signed() / 1_000_000 * drift);
        start + Duration::from_micros(time)
    })
}
