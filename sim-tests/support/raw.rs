//! HTTP as bytes, for requests that no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far beyond what any answer takes; a node that does not answer fails the test instead of hanging it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A status and a body.
pub type RawAnswer = (u16, String);

/// Sends these bytes on a connection of their own and reads until the node closes it.
pub async fn exchange(to: SocketAddr, bytes: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(to).await.expect("the node listens");
    stream.write_all(bytes).await.expect("the node reads");
    read_answer(&mut stream).await
}

/// Reads one answer, up to the end of the connection.
pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> RawAnswer {
    parse(&read_text(stream).await)
}

/// Reads one answer, up to the end of the connection, head and all.
pub async fn read_text(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("an answer in time").expect("a clean end");
    String::from_utf8(answer).expect("answers are UTF-8")
}

/// The status and the body of an answer.
pub fn parse(answer: &str) -> RawAnswer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    let mut body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
    if head.contains("content-type: application/json") {
        assert_eq!(body.pop(), Some('\n'), "JSON answers end with a newline: {answer:?}");
    }
    (status, body)
}

/// A request with a body.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

pub async fn get(to: SocketAddr, path: &str) -> RawAnswer {
    exchange(to, &request("GET", path, "", "")).await
}

pub async fn post_json(to: SocketAddr, path: &str, body: &str) -> RawAnswer {
    exchange(to, &request("POST", path, "content-type: application/json\r\n", body)).await
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk begins with its length");
        body.push_str(&rest[..length]);
        text = &rest[length + 2..];
    }
    body
}

/// A server that gives every request the same answer: a stranger on a port.
pub async fn answering(content_type: &'static str, body: String) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
            );
            let answer = head + &body;
            tokio::spawn(async move {
                let mut request = [0; 4096];
                // Whatever was asked, and whether or not the client listens.
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}
