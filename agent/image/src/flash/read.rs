//! The image's side of flashing: unpacked pieces with the changes in them.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, SyncSender};

use super::disk::{ALIGN, Buffer, CHUNK};
use crate::error::ImageError;
use crate::overlay::Changes;
use crate::source::{Image, Packing, Stream, fill};

/// The length of the unpacked image, if the file says so before it is unpacked.
pub(super) fn length(image: &Image) -> Option<u64> {
    match image.packing {
        Packing::None => Some(image.length),
        Packing::Zstd => {
            use std::io::Seek as _;
            let mut head = Vec::new();
            let mut file = image.file();
            file.rewind().ok()?;
            // The longest header of a frame has 18 bytes.
            file.take(18).read_to_end(&mut head).ok()?;
            zstd::zstd_safe::get_frame_content_size(&head).ok()?
        }
        // Four bytes at the end, modulo 4 GiB: worth nothing.
        Packing::Gzip => None,
    }
}

/// Unpacks until the end, or until nobody wants more.
pub(super) fn unpack(
    image: &Image,
    stream: &mut Stream,
    changes: &Changes,
    free: &Receiver<Buffer>,
    send: &SyncSender<Result<(Buffer, usize), ImageError>>,
) {
    let mut at = 0;
    for mut buffer in free {
        let length = match fill(stream, buffer.bytes_mut()) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) => {
                let _ = send.send(Err(image.damaged(at, error)));
                return;
            }
        };
        // The last sector may be half: what follows it in the buffer is from an earlier piece.
        let whole = length.next_multiple_of(ALIGN).min(CHUNK);
        buffer.bytes_mut()[length..whole].fill(0);
        changes.apply(at, &mut buffer.bytes_mut()[..length]);
        at += length as u64;
        if send.send(Ok((buffer, length))).is_err() || length < CHUNK {
            return;
        }
    }
}
