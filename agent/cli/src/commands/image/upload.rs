//! `e3 image upload digitalocean`: an image to where droplets are made of it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_client::human;
use e3_image::ImageError;
use e3_image::upload::{self, Account, CREDENTIALS, Fault, Mode, Order, Progress, Space, Uploaded};
use serde_json::json;
use zeroize::Zeroizing;

use super::work::{self, Meter};
use crate::args::UploadDigitalocean;
use crate::error::Error;
use crate::output::{Answer, Output};

pub(super) async fn run(args: &UploadDigitalocean, output: &Output) -> Result<Answer, Error> {
    let space: Space = args.space.parse().map_err(failed)?;
    let mut regions: Vec<String> = Vec::new();
    for region in &args.regions {
        // The cloud refuses to bring it to one region twice.
        if !regions.contains(region) {
            regions.push(region.clone());
        }
    }
    if let (true, Some(region)) = (regions.is_empty(), space.region()) {
        regions.push(region.to_owned());
    }
    if regions.is_empty() {
        return Err(Error::Usage {
            message: "no region is named, and the Space tells none".to_owned(),
            remedy: "Name where the image shall be: --region ams3",
        });
    }
    let credentials = args.credentials.as_deref().map(read).transpose()?;
    let variable = |name: &str| std::env::var(name).ok();
    let account = Account::new(credentials.as_deref().map(String::as_str), variable);
    let order = Order {
        image: args.image.clone(),
        space,
        regions,
        name: args.name.clone(),
        account: account.map_err(failed)?,
        api: args.api.clone(),
        records: records()?,
        wait: Duration::from_secs(args.timeout),
        mode: match (args.dry_run, args.discard) {
            (true, _) => Mode::DryRun,
            (_, true) => Mode::Discard,
            _ => Mode::Upload,
        },
    };
    let (mode, space) = (order.mode, order.space.to_string());
    let done = work::run(output, move |stop, meter| {
        upload::run(&order, stop, &mut |progress| show(meter, progress))
    })
    .await?;
    let mut json = serde_json::to_value(&done).unwrap_or_default();
    json["dry_run"] = json!(mode == Mode::DryRun);
    let mut text = match mode {
        Mode::Upload => uploaded(&done),
        Mode::DryRun => planned(&done, &space),
        Mode::Discard => {
            format!("Nothing of this image is in {space} that this computer knows of.\n")
        }
    };
    for warning in &done.warnings {
        let _ = writeln!(text, "Warning: {warning}");
    }
    Ok(Answer::new(text, json))
}

/// Where it is written down how far uploads have come.
fn records() -> Result<PathBuf, Error> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    Ok(cache.ok_or(Error::NoCache)?.join("e3/uploads"))
}

fn failed(fault: Fault) -> Error {
    ImageError::Upload(fault.into()).into()
}

/// The credentials' text, from a private file or from standard input.
fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    if path != Path::new("-") {
        return upload::credentials(path).map_err(failed);
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .take(CREDENTIALS)
        .read_to_string(&mut text)
        .map_err(Error::Runtime)?;
    Ok(text)
}

fn show(meter: &mut Meter, progress: Progress<'_>) {
    match progress {
        Progress::Reading { done, total } => meter.show("read", done, total),
        Progress::Sending { done, total } => meter.show("upload", done, total),
        Progress::Importing { status } => {
            meter.say("import", format!("DigitalOcean says {status}"));
        }
        Progress::Spreading { region, status } => {
            meter.say(
                &format!("to {region}"),
                format!("DigitalOcean says {status}"),
            );
        }
        Progress::Waiting { seconds, why } => {
            meter.say("wait", format!("{why}; again in {}", human::time(seconds)));
        }
    }
}

fn uploaded(done: &Uploaded) -> String {
    let id = done.id.map_or_else(String::new, |id| id.to_string());
    let how = if done.was_there {
        "was at DigitalOcean already"
    } else {
        "is at DigitalOcean"
    };
    let (name, regions) = (&done.name, done.regions.join(", "));
    let region = done.regions.first().map_or("REGION", String::as_str);
    format!(
        "The image {name} {how}, as number {id}, in: {regions}\nMake a machine of it:\n  doctl compute droplet create NAME --image {id} --region {region} --size s-1vcpu-1gb --user-data-file NAME.toml --ssh-keys KEY_ID\n"
    )
}

fn planned(done: &Uploaded, space: &str) -> String {
    let missing = done.missing.join(", ");
    let (name, size) = (&done.name, human::size(done.size));
    match (done.id, done.missing.is_empty()) {
        (Some(id), true) => format!(
            "The image {name} is at DigitalOcean already, as number {id}, in: {}\nNothing would be done.\n",
            done.regions.join(", ")
        ),
        (Some(id), false) => format!(
            "The image {name} is at DigitalOcean already, as number {id}\nIt would be brought to: {missing}\n"
        ),
        (None, _) => format!(
            "The image {name} is not at DigitalOcean.\n{} of {size} would be sent to {space}, imported into: {missing}\nThen the copy in the Space would be removed.\n",
            human::size(done.sent)
        ),
    }
}
