//! Events of the connections, each reported to the engine once: invalidations, connected, disconnected, errors.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redis::{PushKind, Value};

use super::client::Client;
use super::connector::Status;
use super::reply::invalidated;
use crate::error::{Error, Kind};
use crate::store::backend::Event;

/// What has happened since the last [`Events::take`], and what was reported before.
#[derive(Default)]
pub struct Events {
    /// Set when the status of a connector has changed.
    pub changed: Arc<AtomicBool>,
    /// The Redis keys that were invalidated; `None` stands for all.
    redis_keys: Vec<Option<String>>,
    is_up: bool,
    is_tracking: bool,
    /// The codes of the errors reported since all connections were up.
    errors: HashSet<&'static str>,
}

impl Events {
    /// Notes a push message of the server.
    pub fn push(&mut self, kind: &PushKind, data: Vec<Value>) {
        if *kind == PushKind::Invalidate {
            invalidated(data, &mut self.redis_keys);
        }
    }

    /// Notes the loss of a connection, and with it of its invalidations.
    pub fn lost(&mut self) {
        self.redis_keys.push(None);
    }

    /// Takes the events since the last call.
    pub fn take(&mut self, client: &Client) -> Vec<Event> {
        let mut events = Vec::new();
        if self.redis_keys.iter().any(Option::is_none) {
            events.push(Event::Changed(Vec::new()));
        } else if !self.redis_keys.is_empty() {
            let names = self.redis_keys.iter().flatten();
            let names = names.map(|redis_key| client.name(redis_key).to_owned());
            events.push(Event::Changed(names.collect()));
        }
        self.redis_keys.clear();
        if self.changed.swap(false, Relaxed) {
            self.compare(client, &mut events);
        }
        events
    }

    /// Adds the differences between the connectors' status and what was reported.
    fn compare(&mut self, client: &Client, events: &mut Vec<Event>) {
        let connectors = || client.queues.iter().map(|queue| &queue.connector);
        let is_tracking = connectors().all(|connector| connector.is_tracking());
        if is_tracking != self.is_tracking {
            self.is_tracking = is_tracking;
            events.push(Event::Tracking(is_tracking));
        }
        let statuses: Vec<Status> = connectors().map(|connector| connector.status()).collect();
        let is_up = statuses.iter().all(|status| *status == Status::Up);
        // The next connection may be there already. Each connector must be asked, since that resets it.
        let lost = connectors()
            .filter(|connector| connector.was_lost())
            .count();
        if (lost > 0 || !is_up) && self.is_up {
            let why = Error::new(
                Kind::Unavailable,
                "the connection to Redis was lost; reconnecting",
            );
            events.push(Event::Disconnect(why));
            self.is_up = false;
        }
        for status in statuses {
            if let Status::Down(error) = status
                && self.errors.insert(error.kind.code())
            {
                events.push(Event::Error(error));
            }
        }
        if is_up && !self.is_up {
            self.errors.clear();
            events.push(Event::Connect);
        }
        self.is_up = is_up;
    }
}
