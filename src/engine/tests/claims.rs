//! Keys that the store has stored under other names, because dialogs of other sessions have theirs.

use super::*;
use crate::session::{Create, Renamed};

const TAGGED: &str = "mks:a;remote-tag=r";

fn dialog() -> Shared {
    let record = session("mks:own");
    record.borrow_mut().keys.clear();
    record
        .borrow_mut()
        .add_leg("mks:a", None, Some("<r"), Some(true));
    record
}

fn begin(engine: &mut Engine<Slow>, op: u32, record: &Shared) {
    let patch = patch_to(record, r#"{"n":1}"#);
    engine.save(op, record, &patch, SaveMode::Always, None, false);
}

fn renamed() -> Reply {
    Reply::Saved(Saved {
        version: 1,
        primary: Some(TAGGED.into()),
        renamed: vec![Renamed {
            from: "mks:a".into(),
            to: TAGGED.into(),
        }],
        ..Saved::default()
    })
}

fn names(record: &Shared) -> Vec<String> {
    let record = record.borrow();
    record.keys.iter().map(|key| key.name.to_string()).collect()
}

#[test]
fn the_record_and_queued_operations_follow_a_new_name() {
    let (mut engine, record) = (engine(), dialog());
    begin(&mut engine, 1, &record);
    remove_key(&mut engine, 2, &record, "mks:a");
    serve(&mut engine, renamed());
    let completed = engine.drain().0;
    assert!(
        matches!(completed.as_slice(), [(1, Ok(Value::Current(true)))]),
        "the caller is told that keys were renamed: {completed:?}"
    );
    assert_eq!(
        (names(&record), &*record.borrow().primary),
        (vec![TAGGED.into()], TAGGED)
    );
    // Also a load by the new name comes after what is queued.
    assert!(engine.load(3, TAGGED, None, false).is_none());
    let StoreOp::RemoveKey(removal) = serve(&mut engine, removed()) else {
        panic!("no removal")
    };
    assert_eq!(&*removal.name, TAGGED);
    let (_, primary) = removal.of.expect("it is stored");
    assert_eq!(&*primary, TAGGED);
    done(&mut engine);
    assert_eq!(record.borrow().state, State::Removed);
    assert!(matches!(
        serve(&mut engine, Reply::Loaded(None)),
        StoreOp::Load { .. }
    ));
}

#[test]
fn a_save_in_doubt_is_repeated_under_the_new_name() {
    let (mut engine, record) = (engine(), dialog());
    begin(&mut engine, 1, &record);
    let (ticket, op) = engine.backend.sent.pop_front().expect("sent");
    let StoreOp::Create(mut sent) = op else {
        panic!("no first save")
    };
    // The store has said that the name is taken; the reply to the next attempt is lost.
    sent.rename(0);
    let failed = Failed {
        error: reset(),
        op: Box::new(StoreOp::Create(sent)),
    };
    engine.backend.answers.push((ticket, Err(failed)));
    done(&mut engine);
    assert_eq!(names(&record), [TAGGED]);
    probe(&mut engine);
    let StoreOp::Create(Create { primary, write, .. }) = serve(&mut engine, renamed()) else {
        panic!("no first save")
    };
    assert_eq!((&*primary, &*write.keys[0].name), (TAGGED, TAGGED));
    done(&mut engine);
    assert_eq!(names(&record), [TAGGED]);
    assert_eq!(record.borrow().state, State::Stored);
    assert!(!record.borrow().is_dirty());
    // The caller had an error before: the next save tells.
    let patch = patch_to(&record, r#"{"n":2}"#);
    engine.save(2, &record, &patch, SaveMode::Changes, None, false);
    serve(&mut engine, wrote(2));
    let completed = engine.drain().0;
    assert!(matches!(
        completed.as_slice(),
        [(2, Ok(Value::Current(true)))]
    ));
}

#[test]
fn a_projected_session_follows_a_new_name() {
    let (mut engine, record) = (engine(), dialog());
    begin(&mut engine, 1, &record);
    serve(&mut engine, unavailable());
    done(&mut engine);
    let Some(Ok(Value::Session(projected))) = engine.load(2, "mks:a", None, false) else {
        panic!("it is pending")
    };
    remove_key(&mut engine, 3, &projected, "mks:a");
    // It can't be dropped where another process may have added a key meanwhile.
    record.borrow_mut().state = State::Stored;
    record.borrow_mut().rename_keys(&[Renamed {
        from: "mks:a".into(),
        to: TAGGED.into(),
    }]);
    projected.borrow_mut().follow_origin();
    assert_eq!(names(&projected), [TAGGED]);
}

#[test]
fn a_renewal_falls_due_half_of_the_ttl_after_a_save() {
    let (mut engine, record) = (engine(), session("mks:a"));
    let before = Instant::now();
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    serve(&mut engine, saved());
    done(&mut engine);
    let at = record.borrow().renewal_due_at.expect("it has a TTL");
    let (half, after) = (Duration::from_millis(500), Instant::now());
    assert!(before + half <= at && at <= after + half);
    assert!(record.borrow_mut().renewal_in(at) == Some(Duration::ZERO));
    // A save of nothing writes then, for all keys.
    save_unchanged(&mut engine, 2, &record, SaveMode::Changes);
    let StoreOp::Update(update) = serve(&mut engine, wrote(2)) else {
        panic!("no save")
    };
    assert_eq!((update.known.len(), update.write.ttl), (1, Some(1000)));
    done(&mut engine);
    assert!(!record.borrow().renewal_due);
    // A store without versions does not say when it has started the TTL.
    let other = session("mks:b");
    save(&mut engine, 3, &other, r#"{"n":1}"#);
    serve(&mut engine, wrote(0));
    done(&mut engine);
    assert_eq!(other.borrow().renewal_due_at, None);
}
