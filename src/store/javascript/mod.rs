//! Stores written in JavaScript, of the shape that connect and express have: `get`, `set` and `destroy`.
//!
//! `operations` does each operation as a task of the executor. A task that needs the store leaves a call in `calls`,
//! and goes on when [`JavaScriptStore::answer`] brings the result. Rust never calls JavaScript from here, so a store
//! may call back in the same turn, late, twice or never.
//!
//! The engine's session queues keep the operations of one process apart. With several processes such a store is as
//! safe as the application's store is: it has no operation that reads and writes in one step.

mod calls;
mod operations;

use std::collections::HashMap;
use std::rc::Rc;

pub use calls::Call;
use calls::{CallResult, Calls};
use operations::execute;

use super::backend::{Answers, Backend, Failed, Reply, StoreOp};
use super::executor::{Executor, RunQueue};
use crate::error::{Error, Kind, Result};

type Answered = (u32, std::result::Result<Reply, Failed>);

/// See the module.
pub struct JavaScriptStore {
    executor: Executor<Answered>,
    calls: Rc<Calls>,
    /// The task of each ticket that was not answered, and its operation.
    running: HashMap<u32, (usize, Rc<StoreOp>)>,
    answered: Vec<Answered>,
}

impl JavaScriptStore {
    /// A store without operations.
    #[must_use]
    pub fn new() -> Self {
        let run_queue = Rc::<RunQueue>::default();
        Self {
            executor: Executor::new(Rc::clone(&run_queue)),
            calls: Rc::new(Calls::new(run_queue)),
            running: HashMap::new(),
            answered: Vec::new(),
        }
    }

    /// Takes the calls that JavaScript must make now.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.take()
    }

    /// Takes the result of a call: the JSON text of a value, `None`, or the store's error. A result that comes twice,
    /// or after the operation was given up, is ignored.
    pub fn answer(&mut self, id: u32, result: CallResult) {
        if self.calls.answer(id, result) {
            self.run();
        }
    }

    /// Gives operations up that the store has not called back for in time. They fail with `Timeout`, in doubt.
    pub fn give_up(&mut self, tickets: &[u32]) {
        for ticket in tickets {
            if let Some((task, op)) = self.running.remove(ticket) {
                self.executor.cancel(task);
                let error = Error::new(
                    Kind::Timeout,
                    "the JavaScript store did not call back in time",
                );
                self.answered
                    .push((*ticket, Err(failed(error.maybe_done(), &op))));
            }
        }
        self.calls.forget_abandoned();
    }

    fn run(&mut self) {
        let before = self.answered.len();
        self.executor.run(&mut self.answered);
        for (ticket, _) in &self.answered[before..] {
            self.running.remove(ticket);
        }
    }
}

impl Default for JavaScriptStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for JavaScriptStore {
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<Result<Reply>> {
        if matches!(op, StoreOp::Close) {
            return Some(Ok(Reply::Done));
        }
        let op = Rc::new(op);
        let task = {
            let (calls, op) = (Rc::clone(&self.calls), Rc::clone(&op));
            self.executor.start(Box::pin(async move {
                let reply = execute(&calls, &op).await;
                (ticket, reply.map_err(|error| failed(error, &op)))
            }))
        };
        self.running.insert(ticket, (task, op));
        self.run();
        None
    }

    fn take(&mut self) -> Answers {
        Answers {
            replies: std::mem::take(&mut self.answered),
            events: Vec::new(),
        }
    }
}

/// The operation given back, as it must be repeated.
fn failed(error: Error, op: &StoreOp) -> Failed {
    let mut op = Box::new(op.clone());
    if let StoreOp::Update(update) = &mut *op {
        update.repeated = true;
    }
    Failed { error, op }
}

#[cfg(test)]
mod tests;
