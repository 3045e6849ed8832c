//! Binaries that are no good, made here.

use std::fs;
use std::process::Command;

/// Passes its self-check, and then does this.
fn program(run: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (source, made) = (folder.path().join("bad.rs"), folder.path().join("bad"));
    let text = format!(
        "use std::{{env, os::unix::net::UnixDatagram, process, thread, time::Duration}};\n\
         #[allow(dead_code)] fn ready() {{\n\
           let socket = UnixDatagram::unbound().unwrap();\n\
           socket.send_to(b\"READY=1\", env::var_os(\"NOTIFY_SOCKET\").unwrap()).unwrap();\n\
         }}\n\
         #[allow(dead_code)] fn hang() {{ loop {{ thread::sleep(Duration::from_secs(60)) }} }}\n\
         fn main() {{\n\
           if env::args().any(|arg| arg == \"self-check\") {{ process::exit(0) }}\n\
           {run}\n\
         }}\n"
    );
    fs::write(&source, text).unwrap();
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(compiler)
        .args(["--edition", "2021", "-A", "unused"])
        .arg("-o")
        .arg(&made)
        .arg(&source)
        .status();
    assert!(
        status.unwrap().success(),
        "the bad program does not compile"
    );
    fs::read(made).unwrap()
}

/// Dies at once.
pub(crate) fn crashes() -> Vec<u8> {
    program("process::abort();")
}

/// Never gets ready.
pub(crate) fn hangs() -> Vec<u8> {
    program("hang();")
}

/// Gets ready, and gives no sign of life any more.
pub(crate) fn falls_asleep() -> Vec<u8> {
    program("ready(); hang();")
}

/// Says that it is fine, and ends.
pub(crate) fn ends_at_once() -> Vec<u8> {
    program("ready();")
}
