mod claims;
mod near_cache;
mod pending_writes;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;
use crate::error::{Error, Kind, Result};
use crate::session::{Patch, Record, State};
use crate::session::{Saved, Stored};
use crate::store::{Answers, Backend, Event, Failed, Reply, StoreOp};

/// A store that replies when the test says so.
#[derive(Default)]
struct Slow {
    /// The operations that the engine has sent, without a reply yet.
    sent: VecDeque<(u32, StoreOp)>,
    answers: Vec<(u32, std::result::Result<Reply, Failed>)>,
}

impl Backend for Slow {
    fn submit(&mut self, ticket: u32, op: StoreOp) -> Option<Result<Reply>> {
        self.sent.push_back((ticket, op));
        None
    }

    fn take(&mut self) -> Answers {
        Answers {
            replies: std::mem::take(&mut self.answers),
            events: Vec::new(),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(1);

fn engine() -> Engine<Slow> {
    engine_within(Limits::default())
}

fn engine_within(limits: Limits) -> Engine<Slow> {
    let settings = Settings {
        default_ttl: Some(1000),
        timeout: TIMEOUT,
        limits,
        cache: None,
    };
    Engine::new(Slow::default(), settings, Environment::system())
}

fn session(key: &str) -> Shared {
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_key(key, None);
    Rc::new(std::cell::RefCell::new(record))
}

/// A reply, or an error.
struct Answer(Result<Reply>);

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self(Ok(reply))
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self(Err(error))
    }
}

/// The next operation that the engine has sent; replies to it with `reply`.
fn serve(engine: &mut Engine<Slow>, reply: impl Into<Answer>) -> StoreOp {
    let (ticket, op) = engine
        .backend
        .sent
        .pop_front()
        .expect("the engine has sent an operation");
    let op = Box::new(op);
    let answer = reply.into().0.map_err(|error| Failed {
        error,
        op: op.clone(),
    });
    engine.backend.answers.push((ticket, answer));
    *op
}

fn saved() -> Reply {
    wrote(1)
}

fn wrote(version: u64) -> Reply {
    Reply::Saved(Saved {
        version,
        ..Saved::default()
    })
}

/// The reply to the removal of the last key.
fn removed() -> Reply {
    Reply::Removed {
        left: 0,
        version: 0,
    }
}

/// The reply to a compare-and-set after another process has stored `text`.
fn conflict(record: &Shared, text: &str) -> Reply {
    Reply::Conflict(Box::new(Stored {
        document: text.into(),
        version: 2,
        ..record.borrow().stored()
    }))
}

/// The patch of a data object that has become `text`.
fn patch_to(record: &Shared, text: &str) -> Patch {
    let record = record.borrow();
    let given = record.projected.apply(&record.unsaved);
    Patch::between(&given.text(), text).expect("objects")
}

fn save(engine: &mut Engine<Slow>, op: u32, record: &Shared, text: &str) -> Option<Result<Value>> {
    let patch = patch_to(record, text);
    engine.save(op, record, &patch, SaveMode::Changes, None, false)
}

fn save_if_unchanged(engine: &mut Engine<Slow>, op: u32, record: &Shared, text: &str) {
    let patch = patch_to(record, text);
    engine.save(op, record, &patch, SaveMode::Changes, None, true);
}

/// A save of a data object that has not changed.
fn save_unchanged(
    engine: &mut Engine<Slow>,
    op: u32,
    record: &Shared,
    mode: SaveMode,
) -> Option<Result<Value>> {
    engine.save(op, record, &Patch::default(), mode, None, false)
}

fn compare_and_set(engine: &mut Engine<Slow>, op: u32, record: &Shared, text: &str) {
    let stored = record.borrow().stored_document.text();
    let patch = Patch::between(&stored, text).expect("objects");
    engine.compare_and_set(op, record, &patch, None, false);
}

fn remove_key(
    engine: &mut Engine<Slow>,
    op: u32,
    record: &Shared,
    name: &str,
) -> Option<Result<Value>> {
    engine.remove_key(op, record, name, &Patch::default(), None)
}

/// The numbers of the operations that the engine has completed, each with whether it succeeded.
fn done(engine: &mut Engine<Slow>) -> HashMap<u32, bool> {
    engine
        .drain()
        .0
        .into_iter()
        .map(|(op, result)| (op, result.is_ok()))
        .collect()
}

fn reset() -> Error {
    Error::new(Kind::Unavailable, "reset").maybe_done()
}

/// A session that the store has.
fn stored_session(engine: &mut Engine<Slow>, text: &str) -> Shared {
    let record = session("mks:a");
    save(engine, 1, &record, text);
    serve(engine, saved());
    done(engine);
    record
}

/// Lets time pass until the engine probes the store, which answers.
fn probe(engine: &mut Engine<Slow>) {
    engine.expire(Instant::now() + TIMEOUT / 2);
    assert!(matches!(serve(engine, Reply::Done), StoreOp::Ping));
    done(engine);
}

fn unavailable() -> Error {
    Error::new(Kind::Unavailable, "no connection")
}

#[test]
fn saves_of_one_session_are_sent_one_at_a_time_and_queued_ones_together() {
    let (mut engine, record) = (engine(), session("mks:a"));
    for op in 1..=4 {
        assert!(save(&mut engine, op, &record, &format!(r#"{{"n":{op}}}"#)).is_none());
    }
    assert_eq!(engine.backend.sent.len(), 1);
    let StoreOp::Create(first) = serve(&mut engine, saved()) else {
        panic!("a new session is created")
    };
    assert_eq!(&*first.write.change.result.text(), r#"{"n":1}"#);
    assert_eq!(done(&mut engine), HashMap::from([(1, true)]));
    let StoreOp::Update(second) = serve(&mut engine, saved()) else {
        panic!("then it is updated")
    };
    assert_eq!(
        (
            &*second.write.change.base.text(),
            &*second.write.change.result.text()
        ),
        (r#"{"n":1}"#, r#"{"n":4}"#)
    );
    assert_eq!(
        done(&mut engine),
        HashMap::from([(2, true), (3, true), (4, true)])
    );
    assert_eq!(engine.in_flight(), 0);
}

#[test]
fn an_unchanged_session_is_not_written() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    // While the first save is in flight, the engine does not know yet that this one has nothing to write.
    assert!(save(&mut engine, 2, &record, r#"{"n":1}"#).is_none());
    serve(&mut engine, saved());
    assert_eq!(done(&mut engine), HashMap::from([(1, true), (2, true)]));
    assert!(matches!(
        save(&mut engine, 3, &record, r#"{"n":1}"#),
        Some(Ok(Value::Nothing))
    ));
    assert!(engine.backend.sent.is_empty());
}

#[test]
fn a_save_after_the_removal_is_refused_without_a_store_operation() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    remove_key(&mut engine, 2, &record, "mks:a");
    save(&mut engine, 3, &record, r#"{"n":2}"#);
    serve(&mut engine, saved());
    done(&mut engine);
    assert!(matches!(
        serve(&mut engine, removed()),
        StoreOp::RemoveKey(_)
    ));
    assert_eq!(done(&mut engine), HashMap::from([(2, true), (3, false)]));
    assert!(engine.backend.sent.is_empty());
}

#[test]
fn a_load_by_any_key_waits_for_the_operation_in_flight() {
    let (mut engine, record) = (engine(), session("mks:a"));
    record.borrow_mut().add_key("mks:b", None);
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    assert!(engine.load(2, "mks:b", None, false).is_none());
    assert_eq!(engine.backend.sent.len(), 1, "the load is not sent yet");
    serve(&mut engine, saved());
    done(&mut engine);
    assert!(
        matches!(serve(&mut engine, Reply::Loaded(None)), StoreOp::Load { name } if *name == *"mks:b")
    );
    assert_eq!(done(&mut engine), HashMap::from([(2, true)]));
    assert!(engine.queues.is_empty());
}

#[test]
fn a_new_session_of_this_process_needs_no_load() {
    let (mut engine, record) = (engine(), session("mks:a"));
    assert!(matches!(
        engine.load(1, "mks:a", Some(&record), false),
        Some(Ok(Value::Current(true)))
    ));
}

#[test]
fn a_load_for_a_live_session_says_whether_there_is_something_to_merge() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    let stored = |text: &str, version| Stored {
        document: text.into(),
        version,
        ..record.borrow().stored()
    };
    for (op, reply, current) in [
        (2, stored(r#"{"n":1}"#, 1), true),
        (3, stored(r#"{"n":2}"#, 2), false),
    ] {
        engine.load(op, "mks:a", Some(&record), false);
        serve(&mut engine, Reply::Loaded(Some(Box::new(reply))));
        let completed = engine.drain().0;
        assert!(
            matches!(completed.as_slice(), [(_, Ok(Value::Current(is)))] if *is == current),
            "{completed:?}"
        );
    }
}

#[test]
fn a_caller_gets_one_timeout_and_the_session_queue_goes_on() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    let late = engine.expire(Instant::now() + 2 * TIMEOUT);
    assert_eq!(late.len(), 1);
    assert_eq!(done(&mut engine), HashMap::from([(1, false)]));
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    serve(&mut engine, saved());
    assert!(
        done(&mut engine).is_empty(),
        "the late reply completes no operation again"
    );
    assert!(
        matches!(serve(&mut engine, saved()), StoreOp::Update(_)),
        "the engine knows that the session is stored"
    );
    assert_eq!(done(&mut engine), HashMap::from([(2, true)]));
}

#[test]
fn a_failure_after_the_deadline_becomes_an_event() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    engine.expire(Instant::now() + 2 * TIMEOUT);
    serve(&mut engine, Error::new(Kind::Store, "OOM"));
    assert!(matches!(engine.drain().1.as_slice(), [Event::Error(error)] if error.message == "OOM"));
}

#[test]
fn a_conflict_brings_the_document_of_another_process() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    let newer = conflict(&record, r#"{"n":1,"m":2}"#);
    compare_and_set(&mut engine, 2, &record, r#"{"n":2}"#);
    let sent = serve(&mut engine, newer);
    assert!(
        matches!(sent, StoreOp::Update(update) if update.expected.as_ref().is_some_and(|expected| expected.version == 1))
    );
    assert_eq!(done(&mut engine), HashMap::from([(2, false)]));
    record
        .borrow_mut()
        .merge(&Patch::default())
        .expect("objects");
    assert_eq!(
        (
            &*record.borrow().stored_document.text(),
            record.borrow().version
        ),
        (r#"{"n":1,"m":2}"#, 2)
    );
}

#[test]
fn a_session_that_was_never_stored_is_removed_without_a_store_operation() {
    let (mut engine, record) = (engine(), session("mks:a"));
    assert!(matches!(
        remove_key(&mut engine, 1, &record, "mks:a"),
        Some(Ok(Value::Count(0)))
    ));
    assert!(
        matches!(save(&mut engine, 2, &record, r#"{"n":1}"#), Some(Err(error)) if error.kind == Kind::Gone)
    );
}

#[test]
fn an_empty_new_session_is_stored_only_when_its_dialog_begins() {
    let (mut engine, record) = (engine(), session("mks:a"));
    assert!(matches!(
        save_unchanged(&mut engine, 1, &record, SaveMode::Changes),
        Some(Ok(_))
    ));
    assert!(matches!(
        save_unchanged(&mut engine, 2, &record, SaveMode::ForRetry),
        Some(Ok(_))
    ));
    assert!(save_unchanged(&mut engine, 3, &record, SaveMode::Always).is_none());
    assert!(
        matches!(serve(&mut engine, saved()), StoreOp::Create(create) if create.write.ttl == Some(1000))
    );
}

#[test]
fn a_close_waits_for_accepted_operations_and_refuses_later_ones() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    assert!(engine.close(3, Instant::now() + TIMEOUT).is_none());
    assert!(
        matches!(save(&mut engine, 4, &record, "{}"), Some(Err(error)) if error.kind == Kind::Closed)
    );
    serve(&mut engine, saved());
    assert_eq!(done(&mut engine), HashMap::from([(1, true)]));
    serve(&mut engine, saved());
    assert_eq!(done(&mut engine), HashMap::from([(2, true)]));
    assert!(matches!(serve(&mut engine, Reply::Done), StoreOp::Close));
    assert_eq!(done(&mut engine), HashMap::from([(3, true)]));
}

#[test]
fn the_next_save_writes_the_changes_of_a_failed_one_and_nothing_twice() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, "{}");
    save_unchanged(&mut engine, 2, &record, SaveMode::Always);
    serve(&mut engine, saved());
    done(&mut engine);
    // A conditional save fails while another one is queued.
    save_if_unchanged(&mut engine, 3, &record, r#"{"d":1}"#);
    save(&mut engine, 4, &record, r#"{"d":1,"e":1}"#);
    let newer = conflict(&record, r#"{"o":1}"#);
    serve(&mut engine, newer);
    assert_eq!(done(&mut engine), HashMap::from([(3, false)]));
    let StoreOp::Update(queued) = serve(&mut engine, saved()) else {
        panic!("the queued save")
    };
    assert_eq!(
        (
            &*queued.write.change.base.text(),
            &*queued.write.change.result.text()
        ),
        ("{}", r#"{"d":1,"e":1}"#)
    );
    done(&mut engine);
    assert_eq!(&*record.borrow().projected.text(), r#"{"d":1,"e":1}"#);
    save(&mut engine, 5, &record, r#"{"d":1,"e":1}"#);
    assert!(engine.backend.sent.is_empty(), "nothing twice");
}

#[test]
fn a_second_close_waits_for_the_first() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    let deadline = Instant::now() + TIMEOUT;
    assert!(engine.close(2, deadline).is_none() && engine.close(3, deadline).is_none());
    serve(&mut engine, saved());
    done(&mut engine);
    assert!(engine.close(4, deadline).is_none());
    serve(&mut engine, Reply::Done);
    assert_eq!(
        done(&mut engine),
        HashMap::from([(2, true), (3, true), (4, true)])
    );
    assert!(matches!(engine.close(5, deadline), Some(Ok(_))));
}

#[test]
fn a_key_removed_before_the_first_save_takes_no_data_along() {
    let (mut engine, record) = (engine(), session("mks:a"));
    record.borrow_mut().add_key("mks:b", None);
    let patch = patch_to(&record, r#"{"x":1}"#);
    engine.remove_key(1, &record, "mks:a", &patch, None);
    save(&mut engine, 2, &record, r#"{"x":1,"b":2}"#);
    let StoreOp::Create(create) = serve(&mut engine, saved()) else {
        panic!("the first save")
    };
    let all = r#"{"x":1,"b":2}"#;
    assert_eq!(&*create.write.change.result.text(), all);
    done(&mut engine);
    assert_eq!(&*record.borrow().stored_document.text(), all);
    assert!(record.borrow().is_clean());
}

#[test]
fn what_a_failed_save_has_not_written_does_not_replace_newer_changes() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"p":0}"#);
    save(&mut engine, 2, &record, r#"{"p":1}"#);
    serve(&mut engine, unavailable());
    done(&mut engine);
    save_if_unchanged(&mut engine, 3, &record, r#"{"p":2}"#);
    probe(&mut engine);
    serve(&mut engine, Error::new(Kind::Store, "no"));
    done(&mut engine);
    save_unchanged(&mut engine, 4, &record, SaveMode::Changes);
    let StoreOp::Update(update) = serve(&mut engine, wrote(2)) else {
        panic!("what was not saved")
    };
    assert_eq!(update.write.change.patch, Patch::setting(r#"{"p":2}"#));
}
