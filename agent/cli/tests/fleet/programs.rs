//! Programs that do wrong: every party must hear who and why, and nothing of them may stay.

use std::fs;
use std::time::{Duration, Instant};

use e3_core::document::Exit;
use e3_core::session::{Failure, Reason};

use crate::common::{Plan, Rig, until};

/// What an agent may use at most, whatever a program prints, in KiB.
const AGENT_MEMORY_KIB: u64 = 50 << 10;

/// The head of a program; `FAULTY` is true at party 1.
const HEAD: &str = "import os, signal, subprocess, sys, time\nfrom mpyc.runtime import mpc\n\
                    FAULTY = mpc.pid == 1\n";

fn program(body: &str) -> String {
    format!("{HEAD}{body}")
}

/// Everything that ends a program by its own fault, with the reason that names it.
#[tokio::test]
async fn a_program_that_ends_badly_is_named_with_its_reason_at_every_party() {
    let mut rig = Rig::new().await;
    let exited = |code, exception: Option<&str>| Reason::Exited {
        code,
        exception: exception.map(str::to_owned),
    };
    let start = "mpc.run(mpc.start())\n";
    let after = "mpc.run(mpc.output(mpc.SecInt(32)(1)))\nmpc.run(mpc.shutdown())\n";
    let cases = [
        ("if FAULTY: sys.exit(1)\n", "", exited(1, None)),
        (
            "if FAULTY: raise ValueError('the salary is 4711')\n",
            "",
            exited(1, Some("ValueError")),
        ),
        (
            "if FAULTY: room = bytearray(600 << 20)\n",
            "[limits]\nmemory = \"400M\"",
            exited(1, Some("MemoryError")),
        ),
        (
            "if FAULTY: os.kill(os.getpid(), signal.SIGSEGV)\n",
            "",
            Reason::Killed {
                signal: nix::libc::SIGSEGV,
            },
        ),
    ];
    for (fault, tables, reason) in cases {
        let text = program(&format!("{start}{fault}{after}"));
        let run = rig
            .push(&Plan {
                program: &text,
                tables,
                ..Plan::default()
            })
            .await;
        let failure = rig.fails(&run).await;
        assert_eq!(failure, Failure::at(1, reason), "{fault}; {}", rig.logs());
    }
    // The exception's text may be private: it is for the owner, on that machine alone.
    let secret = |path: &std::path::Path| {
        let text = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&text).contains("4711")
    };
    let mut folders = vec![rig.fleet.folder.join("hub")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            // The program itself says it, too, and lies there under its digest.
            if path.is_dir() && path.file_name().is_some_and(|name| name != "sha256") {
                folders.push(path);
            } else if path.is_file() {
                assert!(!secret(&path), "{}", path.display());
            }
        }
    }
    rig.still_works().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_program_that_prints_without_end_is_ended_and_the_agent_stays_small() {
    let mut rig = Rig::new().await;
    let text = program("while FAULTY: print('x' * 65535)\nmpc.run(mpc.start())\n");
    let run = rig
        .push(&Plan {
            program: &text,
            ..Plan::default()
        })
        .await;
    let failure = rig.fails(&run).await;
    assert_eq!(
        failure,
        Failure::at(1, Reason::OutputTooLarge { limit: 1 << 20 })
    );
    // 1 GiB of errors is no result: the session ends well, and only its end is kept.
    let text = program(
        "mpc.run(mpc.start())\nline = 'x' * (1 << 20)\n\
         for _ in range(1024 if FAULTY else 0): sys.stderr.write(line)\nmpc.run(mpc.shutdown())\n",
    );
    let run = rig
        .push(&Plan {
            program: &text,
            ..Plan::default()
        })
        .await;
    rig.ends_well(&run).await;
    let kept = rig.file(1, &run, "stderr").metadata().unwrap().len();
    assert!(kept <= 4 << 20, "{kept} bytes of standard error are kept");
    let status = fs::read_to_string(format!("/proc/{}/status", rig.agent_pid(1))).unwrap();
    let most = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let most: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(most < AGENT_MEMORY_KIB, "the agent has used {most} KiB");
    rig.stop().await;
}

#[tokio::test]
async fn nothing_that_a_program_starts_or_ignores_outlives_the_session() {
    let mut rig = Rig::new().await;
    // Children in the group, in a session of their own, and without a parent.
    let forks = "
if FAULTY:
    sleep = ['sleep', '600']
    subprocess.Popen(sleep)
    subprocess.Popen(sleep, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True: time.sleep(600)
        os._exit(0)
";
    let text = program(&format!(
        "{forks}mpc.run(mpc.start())\nmpc.run(mpc.shutdown())\n"
    ));
    let run = rig
        .push(&Plan {
            program: &text,
            ..Plan::default()
        })
        .await;
    rig.ends_well(&run).await;
    // Party 0 does not hear what it is asked; party 1 ends badly, so party 0 is ended, too.
    let text = program(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nmpc.run(mpc.start())\n\
         if FAULTY: sys.exit(7)\nwhile True: time.sleep(600)\n",
    );
    let run = rig
        .push(&Plan {
            program: &text,
            ..Plan::default()
        })
        .await;
    let failure = rig.fails(&run).await;
    assert_eq!(
        failure,
        Failure::at(
            1,
            Reason::Exited {
                code: 7,
                exception: None
            }
        )
    );
    rig.still_works().await;
    rig.stop().await;
}

/// Makes MPyC's port of party `FAULTY` drop whatever comes, as a firewall would: the kernel throws
/// away what a filter of one instruction, "keep 0 bytes", does not pass.
const DEAF: &str = "
import ctypes, socket, struct
SO_ATTACH_FILTER, SO_ACCEPTCONN = 26, 30
for fd in [int(fd) for fd in os.listdir('/proc/self/fd')] if FAULTY else []:
    try:
        listener = socket.socket(fileno=os.dup(fd))
    except OSError:
        continue
    if listener.family == socket.AF_INET and listener.getsockopt(socket.SOL_SOCKET, SO_ACCEPTCONN):
        drop = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))
        program = struct.pack('HL', 1, ctypes.addressof(drop))
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    listener.close()
";

