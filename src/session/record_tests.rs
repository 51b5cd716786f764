use super::*;
use std::time::Duration;

use crate::session::{NamedKey, Renamed, Saved, Write};

fn stored(text: &str, keys: &[&str]) -> Stored {
    Stored {
        uuid: format!("{UUID_PREFIX}1"),
        primary: "mks:a".into(),
        keys: keys
            .iter()
            .map(|name| NamedKey::plain((*name).into()))
            .collect(),
        document: text.into(),
        version: 0,
        renewal_due: false,
        renewal_due_in: None,
        renewal_due_at: None,
    }
}

/// The write of a save of a data object that has become `text`.
fn save(record: &mut Record, text: &str) -> Rc<Write> {
    let patch = Patch::between(&record.projected.text(), text).expect("objects");
    let change = record.take(&patch);
    record.write(change, None, record.state == State::New)
}

#[test]
fn a_new_session_has_its_own_uuid_and_no_data() {
    let (one, two) = (
        Record::new(uuid::Uuid::new_v4()),
        Record::new(uuid::Uuid::new_v4()),
    );
    assert_ne!(one.uuid, two.uuid);
    assert!(one.uuid.starts_with(UUID_PREFIX));
    assert!(!one.is_dirty() && one.projected.is_empty());
}

#[test]
fn a_key_is_dirty_until_it_is_stored() {
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_key("mks:a", None);
    assert!(record.is_dirty());
    let write = save(&mut record, "{}");
    let create = record.create(Rc::clone(&write), 1);
    assert_eq!((&*create.primary, write.keys.len()), ("mks:a", 1));
    record.saved(&write, Saved::default());
    assert!(!record.is_dirty());
    record.add_key("mks:a", Some("1".into()));
    assert!(record.is_dirty(), "another resource is a change");
}

#[test]
fn a_resource_that_changed_while_it_was_being_stored_stays_dirty() {
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_key("mks:a", Some("1".into()));
    let write = save(&mut record, "{}");
    record.add_key("mks:a", Some("2".into()));
    record.saved(&write, Saved::default());
    assert!(record.is_dirty());
}

