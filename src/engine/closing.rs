//! Whether the engine is closed, and which callers wait for that.

use std::time::Instant;

/// See the module.
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
