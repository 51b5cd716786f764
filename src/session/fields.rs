//! The JSON text of a session as its top-level properties: split, compared, merged, joined.
//!
//! Property names and values stay JSON text. A name is the text between its quotes, with its escapes, so that names which
//! are not valid Unicode (lone surrogates, written `\ud800`) are preserved. Text comes from `JSON.stringify` or from a
//! store; [`split`] checks the text of a store before it is used.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A property: its name as JSON writes it, without the quotes, and the JSON text of its value.
pub type Field<'a> = (&'a str, &'a str);

/// The text of a session without properties.
pub const EMPTY: &str = "{}";

/// Splits the text of a JSON object into its top-level properties, in their order.
///
/// # Errors
/// When `text` is not the text of one JSON object.
pub fn split(text: &str) -> Result<Vec<Field<'_>>, serde_json::Error> {
    struct Properties;
    impl<'de> Visitor<'de> for Properties {
        type Value = Vec<Field<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::with_capacity(16);
            while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                let name = name.get();
                fields.push((&name[1..name.len() - 1], value.get()));
            }
            Ok(fields)
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(Properties)?;
    json.end()?;
    Ok(fields)
}

/// Checks that `text` is one JSON value.
///
/// # Errors
/// When it is not.
pub fn check(text: &str) -> Result<(), serde_json::Error> {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    if inner.is_some_and(is_verbatim) {
        return Ok(());
    }
    serde_json::from_str::<&RawValue>(text).map(|_| ())
}

/// Whether a JSON string contains `text` without escapes. The compiler vectorizes the loop (1 KB: 0.05 µs), but not where
/// it inlines the function (0.9 µs).
#[must_use]
#[inline(never)]
pub fn is_verbatim(text: &str) -> bool {
    let is_special = |byte| matches!(byte, 0..=0x1f | b'"' | b'\\');
    !text
        .bytes()
        .fold(false, |found, byte| found | is_special(byte))
}

/// `text` as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    // Few texts have a character to escape.
    if is_verbatim(text) {
        return ["\"", text, "\""].concat();
    }
    // A string can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

/// The text of the JSON object that has `fields`.
#[must_use]
pub fn join<'a>(fields: impl IntoIterator<Item = Field<'a>>) -> String {
    let mut text = String::from("{");
    for (name, value) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        text.push_str(value);
    }
    text.push('}');
    text
}

/// Puts properties in the order of JavaScript (ECMAScript, `OrdinaryOwnPropertyKeys`): array indices first, ascending. So
/// the text from the fields of a store equals that of `JSON.stringify`.
pub fn order(fields: &mut [Field<'_>]) {
    let index = |name: &str| {
        let plain = name == "0" || !name.starts_with('0');
        let digits = plain && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| name.parse().ok())
            .flatten()
            .filter(|index: &u32| *index < u32::MAX)
    };
    if fields.iter().any(|(name, _)| index(name).is_some()) {
        fields.sort_by_key(|(name, _)| index(name).map_or((1, 0), |index| (0, index)));
    }
}

/// The changes that turn one text into another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// Properties that are new or have another value.
    pub set: Vec<Field<'a>>,
    /// Names of properties that the other text does not have.
    pub removed: Vec<&'a str>,
}

impl<'a> Changes<'a> {
    /// The names of all properties that they set or remove.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        let set = self.set.iter().map(|(name, _)| *name);
        set.chain(self.removed.iter().copied())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

/// The difference from `base` to `now`.
#[must_use]
pub fn diff<'a>(base: &[Field<'a>], now: &[Field<'a>]) -> Changes<'a> {
    let before: HashMap<&str, &str> = base.iter().copied().collect();
    let set = now
        .iter()
        .filter(|(name, value)| before.get(name) != Some(value))
        .copied()
        .collect();
    let after: HashMap<&str, &str> = now.iter().copied().collect();
    let removed = base
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !after.contains_key(name))
        .collect();
    Changes { set, removed }
}

