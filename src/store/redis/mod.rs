//! Sessions in Redis. JavaScript's thread reads and writes the sockets itself, so that a command costs no change of
//! threads; a thread of its own establishes the connections.
//!
//! From the operation to the socket:
//!
//! - `commands` does each operation; `load`, `save`, `remove`, `values` and `scan` are its kinds, `layout` reads the
//!   stored hashes, `arguments` writes their fields, `scripts` has the Lua scripts;
//! - `client` queues the commands of operations and repeats them, `errors` says what a failure means;
//! - `pool` has the connections and reports `events`; `connection` is an established socket, `reply` its parser,
//!   `socket` what both need of the operating system;
//! - `connector` establishes connections, `handshake` says what comes first on them;
//! - `config` reads the options, `counters` has the statistics.

mod arguments;
mod client;
mod commands;
mod config;
mod connection;
mod connector;
mod counters;
mod errors;
mod events;
mod handshake;
mod layout;
mod load;
mod pool;
mod remove;
mod reply;
mod save;
mod scan;
mod scripts;
mod socket;
mod values;

use std::rc::Rc;

use serde_json::{Map, Value, json};

use commands::execute;
pub use config::{Config, DEFAULT_TTL};
use pool::{Pool, Watcher};
pub use socket::{Ready, Socket, Watch};

use super::backend::{Answers, Backend, Failed, Reply, StoreOp, taken};
use super::executor::Executor;
use crate::error::Result;

type Answered = (u32, std::result::Result<Reply, Failed>);

/// See the module.
pub struct RedisStore {
    pool: Pool,
    executor: Executor<Answered>,
    /// Operations that have ended since the last [`Backend::take`].
    answered: Vec<Answered>,
    wake: Box<dyn Fn()>,
}

impl RedisStore {
    /// Begins to connect. `wake` is called, from any thread, when [`Backend::take`] has something to do; `watcher`
    /// must see to the same when a socket is ready.
    ///
    /// # Errors
    /// `Unavailable` when the operating system gives no thread.
    pub fn new(
        config: Config,
        wake: impl Fn() + Clone + Send + Sync + 'static,
        watcher: Watcher,
    ) -> Result<Self> {
        let pool = Pool::new(config, wake.clone(), watcher)?;
        Ok(Self {
            executor: Executor::new(Rc::clone(&pool.client.run_queue)),
            pool,
            answered: Vec::new(),
            wake: Box::new(wake),
        })
    }
}

impl Backend for RedisStore {
    fn submit(&mut self, ticket: u32, mut op: StoreOp) -> Option<Result<Reply>> {
        if matches!(op, StoreOp::Close) {
            // The engine closes a store when no operation is under way, or does not wait for those that are.
            self.pool.close();
            return Some(Ok(Reply::Done));
        }
        let client = Rc::clone(&self.pool.client);
        self.executor.start(Box::pin(async move {
            let reply = execute(&client, &mut op).await;
            let failed = |error| Failed {
                error,
                op: Box::new(op),
            };
            (ticket, reply.map_err(failed))
        }));
        None
    }

    fn flush(&mut self) {
        self.executor.run(&mut self.answered);
        let has_lost = self.pool.send();
        if has_lost || !self.answered.is_empty() {
            (self.wake)();
        }
    }

    fn take(&mut self) -> Answers {
        self.pool.receive();
        self.executor.run(&mut self.answered);
        Answers {
            replies: taken(&mut self.answered),
            events: self.pool.events(),
        }
    }

    fn stats(&self) -> Map<String, Value> {
        let client = &self.pool.client;
        let connections = json!({
            "up": client.up(),
            "of": client.queues.len(),
            "made": client.counters.connections(),
        });
        let mut stats = Map::new();
        stats.insert("connections".to_owned(), connections);
        stats.insert("batches".to_owned(), client.counters.pipelines());
        stats
    }
}
