//! What `stats()` of a `RedisStore` says of its connections. The connectors' thread and JavaScript's thread both
//! count.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};

/// Counters since the store was made.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    pipelines: AtomicU64,
    commands: AtomicU64,
    largest: AtomicU64,
}

impl Counters {
    /// A connector has established a connection.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// A pipeline of `commands` was handed to its connection.
    pub fn sent(&self, commands: usize) {
        let commands = commands as u64;
        self.pipelines.fetch_add(1, Relaxed);
        self.commands.fetch_add(commands, Relaxed);
        self.largest.fetch_max(commands, Relaxed);
    }

    /// How many connections were established.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// The pipelines sent: how many, the commands in them, and the most commands in one.
    pub fn pipelines(&self) -> Value {
        json!({
            "count": self.pipelines.load(Relaxed),
            "commands": self.commands.load(Relaxed),
            "largest": self.largest.load(Relaxed),
        })
    }
}