/// The text of `base` after `changes`.
#[must_use]
pub fn apply(base: &[Field<'_>], changes: &Changes<'_>) -> String {
    let removed: HashSet<&str> = changes.removed.iter().copied().collect();
    let mut fields: Vec<Field<'_>> = base
        .iter()
        .filter(|(name, _)| !removed.contains(name))
        .copied()
        .collect();
    let positions: HashMap<&str, usize> = fields
        .iter()
        .enumerate()
        .map(|(position, (name, _))| (*name, position))
        .collect();
    for (name, value) in &changes.set {
        match positions.get(name) {
            Some(&position) => fields[position].1 = value,
            None => fields.push((name, value)),
        }
    }
    order(&mut fields);
    join(fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Vec<Field<'_>> {
        split(text).expect("an object")
    }

    #[test]
    fn only_the_properties_at_the_top_are_split() {
        let text = r#"{"user":"jack","at":{"a":[1,{"user":2}]},"e":"","__proto__":{"x":1},"\ud800":"\udfff","q\"":null}"#;
        let found = fields(text);
        assert_eq!(found.len(), 6);
        assert_eq!(found[1], ("at", r#"{"a":[1,{"user":2}]}"#));
        assert_eq!(found[4], (r"\ud800", r#""\udfff""#));
        assert_eq!(found[5], (r#"q\""#, "null"));
        assert_eq!(join(found), text);
    }

    #[test]
    fn only_an_object_is_a_session() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{",
            r#"{"a":1"#,
            r#"{"a":1}{"#,
            r#"{"a":}"#,
            "{a:1}",
            "\0",
        ] {
            assert!(split(text).is_err(), "{text}");
        }
        assert_eq!(fields(EMPTY), []);
    }

    #[test]
    fn values_of_all_types_are_checked() {
        for text in [
            r#""""#,
            r#""a b""#,
            r#""\"\n\ud800""#,
            r#"["a","b"]"#,
            " 1 ",
            "null",
            "\"\u{7f}é\"",
        ] {
            assert!(check(text).is_ok(), "{text}");
        }
        for text in [
            "", "\"", "\"a", "a\"", r#""a"b""#, r#""\""#, "\"\n\"", "\"\0\"", "nil", "1 2",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_difference_has_the_set_and_the_removed_properties() {
        let changes = diff(
            &fields(r#"{"a":1,"b":2,"c":3}"#),
            &fields(r#"{"c":3,"a":1.0,"d":4}"#),
        )
        .set
        .len();
        assert_eq!(changes, 2);
        let (base, now) = (r#"{"a":1,"b":2}"#, r#"{"b":2}"#);
        assert_eq!(diff(&fields(base), &fields(now)).removed, ["a"]);
        assert!(diff(&fields(base), &fields(r#"{"b":2,"a":1}"#)).is_empty());
    }

    #[test]
    fn whole_numbers_come_first_as_in_javascript() {
        let mut out_of_order =
            fields(r#"{"b":1,"10":2,"9":3,"a":4,"01":5,"-1":6,"4294967295":7,"0":8}"#);
        order(&mut out_of_order);
        let names: Vec<&str> = out_of_order.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["0", "9", "10", "b", "a", "01", "-1", "4294967295"]);
    }

    #[test]
    fn a_text_as_a_json_string() {
        for text in [
            "",
            "plain",
            "caf\u{e9} \u{1f600}",
            "a\"b",
            "a\\b",
            "a\nb",
            "\u{1f}",
            "\u{7f}\u{2028}",
        ] {
            assert_eq!(quoted(text), serde_json::Value::from(text).to_string());
        }
    }

    prop_compose! {
        fn object()(entries in proptest::collection::btree_map("[a-e]{1,2}", "[1-9][0-9]{0,2}", 0..8)) -> String {
            join(entries.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        }
    }

    proptest! {
        #[test]
        fn a_difference_leads_from_one_text_to_the_other(base in object(), now in object()) {
            let (base, now) = (fields(&base), fields(&now));
            let made = apply(&base, &diff(&base, &now));
            prop_assert!(diff(&fields(&made), &now).is_empty());
        }

        #[test]
        fn no_text_makes_split_panic(text in "\\PC*") {
            let _ = split(&text);
        }
    }
}
