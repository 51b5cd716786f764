use std::collections::HashMap;

use super::*;
use crate::store::{Answers, Failed, Reply, Saved, Stored};

/// A store that answers when the test says so.
#[derive(Default)]
struct Slow {
    asked: VecDeque<(u32, Op)>,
    answers: Vec<(u32, std::result::Result<Reply, Failed>)>,
}

impl Backend for Slow {
    fn submit(&mut self, ticket: u32, op: Op) -> Option<Result<Reply>> {
        self.asked.push_back((ticket, op));
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
    Engine::new(
        Slow::default(),
        Some(1000),
        TIMEOUT,
        Limits::default(),
        None,
    )
}

fn session(key: &str) -> Shared {
    let mut record = crate::record::Record::new();
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

/// What the store is asked next; answers it with `reply`.
fn serve(engine: &mut Engine<Slow>, reply: impl Into<Answer>) -> Op {
    let (ticket, op) = engine
        .backend
        .asked
        .pop_front()
        .expect("the store is asked something");
    let op = Box::new(op);
    let answer = reply.into().0.map_err(|error| Failed {
        error,
        op: op.clone(),
    });
    engine.backend.answers.push((ticket, answer));
    *op
}

fn saved() -> Reply {
    Reply::Saved(Saved {
        version: 1,
        ..Saved::default()
    })
}

fn save(engine: &mut Engine<Slow>, op: u32, record: &Shared, text: &str) -> Option<Result<Value>> {
    engine.save(op, record, Some(text.into()), Extent::Changes, None, false)
}

/// The numbers of what was completed, each with whether it succeeded.
fn done(engine: &mut Engine<Slow>) -> HashMap<u32, bool> {
    engine
        .drain()
        .0
        .into_iter()
        .map(|(op, result)| (op, result.is_ok()))
        .collect()
}

#[test]
fn saves_of_one_session_go_one_after_the_other_and_those_that_wait_go_together() {
    let (mut engine, record) = (engine(), session("mks:a"));
    for op in 1..=4 {
        assert!(save(&mut engine, op, &record, &format!(r#"{{"n":{op}}}"#)).is_none());
    }
    assert_eq!(engine.backend.asked.len(), 1);
    let Op::Create(first) = serve(&mut engine, saved()) else {
        panic!("a new session is created")
    };
    assert_eq!(&*first.text, r#"{"n":1}"#);
    assert_eq!(done(&mut engine), HashMap::from([(1, true)]));
    let Op::Update(second) = serve(&mut engine, saved()) else {
        panic!("then it is updated")
    };
    assert_eq!((&*second.base, &*second.text), (r#"{"n":1}"#, r#"{"n":4}"#));
    assert_eq!(
        done(&mut engine),
        HashMap::from([(2, true), (3, true), (4, true)])
    );
    assert_eq!(engine.pending(), 0);
}

#[test]
fn an_unchanged_session_is_not_written() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    // While the first save is on its way nobody knows yet that this one has nothing to do.
    assert!(save(&mut engine, 2, &record, r#"{"n":1}"#).is_none());
    serve(&mut engine, saved());
    assert_eq!(done(&mut engine), HashMap::from([(1, true), (2, true)]));
    assert!(matches!(
        save(&mut engine, 3, &record, r#"{"n":1}"#),
        Some(Ok(Value::Nothing))
    ));
    assert!(engine.backend.asked.is_empty());
}

#[test]
fn a_save_after_the_removal_is_refused_and_asks_nothing() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    engine.remove_key(2, &record, "mks:a", None, None);
    save(&mut engine, 3, &record, r#"{"n":2}"#);
    serve(&mut engine, saved());
    done(&mut engine);
    assert!(matches!(
        serve(
            &mut engine,
            Reply::Removed {
                left: 0,
                version: 0
            }
        ),
        Op::RemoveKey(_)
    ));
    assert_eq!(done(&mut engine), HashMap::from([(2, true), (3, false)]));
    assert!(engine.backend.asked.is_empty());
}

#[test]
fn a_load_by_any_key_waits_for_what_is_under_way() {
    let (mut engine, record) = (engine(), session("mks:a"));
    record.borrow_mut().add_key("mks:b", None);
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    assert!(engine.load(2, "mks:b", None, false).is_none());
    assert_eq!(
        engine.backend.asked.len(),
        1,
        "the load is not at the store yet"
    );
    serve(&mut engine, saved());
    done(&mut engine);
    assert!(
        matches!(serve(&mut engine, Reply::Loaded(None)), Op::Load { name } if name == "mks:b")
    );
    assert_eq!(done(&mut engine), HashMap::from([(2, true)]));
    assert!(engine.lanes.is_empty() && engine.lane_of.is_empty());
}

#[test]
fn a_session_that_is_new_here_needs_no_load() {
    let (mut engine, record) = (engine(), session("mks:a"));
    assert!(matches!(
        engine.load(1, "mks:a", Some(&record), false),
        Some(Ok(Value::Current(true)))
    ));
}

#[test]
fn a_load_for_a_live_session_says_whether_there_is_something_to_merge() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    serve(&mut engine, saved());
    done(&mut engine);
    let stored = |text: &str, version| Stored {
        text: text.into(),
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
fn who_has_waited_too_long_is_told_once_and_the_lane_goes_on() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    let late = engine.expire(Instant::now() + 2 * TIMEOUT);
    assert_eq!(late.len(), 1);
    assert_eq!(done(&mut engine), HashMap::from([(1, false)]));
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    serve(&mut engine, saved());
    assert!(
        done(&mut engine).is_empty(),
        "the late answer is for the lane only"
    );
    assert!(
        matches!(serve(&mut engine, saved()), Op::Update(_)),
        "it knows that the session is stored"
    );
    assert_eq!(done(&mut engine), HashMap::from([(2, true)]));
}

#[test]
fn a_failure_that_nobody_waits_for_is_told_as_an_event() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    engine.expire(Instant::now() + 2 * TIMEOUT);
    serve(&mut engine, Error::new(Kind::Store, "OOM"));
    assert!(matches!(engine.drain().1.as_slice(), [Event::Error(error)] if error.message == "OOM"));
}

fn reset() -> Error {
    Error::new(Kind::Unavailable, "reset").doubtful()
}

/// A session that is stored.
fn stored_session(engine: &mut Engine<Slow>, text: &str) -> Shared {
    let record = session("mks:a");
    save(engine, 1, &record, text);
    serve(engine, saved());
    done(engine);
    record
}

#[test]
fn a_save_in_doubt_is_repeated_as_it_was_before_anything_else() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    let first = serve(&mut engine, reset());
    assert_eq!(done(&mut engine), HashMap::from([(2, false)]));
    save(&mut engine, 3, &record, r#"{"n":3}"#);
    save(&mut engine, 4, &record, r#"{"n":4}"#);
    try_again(&mut engine);
    // Not sent: that it may have been done before stays so.
    assert_eq!(serve(&mut engine, unavailable()), first);
    done(&mut engine);
    try_again(&mut engine);
    assert_eq!(serve(&mut engine, wrote(2)), first);
    done(&mut engine);
    let Op::Update(next) = serve(&mut engine, wrote(3)) else {
        panic!("then what came after it")
    };
    assert_eq!((&*next.base, &*next.text), (r#"{"n":2}"#, r#"{"n":4}"#));
    assert!(matches!(first, Op::Update(first) if first.number < next.number));
    done(&mut engine);
    assert!(engine.backend.asked.is_empty() && engine.lanes.is_empty());
}

fn wrote(version: u64) -> Reply {
    Reply::Saved(Saved {
        version,
        ..Saved::default()
    })
}

#[test]
fn a_conditional_save_in_doubt_is_done_at_most_once_and_its_end_is_not_told() {
    for ends_well in [true, false] {
        let mut engine = engine();
        let record = stored_session(&mut engine, r#"{"a":1}"#);
        let text = Some(r#"{"a":1,"d":1}"#.into());
        engine.save(2, &record, text, Extent::Changes, None, true);
        let first = serve(&mut engine, reset());
        assert_eq!(done(&mut engine), HashMap::from([(2, false)]));
        assert_eq!(&*record.borrow().view, r#"{"a":1}"#, "it may not be done");
        assert_eq!(engine.owed.len(), 1);
        // The next one waits for it, though nobody is owed anything.
        save(&mut engine, 3, &record, r#"{"a":1,"d":1,"e":1}"#);
        let newer = Stored {
            text: r#"{"a":1,"o":1}"#.into(),
            version: 2,
            ..record.borrow().stored()
        };
        let answer = if ends_well {
            wrote(2)
        } else {
            Reply::Conflict(Box::new(newer))
        };
        assert_eq!(serve(&mut engine, answer), first);
        assert!(engine.drain().1.is_empty(), "nothing is told");
        assert!(
            matches!(serve(&mut engine, wrote(3)), Op::Update(next) if &*next.text == r#"{"a":1,"d":1,"e":1}"#)
        );
        assert_eq!(done(&mut engine), HashMap::from([(3, true)]));
        record.borrow_mut().merge(None).expect("objects");
        let text = if ends_well {
            r#"{"a":1,"d":1,"e":1}"#
        } else {
            r#"{"a":1,"o":1,"d":1,"e":1}"#
        };
        assert_eq!(&*record.borrow().text, text);
    }
}

#[test]
fn a_swap_in_doubt_that_was_done_is_to_this_process_as_if_others_had_written_it() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    engine.swap(2, &record, r#"{"n":2}"#.into(), None, false);
    let first = serve(&mut engine, reset());
    done(&mut engine);
    try_again(&mut engine);
    assert_eq!(serve(&mut engine, wrote(2)), first);
    done(&mut engine);
    assert_eq!(&*record.borrow().view, r#"{"n":1}"#);
    engine.swap(3, &record, r#"{"n":2}"#.into(), None, false);
    assert!(
        matches!(serve(&mut engine, wrote(3)), Op::Update(update) if update.basis.as_ref().is_some_and(|basis| basis.version == 1)),
        "which is a conflict"
    );
}

#[test]
fn what_ends_while_a_save_is_in_doubt_keeps_that_and_takes_the_rest_along() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    let first = serve(&mut engine, reset());
    done(&mut engine);
    save(&mut engine, 3, &record, r#"{"n":3}"#);
    engine.remove_key(4, &record, "mks:a", None, None);
    try_again(&mut engine);
    assert_eq!(serve(&mut engine, wrote(2)), first);
    done(&mut engine);
    let left = Reply::Removed {
        left: 1,
        version: 3,
    };
    let Op::RemoveKey(removal) = serve(&mut engine, left) else {
        panic!("then the removal")
    };
    let (base, text) = removal.data.expect("with what was saved after it");
    assert_eq!((&*base, &*text), (r#"{"n":2}"#, r#"{"n":3}"#));
}

#[test]
fn a_session_that_another_object_of_it_has_given_a_key_does_not_end_with_the_keys_of_one() {
    let mut engine = engine();
    let one = stored_session(&mut engine, r#"{"n":1}"#);
    let other = Rc::new(RefCell::new(one.borrow().clone()));
    save(&mut engine, 2, &one, r#"{"n":2}"#);
    serve(&mut engine, unavailable());
    done(&mut engine);
    one.borrow_mut().add_key("mks:b", None);
    save(&mut engine, 3, &one, r#"{"n":3}"#);
    engine.remove_key(4, &other, "mks:a", None, None);
    try_again(&mut engine);
    assert!(
        matches!(serve(&mut engine, wrote(2)), Op::Update(update) if &*update.text == r#"{"n":3}"# && update.added.len() == 1)
    );
}

#[test]
fn a_save_after_removals_that_are_owed_is_done_and_adds_no_key_that_they_remove() {
    let mut engine = engine();
    let one = stored_session(&mut engine, r#"{"n":1}"#);
    save(&mut engine, 2, &one, r#"{"n":2}"#);
    serve(&mut engine, unavailable());
    one.borrow_mut().add_key("mks:b", None);
    done(&mut engine);
    let other = Rc::new(RefCell::new(one.borrow().ahead()));
    for (op, key) in [(3, "mks:a"), (4, "mks:b")] {
        engine.remove_key(op, &other, key, None, None);
    }
    // Another process may have given it a key.
    assert!(
        matches!(save(&mut engine, 5, &one, r#"{"n":3}"#), Some(Err(error)) if error.kind == Kind::Unavailable)
    );
    try_again(&mut engine);
    // What it has changed goes before the removals, which are those of another object.
    assert!(
        matches!(serve(&mut engine, wrote(2)), Op::Update(update) if update.added.len() == 1 && &*update.text == r#"{"n":2}"#)
    );
    done(&mut engine);
    for left in [2, 1] {
        let removed = Reply::Removed { left, version: 3 };
        assert!(matches!(serve(&mut engine, removed), Op::RemoveKey(_)));
        done(&mut engine);
    }
    assert!(
        matches!(serve(&mut engine, wrote(4)), Op::Update(update) if update.added.is_empty() && &*update.text == r#"{"n":3}"#)
    );
}

#[test]
fn a_key_that_leads_nowhere_is_not_the_end_of_a_session_that_may_have_others() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    record.borrow_mut().add_key("mks:b", None);
    for (op, key) in [(2, "mks:a"), (3, "mks:b")] {
        engine.load(op, key, Some(&record), false);
        serve(&mut engine, Reply::Loaded(None));
        done(&mut engine);
    }
    let keys = record.borrow().keys.clone();
    assert!(
        matches!(keys.as_slice(), [key] if key.name == "mks:b"),
        "it is not stored yet"
    );
    assert_eq!(record.borrow().state, State::Stored);
}

#[test]
fn a_load_for_a_live_session_does_not_make_what_is_owed_stored() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    record.borrow_mut().add_key("mks:b", None);
    save(&mut engine, 3, &record, r#"{"n":3}"#);
    engine.load(4, "mks:b", Some(&record), false);
    serve(&mut engine, reset());
    let loaded = engine.drain().0.into_iter().find(|(op, _)| *op == 4);
    assert!(
        matches!(loaded, Some((_, Ok(Value::Current(true))))),
        "{loaded:?}"
    );
}

#[test]
fn what_was_put_into_a_stand_in_is_not_said_to_be_kept() {
    let mut engine = engine();
    let mut stand_in = crate::record::Record::unknown();
    stand_in.add_key("mks:a", None);
    let stand_in = Rc::new(RefCell::new(stand_in));
    engine.remove_key(1, &stand_in, "mks:a", None, None);
    serve(&mut engine, unavailable());
    done(&mut engine);
    let told = save(&mut engine, 2, &stand_in, r#"{"n":1}"#);
    assert!(
        matches!(&told, Some(Err(error)) if error.message.contains("can't be saved")),
        "{told:?}"
    );
    assert!(matches!(
        engine.save(3, &stand_in, None, Extent::Changes, None, false),
        Some(Ok(Value::Nothing))
    ));
    try_again(&mut engine);
    let removed = Reply::Removed {
        left: 0,
        version: 0,
    };
    assert!(
        matches!(serve(&mut engine, removed), Op::RemoveKey(remove) if remove.of.is_none() && remove.number == 0)
    );
    done(&mut engine);
    assert!(engine.lanes.is_empty());
}

#[test]
fn an_owed_save_of_a_session_that_an_owed_removal_has_ended_is_told_of() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    engine.remove_key(2, &record, "mks:a", None, None);
    serve(&mut engine, unavailable());
    done(&mut engine);
    save(&mut engine, 3, &record, r#"{"n":2}"#);
    try_again(&mut engine);
    let removed = Reply::Removed {
        left: 0,
        version: 0,
    };
    assert!(matches!(serve(&mut engine, removed), Op::RemoveKey(_)));
    let events = engine.drain().1;
    assert!(
        matches!(events.as_slice(), [Event::Error(error)] if error.kind == Kind::Gone),
        "{events:?}"
    );
}

#[test]
fn after_a_save_in_doubt_the_key_is_still_removed_from_the_store() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    let first = serve(&mut engine, reset());
    assert_eq!(done(&mut engine), HashMap::from([(1, false)]));
    engine.remove_key(2, &record, "mks:a", None, None);
    try_again(&mut engine);
    assert_eq!(serve(&mut engine, saved()), first);
    done(&mut engine);
    assert!(matches!(
        serve(
            &mut engine,
            Reply::Removed {
                left: 0,
                version: 0
            }
        ),
        Op::RemoveKey(_)
    ));
    done(&mut engine);
    assert!(engine.backend.asked.is_empty() && engine.lanes.is_empty() && !engine.is_restless());
}

/// Time passes until the store is tried again, which is back.
fn try_again(engine: &mut Engine<Slow>) {
    engine.expire(Instant::now() + TIMEOUT / 2);
    assert!(matches!(serve(engine, Reply::Done), Op::Ping));
    done(engine);
}

fn unavailable() -> Error {
    Error::new(Kind::Unavailable, "no connection")
}

#[test]
fn what_could_not_be_saved_is_saved_when_the_store_is_back_with_all_that_came_after() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    serve(&mut engine, unavailable());
    assert_eq!(done(&mut engine), HashMap::from([(1, false), (2, false)]));
    assert!(matches!(
        save(&mut engine, 3, &record, r#"{"n":3}"#),
        Some(Err(_))
    ));
    assert!(engine.is_restless() && engine.backend.asked.is_empty());
    try_again(&mut engine);
    assert!(
        matches!(serve(&mut engine, saved()), Op::Create(create) if &*create.text == r#"{"n":3}"#)
    );
    done(&mut engine);
    assert!(engine.backend.asked.is_empty() && engine.lanes.is_empty());
    assert_eq!(record.borrow().state, State::Stored);
}

#[test]
fn a_request_finds_what_is_owed_of_its_session() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    serve(&mut engine, unavailable());
    done(&mut engine);
    let Some(Ok(Value::Session(found))) = engine.load(2, "mks:a", None, false) else {
        panic!("it is found without the store");
    };
    assert_eq!(&*found.borrow().view, r#"{"n":1}"#);
    save(&mut engine, 3, &found, r#"{"n":1,"m":2}"#);
    try_again(&mut engine);
    assert!(
        matches!(serve(&mut engine, saved()), Op::Create(create) if &*create.text == r#"{"n":1}"#)
    );
    done(&mut engine);
    assert!(
        matches!(serve(&mut engine, saved()), Op::Update(update) if &*update.text == r#"{"n":1,"m":2}"#)
    );
}

#[test]
fn a_session_made_and_removed_while_the_store_is_away_costs_nothing() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    serve(&mut engine, unavailable());
    done(&mut engine);
    let Some(Ok(Value::Session(found))) = engine.load(2, "mks:a", None, false) else {
        panic!("it is found without the store");
    };
    assert!(matches!(
        engine.remove_key(3, &found, "mks:a", None, None),
        Some(Ok(Value::Count(0)))
    ));
    assert!(engine.lanes.is_empty() && engine.owed.is_empty() && engine.owed.bytes() == 0);
    assert_eq!(record.borrow().state, State::Removed);
}

#[test]
fn what_is_too_much_is_given_up_and_told_of() {
    let limits = Limits {
        count: 2,
        bytes: 1 << 20,
    };
    let mut engine = Engine::new(Slow::default(), Some(1000), TIMEOUT, limits, None);
    for op in 1..=3 {
        let record = session(&format!("mks:{op}"));
        save(&mut engine, op, &record, r#"{"n":1}"#);
        if op == 1 {
            serve(&mut engine, unavailable());
            done(&mut engine);
        }
        for failure in 0..5 {
            engine.has_failed(&Error::new(Kind::Unavailable, failure.to_string()));
        }
    }
    let events = engine.drain().1;
    let told = |event: &&Event| matches!(event, Event::Error(error) if error.kind == Kind::GivenUp && error.message.contains("mks:1"));
    assert_eq!(events.iter().filter(told).count(), 1, "{events:?}");
    assert_eq!(engine.owed.len(), 2);
}

#[test]
fn a_close_gives_up_at_its_deadline() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    serve(&mut engine, unavailable());
    done(&mut engine);
    let now = Instant::now();
    assert!(engine.close(2, now + TIMEOUT).is_none());
    engine.expire(now + TIMEOUT);
    let (_, events) = engine.drain();
    assert!(
        matches!(events.as_slice(), [Event::Error(error)] if error.kind == Kind::GivenUp),
        "{events:?}"
    );
}

#[test]
fn a_conditional_save_brings_what_others_have_stored() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    serve(&mut engine, saved());
    done(&mut engine);
    let newer = Stored {
        text: r#"{"n":1,"m":2}"#.into(),
        version: 2,
        ..record.borrow().stored()
    };
    engine.swap(2, &record, r#"{"n":2}"#.into(), None, false);
    let asked = serve(&mut engine, Reply::Conflict(Box::new(newer)));
    assert!(
        matches!(asked, Op::Update(update) if update.basis.as_ref().is_some_and(|basis| basis.version == 1))
    );
    assert_eq!(done(&mut engine), HashMap::from([(2, false)]));
    record.borrow_mut().merge(None).expect("objects");
    assert_eq!(
        (&*record.borrow().text, record.borrow().version),
        (r#"{"n":1,"m":2}"#, 2)
    );
}

#[test]
fn what_was_never_stored_is_removed_without_the_store() {
    let (mut engine, record) = (engine(), session("mks:a"));
    assert!(matches!(
        engine.remove_key(1, &record, "mks:a", None, None),
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
        engine.save(1, &record, None, Extent::Changes, None, false),
        Some(Ok(_))
    ));
    assert!(matches!(
        engine.save(2, &record, None, Extent::ForRetry, None, false),
        Some(Ok(_))
    ));
    assert!(
        engine
            .save(3, &record, None, Extent::Always, None, false)
            .is_none()
    );
    assert!(matches!(serve(&mut engine, saved()), Op::Create(create) if create.ttl == Some(1000)));
}

#[test]
fn a_close_waits_for_what_was_asked_for_and_refuses_the_rest() {
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
    assert!(matches!(serve(&mut engine, Reply::Done), Op::Close));
    assert_eq!(done(&mut engine), HashMap::from([(3, true)]));
}

#[test]
fn what_a_save_that_failed_would_have_stored_goes_with_the_next_one_and_nothing_twice() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, "{}");
    engine.save(2, &record, None, Extent::Always, None, false);
    serve(&mut engine, saved());
    done(&mut engine);
    // a conditional one fails while another waits
    let guarded = Some(r#"{"d":1}"#.into());
    engine.save(3, &record, guarded, Extent::Changes, None, true);
    save(&mut engine, 4, &record, r#"{"d":1,"e":1}"#);
    let newer = Stored {
        text: r#"{"o":1}"#.into(),
        version: 2,
        ..record.borrow().stored()
    };
    serve(&mut engine, Reply::Conflict(Box::new(newer)));
    assert_eq!(done(&mut engine), HashMap::from([(3, false)]));
    let Op::Update(waiting) = serve(&mut engine, saved()) else {
        panic!("the one that waited")
    };
    assert_eq!((&*waiting.base, &*waiting.text), ("{}", r#"{"d":1,"e":1}"#));
    done(&mut engine);
    assert_eq!(&*record.borrow().view, r#"{"d":1,"e":1}"#);
    save(&mut engine, 5, &record, r#"{"d":1,"e":1}"#);
    assert!(engine.backend.asked.is_empty(), "nothing twice");
}

#[test]
fn what_is_owed_beyond_the_limit_of_the_store_does_not_turn_in_a_circle() {
    let limits = Limits {
        count: 10,
        bytes: 1 << 20,
    };
    let mut engine = Engine::new(Slow::default(), Some(1000), TIMEOUT, limits, None);
    for op in 1..=15 {
        save(
            &mut engine,
            op,
            &session(&format!("mks:{op}")),
            r#"{"n":1}"#,
        );
    }
    let mut served = 0;
    while !engine.backend.asked.is_empty() {
        serve(&mut engine, saved());
        engine.drain();
        served += 1;
    }
    assert_eq!((served, engine.owed.len(), engine.owed.bytes()), (15, 0, 0));
    assert_eq!(engine.sent_bytes, 0);
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
