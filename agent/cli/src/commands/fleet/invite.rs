//! `e3 fleet invite`: the join files of machines. The token in each works once, for that name only.

use std::path::PathBuf;

use e3_client::{files, random};
use e3_core::digest::Digest;
use e3_core::document::{Invite, Token};
use e3_core::envelope::Envelope;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::name::Name;
use e3_core::time::Time;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::{OpenFleet, invites};
use crate::args::{FleetInvite, Global, Machine};
use crate::commands::key;
use crate::error::Error;
use crate::output::Answer;

/// An invite.
pub struct Invited {
    /// What goes into the join file; secret.
    pub token: Token,
    /// What was signed.
    pub invite: Invite,
}

/// Signs an invite for a machine that will be called `name`.
pub fn invite(
    fleet: &OpenFleet,
    name: &Name,
    owner: &SecretKey,
    lifetime: u64,
) -> Result<Invited, Error> {
    let public = owner.public();
    if !fleet.trust.root.session.keys.contains(&public) {
        return Err(Error::NotAllowed {
            key: public.to_string(),
            role: "invites",
        });
    }
    if fleet.file.parties.iter().any(|party| party.name == *name) {
        return Err(Error::Usage {
            message: format!("the fleet has a party `{name}` already"),
            remedy: "Choose another name, or remove the party from fleet.toml first.",
        });
    }
    let once = random::key();
    let invite = Invite {
        fleet: fleet.file.name.clone(),
        name: name.clone(),
        owner: public,
        key: once.public(),
        expires: fleet.now().plus(lifetime),
    };
    let envelope = Envelope::sign(&invite, &[owner]).map_err(|source| Error::Document {
        what: "invite",
        source,
    })?;
    Ok(Invited {
        token: Token {
            invite: envelope,
            key: once,
        },
        invite,
    })
}

/// The join file's text. It holds the token, so it is secret until the machine has enrolled.
pub fn join_file(fleet: &OpenFleet, invited: &Invited) -> Result<Zeroizing<String>, Error> {
    let ca = fleet.file.hub_ca_pem()?;
    let ca = ca.map(|pem| String::from_utf8_lossy(&pem).trim().to_owned());
    let (file, invite) = (&fleet.file, &invited.invite);
    let names = (&file.name, &invite.name);
    Ok(text(
        names,
        &file.hub,
        &file.root,
        &invite.owner,
        ca.as_deref(),
        &invited.token.to_text(),
        invite.expires,
    ))
}

fn text(
    (fleet, name): (&Name, &Name),
    hub: &str,
    root: &Digest,
    owner: &PublicKey,
    ca: Option<&str>,
    token: &str,
    expires: Time,
) -> Zeroizing<String> {
    // A PEM text has no quotes or backslashes; should it, the literal form keeps them as they are.
    let ca = ca.map_or_else(String::new, |pem| {
        format!("hub_ca = '''\n{}\n'''\n", pem.replace("'''", ""))
    });
    let hub = toml_edit::value(hub).to_string();
    Zeroizing::new(format!(
        "# Join file of the machine `{name}` for the fleet `{fleet}`. Keep it secret until the machine has enrolled:\n\
         # whoever comes first with this token becomes `{name}`. It is void after {expires}\n\
         fleet = \"{fleet}\"\nname = \"{name}\"\nhub = {hub}\nroot = \"{root}\"\nowner = \"{owner}\"\n{ca}\
         token = \"{token}\"\n\n\
         # What this machine accepts. Without a word here: sessions that its owner has signed, and no input is given.\n\
         [policy]\n\
         # signers = [\"{owner}\"]   # whose signatures count; the owner's alone if left out\n\
         # threshold = 1               # how many of them\n\
         # require_consent = true      # only sessions that every party's owner has signed\n\
         # publish = true              # a session may put the output into the receipt\n\
         # [policy.inputs.salary]      # a local input, and who gets it\n\
         # file = \"/etc/e3/inputs/salary\"\n\
         # sessions = [\"salary-*\"]\n",
        hub = hub.trim(),
    ))
}

