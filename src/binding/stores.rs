//! The three stores, and an engine over each.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use serde_json::Map;

use super::event_loop::EventLoop;
use super::node_api::{Handle, JsError, Result};
use super::values::thrown;
use crate::engine::{Engine, Environment, Settings};
use crate::error::Kind;
use crate::session::Record;
use crate::store::javascript::JavaScriptStore;
use crate::store::memory::MemoryStore;
use crate::store::options::Options;
use crate::store::redis::{Config, DEFAULT_TTL, RedisStore};
use crate::store::{Answers, Backend, Reply, StoreOp};

/// An engine, for JavaScript.
pub type EngineHandle = Handle<RefCell<Engine<Store>>>;

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

fn engine(store: Store, settings: Settings) -> EngineHandle {
    let engine = RefCell::new(Engine::new(store, settings, Environment::system()));
    Handle::new(Rc::new(engine), size_of::<Engine<Store>>())
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
    Ok(engine(store, settings))
}

/// An engine over Redis; `options` is the JSON text of `RedisStoreOptions`. The engine calls
/// `wake`, from any thread, when there is something to drain; that does not keep the process alive.
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
        // It fails only while the environment is torn down, which needs no wake-up.
        let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    };
    let watcher = Box::new(move |socket| event_loop.watch(socket));
    let store = RedisStore::new(config, wake, watcher);
    let store = Store::Redis(Box::new(store.map_err(thrown)?));
    Ok(engine(store, settings))
}

/// An engine over a store written in JavaScript, driven by `engine_calls` and `engine_answer`.
#[napi(catch_unwind)]
#[must_use]
pub fn javascript_engine() -> EngineHandle {
    let store = Store::JavaScript(JavaScriptStore::new());
    engine(store, Settings::default())
}
