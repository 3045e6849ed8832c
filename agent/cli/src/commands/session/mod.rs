//! `e3 session`: from a manifest to the receipts.

pub mod check;
pub mod find;
pub mod list;
pub mod new;
pub mod push;
pub mod show;
pub mod sign;
pub mod stop;
pub(super) mod stream;
pub mod verdict;
pub mod watch;

use std::path::PathBuf;

use e3_client::clock;

use crate::args::{Global, SessionCommand, SessionNew, SessionSign};
use crate::commands::key;
use crate::error::Error;
use crate::fleet_file::{Fleet, View};
use crate::index::{self, Sources};
use crate::manifest::ManifestError;
use crate::output::{Answer, Output};

pub(super) async fn run(
    command: &SessionCommand,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    match command {
        SessionCommand::New(args) => write_new(args, global),
        SessionCommand::Check(args) => {
            Ok(check::run(&args.manifest, &view(global)?, clock::now())?)
        }
        SessionCommand::Sign(args) => Ok(sign::run(
            &options(args)?,
            &view(global)?,
            &sources(args.index.as_deref())?,
            clock::now(),
        )
        .await?),
        SessionCommand::Show(args) => {
            let view = if is_around(global)? {
                Some(view(global)?)
            } else {
                None
            };
            Ok(show::run(&args.bundle, view.as_ref(), clock::now())?)
        }
        SessionCommand::Push(args) => push::run(args, global, output).await,
        SessionCommand::List(_) => list::run(global).await,
        SessionCommand::Watch(args) => watch::run(args, global, output).await,
        SessionCommand::Stop(args) => stop::run(args, global).await,
    }
}

fn write_new(args: &SessionNew, global: &Global) -> Result<Answer, Error> {
    let fleet = if is_around(global)? {
        Some(folder(global)?)
    } else {
        None
    };
    let options = new::Options {
        file: args.file.clone(),
        program: args.program.clone(),
        parties: args.parties.clone(),
        inputs: args.inputs.clone(),
    };
    Ok(new::run(&options, fleet.as_ref())?)
}

fn options(args: &SessionSign) -> Result<sign::Options, Error> {
    let key = if args.no_sign {
        None
    } else {
        Some(key::path_of(args.key.as_deref())?)
    };
    if let Some(path) = key.as_ref().filter(|path| !path.exists()) {
        return Err(Error::NoKey { path: path.clone() });
    }
    Ok(sign::Options {
        file: args.file.clone(),
        output: args.output.clone(),
        key,
        merge: args.merge.clone(),
    })
}

/// Where wheels are looked for: the flag, or what the environment says.
pub(crate) fn sources(index: Option<&str>) -> Result<Sources, Error> {
    let pip = std::env::var("PIP_INDEX_URL").ok();
    let index = index::choose(index, pip.as_deref()).map_err(ManifestError::Index)?;
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = Sources::default_cache(variable("XDG_CACHE_HOME"), variable("HOME"))
        .ok_or(Error::NoHome)?;
    Ok(Sources { index, cache })
}

/// The fleet as its folder shows it: signing and checking need no network.
fn view(global: &Global) -> Result<View, Error> {
    Ok(folder(global)?.view()?)
}

fn folder(global: &Global) -> Result<Fleet, Error> {
    Ok(Fleet::open(&Fleet::find(
        global.fleet.as_deref(),
        &here()?,
    )?)?)
}

/// Whether there is a fleet; one that was named must be.
fn is_around(global: &Global) -> Result<bool, Error> {
    Ok(global.fleet.is_some() || Fleet::find(None, &here()?).is_ok())
}

fn here() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(|source| Error::Folder {
        action: "find",
        path: ".".into(),
        source,
    })
}
