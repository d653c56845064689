//! Clients that write keys, each one after the other.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Failure;

pub(super) struct Writers {
    pub(super) to: SocketAddr,
    pub(super) clients: usize,
    /// The numbers of the keys to write.
    pub(super) keys: Range<u32>,
}

impl Writers {
    /// Writes each key once. Returns how long each write took.
    pub(super) async fn write(self) -> Result<Vec<Duration>, Failure> {
        let Self { to, clients, keys } = self;
        let each = |client: usize| keys.clone().skip(client).step_by(clients);
        let tasks: Vec<_> = (0..clients).map(|client| tokio::spawn(write_all(to, each(client)))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok(times)
    }
}

async fn write_all(to: SocketAddr, keys: impl Iterator<Item = u32>) -> Result<Vec<Duration>, Failure> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut answer) = (Vec::new(), Vec::new());
    for key in keys {
        // Scattered, as hashes of names are: keys in order would always be added at the end.
        let scattered = key.wrapping_mul(0x9e37_79b1);
        let body = format!(r#"{{"key":"user:{scattered:08x}","value":"{key}"}}"#);
        let length = body.len();
        let began = Instant::now();
        let head = format!(
            "POST /set HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        answer.clear();
        while !answer.ends_with(b"}\n") {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the leader has closed the connection".into());
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") || !answer.windows(9).any(|part| part == b"\"ok\":true") {
            return Err(String::from_utf8_lossy(&answer).into());
        }
        times.push(began.elapsed());
    }
    Ok(times)
}

pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
