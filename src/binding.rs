//! The only module that knows Node-API: converts arguments and results, and delegates.
//!
//! An operation of [`NativeEngine`] has a number (`op`, not 0) of the caller's choice. It returns its value when it
//! is done at once, throws when it failed at once, and returns `undefined` when its completion will come with
//! [`NativeEngine::drain`]. Errors have their code in `code`.

// Node-API hands strings over by value; what each call may throw is said in the module's first paragraph.
#![allow(clippy::needless_pass_by_value, clippy::missing_errors_doc)]

mod event_loop;
pub mod record;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::Env;
use napi::bindgen_prelude::{Either7, External, Function, Null, Undefined};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use serde_json::Map;

use event_loop::EventLoop;

use crate::engine::{Engine, Extent, Limits, Shared, Value};
use crate::error::{Error, Kind};
use crate::record::{KEY_PREFIX, Record};
use crate::rules::{self, Facts, Plan};
use crate::store::foreign::ForeignStore;
use crate::store::memory::MemoryStore;
use crate::store::options::Options;
use crate::store::redis::{Config, DEFAULT_TTL, RedisStore};
use crate::store::{Answers, Backend, Event, Op, Reply, quoted};

type JsError = napi::Error<String>;
type Result<T> = napi::Result<T, String>;

/// `undefined` (pending), `null`, a flag, a number, a text, texts, or a session.
type Cell = Either7<Undefined, Null, bool, f64, String, Vec<String>, External<Shared>>;

/// What an operation takes, unless it is told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

fn thrown(error: Error) -> JsError {
    JsError::new(error.kind.code().to_owned(), error.message)
}

fn name_of(id: &str) -> Result<String> {
    if id.is_empty() {
        return Err(thrown(Error::new(
            Kind::Argument,
            "the id of a key must be a string that is not empty",
        )));
    }
    Ok(format!("{KEY_PREFIX}{id}"))
}

#[allow(clippy::cast_precision_loss)] // counts and times stay below 2^53
fn number(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, as it should
fn millis(ttl: Option<f64>) -> Option<u64> {
    ttl.map(|ttl| ttl as u64)
}

/// A session for JavaScript to hold. The size lets V8 know what it would get back by collecting it.
fn held(record: Shared) -> External<Shared> {
    let size = record.borrow().text.len() + size_of::<Record>();
    External::new_with_size_hint(record, size)
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Nothing => Cell::B(Null),
        Value::Current(current) => Cell::C(current),
        Value::Count(count) => Cell::D(number(count)),
        Value::Text(text) => Cell::E(text),
        Value::Texts(texts) => Cell::F(texts),
        Value::Session(record) => Cell::G(held(record)),
    }
}

/// An event with an error, as texts.
fn told(name: &str, error: Error) -> Vec<String> {
    vec![name.to_owned(), error.kind.code().to_owned(), error.message]
}

fn returned(answer: Option<crate::error::Result<Value>>) -> Result<Cell> {
    match answer {
        None => Ok(Cell::A(())),
        Some(Ok(value)) => Ok(cell(value)),
        Some(Err(error)) => Err(thrown(error)),
    }
}

/// What a message means for its session: the bits of `rules::Plan` for the bits of `rules::Facts`. `status` is 0 for a
/// request.
#[napi]
#[must_use]
pub fn plan(method: String, facts: u32, status: u16) -> u32 {
    rules::plan(&method, Facts::from_bits_truncate(facts), status).bits()
}

/// What a final response means for the session of a request that had `plan`: a number of `rules::Finish`.
#[napi]
#[must_use]
pub fn finish(plan: u32, facts: u32, status: u16) -> u32 {
    rules::finish(
        Plan::from_bits_truncate(plan),
        Facts::from_bits_truncate(facts),
        status,
    ) as u32
}

/// Whether a message with `plan` may be answered 503 when the store has failed: a number of `rules::Refusal`.
#[napi]
#[must_use]
pub fn may_reject(method: String, plan: u32) -> u32 {
    rules::may_reject(&method, Plan::from_bits_truncate(plan)) as u32
}

