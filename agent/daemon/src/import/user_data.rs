//! Whether a cloud's user data are a join file. They may as well be a script, a Nix expression or cloud-init's, which are
//! somebody else's business and left alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What user data are.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Nothing,
    /// A join file, perhaps a broken one.
    Join(Vec<u8>),
    /// Not ours, in words.
    Other(&'static str),
}

/// Takes `field` out of metadata that are a JSON object.
pub fn field(bytes: &[u8], field: &str) -> Result<Vec<u8>, String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
        // Without the text.
        format!(
            "it is not JSON (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    match value.get(field) {
        None | Some(serde_json::Value::Null) => Ok(Vec::new()),
        Some(serde_json::Value::String(text)) => Ok(text.clone().into_bytes()),
        Some(_) => Err(format!("its `{field}` is no text")),
    }
}

/// Tells what these are.
pub fn kind(bytes: &[u8]) -> Kind {
    if bytes.starts_with(b"\x1f\x8b") {
        return Kind::Other("compressed data");
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() {
        return Kind::Nothing;
    }
    let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if starts(&["#!"]) {
        Kind::Other("a script")
    } else if starts(&["#cloud-", "#include", "## template:", "#part-handler"]) {
        Kind::Other("a configuration of cloud-init")
    } else if starts(&["Content-Type:", "MIME-Version:", "From "]) {
        Kind::Other("a MIME message of cloud-init")
    } else if text.lines().any(names_a_fleet) {
        Kind::Join(bytes.to_vec())
    } else if text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .is_some_and(is_nix)
    {
        Kind::Other("a Nix expression")
    } else {
        Kind::Other("something that names no fleet")
    }
}

/// A join file in an environment variable: its text, or that in base64 for whoever cannot keep line ends.
pub fn of_environment(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    if text.lines().any(names_a_fleet) {
        return value.to_vec();
    }
    let packed: Vec<u8> = value
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    // What is neither is shown as the broken file that it is.
    STANDARD.decode(packed).unwrap_or_else(|_| value.to_vec())
}

/// Every join file has this line.
fn names_a_fleet(line: &str) -> bool {
    let rest = line.trim_start().strip_prefix("fleet");
    rest.is_some_and(|rest| rest.trim_start().starts_with('='))
}

fn is_nix(line: &str) -> bool {
    [
        "{",
        "let",
        "with ",
        "import ",
        "/*",
        "rec ",
        "(",
        "builtins.",
    ]
    .iter()
    .any(|word| line.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_named() {
        for (text, name) in [
            (
                "#!/bin/sh\ncat > /etc/e3/e3.toml <<X\nfleet = \"a\"\nX\n",
                "a script",
            ),
            (
                "#cloud-config\nwrite_files: []\n",
                "a configuration of cloud-init",
            ),
            (
                "## template: jinja\n#cloud-config\n",
                "a configuration of cloud-init",
            ),
            (
                "Content-Type: multipart/mixed; boundary=x\n",
                "a MIME message of cloud-init",
            ),
            (
                "# mine\n{ config, pkgs, ... }:\n{ services.x.enable = true; }\n",
                "a Nix expression",
            ),
            ("let x = 1; in { }", "a Nix expression"),
            ("hello", "something that names no fleet"),
            ("\x1f\u{8b}", "something that names no fleet"),
        ] {
            assert_eq!(kind(text.as_bytes()), Kind::Other(name), "{text}");
        }
        assert_eq!(kind(b"\x1f\x8b\x08"), Kind::Other("compressed data"));
        assert_eq!(kind(b" \n"), Kind::Nothing);
        for ours in ["# x\nfleet = \"a\"\nbroken", "\u{feff}fleet=\"a\""] {
            assert_eq!(kind(ours.as_bytes()), Kind::Join(ours.into()), "{ours}");
        }
    }

    #[test]
    fn metadata_may_have_no_user_data() {
        assert_eq!(field(br#"{"droplet_id":1}"#, "user_data").unwrap(), b"");
        assert_eq!(field(br#"{"user_data":"a"}"#, "user_data").unwrap(), b"a");
        assert!(field(br#"{"user_data":[1]}"#, "user_data").is_err());
        let broken = field(b"{\"user_data\":\"e3-join-secret", "user_data").unwrap_err();
        assert_eq!(broken, "it is not JSON (line 1, column 28)");
    }

    #[test]
    fn an_environment_variable_holds_the_text_or_its_base64() {
        let text = b"fleet = \"a\"\n";
        assert_eq!(of_environment(text), text);
        assert_eq!(
            of_environment(format!("{}\n", STANDARD.encode(text)).as_bytes()),
            text
        );
        assert_eq!(of_environment(b"neither"), b"neither");
    }
}
