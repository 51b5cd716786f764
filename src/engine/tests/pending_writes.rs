//! Pending writes, which the store could not take, and in-doubt writes, which it may have done.

use super::*;

/// A session whose first save has failed.
fn pending_session(engine: &mut Engine<Slow>, why: Error) -> Shared {
    let record = session("mks:a");
    save(engine, 1, &record, r#"{"n":1}"#);
    serve(engine, why);
    done(engine);
    record
}

/// The projected session that a load gives while the store is unavailable.
fn load_projected(engine: &mut Engine<Slow>) -> Shared {
    let Some(Ok(Value::Session(found))) = engine.load(2, "mks:a", None, false) else {
        panic!("the engine has the projected session");
    };
    found
}

#[test]
fn an_in_doubt_save_is_repeated_unchanged_before_later_writes() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    let first = serve(&mut engine, reset());
    assert_eq!(done(&mut engine), HashMap::from([(2, false)]));
    save(&mut engine, 3, &record, r#"{"n":3}"#);
    save(&mut engine, 4, &record, r#"{"n":4}"#);
    probe(&mut engine);
    // This repetition was not sent, but the first attempt stays in doubt.
    assert_eq!(serve(&mut engine, unavailable()), first);
    done(&mut engine);
    probe(&mut engine);
    assert_eq!(serve(&mut engine, wrote(2)), first);
    done(&mut engine);
    let StoreOp::Update(next) = serve(&mut engine, wrote(3)) else {
        panic!("then the later saves")
    };
    assert_eq!(
        (
            &*next.write.change.base.text(),
            &*next.write.change.result.text()
        ),
        (r#"{"n":2}"#, r#"{"n":4}"#)
    );
    assert!(matches!(first, StoreOp::Update(first) if first.sequence < next.sequence));
    done(&mut engine);
    assert!(engine.backend.sent.is_empty() && engine.queues.is_empty());
}

#[test]
fn an_in_doubt_conditional_save_is_done_at_most_once_and_its_end_is_not_reported() {
    for ends_well in [true, false] {
        let mut engine = engine();
        let record = stored_session(&mut engine, r#"{"a":1}"#);
        save_if_unchanged(&mut engine, 2, &record, r#"{"a":1,"d":1}"#);
        let first = serve(&mut engine, reset());
        assert_eq!(done(&mut engine), HashMap::from([(2, false)]));
        assert_eq!(
            &*record.borrow().projected.text(),
            r#"{"a":1}"#,
            "the store may not have done it"
        );
        assert_eq!(engine.pending.len(), 1);
        // The next save waits for its reply.
        save(&mut engine, 3, &record, r#"{"a":1,"d":1,"e":1}"#);
        let answer = if ends_well {
            wrote(2)
        } else {
            conflict(&record, r#"{"a":1,"o":1}"#)
        };
        assert_eq!(serve(&mut engine, answer), first);
        assert!(engine.drain().1.is_empty(), "no event");
        assert!(
            matches!(serve(&mut engine, wrote(3)), StoreOp::Update(next) if &*next.write.change.result.text() == r#"{"a":1,"d":1,"e":1}"#)
        );
        assert_eq!(done(&mut engine), HashMap::from([(3, true)]));
        record
            .borrow_mut()
            .merge(&Patch::default())
            .expect("objects");
        let text = if ends_well {
            r#"{"a":1,"d":1,"e":1}"#
        } else {
            r#"{"a":1,"o":1,"d":1,"e":1}"#
        };
        assert_eq!(&*record.borrow().stored_document.text(), text);
    }
}

#[test]
fn an_in_doubt_compare_and_set_that_was_done_counts_as_a_write_of_another_process() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    compare_and_set(&mut engine, 2, &record, r#"{"n":2}"#);
    let first = serve(&mut engine, reset());
    done(&mut engine);
    probe(&mut engine);
    assert_eq!(serve(&mut engine, wrote(2)), first);
    done(&mut engine);
    assert_eq!(&*record.borrow().projected.text(), r#"{"n":1}"#);
    compare_and_set(&mut engine, 3, &record, r#"{"n":2}"#);
    assert!(
        matches!(serve(&mut engine, wrote(3)), StoreOp::Update(update) if update.expected.as_ref().is_some_and(|expected| expected.version == 1)),
        "the store will answer with a conflict"
    );
}

#[test]
fn a_removal_behind_an_in_doubt_save_takes_over_the_later_saves() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    let first = serve(&mut engine, reset());
    done(&mut engine);
    save(&mut engine, 3, &record, r#"{"n":3}"#);
    remove_key(&mut engine, 4, &record, "mks:a");
    probe(&mut engine);
    assert_eq!(serve(&mut engine, wrote(2)), first);
    done(&mut engine);
    let left = Reply::Removed {
        left: 1,
        version: 3,
    };
    let StoreOp::RemoveKey(removal) = serve(&mut engine, left) else {
        panic!("then the removal")
    };
    let write = removal.write.expect("with the later save");
    let (base, result) = (write.change.base.text(), write.change.result.text());
    assert_eq!((&*base, &*result), (r#"{"n":2}"#, r#"{"n":3}"#));
}

#[test]
fn a_session_stays_while_another_record_of_it_has_added_a_key() {
    let mut engine = engine();
    let one = stored_session(&mut engine, r#"{"n":1}"#);
    let other = Rc::new(RefCell::new(one.borrow().clone()));
    save(&mut engine, 2, &one, r#"{"n":2}"#);
    serve(&mut engine, unavailable());
    done(&mut engine);
    one.borrow_mut().add_key("mks:b", None);
    save(&mut engine, 3, &one, r#"{"n":3}"#);
    remove_key(&mut engine, 4, &other, "mks:a");
    probe(&mut engine);
    assert!(
        matches!(serve(&mut engine, wrote(2)), StoreOp::Update(update) if &*update.write.change.result.text() == r#"{"n":3}"# && update.write.keys.len() == 1)
    );
}

#[test]
fn a_save_after_pending_removals_is_done_and_adds_no_key_that_they_remove() {
    let mut engine = engine();
    let one = stored_session(&mut engine, r#"{"n":1}"#);
    save(&mut engine, 2, &one, r#"{"n":2}"#);
    serve(&mut engine, unavailable());
    one.borrow_mut().add_key("mks:b", None);
    done(&mut engine);
    let other = Rc::new(RefCell::new(Record::projection(&one)));
    for (op, key) in [(3, "mks:a"), (4, "mks:b")] {
        remove_key(&mut engine, op, &other, key);
    }
    // Another process may have added a key, so the save is queued too.
    assert!(
        matches!(save(&mut engine, 5, &one, r#"{"n":3}"#), Some(Err(error)) if error.kind == Kind::Unavailable)
    );
    probe(&mut engine);
    // Its changes are written before the removals, which come from another record.
    assert!(
        matches!(serve(&mut engine, wrote(2)), StoreOp::Update(update) if update.write.keys.len() == 1 && &*update.write.change.result.text() == r#"{"n":2}"#)
    );
    done(&mut engine);
    for left in [2, 1] {
        let removed = Reply::Removed { left, version: 3 };
        assert!(matches!(serve(&mut engine, removed), StoreOp::RemoveKey(_)));
        done(&mut engine);
    }
    assert!(
        matches!(serve(&mut engine, wrote(4)), StoreOp::Update(update) if update.write.keys.is_empty() && &*update.write.change.result.text() == r#"{"n":3}"#)
    );
}

#[test]
fn a_key_that_is_not_found_does_not_end_a_session_with_other_keys() {
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
        matches!(keys.as_slice(), [key] if *key.name == *"mks:b"),
        "it is not stored yet"
    );
    assert_eq!(record.borrow().state, State::Stored);
}

#[test]
fn a_load_for_a_live_session_does_not_take_pending_writes_for_stored() {
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
fn a_save_of_an_unknown_placeholder_fails() {
    let mut engine = engine();
    let mut placeholder = Record::unknown(uuid::Uuid::new_v4());
    placeholder.add_key("mks:a", None);
    let placeholder = Rc::new(RefCell::new(placeholder));
    remove_key(&mut engine, 1, &placeholder, "mks:a");
    serve(&mut engine, unavailable());
    done(&mut engine);
    let result = save(&mut engine, 2, &placeholder, r#"{"n":1}"#);
    assert!(
        matches!(&result, Some(Err(error)) if error.message.contains("can't be saved")),
        "{result:?}"
    );
    assert!(matches!(
        save_unchanged(&mut engine, 3, &placeholder, SaveMode::Changes),
        Some(Ok(Value::Nothing))
    ));
    probe(&mut engine);
    assert!(
        matches!(serve(&mut engine, removed()), StoreOp::RemoveKey(remove) if remove.of.is_none() && remove.sequence == 0)
    );
    done(&mut engine);
    assert!(engine.queues.is_empty());
}

#[test]
fn a_pending_save_behind_the_removal_of_its_session_is_reported() {
    let mut engine = engine();
    let record = stored_session(&mut engine, r#"{"n":1}"#);
    remove_key(&mut engine, 2, &record, "mks:a");
    serve(&mut engine, unavailable());
    done(&mut engine);
    save(&mut engine, 3, &record, r#"{"n":2}"#);
    probe(&mut engine);
    assert!(matches!(
        serve(&mut engine, removed()),
        StoreOp::RemoveKey(_)
    ));
    let events = engine.drain().1;
    assert!(
        matches!(events.as_slice(), [Event::Error(error)] if error.kind == Kind::Gone),
        "{events:?}"
    );
}

#[test]
fn after_an_in_doubt_save_the_key_is_still_removed_from_the_store() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    let first = serve(&mut engine, reset());
    assert_eq!(done(&mut engine), HashMap::from([(1, false)]));
    remove_key(&mut engine, 2, &record, "mks:a");
    probe(&mut engine);
    assert_eq!(serve(&mut engine, saved()), first);
    done(&mut engine);
    assert!(matches!(
        serve(&mut engine, removed()),
        StoreOp::RemoveKey(_)
    ));
    done(&mut engine);
    assert!(
        engine.backend.sent.is_empty() && engine.queues.is_empty() && !engine.has_background_work()
    );
}

#[test]
fn a_replayed_save_includes_the_later_saves_of_its_session() {
    let (mut engine, record) = (engine(), session("mks:a"));
    save(&mut engine, 1, &record, r#"{"n":1}"#);
    save(&mut engine, 2, &record, r#"{"n":2}"#);
    serve(&mut engine, unavailable());
    assert_eq!(done(&mut engine), HashMap::from([(1, false), (2, false)]));
    assert!(matches!(
        save(&mut engine, 3, &record, r#"{"n":3}"#),
        Some(Err(_))
    ));
    assert!(engine.has_background_work() && engine.backend.sent.is_empty());
    probe(&mut engine);
    assert!(
        matches!(serve(&mut engine, saved()), StoreOp::Create(create) if &*create.write.change.result.text() == r#"{"n":3}"#)
    );
    done(&mut engine);
    assert!(engine.backend.sent.is_empty() && engine.queues.is_empty());
    assert_eq!(record.borrow().state, State::Stored);
}

#[test]
fn a_load_finds_the_projected_session() {
    let mut engine = engine();
    let _record = pending_session(&mut engine, unavailable());
    let found = load_projected(&mut engine);
    assert_eq!(&*found.borrow().projected.text(), r#"{"n":1}"#);
    save(&mut engine, 3, &found, r#"{"n":1,"m":2}"#);
    probe(&mut engine);
    assert!(
        matches!(serve(&mut engine, saved()), StoreOp::Create(create) if &*create.write.change.result.text() == r#"{"n":1}"#)
    );
    done(&mut engine);
    assert!(
        matches!(serve(&mut engine, saved()), StoreOp::Update(update) if &*update.write.change.result.text() == r#"{"n":1,"m":2}"#)
    );
}

#[test]
fn a_session_made_and_removed_while_the_store_is_unavailable_leaves_no_pending_write() {
    let mut engine = engine();
    let record = pending_session(&mut engine, unavailable());
    let found = load_projected(&mut engine);
    assert!(matches!(
        remove_key(&mut engine, 3, &found, "mks:a"),
        Some(Ok(Value::Count(0)))
    ));
    assert!(engine.queues.is_empty() && engine.pending.is_empty() && engine.pending.bytes() == 0);
    assert_eq!(record.borrow().state, State::Removed);
}

#[test]
fn pending_writes_beyond_the_limit_are_given_up_with_one_event_each() {
    let limits = Limits {
        count: 2,
        bytes: 1 << 20,
    };
    let mut engine = engine_within(limits);
    for op in 1..=3 {
        let record = session(&format!("mks:{op}"));
        save(&mut engine, op, &record, r#"{"n":1}"#);
        if op == 1 {
            serve(&mut engine, unavailable());
            done(&mut engine);
        }
        for failure in 0..5 {
            engine.store_has_failed(&Error::new(Kind::Unavailable, failure.to_string()));
        }
    }
    let events = engine.drain().1;
    let reports_it = |event: &&Event| matches!(event, Event::Error(error) if error.kind == Kind::GivenUp && error.message.contains("mks:1"));
    assert_eq!(events.iter().filter(reports_it).count(), 1, "{events:?}");
    assert_eq!(engine.pending.len(), 2);
}

#[test]
fn a_close_gives_up_at_its_deadline() {
    let mut engine = engine();
    let _record = pending_session(&mut engine, unavailable());
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
fn saves_beyond_the_limit_of_the_queue_are_each_sent_once() {
    let limits = Limits {
        count: 10,
        bytes: 1 << 20,
    };
    let mut engine = engine_within(limits);
    for op in 1..=15 {
        save(
            &mut engine,
            op,
            &session(&format!("mks:{op}")),
            r#"{"n":1}"#,
        );
    }
    let mut served = 0;
    while !engine.backend.sent.is_empty() {
        serve(&mut engine, saved());
        engine.drain();
        served += 1;
    }
    assert_eq!(
        (served, engine.pending.len(), engine.pending.bytes()),
        (15, 0, 0)
    );
    assert_eq!(engine.in_flight.bytes(), 0);
}

#[test]
fn after_a_given_up_in_doubt_first_save_the_key_is_still_removed_from_the_store() {
    let mut engine = engine();
    let record = pending_session(&mut engine, reset());
    let queue = engine.queues.of(&record.borrow());
    engine.give_up(&queue, "enough");
    assert_eq!(record.borrow().state, State::Uncertain);
    assert!(engine.queues.is_empty() && engine.pending.is_empty());
    remove_key(&mut engine, 2, &record, "mks:a");
    assert!(
        matches!(serve(&mut engine, saved()), StoreOp::RemoveKey(remove) if remove.of.is_some())
    );
}

/// A session whose first save is pending, and a projection of it that a request got meanwhile.
fn pending_with_projection(engine: &mut Engine<Slow>) -> (Shared, Shared) {
    let record = pending_session(engine, unavailable());
    let projection = load_projected(engine);
    (record, projection)
}

#[test]
fn a_projection_is_saved_where_the_first_save_has_stored_the_session() {
    let mut engine = engine();
    let (_record, projection) = pending_with_projection(&mut engine);
    save(&mut engine, 3, &projection, r#"{"n":1,"m":2}"#);
    probe(&mut engine);
    let elsewhere = Reply::Saved(Saved {
        version: 4,
        primary: Some("mks:a#1".into()),
        uuid: Some("mks:session:other".into()),
        ..Saved::default()
    });
    assert!(matches!(serve(&mut engine, elsewhere), StoreOp::Create(_)));
    done(&mut engine);
    let StoreOp::Update(update) = serve(&mut engine, wrote(5)) else {
        panic!("the projection's save")
    };
    assert_eq!(&*update.primary, "mks:a#1");
    assert_eq!(&*update.uuid, "mks:session:other");
}

#[test]
fn a_session_that_ends_by_its_projection_is_not_stored_by_the_record_that_began_it() {
    let mut engine = engine();
    let (record, projection) = pending_with_projection(&mut engine);
    let queue = engine.queues.of(&record.borrow());
    engine.give_up(&queue, "enough");
    probe(&mut engine);
    engine.destroy(3, &projection);
    assert!(matches!(serve(&mut engine, removed()), StoreOp::Destroy(_)));
    done(&mut engine);
    assert!(matches!(
        save(&mut engine, 4, &record, r#"{"n":2}"#),
        Some(Err(error)) if error.kind == Kind::Gone
    ));
}