/// What `event` (a number of `rules::Event`) means for the session of a dialog: a number of `rules::Finish`. `status` is
/// that of the final response it is about, 0 if there was none.
#[napi]
pub fn on_event(event: u32, facts: u32, status: u16) -> Result<u32> {
    let event = rules::Event::try_from(event)
        .map_err(|number| thrown(Error::new(Kind::Argument, format!("no event {number}"))))?;
    Ok(rules::on_event(event, Facts::from_bits_truncate(facts), status) as u32)
}

/// One of the stores.
enum Store {
    Memory(Box<MemoryStore>),
    Redis(RedisStore),
    Foreign(ForeignStore),
}

impl Backend for Store {
    fn submit(&mut self, ticket: u32, op: Op) -> Option<crate::error::Result<Reply>> {
        match self {
            Self::Memory(store) => store.submit(ticket, op),
            Self::Redis(store) => store.submit(ticket, op),
            Self::Foreign(store) => store.submit(ticket, op),
        }
    }

    fn flush(&mut self) {
        if let Self::Redis(store) = self {
            store.flush();
        }
    }

    fn stats(&self) -> Map<String, serde_json::Value> {
        match self {
            Self::Memory(store) => store.stats(),
            Self::Redis(store) => store.stats(),
            Self::Foreign(store) => store.stats(),
        }
    }

    fn take(&mut self) -> Answers {
        match self {
            Self::Memory(store) => store.take(),
            Self::Redis(store) => store.take(),
            Self::Foreign(store) => store.take(),
        }
    }
}

/// The engine of one store. See the module for how operations answer.
#[napi]
pub struct NativeEngine {
    engine: Engine<Store>,
}

#[napi]
impl NativeEngine {
    /// An engine over the memory store; `options` is the JSON text of `{max, ttl}`.
    #[napi(factory)]
    pub fn memory(options: String) -> Result<Self> {
        let read = || {
            let mut options = Options::new("MemoryStore", &options)?;
            let max = options.whole("max", 1, u64::from(u32::MAX))?;
            let ttl = options.seconds("ttl")?.unwrap_or(DEFAULT_TTL);
            options.finish()?;
            let max = max
                .and_then(|max| usize::try_from(max).ok())
                .and_then(NonZeroUsize::new);
            Ok(Engine::new(
                Store::Memory(Box::new(MemoryStore::new(max))),
                Some(ttl),
                DEFAULT_TIMEOUT,
                Limits::default(),
                None,
            ))
        };
        read().map(|engine| Self { engine }).map_err(thrown)
    }

    /// An engine over Redis; `options` is the JSON text of `RedisStoreOptions`. `wake` is called when there is
    /// something to drain; it does not keep the process alive.
    #[napi(factory)]
    pub fn redis(env: Env, options: String, wake: Function<(), ()>) -> Result<Self> {
        let config = Config::new(&options).map_err(thrown)?;
        let event_loop = EventLoop::new(&env, &wake).map_err(thrown)?;
        let wake = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .callee_handled::<false>()
            .build()
            .map_err(|why| JsError::new(Kind::Argument.code().to_owned(), why.reason.clone()))?;
        let (ttl, timeout) = (config.ttl, config.command_timeout);
        let (limits, near) = (config.limits, config.cache);
        let wake = Arc::new(wake);
        let wake = move || {
            // Fails only while the environment is going down: then nobody is there to be told.
            let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        };
        let watcher = Box::new(move |socket| event_loop.watch(socket));
        let store = RedisStore::new(config, wake, watcher);
        Ok(Self {
            engine: Engine::new(
                Store::Redis(store.map_err(thrown)?),
                ttl,
                timeout,
                limits,
                near,
            ),
        })
    }

    /// An engine over a store written in JavaScript, driven by [`NativeEngine::calls`] and [`NativeEngine::answer`].
    #[napi(factory)]
    #[must_use]
    pub fn foreign() -> Self {
        Self {
            engine: Engine::new(
                Store::Foreign(ForeignStore::new()),
                None,
                DEFAULT_TIMEOUT,
                Limits::default(),
                None,
            ),
        }
    }

    /// What an operation may take, ms.
    #[napi]
    pub fn set_timeout(&mut self, timeout: u32) {
        self.engine
            .set_timeout(Duration::from_millis(u64::from(timeout)));
    }

    /// What an operation may take, ms.
    #[napi(getter)]
    #[must_use]
    pub fn timeout(&self) -> f64 {
        number(u64::try_from(self.engine.timeout().as_millis()).unwrap_or(u64::MAX))
    }

