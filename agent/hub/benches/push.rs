//! How long until everybody knows: many agents at one hub process, one push, real sockets, each agent
//! verifying the head's signature. Also what a subscriber costs the hub, and what an idle poll costs the
//! wire. Run it with `ci/bench hub`; `--agents N`, `--pushes N`, `--json`.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use e3_client::hub::{Hub, HubEvent, Topic};
use e3_core::document::{Head, Role, Root, RootRef};
use e3_core::envelope::Envelope;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::limits;
use e3_hub::{Location, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a packet costs besides its payload: IPv4 and TCP with timestamps.
const PACKET: usize = 52;
/// A poll over a connection of its own: three packets to open, request, answer, two acknowledgements,
/// three to close.
const PACKETS: usize = 10;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    e3_client::tls::install();
    if let [mode, folder] = &args[..]
        && mode == "hub"
    {
        return hub(Path::new(folder));
    }
    let number = |name: &str, default: usize| -> Result<usize, Failure> {
        match args.iter().position(|arg| arg == name) {
            Some(place) => Ok(args.get(place + 1).ok_or("a number is missing")?.parse()?),
            None => Ok(default),
        }
    };
    let (agents, pushes) = (number("--agents", 2000)?, number("--pushes", 5)?.max(1));
    let report = measure(agents, pushes)?;
    if args.iter().any(|arg| arg == "--json") {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// The hub's process: says where it listens, ends when its parent does.
fn hub(folder: &Path) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let settings = Settings::new(
            Location::Folder(folder.to_owned()),
            ([127, 0, 0, 1], 0).into(),
            e3_client::clock::now,
        );
        let parent =
            tokio::task::spawn_blocking(|| drop(std::io::stdin().read_to_end(&mut Vec::new())));
        let bound = e3_hub::serve(settings, async { drop(parent.await) }).await?;
        println!("{}", bound.address);
        bound.stopped().await;
        Ok(())
    })
}

/// A fleet of one key: what it signs with does not matter here.
struct Fleet {
    key: SecretKey,
    root: Envelope,
}

impl Fleet {
    fn new() -> Result<Self, Failure> {
        let key = e3_client::random::key();
        let role = || Role {
            keys: vec![key.public()],
            threshold: 1,
        };
        let release = Role {
            keys: vec![e3_client::random::key().public()],
            threshold: 1,
        };
        let root = Root {
            fleet: "bench".parse()?,
            version: 1,
            epoch: 1,
            signed: e3_client::clock::now(),
            root: role(),
            head: role(),
            session: role(),
            release,
        };
        Ok(Self {
            root: Envelope::sign(&root, &[&key])?,
            key,
        })
    }

    fn head(&self, counter: u64) -> Result<Vec<u8>, Failure> {
        let now = e3_client::clock::now();
        let head = Head {
            fleet: "bench".parse()?,
            epoch: 1,
            counter,
            signed: now,
            expires: now.plus(86_400),
            root: RootRef {
                version: 1,
                digest: self.root.digest(),
            },
            sessions: vec![],
            revoked: vec![],
            release: None,
            meshes: Vec::new(),
        };
        Ok(Envelope::sign(&head, &[&self.key])?.to_bytes())
    }
}

