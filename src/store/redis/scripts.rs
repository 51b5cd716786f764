//! The Lua scripts, with `shared.lua` in them, and the digests by which Redis knows them.

use std::sync::LazyLock;

/// A script.
pub struct Script {
    /// The text, for `SCRIPT LOAD` and `EVAL`.
    pub text: String,
    /// The SHA-1 digest of the text, for `EVALSHA`.
    pub digest: String,
}

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            // Each script has a line that marks where the shared functions go.
            let shared = include_str!("scripts/shared.lua");
            let text = include_str!(concat!("scripts/", $file)).replace("-- shared.lua", shared);
            let digest = redis::Script::new(&text).get_hash().to_owned();
            Script { text, digest }
        })
    };
}

/// Stores a session, or the changes of one.
pub static SAVE: LazyLock<Script> = script!("save.lua");
/// Removes a key from a session, and with the last one the session.
pub static REMOVE: LazyLock<Script> = script!("remove.lua");
/// Removes a session with all of its keys.
pub static DESTROY: LazyLock<Script> = script!("destroy.lua");

/// The texts of all scripts.
pub fn texts() -> impl Iterator<Item = &'static str> {
    [&SAVE, &REMOVE, &DESTROY]
        .into_iter()
        .map(|script| &*script.text)
}
