//! `e3 image`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use e3_image::inject::Board;

/// Get images or publish them, put join files into them, and them onto cards
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Put a join file into a built image: the card's FAT partition, WSL's archive, or a disk beside it
    Inject(ImageInject),
    /// Write an image to a card or USB stick and read it back; without --to, show where it could go
    Flash(ImageFlash),
    /// Show the images that lie in a folder, with their sizes and hashes, and those that somebody publishes
    List(ImageList),
    /// Get an image that somebody publishes, and compare its hash with the signed list
    Fetch(ImageFetch),
    /// Write and sign the list of the images in some folders
    Publish(ImagePublish),
    /// Build an image with Nix
    Build(ImageBuild),
    /// Bring an image to a cloud, so that machines can be made of it
    #[command(subcommand)]
    Upload(ImageUpload),
    /// Write the list of images that Raspberry Pi Imager reads
    PiImager(ImagePiImager),
    /// Print or write the PowerShell script that installs E3 on Windows, keeps it running, and removes it
    Wsl(ImageWsl),
}

/// `e3 image list`
#[derive(Debug, Args)]
pub struct ImageList {
    /// Where to look
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// Do not read the images for their hashes
    #[arg(long)]
    pub no_hash: bool,
    /// The published ones.
    #[command(flatten)]
    pub published: PublishedArgs,
}

/// Which list of published images, and whose.
#[derive(Debug, Args)]
pub struct PublishedArgs {
    /// The list of published images: https://host/images.json, or a file
    #[arg(
        long,
        value_name = "URL|FILE",
        env = "E3_IMAGES",
        hide_env_values = true
    )]
    pub from: Option<String>,
    /// Who must have signed the list: the key that its publisher tells by another way
    #[arg(
        long,
        value_name = "DID",
        env = "E3_IMAGES_KEY",
        hide_env_values = true
    )]
    pub signed_by: Option<String>,
}

/// `e3 image fetch`
#[derive(Debug, Args)]
pub struct ImageFetch {
    /// Which: an image's name, such as raspberrypi5, or a file's
    pub name: String,
    /// Of an image for several processors the one for this
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// Where to put it
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// The list.
    #[command(flatten)]
    pub published: PublishedArgs,
}

