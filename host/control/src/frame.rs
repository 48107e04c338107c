//! Frames, and nothing of what is in them.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stockade_policy::stands;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::ControlError;

/// The version that this program speaks.
pub const PROTOCOL: u8 = 1;
/// The longest request: the largest arguments of a call (4 MiB), each byte escaped as two.
pub const MAX_REQUEST: usize = 9 * 1024 * 1024;
/// The longest reply: ten thousand plugins with everything that is known of them.
pub const MAX_REPLY: usize = 32 * 1024 * 1024;
/// How long a frame that has begun may take to come, or to be taken. Who is slower holds a place that others need.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Room that is made for bytes that have only been claimed.
const FIRST_ROOM: usize = 16 * 1024;
const HEADER: usize = 8;

/// Writes a message.
pub(crate) async fn send<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
    most: usize,
) -> Result<(), ControlError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message).map_err(|error| ControlError::Frame(error.to_string()))?;
    let length = frame.len() - HEADER;
    if length > most {
        return Err(ControlError::TooLong(length));
    }
    // Both limits are far below 4 GiB.
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    frame[4] = PROTOCOL;
    match timeout(PATIENCE, to.write_all(&frame)).await {
        Ok(written) => written.map_err(ControlError::Broken),
        Err(_) => Err(ControlError::TooSlow),
    }
}

/// Reads a message; none where the other side has ended between two. It waits for the first byte for as long as the
/// caller does.
pub(crate) async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> Result<Option<T>, ControlError> {
    let mut header = [0; HEADER];
    if from.read(&mut header[..1]).await.map_err(ControlError::Broken)? == 0 {
        return Ok(None);
    }
    match timeout(PATIENCE, rest(from, header, most)).await {
        Ok(body) => {
            let body = body?;
            serde_json::from_slice(&body).map(Some).map_err(|error| ControlError::Frame(error.to_string()))
        }
        Err(_) => Err(ControlError::TooSlow),
    }
}

async fn rest(
    from: &mut (impl AsyncRead + Unpin),
    mut header: [u8; HEADER],
    most: usize,
) -> Result<Vec<u8>, ControlError> {
    from.read_exact(&mut header[1..]).await.map_err(broken)?;
    let [a, b, c, d, version, reserved @ ..] = header;
    if version != PROTOCOL {
        return Err(ControlError::Version { theirs: version, ours: PROTOCOL });
    }
    if reserved != [0; 3] {
        return Err(ControlError::Frame("reserved bytes are not zero".to_owned()));
    }
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > most && stands("control.length") {
        return Err(ControlError::TooLong(length));
    }
    // Room grows with what comes: a claim costs nothing.
    let mut body = Vec::with_capacity(length.min(FIRST_ROOM));
    from.take(length as u64).read_to_end(&mut body).await.map_err(broken)?;
    if body.len() < length { Err(ControlError::Ended) } else { Ok(body) }
}

fn broken(error: std::io::Error) -> ControlError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ControlError::Ended,
        _ => ControlError::Broken(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8], most: usize) -> Result<Option<String>, ControlError> {
        let mut bytes = bytes;
        receive(&mut bytes, most).await
    }

    #[tokio::test]
    async fn a_frame_comes_as_it_went() {
        let mut frame = Vec::new();
        send(&mut frame, &"text", 100).await.expect("sent");
        assert_eq!(frame, b"\x06\0\0\0\x01\0\0\0\"text\"");
        assert_eq!(read(&frame, 100).await.expect("read").as_deref(), Some("text"));
        assert_eq!(read(b"", 100).await.expect("nothing"), None);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_told_apart() {
        for (bytes, is) in [
            (&b"\x06\0\0\0\x01\0\0"[..], "Ended"),
            (b"\x06\0\0\0\x01\0\0\0\"te", "Ended"),
            (b"\x06\0\0\0\x02\0\0\0\"text\"", "Version"),
            (b"\x06\0\0\0\x01\0\0\x01\"text\"", "Frame"),
            (b"\xff\xff\xff\xff\x01\0\0\0", "TooLong"),
            (b"\x06\0\0\0\x01\0\0\0\"text;", "Frame"),
            (b"\x07\0\0\0\x01\0\0\0\"text\"]", "Frame"),
            (b"\x00\0\0\0\x01\0\0\0", "Frame"),
            (b"GET / HTTP/1.1\r\n\r\n", "Version"),
        ] {
            let error = read(bytes, 100).await.expect_err(is);
            assert!(format!("{error:?}").starts_with(is), "{error:?} is not {is}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_sent() {
        let mut frame = Vec::new();
        assert!(matches!(send(&mut frame, &"text", 5).await, Err(ControlError::TooLong(6))));
        assert!(frame.is_empty());
    }

    #[tokio::test]
    async fn nesting_has_an_end() {
        let mut frame = vec![0; 8];
        let deep = [b'['; 100_000];
        frame.extend_from_slice(&deep);
        frame[..4].copy_from_slice(&100_000u32.to_le_bytes());
        frame[4] = PROTOCOL;
        let mut bytes = &frame[..];
        let read: Result<Option<serde_json::Value>, _> = receive(&mut bytes, MAX_REQUEST).await;
        assert!(matches!(read, Err(ControlError::Frame(_))));
    }
}
