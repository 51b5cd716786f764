//! The connections of a store: reads and writes them on JavaScript's thread, and owns the thread of the connectors.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::RedisError;

use super::client::Client;
use super::config::Config;
use super::connection::Connection;
use super::connector::Connector;
use super::counters::Counters;
use super::errors::{Failure, connection_error};
use super::events::Events;
use super::socket::{Socket, Watch};
use crate::error::{Error, Kind, Result};
use crate::store::backend::Event;

/// A connection whose oldest reply is due for that long is read even if its socket is not said to be readable.
const LATE: Duration = Duration::from_millis(40);

/// Begins to watch a socket.
pub type Watcher = Box<dyn Fn(Socket) -> Result<Box<dyn Watch>>>;

/// See the module.
pub struct Pool {
    /// The client, which queues the commands.
    pub client: Rc<Client>,
    /// The connection of each of the client's queues, where there is one.
    connections: Vec<Option<Connection>>,
    watcher: Watcher,
    events: Events,
    thread: Option<JoinHandle<()>>,
}

impl Pool {
    /// Starts the thread, which connects at once. `wake` is called, from any thread, when [`Pool::receive`] has
    /// something to do; `watcher` must see to the same when a socket is ready.
    ///
    /// # Errors
    /// `Unavailable` when the operating system gives no thread.
    pub fn new(
        config: Config,
        wake: impl Fn() + Clone + Send + Sync + 'static,
        watcher: Watcher,
    ) -> Result<Self> {
        let config = Arc::new(config);
        let events = Events::default();
        let counters = Arc::<Counters>::default();
        let connector = |_| {
            let (changed, wake) = (Arc::clone(&events.changed), wake.clone());
            let notify = Box::new(move || {
                changed.store(true, Relaxed);
                wake();
            });
            Arc::new(Connector::new(
                Arc::clone(&config),
                notify,
                Arc::clone(&counters),
            ))
        };
        let connectors: Vec<_> = (0..config.pool_size).map(connector).collect();
        let no_thread = |why: std::io::Error| {
            let message = format!("no thread for connecting to Redis: {why}");
            Error::new(Kind::Unavailable, message)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_thread)?;
        let driven = connectors.clone();
        let thread = std::thread::Builder::new()
            .name("drachtio-session".into())
            .spawn(move || {
                runtime.block_on(join_all(driven.iter().map(|connector| connector.drive())));
                // A name look-up that is still under way must not delay the end of the process.
                runtime.shutdown_timeout(Duration::from_millis(200));
            })
            .map_err(no_thread)?;
        Ok(Self {
            connections: connectors.iter().map(|_| None).collect(),
            client: Rc::new(Client::new(config, connectors, counters)),
            watcher,
            events,
            thread: Some(thread),
        })
    }

    /// Takes new connections, and reads and writes those whose sockets are ready. Ends those that are lost or late.
    pub fn receive(&mut self) {
        let now = Instant::now();
        for (queue, slot) in self.client.queues.iter().zip(&mut self.connections) {
            let connector = &queue.connector;
            match connector.outcome() {
                Some(Ok(stream)) => match (self.watcher)(stream.socket()) {
                    Ok(watch) => *slot = Some(Connection::new(stream, watch)),
                    Err(_) => connector.reconnect(),
                },
                Some(Err(error)) => queue.refuse(&error),
                None => {}
            }
            let Some(connection) = slot else { continue };
            let ready = connection.ready();
            let timeout = self.client.config.command_timeout;
            let mut outcome = Ok(());
            // A reply may have arrived while JavaScript was busy, before the event loop looked at the socket.
            if ready.read || connection.has_waited(now, LATE.min(timeout / 2)) {
                outcome = connection.read(|kind, data| self.events.push(&kind, data));
            }
            if ready.write && outcome.is_ok() {
                outcome = connection.write().map_err(RedisError::from);
            }
            if outcome.is_ok() && connection.has_waited(now, timeout) {
                outcome = Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
            if let Err(error) = outcome {
                lose(slot, connector, &error, &self.client.config);
                self.events.lost();
            }
        }
    }

    /// Writes the queued commands. Gives whether that has lost a connection.
    pub fn send(&mut self) -> bool {
        let mut has_lost = false;
        for (queue, slot) in self.client.queues.iter().zip(&mut self.connections) {
            let Some(connection) = slot else { continue };
            let mut pipeline = queue.pipeline.borrow_mut();
            if pipeline.is_empty() {
                continue;
            }
            self.client.counters.sent(pipeline.len());
            connection.add(&mut pipeline, Instant::now());
            drop(pipeline);
            if let Err(error) = connection.write() {
                lose(slot, &queue.connector, &error.into(), &self.client.config);
                self.events.lost();
                has_lost = true;
            }
        }
        has_lost
    }

    /// Takes the events since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        self.events.take(&self.client)
    }

    /// Closes all connections. Commands that are queued or in flight fail with `Closed`.
    pub fn close(&mut self) {
        let closed = Error::new(Kind::Closed, "the store was closed: make a new one");
        for (queue, slot) in self.client.queues.iter().zip(&mut self.connections) {
            queue.connector.stop();
            queue.refuse(&closed);
            // Those in flight as well: nothing repeats an in-doubt write of a store that is closed.
            fail(slot, &Failure::NotSent(closed.clone()));
        }
    }
}

impl Drop for Pool {
    /// Joins the thread: its code may be unloaded with the JavaScript environment.
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Closes a connection that is of no use any more, and has the next one established.
fn lose(slot: &mut Option<Connection>, connector: &Connector, error: &RedisError, config: &Config) {
    fail(
        slot,
        &Failure::InDoubt(connection_error(error, &config.address)),
    );
    connector.reconnect();
}

/// Closes a connection; `failure` goes to the operations whose commands are in flight.
fn fail(slot: &mut Option<Connection>, failure: &Failure) {
    for responder in slot.take().into_iter().flat_map(Connection::close) {
        responder.respond(Err(failure.clone()));
    }
}
