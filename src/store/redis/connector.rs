//! Establishes connections, again after each loss, on a thread of its own, where name look-ups and pauses block
//! nothing else.
//!
//! JavaScript's thread takes an established connection with [`Connector::outcome`], uses it, and reports its loss with
//! [`Connector::reconnect`]. While the connector connects, commands are queued. After a loss it keeps them queued for
//! up to [`PATIENCE`]; then each failed attempt refuses the queued commands, and new ones until the next attempt
//! begins.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{ConnectionAddr, RedisError};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::Config;
use super::counters::Counters;
use super::errors::connection_error;
use super::handshake::{KillFilter, greet};
use super::socket::Stream;
use crate::error::Error;

/// How long commands stay queued after a loss: a server that restarts is back by then.
const PATIENCE: Duration = Duration::from_secs(1);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of the other thread leaves the value valid: each is written by one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// An attempt is under way, or the pause before the next one within [`PATIENCE`].
    Connecting,
    /// There is a connection.
    Up,
    /// The last attempt failed.
    Down(Error),
}

/// See the module.
pub struct Connector {
    config: Arc<Config>,
    status: Mutex<Status>,
    /// The result of the last attempt, until JavaScript's thread takes it.
    outcome: Mutex<Option<Result<Stream, Error>>>,
    halt: Notify,
    lost: Notify,
    /// Whether the connection was lost since [`Connector::was_lost`] was called last.
    was_lost: AtomicBool,
    /// Called, from either thread, when the status has changed.
    changed: Box<dyn Fn() + Send + Sync>,
    stopping: AtomicBool,
    /// Whether the server sends invalidations over the connection.
    tracking: AtomicBool,
    counters: Arc<Counters>,
}

impl Connector {
    /// A connector that does nothing before [`Connector::drive`]. It calls `changed`, from either thread, when its
    /// status has changed.
    pub fn new(
        config: Arc<Config>,
        changed: Box<dyn Fn() + Send + Sync>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            config,
            status: Mutex::new(Status::Connecting),
            outcome: Mutex::default(),
            halt: Notify::new(),
            lost: Notify::new(),
            was_lost: AtomicBool::new(false),
            changed,
            stopping: AtomicBool::new(false),
            tracking: AtomicBool::new(false),
            counters,
        }
    }

    /// Its status.
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Whether the server sends invalidations over the connection.
    pub fn is_tracking(&self) -> bool {
        self.tracking.load(Relaxed)
    }

    /// Takes the result of the last attempt: a connection, or the error for the queued commands.
    pub fn outcome(&self) -> Option<Result<Stream, Error>> {
        lock(&self.outcome).take()
    }

    /// Whether the connection was lost since the last call.
    pub fn was_lost(&self) -> bool {
        self.was_lost.swap(false, Relaxed)
    }

    /// The connection that was taken is of no use any more: begins to establish the next one.
    pub fn reconnect(&self) {
        self.tracking.store(false, Relaxed);
        self.was_lost.store(true, Relaxed);
        self.set(Status::Connecting);
        self.lost.notify_one();
    }

    /// Ends [`Connector::drive`].
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.halt.notify_one();
    }

    /// Establishes a connection, and another one after each loss, until [`Connector::stop`].
    pub async fn drive(&self) {
        let mut failures = 0;
        let mut lost_at: Option<Instant> = None;
        // The previous connection, which the server kills first when the next one is established.
        let mut previous = None;
        while !self.stopping.load(Relaxed) {
            let attempt = tokio::select! {
                attempt = self.connect(&mut previous) => attempt,
                () = self.halt.notified() => break,
            };
            match attempt {
                Ok(stream) => {
                    failures = 0;
                    self.counters.connected();
                    *lock(&self.outcome) = Some(Ok(stream));
                    self.set(Status::Up);
                    tokio::select! {
                        () = self.lost.notified() => {}
                        () = self.halt.notified() => break,
                    }
                    lost_at = Some(Instant::now());
                }
                Err(error) => {
                    failures += 1;
                    let patience = lost_at.map_or(Duration::ZERO, |lost_at| {
                        PATIENCE.saturating_sub(lost_at.elapsed())
                    });
                    let mut pause = pause_after(failures);
                    if patience.is_zero() {
                        self.refuse(&connection_error(&error, &self.config.address));
                    } else {
                        // The patience must not last one pause longer.
                        pause = pause.min(patience);
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.halt.notified() => break,
                    }
                    // Commands that come during the attempt are queued for its outcome.
                    *lock(&self.status) = Status::Connecting;
                }
            }
        }
        // A connection that the client has not taken is closed with the store.
        self.outcome();
    }

    fn refuse(&self, error: &Error) {
        *lock(&self.outcome) = Some(Err(error.clone()));
        self.set(Status::Down(error.clone()));
    }

    fn set(&self, status: Status) {
        *lock(&self.status) = status;
        (self.changed)();
    }

    /// A connection whose handshake is done.
    async fn connect(&self, previous: &mut Option<KillFilter>) -> Result<Stream, RedisError> {
        let timed_out = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        tokio::time::timeout(self.config.connect_timeout, async {
            let (stream, is_tracking) = match self.config.address.addr() {
                #[cfg(unix)]
                ConnectionAddr::Unix(path) => {
                    let stream = tokio::net::UnixStream::connect(path).await?.into_std()?;
                    let second = tokio::net::UnixStream::from_std(stream.try_clone()?)?;
                    let is_tracking = greet(&self.config, second, previous).await?;
                    (Stream::Unix(stream), is_tracking)
                }
                ConnectionAddr::Tcp(host, port) => {
                    let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    let stream = stream.into_std()?;
                    let second = tokio::net::TcpStream::from_std(stream.try_clone()?)?;
                    let is_tracking = greet(&self.config, second, previous).await?;
                    (Stream::Tcp(stream), is_tracking)
                }
                other => {
                    return Err(
                        std::io::Error::other(format!("no way to connect to {other}")).into(),
                    );
                }
            };
            self.tracking.store(is_tracking, Relaxed);
            Ok(stream)
        })
        .await
        .unwrap_or_else(|_| Err(timed_out()))
    }
}

/// 50 ms, doubled with each failure up to 2 s, and up to half of that at random, so that several processes do not
/// connect at the same moment.
fn pause_after(failures: u32) -> Duration {
    let base = 50 * 2_u64.pow(failures.min(6) - 1).min(40);
    let [byte, ..] = uuid::Uuid::new_v4().into_bytes();
    Duration::from_millis(base + base * u64::from(byte) / 512)
}
