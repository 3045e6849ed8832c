//! An image onto a disk, and back again to compare.
//!
//! The image is unpacked, hashed and written by three threads, past the page cache, so that what is shown as written is
//! written. What is read back is compared by BLAKE3: where the processor has no instructions for it, SHA-256 is slower than a
//! good card. The first piece, with the partition table, is blank until everything else is there: a disk that was left half
//! written starts nothing and looks like nothing.
//!
//! There is no file that remembers how far it came: the disk itself says so. As long as it has what the image has, nothing
//! is written; from the first difference on, everything is. So an interrupted command goes on where it stopped, and a state
//! that is older than the disk cannot exist.

mod disk;
mod error;
mod read;

use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread;

use e3_client::human;

pub use self::disk::Device;
use self::disk::{Buffer, CHUNK};
pub use self::error::{FlashError, HalfWritten};
use crate::error::ImageError;
use crate::overlay::Changes;
use crate::source::Image;
use crate::stop::Stop;

/// Pieces that are on their way at once. With zstd's window less than 64 MiB in all.
const PIECES: usize = 5;
/// Threads that read back.
const READERS: usize = 2;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What the disk has already is compared.
    Resuming,
    /// The image is written.
    Writing,
    /// It is read back.
    Checking,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Bytes of the disk.
    pub done: u64,
    /// How much of the step is done, in thousandths.
    pub share: u64,
}

/// What was done.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Flashed {
    /// The image's bytes.
    pub size: u64,
    /// Bytes that were there already.
    pub resumed: u64,
}

/// What was written, to compare with.
#[derive(Debug)]
pub struct Written {
    hashes: Vec<[u8; 32]>,
    /// What was written and what was there already.
    pub flashed: Flashed,
}

/// A piece of the image with its hash.
struct Piece {
    buffer: Buffer,
    length: usize,
    hash: [u8; 32],
}

