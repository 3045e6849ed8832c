//! What a wheel's file name says (binary distribution format, "File name convention").

use e3_core::document::file_name_is_safe;

/// The parts of `name-version(-build)?-python-abi-platform.whl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WheelName<'a> {
    /// The distribution.
    pub(super) name: &'a str,
    /// The version.
    pub(super) version: &'a str,
    abi: &'a str,
    platform: &'a str,
}

impl<'a> WheelName<'a> {
    /// Reads a file name; none if it is no wheel's, or not safe to be a file name on other machines.
    pub(super) fn parse(file: &'a str) -> Option<Self> {
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let ([name, version, _, abi, platform] | [name, version, _, _, abi, platform]) =
            parts.as_slice()
        else {
            return None;
        };
        (file_name_is_safe(file) && !file.contains('/')).then_some(Self {
            name,
            version,
            abi,
            platform,
        })
    }

    /// Whether this is MPyC `version` for every machine.
    pub(super) fn is_pure_mpyc(&self, version: &str) -> bool {
        self.name.eq_ignore_ascii_case("mpyc")
            && self.version == version
            && self.abi == "none"
            && self.platform == "any"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pure_wheels_of_that_version_are_mpyc() {
        let is_it =
            |file: &str| WheelName::parse(file).is_some_and(|name| name.is_pure_mpyc("0.11"));
        assert!(is_it("mpyc-0.11-py3-none-any.whl"));
        assert!(is_it("mpyc-0.11-1-py3-none-any.whl"));
        for other in [
            "mpyc-0.10-py3-none-any.whl",
            "mpyc-0.11-cp312-cp312-linux_x86_64.whl",
            "mpyc-0.11.tar.gz",
            "mpyc_x-0.11-py3-none-any.whl",
            "../mpyc-0.11-py3-none-any.whl",
            "mpyc-0.11-py3-none-any.whl\n",
            ".whl",
        ] {
            assert!(!is_it(other), "{other}");
        }
    }
}
