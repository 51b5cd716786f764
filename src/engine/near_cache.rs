//! The near cache: sessions that this process has stored or loaded, kept until Redis invalidates them. A request whose
//! session the cache has needs no round trip.
//!
//! The cache keeps a loaded session only if Redis has not invalidated it since the engine sent the load: replies and
//! invalidations can overtake each other within the process.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use foldhash::quality::SeedableRandomState;
use lru::LruCache;

use crate::session::{Key, Record, Validity};

/// The counters that record when names were last invalidated: one for each value of 14 bits of a hash.
const COUNTERS: usize = 1 << 14;

/// How many counters each name has. Where other names have changed all of them, the cache takes the name for invalidated
/// too, and does not keep a session that it could have kept.
const COUNTERS_PER_NAME: usize = 4;

/// How many of the oldest entries one [`Cache::keep`] spares because a [`Validity`] of them was used. Limits the search.
const SPARED: usize = 16;

/// Bytes that a session takes besides its text and its keys.
const OVERHEAD: usize = size_of::<Record>() + 200;

/// The limits of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of all entries.
    pub max: usize,
    /// How long the cache keeps a session after its save or load.
    pub ttl: Duration,
}

struct Entry {
    record: Record,
    until: Instant,
    weight: usize,
    /// The cache validity that equal records refer to, if there are any.
    validity: Option<Rc<Validity>>,
}

/// Totals since the start.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Loads that the cache has answered.
    pub hits: u64,
    /// Loads that the cache could not answer.
    pub misses: u64,
    /// Invalidations that Redis has sent.
    pub invalidations: u64,
}

/// See the module.
pub struct Cache {
    size: Option<Size>,
    /// Whether every connection has tracking.
    is_tracking: bool,
    /// By primary key.
    sessions: LruCache<Rc<str>, Entry>,
    /// The primary keys of the other keys.
    primaries: HashMap<Rc<str>, Rc<str>>,
    /// Bytes of all entries.
    bytes: usize,
    /// How many invalidations there were.
    clock: u64,
    /// The clock at the last invalidation of a name with this counter.
    invalidated: Box<[u64]>,
    hasher: SeedableRandomState,
    /// Replies to loads sent before this clock are not kept.
    floor: u64,
    counts: Counts,
    /// [`Counts::hits`], to which a [`Validity`] adds too.
    hits: Rc<Cell<u64>>,
}

impl Cache {
    /// An empty cache. Without `size` it never keeps anything.
    pub fn new(size: Option<Size>, hasher: SeedableRandomState) -> Self {
        Self {
            size,
            is_tracking: false,
            sessions: LruCache::unbounded(),
            primaries: HashMap::default(),
            bytes: 0,
            clock: 0,
            invalidated: vec![0; if size.is_some() { COUNTERS } else { 0 }].into(),
            hasher,
            floor: 0,
            counts: Counts::default(),
            hits: Rc::default(),
        }
    }

    /// The clock, for [`Cache::keep`]: read it when an operation is sent.
    pub fn now(&self) -> u64 {
        self.clock
    }

    /// Whether the store has a near cache.
    pub fn may_keep(&self) -> bool {
        self.size.is_some()
    }

    /// Whether the cache keeps sessions now: it is configured, and Redis tracks what is read.
    pub fn is_on(&self) -> bool {
        self.is_tracking && self.size.is_some()
    }

    /// Tracking has begun or ended. The cache drops all sessions.
    pub fn track(&mut self, is_on: bool) {
        self.clear();
        self.is_tracking = is_on;
    }

    /// The session that has the key `name`.
    pub fn get(&mut self, name: &str, now: Instant) -> Option<&Record> {
        if !self.is_on() {
            return None;
        }
        let primary = self.primaries.get(name).map_or(name, |primary| primary);
        let found = self.sessions.get(primary);
        let has_key = |entry: &&Entry| {
            entry.until > now && entry.record.keys.iter().any(|key| *key.name == *name)
        };
        found.filter(has_key).map(|entry| &entry.record)
    }

