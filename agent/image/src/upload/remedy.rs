//! What to do about each fault of an upload.

use super::answer::Way;
use super::error::Fault;

impl Fault {
    /// What to do, if there is something.
    pub(super) fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Format { remedy, .. } => remedy,
            Self::SpaceAddress { .. } => {
                "Write it as DigitalOcean shows it, NAME.REGION.digitaloceanspaces.com, or as http(s)://HOST/BUCKET for another object storage."
            }
            Self::ApiAddress { .. } => {
                "It must begin with https://, or with http:// on this computer."
            }
            Self::Region { .. } => {
                "Regions have names like ams3; https://docs.digitalocean.com/platform/regional-availability/ lists them."
            }
            Self::Name { .. } => "It has 1 to 200 characters on one line.",
            Self::NoCredential {
                name: "DIGITALOCEAN_TOKEN",
            } => {
                "Make a token with the scopes image and tag at https://cloud.digitalocean.com/account/api/tokens, and put it into that variable, or a line DIGITALOCEAN_TOKEN=… into a file for --credentials."
            }
            Self::NoCredential { .. } => {
                "Make an access key for the Space at https://cloud.digitalocean.com/spaces/access_keys, and give both halves as SPACES_ACCESS_KEY_ID and SPACES_SECRET_ACCESS_KEY, in the environment or in a file for --credentials."
            }
            Self::Token => "Was it copied whole, and nothing else with it?",
            Self::Credentials { .. } => "Correct that line; the rest of the file was not used.",
            Self::Refused { status: 401, .. } => {
                "The token is wrong, or has expired: make a new one at https://cloud.digitalocean.com/account/api/tokens"
            }
            Self::Refused { status: 403, .. } => {
                "The token lacks a right: it needs the scopes image (create, read, update) and tag (create)."
            }
            Self::Refused { status: 404, .. } => {
                "Has somebody deleted the image meanwhile? The same command begins anew."
            }
            Self::Refused {
                status: 429, wait, ..
            } => {
                return Some(match wait {
                    Some(wait) => format!(
                        "Too many requests were made with this account. Run the command again in {}.",
                        e3_client::human::time(*wait)
                    ),
                    None => "Too many requests were made with this account. Run the command again in an hour.".to_owned(),
                });
            }
            Self::Refused { .. } => {
                "Correct what it names (--name, --region, the image), then run the command again."
            }
            Self::Failed { .. } => {
                "It was tried several times. https://status.digitalocean.com tells of larger troubles; run the command again later."
            }
            Self::Unreachable { why: Way::Name, .. } => {
                "Is this computer online, and the address right?"
            }
            Self::Unreachable {
                why: Way::Certificate,
                ..
            } => {
                "Is this computer's clock right? Otherwise somebody stands between, perhaps a company's proxy."
            }
            Self::Unreachable { .. } => {
                "It was tried several times. Check the network, then run the command again."
            }
            Self::NotTheApi { .. } => "Is there a proxy between, or is DIGITALOCEAN_API_URL set?",
            Self::Space { status: 403, .. } => {
                "Is it the right key, for this Space, with the right to read and write, and is this computer's clock right?"
            }
            Self::Space { status: 404, .. } => {
                "Make a Space at https://cloud.digitalocean.com/spaces (e3 makes none), or correct --space."
            }
            Self::Space { .. } => {
                "It was tried several times. Check the network and https://status.digitalocean.com, then run the command again."
            }
            Self::Import { .. } => {
                "It takes disks for x86_64 in raw or qcow2 format, plain or packed with gzip or bzip2, of less than 100 GB."
            }
            Self::Slow { .. } => "The same command goes on waiting.",
            Self::Transfer { .. } => {
                "The same command tries it again; where the image is already, it can be used."
            }
            Self::Busy => "Wait for it to end.",
            Self::Changed { .. } => "Run the command again when nobody writes to it any more.",
            Self::Io { .. } | Self::File(_) => return None,
        };
        Some(remedy.to_owned())
    }
}
