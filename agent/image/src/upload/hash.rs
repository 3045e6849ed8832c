//! The two hashes of an image.
//!
//! Its name is its BLAKE3, which has to be known before anything is asked: whether the cloud has it, and how far an earlier
//! command came. Reading for it is what a user waits for, so it is the fast one, on all processors. Its SHA-256 is what people
//! compare with, and is computed beside the sending.

use std::sync::Arc;

use e3_core::digest::Hasher;
use tokio::task::JoinHandle;

use super::Progress;
use super::error::Fault;
use super::outgoing::Outgoing;
use crate::error::ImageError;
use crate::stop::Stop;

/// BLAKE3, in 64 hexadecimal digits, as `b3sum` shows it.
pub(super) fn name(
    image: &Outgoing,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<String, ImageError> {
    let mut hasher = blake3::Hasher::new();
    let (mut done, total) = (0, image.size);
    let mut take = |piece: &[u8]| {
        hasher.update_rayon(piece);
        done += piece.len() as u64;
        progress(Progress::Reading { done, total });
    };
    let is_whole = image.read(stop, &mut take);
    if is_whole.map_err(|fault| ImageError::Upload(fault.into()))? {
        Ok(hasher.finalize().to_hex().to_string())
    } else {
        let left = "nothing was uploaded".to_owned();
        Err(ImageError::Stopped { left })
    }
}

/// SHA-256, computed in a thread. Dropped, it stops.
pub(super) struct Sum {
    stop: Stop,
    running: Option<JoinHandle<Result<String, Fault>>>,
    sha256: String,
}

impl Sum {
    /// Begins, in a thread of the runtime that this is called in.
    pub(super) fn begin(image: &Arc<Outgoing>) -> Self {
        let (image, stop) = (Arc::clone(image), Stop::default());
        let stopping = stop.clone();
        let work = move || {
            let mut hasher = Hasher::default();
            image.read(&stopping, &mut |piece| hasher.update(piece))?;
            Ok(hasher.finish().hex())
        };
        Self {
            stop,
            running: Some(tokio::task::spawn_blocking(work)),
            sha256: String::new(),
        }
    }

    /// The 64 hexadecimal digits, as soon as they are known.
    pub(super) async fn get(&mut self, image: &Outgoing) -> Result<&str, Fault> {
        if let Some(running) = &mut self.running {
            let done = running.await;
            self.running = None;
            self.sha256 = done.map_err(|error| image.thread(error))??;
        }
        Ok(&self.sha256)
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        self.stop.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_are_those_of_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bz2");
        let bytes = [b"BZh9".to_vec(), vec![7; 3_000_001]].concat();
        std::fs::write(&path, &bytes).unwrap();
        let image = Arc::new(Outgoing::open(&path).unwrap());
        let mut shown = 0;
        let named = name(&image, &Stop::default(), &mut |progress| {
            if let Progress::Reading { done, .. } = progress {
                shown = done;
            }
        });
        assert_eq!(named.unwrap(), blake3::hash(&bytes).to_hex().as_str());
        assert_eq!(shown, bytes.len() as u64);
        let mut sum = Sum::begin(&image);
        let expected = e3_core::digest::Digest::of(&bytes).hex();
        assert_eq!(sum.get(&image).await.unwrap(), expected);
        assert_eq!(sum.get(&image).await.unwrap(), expected);
        let stop = Stop::default();
        stop.set();
        let stopped = name(&image, &stop, &mut |_| ());
        assert!(matches!(stopped, Err(ImageError::Stopped { .. })));
    }
}
