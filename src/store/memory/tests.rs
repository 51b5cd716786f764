use super::entries::Entry;
use super::*;
use crate::session::{Change, Document, Patch, Write};

fn uuid() -> Rc<str> {
    crate::session::Record::new(uuid::Uuid::new_v4()).uuid
}

fn create(uuid: &Rc<str>, keys: &[&str], text: &str, ttl: Option<u64>) -> StoreOp {
    StoreOp::Create(Create {
        uuid: Rc::clone(uuid),
        primary: keys[0].into(),
        write: Rc::new(Write {
            change: Change::new(Document::default(), Patch::setting(text)),
            keys: keys
                .iter()
                .map(|key| NamedKey::plain((*key).into()))
                .collect(),
            ttl,
        }),
        join: false,
        sequence: 1,
        displaced: false,
        renamed: Vec::new(),
    })
}

fn load(store: &mut MemoryStore, name: &str) -> Option<Stored> {
    match store.perform(StoreOp::Load { name: name.into() }) {
        Ok(Reply::Loaded(found)) => found.map(|found| *found),
        other => panic!("{other:?}"),
    }
}

fn remove(store: &mut MemoryStore, of: Option<(&Rc<str>, &str)>, name: &str) -> u64 {
    let of = of.map(|(uuid, primary)| (Rc::clone(uuid), primary.into()));
    match store.perform(StoreOp::RemoveKey(RemoveKey {
        of,
        name: name.into(),
        write: None,
        ttl: None,
        sequence: 0,
    })) {
        Ok(Reply::Removed { left, .. }) => left,
        other => panic!("{other:?}"),
    }
}

fn is_empty(store: &MemoryStore) -> bool {
    store.entries.is_empty() && store.pointers.is_empty()
}

