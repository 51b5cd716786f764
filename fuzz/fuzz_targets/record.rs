//! What stands in Redis under a key of ours, whoever wrote it: read, or refused, and never worse than that.
#![no_main]

use drachtio_session::{error, fields, store};
use libfuzzer_sys::fuzz_target;
use redis::Value;

// private to the crate; as a module of this one it finds there what it uses
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
    // fields and values, one after the other
    let parts: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    let mut entries: Vec<_> = parts
        .chunks(2)
        .map(|pair| entry(pair[0], pair.get(1).unwrap_or(&&[][..])))
        .collect();
    if flags & 1 != 0 {
        entries.push(entry(b"uuid", b"u"));
        entries.push(entry(b"@mks:a", b""));
    }
    let home = (flags & 2 != 0).then_some("mks:b");
    if let Ok(layout::Found::Session(found)) = layout::read(NAME, home, Value::Map(entries)) {
        let properties = fields::split(&found.text).expect("the text of a session is one object");
        // what stands around a value, such as a line break, is not kept
        let again = fields::join(properties.iter().copied());
        assert_eq!(fields::split(&again).expect("an object"), properties);
        assert!(
            found.keys.iter().any(|(key, _)| **key == *NAME),
            "a session that the key leads to has it"
        );
    }
});
