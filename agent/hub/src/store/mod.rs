//! The object store under the hub: bounded reads, atomic writes, and nothing else.
//!
//! The tree is readable without any process at every moment, also after a kill in the middle of a
//! write: objects appear whole or not at all. A folder has no conditional replace, so replacing is
//! done under a file lock that all hub processes over that folder share; remote stores compare the
//! version that was read. What may be written is decided in [`crate::api`].

mod folder;
#[cfg(feature = "s3")]
mod s3;

use std::error::Error as _;
use std::sync::Arc;

use axum::body::Bytes;
use e3_core::time::Time;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
    UpdateVersion,
};

use self::folder::{FileLock, Folder};
use crate::ServeError;
use crate::settings::Location;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// No space, or no quota.
    #[error("the store is full")]
    Full(#[source] Error),
    /// Anything else.
    #[error("the store does not work")]
    Broken(#[source] Error),
    /// The file lock cannot be taken.
    #[error("the store cannot be locked")]
    Lock(#[source] std::io::Error),
    /// An object that no hub has written: larger than any document.
    #[error("the object {path} in the store is larger than {limit} bytes")]
    TooLarge { path: String, limit: usize },
}

impl StoreError {
    fn of(error: Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            let kind = cause
                .downcast_ref::<std::io::Error>()
                .map(std::io::Error::kind);
            if matches!(
                kind,
                Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            ) {
                return Self::Full(error);
            }
            source = cause.source();
        }
        Self::Broken(error)
    }
}

/// A small object and the version of it that was read.
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    version: UpdateVersion,
}

/// What a put-if-absent found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    New,
    ThereAlready,
}

/// What a replace found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    Done,
    /// Somebody else was faster.
    Changed,
}

/// The mutable objects that have a lock of their own. The head does not wait behind presences.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Class {
    Head,
    Parties,
}

/// Held while a mutable object is read, judged and replaced.
pub(crate) struct Guard {
    _here: tokio::sync::OwnedMutexGuard<()>,
    _everywhere: Option<FileLock>,
}

/// The store.
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// If it is a folder.
    folder: Option<Folder>,
    head: Arc<tokio::sync::Mutex<()>>,
    parties: Arc<tokio::sync::Mutex<()>>,
}

impl Store {
    /// Opens it, and makes the folder if it is not there.
    pub(crate) fn open(location: &Location, now: Time) -> Result<Self, ServeError> {
        let (objects, folder): (Arc<dyn ObjectStore>, _) = match location {
            Location::Folder(path) => {
                let (objects, folder) = Folder::open(path, now)?;
                (Arc::new(objects), Some(folder))
            }
            #[cfg(feature = "s3")]
            Location::S3(settings) => (s3::open(settings)?, None),
            #[cfg(not(feature = "s3"))]
            Location::S3(settings) => {
                return Err(ServeError::NoS3 {
                    url: settings.url.clone(),
                });
            }
            Location::Other(store) => (Arc::clone(store), None),
        };
        Ok(Self {
            objects,
            folder,
            head: Arc::default(),
            parties: Arc::default(),
        })
    }

