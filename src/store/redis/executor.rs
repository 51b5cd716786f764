//! Operations under way, on the thread of JavaScript: each goes on when what it has asked is answered. Nobody else wakes them,
//! so there are no wakers: an answer knows the number of its task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{LocalBoxFuture, maybe_done};
use redis::Value;
use slab::Slab;

use super::connector::Failure;

/// What a command comes to.
pub type Asked = Result<Value, Failure>;

/// Whose turn it is, and who has been answered since.
#[derive(Default)]
pub struct Turn {
    current: Cell<usize>,
    answered: RefCell<Vec<usize>>,
}

impl Turn {
    /// Something that the task whose turn it is asks: where the reply goes, and where it comes.
    pub fn ask(self: &Rc<Self>) -> (Answer, impl Future<Output = Asked> + use<>) {
        let reply = Rc::new(Cell::new(None));
        let answer = Answer {
            reply: Rc::clone(&reply),
            task: self.current.get(),
            turn: Rc::clone(self),
        };
        let coming = poll_fn(move |_| reply.take().map_or(Poll::Pending, Poll::Ready));
        (answer, coming)
    }
}

/// Where the reply to a command goes.
pub struct Answer {
    reply: Rc<Cell<Option<Asked>>>,
    task: usize,
    turn: Rc<Turn>,
}

impl Answer {
    /// Whoever has asked may be gone.
    pub fn give(self, reply: Asked) {
        self.reply.set(Some(reply));
        self.turn.answered.borrow_mut().push(self.task);
    }
}

/// See the module.
pub struct Executor<T> {
    running: Slab<LocalBoxFuture<'static, T>>,
    turn: Rc<Turn>,
    /// Room for those whose turn it is.
    batch: Vec<usize>,
}

impl<T> Executor<T> {
    /// No executor; `turn` is what they ask by.
    pub fn new(turn: Rc<Turn>) -> Self {
        Self {
            running: Slab::new(),
            turn,
            batch: Vec::new(),
        }
    }

    /// Adds a task.
    pub fn start(&mut self, task: LocalBoxFuture<'static, T>) {
        let number = self.running.insert(task);
        self.turn.answered.borrow_mut().push(number);
    }

    /// Takes those that were answered further, and puts what they come to into `done`.
    pub fn run(&mut self, done: &mut Vec<T>) {
        let mut answered = std::mem::take(&mut self.batch);
        loop {
            answered.clear();
            std::mem::swap(&mut answered, &mut *self.turn.answered.borrow_mut());
            if answered.is_empty() {
                break;
            }
            // One that is over may still be answered; another one with its number then has its turn for nothing.
            done.extend(answered.iter().filter_map(|number| self.turn(*number)));
        }
        self.batch = answered;
    }

    fn turn(&mut self, number: usize) -> Option<T> {
        let task = self.running.get_mut(number)?;
        self.turn.current.set(number);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(result) = task.as_mut().poll(&mut context) else {
            return None;
        };
        drop(self.running.remove(number));
        Some(result)
    }
}

/// What several things come to, which one task does at once.
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