pub(super) async fn run(args: &FleetInvite, global: &Global) -> Result<Answer, Error> {
    let fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let owner = key::read(args.key.as_deref())?;
    let files = files_of(args)?;
    // All or none: nobody wants to find out which of a hundred are missing.
    if let Some((_, path)) = files
        .iter()
        .find(|(_, path)| path.symlink_metadata().is_ok())
    {
        return Err(Error::Exists { path: path.clone() });
    }
    let mut written = Vec::new();
    for (name, path) in &files {
        let invited = invite(&fleet, name, &owner, args.seconds)?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        {
            files::private_folder(folder)?;
        }
        let text = join_file(&fleet, &invited)?;
        files::write_secret(path, text.as_bytes())?;
        invites::remember(&fleet.file.folder, &invited.token.invite)?;
        written.push((name, path, invited, text));
    }
    let json = |(name, path, invited, _): &(&Name, &PathBuf, Invited, _)| json!({"name": name, "file": crate::output::named(path), "owner": owner.public(), "expires": invited.invite.expires});
    let (first, rest) = written.split_first().expect("there is at least one");
    let expires = first.2.invite.expires;
    let (mut text, json) = if args.count.is_some() {
        let folder = first.1.parent().unwrap_or(first.1).display();
        let last = rest.last().unwrap_or(first).0;
        let text = format!(
            "The join files of {} to {last} are in {folder}\n\
             Each holds a secret that works once, until {expires}. {}\n\n\
             Next, when the machines have enrolled:\n  e3 fleet pending\n  e3 fleet accept --all\n",
            first.0,
            place(args.machine),
        );
        (
            text,
            json!({"invites": written.iter().map(json).collect::<Vec<_>>()}),
        )
    } else {
        let text = format!(
            "The join file of {name} is {file}\n\
             It holds a secret that works once, until {expires}. {place}\n\n\
             Next, when the machine has enrolled:\n  e3 fleet pending\n  e3 fleet accept {name}\n",
            name = first.0,
            file = first.1.display(),
            place = place(args.machine),
        );
        (text, json(first))
    };
    if args.qr {
        text = format!("{}\n{text}", qr(&first.3)?);
    }
    Ok(Answer::new(text, json))
}

/// Which machine's join file goes where.
fn files_of(args: &FleetInvite) -> Result<Vec<(Name, PathBuf)>, Error> {
    let Some(count) = args.count else {
        let file = args.output.clone();
        let file = file.unwrap_or_else(|| PathBuf::from("e3.toml"));
        return Ok(vec![(args.name.clone(), file)]);
    };
    let folder = args.output.clone();
    let folder = folder.unwrap_or_else(|| PathBuf::from("joins"));
    let one = |n| {
        let name: Name = format!("{}-{n}", args.name)
            .parse()
            .map_err(|error| Error::Usage {
                message: format!("`{}-{n}` is no name: {error}", args.name),
                remedy: "Take a shorter name.",
            })?;
        let file = folder.join(format!("{name}.toml"));
        Ok((name, file))
    };
    (1..=count).map(one).collect()
}

/// Where a machine finds its join file.
const fn place(machine: Option<Machine>) -> &'static str {
    match machine {
        Some(Machine::Pi) => "Put it on the card's FAT partition as e3.toml, and nowhere else.",
        Some(Machine::Droplet) => "Its text is the droplet's user data; put it nowhere else.",
        Some(Machine::Wsl) => {
            "Put it into your Windows folder as %USERPROFILE%\\e3.toml, and nowhere else."
        }
        Some(Machine::Container) => "Mount it as /etc/e3/e3.toml, and put it nowhere else.",
        None => {
            "Put it on the machine as e3.toml, and nowhere else:\n  \
             Raspberry Pi       e3.toml on the card's FAT partition\n  \
             droplet, cloud     its text as user data\n  \
             WSL                %USERPROFILE%\\e3.toml\n  \
             anything else      /etc/e3/e3.toml"
        }
    }
}

/// The join file without its comments, for a camera.
fn qr(join: &str) -> Result<String, Error> {
    let lines = join.lines().filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    let text = Zeroizing::new(lines.collect::<Vec<_>>().join("\n") + "\n");
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L);
    let code = code.map_err(|error| Error::Usage {
        message: format!("the join file does not fit into a QR code: {error}"),
        remedy: "Use the file.",
    })?;
    // For a terminal with light letters on a dark ground, as nearly all are: what is drawn is light.
    let mut drawn = code.render::<Dense1x2>();
    let drawn = drawn
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark);
    Ok(drawn.build() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half blocks as pixels, light where something is drawn, each so many pixels wide and high.
    fn photograph(drawn: &str, size: usize) -> (usize, usize, Vec<u8>) {
        let rows: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
        let (width, height) = (rows[0].len() * size, rows.len() * 2 * size);
        let pixel = |x: usize, y: usize| {
            let upper = (y / size).is_multiple_of(2);
            let light = match rows[y / size / 2][x / size] {
                '█' => true,
                '▀' => upper,
                '▄' => !upper,
                _ => false,
            };
            if light { 255 } else { 0 }
        };
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        (width, height, pixels.map(|(x, y)| pixel(x, y)).collect())
    }

    #[test]
    fn a_camera_reads_the_join_file_without_its_comments() {
        let token = format!("e3-join-{}", "x".repeat(600));
        let join =
            format!("# a comment\nfleet = \"demo\"\n\n[policy]\n# none\ntoken = \"{token}\"\n");
        let (width, height, pixels) = photograph(&qr(&join).unwrap(), 4);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            pixels[y * width + x]
        });
        let codes = image.detect_grids();
        let (_, read) = codes[0].decode().unwrap();
        assert_eq!(
            read,
            format!("fleet = \"demo\"\n[policy]\ntoken = \"{token}\"\n")
        );
        assert!(qr(&"x".repeat(3000)).is_err());
    }
}