/// The hub's process, ended with the benchmark.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(folder: &Path) -> Result<(Self, String), Failure> {
        let child = Command::new(std::env::current_exe()?)
            .args(["hub".as_ref(), folder.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut process = Self(child);
        let mut address = String::new();
        let out = process.0.stdout.take().ok_or("the hub has no output")?;
        BufReader::new(out).read_line(&mut address)?;
        Ok((process, address.trim().to_owned()))
    }

    /// Resident memory in KiB.
    fn memory(&self) -> Result<usize, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// What an agent does with an event: nothing counts before its signature is verified.
fn verified(bytes: &[u8], key: PublicKey) -> Result<u64, Failure> {
    let envelope = Envelope::parse(bytes, limits::HEAD)?;
    Ok(envelope.verify::<Head>(&[key], 1)?.document.counter)
}

/// Connects `count` agents in a thread of their own and reports each verified head's counter.
fn listen(url: String, key: PublicKey, count: usize, seen: mpsc::Sender<(u64, Instant)>) {
    std::thread::spawn(move || -> Result<(), Failure> {
        runtime()?.block_on(async {
            let hub = Arc::new(Hub::open(&url, None)?);
            let mut agents = tokio::task::JoinSet::new();
            for _ in 0..count {
                let (hub, seen) = (Arc::clone(&hub), seen.clone());
                agents.spawn(async move {
                    let mut events = hub.events(&[Topic::Head]).await?;
                    loop {
                        let HubEvent::Head(bytes) = events.next().await? else {
                            continue;
                        };
                        let counter = verified(&bytes, key)?;
                        if seen.send((counter, Instant::now())).is_err() {
                            return Ok::<(), Failure>(());
                        }
                    }
                });
            }
            // An agent that fails is one that never reports: the benchmark says how many.
            while agents.join_next().await.is_some() {}
            Ok(())
        })
    });
}

struct Report {
    agents: usize,
    /// Of each push: the median agent and the last one.
    pushes: Vec<(Duration, Duration)>,
    /// KiB before anybody came, with all of them, and after the pushes.
    memory: [usize; 3],
    /// Payload bytes of one idle poll: request and answer.
    poll: [usize; 2],
}

fn measure(agents: usize, pushes: usize) -> Result<Report, Failure> {
    raise_file_limit()?;
    let folder = tempfile::tempdir()?;
    let fleet = Fleet::new()?;
    let location = Location::Folder(folder.path().to_owned());
    let now = e3_client::clock::now();
    runtime()?.block_on(e3_hub::init(
        &location,
        &fleet.root.to_bytes(),
        Some(&fleet.head(1)?),
        now,
    ))?;
    let (process, address) = Process::start(folder.path())?;
    let url = format!("http://{address}");
    let hub = Hub::open(&url, None)?;
    let runtime = runtime()?;
    let mut etag = runtime.block_on(hub.head(None))?.ok_or("no head")?.etag;
    let mut report = Report {
        agents,
        pushes: vec![],
        memory: [process.memory()?, 0, 0],
        poll: [0, 0],
    };
    report.poll = runtime.block_on(poll(&address, &etag))?;

    let (send, seen) = mpsc::channel();
    let threads = std::thread::available_parallelism()?
        .get()
        .div_ceil(2)
        .min(agents.max(1));
    for thread in 0..threads {
        let count = agents / threads + usize::from(thread < agents % threads);
        listen(url.clone(), fleet.key.public(), count, send.clone());
    }
    drop(send);
    let all = |counter: u64| -> Result<Vec<Instant>, Failure> {
        let mut times = Vec::new();
        while times.len() < agents {
            let wait = seen.recv_timeout(Duration::from_mins(1));
            let (of, at) =
                wait.map_err(|_| format!("{} of {agents} agents got head {counter}", times.len()))?;
            if of != counter {
                return Err(format!("an agent got head {of} instead of {counter}").into());
            }
            times.push(at);
        }
        Ok(times)
    };
    all(1)?;
    report.memory[1] = process.memory()?;
    for push in 0..pushes {
        let counter = push as u64 + 2;
        let head = fleet.head(counter)?;
        let started = Instant::now();
        runtime.block_on(hub.put_head(head, Some(&etag)))?;
        let mut times: Vec<Duration> = all(counter)?
            .iter()
            .map(|at| at.duration_since(started))
            .collect();
        times.sort();
        let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
        report.pushes.push((median, last));
        etag = runtime.block_on(hub.head(None))?.ok_or("no head")?.etag;
    }
    report.memory[2] = process.memory()?;
    Ok(report)
}

/// One poll by the real client, counted by a relay in between.
async fn poll(hub: &str, etag: &str) -> Result<[usize; 2], Failure> {
    let relay = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let client = Hub::open(&format!("http://{}", relay.local_addr()?), None)?;
    let count = async {
        let (mut client, _) = relay.accept().await?;
        let mut server = TcpStream::connect(hub).await?;
        let mut buffer = vec![0; 64 * 1024];
        let request = client.read(&mut buffer).await?;
        server.write_all(&buffer[..request]).await?;
        let answer = server.read(&mut buffer).await?;
        client.write_all(&buffer[..answer]).await?;
        if !buffer.starts_with(b"HTTP/1.1 304 ") {
            return Err("the poll was not answered with 304".into());
        }
        Ok::<_, Failure>([request, answer])
    };
    let (counted, head) = tokio::join!(count, client.head(Some(etag)));
    if head?.is_some() {
        return Err("the poll was answered with a head".into());
    }
    counted
}

fn raise_file_limit() -> Result<(), Failure> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

impl Report {
    /// The median push, by its last agent.
    fn typical(&self) -> (Duration, Duration) {
        let mut pushes = self.pushes.clone();
        pushes.sort_by_key(|push| push.1);
        pushes[pushes.len() / 2]
    }

    fn worst(&self) -> Duration {
        self.pushes
            .iter()
            .map(|push| push.1)
            .max()
            .unwrap_or_default()
    }

    fn per_subscriber(&self) -> usize {
        (self.memory[2].saturating_sub(self.memory[0])) * 1024 / self.agents.max(1)
    }

    fn wire(&self) -> usize {
        self.poll[0] + self.poll[1] + PACKETS * PACKET
    }

    fn print(&self) {
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        let (median, last) = self.typical();
        let agents = self.agents;
        println!(
            "One push to {agents} agents at one hub process, until the agent has verified the head"
        );
        println!("  median agent            {}", ms(median));
        println!("  last agent              {}  (goal: 1000 ms)", ms(last));
        println!(
            "  last agent, worst push  {}  of {} pushes",
            ms(self.worst()),
            self.pushes.len()
        );
        println!("Memory of the hub process");
        println!("  with nobody             {} KiB", self.memory[0]);
        println!("  with {agents} subscribers   {} KiB", self.memory[1]);
        println!(
            "  after the pushes        {} KiB, {} bytes a subscriber",
            self.memory[2],
            self.per_subscriber()
        );
        println!("One idle poll of the head (304)");
        println!(
            "  request and answer      {} + {} bytes",
            self.poll[0], self.poll[1]
        );
        println!(
            "  with a new connection   {} bytes in about {PACKETS} packets  (goal: 1024)",
            self.wire()
        );
    }

    fn json(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (median, last) = self.typical();
        format!(
            "{{\"agents\":{},\"push_ms\":{{\"median\":{:.1},\"last\":{:.1},\"worst\":{:.1}}},\
             \"memory_kib\":{{\"empty\":{},\"subscribed\":{},\"pushed\":{}}},\"bytes_per_subscriber\":{},\
             \"poll_bytes\":{{\"request\":{},\"answer\":{},\"wire\":{}}}}}",
            self.agents,
            ms(median),
            ms(last),
            ms(self.worst()),
            self.memory[0],
            self.memory[1],
            self.memory[2],
            self.per_subscriber(),
            self.poll[0],
            self.poll[1],
            self.wire(),
        )
    }
}
