//! `e3 eval`.

use std::path::PathBuf;

use clap::Args;

/// Parties of one measurement, at most.
const MOST: u8 = 10;

/// `e3 eval`
#[derive(Debug, Args)]
pub struct Eval {
    /// The folder of the results. What has been measured there already is not measured again
    #[arg(long, value_name = "DIR", default_value = "eval")]
    pub out: PathBuf,
    /// What stands between the machines, such as `three cities`: results of one place are drawn together
    #[arg(long, value_name = "TEXT", default_value = "here", value_parser = label)]
    pub place: String,
    /// A mesh of the fleet (repeatable) [default: all that its head asks for; none: the machines' own addresses]
    #[arg(long = "mesh", value_name = "NAME")]
    pub meshes: Vec<String>,
    /// With how many parties, such as 2,3,5 [default: from 1 to all of them, and to 10 at most]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST)))]
    pub parties: Vec<u8>,
    /// What is computed (repeatable) [default: both]
    #[arg(long = "program", value_name = "NAME")]
    pub programs: Vec<Program>,
    /// How much of it (repeatable) [default: all three]
    #[arg(long = "size", value_name = "SIZE")]
    pub sizes: Vec<Size>,
    /// How often each measurement is made; reports show medians
    #[arg(long, value_name = "TIMES", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub repeat: u8,
    /// Have the programs tell what they measure of the network; each party's policy must allow that (`publish = true`)
    #[arg(long)]
    pub details: bool,
    /// Seconds for one measurement, at most
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// The Python index that MPyC comes from [default: PIP_INDEX_URL, or PyPI]
    #[arg(long, value_name = "URL", env = "E3_INDEX", hide_env_values = true)]
    pub index: Option<String>,
    /// MPyC as a local file
    #[arg(long, value_name = "FILE")]
    pub wheel: Option<PathBuf>,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Program {
    /// Many rounds with small messages: who gives a present to whom
    Rounds,
    /// Few rounds with large messages: a layer of a neural network
    Bulk,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// 4 people; 16 by 16 weights
    Small,
    /// 16 people; 64 by 64 weights
    Medium,
    /// 32 people; 128 by 128 weights
    Large,
}

/// It stands in a table and in a page.
fn label(text: &str) -> Result<String, String> {
    let fits = (1..=40).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || " .+-/".contains(c));
    fits.then(|| text.to_owned())
        .ok_or_else(|| "up to 40 letters, digits, blanks and .+-/".to_owned())
}
