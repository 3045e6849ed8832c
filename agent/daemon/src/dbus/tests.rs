//! On a real dbus-daemon with the policy that is shipped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use futures_util::StreamExt as _;

use zbus::connection::Builder;

use super::*;
use crate::board::Source;
use crate::phase::Phase;
use crate::update::InEffect;
use crate::update::effect::{Coming, Origin};

const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../dist/dbus-1/system.d/org.e3.Agent1.conf"
);
/// Only a test that fails waits so long.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the tests ask the agent.
#[zbus::proxy(
    interface = "org.e3.Agent1",
    default_service = "org.e3.Agent1",
    default_path = "/org/e3/Agent1"
)]
trait Agent1 {
    fn status_json(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn phase(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn release(&self) -> zbus::Result<(String, String, String)>;
    #[zbus(property)]
    fn candidate(&self) -> zbus::Result<(String, String, String)>;
    #[zbus(property)]
    fn set_phase(&self, phase: &str) -> zbus::Result<()>;
}

struct Bus(Child, String);

impl Bus {
    /// A system bus of our own in `folder`; `owner` may own the agent's name there.
    fn start(folder: &Path, owner: &str) -> Self {
        let shipped = std::fs::read_to_string(POLICY).unwrap();
        let policy = shipped.replace("user=\"e3\"", &format!("user=\"{owner}\""));
        assert_ne!(policy, shipped);
        std::fs::write(folder.join("policy.conf"), policy).unwrap();
        let address = format!("unix:path={}", folder.join("bus").display());
        // What Debian's system.conf says: nobody owns anything and nobody is called by default.
        let config = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\" \"busconfig.dtd\">
             <busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>
             <policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/><deny send_type=\"method_call\"/>
             <allow send_type=\"signal\"/><allow send_requested_reply=\"true\" send_type=\"method_return\"/>
             <allow send_requested_reply=\"true\" send_type=\"error\"/><allow receive_type=\"method_call\"/>
             <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/><allow receive_type=\"signal\"/>
             <allow send_destination=\"org.freedesktop.DBus\"/></policy><include>policy.conf</include></busconfig>"
        );
        let path = folder.join("bus.conf");
        std::fs::write(&path, config).unwrap();
        let _ = std::fs::remove_file(folder.join("bus"));
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nosyslog", "--print-address"])
            .arg(format!("--config-file={}", path.display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is needed; it is in Debian's package dbus-daemon");
        let mut line = String::new();
        let mut said = BufReader::new(daemon.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("unix:"), "{line}");
        Self(daemon, address)
    }

    async fn client(&self) -> Connection {
        Builder::address(self.1.as_str()).build().await.unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn me() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current());
    user.unwrap().unwrap().name
}

/// Waits until the agent says that phase to this connection.
async fn says(proxy: &Agent1Proxy<'_>, phase: &str) {
    let begin = Instant::now();
    while proxy.phase().await.ok().as_deref() != Some(phase) {
        assert!(
            begin.elapsed() < DEADLINE,
            "never {phase}: {:?}",
            proxy.phase().await
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_bus_is_told_what_the_agent_does_and_again_after_its_restart() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Bus::start(folder.path(), &me());
    let board = Board::default();
    let running = tokio::spawn(run(board.clone(), Some(bus.1.clone())));
    let client = bus.client().await;
    let uncached = Agent1Proxy::builder(&client).cache_properties(zbus::proxy::CacheProperties::No);
    let proxy = uncached.build().await.unwrap();
    says(&proxy, "starting").await;
    assert_eq!(proxy.version().await.unwrap(), env!("CARGO_PKG_VERSION"));
    let file = Digest::of(b"update");
    let coming = Coming {
        version: "0.2.0".to_owned(),
        sha256: file,
        stage: Stage::Trying,
        starts: 1,
    };
    board.release(InEffect {
        version: "0.2.0".to_owned(),
        sha256: Some(file),
        origin: Origin::Update,
        candidate: Some(coming),
    });
    let row = |word: &str| ("0.2.0".to_owned(), file.to_string(), word.to_owned());
    assert_eq!(proxy.release().await.unwrap(), row("update"));
    assert_eq!(proxy.candidate().await.unwrap(), row("trying"));
    // A change is told, not found by asking.
    let cached = Agent1Proxy::new(&client).await.unwrap();
    let mut phases = cached.receive_phase_changed().await;
    board.phase_is(Phase::Ready);
    let told = async {
        while let Some(change) = phases.next().await {
            if change.get().await.unwrap() == "ready" {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&proxy.status_json().await.unwrap()).unwrap();
    assert_eq!(json["phase"]["name"], "ready");
    // Who asks for what is not there hears so.
    for (interface, member, path) in [
        (NAME, "Stop", PATH),
        (NAME, "StatusJson", "/"),
        ("org.freedesktop.DBus.Properties", "GetAll", PATH),
    ] {
        let error = client
            .call_method(Some(NAME), path, Some(interface), member, &())
            .await;
        assert!(
            matches!(error, Err(zbus::Error::FDO(_))),
            "{member}: {error:?}"
        );
    }
    // Nobody sets anything.
    let error = proxy.set_phase("degraded").await.unwrap_err().to_string();
    assert!(error.contains("AccessDenied"), "{error}");
    let introspected = client
        .call_method(
            Some(NAME),
            PATH,
            Some("org.freedesktop.DBus.Introspectable"),
            "Introspect",
            &(),
        )
        .await
        .unwrap();
    let xml: String = introspected.body().deserialize().unwrap();
    for word in [
        "StatusJson",
        "Phase",
        "Reason",
        "Remedy",
        "Identity",
        "Fleet",
        "Sessions",
        "Version",
        "Release",
        "Candidate",
    ] {
        assert!(xml.contains(&format!("name=\"{word}\"")), "{xml}");
    }
    assert!(!xml.contains("access=\"readwrite\""), "{xml}");
    drop((phases, cached, proxy, client, bus));
    let bus = Bus::start(folder.path(), &me());
    let client = bus.client().await;
    let uncached = Agent1Proxy::builder(&client).cache_properties(zbus::proxy::CacheProperties::No);
    let proxy = uncached.build().await.unwrap();
    board.degraded(Source::Head, Some(e3_core::degraded::Degraded::HeadExpired));
    says(&proxy, "degraded").await;
    running.abort();
}

#[tokio::test]
async fn only_the_agents_user_owns_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let other = if me() == "nobody" { "daemon" } else { "nobody" };
    let bus = Bus::start(folder.path(), other);
    let error = connect(Some(&bus.1)).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
}
