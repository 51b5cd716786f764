//! What is done to a session: a [`Task`] becomes an operation of the store for the record as it is when its turn
//! comes, and what the store answers changes the record.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::fields;
use crate::record::{Record, State, Written, patched};
use crate::rules::RETRY_SECONDS;
use crate::store::{Destroy, Op, RemoveKey, Reply, Stored};

/// A session, shared by the caller and the operations on it.
pub type Shared = Rc<RefCell<Record>>;

/// What an operation gives when it succeeds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing to tell; for a load: there is no such session.
    Nothing,
    /// A session that was loaded.
    Session(Shared),
    /// The session at hand is what the store has (`true`), or has to be merged with it first (`false`).
    Current(bool),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// A number.
    Count(u64),
}

/// How much a save writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What has changed; a new session only if there is something in it.
    Changes,
    /// A new session even if it is empty, and the time to live of any.
    Always,
    /// As `Changes`, for the short time until a challenged request comes again.
    ForRetry,
}

/// Something to be done to a session, in its turn.
#[derive(Debug)]
pub enum Task {
    /// Look up who has a key.
    Load {
        /// The key's name.
        name: String,
        /// Whether that the key leads nowhere says nothing of the session: it may have others.
        lenient: bool,
    },
    /// Save the data.
    Save {
        /// Its text before the changes.
        base: Arc<str>,
        /// Its text with them.
        text: Arc<str>,
        /// How much.
        extent: Extent,
        /// The time to live asked for, ms.
        ttl: Option<u64>,
        /// Whether it is to fail if somebody else has stored something since this process last saw it.
        if_unchanged: bool,
    },
    /// Store a text that was made from what the store has, and only if it still has that.
    Swap {
        /// What it was made from.
        base: Arc<str>,
        /// The text.
        text: Arc<str>,
        /// The time to live asked for, ms.
        ttl: Option<u64>,
        /// Whether it has failed so often that it is to have its turn.
        insists: bool,
    },
    /// Take a key away.
    RemoveKey {
        /// The key's name.
        name: String,
        /// The data before and after the changes, to be saved if the session stays.
        data: (Arc<str>, Arc<str>),
        /// The time to live asked for, ms.
        ttl: Option<u64>,
    },
    /// Remove the session.
    Destroy,
}

impl Task {
    /// Lets a removal take along what a save of the same record before it has changed.
    pub fn precede(&mut self, save: &Self) {
        if let (Self::RemoveKey { data, .. }, Self::Save { base, text, .. }) = (self, save) {
            data.0 = patched(&data.0, text, base);
        }
    }
}

/// A task, whose, and who waits for it.
pub struct Job {
    /// The session; absent for a load that waits behind operations on one.
    pub record: Option<Shared>,
    /// What to do.
    pub task: Task,
    /// The callers' numbers.
    pub waiters: Vec<u32>,
    /// Set once an attempt was made of which nobody knows whether it was done.
    pub sealed: Option<Box<Sealed>>,
}

/// A write of which nobody knows whether it was done. It is repeated just as it was, with its number, before anything
/// else of its session is done, until the store says what became of it.
pub struct Sealed {
    /// What the store is asked.
    pub op: Op,
    /// What it is writing.
    pub written: Option<Box<Written>>,
}

impl Job {
    /// Something to be done to a session, for one caller.
    #[must_use]
    pub fn new(record: Option<Shared>, task: Task, op: u32) -> Self {
        Self {
            record,
            task,
            waiters: vec![op],
            sealed: None,
        }
    }

    /// Whether it is done later if the store can't do it now. What somebody waits to hear of is not, unless an attempt of
    /// it may have been done.
    #[must_use]
    pub fn can_be_owed(&self) -> bool {
        match &self.task {
            Task::Save {
                extent,
                if_unchanged,
                ..
            } => !if_unchanged && *extent != Extent::ForRetry,
            Task::RemoveKey { .. } | Task::Destroy => true,
            Task::Load { .. } | Task::Swap { .. } => false,
        }
    }

