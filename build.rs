//! Passes the linker flags of a Node-API addon.
fn main() {
    napi_build::setup();
    // The allocator has its say when a thread ends, which may be after the last worker thread that had loaded the addon
    // is gone: its code stays.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
