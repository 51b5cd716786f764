use super::*;
use crate::session::{Change, Create, Document, NamedKey, Patch, RemoveKey, Update, Write};

/// Answers every call from a map, as a JavaScript store would.
fn serve(
    store: &mut JavaScriptStore,
    entries: &mut HashMap<String, String>,
) -> Vec<(u32, std::result::Result<Reply, Failed>)> {
    loop {
        let calls = store.calls();
        if calls.is_empty() {
            return store.take().replies;
        }
        for call in calls {
            let answer = match call.method {
                "get" => entries.get(&call.name).cloned(),
                "set" => entries
                    .insert(call.name, call.text.expect("a value"))
                    .and(None),
                _ => entries.remove(&call.name).and(None),
            };
            store.answer(call.id, Ok(answer));
        }
    }
}

fn create() -> Create {
    Create {
        uuid: "mks:session:1".into(),
        primary: "mks:a".into(),
        write: Rc::new(Write {
            change: Change::new(Document::default(), Patch::setting(r#"{"x":1}"#)),
            keys: vec![
                NamedKey::plain("mks:a".into()),
                NamedKey {
                    resource: Some("[1]".into()),
                    ..NamedKey::plain("mks:b".into())
                },
            ],
            ttl: None,
        }),
        join: false,
        sequence: 1,
        displaced: false,
        renamed: Vec::new(),
    }
}

#[test]
fn two_kinds_of_entry_and_none_is_left() {
    let (mut store, mut entries) = (JavaScriptStore::new(), HashMap::new());
    assert!(store.submit(1, StoreOp::Create(create())).is_none());
    assert!(matches!(
        serve(&mut store, &mut entries).as_slice(),
        [(1, Ok(Reply::Saved(_)))]
    ));
    assert_eq!(entries["mks:a"], r#""mks:session:1""#);
    assert_eq!(
        entries["mks:session:1"],
        r#"{"keys":{"mks:a":null,"mks:b":[1]},"session":{"x":1}}"#
    );
    for (ticket, name, left) in [(2, "mks:a", 1), (3, "mks:b", 0)] {
        store.submit(
            ticket,
            StoreOp::RemoveKey(RemoveKey {
                of: None,
                name: name.into(),
                write: None,
                ttl: None,
                sequence: 0,
            }),
        );
        let removed = Reply::Removed { left, version: 0 };
        let replies = serve(&mut store, &mut entries);
        assert!(
            matches!(replies.as_slice(), [(at, Ok(reply))] if *at == ticket && *reply == removed),
            "{replies:?}"
        );
    }
    assert!(entries.is_empty());
}

#[test]
fn what_is_no_session_is_an_error_that_says_where() {
    let (mut store, mut entries) = (JavaScriptStore::new(), HashMap::new());
    entries.insert("mks:a".to_owned(), r#""mks:session:1""#.to_owned());
    entries.insert("mks:session:1".to_owned(), r#"{"cookie":{}}"#.to_owned());
    store.submit(
        1,
        StoreOp::Load {
            name: "mks:a".into(),
        },
    );
    let replies = serve(&mut store, &mut entries);
    let [(1, Err(Failed { error, .. }))] = replies.as_slice() else {
        panic!("{replies:?}")
    };
    assert_eq!(error.kind, Kind::Corrupt);
    assert!(error.message.contains("mks:session:1"));
}

#[test]
fn an_operation_that_was_given_up_ignores_a_late_answer() {
    let mut store = JavaScriptStore::new();
    store.submit(
        7,
        StoreOp::Load {
            name: "mks:a".into(),
        },
    );
    let call = store.calls().remove(0);
    store.give_up(&[7]);
    assert!(
        matches!(store.take().replies.as_slice(), [(7, Err(failed))] if failed.error.kind == Kind::Timeout)
    );
    store.answer(call.id, Ok(None));
    assert!(store.take().replies.is_empty());
}

#[test]
fn a_save_that_is_asked_for_again_undoes_nothing_newer() {
    let (mut store, mut entries) = (JavaScriptStore::new(), HashMap::new());
    let stored = r#"{"keys":{"mks:a":null},"session":{"x":1,"y":1,"z":1}}"#;
    entries.insert("mks:session:1".to_owned(), stored.to_owned());
    let update = Update {
        uuid: "mks:session:1".into(),
        primary: "mks:session:1".into(),
        write: Rc::new(Write {
            change: Change::new(
                Document::from(r#"{"x":1,"y":1,"z":1}"#),
                Patch::parse(Some(r#"{"x":2,"y":2}"#.into()), Some(r#"["z"]"#)).expect("a patch"),
            ),
            keys: Vec::new(),
            ttl: None,
        }),
        known: vec!["mks:a".into()],
        expected: None,
        sequence: 2,
        repeated: false,
        renamed: Vec::new(),
    };
    store.submit(1, StoreOp::Update(update));
    let _unanswered = store.calls();
    store.give_up(&[1]);
    let Some((1, Err(failed))) = store.take().replies.pop() else {
        panic!("it is given back")
    };
    // It was done after all, and another process has written since.
    let newer = r#"{"keys":{"mks:a":null},"session":{"x":3,"y":1,"z":1}}"#;
    entries.insert("mks:session:1".to_owned(), newer.to_owned());
    store.submit(2, *failed.op);
    serve(&mut store, &mut entries);
    let now = r#"{"keys":{"mks:a":null},"session":{"x":3,"y":2}}"#;
    assert_eq!(entries["mks:session:1"], now);
}
