//! The only module that knows Node-API: converts arguments and results, and delegates.
//!
//! JavaScript has handles of engines and records, and passes them to functions, because a method of a native class costs
//! more. An error has its code in `code`.

// napi-rs passes strings and handles by value. The module `engine` documents the errors of operations.
#![allow(clippy::needless_pass_by_value, clippy::missing_errors_doc)]

pub mod constants;
mod conversions;
pub mod direct;
pub mod engine;
mod event_loop;
pub mod record;

use std::cell::RefCell;

use conversions::{Handle, Name, Text};
use napi::bindgen_prelude::{Either7, Null, Undefined};
use napi_derive::napi;

use crate::engine::{Shared, Value};
use crate::error::{Error, Kind};
use crate::rules::{self, Facts, Plan};
use crate::session::{KEY_PREFIX, Patch, Record};

type RecordHandle = Handle<RefCell<Record>>;
type JsError = napi::Error<String>;
type Result<T> = napi::Result<T, String>;

/// `undefined` (not completed yet), `null`, a flag, a number, a text, texts, or the handle of a record.
type Cell = Either7<Undefined, Null, bool, f64, Text, Vec<String>, RecordHandle>;

fn thrown(error: Error) -> JsError {
    JsError::new(error.kind.code().to_owned(), error.message)
}

/// The patch of the JSON texts `set` (an object) and `removed` (an array of strings). An absent one is empty.
///
/// # Errors
/// `Argument` when `removed` is not an array of strings.
fn patch_of(set: Option<Text>, removed: Option<Text>) -> Result<Patch> {
    let removed = removed.as_ref().map(|names| names.0.as_str());
    Patch::parse(set.map(|text| text.0), removed).map_err(|why| {
        let message = format!("the names of removed properties must be an array of strings: {why}");
        thrown(Error::new(Kind::Argument, message))
    })
}

fn name_of(id: Name) -> Result<String> {
    if id.0 == KEY_PREFIX {
        return Err(thrown(Error::new(
            Kind::Argument,
            "the id of a key must be a string that is not empty",
        )));
    }
    Ok(id.0)
}

#[allow(clippy::cast_precision_loss)] // counts and times stay below 2^53
fn number(count: u64) -> f64 {
    count as f64
}

/// The handle of a record for JavaScript.
fn handle_of(record: Shared) -> RecordHandle {
    let size = record.borrow().projected.len() + size_of::<Record>();
    Handle::new(record, size)
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Nothing => Cell::B(Null),
        Value::Current(current) => Cell::C(current),
        Value::Count(count) => Cell::D(number(count)),
        Value::Text(text) => Cell::E(Text(text)),
        Value::Texts(texts) => Cell::F(texts),
        Value::Session(record) => Cell::G(handle_of(record)),
    }
}

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
