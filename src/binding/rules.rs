//! The rules, as numbers and bits of `Constants`.

use napi_derive::napi;

use super::node_api::Result;
use super::values::thrown;
use crate::error::{Error, Kind};
use crate::rules::{self, Facts, Plan};

/// What to do with a message: bits of `plan` for bits of `facts` (see `Constants`). `status` is 0 for a request.
#[napi(catch_unwind)]
#[must_use]
pub fn plan(method: String, facts: u32, status: u16) -> u32 {
    rules::plan(&method, Facts::from_bits_truncate(facts), status).bits()
}

/// What a final response means for the session of a request that had `plan`: a number of `finish` in `Constants`.
#[napi(catch_unwind)]
#[must_use]
pub fn finish(plan: u32, facts: u32, status: u16) -> u32 {
    rules::finish(
        Plan::from_bits_truncate(plan),
        Facts::from_bits_truncate(facts),
        status,
    ) as u32
}

/// Whether a message with `plan` may be answered 503 when the store has failed: a number of `refusal` in `Constants`.
#[napi(catch_unwind)]
#[must_use]
pub fn may_reject(method: String, plan: u32) -> u32 {
    rules::may_reject(&method, Plan::from_bits_truncate(plan)) as u32
}

/// What `event` means for the session of a dialog: a number of `finish` for a number of `event` in `Constants`. `status` is
/// that of the final response of the event, 0 without one.
#[napi(catch_unwind)]
pub fn on_event(event: u32, facts: u32, status: u16) -> Result<u32> {
    let event = rules::Event::try_from(event).map_err(|number| {
        thrown(Error::new(
            Kind::Argument,
            format!("there is no event {number}"),
        ))
    })?;
    Ok(rules::on_event(event, Facts::from_bits_truncate(facts), status) as u32)
}