#[test]
fn a_loaded_document_is_merged_into_the_record() {
    let mut record = Record::loaded(stored(r#"{"a":1,"b":1}"#, &["mks:a"]));
    record.add_key("mks:mine", None);
    assert!(record.absorb(stored(r#"{"a":2,"c":3}"#, &["mks:a", "mks:b"])));
    assert_eq!(record.keys.len(), 3);
    let mine = Patch::setting(r#"{"b":7}"#);
    let patch = record.merge(&mine).expect("objects");
    assert_eq!(patch.to_json(), r#"{"set":{"a":2,"c":3},"removed":[]}"#);
    assert_eq!(&*record.stored_document.text(), r#"{"a":2,"c":3}"#);
}

#[test]
fn a_merge_without_changes_in_this_process_leaves_the_record_clean() {
    let mut record = Record::loaded(stored(r#"{"a":1}"#, &["mks:a"]));
    assert!(!record.absorb(stored(r#"{"a":1}"#, &["mks:a"])));
    assert!(record.absorb(stored(r#"{"a":2}"#, &["mks:a"])));
    record.merge(&Patch::default()).expect("objects");
    assert!(record.is_clean());
    assert_eq!(&*record.stored_document.text(), r#"{"a":2}"#);
}

#[test]
fn an_older_load_does_not_undo_a_newer_save() {
    let mut record = Record::loaded(Stored {
        version: 1,
        ..stored(r#"{"a":1}"#, &["mks:a"])
    });
    let two = save(&mut record, r#"{"a":2}"#);
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
    assert_eq!(&*record.stored_document.text(), r#"{"a":2}"#);
}

#[test]
fn a_document_loaded_during_a_save_is_merged_with_it() {
    let mut record = Record::loaded(stored(r#"{"x":0,"y":0}"#, &["mks:a"]));
    let write = save(&mut record, r#"{"x":0,"y":1}"#);
    record.absorb(stored(r#"{"x":1,"y":0}"#, &["mks:a"]));
    let patch = record.merge(&Patch::default()).expect("objects");
    assert_eq!(patch, Patch::setting(r#"{"x":1}"#), "y was changed here");
    record.saved(&write, Saved::default());
    assert_eq!(&*record.stored_document.text(), r#"{"x":1,"y":1}"#);
    assert_eq!(record.projected, record.stored_document);
    assert!(
        !record.is_dirty(),
        "the next save does not repeat the changes of other processes"
    );
}

#[test]
fn the_next_save_writes_the_changes_of_a_failed_one() {
    let mut record = Record::loaded(stored(r#"{"a":1,"b":1}"#, &["mks:a"]));
    let failed = record.take(&Patch::setting(r#"{"a":2}"#));
    record.not_saved(&failed.patch);
    record.review(std::iter::empty());
    assert!(record.is_dirty() && !record.is_clean());
    record.absorb(stored(r#"{"a":3,"b":3}"#, &["mks:a"]));
    let patch = record.merge(&Patch::default()).expect("objects");
    assert_eq!(patch, Patch::setting(r#"{"b":3}"#), "a was changed here");
    let next = record.take(&Patch::setting(r#"{"c":1}"#));
    assert_eq!(&*next.result.text(), r#"{"a":2,"b":3,"c":1}"#);
    assert_eq!(next.patch, Patch::setting(r#"{"a":2,"c":1}"#));
}

fn leg_of<'a>(record: &'a Record, name: &str) -> (Option<&'a str>, bool) {
    let key = record.key(name).expect("it has the key");
    (key.leg.as_deref(), key.stored)
}

#[test]
fn another_leg_is_stored_by_the_next_save_and_the_same_one_is_not() {
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_leg("mks:a", None, Some("<r ?"), Some(true));
    let write = save(&mut record, "{}");
    assert_eq!(write.keys[0].leg.as_deref(), Some("<r ?"));
    assert!(write.keys[0].is_claim() && record.awaits_retry("mks:a"));
    record.saved(&write, Saved::default());
    assert_eq!(leg_of(&record, "mks:a"), (Some("<r ?"), true));
    record.add_key("mks:a", None);
    record.add_leg("mks:a", None, Some("<r ?"), None);
    assert_eq!(leg_of(&record, "mks:a"), (Some("<r ?"), true));
    record.add_leg("mks:a", None, Some("<r"), None);
    assert_eq!(leg_of(&record, "mks:a"), (Some("<r"), false));
    assert!(!record.awaits_retry("mks:a") && record.is_dirty());
    let write = save(&mut record, "{}");
    assert!(write.keys[0].is_claim(), "it does not take it from another");
    // A load that has come meanwhile does not undo it.
    record.absorb(record.stored());
    record.add_leg("mks:a", None, Some(""), None);
    assert_eq!(leg_of(&record, "mks:a"), (None, false));
}

#[test]
fn a_key_that_was_renamed_is_found_by_its_earlier_name() {
    let renamed = |from: &str, to: &str| Renamed {
        from: from.into(),
        to: to.into(),
    };
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_leg("mks:a", None, Some("<r"), Some(true));
    let write = save(&mut record, "{}");
    record.saved(
        &write,
        Saved {
            version: 1,
            primary: Some("mks:a;2".into()),
            renamed: vec![renamed("mks:a", "mks:a;1"), renamed("mks:a;1", "mks:a;2")],
            ..Saved::default()
        },
    );
    assert_eq!((&*record.primary, record.keys.len()), ("mks:a;2", 1));
    assert_eq!(leg_of(&record, "mks:a"), (Some("<r"), true));
    assert_eq!(&*record.name_now(&"mks:a".into()), "mks:a;2");
    assert!(std::mem::take(&mut record.has_new_names) && !record.is_dirty());
    // The application gives the key a resource by the name that it knows.
    record.add_key("mks:a", Some("1".into()));
    assert_eq!((&*record.keys[0].name, record.keys.len()), ("mks:a;2", 1));
    // The key of another dialog is moved here.
    record.add_leg("mks:a", None, Some("<s"), Some(false));
    assert_eq!(&*record.name_now(&"mks:a".into()), "mks:a");
    record.rename_keys(&[renamed("mks:a", "mks:a;1")]);
    let names: Vec<&str> = record.keys.iter().map(|key| &*key.name).collect();
    assert_eq!(names, ["mks:a;2", "mks:a"]);
    assert!(!record.has_new_names);
}

#[test]
fn the_key_of_a_dialog_is_that_with_its_tag() {
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.add_key("mks:a", None);
    record.add_leg("mks:a;remote-tag=r", None, Some("<r"), Some(true));
    record.add_leg("mks:b", None, Some(">l"), Some(true));
    assert_eq!(
        record.key_of("a", Some("r"), Some("x")),
        Some("a;remote-tag=r")
    );
    assert_eq!(record.key_of("a", Some("s"), None), Some("a"));
    assert_eq!(record.key_of("b", Some("x"), Some("l")), Some("b"));
    assert_eq!(record.key_of("b", Some("l"), Some("x")), None);
    assert_eq!(record.key_of("c", Some("r"), Some("l")), None);
}

#[test]
fn a_renewal_is_due_when_half_of_the_ttl_has_passed() {
    let (now, half) = (Instant::now(), Duration::from_millis(500));
    let mut record = Record::new(uuid::Uuid::new_v4());
    record.renewed(Some(1000), Some(now), now);
    assert!(
        record.renewal_in(now + half) != Some(Duration::ZERO),
        "it is not stored"
    );
    record.state = State::Stored;
    assert!(record.renewal_in(now + half / 2) != Some(Duration::ZERO) && !record.is_dirty());
    assert!(record.renewal_in(now + half) == Some(Duration::ZERO) && record.is_dirty());
    record.renewal_due = false;
    record.renewed(Some(u64::MAX), Some(now), now);
    assert!(record.renewal_in(now + 1000 * half) != Some(Duration::ZERO));
    record.renewed(None, Some(now), now);
    assert!(record.renewal_in(now + 1000 * half) != Some(Duration::ZERO));
    record.renewed(Some(1000), None, now);
    assert!(
        record.renewal_in(now) == Some(Duration::ZERO),
        "it is not known when it was renewed"
    );
}