    /// Bytes it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        let text = match &self.task {
            Task::Save { base, text, .. } | Task::Swap { base, text, .. } => {
                base.len() + text.len()
            }
            Task::RemoveKey { data, .. } => data.0.len() + data.1.len(),
            Task::Load { .. } | Task::Destroy => 0,
        };
        size_of::<Self>() + text
    }

    /// Whether it is about this session.
    #[must_use]
    pub fn is_of(&self, uuid: &str) -> bool {
        self.record
            .as_ref()
            .is_some_and(|mine| *mine.borrow().uuid == *uuid)
    }

    /// The data before and after what it saves.
    #[must_use]
    pub fn changes(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        match &self.task {
            Task::Save { base, text, .. } => Some((base, text)),
            Task::RemoveKey { data, .. } => Some((&data.0, &data.1)),
            Task::Load { .. } | Task::Swap { .. } | Task::Destroy => None,
        }
    }

    /// Whether it will save that in the end, as far as is known.
    #[must_use]
    pub fn will_save(&self) -> bool {
        self.sealed.is_none() || self.can_be_owed()
    }

    /// It has ended, `done` or not, where the jobs that wait of its record may take the opposite for granted: the next
    /// of them saves what it has not, and not what it has.
    pub fn pass_on<'a>(&self, done: bool, later: impl IntoIterator<Item = &'a mut Self>) {
        let (Some(mine), Some((base, text))) = (&self.record, self.changes()) else {
            return;
        };
        let is_next = |job: &&mut Self| {
            let theirs = job.record.as_ref();
            job.changes().is_some() && theirs.is_some_and(|theirs| Rc::ptr_eq(theirs, mine))
        };
        let next = later.into_iter().find(is_next).map(|job| &mut job.task);
        if let Some(
            Task::Save { base: before, .. }
            | Task::RemoveKey {
                data: (before, _), ..
            },
        ) = next
        {
            *before = if done {
                patched(before, base, text)
            } else {
                patched(before, text, base)
            };
        }
    }

    /// Whether it takes the key `name` away.
    #[must_use]
    pub fn removes(&self, name: &str) -> bool {
        match &self.task {
            Task::RemoveKey { name: removed, .. } => removed == name,
            Task::Destroy => self.record.as_ref().is_some_and(|record| {
                let keys = &record.borrow().keys;
                keys.iter().any(|key| key.name == name)
            }),
            _ => false,
        }
    }
}

/// What a job comes to.
pub enum Prepared {
    /// There is nothing to ask the store for.
    Done(Value),
    /// This is to be asked, and that is what a save is writing.
    Send(Op, Option<Box<Written>>),
}

/// What a job means for its record as it is now; `default_ttl` in ms, `number` is that of the operation.
pub fn prepare(job: &Job, default_ttl: Option<u64>, number: u64) -> Result<Prepared> {
    let Some(shared) = &job.record else {
        return Ok(match &job.task {
            Task::Load { name, .. } => Prepared::Send(Op::Load { name: name.clone() }, None),
            _ => Prepared::Done(Value::Nothing),
        });
    };
    let mut record = shared.borrow_mut();
    match &job.task {
        Task::Load { name, .. } => Ok(Prepared::Send(Op::Load { name: name.clone() }, None)),
        Task::Save {
            base,
            text,
            extent,
            ttl,
            if_unchanged,
        } => {
            let ttl = ttl.or(default_ttl);
            let mut save = prepare_save(&mut record, (base, text), *extent, ttl, number);
            if let Ok(Prepared::Send(Op::Update(update), _)) = &mut save
                && *if_unchanged
            {
                update.basis = Some(Box::new(record.basis(false)));
            }
            save
        }
        Task::Swap {
            base,
            text,
            ttl,
            insists,
        } => prepare_swap(&record, (base, text), ttl.or(default_ttl), *insists, number),
        Task::RemoveKey { name, data, ttl } => Ok(prepare_removal(
            &mut record,
            name,
            data,
            ttl.or(default_ttl),
            number,
        )),
        Task::Destroy if record.may_be_stored() => {
            let destroy = Destroy {
                uuid: Arc::clone(&record.uuid),
                home: record.home.clone(),
                known: record.keys.iter().map(|key| key.name.clone()).collect(),
            };
            Ok(Prepared::Send(Op::Destroy(destroy), None))
        }
        Task::Destroy => {
            record.state = State::Removed;
            Ok(Prepared::Done(Value::Nothing))
        }
    }
}