    /// Counts a load that the cache could answer, or could not.
    pub fn count(&mut self, hit: bool) {
        if hit {
            self.hits.set(self.hits.get() + 1);
        } else if self.is_on() {
            self.counts.misses += 1;
        }
    }

    /// Keeps a session from the reply to an operation that was sent at the clock `sent_at`. `renewal_due_in`: when its next
    /// save must renew its TTL, ms from now.
    pub fn keep(
        &mut self,
        record: Record,
        sent_at: u64,
        renewal_due_in: Option<u64>,
        now: Instant,
    ) {
        let Some(size) = self.size.filter(|_| self.is_tracking) else {
            return;
        };
        self.drop_primary(&record.primary);
        // Another session that had one of its keys has lost it.
        for key in &record.keys {
            if let Some(primary) = self.primaries.remove(&key.name) {
                self.drop_primary(&primary);
            }
            if key.name != record.primary {
                self.drop_primary(&key.name);
            }
        }
        let has_changed = self
            .counters(&record.primary)
            .all(|counter| self.invalidated[counter] > sent_at);
        if sent_at < self.floor || record.version == 0 || record.renewal_due || has_changed {
            return;
        }
        let keys: usize = record.keys.iter().map(weight_of).sum();
        let besides = OVERHEAD + 2 * record.primary.len() + keys;
        let weigh = |record: &Record| besides + record.stored_document.len();
        if weigh(&record) > size.max / 8 {
            // The patch may replace most of the text that the document still has.
            record.stored_document.flatten();
        }
        let weight = weigh(&record);
        if weight > size.max / 8 {
            return;
        }
        let renewal = renewal_due_in.map_or(size.ttl, Duration::from_millis);
        for key in record.keys.iter().filter(|key| key.name != record.primary) {
            self.primaries
                .insert(Rc::clone(&key.name), Rc::clone(&record.primary));
        }
        let primary = Rc::clone(&record.primary);
        let until = now + size.ttl.min(renewal);
        let entry = Entry {
            record,
            until,
            weight,
            validity: None,
        };
        self.sessions.put(primary, entry);
        self.bytes += weight;
        let mut spared = 0;
        while self.bytes > size.max
            && let Some((primary, oldest)) = self.sessions.pop_lru()
        {
            let was_used = |validity: &Rc<Validity>| validity.was_used.take();
            if spared < SPARED && oldest.validity.as_ref().is_some_and(was_used) {
                spared += 1;
                self.sessions.put(primary, oldest);
            } else {
                self.unlink(&oldest);
            }
        }
    }

    /// The cache validity for a record of which no operation is queued or in flight; dangling if the cache does not have
    /// the same version of that session.
    pub fn validity(&mut self, record: &Record) -> Weak<Validity> {
        let is_same = |entry: &&mut Entry| {
            entry.record.uuid == record.uuid && entry.record.version == record.version
        };
        let Some(entry) = self.sessions.peek_mut(&record.primary).filter(is_same) else {
            return Weak::new();
        };
        let until = entry.until;
        let validity = entry.validity.get_or_insert_with(|| {
            Rc::new(Validity {
                until,
                hits: Rc::clone(&self.hits),
                was_used: Cell::default(),
            })
        });
        Rc::downgrade(validity)
    }

    /// An operation on the session that has the key `name` is queued: until it is done, no record of the session is
    /// current.
    pub fn revoke(&mut self, name: &str) {
        let primary = self.primaries.get(name).map_or(name, |primary| primary);
        if let Some(entry) = self.sessions.peek_mut(primary) {
            entry.validity = None;
        }
    }

    /// Redis says that another client has changed the Redis key of `name`. If that is only a pointer to a session in the
    /// cache, its TTL was renewed: Redis invalidates the primary key too when the session loses a key.
    pub fn invalidate(&mut self, name: &str) {
        self.counts.invalidations += 1;
        if self.sessions.contains(name) || !self.primaries.contains_key(name) {
            self.forget(name);
        } else {
            self.mark(name);
        }
    }

