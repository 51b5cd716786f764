//! The operations of an engine.
//!
//! An operation has a number (`op`, not 0) of the caller's choice. The function returns the value if the operation is done at
//! once, throws if it failed at once, and returns `undefined` if its completion will come with
//! [`engine_drain`](super::completions::engine_drain).

use std::time::{Duration, Instant};

use napi_derive::napi;

use super::constants;
use super::node_api::{Name, Quoted, Result, Text};
use super::stores::EngineHandle;
use super::values::{Output, RecordHandle, name_of, number, output, patch_of, thrown};
use crate::engine::Value;
use crate::error::{Error, Kind};
use crate::store::StoreOp;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, as it should
fn millis(ttl: Option<f64>) -> Option<u64> {
    ttl.map(|ttl| ttl as u64)
}

fn returned(answer: Option<crate::error::Result<Value>>) -> Result<Output> {
    match answer {
        None => Ok(Output::A(())),
        Some(Ok(value)) => Ok(output(value)),
        Some(Err(error)) => Err(thrown(error)),
    }
}

/// Sets how long callers wait for an operation, ms.
#[napi(catch_unwind)]
pub fn engine_set_timeout(engine: EngineHandle, timeout: u32) {
    engine
        .borrow_mut()
        .set_timeout(Duration::from_millis(u64::from(timeout)));
}

/// How long callers wait for an operation, ms.
#[napi(catch_unwind)]
#[must_use]
pub fn engine_timeout(engine: EngineHandle) -> f64 {
    number(u64::try_from(engine.borrow().timeout().as_millis()).unwrap_or(u64::MAX))
}

/// Finds the session that has the key `id`; `live` is the record that this process has of it. Gives a record, `null` if there
/// is no session, `true` if `live` is up to date, `false` if it has to be merged. With
/// `keeps_key`, `live` keeps the key even if the store does not have it.
#[napi(catch_unwind)]
pub fn engine_load(
    engine: EngineHandle,
    op: u32,
    id: Name,
    live: Option<RecordHandle>,
    keeps_key: Option<bool>,
) -> Result<Output> {
    let name = name_of(id)?;
    let keeps_key = keeps_key.unwrap_or(false);
    returned(
        engine
            .borrow_mut()
            .load(op, &name, live.as_deref(), keeps_key),
    )
}

/// Whether it is certain that the store has just this record, so that a load by one of its keys would bring nothing.
#[napi(catch_unwind)]
#[must_use]
pub fn engine_is_current(engine: EngineHandle, record: RecordHandle) -> bool {
    engine.borrow_mut().is_current(&record.borrow())
}

/// Saves a session. `set` is the JSON text of an object with the properties that have changed since the last patch, absent
/// where none has; `removed` that of an array with the names of those that were deleted. `mode` is a
/// number of `SaveMode`; `ttl` is in ms. With `if_unchanged` it fails where another process has stored something since this
/// one last saw the session.
#[napi(catch_unwind)]
#[allow(clippy::too_many_arguments)] // they cross one by one: an object costs more
pub fn engine_save(
    engine: EngineHandle,
    op: u32,
    record: RecordHandle,
    set: Option<Text>,
    removed: Option<Text>,
    mode: u32,
    ttl: Option<f64>,
    if_unchanged: Option<bool>,
) -> Result<Output> {
    let unknown = || thrown(Error::new(Kind::Argument, format!("no save mode {mode}")));
    let mode = constants::save_mode(mode).ok_or_else(unknown)?;
    let patch = patch_of(set, removed)?;
    let guarded = if_unchanged.unwrap_or(false);
    returned(
        engine
            .borrow_mut()
            .save(op, &record, &patch, mode, millis(ttl), guarded),
    )
}

/// Stores a patch ([`engine_save`]) that was made from the text last stored or loaded, if the store still has that. Gives
/// `false`: the record has to be merged. With `reserve` it has failed often, and asks for a write reservation.
#[napi(catch_unwind)]
pub fn engine_compare_and_set(
    engine: EngineHandle,
    op: u32,
    record: RecordHandle,
    set: Option<Text>,
    removed: Option<Text>,
    reserve: bool,
    ttl: Option<f64>,
) -> Result<Output> {
    let patch = patch_of(set, removed)?;
    returned(
        engine
            .borrow_mut()
            .compare_and_set(op, &record, &patch, millis(ttl), reserve),
    )
}

