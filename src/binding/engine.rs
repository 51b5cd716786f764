//! Functions on the engine of one store; JavaScript holds it.
//!
//! An operation has a number (`op`, not 0) of the caller's choice. It returns its value when it is done at once, throws
//! when it failed at once, and returns `undefined` when its completion will come with [`engine_drain`].

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::Env;
use napi::bindgen_prelude::{Function, Null};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use serde_json::Map;

use super::constants;
use super::conversions::{Arguments, Handle, Name, Quoted, Text};
use super::event_loop::EventLoop;
use super::{Cell, JsError, RecordHandle, Result, cell, name_of, number, patch_of, thrown};
use crate::engine::{Completion, Engine, Environment, Settings, Value};
use crate::error::{Error, Kind};
use crate::session::Record;
use crate::store::javascript::JavaScriptStore;
use crate::store::memory::MemoryStore;
use crate::store::options::Options;
use crate::store::redis::{Config, DEFAULT_TTL, RedisStore};
use crate::store::{Answers, Backend, Event, Reply, StoreOp};

/// An engine that JavaScript holds.
pub type EngineHandle = Handle<RefCell<Engine<Store>>>;

/// How many arguments a function of JavaScript is called with at most.
const AT_ONCE: usize = 1024;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, as it should
fn millis(ttl: Option<f64>) -> Option<u64> {
    ttl.map(|ttl| ttl as u64)
}

fn returned(answer: Option<crate::error::Result<Value>>) -> Result<Cell> {
    match answer {
        None => Ok(Cell::A(())),
        Some(Ok(value)) => Ok(cell(value)),
        Some(Err(error)) => Err(thrown(error)),
    }
}

/// One of the stores.
pub enum Store {
    /// In this process.
    Memory(Box<MemoryStore>),
    /// On a Redis.
    Redis(Box<RedisStore>),
    /// Written in JavaScript.
    JavaScript(JavaScriptStore),
}

impl Backend for Store {
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<crate::error::Result<Reply>> {
        match self {
            Self::Memory(store) => store.submit(ticket, op),
            Self::Redis(store) => store.submit(ticket, op),
            Self::JavaScript(store) => store.submit(ticket, op),
        }
    }

    fn flush(&mut self) {
        if let Self::Redis(store) = self {
            store.flush();
        }
    }

    fn is_current(&mut self, record: &Record) -> bool {
        match self {
            Self::Memory(store) => store.is_current(record),
            Self::Redis(_) | Self::JavaScript(_) => false,
        }
    }

    fn stats(&self) -> Map<String, serde_json::Value> {
        match self {
            Self::Memory(store) => store.stats(),
            Self::Redis(store) => store.stats(),
            Self::JavaScript(store) => store.stats(),
        }
    }

    fn take(&mut self) -> Answers {
        match self {
            Self::Memory(store) => store.take(),
            Self::Redis(store) => store.take(),
            Self::JavaScript(store) => store.take(),
        }
    }
}

fn shared(store: Store, settings: Settings) -> EngineHandle {
    let engine = Engine::new(store, settings, Environment::system());
    Handle::new(Rc::new(RefCell::new(engine)), size_of::<Engine<Store>>())
}

/// An engine over the memory store; `options` is the JSON text of `{max, ttl}`.
#[napi(catch_unwind)]
pub fn memory_engine(options: String) -> Result<EngineHandle> {
    let read = || {
        let mut options = Options::new("MemoryStore", &options)?;
        let max = options.whole("max", 1, u64::from(u32::MAX))?;
        let ttl = options.seconds("ttl")?.unwrap_or(DEFAULT_TTL);
        options.finish()?;
        let max = max
            .and_then(|max| usize::try_from(max).ok())
            .and_then(NonZeroUsize::new);
        let settings = Settings {
            default_ttl: Some(ttl),
            ..Settings::default()
        };
        Ok((Store::Memory(Box::new(MemoryStore::new(max))), settings))
    };
    let (store, settings) = read().map_err(thrown)?;
    Ok(shared(store, settings))
}

