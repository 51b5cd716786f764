//! The functions that each message calls: they are declared where they are, as all others, and replaced here by direct ones
//! (`node_api`).
#![allow(unsafe_code)] // a callback of Node-API is an unsafe function; the macro declares them

use napi::bindgen_prelude::Object;
use napi::{Env, JsValue as _};
use napi_derive::napi;

use super::node_api::{Name, Quoted, Text, direct};
use super::stores::EngineHandle;
use super::values::RecordHandle;
use super::{engine, record};

/// Runs when an environment loads the addon.
#[napi(module_exports)]
pub fn exports(exports: Object, env: Env) -> napi::Result<()> {
    direct! { env.raw(), exports.raw();
        c"engineLoad" = |engine: EngineHandle, op: u32, id: Name, live: Option<RecordHandle>, keeps_key: Option<bool>| {
            engine::engine_load(engine, op, id, live, keeps_key)
        };
        c"engineSave" = |
            engine: EngineHandle, op: u32, record: RecordHandle, set: Option<Text>, removed: Option<Text>, mode: u32,
            ttl: Option<f64>, if_unchanged: Option<bool>
        | {
            engine::engine_save(engine, op, record, set, removed, mode, ttl, if_unchanged)
        };
        c"engineRemoveKey" = |
            engine: EngineHandle, op: u32, record: RecordHandle, id: Name, set: Option<Text>, removed: Option<Text>,
            ttl: Option<f64>
        | {
            engine::engine_remove_key(engine, op, record, id, set, removed, ttl)
        };
        c"engineGet" = |engine: EngineHandle, op: u32, name: Text| engine::engine_get(engine, op, name);
        c"engineSet" = |engine: EngineHandle, op: u32, name: Text, text: Text, ttl: Option<f64>| {
            engine::engine_set(engine, op, name, text, ttl)
        };
        c"engineSetString" = |engine: EngineHandle, op: u32, name: Text, value: Quoted, ttl: Option<f64>| {
            engine::engine_set_string(engine, op, name, value, ttl)
        };
        c"placeholderRecord" = |plan: u32, failed: bool, id: Name, leg: Option<Text>|
            record::placeholder_record(plan, failed, id, leg);
        c"recordAddKey" = |
            record: RecordHandle, id: Name, resource: Option<Text>, leg: Option<Text>, claims: Option<bool>
        | {
            record::record_add_key(record, id, resource, leg, claims)
        };
        c"recordKeyOf" = |
            record: RecordHandle, call_id: Text, remote_tag: Option<Text>, local_tag: Option<Text>
        | {
            Ok(record::record_key_of(record, call_id, remote_tag, local_tag))
        };
        c"recordAwaitsRetry" = |record: RecordHandle, id: Name| record::record_awaits_retry(record, id);
        c"recordIsClean" = |record: RecordHandle| Ok(record::record_is_clean(record));
        c"engineIsCurrent" = |engine: EngineHandle, record: RecordHandle| {
            Ok(engine::engine_is_current(engine, record))
        };
        c"recordIsRemoved" = |record: RecordHandle| Ok(record::record_is_removed(record));
    }
    Ok(())
}
