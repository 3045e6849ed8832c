//! A commented manifest to start from. What it says without comment marks is needed or usual; what
//! stands behind a # is the default, or an example.

use super::text::clean;

/// What is known when a manifest is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The session's name.
    pub name: String,
    /// The program, as a path from the manifest's folder.
    pub program: String,
    /// The parties in MPyC's order.
    pub parties: Vec<String>,
    /// Local inputs that everybody gets.
    pub inputs: Vec<String>,
    /// Whether standard output must be the same at every party.
    pub equal: bool,
    /// MPyC's version.
    pub mpyc: String,
}

/// The newest MPyC when this was written.
pub const MPYC: &str = "0.11";

impl Default for Template {
    fn default() -> Self {
        Self {
            name: "my-session".to_owned(),
            program: "program.py".to_owned(),
            parties: ["alice", "bob", "carol"].map(str::to_owned).to_vec(),
            inputs: Vec::new(),
            equal: false,
            mpyc: MPYC.to_owned(),
        }
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Template {
    /// The manifest.
    pub fn text(&self) -> String {
        let parties = self
            .parties
            .iter()
            .map(|party| quoted(party))
            .collect::<Vec<_>>()
            .join(", ");
        let inputs: String = match self.inputs.as_slice() {
            [] => "# salary = \"all\"                  # every party gives its own\n# bid = [\"alice\", \"bob\"]          # only these parties\n".to_owned(),
            inputs => inputs.join(" = \"all\"\n") + " = \"all\"\n",
        };
        let equal = if self.equal { "" } else { "# " };
        TEXT.replace("{NAME}", &quoted(&self.name))
            .replace("{PARTIES}", &parties)
            .replace("{EQUAL}", equal)
            .replace("{MPYC}", &quoted(&self.mpyc))
            .replace("{INPUTS}", &inputs)
            // Last: a path may hold anything, also something like the words above.
            .replace("{PROGRAM}", &quoted(&clean(&self.program)))
    }
}

const TEXT: &str = r#"# A session: one run of one MPyC program among an ordered list of parties.
# Check it with `e3 session check`, sign it with `e3 session sign`. Unknown keys are errors.

# Lower-case letters, digits and dashes. Sessions of one name follow each other, see `counter`.
name = {NAME}

# In MPyC's order: the first one is party 0. Names are those in fleet.toml; a party that is not there
# is written { name = "dave", key = "did:key:…", owner = "did:key:…" }.
parties = [{PARTIES}]

# A .py file, or a folder with everything the program needs; paths start at this file's folder.
# Hidden files and caches are left out.
program = {PROGRAM}
# entry = "main.py"                # the file to start, if the program is a folder without main.py
# data = ["table.csv", "tables"]   # more files and folders; the program finds them at these paths
# args = ["--rounds", "3"]

# How long the session may be started, counted from its signing: 30s, 10m, 2h, 7d.
valid_for = "1h"
# not_before = 2026-12-24T18:00:00Z   # not earlier than this; `valid_for` then counts from here
# expires = 2026-12-24T20:00:00Z      # instead of `valid_for`

# Whose signatures it takes: "signers" are those that each party's owner trusts;
# "all" needs every party's owner besides.
consent = "signers"

# "private": what the program prints stays on each party's machine, the receipts hold only a hash.
# "publish": the receipts hold it, where the party's owner allows that.
output = "private"
{EQUAL}equal = ["stdout"]               # every party must print the same, or the session has failed

# mesh = "nebula"                 # while a fleet moves from one mesh to another: the one to use

# Python modules that must be there besides MPyC. They are looked for, never installed.
# modules = ["numpy", "gmpy2==2.3.2"]

# Rises with every session of this name; no party runs an older one again.
# The time of signing in seconds, unless you say otherwise.
# counter = 1

# Local inputs: files on each party's machine, given to the program if the party's owner allows it.
# They never leave the machine.
[inputs]
{INPUTS}
[mpyc]
# Pinned with the SHA-256 of its wheel when you sign: from the Python index (--index, E3_INDEX), or
# from a file.
version = {MPYC}
# wheel = "mpyc-0.11-py3-none-any.whl"
# sha256 = "059ffa33…"             # refuse any other wheel
# threshold = 1                    # parties that may collude without learning anything: less than half
# prss = true                      # false is MPyC's --no-prss
# tls = true                       # certificates are made for this session alone
# base_port = 11365                # party i listens on base_port + i, or on another port if that is taken
# bit_length = 32                  # MPyC's -L
# sec_param = 30                   # MPyC's -K
# mixed_word_sizes = false         # true if machines of 32 and of 64 bits take part

# What the program may use on each machine. Its owner may allow less.
[limits]
# memory = "512M"
# cpu = "100%"                     # of one core; 200% is two cores
# tasks = 256                      # processes and threads
# output = "1M"

# When waiting ends, and the session with it.
[deadlines]
# preflight = "30s"                # until all parties are ready
# connect = "30s"                  # until MPyC has connected them
# run = "1h"                       # until the program has ended
"#;
