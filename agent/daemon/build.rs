//! Leaves the unwind tables out of agents that are built for release: why stands in `no-unwind.ld`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=no-unwind.ld");
    println!("cargo::rerun-if-env-changed=E3_LINK_LEAN");
    // Whoever sets it links with lld and aborts on panics; other linkers need the tables for their own start code.
    if env::var_os("E3_LINK_LEAN").is_some() {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/no-unwind.ld");
    }
}
