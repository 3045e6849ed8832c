//! S3-compatible stores: conditional puts come from the service, so several hubs need no lock.
//!
//! TLS is the process's default provider (ring); the credentials come from a file or from the
//! machine's role, never from the environment.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreScheme};

use crate::ServeError;
use crate::settings::S3;

/// Two short lines.
const CREDENTIALS: u64 = 4096;

pub(super) fn open(settings: &S3) -> Result<Arc<dyn ObjectStore>, ServeError> {
    let location = || ServeError::Location {
        text: settings.url.clone(),
    };
    let url = settings.url.parse().map_err(|_| location())?;
    let (_, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| location())?;
    let mut builder = AmazonS3Builder::new()
        .with_url(&settings.url)
        // A new object only if there is none, a replaced one only if it is still what was read.
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(path) = &settings.credentials {
        let failed = |source| ServeError::Folder {
            path: path.clone(),
            source,
        };
        let text = read_small(path).map_err(failed)?;
        let missing = || ServeError::Credentials { path: path.clone() };
        builder = builder
            .with_access_key_id(value(&text, "aws_access_key_id").ok_or_else(missing)?)
            .with_secret_access_key(value(&text, "aws_secret_access_key").ok_or_else(missing)?);
    }
    let store = builder
        .build()
        .map_err(|source| ServeError::Store { source })?;
    Ok(if prefix == Path::default() {
        Arc::new(store)
    } else {
        Arc::new(PrefixStore::new(store, prefix))
    })
}

fn read_small(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(std::io::Error::other(
            "others can read these secrets; chmod 600 the file",
        ));
    }
    let mut text = String::new();
    file.take(CREDENTIALS).read_to_string(&mut text)?;
    Ok(text)
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_bucket_opens_with_the_credentials_of_a_file() {
        // As every main does first; the store's client is made with the process's provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let credentials = folder.path().join("credentials");
        let settings = S3 {
            url: "s3://bucket/fleet".to_owned(),
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("eu".to_owned()),
            credentials: Some(credentials.clone()),
        };
        std::fs::write(&credentials, "aws_access_key_id = a\n").unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o644);
        assert!(matches!(open(&settings), Err(ServeError::Folder { .. })));
        mode(0o600);
        assert!(matches!(
            open(&settings),
            Err(ServeError::Credentials { .. })
        ));
        std::fs::write(
            &credentials,
            "aws_access_key_id = a\naws_secret_access_key=b\n",
        )
        .unwrap();
        let store = open(&settings).unwrap();
        assert!(store.to_string().contains("fleet"), "{store}");
    }
}
