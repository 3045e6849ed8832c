//! One question to this machine's `e3-link`, and its answer.

use std::time::Duration;

use super::Carrier;
use e3_core::mesh::link::{ANSWER, Answer, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// From the connection to the answer. It is on this machine, and answers at once.
const DEADLINE: Duration = Duration::from_secs(3);

/// Asks; an error says why there is no answer.
pub(super) async fn ask(carrier: Carrier, request: &Request) -> Result<Answer, String> {
    let socket = carrier.socket();
    let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    line.push(b'\n');
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        let bound = u64::try_from(ANSWER).unwrap_or(u64::MAX);
        stream.take(bound).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(DEADLINE, asked).await;
    let answer = answer.map_err(|_| format!("{socket} does not answer"))?;
    let answer = answer.map_err(|error| format!("{socket} cannot be asked: {error}"))?;
    serde_json::from_slice(&answer).map_err(|error| format!("{socket} answers strangely: {error}"))
}
