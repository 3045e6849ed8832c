//! `e3 fleet rotate`: the next root, with other keys or thresholds, as a file (rule 4).
//!
//! It needs the signatures of the root it replaces and its own. They are collected as those of a
//! session are: one file, one signer at a time, without a network ([`super::sign`]). Nothing changes
//! until it is pushed ([`super::push`]).

use std::path::{Path, PathBuf};

use e3_client::files::write_atomic;
use e3_core::document::{Role, RoleName, Root};
use e3_core::envelope::Envelope;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::time::Time;

use super::sign::Paper;
use crate::args::FleetRotate;
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::output::Answer;

/// What the next root shall change.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Keys that get a role.
    pub add: Vec<(RoleName, PublicKey)>,
    /// Keys that lose one.
    pub remove: Vec<(RoleName, PublicKey)>,
    /// How many keys of a role must sign.
    pub threshold: Vec<(RoleName, usize)>,
    /// Whether every counter starts afresh.
    pub new_epoch: bool,
}

impl Change {
    /// The root that follows `root`, signed at `now`.
    pub fn apply(&self, root: &Root, now: Time) -> Result<Root, Error> {
        let mut next = root.clone();
        for (role, key) in &self.remove {
            let keys = &mut role_mut(&mut next, *role).keys;
            let before = keys.len();
            keys.retain(|other| other != key);
            if keys.len() == before {
                return Err(Error::Usage {
                    message: format!("{key} is no key of the role `{}`", role.as_str()),
                    remedy: "`e3 fleet status --json` shows the roles and their keys.",
                });
            }
        }
        for (role, key) in &self.add {
            let keys = &mut role_mut(&mut next, *role).keys;
            if !keys.contains(key) {
                keys.push(*key);
            }
        }
        for (role, threshold) in &self.threshold {
            role_mut(&mut next, *role).threshold = *threshold;
        }
        next.epoch += u64::from(self.new_epoch);
        if next == *root {
            return Err(Error::Usage {
                message: "the next root would be the same as this one".to_owned(),
                remedy: "Say what shall change: --add, --remove, --threshold or --new-epoch.",
            });
        }
        next.version += 1;
        next.signed = now;
        Ok(next)
    }
}

const fn role_mut(root: &mut Root, role: RoleName) -> &mut Role {
    match role {
        RoleName::Root => &mut root.root,
        RoleName::Head => &mut root.head,
        RoleName::Session => &mut root.session,
        RoleName::Release => &mut root.release,
    }
}

/// Writes the next root to `path`, with the first signature.
pub fn rotate(
    fleet: &Fleet,
    change: &Change,
    key: &SecretKey,
    path: &Path,
    now: Time,
) -> Result<Paper, Error> {
    let root = fleet.newest_root()?.document;
    let next = change.apply(&root, now)?;
    let may = [&root.root, &next.root].map(|role| role.keys.contains(&key.public()));
    if may == [false, false] {
        return Err(Error::NotAllowed {
            key: key.public().to_string(),
            role: "root",
        });
    }
    if path.symlink_metadata().is_ok() {
        let path = path.to_owned();
        return Err(Error::Exists { path });
    }
    let envelope = Envelope::sign(&next, &[key]).map_err(|source| Error::Document {
        what: "root",
        source,
    })?;
    write_atomic(path, &envelope.to_bytes())?;
    Paper::open(path, &root)
}

pub(super) fn run(args: &FleetRotate, fleet: &Fleet, now: Time) -> Result<Answer, Error> {
    let key = crate::commands::key::read(args.key.as_deref())?;
    let pairs = |keys: &[crate::args::RoleKey]| keys.iter().map(|it| (it.role, it.key)).collect();
    let change = Change {
        add: pairs(&args.add),
        remove: pairs(&args.remove),
        threshold: args
            .threshold
            .iter()
            .map(|it| (it.role, it.number))
            .collect(),
        new_epoch: args.new_epoch,
    };
    let version = fleet.newest_root()?.document.version + 1;
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("root-{version}.json")));
    Ok(rotate(fleet, &change, &key, &path, now)?.answer("Wrote"))
}

#[cfg(test)]
mod tests {
    use e3_core::document::Document as _;
    use e3_core::key::SecretKey;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public()
    }

    fn root() -> Root {
        let role = |seed| Role {
            keys: vec![key(seed)],
            threshold: 1,
        };
        Root {
            fleet: "acme".parse().unwrap(),
            version: 4,
            epoch: 2,
            signed: Time::MIN,
            root: role(1),
            head: role(1),
            session: role(1),
            release: role(2),
        }
    }

    #[test]
    fn the_next_root_changes_what_was_asked_and_nothing_else() {
        let change = Change {
            add: vec![(RoleName::Head, key(3)), (RoleName::Head, key(3))],
            remove: vec![(RoleName::Head, key(1))],
            threshold: vec![(RoleName::Session, 2)],
            new_epoch: true,
        };
        let next = change.apply(&root(), Time::MAX).unwrap();
        let expected = Root {
            version: 5,
            epoch: 3,
            signed: Time::MAX,
            head: Role {
                keys: vec![key(3)],
                threshold: 1,
            },
            session: Role {
                threshold: 2,
                ..root().session
            },
            ..root()
        };
        assert_eq!(next, expected);
        // What makes no sense is found when it is signed.
        assert!(next.check().is_err());
    }

    #[test]
    fn a_change_that_changes_nothing_is_an_error() {
        let nothing = Change {
            add: vec![(RoleName::Head, key(1))],
            ..Change::default()
        };
        let unknown = Change {
            remove: vec![(RoleName::Head, key(9))],
            ..Change::default()
        };
        for change in [nothing, unknown] {
            let result = change.apply(&root(), Time::MAX);
            assert!(matches!(result, Err(Error::Usage { .. })), "{result:?}");
        }
    }
}