/// Writes an image with its changes to a device, and syncs it.
pub fn write(
    image: &Image,
    changes: &Changes,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, ImageError> {
    image.reaches_its_partitions()?;
    if let Some(needs) = read::length(image).filter(|needs| *needs > device.size()) {
        return Err(device.too_small(needs, false).into());
    }
    let mut stream = image.stream()?;
    let (read, total) = (stream.progress(), image.length.max(1));
    let (send_raw, raw) = sync_channel::<Result<(Buffer, usize), ImageError>>(1);
    let (send_piece, pieces) = sync_channel::<Result<Piece, ImageError>>(1);
    let (give_back, free) = sync_channel::<Buffer>(PIECES);
    for _ in 0..PIECES {
        let _ = give_back.send(Buffer::new());
    }
    thread::scope(|scope| {
        scope.spawn(move || read::unpack(image, &mut stream, changes, &free, &send_raw));
        scope.spawn(move || {
            for raw in raw {
                let piece = raw.map(|(buffer, length)| Piece {
                    hash: blake3::hash(&buffer.bytes()[..length]).into(),
                    buffer,
                    length,
                });
                if send_piece.send(piece).is_err() {
                    return;
                }
            }
        });
        // Dropped when this ends, however it ends: who waits for memory then goes.
        let give_back = give_back;
        // The first piece comes first and goes last.
        let mut first = None;
        let mut state = State::new();
        let mut hashes = Vec::new();
        // Taken, not borrowed: when this returns early, the threads before it end.
        for piece in pieces {
            let piece = piece.map_err(|error| state.broken_off(device, error))?;
            if stop.is_set() {
                return Err(state.stopped(device));
            }
            hashes.push(piece.hash);
            if first.is_none() {
                state.at = piece.length as u64;
                first = Some(piece);
                continue;
            }
            state.take(device, &piece)?;
            let _ = give_back.send(piece.buffer);
            progress(Progress {
                step: if state.resuming {
                    Step::Resuming
                } else {
                    Step::Writing
                },
                done: state.at,
                share: read.load(Ordering::Relaxed).saturating_mul(1000) / total,
            });
        }
        if let Some(piece) = first {
            state.begin(device)?;
            device.write(0, &piece.buffer, piece.length)?;
        }
        device.sync(state.at)?;
        Ok(Written {
            hashes,
            flashed: Flashed {
                size: state.at,
                resumed: state.resumed,
            },
        })
    })
}

/// How far a disk is.
struct State {
    /// Bytes that are there, but for the first piece.
    at: u64,
    /// Whether everything was there so far.
    resuming: bool,
    /// Bytes that were there already.
    resumed: u64,
    begun: bool,
    scratch: Buffer,
}

impl State {
    fn new() -> Self {
        Self {
            at: 0,
            resuming: true,
            resumed: 0,
            begun: false,
            scratch: Buffer::new(),
        }
    }

    /// From here on the disk is no longer what it was.
    fn begin(&mut self, device: &Device) -> Result<(), ImageError> {
        if !self.begun {
            self.begun = true;
            let length = usize::try_from(device.size()).unwrap_or(CHUNK).min(CHUNK);
            device.write(0, &Buffer::new(), length)?;
        }
        Ok(())
    }

    fn take(&mut self, device: &Device, piece: &Piece) -> Result<(), ImageError> {
        let end = self.at + piece.length as u64;
        if end > device.size() {
            return Err(device.too_small(end, self.begun).into());
        }
        if self.resuming {
            let read = device.read(self.at, &mut self.scratch, piece.length);
            let is_there = match read {
                Ok(()) => {
                    self.scratch.bytes()[..piece.length] == piece.buffer.bytes()[..piece.length]
                }
                // What cannot be read can often be written: then it is good again.
                Err(FlashError::Read { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if is_there {
                self.resumed += piece.length as u64;
                self.at = end;
                return Ok(());
            }
            self.resuming = false;
        }
        self.begin(device)?;
        device.write(self.at, &piece.buffer, piece.length)?;
        self.at = end;
        Ok(())
    }

    /// The image came to no good end.
    fn broken_off(&self, device: &Device, error: ImageError) -> ImageError {
        if self.begun {
            let path = device.path().to_owned();
            let error = Box::new(error);
            ImageError::HalfWritten(HalfWritten { path, error })
        } else {
            error
        }
    }

    fn stopped(&self, device: &Device) -> ImageError {
        let path = device.path().display();
        ImageError::Stopped {
            left: if self.begun {
                format!(
                    "{path} is written up to {} and starts nothing; the same command goes on from there",
                    human::size(self.at)
                )
            } else {
                format!("nothing was written to {path}")
            },
        }
    }
}

/// Reads everything back and compares it.
pub fn check(
    written: &Written,
    device: &Device,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ImageError> {
    let size = written.flashed.size;
    let (tell, told) = sync_channel::<Result<u64, FlashError>>(READERS);
    thread::scope(|scope| {
        for reader in 0..READERS {
            let tell = tell.clone();
            scope.spawn(move || {
                let mut buffer = Buffer::new();
                for (n, hash) in written
                    .hashes
                    .iter()
                    .enumerate()
                    .skip(reader)
                    .step_by(READERS)
                {
                    let at = n as u64 * CHUNK as u64;
                    let length = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
                    let read = device.read(at, &mut buffer, length).and_then(|()| {
                        if blake3::hash(&buffer.bytes()[..length]).as_bytes() == hash {
                            Ok(length as u64)
                        } else {
                            let path = device.path().to_owned();
                            Err(FlashError::Mismatch { path, at })
                        }
                    });
                    if tell.send(read).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        let mut done = 0;
        for length in told {
            done += length?;
            if stop.is_set() {
                let path = device.path().display();
                return Err(ImageError::Stopped {
                    left: format!("{path} is written, but was not read back"),
                });
            }
            progress(Progress {
                step: Step::Checking,
                done,
                share: done.saturating_mul(1000) / size.max(1),
            });
        }
        Ok(())
    })
}
