//! Which sessions need no look into the cache.

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
fn a_session_is_current_while_nothing_of_it_is_under_way() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    assert!(is_current(&record));
    save(&mut engine, 2, &record, r#"{"x":2}"#);
    assert!(!is_current(&record));
    save(&mut engine, 3, &record, r#"{"x":3}"#);
    serve(&mut engine, wrote(2));
    done(&mut engine);
    assert!(!is_current(&record), "the next save is under way");
    serve(&mut engine, wrote(3));
    done(&mut engine);
    assert!(is_current(&record));
    assert_eq!(engine.cache.counts().hits, 2, "each of them counts");
}

#[test]
fn it_is_not_when_others_have_written_it() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    engine.cache.invalidate("mks:a");
    assert!(!is_current(&record), "the server has said so");
    save(&mut engine, 2, &record, r#"{"x":2}"#);
    serve(&mut engine, wrote(3));
    done(&mut engine);
    assert!(!is_current(&record), "the sequence of the save has said so");
}

#[test]
fn nor_when_the_connection_was_lost_or_its_time_is_over() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    let in_a_while = Instant::now() + Duration::from_secs(30);
    assert!(!record.borrow().is_current(in_a_while));
    engine.cache.track(false);
    assert!(!is_current(&record));
}

#[test]
fn nor_with_a_key_that_is_not_stored_yet() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    record.borrow_mut().add_key("mks:b", None);
    assert!(!is_current(&record));
}

#[test]
fn nor_while_another_session_is_stored_under_its_key() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    let other = session("mks:a");
    save(&mut engine, 2, &other, r#"{"y":1}"#);
    assert!(!is_current(&record), "that is under way");
    serve(&mut engine, saved());
    done(&mut engine);
    assert!(!is_current(&record) && is_current(&other));
}

#[test]
fn one_that_was_found_in_the_cache_is_current_from_then_on() {
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
    assert!(!is_current(&record), "it has to be merged");
    record
        .borrow_mut()
        .merge(&Patch::default())
        .expect("texts of objects");
    let again = engine.load(5, "mks:a", Some(&record), false);
    assert!(matches!(again, Some(Ok(Value::Current(true)))));
    assert!(is_current(&found) && is_current(&record));
}

#[test]
fn nor_while_one_of_its_other_keys_is_being_taken() {
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
fn nor_while_an_object_that_knows_other_keys_of_it_writes() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"x":1}"#);
    let stale = Rc::new(RefCell::new(record.borrow().clone()));
    stale.borrow_mut().drop_key("mks:a");
    stale.borrow_mut().add_key("mks:c", None);
    save(&mut engine, 2, &stale, r#"{"x":2}"#);
    assert!(!is_current(&record));
}
