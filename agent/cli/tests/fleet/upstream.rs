//! MPyC programs that know nothing of E3 run as they are.
//!
//! Two of them are the project's own. With `E3_MPYC_DEMOS` set to the `demos` folder of an MPyC
//! checkout, some of MPyC's run as well.

use std::fs;
use std::path::PathBuf;

use crate::common::{Plan, Rig, Run};

/// Demos of MPyC that end within seconds, with arguments.
const DEMOS: [(&str, &[&str]); 6] = [
    ("helloworld.py", &[]),
    ("secretsanta.py", &["3"]),
    ("unanimous.py", &["1"]),
    ("ot.py", &["-b", "1"]),
    ("oneliners.py", &[]),
    ("elgamal.py", &[]),
];

/// What the parties printed.
fn printed(rig: &Rig, run: &Run) -> Vec<String> {
    rig.fleet
        .results(&run.session.digest)
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect()
}

#[tokio::test]
async fn programs_in_the_style_of_mpycs_demos_run_as_they_are() {
    let mut rig = Rig::new().await;
    let data = rig.scratch.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("table.csv"), "2,3\n5,7\n11,13\n").unwrap();
    let run = rig
        .push(&Plan {
            program: include_str!("programs/style.py"),
            args: ["-v", "--offset=-1", "2"].map(str::to_owned).to_vec(),
            keys: "data = [\"data/table.csv\"]\nequal = [\"stdout\"]",
            ..Plan::default()
        })
        .await;
    rig.ends_well(&run).await;
    assert_eq!(printed(&rig, &run), ["40\n", "40\n", "40\n"]);
    let program = include_str!("programs/restarts.py");
    let run = rig
        .push(&Plan {
            program,
            keys: "equal = [\"stdout\"]",
            ..Plan::default()
        })
        .await;
    rig.ends_well(&run).await;
    assert_eq!(
        printed(&rig, &run),
        ["1.50 of 3\n", "1.50 of 3\n", "1.50 of 3\n"]
    );
    if let Some(demos) = std::env::var_os("E3_MPYC_DEMOS").map(PathBuf::from) {
        for (name, args) in DEMOS {
            let text = fs::read_to_string(demos.join(name)).unwrap();
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            let run = rig
                .push(&Plan {
                    program: &text,
                    args,
                    ..Plan::default()
                })
                .await;
            rig.ends_well(&run).await;
            assert!(
                printed(&rig, &run).iter().all(|text| !text.is_empty()),
                "{name} prints nothing"
            );
        }
    }
    rig.stop().await;
}
