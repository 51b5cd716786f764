//! The cache cache: sessions that this process has stored or loaded lately, as long as the server has not said that
//! somebody else has changed them. A request whose session is here needs no round trip.
//!
//! What a reply brings is only kept if no invalidation of it has come since it was asked for: replies and invalidations
//! may overtake each other on their way through the process.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use foldhash::quality::SeedableRandomState;
use lru::LruCache;

use crate::session::{Key, Record, Validity};

/// How many places there are to remember changes in, for what is on its way: 14 bits of a hash.
const PLACES: usize = 1 << 14;

/// In how many of them a name is remembered. One that shares all of its places with others is taken for one of them: then
/// something is not kept that could have been.
const MARKS: usize = 4;

/// How many that were used without a look here are given another turn before one of them is dropped all the same.
const SPARED: usize = 16;

/// Bytes that a session takes besides its text.
const OVERHEAD: usize = size_of::<Record>() + 200;

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes.
    pub max: usize,
    /// Since it was stored or loaded.
    pub ttl: Duration,
}

struct Entry {
    record: Record,
    until: Instant,
    weight: usize,
    /// For records that are the same, if there are any.
    validity: Option<Rc<Validity>>,
}

/// How often something has happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// A session was here.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
    /// The server said that something has changed.
    pub invalidations: u64,
}

/// See the module.
pub struct Cache {
    size: Option<Size>,
    /// Whether the server tells of changes on every connection.
    is_tracking: bool,
    /// By the name under which they are stored.
    sessions: LruCache<Rc<str>, Entry>,
    /// Where the other keys lead.
    primaries: HashMap<Rc<str>, Rc<str>>,
    bytes: usize,
    /// How many changes there were.
    clock: u64,
    /// When the last one was, by the places of its name.
    changed: Box<[u64]>,
    hasher: SeedableRandomState,
    /// What was asked for before this is not kept.
    floor: u64,
    counts: Counts,
    /// [`Counts::hits`], which a [`Validity`] adds to as well.
    hits: Rc<Cell<u64>>,
}

impl Cache {
    /// An empty cache; without `size` nothing is ever kept.
    pub fn new(size: Option<Size>, hasher: SeedableRandomState) -> Self {
        Self {
            size,
            is_tracking: false,
            sessions: LruCache::unbounded(),
            primaries: HashMap::default(),
            bytes: 0,
            clock: 0,
            changed: vec![0; if size.is_some() { PLACES } else { 0 }].into(),
            hasher,
            floor: 0,
            counts: Counts::default(),
            hits: Rc::default(),
        }
    }

    /// The time of a question whose answer may be kept.
    pub fn now(&self) -> u64 {
        self.clock
    }

    /// Whether anything will ever be kept.
    pub fn may_keep(&self) -> bool {
        self.size.is_some()
    }