/// Keeps MPyC at party 1 from dialling party 2; everybody else can.
const PARTED: &str = "
dial = mpc._loop.create_connection
async def refuse(factory, host, port, **options):
    if mpc.pid == 1 and port == mpc.parties[2].port:
        raise ConnectionRefusedError('no way from 1 to 2')
    return await dial(factory, host, port, **options)
mpc._loop.create_connection = refuse
";

#[tokio::test]
async fn who_keeps_the_others_waiting_is_named_when_a_deadline_is_over() {
    let mut rig = Rig::new().await;
    let start = "mpc.run(mpc.start())\n";
    // Waits for everybody, as every program that computes something does.
    let compute = "mpc.run(mpc.start())\nmpc.run(mpc.shutdown())\n";
    let not_started = |others: &[usize]| Reason::NotStarted {
        seconds: 2,
        others: others.to_vec(),
    };
    let not_connected = |pairs: &[(usize, usize)], detail: &str| Reason::NotConnected {
        seconds: 2,
        pairs: pairs.to_vec(),
        detail: detail.to_owned(),
    };
    let timed_out = |seconds, others: &[usize]| Reason::TimedOut {
        seconds,
        others: others.to_vec(),
    };
    let connect = "connect = \"2s\"";
    let run = "run = \"3s\"";
    let late = "FAULTY = mpc.pid == 2\n";
    let cases = [
        // One program, or all of them, never start MPyC.
        (
            format!("if FAULTY: time.sleep(600)\n{start}"),
            connect,
            1,
            not_started(&[]),
        ),
        (
            format!("{late}if FAULTY: time.sleep(600)\n{start}"),
            connect,
            2,
            not_started(&[]),
        ),
        (
            "time.sleep(600)\n".to_owned(),
            connect,
            0,
            not_started(&[1, 2]),
        ),
        // Nobody can reach one party.
        (
            format!("{late}{DEAF}{compute}"),
            connect,
            2,
            not_connected(&[(0, 2), (1, 2)], ""),
        ),
        // One party cannot reach one other.
        (
            format!("{PARTED}{compute}"),
            connect,
            2,
            not_connected(&[(1, 2)], "ConnectionRefusedError: no way from 1 to 2"),
        ),
        // All are connected: MPyC does not tell who waits for whom, unless others have ended.
        (
            format!("{start}time.sleep(600)\n"),
            run,
            0,
            timed_out(3, &[1, 2]),
        ),
        (
            format!("{start}if FAULTY: time.sleep(600)\n"),
            run,
            1,
            timed_out(3, &[]),
        ),
    ];
    for (body, deadline, party, reason) in cases {
        let (text, tables) = (program(&body), format!("[deadlines]\n{deadline}\n"));
        let run = rig
            .push(&Plan {
                program: &text,
                tables: &tables,
                ..Plan::default()
            })
            .await;
        rig.runs(&run).await;
        let begin = Instant::now();
        let failure = rig.fails(&run).await;
        assert_eq!(
            failure,
            Failure::at(party, reason),
            "{body}; {}",
            rig.logs()
        );
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{body}: {:?}",
            begin.elapsed()
        );
    }
    rig.still_works().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_party_whose_result_differs_is_named_and_no_receipt_is_good() {
    let mut rig = Rig::new().await;
    let text =
        program("mpc.run(mpc.start())\nprint(5 if FAULTY else 6)\nmpc.run(mpc.shutdown())\n");
    let keys = "equal = [\"stdout\"]";
    let run = rig
        .push(&Plan {
            program: &text,
            keys,
            ..Plan::default()
        })
        .await;
    let failure = rig.fails(&run).await;
    let output = "stdout".to_owned();
    assert_eq!(failure, Failure::at(1, Reason::OutputDiffers { output }));
    for receipt in rig.receipts(&run).await {
        assert_eq!(
            receipt.exit,
            Some(Exit::Code(0)),
            "the program itself has ended well"
        );
    }
    // Without the declaration each party may print its own.
    let run = rig
        .push(&Plan {
            program: &text,
            ..Plan::default()
        })
        .await;
    rig.ends_well(&run).await;
    let stdout = |place: usize| rig.fleet.parties[place].stdout(&run.session.digest);
    let what = "the results are on their machines";
    until(what, async || {
        (stdout(1)? == "5\n" && stdout(2)? == "6\n").then_some(())
    })
    .await;
    rig.stop().await;
}
