//! Futures on one thread, without wakers: an answer knows the number of the task that waits for it. Tasks go on in the
//! order in which they were answered, so that one seed decides everything.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The task that runs, and those that were answered since they ran.
#[derive(Default)]
struct Turn {
    current: Cell<usize>,
    ready: RefCell<VecDeque<usize>>,
}

/// See the module.
#[derive(Clone, Default)]
pub struct Tasks {
    turn: Rc<Turn>,
    running: Rc<RefCell<Vec<Option<Task>>>>,
    free: Rc<RefCell<Vec<usize>>>,
}

/// Where an answer is put.
pub struct Answer<T> {
    slot: Rc<RefCell<Option<T>>>,
    task: usize,
    turn: Rc<Turn>,
}

impl<T> Answer<T> {
    pub fn give(self, value: T) {
        *self.slot.borrow_mut() = Some(value);
        self.turn.ready.borrow_mut().push_back(self.task);
    }
}

/// Where it comes.
pub struct Coming<T>(Rc<RefCell<Option<T>>>);

impl<T> Future for Coming<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<T> {
        let given = self.0.borrow_mut().take();
        given.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Tasks {
    /// Something that the task that runs waits for.
    pub fn ask<T>(&self) -> (Answer<T>, Coming<T>) {
        let slot = Rc::new(RefCell::new(None));
        let answer = Answer {
            slot: Rc::clone(&slot),
            task: self.turn.current.get(),
            turn: Rc::clone(&self.turn),
        };
        (answer, Coming(slot))
    }

    /// Runs a task until it waits for something.
    pub fn start(&self, task: impl Future<Output = ()> + 'static) {
        let number = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut running = self.running.borrow_mut();
            running.push(None);
            running.len() - 1
        });
        self.running.borrow_mut()[number] = Some(Box::pin(task));
        self.step(number);
    }

    /// Runs those that were answered.
    pub fn run(&self) {
        loop {
            let next = self.turn.ready.borrow_mut().pop_front();
            let Some(number) = next else { return };
            self.step(number);
        }
    }

    fn step(&self, number: usize) {
        let task = self.running.borrow_mut()[number].take();
        // One that is over may be answered once more.
        let Some(mut task) = task else { return };
        let before = self.turn.current.replace(number);
        let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.turn.current.set(before);
        if polled.is_pending() {
            self.running.borrow_mut()[number] = Some(task);
        } else {
            self.free.borrow_mut().push(number);
        }
    }

    /// Ends everything.
    pub fn clear(&self) {
        self.turn.ready.borrow_mut().clear();
        let tasks = std::mem::take(&mut *self.running.borrow_mut());
        self.free.borrow_mut().clear();
        drop(tasks);
    }
}

/// A future, and what it has come to.
type Part<F> = (Pin<Box<F>>, Option<<F as Future>::Output>);

/// All of several futures, which one task waits for at once.
pub async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut parts: Vec<Part<F>> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut parts {
            if output.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if parts.iter().all(|(_, output)| output.is_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    parts.into_iter().filter_map(|(_, output)| output).collect()
}