    /// Drops the session that has the key `name`: the store may have something else.
    pub fn forget(&mut self, name: &str) {
        if self.size.is_none() {
            return;
        }
        self.mark(name);
        let primary = self.primaries.remove(name);
        self.drop_primary(name);
        if let Some(primary) = primary {
            self.drop_primary(&primary);
        }
    }

    /// Records that `name` has changed, so that the reply to a load sent before is not kept.
    fn mark(&mut self, name: &str) {
        self.clock += 1;
        for counter in self.counters(name) {
            if let Some(at) = self.invalidated.get_mut(counter) {
                *at = self.clock;
            }
        }
    }

    /// The indices of the counters of `name`.
    fn counters(&self, name: &str) -> impl Iterator<Item = usize> + use<> {
        let hash = self.hasher.hash_one(name);
        (0..COUNTERS_PER_NAME).map(move |part| {
            let bits = (hash >> (14 * part)) % COUNTERS as u64;
            usize::try_from(bits).unwrap_or(0)
        })
    }

    /// Drops all sessions, and the replies to all loads that are in flight.
    pub fn clear(&mut self) {
        self.sessions.clear();
        self.primaries.clear();
        self.bytes = 0;
        self.clock += 1;
        self.floor = self.clock;
    }

    /// The totals since the start.
    pub fn counts(&self) -> Counts {
        Counts {
            hits: self.hits.get(),
            ..self.counts
        }
    }

    /// How many sessions the cache has, and how many bytes they take.
    pub fn usage(&self) -> (usize, usize) {
        (self.sessions.len(), self.bytes)
    }

    /// `CacheStats` of `index.d.ts`.
    pub fn json(&self) -> serde_json::Value {
        let (sessions, bytes) = self.usage();
        let counts = self.counts();
        serde_json::json!({
            "on": self.is_on(),
            "sessions": sessions,
            "bytes": bytes,
            "hits": counts.hits,
            "misses": counts.misses,
            "invalidations": counts.invalidations,
        })
    }

    fn drop_primary(&mut self, primary: &str) {
        if let Some(entry) = self.sessions.pop(primary) {
            self.unlink(&entry);
        }
    }

    /// Updates the totals and the keys after `entry` was taken out of `sessions`.
    fn unlink(&mut self, entry: &Entry) {
        self.bytes -= entry.weight;
        for key in &entry.record.keys {
            if self.primaries.get(&key.name) == Some(&entry.record.primary) {
                self.primaries.remove(&key.name);
            }
        }
    }
}

