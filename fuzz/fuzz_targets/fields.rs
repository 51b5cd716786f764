//! Texts of sessions, split, compared, merged and joined: three at a time, with a NUL between them.
#![no_main]

use std::collections::{BTreeMap, HashSet};

use drachtio_session::fields::{self, Field};
use libfuzzer_sys::fuzz_target;

fn properties<'a>(fields: &[Field<'a>]) -> BTreeMap<&'a str, &'a str> {
    fields.iter().copied().collect()
}

fuzz_target!(|data: &str| {
    let mut texts = data.split('\0');
    let mut next = || texts.next().and_then(|text| fields::split(text).ok());
    let Some(base) = next() else { return };
    let joined = fields::join(base.iter().copied());
    assert_eq!(
        fields::split(&joined).expect("what was joined is an object"),
        base
    );
    let (Some(stored), Some(mine)) = (next(), next()) else {
        return;
    };
    // the second of two of a name is what counts, but no text of ours has two
    let unique = |fields: &[Field<'_>]| {
        fields
            .iter()
            .map(|(name, _)| name)
            .collect::<HashSet<_>>()
            .len()
            == fields.len()
    };
    if ![&base, &stored, &mine].iter().all(|fields| unique(fields)) {
        return;
    }
    let changes = fields::diff(&base, &stored);
    let applied = fields::apply(&base, &changes);
    let made = fields::split(&applied).expect("what changes were made to is an object");
    assert_eq!(properties(&made), properties(&stored));

    let merged = fields::apply(&mine, &fields::merge(&base, &stored, &mine));
    let merged = properties(&fields::split(&merged).expect("what was merged is an object"))
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect::<BTreeMap<_, _>>();
    let (base, stored, mine) = (properties(&base), properties(&stored), properties(&mine));
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
