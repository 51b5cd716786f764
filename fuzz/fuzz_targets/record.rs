//! Reads the hash of a session, which any program can have written to Redis. `layout` must give a session or an error.
#![no_main]

use drachtio_session::session::fields;
use drachtio_session::{error, session};
use libfuzzer_sys::fuzz_target;
use redis::Value;

// The module is private to the crate. Here it finds `crate::error` and `crate::session` by the imports above.
#[allow(dead_code)]
#[path = "../../src/store/redis/layout.rs"]
mod layout;

const NAME: &str = "mks:a";

fn entry(field: &[u8], value: &[u8]) -> (Value, Value) {
    (
        Value::BulkString(field.to_vec()),
        Value::BulkString(value.to_vec()),
    )
}

fuzz_target!(|data: &[u8]| {
    let [flags, data @ ..] = data else { return };
    // Fields and values in turns.
    let parts: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    let mut entries: Vec<_> = parts
        .chunks(2)
        .map(|pair| entry(pair[0], pair.get(1).unwrap_or(&&[][..])))
        .collect();
    if flags & 1 != 0 {
        entries.push(entry(b"uuid", b"u"));
        entries.push(entry(b"@mks:a", b""));
    }
    let primary = (flags & 2 != 0).then_some("mks:b");
    if let Ok(layout::Found::Session(found)) = layout::read(NAME, primary, Value::Map(entries)) {
        let text = found.document.text();
        let properties = fields::split(&text).expect("the text of a session is one object");
        // White space around a value is not kept.
        let again = fields::join(properties.iter().copied());
        assert_eq!(fields::split(&again).expect("an object"), properties);
        assert!(
            found.keys.iter().any(|(key, _)| **key == *NAME),
            "a session must have the key that it was found by"
        );
    }
});