    /// Finds the session that has the key `id`; `live` is the one that is here under that key. Gives a session, `null`
    /// if there is none, `true` if `live` is up to date, `false` if it has to be merged. With
    /// `lenient`, `live` is not taken for removed where the key leads nowhere.
    #[napi]
    pub fn load(
        &mut self,
        op: u32,
        id: String,
        live: Option<&External<Shared>>,
        lenient: Option<bool>,
    ) -> Result<Cell> {
        let name = name_of(&id)?;
        let lenient = lenient.unwrap_or(false);
        returned(
            self.engine
                .load(op, &name, live.map(|live| &**live), lenient),
        )
    }

    /// Saves a session. `text` is absent while nobody has read its data; `extent` is 0 for what has changed, 1 for
    /// even nothing, 2 for the short wait of a challenged request; `ttl` is in ms. With `if_unchanged` it fails where
    /// somebody else has stored something since this process last saw the session.
    #[napi]
    pub fn save(
        &mut self,
        op: u32,
        record: &External<Shared>,
        text: Option<String>,
        extent: u32,
        ttl: Option<f64>,
        if_unchanged: Option<bool>,
    ) -> Result<Cell> {
        let extent = match extent {
            0 => Extent::Changes,
            1 => Extent::Always,
            2 => Extent::ForRetry,
            other => {
                let message = format!("{other} is no extent of a save");
                return Err(thrown(Error::new(Kind::Argument, message)));
            }
        };
        let guarded = if_unchanged.unwrap_or(false);
        returned(
            self.engine
                .save(op, record, text, extent, millis(ttl), guarded),
        )
    }

    /// Stores `text`, which was made from the text last stored or loaded, if the store still has that. Gives `false`:
    /// it has to be merged. One that `insists` has failed often, and is to have the next turn.
    #[napi]
    pub fn swap(
        &mut self,
        op: u32,
        record: &External<Shared>,
        text: String,
        insists: bool,
        ttl: Option<f64>,
    ) -> Result<Cell> {
        returned(self.engine.swap(op, record, text, millis(ttl), insists))
    }

    /// Takes a key away, and with the last one the session. Gives how many are left.
    #[napi]
    pub fn remove_key(
        &mut self,
        op: u32,
        record: &External<Shared>,
        id: String,
        text: Option<String>,
        ttl: Option<f64>,
    ) -> Result<Cell> {
        let name = name_of(&id)?;
        returned(self.engine.remove_key(op, record, &name, text, millis(ttl)))
    }

    /// Removes a session with all of its keys.
    #[napi]
    pub fn destroy(&mut self, op: u32, record: &External<Shared>) -> Result<Cell> {
        returned(self.engine.destroy(op, record))
    }

    /// The JSON text stored under `name`, or `null`.
    #[napi]
    pub fn get(&mut self, op: u32, name: String) -> Result<Cell> {
        returned(self.engine.plain(op, Op::Get { name }))
    }

    /// Stores a value: its JSON text, or with `is_string` a string that is to be written as JSON here; `ttl` in ms.
    #[napi]
    pub fn set(
        &mut self,
        op: u32,
        name: String,
        text: String,
        ttl: Option<f64>,
        is_string: Option<bool>,
    ) -> Result<Cell> {
        let text = if is_string.unwrap_or(false) {
            quoted(&text)
        } else {
            text
        };
        returned(self.engine.plain(
            op,
            Op::Set {
                name,
                text,
                ttl: millis(ttl),
            },
        ))
    }

    /// Removes a value, or a session with its keys.
    #[napi]
    pub fn delete(&mut self, op: u32, name: String) -> Result<Cell> {
        returned(self.engine.plain(op, Op::Delete { name }))
    }

    /// Starts a time to live anew; `ttl` in ms.
    #[napi]
    pub fn touch(&mut self, op: u32, name: String, ttl: Option<f64>) -> Result<Cell> {
        returned(self.engine.plain(
            op,
            Op::Touch {
                name,
                ttl: millis(ttl),
            },
        ))
    }

    /// The texts of everything that is stored.
    #[napi]
    pub fn all(&mut self, op: u32) -> Result<Cell> {
        returned(self.engine.plain(op, Op::All))
    }