#[test]
fn every_key_finds_the_session_and_removal_of_the_last_one_removes_it() {
    for last in ["mks:a", "mks:b"] {
        let (mut store, id) = (MemoryStore::new(None), uuid());
        store
            .perform(create(&id, &["mks:a", "mks:b"], r#"{"x":1}"#, Some(1000)))
            .expect("stored");
        assert_eq!(
            load(&mut store, "mks:b").map(|found| found.uuid),
            Some(id.to_string())
        );
        let first = if last == "mks:a" { "mks:b" } else { "mks:a" };
        assert_eq!(remove(&mut store, Some((&id, "mks:a")), first), 1);
        assert_eq!(load(&mut store, first), None);
        assert!(load(&mut store, last).is_some());
        assert_eq!(remove(&mut store, None, last), 0);
        assert!(is_empty(&store));
    }
}

#[test]
fn a_resource_stays_with_its_key() {
    let (mut store, id) = (MemoryStore::new(None), uuid());
    store
        .perform(create(&id, &["mks:a"], "{}", None))
        .expect("stored");
    let mut put = |name: &str, resource: Option<&str>| {
        let update = Update {
            uuid: Rc::clone(&id),
            primary: "mks:a".into(),
            write: Rc::new(Write {
                change: Change::new(Document::default(), Patch::default()),
                keys: vec![NamedKey {
                    resource: resource.map(str::to_owned),
                    ..NamedKey::plain(name.into())
                }],
                ttl: None,
            }),
            known: Vec::new(),
            expected: None,
            sequence: 0,
            repeated: false,
            renamed: Vec::new(),
        };
        store.perform(StoreOp::Update(update)).expect("stored");
        let found = load(&mut store, "mks:a").expect("found").keys;
        let keys = found.iter().map(|key| {
            format!(
                "{}={}",
                key.name,
                key.resource.as_deref().unwrap_or_default()
            )
        });
        keys.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(put("mks:a", None), "mks:a=");
    assert_eq!(put("mks:a", Some("1")), "mks:a=1");
    assert_eq!(put("mks:b", Some("2")), "mks:a=1 mks:b=2");
    assert_eq!(put("mks:b", None), "mks:a=1 mks:b=");
    assert_eq!(put("mks:a", None), "mks:b= mks:a=");
    assert_eq!(remove(&mut store, Some((&id, "mks:a")), "mks:b"), 1);
    assert_eq!(remove(&mut store, Some((&id, "mks:a")), "mks:b"), 1);
    assert_eq!(remove(&mut store, Some((&id, "mks:a")), "mks:a"), 0);
    assert!(is_empty(&store));
}

#[test]
fn an_entry_expires_at_its_moved_deadline() {
    let (mut store, id) = (MemoryStore::new(None), uuid());
    store
        .perform(create(&id, &["mks:a"], "{}", Some(100)))
        .expect("stored");
    store.entries.touch("mks:a", Some(200), 50);
    store.expire(249);
    assert!(store.entries.peek("mks:a").is_some());
    store.entries.touch("mks:a", Some(10), 249);
    store.expire(259);
    assert!(is_empty(&store));
}

#[test]
fn an_update_does_not_create_a_removed_session_again() {
    let (mut store, id) = (MemoryStore::new(None), uuid());
    store
        .perform(create(&id, &["mks:a"], "{}", None))
        .expect("stored");
    assert_eq!(remove(&mut store, Some((&id, "mks:a")), "mks:a"), 0);
    let update = Update {
        uuid: Rc::clone(&id),
        primary: "mks:a".into(),
        write: Rc::new(Write {
            change: Change::new(Document::default(), Patch::setting(r#"{"x":1}"#)),
            keys: vec![NamedKey::plain("mks:b".into())],
            ttl: None,
        }),
        known: vec!["mks:a".into()],
        expected: None,
        sequence: 2,
        repeated: false,
        renamed: Vec::new(),
    };
    let error = store.perform(StoreOp::Update(update)).expect_err("gone");
    assert_eq!(error.kind, crate::error::Kind::Gone);
    assert!(is_empty(&store));
}

#[test]
fn a_new_dialog_takes_its_call_id_and_the_old_session_keeps_its_other_key() {
    let (mut store, old, new) = (MemoryStore::new(None), uuid(), uuid());
    store
        .perform(create(&old, &["mks:a", "mks:b"], r#"{"old":1}"#, None))
        .expect("stored");
    store
        .perform(create(&new, &["mks:a"], r#"{"new":1}"#, None))
        .expect("stored");
    let (a, b) = (
        load(&mut store, "mks:a").expect("new"),
        load(&mut store, "mks:b").expect("old"),
    );
    assert_eq!(
        (a.uuid.as_str(), &*a.document.text()),
        (&*new, r#"{"new":1}"#)
    );
    assert_eq!(
        (b.uuid.as_str(), &*b.document.text()),
        (&*old, r#"{"old":1}"#)
    );
    assert_eq!(remove(&mut store, Some((&new, &a.primary)), "mks:a"), 0);
    assert_eq!(remove(&mut store, Some((&old, &b.primary)), "mks:b"), 0);
    assert!(is_empty(&store));
}

#[test]
fn a_first_save_that_joins_gives_its_data_to_the_stored_session() {
    let (mut store, old, new) = (MemoryStore::new(None), uuid(), uuid());
    store
        .perform(create(&old, &["mks:a"], r#"{"old":1}"#, None))
        .expect("stored");
    let StoreOp::Create(second) = create(&new, &["mks:a"], r#"{"new":1}"#, None) else {
        unreachable!()
    };
    let Ok(Reply::Saved(saved)) = store.perform(StoreOp::Create(Create {
        join: true,
        ..second
    })) else {
        panic!("not saved")
    };
    assert_eq!(saved.uuid.as_deref(), Some(&*old));
    assert_eq!(
        load(&mut store, "mks:a")
            .map(|found| found.document.text())
            .as_deref(),
        Some(r#"{"old":1,"new":1}"#)
    );
}

#[test]
fn an_expired_session_is_removed_with_its_keys() {
    let (mut store, id) = (MemoryStore::new(None), uuid());
    store
        .perform(create(&id, &["mks:a", "mks:b"], "{}", Some(0)))
        .expect("stored");
    assert_eq!(load(&mut store, "mks:a"), None);
    assert!(is_empty(&store));
}

#[test]
fn an_entry_with_its_name_and_links_fits_its_block() {
    // The next size of the allocator is 160 bytes.
    assert!(size_of::<(Rc<str>, Entry, [usize; 2])>() <= 128);
}

#[test]
fn beyond_max_the_least_recently_used_session_is_evicted_with_an_event() {
    let mut store = MemoryStore::new(NonZeroUsize::new(2));
    for key in ["mks:a", "mks:b"] {
        store
            .perform(create(&uuid(), &[key], "{}", None))
            .expect("stored");
    }
    load(&mut store, "mks:a");
    store
        .perform(create(&uuid(), &["mks:c"], "{}", None))
        .expect("stored");
    assert!(load(&mut store, "mks:b").is_none() && load(&mut store, "mks:a").is_some());
    assert!(matches!(store.take().events.as_slice(), [Event::Evict(name, _)] if name == "mks:b"));
}

/// The first save of a dialog that claims `name`. Gives the uuid, and the name that it is stored under.
fn claim(store: &mut MemoryStore, name: &str, leg: &str) -> (Rc<str>, String) {
    let id = uuid();
    let mut op = create(&id, &[name], &format!(r#"{{"of":"{leg}"}}"#), None);
    let StoreOp::Create(create) = &mut op else {
        unreachable!()
    };
    let mut key = NamedKey::plain(name.into());
    (key.leg, key.claims) = (Some(leg.into()), true);
    Rc::get_mut(&mut create.write).expect("its own").keys = vec![key];
    match store.perform(op) {
        Ok(Reply::Saved(saved)) => {
            let renamed = saved.renamed.last();
            let stored = renamed.map_or(name, |renamed| &*renamed.to).to_owned();
            let primary = saved.primary.as_deref().unwrap_or(name);
            assert!(primary.starts_with(&stored), "{primary} for {stored}");
            (id, stored)
        }
        other => panic!("{other:?}"),
    }
}

fn owner(store: &mut MemoryStore, name: &str) -> Option<String> {
    load(store, name).map(|found| found.uuid)
}

#[test]
fn a_claim_does_not_take_the_name_of_a_dialog() {
    let mut store = MemoryStore::new(None);
    let (first, name) = claim(&mut store, "mks:a", "<r");
    assert_eq!(name, "mks:a");
    let (second, name) = claim(&mut store, "mks:a", "<s");
    assert_eq!(name, "mks:a;remote-tag=s");
    let (third, name) = claim(&mut store, "mks:a", "<s");
    let last = format!("mks:a;remote-tag=s;session={}", &third[third.len() - 12..]);
    assert_eq!(name, last);
    let (fourth, name) = claim(&mut store, "mks:a", ">r s");
    assert_eq!(name, "mks:a;local-tag=r");
    for (name, id) in [
        ("mks:a", &first),
        ("mks:a;remote-tag=s", &second),
        (last.as_str(), &third),
        ("mks:a;local-tag=r", &fourth),
    ] {
        assert_eq!(owner(&mut store, name).as_deref(), Some(&**id), "{name}");
        assert_eq!(remove(&mut store, Some((id, name)), name), 0);
    }
    assert!(is_empty(&store));
}

#[test]
fn a_claim_takes_the_name_of_a_challenged_request_and_of_an_application() {
    for leg in ["<r ?", "<r s ?", "?"] {
        let mut store = MemoryStore::new(None);
        claim(&mut store, "mks:a", leg);
        let (second, name) = claim(&mut store, "mks:a", "<r");
        assert_eq!(name, "mks:a");
        assert_eq!(owner(&mut store, "mks:a").as_deref(), Some(&*second));
        assert_eq!(remove(&mut store, Some((&second, "mks:a")), "mks:a"), 0);
        assert!(is_empty(&store), "the other session had no other key");
    }
    let mut store = MemoryStore::new(None);
    claim(&mut store, "mks:a", "<r ?");
    let (_, name) = claim(&mut store, "mks:a", "<s");
    assert_eq!(
        name, "mks:a;remote-tag=s",
        "another caller waits for his retry"
    );

    let (mut store, plain) = (MemoryStore::new(None), uuid());
    let op = create(&plain, &["mks:a", "mks:b"], "{}", None);
    store.perform(op).expect("stored");
    let (second, name) = claim(&mut store, "mks:a", "<s");
    assert_eq!(name, "mks:a", "the other session is stored there");
    assert_eq!(owner(&mut store, "mks:a").as_deref(), Some(&*second));
    assert_eq!(owner(&mut store, "mks:b").as_deref(), Some(&*plain));
}

#[test]
fn an_added_key_claims_its_name_and_a_moved_one_takes_it() {
    let (mut store, id) = (MemoryStore::new(None), uuid());
    let (first, _) = claim(&mut store, "mks:a", "<r");
    store
        .perform(create(&id, &["mks:own"], "{}", None))
        .expect("stored");
    let mut add = |claims| {
        let mut key = NamedKey::plain("mks:a".into());
        (key.leg, key.claims) = (Some("<r".into()), claims);
        let update = Update {
            uuid: Rc::clone(&id),
            primary: "mks:own".into(),
            write: Rc::new(Write {
                change: Change::new(Document::default(), Patch::default()),
                keys: vec![key],
                ttl: None,
            }),
            known: Vec::new(),
            expected: None,
            sequence: 0,
            repeated: false,
            renamed: Vec::new(),
        };
        let Ok(Reply::Saved(saved)) = store.perform(StoreOp::Update(update)) else {
            panic!("not saved")
        };
        let to = saved.renamed.last().map(|renamed| renamed.to.to_string());
        (to, owner(&mut store, "mks:a"))
    };
    let tagged = Some("mks:a;remote-tag=r".to_owned());
    assert_eq!(add(true), (tagged, Some(first.to_string())));
    assert_eq!(add(false), (None, Some(id.to_string())));
    assert_eq!(
        owner(&mut store, "mks:a;remote-tag=r"),
        Some(id.to_string())
    );
    let keys = load(&mut store, "mks:own").expect("found").keys;
    let legs: Vec<_> = keys.iter().map(|key| key.leg.as_deref()).collect();
    assert_eq!(legs, [None, Some("<r"), Some("<r")]);
}
