//! The join file for an image, and the password of its wireless network, which never stands on a command line.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use e3_client::{clock, files};
use e3_image::join::{JoinFile, Wifi};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::args::JoinArgs;
use crate::error::Error;

/// A password has 63 characters; a line may end in two more.
const PASSWORD: u64 = 4096;

/// Reads and judges the join file, and adds the network.
pub(super) fn read(path: &Path, args: &JoinArgs) -> Result<JoinFile, Error> {
    let join = JoinFile::read(path, clock::now())?;
    let Some(ssid) = &args.wifi else {
        return Ok(join);
    };
    let password = match &args.wifi_password {
        Some(file) => files::read_secret(file)?,
        None => ask(ssid)?,
    };
    let password = password.trim_end_matches(['\n', '\r']);
    let wifi = Wifi {
        ssid: ssid.clone(),
        password: (!password.is_empty()).then(|| Zeroizing::new(password.to_owned())),
        country: args.wifi_country.clone(),
    };
    Ok(join.with_wifi(&wifi)?)
}

/// From standard input; a terminal does not show what is typed.
fn ask(ssid: &str) -> Result<Zeroizing<String>, Error> {
    let stdin = io::stdin();
    let mut text = Zeroizing::new(String::new());
    if !stdin.is_terminal() {
        stdin
            .lock()
            .take(PASSWORD)
            .read_to_string(&mut text)
            .map_err(Error::Runtime)?;
        return Ok(text);
    }
    let _ = write!(
        io::stderr(),
        "Password of `{ssid}` (nothing for an open network): "
    );
    let before = tcgetattr(&stdin).map_err(|error| Error::Runtime(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &silent)
        .map_err(|error| Error::Runtime(error.into()))?;
    let read = stdin.read_line(&mut text);
    let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
    let _ = writeln!(io::stderr());
    read.map_err(Error::Runtime)?;
    Ok(text)
}
