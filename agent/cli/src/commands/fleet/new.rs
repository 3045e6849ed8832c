//! `e3 fleet new`: a folder with the first root, the first head and a release key.

use std::fs;
use std::path::{Path, PathBuf};

use e3_client::hub::Hub;
use e3_client::{clock, files};
use e3_core::digest::Digest;
use e3_core::document::{Head, Role, Root, RootRef};
use e3_core::envelope::Envelope;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::mesh;
use e3_core::mesh::link::DISCOVERY_PORT;
use e3_core::name::Name;
use e3_core::time::Time;
use serde_json::json;

use crate::args::{FirstMesh, FleetNew};
use crate::commands::hub::serve::{HUB_TLS, RELAY_CA};
use crate::commands::key;
use crate::commands::mesh::default;
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::output::Answer;

/// Seconds.
const DAY: u64 = 86_400;
/// A certificate bundle.
const PEM: usize = 1024 * 1024;
const HUB_CA: &str = "hub-ca.pem";
/// The first head, from which `e3 hub serve` starts.
pub const HEAD: &str = "head.json";

/// What a fleet shall be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: Name,
    /// Where its hub will be.
    pub hub: String,
    /// The hub's certificate authority, as PEM.
    pub hub_ca: Option<Vec<u8>>,
    /// Owners besides the one who makes it.
    pub owners: Vec<PublicKey>,
    /// Session signers who are no owners.
    pub session_signers: Vec<PublicKey>,
    /// How many must sign a session.
    pub threshold: usize,
    /// Seconds until the first head expires.
    pub head_lifetime: u64,
    /// Where machines meet that cannot reach each other: the relay of the built-in mesh. The fleet has no mesh without it.
    pub relay: Option<String>,
}

impl Plan {
    /// One owner, who signs everything.
    pub fn new(name: Name, hub: &str) -> Self {
        Self {
            name,
            hub: hub.to_owned(),
            hub_ca: None,
            owners: Vec::new(),
            session_signers: Vec::new(),
            threshold: 1,
            head_lifetime: 14 * DAY,
            relay: None,
        }
    }
}

/// A fleet that has been made.
#[derive(Debug)]
pub struct Created {
    /// Its folder and file.
    pub fleet: Fleet,
    /// The digest of its first root.
    pub root: Digest,
    /// Who signs releases.
    pub release: PublicKey,
    /// When its first head expires.
    pub expires: Time,
}

/// Makes a fleet in `folder`, which must not exist. It appears whole or not at all.
pub fn create(folder: &Path, plan: &Plan, key: &SecretKey) -> Result<Created, Error> {
    create_at(folder, plan, key, clock::now())
}

/// The same, signed at `now`.
pub fn create_at(folder: &Path, plan: &Plan, key: &SecretKey, now: Time) -> Result<Created, Error> {
    if folder.exists() {
        return Err(Error::Exists {
            path: folder.to_owned(),
        });
    }
    Hub::open(&plan.hub, plan.hub_ca.as_deref())?;
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Folder {
            action,
            path,
            source,
        }
    };
    fs::create_dir_all(parent).map_err(failed("make", parent))?;
    let building = tempfile::Builder::new()
        .prefix(".e3-new-")
        .tempdir_in(parent);
    let building = building.map_err(failed("make a folder in", parent))?;
    let release = key::make(&building.path().join("keys/release.pem"))?.public();
    let expires = now.plus(plan.head_lifetime);
    let meshes = match &plan.relay {
        Some(relay) => vec![default::plan(relay, authority(building.path())?)],
        None => Vec::new(),
    };
    let (root, head) = documents(plan, key, release, now, expires, meshes)?;
    let digest = root.digest();
    let hub_ca = plan.hub_ca.as_ref().map(|_| Path::new(HUB_CA));
    let fleet = Fleet::create(building.path(), &plan.name, &plan.hub, hub_ca, &digest)?;
    if let Some(pem) = &plan.hub_ca {
        files::write_atomic(&building.path().join(HUB_CA), pem)?;
    }
    fleet.put_root(1, &root.to_bytes())?;
    files::write_atomic(&building.path().join(HEAD), &head.to_bytes())?;
    // Keys, trust state and join files must not get into a repository by accident.
    files::write_atomic(
        &building.path().join(".gitignore"),
        b"/keys/\n/.e3/\n/hub/\n/e3*.toml\n",
    )?;
    fs::rename(building.path(), folder).map_err(failed("make", folder))?;
    // It has moved away; there is nothing left to remove.
    let _ = building.keep();
    Ok(Created {
        fleet: Fleet::open(folder)?,
        root: digest,
        release,
        expires,
    })
}

