//! Takes request bodies in: bounded in size (rule 3), in time, and in what all of them hold together.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use tokio::sync::SemaphorePermit;
use tokio::time::{Duration, Instant, timeout_at};

use super::{Hub, Refusal};

/// A body, and the share of memory that it takes until it is dropped.
pub(crate) struct Taken<'a> {
    pub(crate) bytes: Bytes,
    _share: Option<SemaphorePermit<'a>>,
}

impl Hub {
    /// Takes a body of at most `limit` bytes. A length that is announced too large is refused before
    /// the first byte is read.
    pub(crate) async fn take(&self, request: Request, limit: u64) -> Result<Taken<'_>, Refusal> {
        let too_large = || Refusal::TooLarge { limit };
        let announced = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > limit) {
            return Err(too_large());
        }
        let started = Instant::now();
        let mut bytes = Vec::new();
        let mut share: Option<SemaphorePermit<'_>> = None;
        let mut body: Body = request.into_body();
        loop {
            // Two clocks: for silence, and for the average, so that a byte now and then is not enough.
            let earned = Duration::from_secs(bytes.len() as u64 / self.limits.body_rate.max(1));
            let average = started + self.limits.body_silence + earned;
            let deadline = average.min(Instant::now() + self.limits.body_silence);
            let frame = timeout_at(deadline, body.frame())
                .await
                .map_err(|_| Refusal::Slow)?;
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(|_| Refusal::CutOff)?.into_data() else {
                continue;
            };
            if (bytes.len() + data.len()) as u64 > limit {
                return Err(too_large());
            }
            let more = u32::try_from(data.len()).map_err(|_| too_large())?;
            let more = self
                .bodies
                .try_acquire_many(more)
                .map_err(|_| Refusal::Busy)?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Taken {
            bytes: bytes.into(),
            _share: share,
        })
    }
}
