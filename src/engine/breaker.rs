//! The circuit breaker (Nygard, *Release It!*): it opens after repeated failures. A second one stops writes alone, while
//! the store is read-only or out of memory. From the first failure on the engine probes the store at growing intervals,
//! until it answers.

use std::time::{Duration, Instant};

use crate::error::{Error, Kind};

/// How many failures in a row open the breaker.
const FAILURES: u32 = 5;

/// The first pause before a probe. It doubles with each probe that fails.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(2);

/// Why operations are not sent, and when the next probe is due.
#[derive(Debug)]
struct Pause {
    error: Error,
    next: Instant,
    length: Duration,
    /// Whether a probe was sent and is not answered.
    probing: bool,
}

impl Pause {
    fn new(error: Error, now: Instant) -> Self {
        Self {
            error,
            next: now + PAUSE,
            length: PAUSE,
            probing: false,
        }
    }

    fn extend(&mut self, error: Error, now: Instant) {
        self.error = error;
        if self.probing {
            self.length = LONGEST.min(self.length * 2);
            self.probing = false;
        }
        self.next = now + self.length;
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.probing && now >= self.next
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Since the first of the failures.
    failing: Option<Pause>,
    /// Since the store refused a write.
    refusing: Option<Pause>,
}

impl Breaker {
    /// Why no operation is sent: the error of an open breaker.
    #[must_use]
    pub fn down(&self) -> Option<Error> {
        let open = self.failing.as_ref().filter(|_| self.failures >= FAILURES);
        open.map(|pause| {
            let message = format!(
                "the circuit breaker is open after repeated failures of the store; the last one: {}",
                pause.error.message
            );
            Error::new(Kind::Unavailable, message)
        })
    }

    /// Why no save is sent. Removals are sent while the store only refuses writes: they may free its memory.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        self.down()
            .or_else(|| self.refusing.as_ref().map(|pause| pause.error.clone()))
    }

    /// Whether the store has answered the last operation and takes writes, as far as the engine knows.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.failing.is_none() && self.refusing.is_none()
    }

    /// Whether a probe of the store is due. After `true` the caller must send one.
    pub fn probe(&mut self, now: Instant) -> bool {
        let due = self.failing.as_mut().filter(|pause| pause.is_due(now));
        due.map(|pause| pause.probing = true).is_some()
    }

    /// Whether a write may be sent as a probe of a store that refuses writes.
    #[must_use]
    pub fn may_probe_write(&self, now: Instant) -> bool {
        let due = self.refusing.as_ref().filter(|pause| pause.is_due(now));
        self.failing.is_none() && due.is_some()
    }

    /// A write was sent. While the store refuses writes it is the probe: no other one is sent before it has ended.
    pub fn write_sent(&mut self) {
        if let Some(pause) = &mut self.refusing {
            pause.probing = true;
        }
    }

    /// A write has ended. If that has not shown whether the store takes writes, the next write is a probe too.
    pub fn write_ended(&mut self) {
        if let Some(pause) = &mut self.refusing {
            pause.probing = false;
        }
    }

    /// The store has answered; with `wrote` it has written something. Gives whether that closed the breaker.
    pub fn succeeded(&mut self, wrote: bool) -> bool {
        let was_open = self.failures >= FAILURES;
        (self.failures, self.failing) = (0, None);
        if wrote {
            self.refusing = None;
        }
        was_open
    }

    /// The store has failed ([`Error::will_pass`]). Gives whether that opened the breaker.
    pub fn failed(&mut self, error: &Error, now: Instant) -> bool {
        let refused = error.kind == Kind::Refused;
        let pause = if refused {
            &mut self.refusing
        } else {
            self.failures = self.failures.saturating_add(1);
            &mut self.failing
        };
        match pause {
            Some(pause) => pause.extend(error.clone(), now),
            None => *pause = Some(Pause::new(error.clone(), now)),
        }
        !refused && self.failures == FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> Error {
        Error::new(Kind::Unavailable, "refused")
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_the_first_success() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES - 1 {
            assert!(!breaker.failed(&unavailable(), now));
        }
        breaker.succeeded(false);
        for _ in 0..FAILURES - 1 {
            assert!(!breaker.failed(&unavailable(), now));
        }
        assert!(breaker.down().is_none());
        assert!(breaker.failed(&unavailable(), now), "it opens");
        assert!(
            !breaker.failed(&unavailable(), now),
            "and reports that once"
        );
        assert!(
            breaker
                .down()
                .is_some_and(|error| error.message.contains("refused"))
        );
        assert!(breaker.succeeded(false) && breaker.is_well());
    }

    #[test]
    fn probes_are_sent_one_at_a_time_with_growing_pauses() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            breaker.failed(&unavailable(), now);
        }
        assert!(!breaker.probe(now));
        let mut pause = PAUSE;
        for _ in 0..6 {
            now += pause;
            assert!(breaker.probe(now) && !breaker.probe(now + LONGEST));
            breaker.failed(&unavailable(), now);
            pause = LONGEST.min(pause * 2);
            assert!(!breaker.probe(now + pause / 2));
        }
    }

    #[test]
    fn a_store_that_refuses_writes_is_still_read() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        assert!(!breaker.failed(&Error::new(Kind::Refused, "READONLY"), now));
        assert!(breaker.down().is_none() && breaker.refusal().is_some());
        breaker.succeeded(false);
        assert!(
            breaker.refusal().is_some(),
            "a read does not show that it takes writes"
        );
        assert!(breaker.may_probe_write(now + PAUSE));
        assert!(breaker.may_probe_write(now + PAUSE), "none was sent");
        breaker.write_sent();
        breaker.succeeded(false);
        assert!(
            !breaker.may_probe_write(now + PAUSE),
            "a read does not end the probe"
        );
        breaker.failed(&Error::new(Kind::Refused, "READONLY"), now + PAUSE);
        breaker.write_ended();
        assert!(!breaker.may_probe_write(now + 2 * PAUSE), "the pauses grow");
        assert!(breaker.may_probe_write(now + 3 * PAUSE));
        breaker.write_sent();
        breaker.write_ended();
        assert!(breaker.may_probe_write(now + 3 * PAUSE), "it wrote nothing");
        breaker.succeeded(true);
        assert!(breaker.is_well());
    }
}
