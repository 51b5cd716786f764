//! The connections of a store. They are made by a thread of their own, and used by the thread of JavaScript: what is
//! written and read here never waits.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{Cmd, PushKind, RedisError, Value};
use uuid::Uuid;

use super::config::Config;
use super::connection::{Connection, Queue, Socket, Watch};
use super::connector::{Connector, Counts, Failure, Standing};
use super::executor::{Asked, Turn};
use crate::error::{Error, Kind, Result};
use crate::store::Event;

/// A reply that has been waited for that long is looked for, whether the socket is said to be ready or not.
const LONG: Duration = Duration::from_millis(40);

/// Begins to watch a socket.
pub type Watcher = Box<dyn Fn(Socket) -> Result<Box<dyn Watch>>>;

/// A connector, and the commands that wait for being sent over it.
pub struct Channel {
    connector: Arc<Connector>,
    queue: RefCell<Queue>,
    turn: Rc<Turn>,
}

impl Channel {
    /// Has a command executed, after those that it was asked for before, and gives what it answers.
    pub fn request(&self, command: &Cmd) -> impl Future<Output = Asked> + use<> {
        let asked = if let Standing::Down(error) = self.connector.standing() {
            Err(Failure::Refused(error))
        } else {
            let (answer, coming) = self.turn.ask();
            self.queue.borrow_mut().push(command, answer);
            Ok(coming)
        };
        async move { asked?.await }
    }

    /// Lets go of the commands that wait.
    fn refuse(&self, error: &Error) {
        for answer in self.queue.take().answers {
            answer.give(Err(Failure::Refused(error.clone())));
        }
    }
}

/// The connections, and which of them a redis_key in Redis belongs to.
pub struct Client {
    /// Settings.
    pub config: Arc<Config>,
    /// All of them.
    pub all: Vec<Channel>,
    /// Who asks.
    pub turn: Rc<Turn>,
    /// What this process's writes are known by: the field of a session that has the number of the last one.
    pub writer: String,
    /// Room for one command, while it is made.
    pub scratch: RefCell<Cmd>,
    /// What they have done.
    pub counts: Arc<Counts>,
}

impl Client {
    /// The connector for a redis_key: always the same one.
    pub fn of(&self, redis_key: &str) -> &Channel {
        if let [only] = &*self.all {
            return only;
        }
        let hash = foldhash::fast::FixedState::default().hash_one(redis_key);
        let index = usize::try_from(hash % self.all.len() as u64).unwrap_or(0);
        &self.all[index]
    }

    /// How many of them can be used.
    pub fn up(&self) -> usize {
        let is_up = |channel: &&Channel| channel.connector.standing() == Standing::Up;
        self.all.iter().filter(is_up).count()
    }
}

/// See the module.
pub struct Pool {
    /// The client.
    pub client: Rc<Client>,
    /// The connection of each connector that has one.
    connections: Vec<Option<Connection>>,
    watcher: Watcher,
    /// Whether a connector stands otherwise than before.
    changed: Arc<AtomicBool>,
    /// The redis_keys that the server has told of since that was asked last; none: all of them.
    redis_keys: Vec<Option<String>>,
    told: Told,
    thread: Option<JoinHandle<()>>,
}

