//! Sessions in Redis, over multiplexed connections that a thread of our own drives.
//!
//! - `config` reads the options;
//! - `worker` is the thread: operations in, answers out, one wake-up for many;
//! - `link` is one connection: it collects commands into pipelines and connects again when it is lost;
//! - `perform` is each operation as commands, `save` the saves, `layout` what the stored hashes mean; the scripts are
//!   beside them.

mod config;
mod layout;
mod link;
mod perform;
mod save;
mod scan;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;

use serde_json::{Map, Value, json};

pub use config::{Config, DEFAULT_TTL};
use worker::Desk;

use super::{Answers, Backend, Op, Reply};
use crate::error::{Error, Kind, Result};

/// The JavaScript thread's side of the store.
pub struct RedisStore {
    desk: Arc<Desk>,
    /// What was submitted since the last flush.
    gathered: Vec<(u32, Op)>,
    connections: usize,
    thread: Option<JoinHandle<()>>,
}

impl RedisStore {
    /// Starts the thread, which connects at once. `wake` is called from it when there is something to take.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(config: Config, wake: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        let connections = config.pool_size;
        let desk = Arc::new(Desk::new(wake));
        let theirs = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("drachtio-session".into())
            .spawn(move || worker::run(&theirs, config))
            .map_err(|why| {
                Error::new(
                    Kind::Unavailable,
                    format!("no thread for the connections to Redis: {why}"),
                )
            })?;
        Ok(Self {
            desk,
            gathered: Vec::new(),
            connections,
            thread: Some(thread),
        })
    }
}

impl Backend for RedisStore {
    fn submit(&mut self, ticket: u32, op: Op) -> Option<Result<Reply>> {
        self.gathered.push((ticket, op));
        None
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.desk.submit(&mut self.gathered);
        }
    }

    fn take(&mut self) -> Answers {
        self.desk.take()
    }

    fn stats(&self) -> Map<String, Value> {
        let counts = &self.desk.counts;
        let connections = json!({
            "up": counts.up.load(Relaxed),
            "of": self.connections,
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

impl Drop for RedisStore {
    /// Stops the thread and waits for it: its code may be unloaded with the environment.
    fn drop(&mut self) {
        self.desk.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
