//! `e3-agent`: the appliance's daemon.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use e3_agent::agent::Ended;
use e3_agent::args::{Args, Command, Journal, Policy, Trust};
use e3_agent::commands::{self, Answer};
use e3_agent::config::Settings;
use e3_agent::error::AgentError;
use e3_agent::update::{Entered, stage0};
use e3_agent::{agent, doctor, import, logging, support, text};
use tokio::signal::unix::{SignalKind, signal};

/// The allocator of the C library that the released agent is linked with never gives back what one thread has allocated and
/// another one frees: 200 KiB more with each session. This one has one heap for all threads (`ci/bench soak`).
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let is_run = matches!(args.command, Command::Run { .. });
    if is_run || matches!(args.command, Command::Import) {
        logging::start();
    }
    let settings = match settings(&args) {
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS,
        // The agent says it, too, and on the console. Nothing that boots has to wait for it.
        Err(error) if matches!(args.command, Command::Import) => {
            tracing::error!(error = %text::chain(&error), "no join file is imported");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&args, &error),
    };
    if matches!(args.command, Command::Import) {
        e3_client::tls::install();
        let report = import::run(&settings);
        if args.json {
            say(&serde_json::json!(report));
        }
        return ExitCode::SUCCESS;
    }
    if is_run && let Some(error) = import::before_run(&settings) {
        return fail(&args, &error);
    }
    // Before there are threads, and before anything is opened.
    let entered = if is_run {
        stage0::enter(&settings)
    } else {
        Entered::default()
    };
    e3_client::tls::install();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&args, &error),
    };
    let result = runtime.block_on(act(&args, settings, entered));
    // What still runs in a thread has nothing left to be waited for.
    runtime.shutdown_background();
    match result {
        Ok(Done::Run(Ended::Stopped)) => ExitCode::SUCCESS,
        Ok(Done::Run(Ended::ForUpdate)) => fail(&args, &stage0::again()),
        Ok(Done::Said(answer)) => {
            let shown = if args.json {
                format!("{}\n", answer.json)
            } else if std::io::stdout().is_terminal() {
                // What a program printed may come from another party, and a terminal would obey it.
                e3_core::text::clean_lines(&answer.text)
            } else {
                answer.text
            };
            // A closed pipe is the reader's business.
            let _ = std::io::stdout().write_all(shown.as_bytes());
            if answer.is_bad {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => fail(&args, &error),
    }
}

/// What a command has come to.
enum Done {
    Run(Ended),
    Said(Answer),
}

async fn act(args: &Args, settings: Settings, entered: Entered) -> Result<Done, AgentError> {
    let answer = match &args.command {
        Command::Run { while_stdin } => {
            let ended = async {
                tokio::select! {
                    () = terminated() => {}
                    () = stdin_ended(*while_stdin) => {}
                }
            };
            let ended = agent::run(settings, &args.config, entered, ended).await?;
            return Ok(Done::Run(ended));
        }
        // Has been done: it needs no runtime.
        Command::Import => Ok(Answer::default()),
        Command::Status => commands::status(&settings).await,
        Command::Journal(Journal::Verify) => commands::journal_verify(&settings),
        Command::Trust(Trust::Reset { confirm }) => {
            commands::trust_reset(&settings, confirm.as_deref())
        }
        Command::Policy(Policy::Show) => commands::policy_show(&settings),
        Command::Result { session } => commands::result(&settings, session),
        Command::Doctor { modules } => Ok(doctor::doctor(&args.config, modules).await),
        Command::SupportBundle { file } => support::bundle(&args.config, file).await,
        Command::SelfCheck => commands::self_check(),
    };
    answer.map(Done::Said)
}

/// The settings. Where systemd has made a folder for sockets, mistakes in them are waited out, by a
/// runtime of their own: stage 0 wants a process without threads.
fn settings(args: &Args) -> Result<Option<Settings>, AgentError> {
    let systemd = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    match (Settings::load(&args.config), &args.command, systemd) {
        (Err(_), Command::Run { .. }, Some(run)) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.map_err(AgentError::Runtime)?.block_on(async {
                tokio::select! {
                    settings = agent::settings(&args.config, &run) => settings.map(Some),
                    () = terminated() => Ok(None),
                }
            })
        }
        // They look at them by themselves: what is wrong with them belongs into what they tell.
        (Err(_), Command::SupportBundle { .. } | Command::Doctor { .. }, _) => {
            Ok(Some(Settings::default()))
        }
        (loaded, ..) => Ok(Some(loaded?)),
    }
}

/// Resolves when the agent is told to stop.
async fn terminated() {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Resolves when standard input has ended, if that is asked for.
async fn stdin_ended(asked: bool) {
    if !asked {
        return std::future::pending().await;
    }
    // Read by a plain thread: a blocked one of the runtime would keep the process from ending.
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = tell.send(());
    });
    let _ = told.await;
}

/// Prints JSON. A closed pipe is the reader's business.
fn say(json: &serde_json::Value) {
    let _ = writeln!(std::io::stdout(), "{json}");
}

fn fail(args: &Args, error: &dyn std::error::Error) -> ExitCode {
    let message = text::chain(error);
    if args.json {
        say(&serde_json::json!({ "error": message }));
    }
    // It may name files and what others said.
    let message = e3_core::text::clean_lines(&message);
    let _ = writeln!(std::io::stderr(), "e3-agent: {message}");
    ExitCode::FAILURE
}
