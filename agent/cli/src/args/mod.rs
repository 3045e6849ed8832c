//! What a person types: the commands, their flags, and their help. Nothing here does anything.

mod demo;
mod eval;
mod fleet;
mod hub;
mod image;
mod key;
mod mesh;
mod party;
mod receipts;
mod release;
mod session;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::demo::{Demo, Fault};
pub use self::eval::{Eval, Program as EvalProgram, Size as EvalSize};
pub use self::fleet::{
    FirstMesh, FleetAccept, FleetCommand, FleetDeny, FleetInvite, FleetNew, FleetPending,
    FleetPush, FleetRevoke, FleetRotate, FleetSign, FleetStatus, Machine, RoleKey, RoleNumber,
};
pub use self::hub::{HubCommand, HubRenew, HubServe, PageFor, RelayAt};
pub use self::image::{
    ImageBuild, ImageCommand, ImageFetch, ImageFlash, ImageInject, ImageList, ImagePiImager,
    ImagePublish, ImageUpload, ImageWsl, JoinArgs, PublishedArgs, UploadDigitalocean,
};
pub use self::key::{KeyCommand, KeyFile};
pub use self::mesh::{
    AnchorAt, MeshAnchored, MeshCommand, MeshDrop, MeshHeadscale, MeshLink, MeshOff, MeshRevoke,
    MeshSign, MeshTailscale, MeshTor,
};
pub use self::party::{PartyCommand, PartyDoctor, PartyIdentify, PartyLogs, Question};
pub use self::receipts::{ReceiptsCommand, ReceiptsVerify};
pub use self::release::{ReleaseCommand, ReleasePush, ReleaseShow, ReleaseSign};
pub use self::session::{
    SessionCheck, SessionCommand, SessionList, SessionNew, SessionPush, SessionShow, SessionSign,
    SessionStop, SessionWatch,
};

const AFTER_HELP: &str = "\
Exit codes:
  0   it worked, and the session or check is good
  1   the session failed, or a check found something wrong
  2   bad input: flags, files, keys, manifests
  3   the hub or the network cannot be reached
  4   the hub, the trust rules or a policy refuse
  70  a fault in e3 itself
  130 interrupted

Start with `e3 demo`, or with `e3 key new` and `e3 fleet new NAME`.";

/// Runs multiparty computations among machines that trust only what their owners signed.
#[derive(Debug, Parser)]
#[command(name = "e3", version, after_help = AFTER_HELP)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Print one JSON object on standard output, errors included
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print no progress and no hints
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// The fleet's folder [default: the nearest one upward that has a fleet.toml]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "E3_FLEET",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub fleet: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole fleet on this machine: hub, parties and one session
    Demo(Demo),
    /// Make and show keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make a fleet, invite machines, see how they are
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// See from afar which machine a party is, what is wrong with it, what it has logged
    #[command(subcommand)]
    Party(PartyCommand),
    /// Choose the network that the parties meet on, and let machines into it
    #[command(subcommand)]
    Mesh(MeshCommand),
    /// Write, sign, publish and watch sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// Judge a session by what its parties have signed
    #[command(subcommand)]
    Receipts(ReceiptsCommand),
    /// Sign and publish new agents for the fleet's machines
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Get images or publish them, put join files into them, and them onto cards
    #[command(subcommand)]
    Image(ImageCommand),
    /// Measure computations over the fleet's meshes, and draw a report
    Eval(Eval),
    /// Run a hub, keep its head fresh
    #[command(subcommand)]
    Hub(HubCommand),
    /// Sign in to the fleet's page, which the hub serves
    Login(Login),
    /// Look for what is missing or wrong on this machine
    Doctor(Doctor),
    /// Print the completions of a shell
    Completions(Completions),
    /// Write the manual pages into a folder
    Man(Man),
}

/// `e3 login`
#[derive(Debug, Args)]
pub struct Login {
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// The Python to look at [default: python3 in PATH]
    #[arg(long, value_name = "FILE", env = "E3_PYTHON", hide_env_values = true)]
    pub python: Option<PathBuf>,
    /// The Python modules that your programs need, besides MPyC
    #[arg(long = "module", value_name = "NAME")]
    pub modules: Vec<String>,
    /// The Python index that MPyC comes from [default: PIP_INDEX_URL, or PyPI]
    #[arg(long, value_name = "URL", env = "E3_INDEX", hide_env_values = true)]
    pub index: Option<String>,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    pub shell: clap_complete::Shell,
}

/// `e3 man`
#[derive(Debug, Args)]
pub struct Man {
    /// The folder to write to; it is made if need be
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