/// An engine over Redis; `options` is the JSON text of `RedisStoreOptions`. `wake` is called when there is
/// something to drain; it does not keep the process alive.
#[napi(catch_unwind)]
pub fn redis_engine(env: Env, options: String, wake: Function<(), ()>) -> Result<EngineHandle> {
    let config = Config::new(&options).map_err(thrown)?;
    let event_loop = EventLoop::new(&env, &wake).map_err(thrown)?;
    let wake = wake
        .build_threadsafe_function::<()>()
        .weak::<true>()
        .callee_handled::<false>()
        .build()
        .map_err(|why| JsError::new(Kind::Argument.code().to_owned(), why.reason.clone()))?;
    let settings = Settings {
        default_ttl: config.ttl,
        timeout: config.command_timeout,
        limits: config.limits,
        cache: config.cache,
    };
    let wake = Arc::new(wake);
    let wake = move || {
        // Fails only while the environment is going down: then nobody is there to be told.
        let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    };
    let watcher = Box::new(move |socket| event_loop.watch(socket));
    let store = RedisStore::new(config, wake, watcher);
    let store = Store::Redis(Box::new(store.map_err(thrown)?));
    Ok(shared(store, settings))
}

/// An engine over a store written in JavaScript, driven by [`engine_calls`] and [`engine_answer`].
#[napi(catch_unwind)]
#[must_use]
pub fn javascript_engine() -> EngineHandle {
    let store = Store::JavaScript(JavaScriptStore::new());
    shared(store, Settings::default())
}

/// What an operation may take, ms.
#[napi(catch_unwind)]
pub fn engine_set_timeout(engine: EngineHandle, timeout: u32) {
    engine
        .borrow_mut()
        .set_timeout(Duration::from_millis(u64::from(timeout)));
}

/// What an operation may take, ms.
#[napi(catch_unwind)]
#[must_use]
pub fn engine_timeout(engine: EngineHandle) -> f64 {
    number(u64::try_from(engine.borrow().timeout().as_millis()).unwrap_or(u64::MAX))
}

