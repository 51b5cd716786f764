//! What an engine does without an operation that asks for it: completions, events, deadlines, statistics, and the calls to a
//! store written in JavaScript.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use napi::bindgen_prelude::{Function, Null};
use napi_derive::napi;

use super::node_api::{Arguments, Text};
use super::stores::{EngineHandle, Store};
use super::values::{Output, number, output};
use crate::engine::Completion;
use crate::error::{Error, Kind};
use crate::store::{Backend, Event};

/// How many arguments a JavaScript function is called with at most.
const MOST_ARGUMENTS: usize = 1024;

/// Sends the operations since the last call to the store: one that gave `undefined` may wait for this.
#[napi(catch_unwind)]
pub fn engine_flush(engine: EngineHandle) {
    engine.borrow_mut().backend.flush();
}

/// Whether [`engine_expire`] has background work: something to do although no caller waits.
#[napi(catch_unwind)]
#[must_use]
pub fn engine_has_background_work(engine: EngineHandle) -> bool {
    engine.borrow().has_background_work()
}

/// What the engine has done: the JSON text of `StoreStats`.
#[napi(catch_unwind)]
#[must_use]
pub fn engine_stats(engine: EngineHandle) -> String {
    engine.borrow().stats().to_string()
}

/// Calls `settle` with what was completed, in pairs one after the other: `op` and its value; or, where it failed, `-op` and
/// the code and the message; or 0, the name of an event and its texts.
#[napi(
    catch_unwind,
    ts_args_type = "engine: EngineHandle, settle: (...flat: Array<Output>) => void"
)]
pub fn engine_drain(
    engine: EngineHandle,
    settle: Function<Arguments<Output>, ()>,
) -> napi::Result<()> {
    let drained = catch_unwind(AssertUnwindSafe(|| engine.borrow_mut().drain()));
    let (done, events) = drained.unwrap_or_else(|panic| {
        engine.borrow_mut().clear_cache();
        resume_unwind(panic)
    });
    let mut flat = Vec::with_capacity((2 * (done.len() + events.len())).min(MOST_ARGUMENTS));
    for (op, value) in events
        .into_iter()
        .filter_map(emitted)
        .chain(done.into_iter().map(settled))
    {
        flat.extend([Output::D(op), value]);
        if flat.len() >= MOST_ARGUMENTS {
            settle.call(Arguments(std::mem::take(&mut flat)))?;
        }
    }
    if flat.is_empty() {
        Ok(())
    } else {
        settle.call(Arguments(flat))
    }
}

/// A completion as two arguments.
fn settled((op, result): Completion) -> (f64, Output) {
    match result {
        Ok(value) => (f64::from(op), output(value)),
        Err(error) => (
            -f64::from(op),
            Output::F(vec![error.kind.code().to_owned(), error.message]),
        ),
    }
}

/// An event as two arguments, if it is one for JavaScript.
fn emitted(event: Event) -> Option<(f64, Output)> {
    let failed = |name: &str, error: Error| {
        vec![name.to_owned(), error.kind.code().to_owned(), error.message]
    };
    let texts = match event {
        Event::Tracking(_) | Event::Changed(_) => return None,
        Event::Connect => vec!["connect".to_owned()],
        Event::Disconnect(error) => failed("disconnect", error),
        Event::Error(error) => failed("error", error),
        Event::Breaker(open) => vec!["breaker".to_owned(), open.to_string()],
        Event::Evict(name, text) => vec!["evict".to_owned(), name, text],
    };
    Some((0.0, Output::F(texts)))
}

/// Completes the operations whose deadline has passed; drain afterwards.
#[napi(catch_unwind)]
pub fn engine_expire(engine: EngineHandle) {
    let late = engine.borrow_mut().expire(Instant::now());
    if let Store::JavaScript(store) = &mut engine.borrow_mut().backend {
        store.give_up(&late);
    }
}

/// What a store written in JavaScript has to be asked, flat: id, method, name, JSON text or `null`, ttl in ms or
/// `null`.
#[napi(catch_unwind)]
#[must_use]
pub fn engine_calls(engine: EngineHandle) -> Vec<Output> {
    let Store::JavaScript(store) = &mut engine.borrow_mut().backend else {
        return Vec::new();
    };
    let mut flat = Vec::new();
    for call in store.calls() {
        flat.extend([
            Output::D(f64::from(call.id)),
            Output::E(Text(call.method.to_owned())),
            Output::E(Text(call.name)),
        ]);
        flat.push(
            call.text
                .map_or(Output::B(Null), |text| Output::E(Text(text))),
        );
        flat.push(
            call.ttl
                .map_or(Output::B(Null), |ttl| Output::D(number(ttl))),
        );
    }
    flat
}

/// What a store written in JavaScript answered: an error's message, or the JSON text of a value, or nothing.
#[napi(catch_unwind)]
pub fn engine_answer(engine: EngineHandle, id: u32, error: Option<String>, text: Option<String>) {
    if let Store::JavaScript(store) = &mut engine.borrow_mut().backend {
        store.answer(
            id,
            error.map_or(Ok(text), |message| {
                Err(Error::new(Kind::Store, message).maybe_done())
            }),
        );
    }
}
