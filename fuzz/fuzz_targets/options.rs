//! Options of a store, as the text that JavaScript hands over: taken, or refused as an option.
#![no_main]

use drachtio_session::error::Kind;
use drachtio_session::store::redis::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::new(text) {
        Ok(config) => assert!((1..=64).contains(&config.pool_size)),
        Err(error) => assert_eq!(error.kind, Kind::Option, "{error}"),
    }
});
