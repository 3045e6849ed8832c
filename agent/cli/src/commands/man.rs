//! `e3 man`: the manual pages, one per command, made from the same text as `--help`.

use std::path::Path;

use clap::CommandFactory as _;
use e3_client::files;
use serde_json::json;

use crate::args::{Cli, Man};
use crate::error::Error;
use crate::output::Answer;

/// Writes all pages into the folder.
pub(super) fn run(args: &Man) -> Result<Answer, Error> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(|source| Error::Folder {
        action: "make",
        path: folder.clone(),
        source,
    })?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write(&command, folder, &mut pages)?;
    let text = format!(
        "Wrote {} manual pages to {}\n",
        pages.len(),
        folder.display()
    );
    Ok(Answer::new(
        text,
        json!({"folder": crate::output::named(folder), "pages": pages}),
    ))
}

fn write(command: &clap::Command, folder: &Path, pages: &mut Vec<String>) -> Result<(), Error> {
    let man = clap_mangen::Man::new(command.clone());
    let file = man.get_filename();
    let path = folder.join(&file);
    let mut page = Vec::new();
    man.render(&mut page).map_err(|source| Error::Folder {
        action: "write",
        path: path.clone(),
        source,
    })?;
    files::write_atomic(&path, &page)?;
    pages.push(file);
    command
        .get_subcommands()
        .try_for_each(|sub| write(sub, folder, pages))
}
