//! The callers that wait for an operation, until when, and what has become of their operations.

use std::collections::VecDeque;
use std::time::Instant;

use foldhash::HashSet;

use super::operation::Value;
use crate::error::Result;

/// An operation that is done: its number, and its result.
pub type Completion = (u32, Result<Value>);

/// See the module.
#[derive(Default)]
pub struct Deadlines {
    waiting: HashSet<u32>,
    /// In the order in which they end; those of callers that wait no more are skipped.
    order: VecDeque<(Instant, u32)>,
    done: Vec<Completion>,
}

impl Deadlines {
    /// A caller waits for its operation `op`, until `at`; without it for as long as the operation takes.
    pub fn wait(&mut self, op: u32, at: Option<Instant>) {
        self.waiting.insert(op);
        let Some(at) = at else { return };
        while let Some((_, first)) = self.order.front()
            && !self.waiting.contains(first)
        {
            self.order.pop_front();
        }
        self.order.push_back((at, op));
    }

    /// Whether the caller of `op` waits for it.
    pub fn is_waiting(&self, op: u32) -> bool {
        self.waiting.contains(&op)
    }

    /// The operation `op` is done; a caller that has waited too long has had its answer.
    pub fn complete(&mut self, op: u32, result: Result<Value>) {
        if self.waiting.remove(&op) {
            self.done.push((op, result));
        }
    }

    /// The operation `op` is done, for which no deadline was set.
    pub fn complete_always(&mut self, op: u32, result: Result<Value>) {
        self.done.push((op, result));
    }

    /// The operations whose deadline has passed, and whose callers still wait.
    pub fn passed(&mut self, now: Instant) -> Vec<u32> {
        let mut passed = Vec::new();
        while let Some(&(at, op)) = self.order.front() {
            if self.waiting.contains(&op) {
                if at > now {
                    break;
                }
                passed.push(op);
            }
            self.order.pop_front();
        }
        passed
    }

    /// Completes every operation that a caller waits for.
    pub fn complete_all(&mut self, result: &Result<Value>) {
        let mut all: Vec<u32> = std::mem::take(&mut self.waiting).into_iter().collect();
        all.sort_unstable();
        self.done
            .extend(all.into_iter().map(|op| (op, result.clone())));
    }

    /// The result of `op`, if it was the last one that is done.
    pub fn take_last(&mut self, op: u32) -> Option<Result<Value>> {
        let last = self.done.pop_if(|(done, _)| *done == op);
        last.map(|(_, result)| result)
    }

    /// What was completed since the last call.
    pub fn take(&mut self) -> Vec<Completion> {
        let room = Vec::with_capacity(self.done.len());
        std::mem::replace(&mut self.done, room)
    }
}

/// Whether the engine is closed, and which callers wait until everything is finished.
#[derive(Default)]
pub struct Closing {
    has_begun: bool,
    /// The operations that wait until everything is finished, and the deadline of that.
    waiting: Option<(Vec<u32>, Instant)>,
}

impl Closing {
    /// Whether nothing new is accepted.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Nothing new is accepted.
    pub fn begin(&mut self) {
        self.has_begun = true;
    }

    /// The operation `op` waits until everything is finished, or until `deadline`.
    pub fn wait(&mut self, op: u32, deadline: Instant) {
        self.waiting = Some((vec![op], deadline));
    }

    /// The operations that wait until everything is finished.
    pub fn waiting(&mut self) -> Option<&mut Vec<u32>> {
        self.waiting.as_mut().map(|(ops, _)| ops)
    }

    /// The same, which wait no more.
    pub fn take(&mut self) -> Option<Vec<u32>> {
        self.waiting.take().map(|(ops, _)| ops)
    }

    /// The same, if their deadline has passed.
    pub fn take_if_late(&mut self, now: Instant) -> Option<Vec<u32>> {
        let late = self.waiting.take_if(|(_, at)| now >= *at);
        late.map(|(ops, _)| ops)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn numbers(done: Vec<Completion>) -> Vec<u32> {
        done.into_iter().map(|(op, _)| op).collect()
    }

    #[test]
    fn a_caller_is_answered_once() {
        let (mut deadlines, now) = (Deadlines::default(), Instant::now());
        deadlines.wait(1, Some(now));
        deadlines.complete(1, Ok(Value::Nothing));
        deadlines.complete(1, Ok(Value::Nothing));
        deadlines.complete(2, Ok(Value::Nothing));
        assert_eq!(numbers(deadlines.take()), [1]);
        assert!(deadlines.take().is_empty());
    }

    #[test]
    fn deadlines_pass_in_their_order_for_those_that_still_wait() {
        let (mut deadlines, now) = (Deadlines::default(), Instant::now());
        let second = Duration::from_secs(1);
        for op in 1..=3 {
            deadlines.wait(op, Some(now + second * op));
        }
        deadlines.wait(4, None);
        deadlines.complete(1, Ok(Value::Nothing));
        assert!(deadlines.passed(now + second).is_empty());
        assert_eq!(deadlines.passed(now + 2 * second), [2]);
        assert!(deadlines.is_waiting(4));
        deadlines.complete_all(&Ok(Value::Nothing));
        assert_eq!(numbers(deadlines.take()), [1, 2, 3, 4]);
    }
}