/// Why a session can't be saved, whatever the store says.
pub fn unwritable(record: &Record) -> Option<Error> {
    match record.state {
        State::Removed => Some(Error::gone(&record.uuid)),
        State::Unknown => Some(Error::new(
            Kind::Unavailable,
            "this session could not be loaded, so what was put into it can't be saved; see the earlier error",
        )),
        State::New | State::Stored => None,
    }
}

fn prepare_save(
    record: &mut Record,
    (base, text): (&Arc<str>, &Arc<str>),
    extent: Extent,
    ttl: Option<u64>,
    number: u64,
) -> Result<Prepared> {
    let dirty = base != text || record.is_dirty(None);
    let ttl = match extent {
        Extent::ForRetry => {
            let short = u64::from(RETRY_SECONDS) * 1000;
            Some(ttl.map_or(short, |ttl| ttl.min(short)))
        }
        Extent::Changes | Extent::Always => ttl,
    };
    let written = |keys| {
        Box::new(Written {
            base: Arc::clone(base),
            text: Arc::clone(text),
            keys,
            ttl,
        })
    };
    let always = extent == Extent::Always;
    let untouched = !always && base == text;
    let empty = **text == *fields::EMPTY && record.keys.iter().all(|key| key.resource.is_none());
    if let Some(error) = unwritable(record) {
        return if untouched {
            Ok(Prepared::Done(Value::Nothing))
        } else {
            Err(error)
        };
    }
    match record.state {
        State::New if empty && !always => Ok(Prepared::Done(Value::Nothing)),
        State::New if record.keys.is_empty() => Err(Error::new(
            Kind::Argument,
            "a session without keys can't be found again: add one with set(id)",
        )),
        State::New => {
            let create = record.create(text, ttl, number);
            let written = written(create.keys.clone());
            Ok(Prepared::Send(Op::Create(create), Some(written)))
        }
        _ if !dirty && !always => Ok(Prepared::Done(Value::Nothing)),
        _ => {
            let update = record.update(base, text, ttl, number);
            let written = written(update.added.clone());
            Ok(Prepared::Send(Op::Update(update), Some(written)))
        }
    }
}

fn prepare_swap(
    record: &Record,
    (base, text): (&Arc<str>, &Arc<str>),
    ttl: Option<u64>,
    insists: bool,
    number: u64,
) -> Result<Prepared> {
    match record.state {
        State::Removed => return Err(Error::gone(&record.uuid)),
        State::New | State::Unknown => {
            return Err(Error::new(
                Kind::Unavailable,
                "this session is not in the store: see the earlier error",
            ));
        }
        // Saved or loaded since.
        State::Stored if record.text != *base || record.incoming.is_some() => {
            return Err(Error::conflict(&record.uuid));
        }
        State::Stored => {}
    }
    let mut update = record.update(base, text, ttl, number);
    update.basis = Some(Box::new(record.basis(insists)));
    let written = Box::new(Written {
        base: Arc::clone(base),
        text: Arc::clone(text),
        keys: update.added.clone(),
        ttl,
    });
    Ok(Prepared::Send(Op::Update(update), Some(written)))
}

fn prepare_removal(
    record: &mut Record,
    name: &str,
    (base, text): &(Arc<str>, Arc<str>),
    ttl: Option<u64>,
    number: u64,
) -> Prepared {
    let stored = record.may_be_stored();
    match record.state {
        State::Removed => return Prepared::Done(Value::Count(0)),
        State::New if !stored => {
            record.drop_key(name);
            if record.keys.is_empty() {
                record.state = State::Removed;
            }
            return Prepared::Done(Value::Count(record.keys.len() as u64));
        }
        State::New | State::Stored | State::Unknown => {}
    }
    let changed = stored && base != text;
    let remove = RemoveKey {
        of: stored.then(|| (Arc::clone(&record.uuid), record.home.clone())),
        name: name.to_owned(),
        data: changed.then(|| (Arc::clone(base), Arc::clone(text))),
        ttl,
        number: if stored { number } else { 0 },
    };
    let written = changed.then(|| {
        Box::new(Written {
            base: Arc::clone(base),
            text: Arc::clone(text),
            keys: Vec::new(),
            ttl,
        })
    });
    Prepared::Send(Op::RemoveKey(remove), written)
}

