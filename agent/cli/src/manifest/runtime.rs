//! `[mpyc]` and `modules`: what the program runs on.

use e3_core::digest::Digest;
use e3_core::document::Module;

use super::draft::{BASE_PORT, MpycOptions};
use super::problem::Problems;
use super::section::{At, Section};
use super::text::shown;

/// Modules of one manifest.
const MODULES: usize = 32;

/// `[mpyc]` as far as it could be read.
pub struct Runtime {
    /// The options; none without a version.
    pub options: Option<MpycOptions>,
    /// The local wheel, if one is named.
    pub wheel: Option<At<String>>,
}

/// Reads `[mpyc]` for a session of `parties` parties.
pub fn mpyc(problems: &mut Problems, section: Option<Section<'_>>, parties: usize) -> Runtime {
    let Some(mut section) = section else {
        return Runtime {
            options: None,
            wheel: None,
        };
    };
    let p = problems;
    let version = section.parsed(p, "version", "a version of MPyC", "0.11", |text| {
        let fits = text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_digit());
        let plain = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+".contains(c));
        (fits && plain).then(|| text.to_owned())
    });
    if section.place_of("version").is_none() {
        section.missing(p, "version", "pin the version of MPyC: version = \"0.11\"");
    }
    let example = "059ffa33…";
    let sha256 = section.parsed(
        p,
        "sha256",
        "the SHA-256 of MPyC's wheel, 64 hexadecimal digits",
        example,
        |text| Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).ok(),
    );
    let wheel = section.text(p, "wheel", "mpyc-0.11-py3-none-any.whl");
    let wheel = wheel.map(|path| At {
        value: path.value.to_owned(),
        at: path.at,
    });
    let threshold = threshold(p, &mut section, parties);
    // Every party prefers a port of its own: base_port + i.
    let last = 65_536 - u64::try_from(parties.clamp(1, 64)).unwrap_or(64);
    let base_port = section.whole(p, "base_port", 1024..=last, u64::from(BASE_PORT));
    let bit_length = section.whole(p, "bit_length", 1..=4096, 32);
    let sec_param = section.whole(p, "sec_param", 1..=256, 30);
    let [prss, tls, mixed] = ["prss", "tls", "mixed_word_sizes"].map(|key| section.flag(p, key));
    section.done(p);
    let small =
        |number: Option<At<u64>>| number.and_then(|number| u32::try_from(number.value).ok());
    let options = version.map(|version| MpycOptions {
        version: version.value,
        sha256: sha256.map(|digest| digest.value),
        wheel: None,
        threshold,
        prss: prss.unwrap_or(true),
        tls: tls.unwrap_or(true),
        base_port: base_port
            .and_then(|port| u16::try_from(port.value).ok())
            .unwrap_or(BASE_PORT),
        bit_length: small(bit_length),
        sec_param: small(sec_param),
        mixed_word_sizes: mixed.unwrap_or(false),
    });
    Runtime { options, wheel }
}

/// MPyC asserts 2t < m on every machine; said here it is said before anything is signed.
fn threshold(problems: &mut Problems, section: &mut Section<'_>, parties: usize) -> Option<usize> {
    let At { value, at } = section.whole(problems, "threshold", 0..=31, 1)?;
    let threshold = usize::try_from(value).ok()?;
    // Without any party that is what has been reported.
    if parties > 0 && 2 * threshold >= parties {
        let most = (parties - 1) / 2;
        let message = format!(
            "threshold {threshold} needs {} parties, this session has {parties}",
            2 * threshold + 1
        );
        let remedy = format!("write threshold = {most}, or name more parties");
        problems.add(&at, message, "less than half the parties", remedy);
        return None;
    }
    Some(threshold)
}

/// Reads `modules`.
pub fn modules(problems: &mut Problems, section: &mut Section<'_>) -> Vec<Module> {
    const EXPECTED: &str = "the name to import, and == with a version if that matters";
    let place = section.place_of("modules").unwrap_or(0..0);
    let words = section
        .texts(problems, "modules", "numpy")
        .unwrap_or_default();
    if words.len() > MODULES {
        problems.add(
            &place,
            format!("{} modules are too many", words.len()),
            format!("at most {MODULES}"),
            "name those that the program imports itself",
        );
        return Vec::new();
    }
    let mut modules: Vec<Module> = Vec::new();
    for At { value: word, at } in words {
        let (name, version) = match word.split_once("==") {
            Some((name, version)) => (name.trim(), Some(version.trim())),
            None => (word.trim(), None),
        };
        let version_fits = |v: &str| {
            (1..=64).contains(&v.len())
                && v.chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".+!-_".contains(c))
        };
        if !is_module(name) || !version.is_none_or(version_fits) {
            let bare: String = word
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "_.".contains(*c))
                .collect();
            let remedy = match bare.as_str() {
                bare if is_module(bare) => {
                    format!("write \"{bare}\", or \"{bare}==1.2.3\" for exactly that version")
                }
                _ => "write for example \"numpy\" or \"gmpy2==2.3.2\"".to_owned(),
            };
            problems.add(
                &at,
                format!("\"{}\" is not a module", shown(word)),
                EXPECTED,
                remedy,
            );
        } else if modules.iter().any(|module| module.name == name) {
            problems.add(
                &at,
                format!("the module `{name}` is named twice"),
                "",
                "remove one of the two",
            );
        } else {
            modules.push(Module {
                name: name.to_owned(),
                version: version.map(str::to_owned),
            });
        }
    }
    modules
}

/// Whether `name` can be imported: dotted identifiers.
fn is_module(name: &str) -> bool {
    let identifier = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    name.len() <= 100 && name.split('.').all(identifier)
}
