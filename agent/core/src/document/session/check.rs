//! What a manifest must be like to make sense, whoever signed it.

use std::collections::BTreeSet;

use super::{Deadlines, Limits, Session, file_name_is_safe};
use crate::document::{Document, DocumentError, ensure};
use crate::limits;
use crate::text::{is_plain, is_version};

fn module_name_is_safe(name: &str) -> bool {
    let identifier = |part: &str| {
        part.chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    name.len() <= 100 && name.split('.').all(identifier)
}

impl Document for Session {
    const KIND: &'static str = "session";

    fn check(&self) -> Result<(), DocumentError> {
        let m = self.parties.len();
        ensure(self.counter >= 1, "counter", "starts at 1")?;
        ensure(
            self.not_before < self.expires,
            "expires",
            "must be later than `not_before`",
        )?;
        ensure(
            (1..=limits::PARTIES).contains(&m),
            "parties",
            "must be 1 to 64",
        )?;
        let keys: BTreeSet<_> = self.parties.iter().map(|p| p.key).collect();
        ensure(keys.len() == m, "parties", "names a party twice")?;
        let names: BTreeSet<_> = self.parties.iter().map(|p| &p.name).collect();
        ensure(names.len() == m, "parties", "uses a name twice")?;
        ensure(
            self.parties.iter().all(|p| p.inputs.len() <= 64),
            "parties.inputs",
            "has more than 64 inputs",
        )?;
        let pack = self.program.pack.size;
        ensure(
            pack <= limits::PROGRAM,
            "program.pack",
            "is larger than 64 MiB",
        )?;
        let entry = &self.program.entry;
        let is_python = std::path::Path::new(entry)
            .extension()
            .is_some_and(|e| e == "py");
        ensure(
            file_name_is_safe(entry) && is_python,
            "program.entry",
            "must be a .py file inside the program",
        )?;
        ensure(
            self.mesh.as_deref().is_none_or(crate::mesh::is_backend),
            "mesh",
            "is no name of a backend",
        )?;
        let args = &self.program.args;
        let args_fit =
            args.len() <= limits::ARGUMENTS && args.iter().all(|a| a.len() <= limits::ARGUMENT);
        ensure(
            args_fit,
            "program.args",
            "has too many or too long arguments",
        )?;
        // People read them on a terminal before they sign.
        let plain = args.iter().all(|a| is_plain(a, limits::ARGUMENT));
        ensure(
            plain,
            "program.args",
            "has control characters or characters that turn text round",
        )?;
        ensure(
            is_version(&self.mpyc.version),
            "mpyc.version",
            "must be 1 to 64 letters, digits and .+-_!~",
        )?;
        ensure(
            self.mpyc.wheel.size <= limits::MPYC,
            "mpyc.wheel",
            "is larger than 16 MiB",
        )?;
        let wheel = file_name_is_safe(&self.mpyc.file) && self.mpyc.file.ends_with("-none-any.whl");
        ensure(
            wheel && !self.mpyc.file.contains('/'),
            "mpyc.file",
            "must be a pure Python wheel, …-none-any.whl",
        )?;
        // MPyC asserts 2t < m; said here it is an error before anything is signed.
        ensure(
            self.mpyc.threshold.is_none_or(|t| 2 * t < m),
            "mpyc.threshold",
            "must be less than half the parties",
        )?;
        let last_port = usize::from(self.mpyc.base_port) + m;
        ensure(
            self.mpyc.base_port >= 1024 && last_port <= 65_536,
            "mpyc.base_port",
            "must leave a port from 1024 to 65535 for each party",
        )?;
        ensure(
            self.mpyc.bit_length.is_none_or(|l| (1..=4096).contains(&l)),
            "mpyc.bit_length",
            "must be 1 to 4096",
        )?;
        ensure(
            self.mpyc.sec_param.is_none_or(|k| (1..=256).contains(&k)),
            "mpyc.sec_param",
            "must be 1 to 256",
        )?;
        ensure(
            self.modules.len() <= 32,
            "modules",
            "has more than 32 modules",
        )?;
        ensure(
            self.modules.iter().all(|m| module_name_is_safe(&m.name)),
            "modules",
            "has something that is no module name",
        )?;
        let versions = self.modules.iter().filter_map(|m| m.version.as_ref());
        ensure(
            versions.into_iter().all(|v| is_version(v)),
            "modules",
            "has a version that is none",
        )?;
        ensure(
            self.equal.iter().all(|o| o == "stdout"),
            "equal",
            "can only name `stdout`",
        )?;
        ensure(self.equal.len() <= 1, "equal", "names an output twice")?;
        let Limits {
            memory,
            cpu,
            tasks,
            output,
        } = self.limits;
        ensure(
            memory >= 16 << 20,
            "limits.memory",
            "must be at least 16 MiB",
        )?;
        ensure(cpu >= 1, "limits.cpu", "must be at least 1 percent")?;
        ensure(tasks >= 1, "limits.tasks", "must be at least 1")?;
        ensure(
            (1..=limits::OUTPUT).contains(&output),
            "limits.output",
            "must be 1 byte to 16 MiB",
        )?;
        let Deadlines {
            preflight,
            connect,
            run,
        } = self.deadlines;
        let day = 86_400;
        ensure(
            (1..=day).contains(&preflight),
            "deadlines.preflight",
            "must be 1 second to 1 day",
        )?;
        ensure(
            (1..=day).contains(&connect),
            "deadlines.connect",
            "must be 1 second to 1 day",
        )?;
        ensure(
            (1..=30 * day).contains(&run),
            "deadlines.run",
            "must be 1 second to 30 days",
        )
    }
}
