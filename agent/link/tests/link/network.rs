//! Networks for tests, out of namespaces: an internet, and machines behind routers of different kinds.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::place::PUBLIC;

/// What stands between a machine and the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Router {
    /// Nothing.
    None,
    /// One that keeps ports, and lets in what was spoken to: most homes.
    Cone,
    /// One that takes another port for everybody.
    Symmetric,
    /// Two of these in a row: a carrier's and one's own.
    Carrier,
    /// One that lets no UDP through: a company's.
    NoUdp,
}

/// Namespaces that vanish with the test.
pub(crate) struct Network {
    names: Vec<String>,
    prefix: String,
}

fn run(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert!(
        child.wait().unwrap().success(),
        "{program} {arguments:?}: {input}"
    );
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

impl Network {
    /// The internet with a relay's place in it, and a machine behind each of the routers: `p0`, `p1`, ...
    pub(crate) fn new(routers: &[Router]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut network = Self {
            names: Vec::new(),
            prefix: format!("e3link-{}-{number}", std::process::id()),
        };
        network.add("net");
        network.ip(
            "net",
            &format!(
                "link add hub type bridge stp_state 0 forward_delay 0\naddress add {PUBLIC}/24 dev hub\nlink set hub up"
            ),
        );
        for (index, router) in routers.iter().enumerate() {
            let machine = format!("p{index}");
            let public = format!("203.0.113.{}", 100 + index);
            let lan = format!("192.168.{}", 10 + index);
            match router {
                Router::None => network.cable("net", "hub", &machine, &public, PUBLIC),
                Router::Carrier => {
                    let (outer, inner) = (format!("c{index}"), format!("n{index}"));
                    let carrier = format!("100.64.{index}");
                    network.cable("net", "hub", &outer, &public, PUBLIC);
                    network.route(&outer, Router::Symmetric, &format!("{carrier}.1"));
                    network.cable(
                        &outer,
                        "lan",
                        &inner,
                        &format!("{carrier}.2"),
                        &format!("{carrier}.1"),
                    );
                    network.route(&inner, Router::Symmetric, &format!("{lan}.1"));
                    network.cable(
                        &inner,
                        "lan",
                        &machine,
                        &format!("{lan}.2"),
                        &format!("{lan}.1"),
                    );
                }
                kind => {
                    let inner = format!("n{index}");
                    network.cable("net", "hub", &inner, &public, PUBLIC);
                    network.route(&inner, *kind, &format!("{lan}.1"));
                    network.cable(
                        &inner,
                        "lan",
                        &machine,
                        &format!("{lan}.2"),
                        &format!("{lan}.1"),
                    );
                }
            }
        }
        network
    }

    fn name(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    fn add(&mut self, node: &str) {
        let name = self.name(node);
        run("ip", &["netns", "add", &name], "");
        self.names.push(name);
        self.ip(node, "link set lo up");
    }

    /// Commands of `ip` in a namespace.
    pub(crate) fn ip(&self, node: &str, commands: &str) {
        run(
            "ip",
            &["-n", &self.name(node), "-batch", "-"],
            &format!("{commands}\n"),
        );
    }

    fn nft(&self, node: &str, rules: &str) {
        run(
            "ip",
            &["netns", "exec", &self.name(node), "nft", "-f", "-"],
            rules,
        );
    }

    /// A new node on a bridge of another one.
    fn cable(&mut self, switch: &str, bridge: &str, node: &str, address: &str, gateway: &str) {
        self.add(node);
        let there = self.name(node);
        self.ip(switch, &format!(
            "link add {node} type veth peer name wan netns {there}\nlink set {node} master {bridge} up"
        ));
        self.ip(
            node,
            &format!(
                "address add {address}/24 dev wan\nlink set wan up\nroute add default via {gateway}"
            ),
        );
    }

    /// Makes a router of a node, with a bridge for those behind it.
    fn route(&self, node: &str, kind: Router, address: &str) {
        self.ip(node, &format!(
            "link add lan type bridge stp_state 0 forward_delay 0\naddress add {address}/24 dev lan\nlink set lan up"
        ));
        run(
            "ip",
            &[
                "netns",
                "exec",
                &self.name(node),
                "sh",
                "-c",
                "echo 1 >/proc/sys/net/ipv4/ip_forward",
            ],
            "",
        );
        let random = if kind == Router::Symmetric {
            "fully-random"
        } else {
            ""
        };
        let no_udp = if kind == Router::NoUdp {
            "meta l4proto udp drop"
        } else {
            ""
        };
        // What comes uncalled for a router itself is dropped, as home routers do. Were it not, Linux would take its address
        // and port as in use, and give the hole that is then punched from inside another port.
        self.nft(node, &format!(
            "table ip t {{\n\
             chain out {{ type nat hook postrouting priority 100; oifname \"wan\" masquerade {random}; }}\n\
             chain to_itself {{ type filter hook input priority 0; iifname \"wan\" ct state new drop; }}\n\
             chain through {{ type filter hook forward priority 0; policy drop; {no_udp}\n\
             ct state established,related accept; iifname \"lan\" accept; }}\n\
             }}\n"
        ));
    }

    /// Does something on a node. Processes that it starts live there.
    pub(crate) fn on<T: Send>(&self, node: &str, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name(node))).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
