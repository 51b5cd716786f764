//! When a record is current: equal to what the store has, as its cache validity proves.

use super::*;

fn engine() -> Engine<Slow> {
    let size = Size {
        max: 1 << 20,
        ttl: Duration::from_secs(60),
    };
    let mut engine = Engine::new(
        Slow::default(),
        Settings {
            default_ttl: Some(60_000),
            timeout: TIMEOUT,
            limits: Limits::default(),
            cache: Some(size),
        },
        Environment::system(),
    );
    engine.cache.track(true);
    engine
}

fn is_current(record: &Shared) -> bool {
    record.borrow().is_current(Instant::now())
}

#[test]
fn a_record_is_current_while_no_operation_on_it_is_queued_or_in_flight() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    assert!(is_current(&record));
    save(&mut engine, 2, &record, r#"{"x":2}"#);
    assert!(!is_current(&record));
    save(&mut engine, 3, &record, r#"{"x":3}"#);
    serve(&mut engine, wrote(2));
    done(&mut engine);
    assert!(!is_current(&record), "the next save is in flight");
    serve(&mut engine, wrote(3));
    done(&mut engine);
    assert!(is_current(&record));
    assert_eq!(
        engine.cache.counts().hits,
        2,
        "both checks that succeeded count"
    );
}

#[test]
fn it_is_not_after_another_process_has_written_it() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    engine.cache.invalidate("mks:a");
    assert!(!is_current(&record), "Redis has invalidated it");
    save(&mut engine, 2, &record, r#"{"x":2}"#);
    serve(&mut engine, wrote(3));
    done(&mut engine);
    assert!(
        !is_current(&record),
        "the version of the save shows another write"
    );
}

#[test]
fn it_is_not_after_its_renewal_is_due_or_the_connection_is_lost() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    let in_a_while = Instant::now() + Duration::from_secs(30);
    assert!(!record.borrow().is_current(in_a_while));
    engine.cache.track(false);
    assert!(!is_current(&record));
}

#[test]
fn it_is_not_with_a_key_that_is_not_stored_yet() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    record.borrow_mut().add_key("mks:b", None);
    assert!(!is_current(&record));
}

#[test]
fn it_is_not_while_or_after_another_session_takes_its_key() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    let other = session("mks:a");
    save(&mut engine, 2, &other, r#"{"y":1}"#);
    assert!(!is_current(&record), "the other save is in flight");
    serve(&mut engine, saved());
    done(&mut engine);
    assert!(!is_current(&record) && is_current(&other));
}

#[test]
fn a_record_from_the_cache_is_current() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    let Some(Ok(Value::Session(found))) = engine.load(2, "mks:a", None, false) else {
        panic!("it is in the cache")
    };
    assert!(is_current(&found));
    save(&mut engine, 3, &found, r#"{"x":2}"#);
    serve(&mut engine, wrote(2));
    done(&mut engine);
    assert!(is_current(&found) && !is_current(&record));
    let again = engine.load(4, "mks:a", Some(&record), false);
    assert!(matches!(again, Some(Ok(Value::Current(false)))));
    assert!(!is_current(&record), "it must be merged first");
    record
        .borrow_mut()
        .merge(&Patch::default())
        .expect("texts of objects");
    let again = engine.load(5, "mks:a", Some(&record), false);
    assert!(matches!(again, Some(Ok(Value::Current(true)))));
    assert!(is_current(&found) && is_current(&record));
}

#[test]
fn it_is_not_while_another_session_takes_one_of_its_other_keys() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    record.borrow_mut().add_key("mks:b", None);
    save(&mut engine, 2, &record, r#"{"x":1}"#);
    serve(&mut engine, wrote(2));
    done(&mut engine);
    assert!(is_current(&record));
    let other = session("mks:b");
    save(&mut engine, 3, &other, r#"{"y":1}"#);
    assert!(!is_current(&record));
    let Some(Ok(Value::Session(found))) = engine.load(4, "mks:a", None, false) else {
        panic!("by its first key it is in the cache")
    };
    assert!(!is_current(&found), "its other key may lead elsewhere");
}

#[test]
fn it_is_not_while_a_record_with_other_keys_of_it_is_saved() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    let stale = Rc::new(RefCell::new(record.borrow().clone()));
    stale.borrow_mut().drop_key("mks:a");
    stale.borrow_mut().add_key("mks:c", None);
    save(&mut engine, 2, &stale, r#"{"x":2}"#);
    assert!(!is_current(&record));
}
