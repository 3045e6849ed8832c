//! What an upload leaves in the Space: removed where that is right, and told where it is not.

use e3_client::human;

use super::error::Fault;
use super::job::Job;
use super::parts;
use super::record::{Held, Stage};

impl Job<'_> {
    /// Removes the copy; if that fails, somebody has to know, but the image is there.
    pub(super) async fn remove(&mut self) {
        if let Err(fault) = self.clean().await {
            let warning = format!("{fault}. {}", self.left());
            self.warnings.push(warning);
        }
    }

    /// Removes what is in the Space.
    pub(super) async fn clean(&mut self) -> Result<(), Fault> {
        match &self.record.held {
            Some(Held {
                key,
                stage: Stage::Sending { upload, .. },
            }) => {
                self.store.abort(key, upload).await?;
            }
            Some(Held { key, .. }) => self.store.delete(key).await?,
            None => return Ok(()),
        }
        self.record.forget()
    }

    /// Cleans up after a failure, and says what is there now.
    pub(super) async fn after(&mut self, fault: &Fault) -> String {
        if !fault.is_passing() {
            if let Err(other) = self.clean().await {
                return format!("The copy could not be removed: {other}. {}", self.left());
            }
            return String::new();
        }
        self.left()
    }

    /// What is in the Space, for people.
    pub(super) fn left(&self) -> String {
        let (space, size) = (&self.order.space, human::size(self.image.size));
        let key = self.record.held.as_ref().map_or("", |held| &held.key);
        match self.record.held.as_ref().map(|held| &held.stage) {
            None => "Nothing of it is in the Space.".to_owned(),
            Some(Stage::Sending { .. }) => format!(
                "{} of {size} are in {space}, as parts of {key}; the same command goes on from there, and --discard removes them.",
                human::size(parts::there(&self.record, &self.image))
            ),
            Some(Stage::Sent) => format!(
                "All of it is in {space}, as {key}; the same command goes on from there, and --discard removes it."
            ),
            Some(Stage::Importing { image }) => format!(
                "DigitalOcean is fetching it from {space}, as the image {image}; the same command goes on waiting, and removes {key} afterwards."
            ),
        }
    }
}
