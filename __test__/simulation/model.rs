//! The guarantees (docs/guarantees.md) as rules that a history is checked against.
//!
//! Each handle writes a property of its own, with the numbers 1, 2, 3, ..., or takes it away: so each value tells who wrote
//! it, and when. `update()` counts, and leaves a token of its own. The rules 1 to 8 are those of `../support/histories/model.js`:
//!
//! At the end, after everything is mended and closed:
//!   1 The session is there if one of its keys was added (done) and neither that key was removed nor the session
//!     destroyed; it is not there if it was destroyed, or all of its keys were removed: done or pending.
//!   2 A key that was removed leads nowhere; one that was added (done) and not removed leads to the session.
//!   3 A handle's property has the number of its last save that was done or pending, or that of a later save of which
//!     it is not known (an `ifUnchanged` or update that failed).
//!   4 Each token of an update that was done is there once, of one that is in doubt at most once, of others never; the
//!     count is the number of tokens.
//! Meanwhile:
//!   5 A load that began after a save was done finds that number or a later one, and never one that was not written yet.
//!   6 Nothing is written to a session whose removal was done before. Nothing is refused as gone while no removal has begun.
//!   7 A save({ifUnchanged}) is not done if another process's write was done between this process's last look and it.
//!   8 Without faults nothing fails.
//! And of every process (`glue` and `history` check 9 to 12):
//!   9 Every operation ends by its deadline, exactly once; a closed store has nothing in flight and nothing pending.
//!  10 A record with a version is what the server had with that version.
//!  11 No read is older than the last invalidation that the process got before it.
//!  12 Each session counts its keys right, and nothing is left in the store when all times to live are over.
//!  13 What a process has once seen of a session that others have written, it does not see older again.
//!  14 A dialog that was stored (done) and not ended is there in the end, also where others have its Call-ID; none is found
//!     by the tag of another, or with another's data; one that was ended is not there.
//! A process that has writes pending knows better than the store, and may not know what others did; one with a near cache
//! hears of it a moment later: 5 and 6 do not hold for their loads.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use drachtio_session::error::Kind;

use crate::glue::get;
use crate::history::{Entry, Final, JOINED, JOINED_SESSION, Setup, What, described, tag};
use crate::network::{MS, Time};
use crate::server::Text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Done,
    /// It takes effect in the end.
    Pending,
    /// It may take effect, or not.
    Unknown,
    /// The server said an error of its own: it was not done, but its changes go with a later save.
    Failed,
    /// It has no effect.
    Refused,
    Wrong,
}

use Status::{Done, Failed, Pending, Refused, Unknown, Wrong};

struct Key<'a> {
    name: Text,
    added: usize,
    removals: Vec<&'a Entry>,
}

struct Model<'a> {
    setup: &'a Setup,
    ops: Vec<&'a Entry>,
    status: Vec<Status>,
    created: usize,
    keys: Vec<Key<'a>>,
    end: &'a Final,
    wrong: Vec<String>,
}

/// What of a history is against the guarantees. `given_up` is when the processes have reported that they give up writes.
pub fn check(
    setup: &Setup,
    entries: &[Entry],
    end: &Final,
    given_up: &[Option<Time>],
    crashed: &[bool],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_tight = setup.limits.count < 1000;
    for (process, at) in given_up.iter().enumerate() {
        if at.is_some() && !is_tight {
            wrong.push(format!("9 p{process} has given something up"));
        }
    }
    for session in 0..setup.sessions {
        // What takes a key over is a removal to the session that has had it.
        let concerns =
            |op: &&Entry| op.session == session || (session == 0 && op.what == What::TakeOver);
        let ops: Vec<&Entry> = entries.iter().filter(concerns).collect();
        let begins = |op: &&Entry| !op.keys.is_empty() && op.session == session;
        let created = ops.iter().position(begins);
        let Some(created) = created else { continue };
        // What is left of a session whose first save was given up depends on the object that is asked.
        if given_up[ops[created].actor].is_some() {
            continue;
        }
        let status = ops
            .iter()
            .map(|op| {
                let status = status_of(op, ops[created], setup, given_up, crashed);
                // Of a session that has ended before it was stored nothing is stored: it takes nothing over.
                let is_of_another = op.session != session;
                if is_of_another && status == Pending {
                    Unknown
                } else {
                    status
                }
            })
            .collect();
        let mut model = Model {
            setup,
            ops,
            status,
            created,
            keys: Vec::new(),
            end,
            wrong: Vec::new(),
        };
        model.check();
        wrong.append(&mut model.wrong);
    }
    check_joined(setup, entries, end, given_up, crashed, &mut wrong);
    check_dialogs(setup, entries, end, given_up, crashed, &mut wrong);
    wrong
}

