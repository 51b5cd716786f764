//! What the engine takes from outside: the time, and the seed of its hashes. A simulation supplies its own, so that one
//! seed decides everything.

use std::time::Instant;

use foldhash::quality::SeedableRandomState;

/// See the module.
pub struct Environment {
    /// The current time.
    pub clock: Box<dyn Fn() -> Instant>,
    /// Hashes the names that the near cache remembers changes of.
    pub hasher: SeedableRandomState,
}

impl Environment {
    /// The clock of the system, and a random seed.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Box::new(Instant::now),
            hasher: SeedableRandomState::random(),
        }
    }
}
