//! Machines for tests: an `e3-link` each, with a folder, a key, and an address for every peer.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use e3_core::mesh::link::{
    Answer, Config, Id, KeySource, Peer, PeerPath, PeerStatus, Reach, Request, Serve, Status,
};
use tempfile::TempDir;

/// Whatever a test waits for happens within this time or never.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `what` gives something.
pub(crate) fn until<T>(what: &str, mut tried: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = tried() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with the test.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// What it tells its service manager goes here; closed, it would complain.
    _notify: UnixDatagram,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `e3-link` and waits until it says that it is ready.
pub(crate) fn start(folder: &TempDir, arguments: &[&str]) -> Process {
    let path = folder.path().join("notify");
    let _ = fs::remove_file(&path);
    let notify = UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(DEADLINE)).unwrap();
    // What is installed, to measure: E3_TEST_LINK=target/release/e3-link.
    let program = std::env::var_os("E3_TEST_LINK");
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_e3-link").into());
    let child = Command::new(program)
        .args(arguments)
        .env("NOTIFY_SOCKET", &path)
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process {
        child,
        _notify: notify.try_clone().unwrap(),
    };
    let mut word = [0; 64];
    let length = notify.recv(&mut word).expect("e3-link gets ready");
    assert_eq!(&word[..length], b"READY=1\n");
    process
}

/// A machine.
pub(crate) struct Machine {
    pub(crate) id: Id,
    pub(crate) folder: TempDir,
    pub(crate) config: Config,
    process: Option<Process>,
}

/// A UDP port that was free a moment ago.
pub(crate) fn udp_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A TCP port that was free a moment ago, on all addresses.
pub(crate) fn tcp_port() -> u16 {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// An address in 127.0.0.0/8 that no other test uses.
fn local() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u8::try_from(std::process::id() % 200).unwrap();
    Ipv4Addr::new(127, 30 + process, high, low.wrapping_add(1))
}

impl Machine {
    /// A machine with a key that speaks to nobody.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("link.key");
        let output = Command::new(env!("CARGO_BIN_EXE_e3-link"))
            .args(["keygen", "--out"])
            .arg(&key)
            .output()
            .unwrap();
        let id = String::from_utf8(output.stdout).unwrap();
        let id = id.trim().parse().expect("keygen prints the id");
        let config = Config {
            generation: 1,
            key: KeySource::File(key),
            control: folder.path().join("control"),
            bind: vec![SocketAddr::from(([127, 0, 0, 1], udp_port()))],
            external: Vec::new(),
            relays: Vec::new(),
            authorities: None,
            clock_floor: None,
            hold_seconds: 15,
            peers: Vec::new(),
        };
        Self {
            id,
            folder,
            config,
            process: None,
        }
    }

    /// Makes `other` a peer, at its address or at the relays alone.
    pub(crate) fn knows(&mut self, other: &Self, is_address_known: bool) -> &mut Peer {
        self.config.peers.push(Peer {
            id: other.id,
            name: None,
            client: None,
            addresses: other.config.bind[..usize::from(is_address_known)].to_vec(),
            local: local(),
            reach: Vec::new(),
            serve: Vec::new(),
        });
        self.config.peers.last_mut().unwrap()
    }

    fn config_path(&self) -> PathBuf {
        self.folder.path().join("link.json")
    }

    pub(crate) fn write_config(&self) {
        let text = serde_json::to_vec_pretty(&self.config).unwrap();
        e3_client::files::write_volatile(&self.config_path(), &text).unwrap();
    }

    pub(crate) fn start(&mut self) {
        self.write_config();
        let path = self.config_path();
        self.process = Some(start(
            &self.folder,
            &["run", "--config", path.to_str().unwrap()],
        ));
    }

    /// Kills it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn pid(&self) -> i32 {
        let process = self.process.as_ref().expect("it runs");
        process.child.id().try_into().unwrap()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let pid = nix::unistd::Pid::from_raw(process.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(process.child.wait().unwrap().success());
    }

    /// One line each way.
    pub(crate) fn ask(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(&self.config.control).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn status(&self) -> Status {
        let line = serde_json::to_string(&Request::Status).unwrap() + "\n";
        match serde_json::from_str(&self.ask(&line)).unwrap() {
            Answer::Status(status) => *status,
            other => panic!("{other:?} is no status"),
        }
    }

    /// How it sees a peer.
    pub(crate) fn sees(&self, other: &Self) -> PeerStatus {
        let peers = self.status().peers;
        peers
            .into_iter()
            .find(|peer| peer.id == other.id)
            .expect("a status says something of every peer")
    }

    pub(crate) fn until_connected(&self, other: &Self) {
        until("a connection", || {
            (self.sees(other).path != PeerPath::None).then_some(())
        });
    }

    /// Puts the configuration as it is now into effect.
    pub(crate) fn reload(&mut self) -> Answer {
        self.config.generation += 1;
        self.write_config();
        let line = serde_json::to_string(&Request::Reload).unwrap() + "\n";
        serde_json::from_str(&self.ask(&line)).unwrap()
    }

    /// The same without a file.
    pub(crate) fn apply(&self) -> Answer {
        let request = Request::Apply(Box::new(self.config.clone()));
        let line = serde_json::to_string(&request).unwrap() + "\n";
        serde_json::from_str(&self.ask(&line)).unwrap()
    }
}

/// A service: it listens on a port of this machine.
pub(crate) struct Service(pub(crate) TcpListener);

impl Service {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn at(port: u16) -> Self {
        Self(TcpListener::bind(("127.0.0.1", port)).unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> (TcpStream, SocketAddr) {
        self.0.set_nonblocking(true).unwrap();
        let (stream, from) = until("a connection", || self.0.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        (stream, from)
    }
}

/// Two machines that know each other's addresses; the second has a service with this port that the first may reach.
pub(crate) fn pair(port: u16) -> (Machine, Machine) {
    let (mut near, mut far) = (Machine::new(), Machine::new());
    near.knows(&far, true)
        .reach
        .push(Reach { port, listen: None });
    far.knows(&near, true)
        .serve
        .push(Serve { port, target: None });
    (near, far)
}

/// Dials the `index`th peer's `index`th service.
pub(crate) fn dial(machine: &Machine, peer: usize, service: usize) -> TcpStream {
    let peer = &machine.config.peers[peer];
    let address = SocketAddr::from((peer.local, peer.reach[service].listen()));
    let stream = until("a listener", || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Whether a connection ends by a reset.
pub(crate) fn is_reset(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    stream
        .read_to_end(&mut rest)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}