/// Dialogs with one Call-ID.
fn check_dialogs(
    setup: &Setup,
    entries: &[Entry],
    end: &Final,
    given_up: &[Option<Time>],
    crashed: &[bool],
    wrong: &mut Vec<String>,
) {
    let of_kind = |what| entries.iter().filter(move |op| op.what == what);
    let dialog = |uuid: &Text| {
        let mut dialogs = of_kind(What::Dialog);
        dialogs.find(|op| op.outcome.uuid.as_ref() == Some(uuid))
    };
    let tag_of = |op: &Entry| tag(op.value.unwrap_or(0));
    for (name, uuid) in &end.found {
        let tagged = name.split_once(";remote-tag=");
        let expected = tagged.and_then(|(_, rest)| rest.split(';').next());
        let owner = uuid.as_ref().and_then(dialog);
        if let (Some(expected), Some(owner)) = (expected, owner)
            && *expected != *tag_of(owner)
        {
            wrong.push(format!("14 {name} leads to {}", described(owner)));
        }
    }
    let is_own = |owner: &Entry, data: &crate::server::Pairs| {
        let seen = number(get(data, "owner"));
        seen == owner.value || (seen.is_none() && owner.outcome.error.is_some())
    };
    for (uuid, data) in &end.data {
        if let Some(owner) = dialog(uuid)
            && !is_own(owner, data)
        {
            wrong.push(format!("14 {} has {data:?}", described(owner)));
        }
    }
    for op in of_kind(What::FindDialog).chain(of_kind(What::HangUp)) {
        let owner = op.outcome.uuid.as_ref().and_then(dialog);
        let fits = owner
            .is_some_and(|owner| tag_of(owner) == tag_of(op) && is_own(owner, &op.outcome.data));
        if op.outcome.found && !fits {
            wrong.push(format!("14 {} is another's", described(op)));
        }
    }
    for op in of_kind(What::Dialog) {
        let uuid = op.outcome.uuid.as_ref();
        let is_unsure =
            |op: &Entry| op.outcome.lost || crashed[op.actor] || given_up[op.actor].is_some();
        let ends = |other: &&Entry| {
            let is_unknown = other.outcome.uuid.is_none() && is_unsure(other);
            other.outcome.uuid.as_ref() == uuid || (is_unknown && tag_of(other) == tag_of(op))
        };
        let mut ends = of_kind(What::HangUp).filter(ends).peekable();
        let may_have_ended = ends.peek().is_some();
        let has_ended = ends.any(|op| op.outcome.error.is_none() && !is_unsure(op));
        let is_there = end.data.iter().any(|(other, _)| Some(other) == uuid);
        let is_sure = op.outcome.error.is_none() && !is_unsure(op) && op.status == 200;
        if is_sure && !may_have_ended && !is_there && !setup.expires() {
            wrong.push(format!("14 {} is lost in the end", described(op)));
        }
        if has_ended && is_there && !is_unsure(op) {
            wrong.push(format!("14 {} has ended and is there", described(op)));
        }
        if op.outcome.error.is_some() && !setup.is_faulty() && !may_have_ended {
            wrong.push(format!("8 it failed without a fault: {}", described(op)));
        }
    }
}