/// Removes a key, and with the last one the session; `set` and `removed` as for [`engine_save`] are saved if the session
/// stays. Gives how many keys are left.
#[napi(catch_unwind)]
pub fn engine_remove_key(
    engine: EngineHandle,
    op: u32,
    record: RecordHandle,
    id: Name,
    set: Option<Text>,
    removed: Option<Text>,
    ttl: Option<f64>,
) -> Result<Output> {
    let (name, patch) = (name_of(id)?, patch_of(set, removed)?);
    returned(
        engine
            .borrow_mut()
            .remove_key(op, &record, &name, &patch, millis(ttl)),
    )
}

/// Removes a session with all of its keys.
#[napi(catch_unwind)]
pub fn engine_destroy(engine: EngineHandle, op: u32, record: RecordHandle) -> Result<Output> {
    returned(engine.borrow_mut().destroy(op, &record))
}

/// The JSON text stored under `name`, or `null`.
#[napi(catch_unwind)]
pub fn engine_get(engine: EngineHandle, op: u32, name: Text) -> Result<Output> {
    returned(engine.borrow_mut().plain(op, StoreOp::Get { name: name.0 }))
}

/// Stores a value, given by its JSON text; `ttl` in ms.
#[napi(catch_unwind)]
pub fn engine_set(
    engine: EngineHandle,
    op: u32,
    name: Text,
    text: Text,
    ttl: Option<f64>,
) -> Result<Output> {
    set(&engine, op, name, text.0, ttl)
}

/// Stores a string; `ttl` in ms.
#[napi(catch_unwind)]
pub fn engine_set_string(
    engine: EngineHandle,
    op: u32,
    name: Text,
    value: Quoted,
    ttl: Option<f64>,
) -> Result<Output> {
    set(&engine, op, name, value.0, ttl)
}

fn set(
    engine: &EngineHandle,
    op: u32,
    name: Text,
    text: String,
    ttl: Option<f64>,
) -> Result<Output> {
    returned(engine.borrow_mut().plain(
        op,
        StoreOp::Set {
            name: name.0,
            text,
            ttl: millis(ttl),
        },
    ))
}

/// Removes a value, or a session with its keys.
#[napi(catch_unwind)]
pub fn engine_delete(engine: EngineHandle, op: u32, name: Text) -> Result<Output> {
    returned(
        engine
            .borrow_mut()
            .plain(op, StoreOp::Delete { name: name.0 }),
    )
}

/// Starts the TTL of a value or session anew; `ttl` in ms.
#[napi(catch_unwind)]
pub fn engine_touch(engine: EngineHandle, op: u32, name: Text, ttl: Option<f64>) -> Result<Output> {
    returned(engine.borrow_mut().plain(
        op,
        StoreOp::Touch {
            name: name.0,
            ttl: millis(ttl),
        },
    ))
}

/// The JSON texts of all values and sessions.
#[napi(catch_unwind)]
pub fn engine_all(engine: EngineHandle, op: u32) -> Result<Output> {
    returned(engine.borrow_mut().plain(op, StoreOp::All))
}

/// The names of all values, and the primary keys of all sessions.
#[napi(catch_unwind)]
pub fn engine_ids(engine: EngineHandle, op: u32) -> Result<Output> {
    returned(engine.borrow_mut().plain(op, StoreOp::Ids))
}

/// How many values and sessions there are.
#[napi(catch_unwind)]
pub fn engine_length(engine: EngineHandle, op: u32) -> Result<Output> {
    returned(engine.borrow_mut().plain(op, StoreOp::Length))
}

/// Removes all values and sessions.
#[napi(catch_unwind)]
pub fn engine_clear(engine: EngineHandle, op: u32) -> Result<Output> {
    returned(engine.borrow_mut().plain(op, StoreOp::Clear))
}

/// Finishes what was accepted, within `timeout` ms, then closes the store.
#[napi(catch_unwind)]
pub fn engine_close(engine: EngineHandle, op: u32, timeout: u32) -> Result<Output> {
    let deadline = Instant::now() + Duration::from_millis(u64::from(timeout));
    returned(engine.borrow_mut().close(op, deadline))
}
