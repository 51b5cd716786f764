//! One connection to Redis: commands are collected into pipelines, and a lost connection is made anew.
//!
//! While it connects, commands wait; when it has failed to for longer than [`PATIENCE`] they are refused at once until
//! the next attempt begins. Commands of one link are executed in the order in which they were given to it. Before the
//! first one on a new connection the server is told to drop the old one, so that what was lost on it is either done or
//! never will be.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, Value,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::config::Config;
use super::worker::lock;
use crate::error::{Error, Kind};

/// How many commands go into one pipeline.
const BATCH: usize = 256;

/// How many pipelines may be on their way; fewer than redis-rs buffers (50), so that handing one over never waits.
const FLIGHTS: usize = 32;

/// From then on, when the connection is made: a timer of its own for each command that may be the first to end costs a system
/// call. [`Link::serve`] has one for all.
const NEVER: Duration = Duration::from_secs(365 * 86400);

/// How long commands wait for a lost connection to be made anew: a server that is started again is back by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a command has no reply.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It was never sent.
    Refused(Error),
    /// It was sent, and nobody knows what became of it.
    Lost(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Lost(error) => error.doubtful(),
        }
    }
}

/// How a link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The first attempt, or the first one after a loss, is under way.
    Connecting,
    /// Commands are executed.
    Up,
    /// The last attempt failed.
    Down(Error),
}

/// What the links of a store have done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that are up.
    pub up: AtomicU64,
    /// Connections made.
    pub connects: AtomicU64,
    /// Pipelines sent.
    pub batches: AtomicU64,
    /// Commands in them.
    pub commands: AtomicU64,
    /// The most commands in one.
    pub largest: AtomicU64,
}

type Answer = oneshot::Sender<Result<Value, Failure>>;

/// See the module.
pub struct Link {
    config: Arc<Config>,
    queue: Mutex<VecDeque<(Cmd, Answer)>>,
    standing: Mutex<Standing>,
    work: Notify,
    halt: Notify,
    /// Told when a connection is of no use any more.
    lost: Notify,
    changed: Arc<Notify>,
    stopping: AtomicBool,
    /// Whether the server tells this connection of changes to what was read over it.
    tracking: AtomicBool,
    /// The places that the server has told of; none: all of them.
    news: Mutex<Vec<Option<String>>>,
    /// What it has done.
    pub counts: Arc<Counts>,
    /// The last connection as the server calls it: arguments of `CLIENT KILL`.
    last: Mutex<Option<[String; 4]>>,
}

impl Link {
    /// A link that is not driven yet; `changed` is told when its standing changes.
    pub fn new(config: Arc<Config>, changed: Arc<Notify>, counts: Arc<Counts>) -> Self {
        Self {
            config,
            queue: Mutex::default(),
            standing: Mutex::new(Standing::Connecting),
            work: Notify::new(),
            halt: Notify::new(),
            lost: Notify::new(),
            changed,
            stopping: AtomicBool::new(false),
            tracking: AtomicBool::new(false),
            news: Mutex::default(),
            counts,
            last: Mutex::default(),
        }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// Whether the server tells this connection of changes.
    pub fn is_tracking(&self) -> bool {
        self.tracking.load(Relaxed)
    }

    /// What the server has told of since this was asked last.
    pub fn news(&self) -> Vec<Option<String>> {
        std::mem::take(&mut *lock(&self.news))
    }

    /// Lets [`Link::drive`] end.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.work.notify_one();
        self.halt.notify_one();
    }

    /// Executes a command.
    pub async fn request(&self, command: Cmd) -> Result<Value, Failure> {
        if let Standing::Down(error) = &*lock(&self.standing) {
            return Err(Failure::Refused(error.clone()));
        }
        let (sender, answer) = oneshot::channel();
        lock(&self.queue).push_back((command, sender));
        self.work.notify_one();
        // Nobody is left to answer: the link was stopped, or lost the command with its connection.
        answer.await.unwrap_or_else(|_| {
            if self.stopping.load(Relaxed) {
                return Err(Failure::Refused(stopped()));
            }
            let lost = Error::new(Kind::Unavailable, "the connection to Redis was lost");
            Err(Failure::Lost(lost))
        })
    }

