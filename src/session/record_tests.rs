use super::*;
use crate::session::{Saved, Written};

fn stored(text: &str, keys: &[&str]) -> Stored {
    Stored {
        uuid: format!("{UUID_PREFIX}1"),
        primary: "mks:a".into(),
        keys: keys.iter().map(|name| ((*name).into(), None)).collect(),
        text: text.into(),
        version: 0,
        renewal_due: false,
        renewal_due_in: None,
    }
}

fn written(base: &str, text: &str, keys: Vec<(Rc<str>, Option<String>)>) -> Written {
    let (base, text) = (base.into(), text.into());
    Written {
        base,
        text,
        keys,
        ttl: None,
    }
}

#[test]
fn a_new_one_has_a_uuid_of_its_own_and_nothing_else() {
    let (one, two) = (
        Record::new(uuid::Uuid::new_v4()),
        Record::new(uuid::Uuid::new_v4()),
    );
    assert_ne!(one.uuid, two.uuid);
    assert!(one.uuid.starts_with(UUID_PREFIX));
    assert!(!one.is_dirty(Some("{}")));
    assert!(one.is_dirty(Some(r#"{"a":1}"#)));
}

#[test]
fn a_key_is_dirty_until_it_is_stored() {
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_key("mks:a", None);
    assert!(record.is_dirty(None));
    let create = record.create(&"{}".into(), None, 1);
    assert_eq!((&*create.primary, create.keys.len()), ("mks:a", 1));
    record.saved(&written("{}", "{}", create.keys), Saved::default());
    assert!(!record.is_dirty(None));
    record.add_key("mks:a", Some("1".into()));
    assert!(record.is_dirty(None), "another resource is a change");
}

#[test]
fn a_resource_that_changed_while_it_was_being_stored_stays_dirty() {
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_key("mks:a", Some("1".into()));
    let create = record.create(&"{}".into(), None, 1);
    record.add_key("mks:a", Some("2".into()));
    record.saved(&written("{}", "{}", create.keys), Saved::default());
    assert!(record.is_dirty(None));
}

#[test]
fn what_a_load_brings_is_merged_into_what_is_here() {
    let mut record = Record::loaded(stored(r#"{"a":1,"b":1}"#, &["mks:a"]));
    record.add_key("mks:mine", None);
    assert!(record.absorb(stored(r#"{"a":2,"c":3}"#, &["mks:a", "mks:b"])));
    assert_eq!(record.keys.len(), 3);
    let patch = record.merge(Some(r#"{"a":1,"b":7}"#)).expect("objects");
    assert_eq!(
        patch.as_deref(),
        Some(r#"{"set":{"a":2,"c":3},"removed":[]}"#)
    );
    assert_eq!(&*record.text, r#"{"a":2,"c":3}"#);
}

#[test]
fn nothing_to_merge_where_nobody_has_read_or_nothing_differs() {
    let mut record = Record::loaded(stored(r#"{"a":1}"#, &["mks:a"]));
    assert!(!record.absorb(stored(r#"{"a":1}"#, &["mks:a"])));
    assert!(record.absorb(stored(r#"{"a":2}"#, &["mks:a"])));
    assert_eq!(record.merge(None).expect("objects"), None);
    assert_eq!(&*record.text, r#"{"a":2}"#);
}

#[test]
fn an_older_load_does_not_undo_a_newer_save() {
    let mut record = Record::loaded(Stored {
        version: 1,
        ..stored(r#"{"a":1}"#, &["mks:a"])
    });
    let two = written(r#"{"a":1}"#, r#"{"a":2}"#, Vec::new());
    record.saved(
        &two,
        Saved {
            version: 2,
            ..Saved::default()
        },
    );
    assert!(!record.absorb(Stored {
        version: 1,
        ..stored(r#"{"a":1}"#, &["mks:a"])
    }));
    assert_eq!(&*record.text, r#"{"a":2}"#);
}

#[test]
fn what_a_load_brings_during_a_save_is_not_forgotten() {
    let mut record = Record::loaded(stored(r#"{"x":0,"y":0}"#, &["mks:a"]));
    let (base, text) = record.take(Some(r#"{"x":0,"y":1}"#.into()));
    record.absorb(stored(r#"{"x":1,"y":0}"#, &["mks:a"]));
    let patch = record.merge(Some(r#"{"x":0,"y":1}"#)).expect("objects");
    assert_eq!(patch.as_deref(), Some(r#"{"set":{"x":1},"removed":[]}"#));
    let keys = Vec::new();
    let written = Written {
        base,
        text,
        keys,
        ttl: None,
    };
    record.saved(&written, Saved::default());
    assert_eq!(&*record.text, r#"{"x":1,"y":1}"#);
    assert!(
        !record.is_dirty(Some(r#"{"x":1,"y":1}"#)),
        "nothing of others goes out as ours"
    );
}
