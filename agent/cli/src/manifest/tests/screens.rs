//! Every error screen, as a person sees it.

use super::*;

/// `GOOD` with a line put in front of `[mpyc]`.
fn with(line: &str) -> String {
    GOOD.replace("\n[mpyc]", &format!("{line}\n\n[mpyc]"))
}

/// `GOOD` with a line in `[mpyc]`.
fn with_mpyc(line: &str) -> String {
    format!("{GOOD}{line}\n")
}

#[test]
fn each_mistake_has_its_screen() {
    let did = key(40).public();
    let cases = [
        ("toml", GOOD.replace("\"average.py\"", "average.py")),
        ("toml-duplicate", with("name = \"again\"")),
        ("unknown-key", with("valid_fro = \"1h\"\nfrobnicate = 1")),
        ("unknown-mpyc-key", with_mpyc("treshold = 1")),
        (
            "wrong-type",
            with("valid_for = 3600\nargs = \"x\"\nconsent = true\nlimits = 3"),
        ),
        (
            "unknown-party",
            GOOD.replace("\"bob\"", "\"bbo\", \"zebra\""),
        ),
        (
            "unknown-did",
            GOOD.replace("\"bob\"", &format!("\"{did}\", \"did:key:z6\"")),
        ),
        ("party-twice", GOOD.replace("\"carol\"", "\"alice\"")),
        (
            "party-name-twice",
            GOOD.replace(
                "\"bob\"",
                &format!("{{ name = \"alice\", key = \"{did}\", owner = \"{did}\" }}"),
            ),
        ),
        (
            "party-in-full",
            GOOD.replace(
                "\"bob\"",
                &format!("{{ name = \"Dave\", key = 3, ower = \"{did}\" }}"),
            ),
        ),
        (
            "no-parties",
            GOOD.replace("\"alice\", \"bob\", \"carol\"", ""),
        ),
        ("threshold", with_mpyc("threshold = 2")),
        ("missing-keys", String::new()),
        ("missing-version", GOOD.replace("version = \"0.11\"", "")),
        ("missing-program", GOOD.replace("average.py", "averge.py")),
        ("not-python", GOOD.replace("average.py", "table.csv")),
        ("no-entry", GOOD.replace("average.py", "study")),
        (
            "wrong-entry",
            GOOD.replace("\"average.py\"", "\"study\"\nentry = \"c.py\""),
        ),
        ("empty-paths", GOOD.replace("average.py", "")),
        ("missing-data", with("data = [\"table.csv\", \"gone.csv\"]")),
        ("expired", with("expires = 2026-11-22T09:00:00Z")),
        ("expired-start", with("not_before = 2026-11-22T08:00:00Z")),
        (
            "times",
            with("not_before = 2026-11-23T08:00:00\nexpires = \"in 2h\"\nvalid_for = \"soon\""),
        ),
        (
            "both-ends",
            with("expires = 2026-12-24T09:00:00Z\nvalid_for = \"1h\""),
        ),
        (
            "end-before-start",
            with("not_before = 2026-12-24T08:00:00Z\nexpires = \"2026-12-24T08:00:00Z\""),
        ),
        (
            "modules",
            with("modules = [\"numpy>=2\", \"gmpy2==2.3.2\", \"gmpy2\", \"!\"]"),
        ),
        (
            "inputs",
            format!(
                "{GOOD}[inputs]\nsalary = [\"alice\", \"bbo\", \"alice\"]\nMax_Bid = \"all\"\nage = 3\n"
            ),
        ),
        (
            "choices",
            with("consent = \"al\"\noutput = \"public\"\nequal = [\"stderr\"]"),
        ),
        ("consent", with("consent = \"all\"")),
        (
            "limits",
            format!("{GOOD}[limits]\nmemory = 512\ncpu = \"1\"\ntasks = 0\noutput = \"1G\"\n"),
        ),
        (
            "deadlines",
            format!("{GOOD}[deadlines]\npreflight = 30\nrun = \"60d\"\nconect = \"3s\"\n"),
        ),
        (
            "mpyc",
            GOOD.replace("0.11", "latest")
                + "base_port = 80\nprss = 1\nbit_length = 0\nsha256 = \"x\"\n",
        ),
        (
            "wheel-version",
            with_mpyc("wheel = \"mpyc-0.10-py3-none-any.whl\""),
        ),
        (
            "wheel-missing",
            with_mpyc("wheel = \"down/mpyc-0.11-py3-none-any.whl\""),
        ),
        (
            "control-characters",
            with("\"a\\u001b[2J\" = 1\nentry = \"\\u001b]0;x\\u0007\""),
        ),
        ("args", with("args = [\"a\\u0000\", 3, \"\\u202e\"]")),
        (
            "too-large-to-sign",
            with(&format!(
                "args = [{}]",
                "\"{}\", ".replace("{}", &"x".repeat(4000)).repeat(60)
            )),
        ),
    ];
    let desk = Desk::new();
    for (name, text) in cases {
        insta::assert_snapshot!(name, desk.screen(&text));
    }
}

#[test]
fn a_program_over_the_limit_is_a_problem_of_the_manifest() {
    let desk = Desk::new();
    fs::File::create(desk.path().join("study/big.bin"))
        .unwrap()
        .set_len(limits::PROGRAM + 1)
        .unwrap();
    insta::assert_snapshot!(
        "program-too-large",
        desk.screen(&GOOD.replace("average.py", "study"))
    );
}

#[test]
fn many_problems_come_together_in_the_order_of_the_file() {
    let text = "nmae = 1\nparties = [\"alice\", 3]\nprogram = \"gone.py\"\nvalid_for = \"1\"\n[mpyc]\nversion = 0.11\n[limit]\n";
    insta::assert_snapshot!("many", Desk::new().screen(text));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let desk = Desk::new();
    let error = |path: &Path| desk.tidy(&check(path, &fleet(), now()).unwrap_err().to_string());
    assert_eq!(
        error(&desk.path().join("none.toml")),
        "there is no manifest DIR/none.toml"
    );
    fs::create_dir(desk.path().join("salaries.session")).unwrap();
    assert_eq!(
        error(&desk.path().join("salaries.session")),
        "DIR/salaries.session is a signed session, not a manifest"
    );
    fs::write(desk.path().join("latin.toml"), b"name = \"caf\xe9\"\n").unwrap();
    insta::assert_snapshot!("not-utf8", error(&desk.path().join("latin.toml")));
    desk.put("long.toml", &"#".repeat(MANIFEST + 1));
    assert_eq!(
        error(&desk.path().join("long.toml")),
        "DIR/long.toml has more than 262144 bytes"
    );
}