    /// Connects, executes what is asked for, connects again: until it is stopped.
    pub async fn drive(&self) {
        let mut failures = 0;
        let mut lost: Option<Instant> = None;
        while !self.stopping.load(Relaxed) {
            let attempt = tokio::select! {
                attempt = self.connect() => attempt,
                () = self.halt.notified() => break,
            };
            match attempt {
                Ok((connection, pushes)) => {
                    failures = 0;
                    self.stand(Standing::Up);
                    self.serve(connection, pushes).await;
                    // What was known over this connection is not known any more.
                    self.tracking.store(false, Relaxed);
                    lock(&self.news).push(None);
                    lost = Some(Instant::now());
                    self.stand(Standing::Connecting);
                }
                Err(error) => {
                    failures += 1;
                    let patience = lost.map_or(Duration::ZERO, |lost| {
                        PATIENCE.saturating_sub(lost.elapsed())
                    });
                    let mut pause = pause_after(failures);
                    if patience.is_zero() {
                        self.refuse(&explain(&error, &self.config));
                    } else {
                        // It ends when it ends, not one pause later.
                        pause = pause.min(patience);
                    }
                    let pause = tokio::time::sleep(pause);
                    tokio::pin!(pause);
                    while !self.stopping.load(Relaxed) {
                        tokio::select! {
                            () = &mut pause => break,
                            () = self.work.notified() => {}
                        }
                    }
                    // What comes during the attempt waits for its outcome.
                    *lock(&self.standing) = Standing::Connecting;
                }
            }
        }
        lock(&self.queue).clear();
    }

    fn refuse(&self, error: &Error) {
        self.stand(Standing::Down(error.clone()));
        for (_, answer) in lock(&self.queue).drain(..) {
            let _ = answer.send(Err(Failure::Refused(error.clone())));
        }
    }

    fn stand(&self, standing: Standing) {
        *lock(&self.standing) = standing;
        self.changed.notify_one();
    }

    async fn connect(
        &self,
    ) -> Result<(MultiplexedConnection, mpsc::UnboundedReceiver<PushInfo>), RedisError> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.config.connect_timeout))
            .set_response_timeout(Some(self.config.command_timeout))
            .set_push_sender(sender);
        let client = Client::open(self.config.address.clone())?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&settings)
            .await?;
        self.greet(&mut connection).await?;
        connection.set_response_timeout(NEVER);
        self.counts.connects.fetch_add(1, Relaxed);
        Ok((connection, pushes))
    }

    /// What is said first on a new connection.
    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        if let Some(name) = &self.config.name {
            let mut naming = redis::cmd("CLIENT");
            naming.arg("SETNAME").arg(name);
            let _: () = naming.query_async(connection).await?;
        }
        self.succeed(connection).await;
        if self.config.cache.is_some() {
            let mut track = redis::cmd("CLIENT");
            track.arg("TRACKING").arg("ON").arg("NOLOOP");
            let tracking: Result<Value, _> = track.query_async(connection).await;
            self.tracking.store(tracking.is_ok(), Relaxed);
        }
        Ok(())
    }

    /// Lets the server drop the connection before this one, with what it may not have read of it yet. A server that
    /// can't tell who is connected (before 6.2), or does not let us, leaves that to chance.
    async fn succeed(&self, connection: &mut MultiplexedConnection) {
        let last = lock(&self.last).take();
        if let Some(filter) = last {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg(&filter[..]);
            let _: Result<Value, _> = kill.query_async(connection).await;
        }
        let info: Result<String, _> = redis::cmd("CLIENT")
            .arg("INFO")
            .query_async(connection)
            .await;
        if let Ok(info) = info {
            let part = |name: &str| {
                let mut parts = info.split_whitespace();
                parts.find_map(|part| {
                    part.strip_prefix(name)?
                        .strip_prefix('=')
                        .map(str::to_owned)
                })
            };
            // Both must match: after a restart the number may be another one's.
            let filter = part("id").zip(part("addr"));
            let filter = filter.map(|(id, addr)| ["ID".to_owned(), id, "ADDR".to_owned(), addr]);
            *lock(&self.last) = filter;
        }
    }

    /// Executes commands until the connection is lost or the link is stopped.
    async fn serve(
        &self,
        connection: MultiplexedConnection,
        mut pushes: mpsc::UnboundedReceiver<PushInfo>,
    ) {
        let mut flights = FuturesUnordered::new();
        // When each of them began: they land in that order. One look at the oldest, when it may be late.
        let mut began = VecDeque::new();
        let alarm = tokio::time::sleep(self.config.command_timeout);
        tokio::pin!(alarm);
        let mut armed = false;
        'connected: loop {
            while flights.len() < FLIGHTS && !lock(&self.queue).is_empty() {
                let at = Instant::now();
                if !armed {
                    alarm.as_mut().reset(at + self.config.command_timeout);
                    armed = true;
                }
                let mut flight = Box::pin(self.fly(connection.clone()));
                // Polled here, in order: the first poll hands the pipeline over.
                match poll_fn(|context| Poll::Ready(flight.as_mut().poll(context))).await {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(())) => break 'connected,
                    Poll::Pending => {
                        flights.push(flight);
                        began.push_back(at);
                    }
                }
            }
            if self.stopping.load(Relaxed) && flights.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some(landed) = flights.next() => {
                    began.pop_front();
                    if landed.is_err() {
                        break;
                    }
                }
                push = pushes.recv() => match push {
                    Some(PushInfo { kind: PushKind::Disconnection, .. }) | None => break,
                    Some(PushInfo { kind: PushKind::Invalidate, data }) => self.hear(data),
                    Some(_) => {}
                },
                () = self.work.notified(), if flights.len() < FLIGHTS => {}
                () = &mut alarm, if armed => match began.front() {
                    None => armed = false,
                    Some(oldest) => {
                        let due = *oldest + self.config.command_timeout;
                        if due <= Instant::now() {
                            break;
                        }
                        alarm.as_mut().reset(due);
                    }
                },
            }
        }
        // The connection is of no use any more, nor is it waited for.
        self.lost.notify_waiters();
        while flights.next().await.is_some() {}
    }

    /// Others have changed what was read over this connection.
    fn hear(&self, data: Vec<Value>) {
        let mut news = lock(&self.news);
        for value in data {
            let Value::Array(places) = value else {
                news.push(None); // the database was flushed
                continue;
            };
            news.extend(places.into_iter().map(|place| match place {
                Value::BulkString(place) => String::from_utf8(place).ok(),
                Value::SimpleString(place) => Some(place),
                _ => None,
            }));
        }
        self.changed.notify_one();
    }

    /// Sends what is queued as one pipeline and hands the replies out. An error means: the connection is of no use.
    async fn fly(&self, mut connection: MultiplexedConnection) -> Result<(), ()> {
        let mut pipeline = Pipeline::with_capacity(1);
        let mut answers = Vec::new();
        {
            let mut queue = lock(&self.queue);
            let count = queue.len().min(BATCH);
            for (command, answer) in queue.drain(..count) {
                pipeline.add_command(command);
                answers.push(answer);
            }
        }
        let counts = &self.counts;
        let size = answers.len() as u64;
        counts.batches.fetch_add(1, Relaxed);
        counts.commands.fetch_add(size, Relaxed);
        counts.largest.fetch_max(size, Relaxed);
        let began = Instant::now();
        let replies = tokio::select! {
            biased;
            replies = connection.send_packed_commands(&pipeline, 0, answers.len()) => replies,
            () = self.lost.notified() => Err(if began.elapsed() < self.config.command_timeout {
                std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()
            } else {
                late()
            }),
        };
        match replies {
            Ok(replies) => {
                for (answer, reply) in answers.into_iter().zip(replies) {
                    let _ = answer.send(Ok(reply));
                }
                Ok(())
            }
            Err(error) => {
                let failure = Failure::Lost(explain(&error, &self.config));
                for answer in answers {
                    let _ = answer.send(Err(failure.clone()));
                }
                Err(())
            }
        }
    }
}

