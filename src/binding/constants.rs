//! The constants that both languages know: defined in Rust, exported to JavaScript by name. This module defines none of the
//! values. JavaScript reads them once, when it loads the addon.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bitflags::Flags;
use napi_derive::napi;

use crate::engine::SaveMode;
use crate::error::Kind;
use crate::rules::{self, Event, Facts, Finish, Plan, Refusal};
use crate::session::KEY_PREFIX;
use crate::store::options::{MAX_TIMEOUT, MAX_TTL_SECONDS};

const SAVE_MODES: [SaveMode; 3] = [SaveMode::Changes, SaveMode::Always, SaveMode::ForRetry];

const KINDS: [Kind; 12] = [
    Kind::Argument,
    Kind::Option,
    Kind::Gone,
    Kind::Conflict,
    Kind::Timeout,
    Kind::Unavailable,
    Kind::Closed,
    Kind::Auth,
    Kind::Corrupt,
    Kind::Store,
    Kind::Refused,
    Kind::GivenUp,
];

/// The prefix of every error code.
const CODE_PREFIX: &str = "ERR_SESSION_";

/// The constants by their names, in upper case with underscores.
#[napi(object)]
pub struct Constants {
    /// Bits: what the host knows about a message.
    pub facts: BTreeMap<String, u32>,
    /// Bits: what to do with a message.
    pub plan: BTreeMap<String, u32>,
    /// What a final response means for the session.
    pub finish: BTreeMap<String, u32>,
    /// What happens to a dialog without a message that the application handles.
    pub event: BTreeMap<String, u32>,
    /// Whether a message may be answered 503 when the store has failed.
    pub refusal: BTreeMap<String, u32>,
    /// How much a save writes.
    pub save_mode: BTreeMap<String, u32>,
    /// The codes of the engine's errors, each by its part after `ERR_SESSION_`.
    pub error_code: BTreeMap<String, String>,
    /// The prefix of every key's name.
    pub key_prefix: String,
    /// The `Retry-After` of a 503, seconds.
    pub retry_after: u32,
    /// The longest timeout that an option may set, ms.
    pub max_timeout: f64,
    /// The longest TTL that an option may set, seconds.
    pub max_ttl: f64,
}

/// The constants that both languages know.
#[napi(catch_unwind)]
#[must_use]
#[allow(clippy::cast_precision_loss)] // a day in ms is far below 2^53
pub fn constants() -> Constants {
    Constants {
        facts: bits::<Facts>(),
        plan: bits::<Plan>(),
        finish: numbers(Finish::ALL, |finish| finish as u32),
        event: numbers(Event::ALL, |event| event as u32),
        refusal: numbers(Refusal::ALL, |refusal| refusal as u32),
        save_mode: numbers(&SAVE_MODES, |mode| mode as u32),
        error_code: KINDS
            .iter()
            .map(|kind| {
                (
                    kind.code().replacen(CODE_PREFIX, "", 1),
                    kind.code().to_owned(),
                )
            })
            .collect(),
        key_prefix: KEY_PREFIX.to_owned(),
        retry_after: rules::RETRY_AFTER_SECONDS,
        max_timeout: MAX_TIMEOUT as f64,
        max_ttl: MAX_TTL_SECONDS,
    }
}

/// The save mode that JavaScript knows by `number`.
#[must_use]
pub fn save_mode(number: u32) -> Option<SaveMode> {
    SAVE_MODES.into_iter().find(|mode| *mode as u32 == number)
}

fn bits<F: Flags<Bits = u32>>() -> BTreeMap<String, u32> {
    F::FLAGS
        .iter()
        .map(|flag| (flag.name().to_owned(), flag.value().bits()))
        .collect()
}

fn numbers<T: Copy + Debug>(all: &[T], number: impl Fn(T) -> u32) -> BTreeMap<String, u32> {
    all.iter()
        .map(|&each| (upper_case(&format!("{each:?}")), number(each)))
        .collect()
}

/// `SaveDialog` as `SAVE_DIALOG`.
fn upper_case(name: &str) -> String {
    let mut upper = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !upper.is_empty() {
            upper.push('_');
        }
        upper.extend(letter.to_uppercase());
    }
    upper
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_exported() {
        let defined = include_str!("../error.rs")
            .matches("\"ERR_SESSION_")
            .count();
        assert_eq!(constants().error_code.len(), defined);
    }

    #[test]
    fn names_have_underscores() {
        let finish = constants().finish;
        assert_eq!(finish["SAVE_FOR_RETRY"], Finish::SaveForRetry as u32);
        assert_eq!(constants().facts["TO_TAG"], Facts::TO_TAG.bits());
        assert_eq!(
            constants().error_code["STORE_AUTH"],
            "ERR_SESSION_STORE_AUTH"
        );
    }

    #[test]
    fn a_save_mode_is_found_by_its_number() {
        for mode in SAVE_MODES {
            assert_eq!(save_mode(mode as u32), Some(mode));
        }
        assert_eq!(save_mode(9), None);
    }
}
