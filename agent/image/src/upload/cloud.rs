//! DigitalOcean's API, version 2: the few calls that an image needs. [`super::api`] makes them.

use serde::Deserialize;
use serde_json::json;

use super::answer::said;
use super::api::Api;
use super::error::Fault;

/// An image at the cloud.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CloudImage {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) regions: Vec<String>,
    #[serde(default)]
    error_message: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl CloudImage {
    pub(super) fn is_available(&self) -> bool {
        self.status == "available"
    }

    pub(super) fn is_gone(&self) -> bool {
        ["deleted", "retired"].contains(&&*self.status)
    }

    /// Why it could not be imported, as far as the cloud says.
    pub(super) fn problem(&self) -> String {
        said(self.error_message.as_deref().unwrap_or_default())
    }
}

/// A transfer to another region.
#[derive(Debug, Deserialize)]
pub(super) struct Action {
    pub(super) id: u64,
    pub(super) status: String,
}

#[derive(Deserialize)]
struct Images {
    images: Vec<CloudImage>,
}

#[derive(Deserialize)]
struct OneImage {
    image: CloudImage,
}

#[derive(Deserialize)]
struct OneAction {
    action: Action,
}

/// What a new image is.
pub(super) struct NewImage<'a> {
    pub(super) name: &'a str,
    pub(super) url: &'a str,
    pub(super) region: &'a str,
    pub(super) description: &'a str,
    pub(super) tags: &'a [String],
}

/// What can be asked of it.
pub(super) struct Cloud<'a>(pub(super) Api<'a>);

impl Cloud<'_> {
    /// The images with a tag.
    pub(super) async fn tagged(&self, tag: &str) -> Result<Vec<CloudImage>, Fault> {
        let query = [("private", "true"), ("tag_name", tag), ("per_page", "200")];
        let mut url = self.0.url("v2/images");
        url.query_pairs_mut().extend_pairs(query);
        let found: Images = self.0.ask("list the images", url).await?;
        // Whatever it took the question for.
        let has = |image: &CloudImage| {
            let tags = image.tags.as_deref().unwrap_or_default();
            tags.iter().any(|one| one == tag)
        };
        Ok(found.images.into_iter().filter(has).collect())
    }

    pub(super) async fn image(&self, id: u64) -> Result<CloudImage, Fault> {
        let url = self.0.url(&format!("v2/images/{id}"));
        let found: OneImage = self.0.ask("show the image", url).await?;
        Ok(found.image)
    }

    /// Has an image imported.
    pub(super) async fn import(&self, new: &NewImage<'_>) -> Result<CloudImage, Fault> {
        let body = json!({
            "name": new.name, "url": new.url, "region": new.region, "distribution": "Unknown",
            "description": new.description, "tags": new.tags,
        });
        let url = self.0.url("v2/images");
        let made: OneImage = self.0.make("import the image", url, &body).await?;
        Ok(made.image)
    }

    /// Has an image brought to another region.
    pub(super) async fn transfer(&self, id: u64, region: &str) -> Result<Action, Fault> {
        let body = json!({"type": "transfer", "region": region});
        let url = self.0.url(&format!("v2/images/{id}/actions"));
        let made: OneAction = self.0.make("transfer the image", url, &body).await?;
        Ok(made.action)
    }

    pub(super) async fn action(&self, image: u64, id: u64) -> Result<Action, Fault> {
        let url = self.0.url(&format!("v2/images/{image}/actions/{id}"));
        let found: OneAction = self.0.ask("show the transfer", url).await?;
        Ok(found.action)
    }
}
