//! `e3 fleet invite`: the join file of one machine. Its token works once, for that name only.

use std::path::Path;

use e3_client::{files, random};
use e3_core::digest::Digest;
use e3_core::document::{Invite, Token};
use e3_core::envelope::Envelope;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::name::Name;
use e3_core::time::Time;
use serde_json::json;
use zeroize::Zeroizing;

use super::OpenFleet;
use super::trust_state::FOLDER;
use crate::args::{FleetInvite, Global};
use crate::commands::key;
use crate::error::Error;
use crate::output::Answer;

/// Where invites are remembered until their machine has enrolled, without their secrets.
pub(super) const INVITES: &str = "invites";

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
    let invited = invite(&fleet, &args.name, &owner, u64::from(args.days) * 86_400)?;
    let path = &args.output;
    if path.symlink_metadata().is_ok() {
        return Err(Error::Exists { path: path.clone() });
    }
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    {
        files::private_folder(folder)?;
    }
    files::write_secret(path, join_file(&fleet, &invited)?.as_bytes())?;
    remember(&fleet.file.folder, &invited)?;
    let (name, expires) = (&args.name, invited.invite.expires);
    let shown = path.display();
    let text = format!(
        "The join file of {name} is {shown}\n\
         It holds a secret that works once, until {expires}. Put it on the machine as e3.toml, and nowhere else:\n  \
         Raspberry Pi       e3.toml on the card's FAT partition\n  \
         droplet, cloud     its text as user data\n  \
         WSL                %USERPROFILE%\\e3.toml\n  \
         anything else      /etc/e3/e3.toml\n\n\
         Next, when the machine has enrolled:\n  e3 fleet status\n  e3 fleet accept {name}\n"
    );
    Ok(Answer::new(
        text,
        json!({"name": name, "file": path, "owner": owner.public(), "expires": expires}),
    ))
}

fn remember(folder: &Path, invited: &Invited) -> Result<(), Error> {
    let folder = folder.join(FOLDER).join(INVITES);
    files::private_folder(&folder)?;
    let file = format!("{}.json", invited.token.invite.digest().hex());
    Ok(files::write_private(
        &folder.join(file),
        &invited.token.invite.to_bytes(),
    )?)
}
