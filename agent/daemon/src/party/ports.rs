//! Who holds a TCP port on this machine, as `/proc` tells.

use std::fs;

/// A listening socket's state in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process that listens on this port, such as `python3 (pid 123)`. `None` if nobody does, or if it belongs to
/// somebody whose processes this user may not look into.
pub fn port_holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, port))
        .collect();
    let links: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holder = pids.find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
    })?;
    let name = fs::read_to_string(format!("/proc/{holder}/comm")).unwrap_or_default();
    Some(format!("{} (pid {holder})", crate::gate::talk::text(&name)))
}

/// The inodes of the sockets that listen on this port.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let listens = |row: &Vec<&str>| {
        let at = row
            .get(1)
            .and_then(|local| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok());
        at == Some(port) && row.get(3) == Some(&LISTEN)
    };
    rows.filter(listens)
        .filter_map(|row| row.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let holder = port_holder(port).unwrap();
            assert!(
                holder.ends_with(&format!("(pid {})", std::process::id())),
                "{holder}"
            );
            drop(listener);
            assert_eq!(port_holder(port), None);
        }
    }
}