/// Merges a save into one that waits already; gives back what has to wait by itself.
pub fn coalesce(last: Option<&mut Job>, mut job: Job) -> Option<Job> {
    let Some(last) = last.filter(|last| last.sealed.is_none()) else {
        return Some(job);
    };
    let same = matches!((&last.record, &job.record), (Some(a), Some(b)) if Rc::ptr_eq(a, b));
    let Task::Save {
        text,
        extent,
        ttl,
        if_unchanged: false,
        ..
    } = &mut last.task
    else {
        return Some(job);
    };
    match &job.task {
        // Not where a load has been merged between the two: the changes of others would go out as ours.
        Task::Save {
            base,
            text: newer,
            extent: now,
            ttl: newer_ttl,
            if_unchanged: false,
        } if same && extent == now && Arc::ptr_eq(base, text) => {
            *text = Arc::clone(newer);
            *ttl = *newer_ttl;
            last.waiters.append(&mut job.waiters);
            None
        }
        _ => Some(job),
    }
}

/// What a reply means for the record of a job, and for those who wait for it, if that is `heard` by anybody.
pub fn apply(
    job: &Job,
    written: Option<&Written>,
    reply: Result<Reply>,
    heard: bool,
) -> Result<Value> {
    let Some(shared) = &job.record else {
        return reply.map(value_of);
    };
    let mut record = shared.borrow_mut();
    match reply {
        Ok(Reply::Saved(saved)) if matches!(job.task, Task::Swap { .. }) => {
            match written {
                Some(written) if heard => record.swapped(written, saved),
                Some(written) => record.swapped_unheard(written, saved),
                None => {}
            }
            Ok(Value::Current(false))
        }
        Ok(Reply::Conflict(newer)) => {
            record.absorb(*newer);
            Err(Error::conflict(&record.uuid))
        }
        Ok(Reply::Saved(saved)) => {
            if let Some(written) = written {
                record.saved(written, saved);
            }
            Ok(Value::Nothing)
        }
        Ok(Reply::Removed { left, version }) => {
            if let Task::RemoveKey { name, .. } = &job.task {
                record.drop_key(name);
            }
            if left == 0 {
                record.state = State::Removed;
            } else {
                if let Some(written) = written {
                    record.confirm(written, version);
                }
                record.counted(version);
            }
            Ok(Value::Count(left))
        }
        Ok(Reply::Loaded(found)) => Ok(found_again(&mut record, &job.task, found)),
        Ok(other) => Ok(value_of(other)),
        Err(error) => {
            if error.kind == Kind::Gone {
                record.state = State::Removed;
            }
            // A JavaScript store may fail half way through.
            record.in_doubt |= error.in_doubt && matches!(job.task, Task::Save { .. });
            Err(error)
        }
    }
}

/// What a load means for a session that this process has already.
fn found_again(record: &mut Record, task: &Task, found: Option<Box<Stored>>) -> Value {
    match found {
        Some(stored) if *stored.uuid == *record.uuid => Value::Current(!record.absorb(*stored)),
        Some(other) => Value::Session(Rc::new(RefCell::new(Record::loaded(*other)))),
        None => {
            // This key is gone. Others may still lead to the session, also some that this process has not heard of: whether
            // it has ended the next write finds out.
            if let Task::Load {
                name,
                lenient: false,
            } = task
            {
                record.keys.retain(|key| key.name != *name || !key.stored);
            }
            Value::Nothing
        }
    }
}

/// What a reply gives to the one who asked.
pub fn value_of(reply: Reply) -> Value {
    match reply {
        Reply::Loaded(Some(stored)) => {
            Value::Session(Rc::new(RefCell::new(Record::loaded(*stored))))
        }
        Reply::Text(Some(text)) => Value::Text(text),
        Reply::Texts(texts) => Value::Texts(texts),
        Reply::Count(count) => Value::Count(count),
        Reply::Removed { left, .. } => Value::Count(left),
        Reply::Loaded(None)
        | Reply::Text(None)
        | Reply::Saved(_)
        | Reply::Conflict(_)
        | Reply::Done => Value::Nothing,
    }
}
