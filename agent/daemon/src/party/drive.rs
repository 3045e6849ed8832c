//! The task behind one party: listens to the gate, the process, the outputs and the session driver at once.

use std::path::PathBuf;
use std::time::Duration;

use e3_core::document::Exit;
use e3_core::session::Reason;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::{Around, Command, PartyEvent, peers, port_holder};
use crate::gate::link::{Door, Link, LinkError};
use crate::gate::talk::{self, GateEvent, Go, Order, Refused};
use crate::supervisor::output::{Output, Trouble};
use crate::supervisor::{self, Running};

/// Places in the channel that news about connecting leaves free for everything else.
const RESERVED: usize = 16;
/// How often to look whether the program is stopped.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in a row that must find it stopped: nobody stops a session for a moment, but a debugger may.
const STOPPED_LOOKS: u32 = 3;

/// systemd says nothing when the kernel cannot do what a unit asks for, so the gate has tried.
const UNCONFINED: &str = "this machine's kernel does not keep a program from the network (no BPF for cgroups, or systemd \
     may not use it), so the session's program could talk to anybody; to let it, write `unfiltered = true` in agent.toml";

/// What the task works with.
pub(super) struct Drive {
    pub(super) running: Box<dyn Running>,
    /// The job's own folder, removed at the end.
    pub(super) folder: PathBuf,
    pub(super) output_limit: u64,
    /// Whether a program may run although it could reach more than the session's parties.
    pub(super) unfiltered: bool,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    pub(super) troubles: mpsc::UnboundedReceiver<Trouble>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) events: mpsc::Sender<PartyEvent>,
}

/// How far the program has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    AtGate,
    Gone,
}

/// What is known of the program by its own words.
#[derive(Debug)]
struct Told {
    phase: Phase,
    /// This party's place and the number of all, once it has been let go.
    place: Option<(usize, usize)>,
    connected: bool,
    raised: Option<String>,
    task_error: Option<String>,
    refused: Option<Reason>,
    impostor: Option<usize>,
    connect_error: String,
    /// It could talk to anybody, and must not.
    unconfined: bool,
}

impl Told {
    /// Whether there is such a party, and it is another one.
    fn is_peer(&self, party: usize) -> bool {
        self.place
            .is_some_and(|(me, parties)| party != me && party < parties)
    }
}

/// Why the loop ended.
enum End {
    /// The main process ended, and with it everything else.
    Ended(Exit),
    /// It has to be ended, for this reason; `None` if somebody only wants it gone.
    Kill(Option<Reason>, Option<oneshot::Sender<()>>),
}