fn weight_of(key: &Key) -> usize {
    2 * key.name.len() + key.resource.as_ref().map_or(0, String::len) + size_of::<Key>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::State;

    const SIZE: Size = Size {
        max: 20_000,
        ttl: Duration::from_secs(60),
    };

    fn cache() -> Cache {
        let mut cache = Cache::new(Some(SIZE), SeedableRandomState::random());
        cache.track(true);
        cache
    }

    fn record(primary: &str, other: &str) -> Record {
        let mut record = Record::new(uuid::Uuid::new_v4());
        record.add_key(primary, None);
        record.add_key(other, None);
        record.primary = primary.into();
        record.version = 1;
        record
    }

    fn keep(cache: &mut Cache, primary: &str, other: &str, sent_at: u64) {
        cache.keep(record(primary, other), sent_at, None, Instant::now());
    }

    fn has(cache: &mut Cache, name: &str) -> bool {
        cache.get(name, Instant::now()).is_some()
    }

    #[test]
    fn a_session_is_found_by_its_keys_until_it_is_invalidated() {
        let mut cache = cache();
        let sent_at = cache.now();
        keep(&mut cache, "mks:a", "mks:b", sent_at);
        assert!(has(&mut cache, "mks:a") && has(&mut cache, "mks:b"));
        cache.invalidate("mks:b");
        assert!(has(&mut cache, "mks:b"), "only its TTL was renewed");
        cache.invalidate("mks:a");
        assert!(!has(&mut cache, "mks:a") && !has(&mut cache, "mks:b"));
        assert_eq!((cache.usage(), cache.primaries.len()), ((0, 0), 0));
    }

    #[test]
    fn a_key_leads_to_the_session_that_has_it_now() {
        for primary in ["mks:b", "mks:c"] {
            let mut cache = cache();
            let sent_at = cache.now();
            keep(&mut cache, "mks:a", "mks:b", sent_at);
            keep(&mut cache, primary, "mks:b", sent_at);
            let found = cache.get("mks:b", Instant::now());
            assert_eq!(found.map(|record| &*record.primary), Some(primary));
            assert!(!has(&mut cache, "mks:a"), "it has lost a key");
        }
    }

    #[test]
    fn the_reply_to_a_load_sent_before_an_invalidation_is_not_kept() {
        let mut cache = cache();
        let sent_at = cache.now();
        cache.invalidate("mks:a");
        keep(&mut cache, "mks:a", "mks:b", sent_at);
        assert!(!has(&mut cache, "mks:a"));
        keep(&mut cache, "mks:c", "mks:d", sent_at);
        assert!(
            has(&mut cache, "mks:c"),
            "the invalidation was of another session"
        );
        let sent_at = cache.now();
        keep(&mut cache, "mks:a", "mks:b", sent_at);
        assert!(has(&mut cache, "mks:a"), "sent after the invalidation");
    }

    #[test]
    fn a_lost_connection_drops_all_sessions_and_the_replies_in_flight() {
        let mut cache = cache();
        let sent_at = cache.now();
        keep(&mut cache, "mks:a", "mks:b", sent_at);
        cache.track(false);
        assert!(!has(&mut cache, "mks:a"));
        cache.track(true);
        keep(&mut cache, "mks:a", "mks:b", sent_at);
        assert!(!has(&mut cache, "mks:a"));
    }

    #[test]
    fn invalidations_of_other_sessions_do_not_hinder_it() {
        let mut cache = cache();
        let sent_at = cache.now();
        for other in 0..64 {
            cache.invalidate(&format!("mks:{other}"));
        }
        for call in 0..300 {
            let primary = format!("mks:call-{call}");
            keep(&mut cache, &primary, &primary, sent_at);
            assert!(has(&mut cache, &primary), "{primary}");
        }
    }

    #[test]
    fn more_invalidations_than_counters_lose_none() {
        let mut cache = cache();
        let sent_at = cache.now();
        cache.invalidate("mks:a");
        for other in 0..4 * COUNTERS {
            cache.invalidate(&format!("mks:{other}"));
        }
        keep(&mut cache, "mks:a", "mks:b", sent_at);
        assert!(!has(&mut cache, "mks:a"));
    }

    #[test]
    fn it_is_bounded_by_bytes_and_by_time() {
        let mut cache = cache();
        let sent_at = cache.now();
        for call in 0..100 {
            let primary = format!("mks:{call}");
            keep(&mut cache, &primary, &primary, sent_at);
        }
        assert!(cache.usage().1 <= SIZE.max && !has(&mut cache, "mks:0"));
        assert!(has(&mut cache, "mks:99"));
        assert!(cache.get("mks:99", Instant::now() + SIZE.ttl).is_none());
    }

    #[test]
    fn a_session_whose_validity_is_used_stays() {
        let mut cache = cache();
        let sent_at = cache.now();
        let mut first = record("mks:first", "mks:second");
        keep(&mut cache, "mks:first", "mks:second", sent_at);
        first.uuid = cache
            .sessions
            .peek("mks:first")
            .map(|entry| Rc::clone(&entry.record.uuid))
            .expect("it is kept");
        first.state = State::Stored;
        first.keys.iter_mut().for_each(|key| key.stored = true);
        first.validity = cache.validity(&first);
        for call in 0..1000 {
            assert!(first.is_current(Instant::now()), "after {call}");
            let primary = format!("mks:{call}");
            keep(&mut cache, &primary, &primary, sent_at);
        }
        for call in 0..1000 {
            let primary = format!("mks:{call}");
            keep(&mut cache, &primary, &primary, sent_at);
        }
        assert!(
            !first.is_current(Instant::now()),
            "nothing used it any more"
        );
    }
}
