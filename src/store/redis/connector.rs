//! One connector to Redis: a connection, and when it is lost the next one.
//!
//! While it connects, commands wait; when it has failed to for longer than [`PATIENCE`] they are refused at once until
//! the next attempt begins. Before the first one on a new connection the server is told to drop the old one, so that what
//! was lost on it is either done or never will be.
//!
//! Connections are made on a thread of their own ([`Connector::drive`]), where names are looked up and time passes. One that
//! is made is taken ([`Connector::outcome`]) and used by the thread of JavaScript, until it is lost ([`Connector::lose`]).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ErrorKind, RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::commands;
use super::config::Config;
use super::connection::Stream;
use crate::error::{Error, Kind};

/// How long commands wait for a lost connection to be made anew: a server that is started again is back by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a mutex protects.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not take the others down with it; what is protected is valid at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
            Failure::Lost(error) => error.maybe_done(),
        }
    }
}

/// How a connector stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The first attempt, or the first one after a loss, is under way.
    Connecting,
    /// Commands are executed.
    Up,
    /// The last attempt failed.
    Down(Error),
}

/// What the client of a store have done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections made.
    pub connects: AtomicU64,
    /// Pipelines sent.
    pub batches: AtomicU64,
    /// Commands in them.
    pub commands: AtomicU64,
    /// The most commands in one.
    pub largest: AtomicU64,
}

/// See the module.
pub struct Connector {
    config: Arc<Config>,
    standing: Mutex<Standing>,
    /// What came of the last attempt, if nobody has looked yet.
    outcome: Mutex<Option<Result<Stream, Error>>>,
    halt: Notify,
    lost: Notify,
    /// Whether it was lost since that was asked last.
    was_lost: AtomicBool,
    /// Told when its standing has changed.
    changed: Box<dyn Fn() + Send + Sync>,
    stopping: AtomicBool,
    /// Whether the server tells this connection of changes to what was read over it.
    tracking: AtomicBool,
    counts: Arc<Counts>,
    /// The last connection as the server calls it: arguments of `CLIENT KILL`.
    last: Mutex<Option<[String; 4]>>,
}

impl Connector {
    /// A connector that is not driven yet; `changed` is called when its standing changes.
    pub fn new(
        config: Arc<Config>,
        changed: Box<dyn Fn() + Send + Sync>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            config,
            standing: Mutex::new(Standing::Connecting),
            outcome: Mutex::default(),
            halt: Notify::new(),
            lost: Notify::new(),
            was_lost: AtomicBool::new(false),
            changed,
            stopping: AtomicBool::new(false),
            tracking: AtomicBool::new(false),
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

    /// What came of the last attempt to connect, once: a connection, or why the commands that have waited are refused.
    pub fn outcome(&self) -> Option<Result<Stream, Error>> {
        lock(&self.outcome).take()
    }

    /// Whether its connection was lost since this was asked last.
    pub fn was_lost(&self) -> bool {
        self.was_lost.swap(false, Relaxed)
    }

    /// The connection that was taken is of no use any more: another one is made.
    pub fn lose(&self) {
        // What was known over it is not known any more.
        self.tracking.store(false, Relaxed);
        self.was_lost.store(true, Relaxed);
        self.stand(Standing::Connecting);
        self.lost.notify_one();
    }

    /// What `error` of its connection means for a command that was sent.
    pub fn failure(&self, error: &RedisError) -> Failure {
        Failure::Lost(explain(error, &self.config))
    }

    /// Lets [`Connector::drive`] end.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.halt.notify_one();
    }

