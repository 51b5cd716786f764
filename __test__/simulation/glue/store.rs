//! The stores of a simulated process.

use drachtio_session::error::Result;
use drachtio_session::session::Record;
use drachtio_session::store::memory::MemoryStore;
use drachtio_session::store::{Answers, Backend, Reply, StoreOp};

use crate::client::SimulatedRedis;

/// One of the stores.
pub enum Store {
    Redis(Box<SimulatedRedis>),
    Memory(Box<MemoryStore>),
}

impl Backend for Store {
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<Result<Reply>> {
        match self {
            Self::Redis(store) => store.submit(ticket, op),
            Self::Memory(store) => store.submit(ticket, op),
        }
    }

    fn flush(&mut self) {
        if let Self::Redis(store) = self {
            store.flush();
        }
    }

    fn take(&mut self) -> Answers {
        match self {
            Self::Redis(store) => store.take(),
            Self::Memory(store) => store.take(),
        }
    }

    fn is_current(&mut self, record: &Record) -> bool {
        match self {
            Self::Redis(store) => store.is_current(record),
            Self::Memory(store) => store.is_current(record),
        }
    }
}
