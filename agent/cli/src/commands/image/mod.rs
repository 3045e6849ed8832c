//! `e3 image`: what is done with images after they were built. The work is in `e3-image`; here is who asks for it.

mod build;
mod fetch;
mod flash;
mod imager;
mod inject;
mod join;
mod list;
mod publish;
mod published;
mod upload;
mod work;
mod wsl;

use crate::args::{ImageCommand, ImageUpload};
use crate::error::Error;
use crate::output::{Answer, Output};

pub(super) async fn run(command: &ImageCommand, output: &Output) -> Result<Answer, Error> {
    match command {
        ImageCommand::Inject(args) => inject::run(args, output).await,
        ImageCommand::Flash(args) => flash::run(args, output).await,
        ImageCommand::List(args) => list::run(args, output).await,
        ImageCommand::Fetch(args) => fetch::run(args, output).await,
        ImageCommand::Publish(args) => publish::run(args, output).await,
        ImageCommand::Build(args) => build::run(args, output).await,
        ImageCommand::Upload(ImageUpload::Digitalocean(args)) => upload::run(args, output).await,
        ImageCommand::PiImager(args) => imager::run(args, output).await,
        ImageCommand::Wsl(args) => wsl::run(args),
    }
}
