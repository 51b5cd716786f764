//! The executor for store operations that take more than one step. It runs on JavaScript's thread.
//!
//! An operation is a future that waits for responses only, and a [`Responder`] knows the task that waits for its
//! response. So the executor polls exactly the tasks that can go on, and needs no wakers.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{LocalBoxFuture, maybe_done};
use slab::Slab;

/// The tasks that can go on, and the task that runs now.
#[derive(Default)]
pub struct RunQueue {
    current: Cell<usize>,
    runnable: RefCell<Vec<usize>>,
}

impl RunQueue {
    /// A response that the running task waits for: where it is put, and the future that gives it.
    ///
    /// Only a task of the executor with this run queue may call it, while it runs.
    pub fn response<R>(self: &Rc<Self>) -> (Responder<R>, impl Future<Output = R> + use<R>) {
        let slot = Rc::new(Cell::new(None));
        let responder = Responder {
            slot: Rc::clone(&slot),
            task: self.current.get(),
            run_queue: Rc::clone(self),
        };
        let response = poll_fn(move |_| slot.take().map_or(Poll::Pending, Poll::Ready));
        (responder, response)
    }
}

/// Where a response is put.
pub struct Responder<R> {
    slot: Rc<Cell<Option<R>>>,
    task: usize,
    run_queue: Rc<RunQueue>,
}

impl<R> Responder<R> {
    /// Puts the response there, and makes its task runnable. A task that has ended ignores it.
    pub fn respond(self, response: R) {
        self.slot.set(Some(response));
        self.run_queue.runnable.borrow_mut().push(self.task);
    }

    /// Whether the task does not wait for the response any more: it was cancelled.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        Rc::strong_count(&self.slot) == 1
    }
}

/// The tasks that have not ended. `T` is the result of a task.
pub struct Executor<T> {
    tasks: Slab<LocalBoxFuture<'static, T>>,
    run_queue: Rc<RunQueue>,
    /// The buffer of the tasks that [`Executor::run`] polls next, kept between calls.
    batch: Vec<usize>,
}

impl<T> Executor<T> {
    /// An executor without tasks. Its tasks get their responses from `run_queue`.
    #[must_use]
    pub fn new(run_queue: Rc<RunQueue>) -> Self {
        Self {
            tasks: Slab::new(),
            run_queue,
            batch: Vec::new(),
        }
    }

    /// Adds a task, which starts with the next [`Executor::run`]. The result names it for [`Executor::cancel`].
    pub fn start(&mut self, task: LocalBoxFuture<'static, T>) -> usize {
        let task = self.tasks.insert(task);
        self.run_queue.runnable.borrow_mut().push(task);
        task
    }

    /// Drops a task that has not ended.
    pub fn cancel(&mut self, task: usize) {
        drop(self.tasks.try_remove(task));
    }

    /// Polls tasks until none is runnable, and adds the results of those that end to `results`.
    pub fn run(&mut self, results: &mut Vec<T>) {
        let mut batch = std::mem::take(&mut self.batch);
        loop {
            batch.clear();
            std::mem::swap(&mut batch, &mut *self.run_queue.runnable.borrow_mut());
            if batch.is_empty() {
                break;
            }
            // The number of a task that has ended may name another one by now, which is then polled in vain.
            results.extend(batch.iter().filter_map(|task| self.poll(*task)));
        }
        self.batch = batch;
    }

    fn poll(&mut self, number: usize) -> Option<T> {
        let task = self.tasks.get_mut(number)?;
        self.run_queue.current.set(number);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(result) = task.as_mut().poll(&mut context) else {
            return None;
        };
        drop(self.tasks.remove(number));
        Some(result)
    }
}

/// Runs `parts` at once in one task, and gives their results in the same order. `join_all` of `futures-util` can not
/// be used: it polls a part only after its waker was called.
pub async fn all<F: Future>(parts: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut parts: Vec<_> = parts
        .into_iter()
        .map(|part| Box::pin(maybe_done(part)))
        .collect();
    poll_fn(|context| {
        let mut is_done = true;
        for part in &mut parts {
            is_done &= part.as_mut().poll(context).is_ready();
        }
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    parts
        .iter_mut()
        .filter_map(|part| part.as_mut().take_output())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_goes_on_when_its_response_is_there() {
        let run_queue = Rc::<RunQueue>::default();
        let mut executor = Executor::new(Rc::clone(&run_queue));
        let responders = Rc::new(RefCell::new(Vec::new()));
        let ask = {
            let responders = Rc::clone(&responders);
            move || {
                let (responder, response) = run_queue.response::<u32>();
                responders.borrow_mut().push(responder);
                response
            }
        };
        executor.start(Box::pin(async move {
            let parts = all([ask(), ask()]).await;
            parts.iter().sum::<u32>() + ask().await
        }));
        let mut results = Vec::new();
        for (index, response) in [1, 2, 4].into_iter().enumerate() {
            executor.run(&mut results);
            assert!(results.is_empty(), "before response {index}");
            let responder = responders.borrow_mut().remove(0);
            responder.respond(response);
        }
        executor.run(&mut results);
        assert_eq!(results, [7]);
    }

    #[test]
    fn a_cancelled_task_abandons_its_response() {
        let run_queue = Rc::<RunQueue>::default();
        let mut executor = Executor::new(Rc::clone(&run_queue));
        let responder = Rc::new(Cell::new(None));
        let task = {
            let responder = Rc::clone(&responder);
            executor.start(Box::pin(async move {
                let (asked, response) = run_queue.response::<u32>();
                responder.set(Some(asked));
                response.await
            }))
        };
        let mut results = Vec::new();
        executor.run(&mut results);
        let responder = responder.take().expect("the task has started");
        assert!(!responder.is_abandoned());
        executor.cancel(task);
        executor.cancel(task);
        assert!(responder.is_abandoned());
        // Another task with the same number is polled in vain.
        let next = executor.start(Box::pin(std::future::pending()));
        assert_eq!(next, task);
        responder.respond(1);
        executor.run(&mut results);
        assert!(results.is_empty());
    }
}