/// `e3 image publish`
#[derive(Debug, Args)]
pub struct ImagePublish {
    /// Where the images lie
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Where the images will lie: https://host/folder [default: beside the list]
    #[arg(long, value_name = "URL")]
    pub url_base: Option<String>,
    /// The file to write; a list of yours that is there is replaced by a newer one
    #[arg(long, short, value_name = "FILE", default_value = "images.json")]
    pub out: PathBuf,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 image build`
#[derive(Debug, Args)]
pub struct ImageBuild {
    /// Which
    #[arg(value_parser = ["amazon", "container", "digitalocean", "iso", "proxmox", "qemu", "raspberrypi", "raspberrypi5", "wsl"])]
    pub name: String,
    /// The flake that has it
    #[arg(long, value_name = "FLAKE", default_value = ".")]
    pub flake: String,
    /// The link to what was built [default: result-NAME]
    #[arg(long, value_name = "LINK")]
    pub out_link: Option<PathBuf>,
}

/// Bring an image to a cloud, so that machines can be made of it
#[derive(Debug, Subcommand)]
pub enum ImageUpload {
    /// To DigitalOcean, by way of a Space, which is emptied again
    Digitalocean(UploadDigitalocean),
}

/// `e3 image upload digitalocean`
#[derive(Debug, Args)]
#[command(after_help = "\
The secrets come from the environment, or from lines NAME=value in a file for --credentials:
  DIGITALOCEAN_TOKEN                               for the API, with the scopes image and tag
  SPACES_ACCESS_KEY_ID, SPACES_SECRET_ACCESS_KEY   for the Space
Whatever ends the command, the same command goes on where it stopped.")]
pub struct UploadDigitalocean {
    /// The image: .qcow2 or .img, plain or packed as .gz or .bz2
    pub image: PathBuf,
    /// The Space that it passes through: NAME.REGION.digitaloceanspaces.com, or http(s)://HOST/BUCKET
    #[arg(long, env = "E3_SPACE")]
    pub space: String,
    /// The regions to have it in, the first one first; several by commas or by repeating it [default: the Space's]
    #[arg(long = "region", value_name = "REGION", value_delimiter = ',')]
    pub regions: Vec<String>,
    /// What it is called at DigitalOcean [default: the file's name]
    #[arg(long)]
    pub name: Option<String>,
    /// The file with the secrets; - for standard input. It must not be readable by others
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Look at everything, say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove from the Space what an earlier upload of this image left there, and do nothing else
    #[arg(long, conflicts_with = "dry_run")]
    pub discard: bool,
    /// How long one answer may take; a part of the image has twenty times as long
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Where the API is
    #[arg(long, value_name = "URL", env = "DIGITALOCEAN_API_URL", default_value = e3_image::upload::API, hide = true)]
    pub api: String,
}

/// `e3 image pi-imager`
#[derive(Debug, Args)]
pub struct ImagePiImager {
    /// The images, as they will be published
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Where the images will lie: https://host/folder
    #[arg(long, value_name = "URL")]
    pub url_base: String,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `e3 image wsl`
#[derive(Debug, Args)]
pub struct ImageWsl {
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What goes into an image.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The wireless network of a Raspberry Pi; its password is asked for, or read from standard input
    #[arg(long, value_name = "SSID", requires = "join")]
    pub wifi: Option<String>,
    /// The file that has the network's password, instead; it must not be readable by others
    #[arg(long, value_name = "FILE", requires = "wifi")]
    pub wifi_password: Option<PathBuf>,
    /// The country, which decides about the channels of the radio: two letters
    #[arg(long, value_name = "CODE", requires = "wifi")]
    pub wifi_country: Option<String>,
    /// A public key for ssh: its owner may log in as root. A file that ends in .pub; once for each
    #[arg(long = "ssh-key", value_name = "FILE", requires = "join")]
    pub ssh_keys: Vec<PathBuf>,
    /// The board it is meant for: pi3, pi4, pi400, zero2w or pi5. An image for another one is refused
    #[arg(long, value_name = "BOARD")]
    pub board: Option<Board>,
}

/// `e3 image inject`
#[derive(Debug, Args)]
pub struct ImageInject {
    /// The image: .img, .img.zst, .wsl, .qcow2 or .iso
    pub image: PathBuf,
    /// The join file, as `e3 fleet invite` writes it
    #[arg(long, value_name = "FILE")]
    pub join: PathBuf,
    /// The rest of what goes in.
    #[command(flatten)]
    pub more: JoinArgs,
    /// The new image [default: in this folder, the image's name with the machine's]
    #[arg(long, short, value_name = "FILE", conflicts_with = "in_place")]
    pub out: Option<PathBuf>,
    /// Replace the image instead of writing a new one
    #[arg(long)]
    pub in_place: bool,
}

/// `e3 image flash`
#[derive(Debug, Args)]
pub struct ImageFlash {
    /// The image: .img or .img.zst
    #[arg(requires = "to")]
    pub image: Option<PathBuf>,
    /// The whole disk to write over: /dev/sdX, /dev/mmcblkN
    #[arg(long, value_name = "DISK", requires = "image")]
    pub to: Option<PathBuf>,
    /// Put this join file onto the card as well; the image stays as it is
    #[arg(long, value_name = "FILE", requires = "image")]
    pub join: Option<PathBuf>,
    /// The rest of what goes in.
    #[command(flatten)]
    pub more: JoinArgs,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Leave the disk switched on when it is done
    #[arg(long)]
    pub no_eject: bool,
}
