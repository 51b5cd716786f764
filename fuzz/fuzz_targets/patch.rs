//! Texts of sessions, split, compared, merged and joined: three at a time, with a NUL between them.
#![no_main]

use std::collections::{BTreeMap, HashSet};

use drachtio_session::session::fields::{self, Field};
use drachtio_session::session::{Document, Patch};
use libfuzzer_sys::fuzz_target;

fn properties<'a>(fields: &[Field<'a>]) -> BTreeMap<&'a str, &'a str> {
    fields.iter().copied().collect()
}

fn owned(text: &str) -> BTreeMap<String, String> {
    fields::split(text)
        .expect("the text of a document is an object")
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fuzz_target!(|data: &str| {
    let texts: Vec<&str> = data.split('\0').take(3).collect();
    let parts: Result<Vec<_>, _> = texts.iter().map(|text| fields::split(text)).collect();
    let Ok(parts) = parts else { return };
    let joined = fields::join(parts[0].iter().copied());
    assert_eq!(
        fields::split(&joined).expect("what was joined is an object"),
        parts[0]
    );
    // of two properties with one name the second counts, but no text of ours has two
    let is_unique = |fields: &Vec<Field<'_>>| {
        let names: HashSet<_> = fields.iter().map(|(name, _)| name).collect();
        names.len() == fields.len()
    };
    let ([base, stored, mine], true) = (&parts[..], parts.iter().all(is_unique)) else {
        return;
    };
    let between = |to: &str| Patch::between(texts[0], to).expect("objects");
    let (theirs, ours) = (between(texts[1]), between(texts[2]));
    let document = Document::from(texts[0]);
    assert_eq!(
        owned(&document.apply(&theirs).text()),
        owned(texts[1]),
        "a difference leads from one to the other"
    );
    let composed = document.apply(&theirs.then(&ours));
    let in_turn = document.apply(&theirs).apply(&ours);
    assert_eq!(owned(&composed.text()), owned(&in_turn.text()));

    let merged = owned(&Document::from(texts[2]).apply(&theirs.except(&ours)).text());
    let (base, stored, mine) = (properties(base), properties(stored), properties(mine));
    for name in base.keys().chain(stored.keys()).chain(mine.keys()) {
        let untouched = base.get(name) == mine.get(name);
        let expected = if untouched {
            stored.get(name)
        } else {
            mine.get(name)
        };
        assert_eq!(
            merged.get(*name).map(String::as_str),
            expected.copied(),
            "{name}"
        );
    }
});
