//! The end of a history: everything is closed, looked at, and compared with the guarantees.

use std::cell::RefCell;
use std::rc::Rc;

use drachtio_session::error::Kind;
use drachtio_session::store::{Backend, Reply, StoreOp};

use super::log::{Final, Log, Played};
use super::plan::{DAY, JOINED};
use super::play::History;
use crate::client;
use crate::glue::Process;
use crate::model;
use crate::network::{SECOND, Time};
use crate::server::{Pairs, Text, raw, short};

impl History {
    pub(super) fn finish(mut self) -> Played {
        let done = |log: &Log| log.entries.iter().all(|entry| entry.end < u64::MAX);
        let now = self.now();
        if !self.pump(now + 60 * SECOND, done) {
            self.wrong.push("9 an operation never ends".to_owned());
        }
        {
            let mut net = self.network.borrow_mut();
            net.mood = None;
            for host in 0..net.hosts.len() {
                if net.hosts[host].is_alive {
                    net.mend(host);
                }
            }
        }
        let mut end = Final::default();
        if self.setup.memory {
            self.look_in_memory(&mut end);
        }
        self.close();
        if !self.setup.memory {
            self.look(&mut end);
        }
        let entries = std::mem::take(&mut self.log.borrow_mut().entries);
        let mut wrong = std::mem::take(&mut self.wrong);
        let given_up = |number: usize| {
            let reported = self.processes[number].reported.borrow();
            let of_kind = reported
                .iter()
                .filter(|(_, error)| error.kind == Kind::GivenUp);
            of_kind.map(|(at, _)| *at).max()
        };
        let given_up: Vec<Option<Time>> = (0..self.processes.len()).map(given_up).collect();
        let crashed: Vec<bool> = self
            .processes
            .iter()
            .map(|process| !process.is_alive.get())
            .collect();
        wrong.extend(model::check(
            &self.setup,
            &entries,
            &end,
            &given_up,
            &crashed,
        ));
        for process in &self.processes {
            wrong.append(&mut process.wrong.borrow_mut());
        }
        self.expire(&mut wrong);
        for process in &self.processes {
            process.forget();
        }
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for entry in &entries {
            for byte in format!("{entry:?}").bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            if entries.len() > 1_000_000 {
                break;
            }
        }
        let trace = self.network.borrow_mut().trace.take().unwrap_or_default();
        Played {
            wrong,
            entries,
            end,
            trace,
            faults: self.faults,
            digest,
        }
    }

    /// Closes all stores: what was accepted is done first.
    pub(super) fn close(&mut self) {
        let closed = Rc::new(RefCell::new(0));
        let alive: Vec<Rc<Process>> = self
            .slots
            .iter()
            .map(|number| Rc::clone(&self.processes[*number]))
            .collect();
        for process in &alive {
            let (closed, one) = (Rc::clone(&closed), Rc::clone(process));
            process.start(async move {
                let _ = one.close(10 * SECOND).await;
                *closed.borrow_mut() += 1;
            });
        }
        let now = self.now();
        let count = alive.len();
        if !self.pump(now + 15 * SECOND, |_| *closed.borrow() == count) {
            self.wrong.push("9 a store does not close".to_owned());
        }
        for process in &alive {
            let stats = process.engine.borrow().stats();
            for name in ["inFlight", "pendingWrites", "pendingBytes"] {
                if stats[name] != 0 {
                    let what = format!("9 p{}: {name} is {}", process.number, stats[name]);
                    self.wrong.push(what);
                }
            }
            if process.waits() > 0 {
                self.wrong.push("9 an operation never ends".to_owned());
            }
        }
    }

    pub(super) fn all_keys(&self) -> Vec<Text> {
        let keys = (1..=self.last_key).map(|number| format!("mks:k{number}").into());
        keys.chain(std::iter::once(JOINED.into()))
            .chain(self.dialog_names())
            .collect()
    }

    pub(super) fn look(&self, end: &mut Final) {
        let mut net = self.network.borrow_mut();
        end.at = net.now();
        net.server.expire_all();
        net.server.take_invalidations();
        let read = |key: &Text| {
            let hash = net.server.keys.get(key);
            let fields = hash.map(|hash| hash.fields.clone()).unwrap_or_default();
            client::parse(key, &fields, 0).unwrap_or_default()
        };
        for key in self.all_keys() {
            let (pointer, session) = read(&key);
            let session = match pointer {
                Some(primary) => read(&primary).1,
                None => session,
            };
            let session =
                session.filter(|session| session.keys.iter().any(|named| named.name == key));
            let uuid: Option<Text> = session.as_ref().map(|session| session.uuid.as_str().into());
            end.found.push((key, uuid));
        }
        for (key, hash) in &net.server.keys {
            if let (_, Some(session)) = read(key) {
                let data: Pairs = hash
                    .fields
                    .iter()
                    .filter_map(|(field, value)| {
                        Some((field.strip_prefix('.')?.into(), Rc::clone(value)))
                    })
                    .collect();
                end.data.push((session.uuid.as_str().into(), data));
            }
        }
    }

    pub(super) fn look_in_memory(&self, end: &mut Final) {
        end.at = self.now();
        let mut engine = self.processes[0].engine.borrow_mut();
        for key in self.all_keys() {
            let op = StoreOp::Load {
                name: Rc::clone(&key),
            };
            let found = match engine.backend.submit(0, op) {
                Some(Ok(Reply::Loaded(found))) => found,
                _ => None,
            };
            let uuid: Option<Text> = found.as_ref().map(|found| found.uuid.as_str().into());
            if let (Some(uuid), Some(found)) = (&uuid, found)
                && !end.data.iter().any(|(other, _)| other == uuid)
            {
                let text = found.document.text();
                let data = drachtio_session::session::fields::split(&text);
                let data = data.unwrap_or_default();
                let data = data
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect();
                end.data.push((Rc::clone(uuid), data));
            }
            end.found.push((key, uuid));
        }
    }

    /// Nothing is left behind when all times to live are over; and each session counts its keys right.
    pub(super) fn expire(&self, wrong: &mut Vec<String>) {
        let mut net = self.network.borrow_mut();
        for (key, hash) in &net.server.keys {
            let keys = hash
                .fields
                .iter()
                .filter(|(field, _)| field.starts_with('@'));
            let count = keys.count().to_string();
            if let Some(uuid) = raw(hash, "uuid")
                && raw(hash, "keys").is_none_or(|keys| **keys != *count)
            {
                wrong.push(format!(
                    "12 {key} of {} counts its keys wrong: {hash:?}",
                    short(uuid)
                ));
            }
        }
        net.server.now += 2 * DAY;
        net.server.expire_all();
        for (key, hash) in &net.server.keys {
            wrong.push(format!("12 {key} is left behind: {hash:?}"));
        }
    }
}
