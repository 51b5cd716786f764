//! What the store has been sent and has not answered.

use std::rc::Rc;
use std::time::{Duration, Instant};

use foldhash::HashMap;

use super::operation::{Action, Operation};
use crate::session::Write;

/// What a store operation is for: everything that is needed when its answer comes.
pub enum Purpose {
    /// An operation on no session in particular; its number.
    Plain(u32),
    /// One that changes what is stored under a name; without it under all names.
    Change(u32, Option<String>),
    /// The operation that its session's queue waits for.
    Queued {
        /// The queue.
        queue: Rc<str>,
        /// The operation.
        operation: Operation,
        /// What it writes.
        write: Option<Rc<Write>>,
        /// Whether an earlier attempt may have been done.
        repeated: bool,
    },
    /// Asks whether the store is back.
    Probe,
    /// The close, with the numbers of the operations that wait for it.
    Close(Vec<u32>),
}

impl Purpose {
    /// Whether it is a write of a session.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Queued { operation, .. } if !matches!(operation.action, Action::Load { .. }))
    }
}

/// A store operation that is in flight.
pub struct Entry {
    /// What it is for.
    pub purpose: Purpose,
    /// Its kind, for the statistics.
    pub kind: &'static str,
    /// Bytes of the data that goes with it.
    pub weight: usize,
    /// When it was sent.
    pub began: Instant,
    /// The time of the near cache when it was sent.
    pub cache_time: u64,
}

/// See the module.
#[derive(Default)]
pub struct InFlight {
    last_ticket: u32,
    entries: HashMap<u32, Entry>,
    bytes: usize,
}

impl InFlight {
    /// A ticket that no store operation has.
    pub fn next_ticket(&mut self) -> u32 {
        self.last_ticket = self.last_ticket.wrapping_add(1);
        self.last_ticket
    }

    /// The ticket that was given last.
    pub fn last_ticket(&self) -> u32 {
        self.last_ticket
    }

    /// A store operation was sent.
    pub fn add(&mut self, ticket: u32, entry: Entry) {
        self.bytes += entry.weight;
        self.entries.insert(ticket, entry);
    }

    /// The store has answered.
    pub fn take(&mut self, ticket: u32) -> Option<Entry> {
        let entry = self.entries.remove(&ticket)?;
        self.bytes -= entry.weight;
        Some(entry)
    }

    /// The queued operation with this ticket.
    pub fn operation(&self, ticket: u32) -> Option<&Operation> {
        match &self.entries.get(&ticket)?.purpose {
            Purpose::Queued { operation, .. } => Some(operation),
            _ => None,
        }
    }

    /// The operations that wait for the close that is in flight.
    pub fn closing(&mut self) -> Option<&mut Vec<u32>> {
        let mut entries = self.entries.values_mut();
        entries.find_map(|entry| match &mut entry.purpose {
            Purpose::Close(ops) => Some(ops),
            _ => None,
        })
    }

    /// The tickets of what was sent longer ago than `timeout`.
    pub fn late(&self, now: Instant, timeout: Duration) -> Vec<u32> {
        let late = self.entries.iter();
        let late = late.filter(|(_, entry)| entry.began + timeout <= now);
        let mut tickets: Vec<u32> = late.map(|(ticket, _)| *ticket).collect();
        tickets.sort_unstable();
        tickets
    }

    /// Forgets everything, and gives it in the order in which it was sent.
    pub fn abandon(&mut self) -> Vec<Entry> {
        self.bytes = 0;
        let mut entries: Vec<_> = std::mem::take(&mut self.entries).into_iter().collect();
        entries.sort_unstable_by_key(|(ticket, _)| *ticket);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// How many store operations are in flight.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of their data.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_counted_and_late_in_the_order_of_its_tickets() {
        let (mut in_flight, now) = (InFlight::default(), Instant::now());
        for _ in 0..3 {
            let ticket = in_flight.next_ticket();
            let entry = Entry {
                purpose: Purpose::Probe,
                kind: "ping",
                weight: 10,
                began: now,
                cache_time: 0,
            };
            in_flight.add(ticket, entry);
        }
        assert!(in_flight.take(2).is_some() && in_flight.take(2).is_none());
        assert_eq!((in_flight.len(), in_flight.bytes()), (2, 20));
        let timeout = Duration::from_secs(1);
        assert!(in_flight.late(now, timeout).is_empty());
        assert_eq!(in_flight.late(now + timeout, timeout), [1, 3]);
        assert_eq!(in_flight.abandon().len(), 2);
        assert!(in_flight.is_empty() && in_flight.bytes() == 0);
    }
}