impl Drive {
    /// Runs to the end.
    pub(super) async fn run(mut self, door: Door, order: Order) {
        let mut told = Told {
            phase: Phase::Starting,
            place: None,
            connected: false,
            raised: None,
            task_error: None,
            refused: None,
            impostor: None,
            connect_error: String::new(),
            unconfined: false,
        };
        let mut link = None;
        let end = self.listen(door, &order, &mut link, &mut told).await;
        let (result, reason, reply) = match end {
            End::Ended(exit) => (Ok(exit), None, None),
            End::Kill(reason, reply) => {
                let killed = self.running.kill().await;
                if let Err(error) = &killed {
                    // Whoever has it killed does not listen any more.
                    tracing::error!(error = %crate::text::chain(error), "a program cannot be ended");
                }
                (
                    killed.map(|()| Exit::Signal(nix::libc::SIGKILL)),
                    reason,
                    reply,
                )
            }
        };
        // Nobody writes any more: what is in the pipes and the socket is all there will be.
        for event in link.as_mut().map(Link::last).unwrap_or_default() {
            self.hear(event, &mut told);
        }
        let stdout = self.stdout.finish().await;
        let stderr = self.stderr.finish().await;
        let too_much = std::iter::from_fn(|| self.troubles.try_recv().ok()).next();
        let reason =
            reason.or_else(|| too_much.map(|trouble| reason_of(trouble, self.output_limit)));
        let _ = std::fs::remove_dir_all(&self.folder);
        let last = match result {
            Err(error) => fatal(told.phase, error.into()),
            Ok(exit) => match (told.refused, told.impostor, reason) {
                (Some(refused), ..) => PartyEvent::Refused(refused),
                (None, _, Some(reason)) => fatal(told.phase, reason),
                (None, Some(party), None) => PartyEvent::Impostor(party),
                (None, None, None) if told.phase == Phase::Gone => PartyEvent::Ended {
                    exit,
                    exception: told.raised.or(told.task_error),
                    stdout: stdout.bytes,
                },
                (None, None, None) => fatal(told.phase, died(exit, &stderr.bytes)),
            },
        };
        // There is room: complaints leave some, and all else comes at most once.
        let _ = self.events.try_send(last);
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    /// Listens until the end is clear.
    async fn listen(
        &mut self,
        door: Door,
        order: &Order,
        link: &mut Option<Link>,
        told: &mut Told,
    ) -> End {
        let pid = self.running.main_pid();
        let mut door = Some(door);
        let mut is_open = false;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = 0;
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    None => return End::Kill(None, None),
                    Some(Command::Kill(reply)) => return End::Kill(None, Some(reply)),
                    Some(Command::Open(go, around, reply)) => {
                        let _ = reply.send(self.open(link.as_mut(), told, go, &around).await);
                    }
                },
                // A fault of the reader is told at once; the process would go on.
                Some(trouble) = self.troubles.recv() => {
                    return End::Kill(Some(reason_of(trouble, self.output_limit)), None);
                }
                accepted = accept(door.as_ref(), pid) => {
                    let sent = match accepted {
                        Ok(new) => link.insert(new).send(order).await,
                        Err(error) => Err(error),
                    };
                    // Only one may come.
                    door = None;
                    is_open = true;
                    if let Err(error) = sent {
                        let detail = format!("the gate's socket failed: {error}");
                        return End::Kill(Some(Reason::Supervisor { detail }), None);
                    }
                }
                event = next(link.as_mut().filter(|_| is_open)) => match event {
                    Ok(Some(event)) => {
                        self.hear(event, told);
                        if told.unconfined {
                            let detail = UNCONFINED.to_owned();
                            return End::Kill(Some(Reason::Supervisor { detail }), None);
                        }
                    }
                    // The process will end, or it closed the socket itself and runs on: the deadlines see to that.
                    Ok(None) | Err(LinkError::Io(_)) => is_open = false,
                    Err(error) => {
                        return End::Kill(Some(Reason::Supervisor { detail: error.to_string() }), None);
                    }
                },
                // MPyC has no keepalive: the others would wait for a stopped program until the deadline.
                _ = looks.tick() => {
                    stopped = if pid.is_some_and(supervisor::is_stopped) { stopped + 1 } else { 0 };
                    if stopped >= STOPPED_LOOKS {
                        let signal = nix::libc::SIGSTOP;
                        return End::Kill(Some(Reason::Killed { signal }), None);
                    }
                }
                ended = self.running.ended() => return match ended {
                    Ok(exit) => End::Ended(exit),
                    Err(error) => End::Kill(Some(error.into()), None),
                },
            }
        }
    }

    async fn open(
        &mut self,
        link: Option<&mut Link>,
        told: &mut Told,
        mut go: Go,
        around: &Around,
    ) -> Result<(), Reason> {
        let Some(link) = link.filter(|_| told.phase == Phase::AtGate) else {
            return Err(Reason::Supervisor {
                detail: "Python is not at the gate".to_owned(),
            });
        };
        if self.running.is_confined() {
            // From inside no name can be looked up.
            let peers = peers::resolve(&mut go, around).await?;
            self.running.allow(&peers).await?;
        }
        // Even if the gate is gone it may have read the go: from here on its end is the program's.
        told.phase = Phase::Gone;
        told.place = Some((go.index, go.parties.len()));
        let sent = link.send(&serde_json::json!({ "go": go })).await;
        sent.map_err(|error| Reason::Supervisor {
            detail: format!("the gate is gone: {error}"),
        })
    }

    /// Takes in one event. After the go it may be the program's own claim, whatever it says; it can
    /// harm its own session with that, which a program can always do.
    fn hear(&self, event: GateEvent, told: &mut Told) {
        match event {
            GateEvent::Ready(ready)
                if told.phase == Phase::Starting
                    && self.running.is_confined()
                    && !self.unfiltered
                    && !ready.is_confined() =>
            {
                told.unconfined = true;
            }
            GateEvent::Ready(ready) if told.phase == Phase::Starting => {
                told.phase = Phase::AtGate;
                let (machine, port) = ready.into_machine();
                let _ = self.events.try_send(PartyEvent::AtGate { machine, port });
            }
            GateEvent::Refused(refused) if told.phase == Phase::Starting => {
                // Who holds the port is looked up now: later they may be gone.
                told.refused
                    .get_or_insert_with(|| Refused::into_reason(refused, port_holder));
            }
            GateEvent::Connected if told.phase == Phase::Gone && !told.connected => {
                told.connected = true;
                let _ = self.events.try_send(PartyEvent::Connected);
            }
            GateEvent::Reached { parties } if told.phase == Phase::Gone && !told.connected => {
                let peers = parties.into_iter().filter(|party| told.is_peer(*party));
                self.mention(PartyEvent::Reached(peers.collect()));
            }
            GateEvent::Connecting { error } => self.complain(talk::text(&error), told),
            GateEvent::Stranger { address } => {
                let address = talk::text(&address);
                self.complain(
                    format!("a connection from {address}, where no party is, was refused"),
                    told,
                );
            }
            GateEvent::Impostor { party } if told.is_peer(party) => {
                told.impostor.get_or_insert(party);
            }
            GateEvent::Raised { r#type } => told.raised = Some(talk::name(&r#type)),
            GateEvent::TaskError { r#type } => {
                told.task_error.get_or_insert_with(|| talk::name(&r#type));
            }
            GateEvent::Ready(_)
            | GateEvent::Refused(_)
            | GateEvent::Reached { .. }
            | GateEvent::Connected
            | GateEvent::Impostor { .. } => {}
        }
    }

    fn complain(&self, error: String, told: &mut Told) {
        if told.phase == Phase::Gone && !told.connected && told.connect_error != error {
            told.connect_error.clone_from(&error);
            self.mention(PartyEvent::ConnectError(error));
        }
    }

    /// Passes on what may get lost if there is too much of it.
    fn mention(&self, event: PartyEvent) {
        if self.events.capacity() > RESERVED {
            let _ = self.events.try_send(event);
        }
    }
}

/// For ever without a door.
async fn accept(door: Option<&Door>, pid: Option<u32>) -> std::io::Result<Link> {
    match door {
        Some(door) => door.accept(pid).await,
        None => std::future::pending().await,
    }
}

/// For ever without a link.
async fn next(link: Option<&mut Link>) -> Result<Option<GateEvent>, LinkError> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

fn fatal(phase: Phase, reason: Reason) -> PartyEvent {
    if phase == Phase::Starting {
        PartyEvent::Refused(reason)
    } else {
        PartyEvent::Broken(reason)
    }
}

fn reason_of(trouble: Trouble, limit: u64) -> Reason {
    match trouble {
        Trouble::TooLarge => Reason::OutputTooLarge { limit },
        Trouble::Disk { detail } => Reason::Disk { detail },
    }
}

/// Python ended before the program had its turn. Who kills it is no trouble of the supervisor's; where it ends by itself,
/// its last words are Python's or a module's, not the program's.
fn died(exit: Exit, stderr: &[u8]) -> Reason {
    let code = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => return Reason::Killed { signal },
    };
    let how = format!("Python ended with exit code {code} before the program ran");
    let stderr = String::from_utf8_lossy(stderr);
    let said = stderr
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .map(talk::text)
        .unwrap_or_default();
    Reason::Supervisor {
        detail: if said.is_empty() {
            how
        } else {
            format!("{how}: {said}")
        },
    }
}
