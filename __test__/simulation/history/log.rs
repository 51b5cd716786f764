//! What is noted of a history.

use std::fmt::Write as _;
use std::rc::Rc;

use drachtio_session::error::Error;

use super::plan::What;
use crate::glue::Session;
use crate::network::Time;
use crate::server::{Pairs, Text, short};

/// What became of an operation.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub error: Option<Error>,
    pub uuid: Option<Text>,
    pub found: bool,
    pub degraded: bool,
    pub data: Pairs,
    /// The process has crashed meanwhile.
    pub lost: bool,
}

/// An operation, with the moments of its start and its end: a count over all of the history.
#[derive(Debug, Clone)]
pub struct Entry {
    pub what: What,
    pub session: usize,
    pub actor: usize,
    pub handle: usize,
    pub property: Option<Text>,
    /// Without one the property is taken away.
    pub value: Option<u64>,
    pub key: Option<Text>,
    /// Those of a session that begins.
    pub keys: Vec<Text>,
    pub status: u16,
    pub token: Option<Text>,
    pub start: u64,
    pub end: u64,
    pub started: Time,
    pub ended: Time,
    pub outcome: Outcome,
}

/// A session in the hands of a process.
pub(super) struct Handle {
    pub(super) actor: usize,
    pub(super) session: usize,
    pub(super) name: Text,
    pub(super) written: u64,
    pub(super) object: Rc<Session>,
}

/// What the operations that run have in common with the history.
#[derive(Default)]
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    pub(super) moment: u64,
    pub(super) handles: Vec<Handle>,
    /// The keys of each session that a process has seen, by its slot.
    pub(super) knows: Vec<Vec<(usize, Text)>>,
}

/// What was found at the end, by the server itself.
#[derive(Debug, Default)]
pub struct Final {
    pub found: Vec<(Text, Option<Text>)>,
    /// The data of each session.
    pub data: Vec<(Text, Pairs)>,
    pub at: Time,
}

/// A history that was played.
pub struct Played {
    pub wrong: Vec<String>,
    pub entries: Vec<Entry>,
    pub end: Final,
    pub trace: Vec<String>,
    pub faults: Vec<String>,
    pub digest: u64,
}

/// An operation for people to read.
pub fn described(entry: &Entry) -> String {
    let mut line = format!("{:?} of session {}", entry.what, entry.session);
    if entry.handle > 0 {
        let _ = write!(line, " by d{}", entry.handle);
    }
    if let Some(key) = &entry.key {
        let _ = write!(line, " {key}");
    }
    if entry.keys.len() > 1 {
        let _ = write!(line, " {:?}", entry.keys);
    }
    if let Some(property) = &entry.property {
        match entry.value {
            Some(value) => {
                let _ = write!(line, " {property}={value}");
            }
            None => {
                let _ = write!(line, " without {property}");
            }
        }
    }
    if entry.end < u64::MAX {
        let outcome = &entry.outcome;
        let _ = match &outcome.error {
            Some(error) => write!(line, ": {error}"),
            None if outcome.lost => write!(line, ": lost with its process"),
            None => write!(line, ": done"),
        };
        if let Some(uuid) = &outcome.uuid {
            let _ = write!(line, " {}", short(uuid));
        }
        if entry.what == What::Load {
            let _ = write!(line, " found {} {:?}", outcome.found, outcome.data);
        }
        if outcome.degraded {
            line.push_str(" degraded");
        }
    }
    line
}