/// 50 ms, doubled with every failure up to 2 s, and up to half of that again, so that processes don't knock in step.
fn pause_after(failures: u32) -> Duration {
    let base = 50 * 2_u64.pow(failures.min(6) - 1).min(40);
    let [byte, ..] = uuid::Uuid::new_v4().into_bytes();
    Duration::from_millis(base + base * u64::from(byte) / 512)
}

fn late() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

fn stopped() -> Error {
    Error::new(Kind::Closed, "the store was closed: make a new one")
}

/// What an error of the connection means, in words that say what to do.
fn explain(error: &RedisError, config: &Config) -> Error {
    let place = config.address.addr();
    let said = error.to_string();
    if said.contains("WRONGPASS")
        || said.contains("NOAUTH")
        || error.kind() == ErrorKind::AuthenticationFailed
    {
        let message = format!(
            "Redis at {place} rejected the user name or password; check `username`, `password`: {said}"
        );
        return Error::new(Kind::Auth, message);
    }
    if said.contains("DB index") {
        let db = config.address.redis_settings().db();
        return Error::new(
            Kind::Option,
            format!("Redis at {place} has no database {db}; check `db`: {said}"),
        );
    }
    if error.kind() == ErrorKind::RESP3NotSupported {
        return Error::new(
            Kind::Unavailable,
            format!("Redis at {place} is older than 6.0, which is needed"),
        );
    }
    if error.is_timeout() {
        return Error::new(
            Kind::Timeout,
            format!("Redis at {place} did not answer in time: {said}"),
        );
    }
    Error::new(
        Kind::Unavailable,
        format!("Redis at {place} cannot be reached: {said}"),
    )
}
