//! One connection to Redis: commands are collected into pipelines, and a lost connection is made anew.
//!
//! While it connects, commands wait; when it has failed to for longer than [`PATIENCE`] they are refused at once until
//! the next attempt begins. Commands of one link are executed in the order in which they were given to it. Before the
//! first one on a new connection the server is told to drop the old one, so that what was lost on it is either done or
//! never will be.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, Value,
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::config::Config;
use crate::error::{Error, Kind};

/// How many commands go into one pipeline.
const BATCH: usize = 256;

/// How many pipelines may be on their way; fewer than redis-rs buffers (50), so that handing one over never waits.
const FLIGHTS: usize = 32;

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
    /// Connections made.
    pub connects: Cell<u64>,
    /// Pipelines sent.
    pub batches: Cell<u64>,
    /// Commands in them.
    pub commands: Cell<u64>,
    /// The most commands in one.
    pub largest: Cell<u64>,
}

type Answer = oneshot::Sender<Result<Value, Failure>>;

/// See the module.
pub struct Link {
    config: Rc<Config>,
    queue: RefCell<VecDeque<(Cmd, Answer)>>,
    standing: RefCell<Standing>,
    work: Notify,
    halt: Notify,
    changed: Rc<Notify>,
    stopping: Cell<bool>,
    /// Whether the server tells this connection of changes to what was read over it.
    tracking: Cell<bool>,
    /// The places that the server has told of; none: all of them.
    news: RefCell<Vec<Option<String>>>,
    /// What it has done.
    pub counts: Rc<Counts>,
    /// The last connection as the server calls it: arguments of `CLIENT KILL`.
    last: RefCell<Option<[String; 4]>>,
}

impl Link {
    /// A link that is not driven yet; `changed` is told when its standing changes.
    pub fn new(config: Rc<Config>, changed: Rc<Notify>, counts: Rc<Counts>) -> Self {
        Self {
            config,
            queue: RefCell::default(),
            standing: RefCell::new(Standing::Connecting),
            work: Notify::new(),
            halt: Notify::new(),
            changed,
            stopping: Cell::new(false),
            tracking: Cell::new(false),
            news: RefCell::default(),
            counts,
            last: RefCell::default(),
        }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Whether the server tells this connection of changes.
    pub fn is_tracking(&self) -> bool {
        self.tracking.get()
    }

    /// What the server has told of since this was asked last.
    pub fn news(&self) -> Vec<Option<String>> {
        self.news.take()
    }

    /// Lets [`Link::drive`] end.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.work.notify_one();
        self.halt.notify_one();
    }

    /// Executes a command.
    pub async fn request(&self, command: Cmd) -> Result<Value, Failure> {
        if let Standing::Down(error) = &*self.standing.borrow() {
            return Err(Failure::Refused(error.clone()));
        }
        let (sender, answer) = oneshot::channel();
        self.queue.borrow_mut().push_back((command, sender));
        self.work.notify_one();
        // Nobody is left to answer: the link was stopped, or lost the command with its connection.
        answer.await.unwrap_or_else(|_| {
            if self.stopping.get() {
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
        while !self.stopping.get() {
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
                    self.tracking.set(false);
                    self.news.borrow_mut().push(None);
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
                    while !self.stopping.get() {
                        tokio::select! {
                            () = &mut pause => break,
                            () = self.work.notified() => {}
                        }
                    }
                    // What comes during the attempt waits for its outcome.
                    self.standing.replace(Standing::Connecting);
                }
            }
        }
        self.queue.borrow_mut().clear();
    }

    fn refuse(&self, error: &Error) {
        self.stand(Standing::Down(error.clone()));
        for (_, answer) in self.queue.borrow_mut().drain(..) {
            let _ = answer.send(Err(Failure::Refused(error.clone())));
        }
    }

    fn stand(&self, standing: Standing) {
        self.standing.replace(standing);
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
        if let Some(name) = &self.config.name {
            let _: () = redis::cmd("CLIENT")
                .arg("SETNAME")
                .arg(name)
                .query_async(&mut connection)
                .await?;
        }
        self.succeed(&mut connection).await;
        if self.config.cache.is_some() {
            let mut track = redis::cmd("CLIENT");
            track.arg("TRACKING").arg("ON").arg("NOLOOP");
            let tracking: Result<Value, _> = track.query_async(&mut connection).await;
            self.tracking.set(tracking.is_ok());
        }
        self.counts.connects.set(self.counts.connects.get() + 1);
        Ok((connection, pushes))
    }

    /// Lets the server drop the connection before this one, with what it may not have read of it yet. A server that
    /// can't tell who is connected (before 6.2), or does not let us, leaves that to chance.
    async fn succeed(&self, connection: &mut MultiplexedConnection) {
        let last = self.last.take();
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
            self.last.replace(filter);
        }
    }

    /// Executes commands until the connection is lost or the link is stopped.
    async fn serve(
        &self,
        connection: MultiplexedConnection,
        mut pushes: mpsc::UnboundedReceiver<PushInfo>,
    ) {
        let mut flights = FuturesUnordered::new();
        'connected: loop {
            while flights.len() < FLIGHTS && !self.queue.borrow().is_empty() {
                let mut flight = Box::pin(self.fly(connection.clone()));
                // Polled here, in order: the first poll hands the pipeline over.
                match poll_fn(|context| Poll::Ready(flight.as_mut().poll(context))).await {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(())) => break 'connected,
                    Poll::Pending => flights.push(flight),
                }
            }
            if self.stopping.get() && flights.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some(landed) = flights.next() => if landed.is_err() { break },
                push = pushes.recv() => match push {
                    Some(PushInfo { kind: PushKind::Disconnection, .. }) | None => break,
                    Some(PushInfo { kind: PushKind::Invalidate, data }) => self.hear(data),
                    Some(_) => {}
                },
                () = self.work.notified(), if flights.len() < FLIGHTS => {}
            }
        }
        // The connection is of no use any more: what else is on its way fails by itself, at the latest by its deadline.
        while flights.next().await.is_some() {}
    }

    /// Others have changed what was read over this connection.
    fn hear(&self, data: Vec<Value>) {
        let mut news = self.news.borrow_mut();
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
            let mut queue = self.queue.borrow_mut();
            let count = queue.len().min(BATCH);
            for (command, answer) in queue.drain(..count) {
                pipeline.add_command(command);
                answers.push(answer);
            }
        }
        let counts = &self.counts;
        counts.batches.set(counts.batches.get() + 1);
        counts
            .commands
            .set(counts.commands.get() + answers.len() as u64);
        counts
            .largest
            .set(counts.largest.get().max(answers.len() as u64));
        match connection
            .send_packed_commands(&pipeline, 0, answers.len())
            .await
        {
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
