//! The simulated server and a real Redis agree: random operations of several writers are done by both, and give the same
//! replies, the same errors, the same invalidations, and leave the same hashes behind.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use drachtio_session::error::{Error, Kind};
use drachtio_session::session::{
    Change, Create, Destroy, Document, Expected, NamedKey, Patch, RemoveKey, Stored, UUID_PREFIX,
    Update, Write, fields,
};
use drachtio_session::store::redis::{Config, Ready, RedisStore, Socket, Watch};
use drachtio_session::store::{Backend, Event, Failed, Reply, StoreOp};

use crate::client::SimulatedRedis;
use crate::network::{Connection, Faults, Host, MS, Network};
use crate::random::Random;
use crate::server::{Text, joined};

const WRITERS: usize = 3;

/// A redis-server of this test's own.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = probe.local_addr().expect("an address").port();
        drop(probe);
        let text = port.to_string();
        let folder = std::env::temp_dir();
        let arguments = [
            "--port",
            &text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let child = std::process::Command::new("redis-server")
            .args(arguments)
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn();
        let child = child.expect(
            "redis-server was not found: install it (Debian: sudo apt-get install redis-server, macOS: brew install redis)",
        );
        Self { child, port }
    }
}

impl Server {
    fn version(&self) -> (u32, u32) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port));
        let client = client.expect("an address");
        let since = Instant::now();
        let mut connection = loop {
            match client.get_connection() {
                Ok(connection) => break connection,
                Err(why) => assert!(since.elapsed() < Duration::from_secs(20), "{why}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query(&mut connection)
            .expect("INFO");
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        let mut parts = version
            .unwrap_or("")
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks at a socket each time.
struct Always;

impl Watch for Always {
    fn ready(&self) -> Ready {
        Ready {
            read: true,
            write: true,
        }
    }
    fn want_write(&self, _wants: bool) {}
}

type Answer = Result<Reply, Error>;

/// One writer, on both servers.
struct Pair {
    real: RedisStore,
    simulated: SimulatedRedis,
    /// The names that each has got invalidations of.
    invalidated: [BTreeSet<String>; 2],
    ticket: u32,
    sequence: u64,
    /// What it has asked, to be asked again.
    asked: Vec<StoreOp>,
}

fn kept(invalidated: &mut BTreeSet<String>, events: Vec<Event>) {
    for event in events {
        if let Event::Changed(names) = event {
            invalidated.extend(names);
        }
    }
}

fn answer(reply: Result<Reply, Failed>) -> Answer {
    reply.map_err(|failed| failed.error)
}

impl Pair {
    fn connect(&mut self) {
        let since = Instant::now();
        let mut left = 2;
        while left > 0 {
            assert!(since.elapsed() < Duration::from_secs(20), "no connection");
            self.real.flush();
            for event in self.real.take().events {
                left -= u32::from(matches!(event, Event::Connect | Event::Tracking(true)));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ask_real(&mut self, op: StoreOp) -> Answer {
        self.ticket += 1;
        self.real.submit(self.ticket, op);
        let since = Instant::now();
        loop {
            self.real.flush();
            let answers = self.real.take();
            kept(&mut self.invalidated[0], answers.events);
            if let Some((_, reply)) = answers.replies.into_iter().next() {
                return answer(reply);
            }
            assert!(since.elapsed() < Duration::from_secs(20), "no answer");
            std::thread::yield_now();
        }
    }

    fn ask_simulated(&mut self, network: &Rc<RefCell<Network>>, op: StoreOp) -> Answer {
        self.ticket += 1;
        self.simulated.submit(self.ticket, op);
        for _ in 0..1000 {
            self.simulated.flush();
            settle(network);
            let answers = self.simulated.take();
            kept(&mut self.invalidated[1], answers.events);
            if let Some((_, reply)) = answers.replies.into_iter().next() {
                return answer(reply);
            }
        }
        panic!("no answer");
    }
}

/// Lets arrive what is on its way.
fn settle(network: &Rc<RefCell<Network>>) {
    loop {
        let until = network.borrow().now() + MS;
        let event = network.borrow_mut().next(until);
        let Some(event) = event else { return };
        network.borrow_mut().happens(event);
    }
}

fn in_order(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<_> = fields::split(text)
        .expect("a session")
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    fields.sort();
    fields
}

/// What can be compared of a session.
fn comparable(stored: &Stored) -> String {
    let mut keys = stored.keys.clone();
    keys.sort();
    let text = in_order(&stored.document.text());
    format!(
        "{} at {} version {} keys {keys:?} data {text:?} renewal {}",
        stored.uuid, stored.primary, stored.version, stored.renewal_due
    )
}

fn seen(answer: &Answer) -> String {
    match answer {
        Ok(Reply::Loaded(Some(stored))) => comparable(stored),
        Ok(Reply::Conflict(stored)) => format!("conflict with {}", comparable(stored)),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{:?}", error.kind),
    }
}

/// What is random in a sequence of operations.
struct Sequence {
    random: Random,
    names: Vec<Text>,
    uuids: Vec<Text>,
    /// Where each was stored last, and with which version.
    known: BTreeMap<Text, (Text, u64)>,
    ttl: u64,
}

impl Sequence {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let names = (1..=5).map(|name| format!("mks:{seed}-{name}").into());
        let uuids = (1..=4).map(|_| {
            let bits = u128::from(random.next()) << 64 | u128::from(random.next());
            let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
            joined(UUID_PREFIX, &id.hyphenated().to_string())
        });
        let uuids = uuids.collect();
        let ttl = *random.pick(&[0, 60_000, 60_000]);
        Self {
            names: names.collect(),
            uuids,
            known: BTreeMap::new(),
            ttl,
            random,
        }
    }

    fn name(&mut self) -> Text {
        Rc::clone(self.random.pick(&self.names))
    }

    fn names(&mut self, most: u64) -> Vec<Text> {
        let mut names: Vec<Text> = Vec::new();
        for _ in 0..self.random.below(most + 1) {
            let name = self.name();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn keys(&mut self, names: Vec<Text>) -> Vec<NamedKey> {
        names
            .into_iter()
            .map(|name| {
                let legs = ["<r", "<s", ">r", "<r s", "<r ?", "?"];
                let leg = self.random.one_in(2).then(|| *self.random.pick(&legs));
                NamedKey {
                    resource: self.random.one_in(3).then(|| "{\"r\":1}".to_owned()),
                    leg: leg.map(Into::into),
                    claims: !self.random.one_in(4),
                    ..NamedKey::plain(name)
                }
            })
            .collect()
    }

    fn text(&mut self) -> Text {
        let mut properties = Vec::new();
        for name in ["a", "b", "c", "d"] {
            if self.random.one_in(2) {
                let value = self.random.below(3).to_string();
                properties.push((name, value));
            }
        }
        let fields = properties.iter().map(|(name, value)| (*name, &**value));
        fields::join(fields).into()
    }

    /// A write of random data, with these keys; a first one has no data before it.
    fn write(&mut self, keys: Vec<Text>, is_first: bool) -> Rc<Write> {
        let base = if is_first { "{}".into() } else { self.text() };
        let patch = Patch::between(&base, &self.text()).expect("JSON");
        Rc::new(Write {
            change: Change::new((&*base).into(), patch),
            keys: self.keys(keys),
            ttl: self.ttl(),
        })
    }

    fn ttl(&self) -> Option<u64> {
        (self.ttl > 0).then_some(self.ttl)
    }

    /// A uuid, where it is stored, as far as the writer knows, and its version.
    fn session(&mut self) -> (Text, Text, u64) {
        let uuid = Rc::clone(self.random.pick(&self.uuids));
        let name = self.name();
        let known = self.known.get(&uuid).cloned();
        let (primary, version) = known.unwrap_or((name, 1));
        (uuid, primary, version)
    }

    fn op(&mut self, sequence: &mut u64) -> StoreOp {
        *sequence += 1;
        let sequence = *sequence;
        let (uuid, primary, version) = self.session();
        match self.random.below(12) {
            0..3 => {
                let mut names = self.names(2);
                let first = self.name();
                names.retain(|name| *name != first);
                names.insert(0, Rc::clone(&first));
                StoreOp::Create(Create {
                    uuid,
                    primary: first,
                    write: self.write(names, true),
                    join: self.random.one_in(3),
                    sequence,
                    displaced: false,
                    renamed: Vec::new(),
                })
            }
            3..7 => {
                let expected = self.random.one_in(2).then(|| {
                    let version = if self.random.one_in(3) { 1 } else { version };
                    Box::new(Expected {
                        version,
                        document: Document::default(),
                        reserve: self.random.one_in(4),
                    })
                });
                let added = self.names(1);
                StoreOp::Update(Update {
                    uuid,
                    primary,
                    known: self.names(2),
                    write: self.write(added, false),
                    expected,
                    sequence,
                    repeated: false,
                    renamed: Vec::new(),
                })
            }
            7..9 => {
                let is_known = !self.random.one_in(4);
                let write = self.random.one_in(2).then(|| self.write(Vec::new(), false));
                StoreOp::RemoveKey(RemoveKey {
                    of: is_known.then_some((uuid, primary)),
                    name: self.name(),
                    write,
                    ttl: self.ttl(),
                    sequence: if is_known { sequence } else { 0 },
                })
            }
            9 if self.random.one_in(2) => StoreOp::Destroy(Destroy {
                uuid,
                primary,
                known: self.names(3),
            }),
            _ => StoreOp::Load { name: self.name() },
        }
    }

    /// Remembers where a session lives, and with which version.
    fn learns(&mut self, op: &StoreOp, answer: &Answer) {
        let (uuid, primary) = match op {
            StoreOp::Create(create) => (&create.uuid, &create.primary),
            StoreOp::Update(update) => (&update.uuid, &update.primary),
            _ => return,
        };
        match answer {
            Ok(Reply::Saved(saved)) => {
                let primary = saved.primary.as_ref().unwrap_or(primary);
                let uuid = saved
                    .uuid
                    .as_deref()
                    .map_or_else(|| Rc::clone(uuid), Into::into);
                self.known.insert(uuid, (Rc::clone(primary), saved.version));
            }
            Ok(Reply::Conflict(stored)) => {
                let uuid = stored.uuid.as_str().into();
                let known = (Rc::clone(&stored.primary), stored.version);
                self.known.insert(uuid, known);
            }
            _ => {}
        }
    }
}

/// A hash without what differs from server to server: writers' names and times.
fn normal(fields: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut lines: Vec<String> = fields
        .map(|(field, value)| {
            let value = value.strip_prefix("sess:").unwrap_or(&value).to_owned();
            match &*field {
                "by" => format!("by {}", value.rsplit(' ').next().unwrap_or("")),
                "ttl" => format!("ttl {}", value.split('@').next().unwrap_or("")),
                "~turn" | "~reserved" => "reserved".to_owned(),
                _ if field.starts_with('~') => format!("~ {value}"),
                _ => format!("{field} {value}"),
            }
        })
        .collect();
    lines.sort();
    lines
}

/// What is stored, by key.
fn dump(port: u16, names: &str) -> BTreeMap<String, Vec<String>> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("sess:{names}*"))
        .query(&mut connection)
        .expect("names");
    keys.into_iter()
        .map(|key| {
            let hash: BTreeMap<String, String> = redis::cmd("HGETALL")
                .arg(&key)
                .query(&mut connection)
                .expect("a hash");
            let name = key.trim_start_matches("sess:").to_owned();
            (name, normal(hash.into_iter()))
        })
        .collect()
}

fn pairs(server: &Server, network: &Rc<RefCell<Network>>) -> Vec<Pair> {
    (0..WRITERS)
        .map(|number| {
            let options = format!(r#"{{"host":"127.0.0.1","port":{}}}"#, server.port);
            let config = Config::new(&options).expect("options");
            let watcher = Box::new(|_: Socket| Ok(Box::new(Always) as Box<dyn Watch>));
            let real = RedisStore::new(config, || (), watcher).expect("a store");
            let host = network.borrow_mut().add_host(Host {
                connections: vec![Connection::new()],
                faults: Faults::default(),
                is_alive: true,
                latency: 0,
                is_woken: false,
                busy_until: 0,
                drift: 0,
                skew: 0,
                tracks: true,
                command_timeout: 20_000 * MS,
                floor: BTreeMap::new(),
                changed: false,
            });
            let simulated =
                SimulatedRedis::new(Rc::clone(network), host, &format!("writer-{number}"));
            let mut pair = Pair {
                real,
                simulated,
                invalidated: Default::default(),
                ticket: 0,
                sequence: 0,
                asked: Vec::new(),
            };
            pair.connect();
            settle(network);
            pair
        })
        .collect()
}

/// Does `count` sequences of random operations from `first` on.
#[allow(clippy::too_many_lines)] // one step after the other
pub fn check(first: u64, count: u64) {
    let server = Server::start();
    let start = Instant::now();
    let network = Rc::new(RefCell::new(Network::new(first, start)));
    network.borrow_mut().server.tracks_all_keys = server.version() < (7, 2);
    let mut pairs = pairs(&server, &network);
    let mut reserved: Option<Instant> = None;
    for seed in first..first + count {
        let mut sequence = Sequence::new(seed);
        let mut history = Vec::new();
        for pair in &mut pairs {
            pair.asked.clear();
        }
        let expires = seed % 50 == 7;
        for step in 0..40 {
            // A reservation lasts for 50 ms on either server: not to be used while it ends.
            if let Some(since) = reserved {
                let passed = since.elapsed();
                if passed > Duration::from_millis(20) {
                    std::thread::sleep(Duration::from_millis(80).saturating_sub(passed));
                    reserved = None;
                }
            }
            let now = u64::try_from(start.elapsed().as_micros()).unwrap_or(0);
            network.borrow_mut().advance(now);
            if expires && step == 20 {
                sequence.ttl = 150;
            }
            if expires && step == 35 {
                std::thread::sleep(Duration::from_millis(400));
                let now = u64::try_from(start.elapsed().as_micros()).unwrap_or(0);
                network.borrow_mut().advance(now);
                sequence.ttl = 60_000;
            }
            let number = usize::try_from(sequence.random.below(WRITERS as u64)).unwrap_or(0);
            let pair = &mut pairs[number];
            let again = sequence.random.one_in(6) && !pair.asked.is_empty();
            let op = if again {
                sequence.random.pick(&pair.asked).clone()
            } else {
                sequence.op(&mut pair.sequence)
            };
            let real = pair.ask_real(op.clone());
            let simulated = pair.ask_simulated(&network, op.clone());
            history.push(format!("{number}: {op:?} -> {}", seen(&real)));
            assert!(
                !matches!(&real, Err(error) if !matches!(error.kind, Kind::Gone | Kind::Corrupt)),
                "{real:?}\n{}",
                history.join("\n")
            );
            assert_eq!(
                seen(&real),
                seen(&simulated),
                "seed {seed}:\n{}",
                history.join("\n")
            );
            if matches!(real, Ok(Reply::Conflict(_))) {
                reserved = Some(Instant::now());
            }
            sequence.learns(&op, &real);
            pair.asked.push(op);
            for pair in &mut pairs {
                // Invalidations come before the replies to later commands.
                pair.ask_real(StoreOp::Ping).expect("an answer");
                pair.ask_simulated(&network, StoreOp::Ping)
                    .expect("an answer");
                if !expires {
                    // The invalidation of what has expired comes at any time.
                    let prefix = format!("mks:{seed}-");
                    for invalidated in &mut pair.invalidated {
                        invalidated.retain(|name| name.starts_with(&prefix));
                    }
                    let [real, simulated] = &pair.invalidated;
                    assert_eq!(
                        real,
                        simulated,
                        "seed {seed}, invalidated:\n{}",
                        history.join("\n")
                    );
                }
                pair.invalidated = Default::default();
            }
        }
        let real = dump(server.port, &format!("mks:{seed}-"));
        let mut net = network.borrow_mut();
        net.server.expire_all();
        let there: BTreeMap<String, Vec<String>> = net
            .server
            .keys
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("mks:{seed}-")))
            .map(|(key, hash)| {
                let fields = hash.fields.iter();
                let fields = fields.map(|(field, value)| (field.to_string(), value.to_string()));
                (key.to_string(), normal(fields))
            })
            .collect();
        assert_eq!(
            real,
            there,
            "seed {seed}, left behind:\n{}",
            history.join("\n")
        );
        net.server.keys.clear();
        net.server.versions.clear();
    }
}
