//! `e3 image inject`: a join file into a built image.

use std::path::PathBuf;

use e3_image::ImageError;
use e3_image::copy::Copied;
use e3_image::inject::{self, Injected, Target};
use e3_image::source::{Image, Kind};
use serde_json::json;

use super::{join, work};
use crate::args::ImageInject;
use crate::error::Error;
use crate::output::{self, Answer, Output};

pub(super) async fn run(args: &ImageInject, output: &Output) -> Result<Answer, Error> {
    let image = Image::open(&args.image)?;
    if args.more.wifi.is_some() && image.kind != Kind::Disk {
        return Err(ImageError::NoRadio { path: image.path }.into());
    }
    if !args.more.ssh_keys.is_empty() && image.kind == Kind::Tar {
        return Err(ImageError::NoSsh { path: image.path }.into());
    }
    let join = join::read(&args.join, &args.more)?;
    let target = match (&args.out, args.in_place) {
        (Some(out), _) => Target::File(out.clone()),
        (None, true) => Target::InPlace,
        (None, false) => Target::Folder(PathBuf::new()),
    };
    let keys = join.ssh_keys.clone();
    let (fleet, name, expires) = (join.fleet.clone(), join.name.clone(), join.expires);
    let board = args.more.board;
    let done = work::run(output, move |stop, meter| {
        let mut tell = |read| meter.show("edit", read, image.length);
        inject::inject(&image, &join, board, &target, stop, &mut tell)
    })
    .await?;
    let json = json!({
        "file": output::named(&done.file), "place": done.place, "how": done.how, "beside": done.beside,
        "fleet": fleet, "name": name, "expires": expires,
        "ssh_keys": keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let text = format!(
        "{}{}It holds the secret of {name}, which works once, until {expires}. Only you can read it; delete it when the machine has enrolled.\n",
        shown(&done),
        join::logins(&keys),
    );
    Ok(Answer::new(text, json))
}

fn shown(done: &Injected) -> String {
    let file = output::shown(&done.file);
    let place = &done.place;
    if done.beside {
        return format!(
            "{file}\nThe image is as it was. Attach this disk to the machine as well: the join file is the {place}.\n"
        );
    }
    let how = match done.how {
        Copied::Shared => " (shares what is the same with the original)",
        _ => "",
    };
    format!("{file}{how}\nThe join file is {place}.\n")
}
