use super::*;

const INIT: &[u8] = b"__version__ = '0.11'\n";
const MODULES: [(&str, &[u8]); 3] = [
    (wheel::MPYC_INIT, INIT),
    ("mpyc/runtime.py", b"VALUE = 1\n"),
    ("mpyc-0.11.dist-info/METADATA", b"Name: mpyc\n"),
];

struct Machine {
    state: tempfile::TempDir,
    runtimes: Runtimes,
    python: Python,
    bytes: Vec<u8>,
    blob: Blob,
}

impl Machine {
    async fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let runtimes = Runtimes::open(state.path()).unwrap();
        let python = Pythons::default().find(Path::new("python3")).await.unwrap();
        let bytes = wheel::tests::wheel(&MODULES);
        let blob = Blob::of(&bytes);
        Self {
            state,
            runtimes,
            python,
            bytes,
            blob,
        }
    }

    async fn prepare(&self) -> Result<Runtime, Reason> {
        self.runtimes
            .prepare(&self.blob, self.bytes.clone(), "0.11", &self.python)
            .await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state
            .path()
            .join("runtime")
            .join(self.blob.digest.hex())
            .join("files")
            .join(name)
    }

    fn compiled(&self) -> PathBuf {
        self.file(&format!(
            "mpyc/__pycache__/runtime.{}.pyc",
            self.python.cache_tag
        ))
    }

    fn plant(&self, name: &str, text: &[u8]) {
        files::write_atomic(&self.file(name), text).unwrap();
    }
}

#[tokio::test]
async fn a_runtime_is_unpacked_once_and_its_byte_code_is_made_with_it() {
    let machine = Machine::new().await;
    let runtime = machine.prepare().await.unwrap();
    assert_eq!(
        fs::read(runtime.mpyc_dir.join("mpyc/runtime.py")).unwrap(),
        b"VALUE = 1\n"
    );
    let compiled = fs::metadata(machine.compiled())
        .unwrap()
        .modified()
        .unwrap();
    let made = fs::metadata(machine.file(wheel::MPYC_INIT))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(machine.prepare().await.unwrap(), runtime);
    assert_eq!(
        fs::metadata(machine.compiled())
            .unwrap()
            .modified()
            .unwrap(),
        compiled,
        "compiled once"
    );
    assert_eq!(
        fs::metadata(machine.file(wheel::MPYC_INIT))
            .unwrap()
            .modified()
            .unwrap(),
        made,
        "unpacked once"
    );
}

#[tokio::test]
async fn rotten_byte_code_is_made_again() {
    let machine = Machine::new().await;
    machine.prepare().await.unwrap();
    let good = fs::read(machine.compiled()).unwrap();
    let mut rotten = good.clone();
    *rotten.last_mut().unwrap() ^= 1;
    files::write_atomic(&machine.compiled(), &rotten).unwrap();
    machine.prepare().await.unwrap();
    assert_eq!(fs::read(machine.compiled()).unwrap(), good);
}

#[tokio::test]
async fn another_version_in_the_unpacked_files_is_named_and_the_next_session_gets_a_fresh_copy() {
    let machine = Machine::new().await;
    machine.prepare().await.unwrap();
    machine.plant(wheel::MPYC_INIT, b"__version__ = '0.10'\n");
    let expected = Reason::MpycMismatch {
        pinned: "0.11".to_owned(),
        has: "0.10".to_owned(),
    };
    assert_eq!(machine.prepare().await, Err(expected));
    let kept = machine
        .state
        .path()
        .join(format!("quarantine/{}-1/files", machine.blob.digest.hex()));
    assert_eq!(
        fs::read(kept.join(wheel::MPYC_INIT)).unwrap(),
        b"__version__ = '0.10'\n"
    );
    machine.prepare().await.unwrap();
    assert_eq!(fs::read(machine.file(wheel::MPYC_INIT)).unwrap(), INIT);
}

#[tokio::test]
async fn every_change_of_the_unpacked_files_is_seen() {
    let machine = Machine::new().await;
    for change in 0..5 {
        machine.prepare().await.unwrap();
        match change {
            0 => machine.plant("mpyc/runtime.py", b"VALUE = 2\n"),
            1 => machine.plant("mpyc/extra.py", b""),
            2 => machine.plant("numpy.py", b""),
            3 => fs::remove_file(machine.file("mpyc/runtime.py")).unwrap(),
            _ => {
                fs::remove_file(machine.file("mpyc/runtime.py")).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", machine.file("mpyc/runtime.py")).unwrap();
            }
        }
        let found = machine.prepare().await;
        assert!(
            matches!(&found, Err(Reason::MpycFileMismatch { .. })),
            "change {change}: {found:?}"
        );
    }
}

#[tokio::test]
async fn the_wheel_must_be_the_pinned_one_and_of_the_pinned_version() {
    let machine = Machine::new().await;
    let other = wheel::tests::wheel(&MODULES[..2]);
    let found = machine
        .runtimes
        .prepare(&machine.blob, other.clone(), "0.11", &machine.python)
        .await;
    assert_eq!(
        found,
        Err(Reason::MpycFileMismatch {
            pinned: machine.blob.digest,
            has: Digest::of(&other)
        })
    );
    let found = machine
        .runtimes
        .prepare(
            &machine.blob,
            machine.bytes.clone(),
            "0.12",
            &machine.python,
        )
        .await;
    assert_eq!(
        found,
        Err(Reason::MpycMismatch {
            pinned: "0.12".to_owned(),
            has: "0.11".to_owned()
        })
    );
    assert_eq!(machine.runtimes.names().count(), 0, "nothing was unpacked");
}

#[tokio::test]
async fn the_last_two_good_runtimes_stay() {
    let machine = Machine::new().await;
    let mut wheels = Vec::new();
    for n in 0..5_u8 {
        let bytes = wheel::tests::wheel(&[
            (wheel::MPYC_INIT, INIT),
            ("mpyc/n.py", format!("N = {n}\n").as_bytes()),
        ]);
        let blob = Blob::of(&bytes);
        machine
            .runtimes
            .prepare(&blob, bytes, "0.11", &machine.python)
            .await
            .unwrap();
        wheels.push(blob.digest);
    }
    for (age, wheel) in [(3_u64, 1), (2, 0), (1, 4)] {
        machine.runtimes.good(&wheels[wheel]);
        let mark = machine
            .state
            .path()
            .join("runtime")
            .join(wheels[wheel].hex())
            .join("good");
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age);
        fs::File::open(mark).unwrap().set_modified(time).unwrap();
    }
    machine.runtimes.retain(&[wheels[3]].into()).unwrap();
    let left: BTreeSet<Digest> = machine
        .runtimes
        .names()
        .filter_map(|name| Digest::from_hex(&name).ok())
        .collect();
    assert_eq!(left, [wheels[0], wheels[3], wheels[4]].into());
}

#[test]
fn what_an_interrupted_unpacking_left_is_removed() {
    let state = tempfile::tempdir().unwrap();
    Runtimes::open(state.path()).unwrap();
    fs::create_dir_all(state.path().join("runtime/new-abc/files")).unwrap();
    assert_eq!(Runtimes::open(state.path()).unwrap().names().count(), 0);
}
