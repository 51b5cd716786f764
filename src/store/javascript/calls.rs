//! The calls that operations make to a JavaScript store. Rust never calls JavaScript: JavaScript takes the calls,
//! makes them, and brings each result back by the number of its call.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::error::Result;
use crate::store::executor::{Responder, RunQueue};

/// What a call gives: for `get` the JSON text of the value, or `None` without one.
pub type CallResult = Result<Option<String>>;

/// A call that JavaScript must make.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number, to be given back with its result.
    pub id: u32,
    /// `get`, `set` or `destroy`.
    pub method: &'static str,
    /// The first argument: the `sid` of the entry.
    pub name: String,
    /// For `set`: the JSON text of the value.
    pub text: Option<String>,
    /// For `set`: the TTL, ms.
    pub ttl: Option<u64>,
}

/// The calls of all operations.
#[derive(Default)]
pub struct Calls {
    run_queue: Rc<RunQueue>,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    last_id: u32,
    queued: Vec<Call>,
    unanswered: HashMap<u32, Responder<CallResult>>,
}

impl Calls {
    /// No calls, of tasks of the executor that has `run_queue`.
    pub fn new(run_queue: Rc<RunQueue>) -> Self {
        Self {
            run_queue,
            inner: RefCell::default(),
        }
    }

    /// Calls `get`.
    pub fn get(&self, name: &str) -> impl Future<Output = CallResult> + use<> {
        self.call("get", name, None, None)
    }

    /// Calls `set`, with a TTL in ms or none.
    pub async fn set(&self, name: &str, text: String, ttl: Option<u64>) -> Result<()> {
        self.call("set", name, Some(text), ttl).await.map(|_| ())
    }

    /// Calls `destroy`.
    pub async fn destroy(&self, name: &str) -> Result<()> {
        self.call("destroy", name, None, None).await.map(|_| ())
    }

    fn call(
        &self,
        method: &'static str,
        name: &str,
        text: Option<String>,
        ttl: Option<u64>,
    ) -> impl Future<Output = CallResult> + use<> {
        let mut inner = self.inner.borrow_mut();
        inner.last_id = inner.last_id.wrapping_add(1);
        let id = inner.last_id;
        let (responder, response) = self.run_queue.response();
        inner.unanswered.insert(id, responder);
        inner.queued.push(Call {
            id,
            method,
            name: name.to_owned(),
            text,
            ttl,
        });
        response
    }

    /// Takes the calls that JavaScript must make now.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.inner.borrow_mut().queued)
    }

    /// Takes the result of a call. Gives whether an operation waits for it; a result that comes twice is ignored.
    pub fn answer(&self, id: u32, result: CallResult) -> bool {
        let responder = self.inner.borrow_mut().unanswered.remove(&id);
        responder
            .map(|responder| responder.respond(result))
            .is_some()
    }

    /// Forgets the calls of operations that were cancelled; their results are ignored.
    pub fn forget_abandoned(&self) {
        let unanswered = &mut self.inner.borrow_mut().unanswered;
        unanswered.retain(|_, responder| !responder.is_abandoned());
    }
}