/// Finds the session that has the key `id`; `live` is the one that is here under that key. Gives a session, `null`
/// if there is none, `true` if `live` is up to date, `false` if it has to be merged. With
/// `lenient`, `live` is not taken for removed where the key leads nowhere.
#[napi(catch_unwind)]
pub fn engine_load(
    engine: EngineHandle,
    op: u32,
    id: Name,
    live: Option<RecordHandle>,
    lenient: Option<bool>,
) -> Result<Cell> {
    let name = name_of(id)?;
    let lenient = lenient.unwrap_or(false);
    returned(
        engine
            .borrow_mut()
            .load(op, &name, live.as_deref(), lenient),
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
) -> Result<Cell> {
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
) -> Result<Cell> {
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
) -> Result<Cell> {
    let (name, patch) = (name_of(id)?, patch_of(set, removed)?);
    returned(
        engine
            .borrow_mut()
            .remove_key(op, &record, &name, &patch, millis(ttl)),
    )
}

/// Removes a session with all of its keys.
#[napi(catch_unwind)]
pub fn engine_destroy(engine: EngineHandle, op: u32, record: RecordHandle) -> Result<Cell> {
    returned(engine.borrow_mut().destroy(op, &record))
}

/// The JSON text stored under `name`, or `null`.
#[napi(catch_unwind)]
pub fn engine_get(engine: EngineHandle, op: u32, name: Text) -> Result<Cell> {
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
) -> Result<Cell> {
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
) -> Result<Cell> {
    set(&engine, op, name, value.0, ttl)
}

fn set(engine: &EngineHandle, op: u32, name: Text, text: String, ttl: Option<f64>) -> Result<Cell> {
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
pub fn engine_delete(engine: EngineHandle, op: u32, name: Text) -> Result<Cell> {
    returned(
        engine
            .borrow_mut()
            .plain(op, StoreOp::Delete { name: name.0 }),
    )
}

/// Starts a time to live anew; `ttl` in ms.
#[napi(catch_unwind)]
pub fn engine_touch(engine: EngineHandle, op: u32, name: Text, ttl: Option<f64>) -> Result<Cell> {
    returned(engine.borrow_mut().plain(
        op,
        StoreOp::Touch {
            name: name.0,
            ttl: millis(ttl),
        },
    ))
}

/// The texts of everything that is stored.
#[napi(catch_unwind)]
pub fn engine_all(engine: EngineHandle, op: u32) -> Result<Cell> {
    returned(engine.borrow_mut().plain(op, StoreOp::All))
}

/// The names of everything that is stored.
#[napi(catch_unwind)]
pub fn engine_ids(engine: EngineHandle, op: u32) -> Result<Cell> {
    returned(engine.borrow_mut().plain(op, StoreOp::Ids))
}

/// How much is stored.
#[napi(catch_unwind)]
pub fn engine_length(engine: EngineHandle, op: u32) -> Result<Cell> {
    returned(engine.borrow_mut().plain(op, StoreOp::Length))
}

/// Removes everything.
#[napi(catch_unwind)]
pub fn engine_clear(engine: EngineHandle, op: u32) -> Result<Cell> {
    returned(engine.borrow_mut().plain(op, StoreOp::Clear))
}

/// Finishes what was asked for within `timeout` ms, then lets go of the store.
#[napi(catch_unwind)]
pub fn engine_close(engine: EngineHandle, op: u32, timeout: u32) -> Result<Cell> {
    let deadline = Instant::now() + Duration::from_millis(u64::from(timeout));
    returned(engine.borrow_mut().close(op, deadline))
}

/// Hands over what was asked for since the last time: an operation that gave `undefined` may wait for this.
#[napi(catch_unwind)]
pub fn engine_flush(engine: EngineHandle) {
    engine.borrow_mut().backend.flush();
}

/// Whether [`engine_expire`] has something to do though nobody waits for an operation.
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
    ts_args_type = "engine: EngineHandle, settle: (...flat: Array<Cell>) => void"
)]
pub fn engine_drain(
    engine: EngineHandle,
    settle: Function<Arguments<Cell>, ()>,
) -> napi::Result<()> {
    let drained = catch_unwind(AssertUnwindSafe(|| engine.borrow_mut().drain()));
    let (done, events) = drained.unwrap_or_else(|panic| {
        engine.borrow_mut().clear_cache();
        resume_unwind(panic)
    });
    let mut flat = Vec::with_capacity((2 * (done.len() + events.len())).min(AT_ONCE));
    for (op, value) in events
        .into_iter()
        .filter_map(told)
        .chain(done.into_iter().map(settled))
    {
        flat.extend([Cell::D(op), value]);
        if flat.len() >= AT_ONCE {
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
fn settled((op, result): Completion) -> (f64, Cell) {
    match result {
        Ok(value) => (f64::from(op), cell(value)),
        Err(error) => (
            -f64::from(op),
            Cell::F(vec![error.kind.code().to_owned(), error.message]),
        ),
    }
}

/// An event as two arguments, if JavaScript is told of it.
fn told(event: Event) -> Option<(f64, Cell)> {
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
    Some((0.0, Cell::F(texts)))
}

/// Fails what has waited for too long; drain afterwards.
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
pub fn engine_calls(engine: EngineHandle) -> Vec<Cell> {
    let Store::JavaScript(store) = &mut engine.borrow_mut().backend else {
        return Vec::new();
    };
    let mut flat = Vec::new();
    for call in store.calls() {
        flat.extend([
            Cell::D(f64::from(call.id)),
            Cell::E(Text(call.method.to_owned())),
            Cell::E(Text(call.name)),
        ]);
        flat.push(call.text.map_or(Cell::B(Null), |text| Cell::E(Text(text))));
        flat.push(call.ttl.map_or(Cell::B(Null), |ttl| Cell::D(number(ttl))));
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
