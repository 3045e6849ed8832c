//! `e3 image flash`: an image onto a card. Which disks may be written over is decided in `e3_image::device`, and no flag
//! changes it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use e3_client::human;
use e3_image::device::{self, Disk, System};
use e3_image::flash::{self, Device, Flashed, Step};
use e3_image::inject;
use e3_image::overlay::Changes;
use e3_image::source::{Image, Kind};
use e3_image::{ImageError, Stop};
use serde_json::{Value, json};

use super::{join, work};
use crate::args::ImageFlash;
use crate::error::Error;
use crate::output::table::table;
use crate::output::{self, Answer, Output};

pub(super) async fn run(args: &ImageFlash, output: &Output) -> Result<Answer, Error> {
    let disks = device::list(&System::default()).map_err(ImageError::from)?;
    let (Some(image), Some(to)) = (&args.image, &args.to) else {
        return Ok(list(&disks));
    };
    let image = Image::open(image)?;
    if !matches!(image.kind, Kind::Disk | Kind::Iso) {
        return Err(ImageError::NotAnImage {
            path: image.path,
            why: "only .img and .iso files, and those in .zst and .gz, are disks byte by byte",
        }
        .into());
    }
    // /dev/disk/by-id/… is a link.
    let path = to.canonicalize().unwrap_or_else(|_| to.clone());
    let disk = device::check(&disks, &path)
        .map_err(ImageError::from)?
        .clone();
    let join = args.join.as_ref().map(|file| join::read(file, &args.more));
    let join = join.transpose()?;
    let board = args.more.board;
    let name = join.as_ref().map(|join| join.name.clone());
    let keys = join.as_ref().map(|join| join.ssh_keys.clone());
    let keys = keys.unwrap_or_default();
    let logins = join::logins(&keys);
    if !args.yes {
        agree(&disk, &logins, output)?;
    }
    let device = disk.path.clone();
    let done = work::run(output, move |stop, meter| {
        let scratch = std::env::temp_dir();
        let changes = match (&join, board) {
            (Some(join), board) => inject::changes(&image, join, board, &scratch)?.0,
            (None, Some(board)) => {
                inject::fits(&image, board, &scratch)?;
                Changes::default()
            }
            (None, None) => Changes::default(),
        };
        write(&image, &changes, &device, stop, meter)
    })
    .await?;
    let ejected = !args.no_eject && eject(&disk.path);
    let json = json!({
        "disk": output::named(&disk.path), "model": disk.model, "size": done.size, "resumed": done.resumed,
        "verified": true, "ejected": ejected, "name": name,
        "ssh_keys": keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let mut text = format!(
        "{} has the image: {} written and read back.\n",
        disk.path.display(),
        human::size(done.size)
    );
    if let Some(name) = &name {
        let _ = writeln!(text, "The join file of {name} is on it; it works once.");
    }
    text += &logins;
    text += if ejected {
        "It is switched off: take it out.\n"
    } else {
        "You can take it out.\n"
    };
    Ok(Answer::new(text, json))
}

fn write(
    image: &Image,
    changes: &Changes,
    device: &Path,
    stop: &Stop,
    meter: &mut work::Meter,
) -> Result<Flashed, ImageError> {
    let device = Device::open(device)?;
    let mut show = |progress: flash::Progress| {
        let step = match progress.step {
            Step::Resuming => "compare",
            Step::Writing => "write",
            Step::Checking => "read back",
        };
        meter.share(step, progress.done, progress.share);
    };
    let written = flash::write(image, changes, &device, stop, &mut show)?;
    flash::check(&written, &device, stop, &mut show)?;
    meter.end();
    Ok(written.flashed)
}

fn list(disks: &[Disk]) -> Answer {
    let usable: Vec<&Disk> = disks
        .iter()
        .filter(|disk| device::check(disks, &disk.path).is_ok())
        .collect();
    let rows: Vec<[String; 3]> = usable
        .iter()
        .map(|disk| {
            [
                disk.path.display().to_string(),
                human::size(disk.size),
                disk.model.clone(),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        "There is no card or USB stick that could be written to. Put one in; if it is in already, it is mounted or locked.\n".to_owned()
    } else {
        let table = table(["DISK", "SIZE", "MODEL"], &rows);
        format!(
            "{table}\nNext:\n  e3 image flash IMAGE --to {}\n",
            rows[0][0]
        )
    };
    let shown: Vec<Value> = usable
        .iter()
        .map(|disk| json!({"disk": output::named(&disk.path), "size": disk.size, "model": disk.model}))
        .collect();
    Answer::new(text, json!({"disks": shown}))
}

/// Asks once.
fn agree(disk: &Disk, logins: &str, output: &Output) -> Result<(), Error> {
    if output.is_json() || !io::stdin().is_terminal() {
        return Err(Error::Usage {
            message: "nobody is there to be asked".to_owned(),
            remedy: "Say --yes if everything on that disk may go.",
        });
    }
    let mut err = io::stderr();
    let (path, size) = (disk.path.display(), human::size(disk.size));
    let _ = write!(
        err,
        "{logins}Everything on {path} ({}, {size}) will be lost. Go on? [y/N] ",
        disk.model
    );
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(Error::Runtime)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        Ok(())
    } else {
        Err(ImageError::Stopped {
            left: format!("nothing was written to {path}"),
        }
        .into())
    }
}

/// Switches a USB disk off, as file managers do. Other cards need nothing: everything is on them.
fn eject(disk: &Path) -> bool {
    let Some(name) = disk.file_name() else {
        return false;
    };
    let delete = Path::new("/sys/block").join(name).join("device/delete");
    File::options()
        .write(true)
        .open(delete)
        .and_then(|mut file| file.write_all(b"1"))
        .is_ok()
}