/// Requests outside of a dialog, in whatever process, share one session: what each has saved is there in the end.
fn check_joined(
    setup: &Setup,
    entries: &[Entry],
    end: &Final,
    given_up: &[Option<Time>],
    crashed: &[bool],
    wrong: &mut Vec<String>,
) {
    if setup.expires() {
        return;
    }
    let found = end.found.iter().find(|(key, _)| **key == *JOINED);
    let uuid = found.and_then(|(_, uuid)| uuid.as_ref());
    let data = end.data.iter().find(|(other, _)| Some(other) == uuid);
    for op in entries.iter().filter(|op| op.session == JOINED_SESSION) {
        let is_sure = !op.outcome.lost
            && !op.outcome.degraded
            && !crashed[op.actor]
            && given_up[op.actor].is_none();
        let property = op.property.as_ref();
        let is_there = property
            .is_some_and(|property| data.is_some_and(|(_, data)| get(data, property).is_some()));
        if is_sure && !is_there {
            wrong.push(format!("3 joined: {} is lost in the end", described(op)));
        }
    }
}

fn is_request(op: &Entry) -> bool {
    matches!(op.what, What::Invite | What::Info | What::Ack | What::Bye)
}

fn status_of(
    op: &Entry,
    created: &Entry,
    setup: &Setup,
    given_up: &[Option<Time>],
    crashed: &[bool],
) -> Status {
    if op.outcome.lost {
        return Unknown;
    }
    let status = if is_request(op) {
        let had = op.outcome.uuid.is_some() && op.outcome.uuid == created.outcome.uuid;
        if !had && op.what != What::Bye {
            Refused
        } else if setup.is_faulty() {
            Pending
        } else {
            Done
        }
    } else {
        match op.outcome.error.as_ref().map(|error| error.kind) {
            None => Done,
            Some(Kind::Store) => Failed,
            Some(Kind::Timeout | Kind::Unavailable | Kind::Auth | Kind::Refused) => Pending,
            Some(Kind::Gone | Kind::Conflict) => Refused,
            Some(_) => Wrong,
        }
    };
    // What a process has reported as given up is any of its writes; a crash takes all along.
    let is_given_up = given_up[op.actor].is_some();
    if status == Pending && (is_given_up || crashed[op.actor]) {
        return Unknown;
    }
    status
}

/// Whether it is an operation that writes the data.
fn writes(op: &Entry) -> bool {
    matches!(
        op.what,
        What::Create
            | What::TakeOver
            | What::Save
            | What::SaveUnchanged
            | What::AddKey
            | What::Update
    )
}

fn removes(op: &Entry, key: &str) -> bool {
    let is_removal = op.what == What::DeleteKey
        || op.what == What::Bye
        || op.what == What::TakeOver
        || (op.what == What::Invite && op.status >= 300);
    is_removal && op.key.as_deref() == Some(key)
}

impl<'a> Model<'a> {
    fn fails(&mut self, text: &str, op: Option<usize>) {
        let line = match op {
            Some(at) => {
                let op = self.ops[at];
                let (start, end) = (op.start, op.end);
                format!("{text}: {start}-{end} p{} {}", op.actor, described(op))
            }
            None => text.to_owned(),
        };
        self.wrong.push(line);
    }

    fn check(&mut self) {
        for at in 0..self.ops.len() {
            if self.status[at] == Wrong {
                self.fails("8 an error that nothing explains", Some(at));
            }
            if matches!(self.status[at], Pending | Failed) && !self.setup.is_faulty() {
                self.fails("8 it failed without a fault", Some(at));
            }
        }
        self.keys = self.keys_added();
        self.check_end();
        for at in 0..self.ops.len() {
            let op = self.ops[at];
            let is_done = self.status[at] == Done;
            if op.what == What::Load {
                self.check_load(at);
            }
            let is_own = op.session == self.ops[self.created].session;
            if writes(op) && is_own && is_done && self.ended_before(op.start) {
                self.fails("6 written after the end", Some(at));
            }
            let refused_as_gone = op
                .outcome
                .error
                .as_ref()
                .is_some_and(|error| error.kind == Kind::Gone);
            if refused_as_gone && is_own && !self.may_have_ended(op.end, op.ended) {
                self.fails("6 gone, but it is not", Some(at));
            }
            if op.what == What::SaveUnchanged && is_done {
                self.check_unchanged(at);
            }
        }
        self.check_order();
    }