/// The hub's own authority, made before the hub: the first head says whose certificate its relay has.
fn authority(fleet: &Path) -> Result<String, Error> {
    let folder = fleet.join(HUB_TLS);
    files::private_folder(&folder)?;
    let pem = e3_hub::authority(&folder).map_err(|source| Error::Serve {
        listen: "its relay".to_owned(),
        source,
    })?;
    files::write_atomic(&fleet.join(RELAY_CA), pem.as_bytes())?;
    Ok(pem)
}

/// The relay that the first head names: as it was asked for, or beside the hub if other machines can reach that.
fn relay(args: &FleetNew) -> Result<Option<String>, Error> {
    let beside = default::relay_of(&args.hub);
    match args.mesh {
        Some(FirstMesh::None) => Ok(None),
        None => Ok(beside.filter(|_| !default::is_alone(&args.hub))),
        Some(FirstMesh::Link) => beside.map(Some).ok_or_else(|| Error::Usage {
            message: format!("nothing can be beside the hub {}", args.hub),
            remedy: "Make the fleet with --mesh none, and choose a mesh later: `e3 mesh link --relay https://HOST[:PORT]`.",
        }),
    }
}

/// The root and the head on it, both signed.
fn documents(
    plan: &Plan,
    key: &SecretKey,
    release: PublicKey,
    now: Time,
    expires: Time,
    meshes: Vec<mesh::Plan>,
) -> Result<(Envelope, Envelope), Error> {
    let me = key.public();
    let unique = |keys: &[PublicKey]| {
        let mut unique = vec![me];
        unique.extend(keys.iter().filter(|key| **key != me));
        unique
    };
    let signers = [plan.owners.as_slice(), &plan.session_signers].concat();
    let root = Root {
        fleet: plan.name.clone(),
        version: 1,
        epoch: 1,
        signed: now,
        root: Role {
            keys: vec![me],
            threshold: 1,
        },
        // Any owner may publish: the head only names what enough others have signed.
        head: Role {
            keys: unique(&plan.owners),
            threshold: 1,
        },
        session: Role {
            keys: unique(&signers),
            threshold: plan.threshold,
        },
        // Rule 9: never a session key.
        release: Role {
            keys: vec![release],
            threshold: 1,
        },
    };
    let root = Envelope::sign(&root, &[key]).map_err(|source| Error::Document {
        what: "root",
        source,
    })?;
    let head = Head {
        fleet: plan.name.clone(),
        epoch: 1,
        counter: 1,
        signed: now,
        expires,
        root: RootRef {
            version: 1,
            digest: root.digest(),
        },
        sessions: Vec::new(),
        revoked: Vec::new(),
        release: None,
        meshes,
    };
    let head = Envelope::sign(&head, &[key]).map_err(|source| Error::Document {
        what: "head",
        source,
    })?;
    Ok((root, head))
}

pub(super) fn run(args: &FleetNew) -> Result<Answer, Error> {
    let key_file = key::path_of(args.key.as_deref())?;
    let key = key::read(args.key.as_deref())?;
    let hub_ca = args
        .hub_ca
        .as_ref()
        .map(|path| files::read_bounded(path, PEM))
        .transpose()?;
    let plan = Plan {
        name: args.name.clone(),
        hub: args.hub.clone(),
        hub_ca,
        owners: args.owners.clone(),
        session_signers: args.session_signers.clone(),
        threshold: args.threshold,
        head_lifetime: u64::from(args.days) * DAY,
        relay: relay(args)?,
    };
    let folder = PathBuf::from(args.name.as_str());
    let created = create(&folder, &plan, &key)?;
    let name = &plan.name;
    let relay = plan.relay.as_ref().map_or_else(String::new, |relay| {
        format!(
            "relay       {relay}, UDP port {DISCOVERY_PORT}: where machines meet that cannot reach each other; the hub serves it\n"
        )
    });
    let text = format!(
        "The fleet {name} is in {name}/\n\n\
         root, head  signed by your key {owner}\n\
         sessions    {threshold} signature(s) needed, {signers} key(s) may sign\n\
         releases    signed by {name}/keys/release.pem\n\
         first root  {root}\n\
         first head  expires {expires}; `e3 hub renew` signs the next one\n\
         {relay}\n\
         Keep offline: {name}/keys/release.pem, and a copy of {key_file}\n\
         Nobody can make them again; without the owner's key the fleet cannot be changed.\n\n\
         Next:\n  e3 hub serve --fleet {name}\n  e3 fleet invite alice --fleet {name} -o alice.toml   # once for each machine\n",
        owner = key.public(),
        threshold = plan.threshold,
        signers = 1 + plan.owners.len() + plan.session_signers.len(),
        root = created.root,
        expires = created.expires,
        key_file = key_file.display(),
    );
    let json = json!({
        "fleet": name, "folder": crate::output::named(&folder), "hub": plan.hub, "root": created.root, "owner": key.public(),
        "release": created.release, "expires": created.expires,
        "relay": plan.relay,
    });
    Ok(Answer::new(text, json))
}