    /// A document of at most `limit` bytes.
    pub(crate) async fn get(
        &self,
        path: &Path,
        limit: usize,
    ) -> Result<Option<Object>, StoreError> {
        let found = match self.objects.get_opts(path, GetOptions::default()).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(StoreError::of(error)),
        };
        if found.meta.size > limit as u64 {
            return Err(StoreError::TooLarge {
                path: path.to_string(),
                limit,
            });
        }
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        let bytes = found.bytes().await.map_err(StoreError::of)?;
        Ok(Some(Object { bytes, version }))
    }

    /// Whether it is there, and a fingerprint that changes when it is replaced.
    pub(crate) async fn stat(&self, path: &Path) -> Result<Option<ObjectMeta>, StoreError> {
        match self.objects.head(path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::of(error)),
        }
    }

    /// A blob of any size: its length, and its bytes as they come.
    pub(crate) async fn stream(
        &self,
        path: &Path,
    ) -> Result<Option<(u64, BoxStream<'static, Result<Bytes, Error>>)>, StoreError> {
        match self.objects.get_opts(path, GetOptions::default()).await {
            Ok(found) => Ok(Some((found.meta.size, found.into_stream()))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::of(error)),
        }
    }

    /// Puts an object where there is none; the first one wins, also between several hubs.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> Result<Created, StoreError> {
        match self
            .objects
            .put_opts(path, PutPayload::from_bytes(bytes), PutMode::Create.into())
            .await
        {
            Ok(_) => Ok(Created::New),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                Ok(Created::ThereAlready)
            }
            Err(error) => Err(StoreError::of(error)),
        }
    }

    /// Waits until nobody else, here or in another process over the same folder, replaces objects of
    /// this class.
    pub(crate) async fn lock(&self, class: Class) -> Result<Guard, StoreError> {
        let mutex = match class {
            Class::Head => &self.head,
            Class::Parties => &self.parties,
        };
        let here = Arc::clone(mutex).lock_owned().await;
        let everywhere = match &self.folder {
            Some(folder) => Some(folder.lock(class).await.map_err(StoreError::Lock)?),
            None => None,
        };
        Ok(Guard {
            _here: here,
            _everywhere: everywhere,
        })
    }

    /// Replaces an object that was read under the same guard; `None` if there was none.
    pub(crate) async fn replace(
        &self,
        _guard: &Guard,
        path: &Path,
        read: Option<&Object>,
        bytes: Bytes,
    ) -> Result<Replaced, StoreError> {
        let mode = match read {
            None => PutMode::Create,
            // The guard is the condition: a folder cannot compare.
            Some(_) if self.folder.is_some() => PutMode::Overwrite,
            Some(read) => PutMode::Update(read.version.clone()),
        };
        match self
            .objects
            .put_opts(path, PutPayload::from_bytes(bytes), mode.into())
            .await
        {
            Ok(_) => Ok(Replaced::Done),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Replaced::Changed),
            Err(error) => Err(StoreError::of(error)),
        }
    }

    /// Removes an object; it may be gone already.
    pub(crate) async fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.objects.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::of(error)),
        }
    }

    /// The objects under `prefix`, at most `limit` of them.
    pub(crate) async fn list(&self, prefix: &Path, limit: usize) -> Result<Vec<Path>, StoreError> {
        let listed = self.list_stats(prefix, limit).await?.into_iter();
        Ok(listed.map(|meta| meta.location).collect())
    }

    /// The same, each with a fingerprint that changes when it is replaced.
    pub(crate) async fn list_stats(
        &self,
        prefix: &Path,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let listed = self.objects.list(Some(prefix)).take(limit);
        listed.try_collect().await.map_err(StoreError::of)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    /// The same promises from a folder and from a store that compares versions.
    #[tokio::test]
    async fn the_first_put_wins_and_a_replace_needs_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        for location in [
            Location::Folder(folder.path().join("new")),
            Location::Other(Arc::new(InMemory::new())),
        ] {
            let store = Store::open(&location, Time::MIN).unwrap();
            let path = Path::from("a/b.json");
            assert!(store.get(&path, 10).await.unwrap().is_none());
            assert_eq!(
                store
                    .create(&path, Bytes::from_static(b"one"))
                    .await
                    .unwrap(),
                Created::New
            );
            assert_eq!(
                store
                    .create(&path, Bytes::from_static(b"two"))
                    .await
                    .unwrap(),
                Created::ThereAlready
            );
            let guard = store.lock(Class::Head).await.unwrap();
            let read = store.get(&path, 10).await.unwrap().unwrap();
            assert_eq!(read.bytes, "one");
            let three = Bytes::from_static(b"three");
            assert_eq!(
                store
                    .replace(&guard, &path, Some(&read), three)
                    .await
                    .unwrap(),
                Replaced::Done
            );
            assert_eq!(
                store
                    .replace(&guard, &path, None, Bytes::new())
                    .await
                    .unwrap(),
                Replaced::Changed
            );
            if store.folder.is_none() {
                let stale = store
                    .replace(&guard, &path, Some(&read), Bytes::new())
                    .await
                    .unwrap();
                assert_eq!(stale, Replaced::Changed);
            }
            assert_eq!(store.get(&path, 10).await.unwrap().unwrap().bytes, "three");
            assert!(matches!(
                store.get(&path, 4).await,
                Err(StoreError::TooLarge { .. })
            ));
            assert_eq!(store.list(&Path::from("a"), 10).await.unwrap(), [path]);
        }
    }
}
