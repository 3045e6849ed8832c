//! Fleet files: written by E3, edited by people, broken by both.

use e3_core::document::Role;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::time::Time;

use super::*;

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn root(version: u64, epoch: u64, keys: &[u8], signers: &[u8]) -> Envelope {
    let role = |keys: &[u8]| Role {
        keys: keys.iter().map(|n| key(*n).public()).collect(),
        threshold: 1,
    };
    let root = Root {
        fleet: "acme".parse().unwrap(),
        version,
        epoch,
        signed: Time::MIN,
        root: role(keys),
        head: role(keys),
        session: role(keys),
        release: role(&[99]),
    };
    let signers: Vec<SecretKey> = signers.iter().map(|n| key(*n)).collect();
    Envelope::sign(&root, &signers.iter().collect::<Vec<_>>()).unwrap()
}

fn fleet(folder: &Path) -> Fleet {
    let first = root(1, 1, &[1], &[1]);
    let name = "acme".parse().unwrap();
    let fleet = Fleet::create(
        folder,
        &name,
        "https://hub.example.org",
        None,
        &first.digest(),
    )
    .unwrap();
    fleet.put_root(1, &first.to_bytes()).unwrap();
    fleet
}

fn member(name: &str, n: u8) -> Member {
    Member {
        name: name.parse().unwrap(),
        key: key(n).public(),
        owner: key(1).public(),
    }
}

#[test]
fn changes_keep_what_a_person_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    fleet(folder.path());
    let text = fs::read_to_string(&path).unwrap() + "# mine\n";
    fs::write(&path, &text).unwrap();
    let mut fleet = Fleet::open(folder.path()).unwrap();
    fleet.set_party(member("bob", 5));
    fleet.set_party(member("alice", 6));
    fleet.set_party(member("bob", 7));
    fleet.set_hub("http://localhost:1");
    fleet.save().unwrap();
    let again = Fleet::open(folder.path()).unwrap();
    assert_eq!(again.parties, [member("bob", 7), member("alice", 6)]);
    assert_eq!(again.hub, "http://localhost:1");
    assert!(fleet.remove_party(&"bob".parse().unwrap()));
    assert!(!fleet.remove_party(&"bob".parse().unwrap()));
    fleet.save().unwrap();
    insta::assert_snapshot!("edited", fs::read_to_string(&path).unwrap());
    assert!(matches!(
        Fleet::create(folder.path(), &again.name, "", None, &again.root),
        Err(FleetError::Exists { .. })
    ));
}

#[test]
fn a_fleet_is_found_upwards() {
    let folder = tempfile::tempdir().unwrap();
    fleet(folder.path());
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    assert_eq!(Fleet::find(None, &deep).unwrap(), folder.path());
    assert_eq!(
        Fleet::find(Some(folder.path()), Path::new("/")).unwrap(),
        folder.path()
    );
    assert_eq!(
        Fleet::find(Some(&folder.path().join(FILE)), Path::new("/")).unwrap(),
        folder.path()
    );
    assert!(matches!(
        Fleet::find(Some(&deep), folder.path()),
        Err(FleetError::NoFleet { .. })
    ));
    assert!(matches!(
        Fleet::open(&deep),
        Err(FleetError::NoFleet { .. })
    ));
}

#[test]
fn the_root_chain_is_walked_and_a_false_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(folder.path());
    assert_eq!(fleet.view().unwrap().epoch, 1);
    fleet
        .put_root(2, &root(2, 2, &[2], &[1, 2]).to_bytes())
        .unwrap();
    let view = fleet.view().unwrap();
    assert_eq!((view.epoch, view.session.keys), (2, vec![key(2).public()]));
    // Version 3 without the signature of version 2.
    fleet
        .put_root(3, &root(3, 2, &[3], &[3]).to_bytes())
        .unwrap();
    let error = fleet.view().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("root/3.json is no root of this fleet"),
        "{error}"
    );
    fs::remove_file(fleet.root_path(1)).unwrap();
    assert!(matches!(fleet.view(), Err(FleetError::NoRoot { .. })));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let did = key(4).public();
    let text = "name = acme\n";
    fs::write(folder.path().join(FILE), text).unwrap();
    let syntax = Fleet::open(folder.path()).unwrap_err().to_string();
    assert!(syntax.contains("this is not TOML"), "{syntax}");
    let text = format!(
        "nam = \"acme\"\nhub = \"hub.example.org\"\nroot = 3\n\n[parties.alice]\nkey = \"{did}\"\n\n\
         [parties.Bob]\nkey = \"{did}\"\n\n[parties.carol]\nkey = \"did:key:z6\"\nowner = \"{did}\"\n"
    );
    fs::write(folder.path().join(FILE), text).unwrap();
    let screen = Fleet::open(folder.path()).unwrap_err().to_string();
    insta::assert_snapshot!(
        "problems",
        screen.replace(&folder.path().display().to_string(), "DIR")
    );
}