    fn keys_added(&self) -> Vec<Key<'a>> {
        let mut keys: Vec<(Text, usize)> = Vec::new();
        for key in &self.ops[self.created].keys {
            keys.push((Rc::clone(key), self.created));
        }
        for (at, op) in self.ops.iter().enumerate() {
            if op.what == What::AddKey
                && self.status[at] != Refused
                && let Some(key) = &op.key
            {
                keys.push((Rc::clone(key), at));
            }
        }
        let removals = |key: &str| {
            let ops = self.ops.iter().enumerate();
            ops.filter(|(at, op)| {
                let begins = op.what == What::TakeOver && *at == self.created;
                self.status[*at] != Failed && !begins && removes(op, key)
            })
            .map(|(_, op)| *op)
            .collect()
        };
        keys.into_iter()
            .map(|(key, added)| Key {
                removals: removals(&key),
                name: key,
                added,
            })
            .collect()
    }

    fn of(&self, op: &Entry) -> Status {
        let at = self.ops.iter().position(|other| other.start == op.start);
        at.map_or(Refused, |at| self.status[at])
    }

    fn destroys(&self) -> impl Iterator<Item = (usize, &'a Entry)> + '_ {
        let ops = self.ops.iter().enumerate();
        ops.filter(|(at, op)| {
            op.what == What::Destroy && !matches!(self.status[*at], Failed | Refused)
        })
        .map(|(at, op)| (at, *op))
    }

    /// Whether the session had ended, as everybody must see it, at a moment.
    fn ended_before(&self, moment: u64) -> bool {
        let destroyed = self
            .destroys()
            .any(|(at, op)| self.status[at] == Done && op.end < moment);
        let is_gone = |key: &Key<'_>| {
            key.removals.iter().any(|op| {
                let is_sure = matches!(op.what, What::DeleteKey | What::TakeOver);
                is_sure && self.of(op) == Done && op.end < moment
            })
        };
        destroyed || self.keys.iter().all(is_gone)
    }

    /// Whether it may have ended by then.
    fn may_have_ended(&self, moment: u64, time: Time) -> bool {
        if self.may_have_expired(time) || self.destroys().any(|(_, op)| op.start < moment) {
            return true;
        }
        // A key that is pending may never have come.
        let never = |key: &Key<'_>| {
            self.ops[key.added].start > moment
                || (self.status[key.added] != Done && key.added != self.created)
        };
        self.status[self.created] == Unknown
            || self
                .keys
                .iter()
                .all(|key| never(key) || key.removals.iter().any(|op| op.start < moment))
    }

    /// Whether its time to live may be over by then: no save that was done has begun so late that it still lasts.
    fn may_have_expired(&self, time: Time) -> bool {
        if !self.setup.expires() {
            return false;
        }
        let ttl = (self.setup.ttl - 2) * MS;
        let renews = |(at, op): (usize, &Entry)| {
            let is_write = writes(op) || (op.property.is_some() && is_request(op));
            let is_write = is_write && op.session == self.ops[self.created].session;
            is_write && self.status[at] == Done && op.ended <= time
        };
        let ops = self.ops.iter().copied().enumerate();
        let mut renewals: Vec<&Entry> = ops
            .filter(|entry| renews(*entry))
            .map(|(_, op)| op)
            .collect();
        renewals.sort_by_key(|op| op.ended);
        let mut lasts = 0;
        for op in renewals {
            // A request does not say that its session has expired between its load and its save.
            if !is_request(op) || op.what == What::Invite || op.ended < lasts {
                lasts = lasts.max(op.started + ttl);
            }
        }
        time >= lasts
    }

    /// Whether a key may expire before its session: a save renews the pointers that its process knows.
    fn may_lose_its_way(&self, key: &str) -> bool {
        let primary = self.ops[self.created].keys.first();
        self.setup.expires() && primary.is_none_or(|primary| **primary != *key)
    }

    /// What an operation may have written or not. A conflict has written nothing, but the change is still in the data
    /// object, which may be that of other handles of the process too: what they save later takes it along. An `update()`
    /// saves that first, whatever becomes of it then.
    fn may_write(&self, at: usize) -> bool {
        let op = self.ops[at];
        if self.status[at] != Refused {
            return true;
        }
        let kind = op.outcome.error.as_ref().map(|error| error.kind);
        if kind == Some(Kind::Gone) && self.setup.is_faulty() && !self.ended_before(op.start) {
            return true;
        }
        if op.what == What::Update {
            return true;
        }
        // The response to a BYE leaves before its removal is done: what is saved then, because another process has added a
        // key, comes after its end.
        let later = |other: &&Entry| {
            other.what != What::Load
                && other.actor == op.actor
                && (other.end > op.end || other.what == What::Bye)
        };
        kind == Some(Kind::Conflict) && self.ops.iter().any(later)
    }

    /// Whether it is written when everything is well again.
    fn must_write(&self, at: usize) -> bool {
        let is_conditional = matches!(self.ops[at].what, What::Update | What::SaveUnchanged);
        self.is_written(at) || (self.status[at] == Pending && !is_conditional)
    }

    /// Whether it is written when it has ended. An `update()` that takes a property away takes that for done where an
    /// `ifUnchanged` before it, that then fails, has taken it away already, and a save before that has set it.
    fn is_written(&self, at: usize) -> bool {
        let op = self.ops[at];
        let is_covered = op.what == What::Update
            && op.value.is_none()
            && (0..at).any(|before| {
                let other = self.ops[before];
                other.property == op.property
                    && other.what == What::SaveUnchanged
                    && other.value.is_none()
                    && self.status[before] != Done
                    && other.end > op.start
            });
        self.status[at] == Done && !is_covered
    }

    fn check_end(&mut self) {
        let uuid = self.ops[self.created].outcome.uuid.clone();
        // That of a request that a crash has ended is not known.
        let Some(uuid) = uuid else { return };
        let destroyed = self.destroys().next().is_some();
        let surely_destroyed = self
            .destroys()
            .any(|(at, _)| matches!(self.status[at], Done | Pending));
        let expired = self.may_have_expired(self.end.at);
        let may_be_removed = |key: &Key<'_>| destroyed || !key.removals.is_empty();
        let is_removed = |key: &Key<'_>| {
            surely_destroyed || key.removals.iter().any(|op| self.of(op) != Unknown)
        };
        let was_taken = |key: &Key<'_>| self.status[key.added] != Failed;
        let is_sure = |key: &Key<'_>| match self.status[key.added] {
            Done => true,
            Unknown | Failed => false,
            _ => key.added == self.created,
        };
        let holds = !expired
            && self
                .keys
                .iter()
                .any(|key| !may_be_removed(key) && is_sure(key));
        let ended = self.keys.iter().all(is_removed);
        let mut lines = Vec::new();
        for key in &self.keys {
            let found = self
                .end
                .found
                .iter()
                .find(|(name, _)| *name == key.name)
                .and_then(|(_, found)| found.as_ref());
            let must_lead = holds
                && was_taken(key)
                && self.status[key.added] != Unknown
                && !self.may_lose_its_way(&key.name);
            let ok = match found {
                Some(found) if *found == uuid => !is_removed(key) && was_taken(key),
                Some(other) if !self.is_of_another(other) => false,
                _ => may_be_removed(key) || !must_lead,
            };
            if !ok {
                lines.push(format!("2 {} leads to {found:?} in the end", key.name));
            }
        }
        let data = self.end.data.iter().find(|(other, _)| *other == uuid);
        if holds && data.is_none() {
            lines.push("1 the session is missing".to_owned());
        }
        if ended && data.is_some() {
            lines.push("1 the session has ended and is there".to_owned());
        }
        for line in lines {
            self.fails(&line, None);
        }
        if let Some((_, data)) = data {
            self.check_properties(data);
            self.check_tokens(data);
        }
    }

    /// Whether it is a session that may take a key over, or have lost it.
    fn is_of_another(&self, uuid: &Text) -> bool {
        self.setup.takes_over && self.end.data.iter().any(|(other, _)| other == uuid)
    }

    fn properties(&self) -> BTreeSet<Text> {
        self.ops
            .iter()
            .filter_map(|op| op.property.clone())
            .collect()
    }

    fn writes_of(&self, property: &Text) -> Vec<usize> {
        (0..self.ops.len())
            .filter(|at| self.ops[*at].property.as_ref() == Some(property) && self.may_write(*at))
            .collect()
    }

    fn check_properties(&mut self, data: &crate::server::Pairs) {
        for property in self.properties() {
            let writes = self.writes_of(&property);
            let last = writes.iter().rposition(|at| self.must_write(*at));
            let mut allowed: Vec<Option<u64>> = Vec::new();
            if last.is_none() {
                allowed.push(None);
            }
            allowed.extend(
                writes[last.unwrap_or(0)..]
                    .iter()
                    .map(|at| self.ops[*at].value),
            );
            let seen = number(get(data, &property));
            if !allowed.contains(&seen) {
                let line = format!("3 {property} is {seen:?}, not one of {allowed:?}");
                self.fails(&line, None);
            }
        }
    }

    fn check_tokens(&mut self, data: &crate::server::Pairs) {
        let text = get(data, "tokens").map_or("[]", |text| text);
        let tokens: Vec<String> = serde_json::from_str(text).unwrap_or_default();
        for at in 0..self.ops.len() {
            let Some(token) = &self.ops[at].token else {
                continue;
            };
            let times = tokens.iter().filter(|other| **other == **token).count();
            let ok = match self.status[at] {
                Done => times == 1,
                Pending | Unknown => times <= 1,
                _ => times == 0,
            };
            if !ok {
                let line = format!("4 the token {token} is there {times} times");
                self.fails(&line, Some(at));
            }
        }
        let count = number(get(data, "count")).unwrap_or(0);
        if count != tokens.len() as u64 {
            let line = format!("4 the count is {count}, with {} tokens", tokens.len());
            self.fails(&line, None);
        }
    }

    /// Whether something of a process was pending when an operation of it began.
    fn in_debt(&self, op: &Entry) -> bool {
        (0..self.ops.len()).any(|at| {
            let other = self.ops[at];
            other.actor == op.actor
                && other.start < op.end
                && matches!(self.status[at], Pending | Unknown)
        })
    }

    fn check_load(&mut self, at: usize) {
        if self.status[at] != Done {
            return;
        }
        let op = self.ops[at];
        let outcome = &op.outcome;
        let created = self.ops[self.created].outcome.uuid.as_ref();
        if outcome.found && created.is_some() && outcome.uuid.as_ref() != created {
            self.fails("2 another session", Some(at));
        }
        let key = self
            .keys
            .iter()
            .find(|key| Some(&key.name) == op.key.as_ref());
        let removed = key.is_some_and(|key| key.removals.iter().any(|other| other.start < op.end))
            || self.destroys().any(|(_, other)| other.start < op.end);
        let sure = key.is_some_and(|key| {
            self.status[key.added] == Done && self.ops[key.added].end < op.start
        });
        let may_lose = key.is_some_and(|key| self.may_lose_its_way(&key.name));
        // That a process removes a key from one session hides from it that another one has it by then.
        let is_contested = self.setup.takes_over && self.setup.is_faulty();
        let may_lose = may_lose || is_contested;
        if !outcome.found && sure && !removed && !may_lose && !self.may_have_expired(op.ended) {
            self.fails("2 the key leads nowhere", Some(at));
        }
        // While its first save is on its way, the process takes what it has for all there is.
        let created = self.ops[self.created];
        let is_new = created.actor == op.actor && created.end > op.start;
        if !outcome.found || self.setup.cache || self.in_debt(op) || is_new {
            return;
        }
        if self.ended_before(op.start) {
            self.fails("6 found after the end", Some(at));
        }
        for property in self.properties() {
            let writes = self.writes_of(&property);
            let floor = writes
                .iter()
                .rposition(|at| self.is_written(*at) && self.ops[*at].end < op.start);
            let seen = number(get(&outcome.data, &property));
            let mut values: Vec<Option<u64>> = writes[floor.unwrap_or(0)..]
                .iter()
                .filter(|at| self.ops[**at].start < op.end)
                .map(|at| self.ops[*at].value)
                .collect();
            if floor.is_none() {
                values.push(None);
            }
            // In its own process also what is not saved, and may never be.
            let own = self.ops.iter().filter(|other| {
                other.property.as_ref() == Some(&property)
                    && other.actor == op.actor
                    && other.start < op.end
            });
            values.extend(own.map(|other| other.value));
            if !values.contains(&seen) {
                let line = format!("5 {property} is {seen:?}, not one of {values:?}");
                self.fails(&line, Some(at));
            }
        }
    }

    fn check_unchanged(&mut self, at: usize) {
        let op = self.ops[at];
        let mine = || {
            let ops = self.ops.iter();
            ops.filter(|other| other.actor == op.actor && other.start < op.start)
        };
        // What becomes of a write in doubt brings news, too.
        if mine().any(|other| other.end > op.start) || self.in_debt(op) {
            return;
        }
        let looked = mine().map(|other| other.end).max().unwrap_or(0);
        let between = |other: usize| {
            let status = self.status[other];
            let other = self.ops[other];
            other.actor != op.actor
                && writes(other)
                && other.property.is_some()
                && other.value.is_some()
                && status == Done
                && other.start > looked
                && other.end < op.start
        };
        if let Some(other) = (0..self.ops.len()).find(|other| between(*other)) {
            let line = format!("7 it was changed by {}", described(self.ops[other]));
            self.fails(&line, Some(at));
        }
    }

    /// What a process sees of the properties that others write does not go back.
    fn check_order(&mut self) {
        let mut lines = Vec::new();
        for property in self.properties() {
            let writes = self.writes_of(&property);
            let Some(actor) = writes.first().map(|at| self.ops[*at].actor) else {
                continue;
            };
            // By process: the loads that have ended, each with the oldest write that it may have seen.
            let mut seen: BTreeMap<usize, Vec<(u64, usize)>> = BTreeMap::new();
            for at in 0..self.ops.len() {
                let op = self.ops[at];
                if op.what != What::Load
                    || !op.outcome.found
                    || self.status[at] != Done
                    || op.actor == actor
                    || self.in_debt(op)
                {
                    continue;
                }
                let value = number(get(&op.outcome.data, &property));
                // 0 is before the first one.
                let mut possible: Vec<usize> = (0..writes.len())
                    .filter(|index| self.ops[writes[*index]].value == value)
                    .map(|index| index + 1)
                    .collect();
                if value.is_none() {
                    possible.insert(0, 0);
                }
                let before = seen.entry(op.actor).or_default();
                let floor = before
                    .iter()
                    .filter(|(end, _)| *end < op.start)
                    .map(|(_, index)| *index)
                    .max()
                    .unwrap_or(0);
                let Some(oldest) = possible.iter().find(|index| **index >= floor) else {
                    if !possible.is_empty() {
                        lines.push((at, format!("13 {property} is {value:?}, but was newer")));
                    }
                    continue;
                };
                before.push((op.end, *oldest));
            }
        }
        for (at, line) in lines {
            self.fails(&line, Some(at));
        }
    }
}

fn number(text: Option<&Text>) -> Option<u64> {
    text.and_then(|text| text.parse().ok())
}
