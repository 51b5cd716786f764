//! Sessions in Redis, over connections that are used by the thread of JavaScript itself: a command costs no change of
//! threads.
//!
//! - `config` reads the options;
//! - `connector` makes a connection, again when it is lost, on a thread of its own; `connection` is a connection that is made; `pool`
//!   has both;
//! - `executor` has the operations that are under way;
//! - `execute` is each operation as commands, `save` the saves, `layout` what the stored hashes mean; the scripts are
//!   beside them.

mod client;
mod commands;
mod config;
mod connection;
mod connector;
mod executor;
mod layout;
mod save;
mod scan;

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value, json};

use client::{Pool, Watcher};
use commands::execute;
pub use config::{Config, DEFAULT_TTL};
pub use connection::{Ready, Socket, Watch};
use executor::Executor;

use super::{Answers, Backend, Failed, Reply, StoreOp, taken};
use crate::error::Result;

type Answered = (u32, std::result::Result<Reply, Failed>);

/// See the module.
pub struct RedisStore {
    pool: Pool,
    executor: Executor<Answered>,
    /// What was done while something was handed over.
    done: Vec<Answered>,
    wake: Box<dyn Fn()>,
}

impl RedisStore {
    /// Begins to connect. `wake` is called, from any thread, when there is something to take; `watcher` has the same be
    /// done when a socket is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        config: Config,
        wake: impl Fn() + Clone + Send + Sync + 'static,
        watcher: Watcher,
    ) -> Result<Self> {
        let pool = Pool::new(config, wake.clone(), watcher)?;
        Ok(Self {
            executor: Executor::new(Rc::clone(&pool.client.turn)),
            pool,
            done: Vec::new(),
            wake: Box::new(wake),
        })
    }
}

impl Backend for RedisStore {
    fn submit(&mut self, ticket: u32, mut op: StoreOp) -> Option<Result<Reply>> {
        if matches!(op, StoreOp::Close) {
            // The engine closes when nothing else is under way, or does not wait for it any more.
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
        self.executor.run(&mut self.done);
        let has_lost = self.pool.send();
        if has_lost || !self.done.is_empty() {
            (self.wake)();
        }
    }

    fn take(&mut self) -> Answers {
        self.pool.receive();
        self.executor.run(&mut self.done);
        Answers {
            replies: taken(&mut self.done),
            events: self.pool.events(),
        }
    }

    fn stats(&self) -> Map<String, Value> {
        let client = &self.pool.client;
        let counts = &client.counts;
        let connections = json!({
            "up": client.up(),
            "of": client.all.len(),
            "made": counts.connects.load(Relaxed),
        });
        let batches = json!({
            "count": counts.batches.load(Relaxed),
            "commands": counts.commands.load(Relaxed),
            "largest": counts.largest.load(Relaxed),
        });
        let mut all = Map::new();
        all.insert("connections".to_owned(), connections);
        all.insert("batches".to_owned(), batches);
        all
    }
}