    /// Connects, and connects again when the connection is lost: until it is stopped.
    pub async fn drive(&self) {
        let mut failures = 0;
        let mut lost: Option<Instant> = None;
        while !self.stopping.load(Relaxed) {
            let attempt = tokio::select! {
                attempt = self.connect() => attempt,
                () = self.halt.notified() => break,
            };
            match attempt {
                Ok(stream) => {
                    failures = 0;
                    self.counts.connects.fetch_add(1, Relaxed);
                    *lock(&self.outcome) = Some(Ok(stream));
                    self.stand(Standing::Up);
                    tokio::select! {
                        () = self.lost.notified() => {}
                        () = self.halt.notified() => break,
                    }
                    lost = Some(Instant::now());
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
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.halt.notified() => break,
                    }
                    // What comes during the attempt waits for its outcome.
                    *lock(&self.standing) = Standing::Connecting;
                }
            }
        }
    }

    fn refuse(&self, error: &Error) {
        *lock(&self.outcome) = Some(Err(error.clone()));
        self.stand(Standing::Down(error.clone()));
    }

    fn stand(&self, standing: Standing) {
        *lock(&self.standing) = standing;
        (self.changed)();
    }

    /// A connection on which everything was said that comes first.
    async fn connect(&self) -> Result<Stream, RedisError> {
        let timed_out = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        tokio::time::timeout(self.config.connect_timeout, async {
            match self.config.address.addr() {
                #[cfg(unix)]
                ConnectionAddr::Unix(path) => {
                    let stream = tokio::net::UnixStream::connect(path).await?.into_std()?;
                    let theirs = tokio::net::UnixStream::from_std(stream.try_clone()?)?;
                    self.introduce(theirs).await?;
                    Ok(Stream::Unix(stream))
                }
                ConnectionAddr::Tcp(host, port) => {
                    let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    let stream = stream.into_std()?;
                    let theirs = tokio::net::TcpStream::from_std(stream.try_clone()?)?;
                    self.introduce(theirs).await?;
                    Ok(Stream::Tcp(stream))
                }
                other => Err(std::io::Error::other(format!("no way to connect to {other}")).into()),
            }
        })
        .await
        .unwrap_or_else(|_| Err(timed_out()))
    }

    /// Lets redis-rs say hello, over a second handle of the socket: it reads no further than the replies. Dropping its
    /// driver closes the handle, not the connection.
    async fn introduce(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(), RedisError> {
        let settings =
            AsyncConnectionConfig::new().set_response_timeout(Some(self.config.command_timeout));
        let (mut connection, driver) = MultiplexedConnection::new_with_config(
            self.config.address.redis_settings(),
            stream,
            settings,
        )
        .await?;
        tokio::select! {
            () = driver => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
            greeted = self.greet(&mut connection) => greeted,
        }
    }

    /// What is said first on a new connection.
    async fn greet(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        if let Some(name) = &self.config.name {
            let mut naming = redis::cmd("CLIENT");
            naming.arg("SETNAME").arg(name);
            let _: () = naming.query_async(connection).await?;
        }
        self.succeed(connection).await;
        // A server that does not let us is told each script when it is needed.
        let mut loading = redis::pipe();
        for text in commands::scripts() {
            loading.cmd("SCRIPT").arg("LOAD").arg(text).ignore();
        }
        let _: Result<(), _> = loading.query_async(connection).await;
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
}

/// 50 ms, doubled with every failure up to 2 s, and up to half of that again, so that processes don't knock in step.
fn pause_after(failures: u32) -> Duration {
    let base = 50 * 2_u64.pow(failures.min(6) - 1).min(40);
    let [byte, ..] = uuid::Uuid::new_v4().into_bytes();
    Duration::from_millis(base + base * u64::from(byte) / 512)
}

/// What an error of the connection means, in words that say what to do.
fn explain(error: &RedisError, config: &Config) -> Error {
    let redis_key = config.address.addr();
    let said = error.to_string();
    if said.contains("WRONGPASS")
        || said.contains("NOAUTH")
        || error.kind() == ErrorKind::AuthenticationFailed
    {
        let message = format!(
            "Redis at {redis_key} rejected the user name or password; check `username`, `password`: {said}"
        );
        return Error::new(Kind::Auth, message);
    }
    if said.contains("DB index") {
        let db = config.address.redis_settings().db();
        return Error::new(
            Kind::Option,
            format!("Redis at {redis_key} has no database {db}; check `db`: {said}"),
        );
    }
    if error.kind() == ErrorKind::RESP3NotSupported {
        return Error::new(
            Kind::Unavailable,
            format!("Redis at {redis_key} is older than 6.0, which is needed"),
        );
    }
    if error.is_timeout() {
        return Error::new(
            Kind::Timeout,
            format!("Redis at {redis_key} did not answer in time: {said}"),
        );
    }
    Error::new(
        Kind::Unavailable,
        format!("Redis at {redis_key} cannot be reached: {said}"),
    )
}