impl Pool {
    /// Starts the thread, which connects at once. `wake` is called, from any thread, when there is something new;
    /// `watcher` has the same be done when a socket is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        config: Config,
        wake: impl Fn() + Clone + Send + Sync + 'static,
        watcher: Watcher,
    ) -> Result<Self> {
        let config = Arc::new(config);
        let changed = Arc::new(AtomicBool::new(false));
        let counts = Arc::<Counts>::default();
        let make = |_| {
            let (changed, wake) = (Arc::clone(&changed), wake.clone());
            let tell = Box::new(move || {
                changed.store(true, Relaxed);
                wake();
            });
            Arc::new(Connector::new(
                Arc::clone(&config),
                tell,
                Arc::clone(&counts),
            ))
        };
        let client: Vec<_> = (0..config.pool_size).map(make).collect();
        let no_thread = |why: std::io::Error| {
            let message = format!("no thread for connecting to Redis: {why}");
            Error::new(Kind::Unavailable, message)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_thread)?;
        let driven = client.clone();
        let thread = std::thread::Builder::new()
            .name("drachtio-session".into())
            .spawn(move || {
                runtime.block_on(join_all(driven.iter().map(|connector| connector.drive())));
                // A name that is still being looked up must not hold the end of the process up.
                runtime.shutdown_timeout(Duration::from_millis(200));
            })
            .map_err(no_thread)?;
        let turn = Rc::<Turn>::default();
        let channel = |connector| Channel {
            connector,
            queue: RefCell::default(),
            turn: Rc::clone(&turn),
        };
        Ok(Self {
            connections: client.iter().map(|_| None).collect(),
            client: Rc::new(Client {
                config,
                all: client.into_iter().map(channel).collect(),
                turn: Rc::clone(&turn),
                writer: format!("~{}", &Uuid::new_v4().simple().to_string()[..12]),
                scratch: RefCell::default(),
                counts,
            }),
            watcher,
            changed,
            redis_keys: Vec::new(),
            told: Told::default(),
            thread: Some(thread),
        })
    }

    /// Reads what there is.
    pub fn receive(&mut self) {
        let now = Instant::now();
        for (channel, slot) in self.client.all.iter().zip(&mut self.connections) {
            let connector = &channel.connector;
            match connector.outcome() {
                Some(Ok(stream)) => match (self.watcher)(stream.socket()) {
                    Ok(watch) => *slot = Some(Connection::new(stream, watch)),
                    Err(_) => connector.lose(),
                },
                Some(Err(error)) => channel.refuse(&error),
                None => {}
            }
            let Some(connection) = slot else { continue };
            let ready = connection.ready();
            let timeout = self.client.config.command_timeout;
            let mut outcome = Ok(());
            // What takes long may have come while JavaScript was busy, before the event loop could tell.
            if ready.read || connection.has_waited(now, LONG.min(timeout / 2)) {
                outcome = connection.read(|kind, data| {
                    if kind == PushKind::Invalidate {
                        hear(data, &mut self.redis_keys);
                    }
                });
            }
            if ready.write && outcome.is_ok() {
                outcome = connection.write().map_err(RedisError::from);
            }
            if outcome.is_ok() && connection.has_waited(now, timeout) {
                outcome = Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
            if let Err(error) = outcome {
                end(slot, connector, &error, &mut self.redis_keys);
            }
        }
    }

    /// Writes the commands that wait. Answers whether a connection was lost by that.
    pub fn send(&mut self) -> bool {
        let mut has_lost = false;
        for (channel, slot) in self.client.all.iter().zip(&mut self.connections) {
            let Some(connection) = slot else { continue };
            let mut waiting = channel.queue.borrow_mut();
            if waiting.answers.is_empty() {
                continue;
            }
            let counts = &self.client.counts;
            let size = waiting.answers.len() as u64;
            counts.batches.fetch_add(1, Relaxed);
            counts.commands.fetch_add(size, Relaxed);
            counts.largest.fetch_max(size, Relaxed);
            connection.add(&mut waiting, Instant::now());
            drop(waiting);
            if let Err(error) = connection.write() {
                end(
                    slot,
                    &channel.connector,
                    &error.into(),
                    &mut self.redis_keys,
                );
                has_lost = true;
            }
        }
        has_lost
    }

    /// What has happened since this was asked last.
    pub fn events(&mut self) -> Vec<Event> {
        let mut news = Vec::new();
        if self.redis_keys.iter().any(Option::is_none) {
            news.push(Event::Changed(Vec::new()));
        } else if !self.redis_keys.is_empty() {
            let names = self.redis_keys.iter().flatten();
            let names = names.map(|redis_key| self.client.name(redis_key).to_owned());
            news.push(Event::Changed(names.collect()));
        }
        self.redis_keys.clear();
        if self.changed.swap(false, Relaxed) {
            self.told.news(&self.client, &mut news);
        }
        news
    }

    /// Lets go of all connections.
    pub fn close(&mut self) {
        let stopped = Error::new(Kind::Closed, "the store was closed: make a new one");
        for (channel, slot) in self.client.all.iter().zip(&mut self.connections) {
            channel.connector.stop();
            channel.refuse(&stopped);
            drop_wire(slot, &Failure::Refused(stopped.clone()));
        }
    }
}

impl Drop for Pool {
    /// Waits for the thread: its code may be unloaded with the environment.
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends a connection that is of no use any more.
fn end(
    slot: &mut Option<Connection>,
    connector: &Connector,
    error: &RedisError,
    redis_keys: &mut Vec<Option<String>>,
) {
    drop_wire(slot, &connector.failure(error));
    redis_keys.push(None);
    connector.lose();
}

/// Lets go of a connection, and of who waits for a reply over it.
fn drop_wire(slot: &mut Option<Connection>, failure: &Failure) {
    for answer in slot.take().into_iter().flat_map(Connection::end) {
        answer.give(Err(failure.clone()));
    }
}

/// Others have changed what was read over a connection.
fn hear(data: Vec<Value>, redis_keys: &mut Vec<Option<String>>) {
    for value in data {
        let Value::Array(changed) = value else {
            redis_keys.push(None); // the database was flushed
            continue;
        };
        redis_keys.extend(changed.into_iter().map(|redis_key| match redis_key {
            Value::BulkString(redis_key) => String::from_utf8(redis_key).ok(),
            Value::SimpleString(redis_key) => Some(redis_key),
            _ => None,
        }));
    }
}

/// What the application has been told of the connections, so that each change is told once.
#[derive(Default)]
struct Told {
    up: bool,
    tracking: bool,
    errors: HashSet<&'static str>,
}

impl Told {
    fn news(&mut self, client: &Client, news: &mut Vec<Event>) {
        let tracking = client
            .all
            .iter()
            .all(|channel| channel.connector.is_tracking());
        if tracking != self.tracking {
            self.tracking = tracking;
            news.push(Event::Tracking(tracking));
        }
        let standings: Vec<Standing> = client
            .all
            .iter()
            .map(|channel| channel.connector.standing())
            .collect();
        let up = standings.iter().all(|standing| *standing == Standing::Up);
        // The next connection may be there already.
        let lost = client
            .all
            .iter()
            .filter(|channel| channel.connector.was_lost());
        if (lost.count() > 0 || !up) && self.up {
            let why = Error::new(
                Kind::Unavailable,
                "the connection to Redis was lost; it is being made anew",
            );
            news.push(Event::Disconnect(why));
            self.up = false;
        }
        for standing in standings {
            if let Standing::Down(error) = standing
                && self.errors.insert(error.kind.code())
            {
                news.push(Event::Error(error));
            }
        }
        if up && !self.up {
            self.errors.clear();
            news.push(Event::Connect);
        }
        self.up = up;
    }
}