    /// Whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.is_tracking && self.size.is_some()
    }

    /// The server tells of changes, or does not any more. Whatever is here is let go of.
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

    /// A session was here when it was wanted, or not.
    pub fn count(&mut self, hit: bool) {
        if hit {
            self.hits.set(self.hits.get() + 1);
        } else if self.is_on() {
            self.counts.misses += 1;
        }
    }

    /// Keeps a session as it was at the time `asked`. `renewal_due_in` is when it wants to be written again, ms from now.
    pub fn keep(&mut self, record: Record, asked: u64, renewal_due_in: Option<u64>, now: Instant) {
        let Some(size) = self.size.filter(|_| self.is_tracking) else {
            return;
        };
        self.drop_primary(&record.primary);
        // Whoever had one of its keys has lost it.
        for key in &record.keys {
            if let Some(primary) = self.primaries.remove(&key.name) {
                self.drop_primary(&primary);
            }
            if key.name != record.primary {
                self.drop_primary(&key.name);
            }
        }
        let has_changed = self
            .places(&record.primary)
            .all(|place| self.changed[place] > asked);
        if asked < self.floor || record.version == 0 || record.renewal_due || has_changed {
            return;
        }
        let keys: usize = record.keys.iter().map(weight_of).sum();
        let besides = OVERHEAD + 2 * record.primary.len() + keys;
        let weigh = |record: &Record| besides + record.stored_document.len();
        if weigh(&record) > size.max / 8 {
            // A patch may have replaced most of the text that it is made to.
            record.stored_document.flatten();
        }
        let weight = weigh(&record);
        if weight > size.max / 8 {
            return;
        }
        let ages = renewal_due_in.map_or(size.ttl, Duration::from_millis);
        for key in record.keys.iter().filter(|key| key.name != record.primary) {
            self.primaries
                .insert(Rc::clone(&key.name), Rc::clone(&record.primary));
        }
        let primary = Rc::clone(&record.primary);
        let until = now + size.ttl.min(ages);
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
                self.let_go(&oldest);
            }
        }
    }

    /// What a record of which nothing is under way may refer to, if it is what is here, as long as that is so.
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

    /// Something of the session that has the key `name` is under way: nobody goes on without asking.
    pub fn revoke(&mut self, name: &str) {
        let primary = self.primaries.get(name).map_or(name, |primary| primary);
        if let Some(entry) = self.sessions.peek_mut(primary) {
            entry.validity = None;
        }
    }

    /// Somebody has changed what is stored under `name`. Where that only leads to a session here, its time to live was
    /// started anew: a key that is taken away is told of at the session too.
    pub fn invalidate(&mut self, name: &str) {
        self.counts.invalidations += 1;
        if self.sessions.contains(name) || !self.primaries.contains_key(name) {
            self.forget(name);
        } else {
            self.remember(name);
        }
    }

    /// What is stored under `name` is not what is here.
    pub fn forget(&mut self, name: &str) {
        if self.size.is_none() {
            return;
        }
        self.remember(name);
        let primary = self.primaries.remove(name);
        self.drop_primary(name);
        if let Some(primary) = primary {
            self.drop_primary(&primary);
        }
    }

    /// What was asked for of `name` before now is not kept.
    fn remember(&mut self, name: &str) {
        self.clock += 1;
        for place in self.places(name) {
            if let Some(at) = self.changed.get_mut(place) {
                *at = self.clock;
            }
        }
    }

    fn places(&self, name: &str) -> impl Iterator<Item = usize> + use<> {
        let hash = self.hasher.hash_one(name);
        (0..MARKS).map(move |mark| {
            let bits = (hash >> (14 * mark)) % PLACES as u64;
            usize::try_from(bits).unwrap_or(0)
        })
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        self.sessions.clear();
        self.primaries.clear();
        self.bytes = 0;
        self.clock += 1;
        self.floor = self.clock;
    }

    /// How often what has happened.
    pub fn counts(&self) -> Counts {
        Counts {
            hits: self.hits.get(),
            ..self.counts
        }
    }

    /// How many sessions there are, and how many bytes they take.
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
            self.let_go(&entry);
        }
    }

    fn let_go(&mut self, entry: &Entry) {
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

    fn keep(cache: &mut Cache, primary: &str, other: &str, asked: u64) {
        cache.keep(record(primary, other), asked, None, Instant::now());
    }

    fn has(cache: &mut Cache, name: &str) -> bool {
        cache.get(name, Instant::now()).is_some()
    }

    #[test]
    fn a_session_is_found_by_its_keys_until_it_is_invalidated() {
        let mut cache = cache();
        let asked = cache.now();
        keep(&mut cache, "mks:a", "mks:b", asked);
        assert!(has(&mut cache, "mks:a") && has(&mut cache, "mks:b"));
        cache.invalidate("mks:b");
        assert!(
            has(&mut cache, "mks:b"),
            "only its time to live has changed"
        );
        cache.invalidate("mks:a");
        assert!(!has(&mut cache, "mks:a") && !has(&mut cache, "mks:b"));
        assert_eq!((cache.usage(), cache.primaries.len()), ((0, 0), 0));
    }

    #[test]
    fn a_key_leads_to_the_session_that_has_it_now() {
        for primary in ["mks:b", "mks:c"] {
            let mut cache = cache();
            let asked = cache.now();
            keep(&mut cache, "mks:a", "mks:b", asked);
            keep(&mut cache, primary, "mks:b", asked);
            let found = cache.get("mks:b", Instant::now());
            assert_eq!(found.map(|record| &*record.primary), Some(primary));
            assert!(!has(&mut cache, "mks:a"), "it has lost a key");
        }
    }

    #[test]
    fn what_was_asked_for_before_an_invalidation_is_not_kept() {
        let mut cache = cache();
        let asked = cache.now();
        cache.invalidate("mks:a");
        keep(&mut cache, "mks:a", "mks:b", asked);
        assert!(!has(&mut cache, "mks:a"));
        keep(&mut cache, "mks:c", "mks:d", asked);
        assert!(has(&mut cache, "mks:c"), "another session is not concerned");
        let asked = cache.now();
        keep(&mut cache, "mks:a", "mks:b", asked);
        assert!(has(&mut cache, "mks:a"), "asked for since");
    }

    #[test]
    fn nothing_survives_a_lost_connection_nor_does_what_was_on_its_way() {
        let mut cache = cache();
        let asked = cache.now();
        keep(&mut cache, "mks:a", "mks:b", asked);
        cache.track(false);
        assert!(!has(&mut cache, "mks:a"));
        cache.track(true);
        keep(&mut cache, "mks:a", "mks:b", asked);
        assert!(!has(&mut cache, "mks:a"));
    }

    #[test]
    fn what_others_change_meanwhile_is_not_taken_for_it() {
        let mut cache = cache();
        let asked = cache.now();
        for other in 0..64 {
            cache.invalidate(&format!("mks:{other}"));
        }
        for call in 0..300 {
            let primary = format!("mks:call-{call}");
            keep(&mut cache, &primary, &primary, asked);
            assert!(has(&mut cache, &primary), "{primary}");
        }
    }

    #[test]
    fn more_changes_than_there_are_places_keep_what_is_on_its_way_out() {
        let mut cache = cache();
        let asked = cache.now();
        cache.invalidate("mks:a");
        for other in 0..4 * PLACES {
            cache.invalidate(&format!("mks:{other}"));
        }
        keep(&mut cache, "mks:a", "mks:b", asked);
        assert!(!has(&mut cache, "mks:a"));
    }

    #[test]
    fn it_is_bounded_by_bytes_and_by_time() {
        let mut cache = cache();
        let asked = cache.now();
        for call in 0..100 {
            let primary = format!("mks:{call}");
            keep(&mut cache, &primary, &primary, asked);
        }
        assert!(cache.usage().1 <= SIZE.max && !has(&mut cache, "mks:0"));
        assert!(has(&mut cache, "mks:99"));
        assert!(cache.get("mks:99", Instant::now() + SIZE.ttl).is_none());
    }

    #[test]
    fn what_is_used_without_a_look_here_stays_too() {
        let mut cache = cache();
        let asked = cache.now();
        let mut first = record("mks:first", "mks:second");
        keep(&mut cache, "mks:first", "mks:second", asked);
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
            keep(&mut cache, &primary, &primary, asked);
        }
        for call in 0..1000 {
            let primary = format!("mks:{call}");
            keep(&mut cache, &primary, &primary, asked);
        }
        assert!(
            !first.is_current(Instant::now()),
            "it was not used any more"
        );
    }
}