    /// The names of everything that is stored.
    #[napi]
    pub fn ids(&mut self, op: u32) -> Result<Cell> {
        returned(self.engine.plain(op, Op::Ids))
    }

    /// How much is stored.
    #[napi]
    pub fn length(&mut self, op: u32) -> Result<Cell> {
        returned(self.engine.plain(op, Op::Length))
    }

    /// Removes everything.
    #[napi]
    pub fn clear(&mut self, op: u32) -> Result<Cell> {
        returned(self.engine.plain(op, Op::Clear))
    }

    /// Finishes what was asked for within `timeout` ms, then lets go of the store.
    #[napi]
    pub fn close(&mut self, op: u32, timeout: u32) -> Result<Cell> {
        let deadline = Instant::now() + Duration::from_millis(u64::from(timeout));
        returned(self.engine.close(op, deadline))
    }

    /// Hands over what was asked for since the last time: an operation that gave `undefined` may wait for this.
    #[napi]
    pub fn flush(&mut self) {
        self.engine.backend.flush();
    }

    /// How many operations are under way.
    #[napi(getter)]
    #[must_use]
    pub fn pending(&self) -> u32 {
        u32::try_from(self.engine.pending()).unwrap_or(u32::MAX)
    }

    /// Whether [`NativeEngine::expire`] has something to do though nobody waits for an operation.
    #[napi(getter)]
    #[must_use]
    pub fn restless(&self) -> bool {
        self.engine.is_restless()
    }

    /// What the engine has done: the JSON text of `StoreStats`.
    #[napi]
    #[must_use]
    pub fn stats(&self) -> String {
        self.engine.stats().to_string()
    }

    /// What was completed, in pairs one after the other: `op` and its value; or, where it failed, `-op` and the code and
    /// the message; or 0, the name of an event and its texts.
    #[napi]
    pub fn drain(&mut self) -> Vec<Cell> {
        let (done, events) = self.engine.drain();
        let mut flat = Vec::with_capacity(2 * (done.len() + events.len()));
        for event in events {
            let texts = match event {
                Event::Tracking(_) | Event::Changed(_) => continue,
                Event::Connect => vec!["connect".to_owned()],
                Event::Disconnect(error) => told("disconnect", error),
                Event::Error(error) => told("error", error),
                Event::Breaker(open) => vec!["breaker".to_owned(), open.to_string()],
                Event::Evict(name, text) => vec!["evict".to_owned(), name, text],
            };
            flat.extend([Cell::D(0.0), Cell::F(texts)]);
        }
        for (op, result) in done {
            match result {
                Ok(value) => flat.extend([Cell::D(f64::from(op)), cell(value)]),
                Err(error) => {
                    let texts = vec![error.kind.code().to_owned(), error.message];
                    flat.extend([Cell::D(-f64::from(op)), Cell::F(texts)]);
                }
            }
        }
        flat
    }

    /// Fails what has waited for too long; drain afterwards.
    #[napi]
    pub fn expire(&mut self) {
        let late = self.engine.expire(Instant::now());
        if let Store::Foreign(store) = &mut self.engine.backend {
            store.give_up(&late);
        }
    }

    /// What a store written in JavaScript has to be asked, flat: id, method, name, JSON text or `null`, ttl in ms or
    /// `null`.
    #[napi]
    pub fn calls(&mut self) -> Vec<Cell> {
        let Store::Foreign(store) = &mut self.engine.backend else {
            return Vec::new();
        };
        let mut flat = Vec::new();
        for call in store.calls() {
            flat.extend([
                Cell::D(f64::from(call.id)),
                Cell::E(call.method.to_owned()),
                Cell::E(call.name),
            ]);
            flat.push(call.text.map_or(Cell::B(Null), Cell::E));
            flat.push(call.ttl.map_or(Cell::B(Null), |ttl| Cell::D(number(ttl))));
        }
        flat
    }

    /// What a store written in JavaScript answered: an error's message, or the JSON text of a value, or nothing.
    #[napi]
    pub fn answer(&mut self, id: u32, error: Option<String>, text: Option<String>) {
        if let Store::Foreign(store) = &mut self.engine.backend {
            store.answer(
                id,
                error.map_or(Ok(text), |message| {
                    Err(Error::new(Kind::Store, message).doubtful())
                }),
            );
        }
    }
}
