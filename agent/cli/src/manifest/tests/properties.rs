//! Whatever stands in the file, nothing panics, and every problem has a place and a remedy.

use proptest::prelude::*;

use super::*;

/// Reads without looking for files, and renders what comes out.
fn read_and_render(text: &str) -> Result<(), TestCaseError> {
    let (problems, _, draft) = read::read("f.toml", text, Path::new(""), &fleet(), now());
    prop_assert_eq!(problems.is_empty(), draft.is_some());
    let screen = problems.to_string();
    prop_assert!(
        !screen.chars().any(|c| c != '\n' && c.is_control()),
        "{screen}"
    );
    for problem in &problems.problems {
        prop_assert!(problem.line >= 1 && problem.column >= 1);
        prop_assert!(problem.line <= text.split('\n').count());
        prop_assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
    }
    serde_json::to_string(&problems).unwrap();
    Ok(())
}

/// Pieces that make up manifests, put together without sense.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z_]{1,10}",
        "[\\PC]{0,4}",
        Just(" = ".to_owned()),
        Just("\n".to_owned()),
        prop::sample::select(vec![
            "name",
            "parties",
            "program",
            "valid_for",
            "not_before",
            "expires",
            "consent",
            "inputs",
            "modules",
            "args",
            "[mpyc]",
            "[limits]",
            "[deadlines]",
            "[inputs]",
            "version",
            "threshold",
            "memory",
            "{",
            "}",
            "[",
            "]",
            "[[",
            ",",
            "\"",
            "\"\"\"",
            "'",
            "#",
            "\\u0000",
            "1h",
            "512M",
            "-1",
            "9223372036854775808",
            "1e400",
            "nan",
            "true",
            "2026-12-24T18:00:00",
            "2026-12-24",
            "18:00:00",
            "\"alice\"",
            "\u{feff}",
            "\r",
            "\t",
            "\u{1b}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_texts_never_panic(text in any::<String>()) {
        read_and_render(&text)?;
    }

    #[test]
    fn senseless_manifests_never_panic(text in pieces()) {
        read_and_render(&text)?;
    }

    #[test]
    fn damaged_manifests_never_panic(at in 0..GOOD.len(), length in 0..20_usize, insert in "\\PC{0,6}") {
        let end = (at + length).min(GOOD.len());
        read_and_render(&format!("{}{insert}{}", &GOOD[..at], &GOOD[end..]))?;
    }

    #[test]
    fn any_value_under_any_key_is_judged(
        key in prop::sample::select(vec![
            "name", "parties", "program", "entry", "data", "args", "modules", "counter", "not_before", "expires", "valid_for",
            "consent", "output", "equal", "inputs", "mpyc", "limits", "deadlines", "mpyc.version", "mpyc.threshold",
            "mpyc.base_port", "mpyc.wheel", "mpyc.sha256", "limits.memory", "limits.cpu", "limits.tasks", "deadlines.run",
            "inputs.salary",
        ]),
        value in prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:?}").to_lowercase()),
            any::<bool>().prop_map(|b| b.to_string()),
            any::<String>().prop_map(|text| toml::Value::String(text).to_string()),
            "\"[0-9]{1,22}[smhdwKMGT%]{0,2}\"",
            Just("[]".to_owned()), Just("[[], 1, \"x\"]".to_owned()), Just("{}".to_owned()), Just("{ a = 1 }".to_owned()),
            Just("0000-01-01T00:00:00Z".to_owned()), Just("9999-12-31T23:59:59.999-23:59".to_owned()),
        ],
    ) {
        read_and_render(&format!("{key} = {value}\n"))?;
    }
}
