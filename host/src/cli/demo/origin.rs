//! A server small enough to show: it says its name and the request as it came, so that one sees what the gateway did.
//!
//! Only the gateway talks to it, so it trusts what it reads to be canonical HTTP/1.1.

use std::io;
use std::net::SocketAddr;
use std::thread;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Nobody sends the demo longer heads through a gateway that refuses them.
const LONGEST_HEAD: usize = 64 * 1024;

/// Starts a server on a free loopback port, on a thread of its own that lives as long as the process.
pub(super) fn start(name: &'static str) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(format!("demo-{name}")).spawn(move || runtime.block_on(serve(name, listener)))?;
    Ok(address)
}

async fn serve(name: &'static str, listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(talk(name, stream))),
            Err(error) => {
                tracing::warn!(%error, "a server of the demo does not accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn talk(name: &str, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(head)) = read_head(&mut stream).await {
        if skip_body(&mut stream, &head).await.is_err() {
            return;
        }
        if stream.write_all(answer(name, &head).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head's lines, without the empty one; `None` at the connection's end.
async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if stream.read_line(&mut head).await? == 0 || head.len() > LONGEST_HEAD {
            return Ok(None);
        }
        if head.get(before..) == Some("\r\n") {
            head.truncate(before);
            return Ok(Some(head));
        }
    }
}

async fn skip_body(stream: &mut BufReader<TcpStream>, head: &str) -> io::Result<()> {
    if field(head, "transfer-encoding").is_none() {
        let length = field(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        return skip(stream, length).await;
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = line.split([';', '\r']).next().and_then(|size| u64::from_str_radix(size.trim(), 16).ok());
        match size {
            Some(0) => return read_head(stream).await.map(drop),
            Some(size) => skip(stream, size.saturating_add(2)).await?,
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn skip(stream: &mut BufReader<TcpStream>, length: u64) -> io::Result<()> {
    tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await.map(drop)
}

fn answer(name: &str, head: &str) -> String {
    let (method, path) = {
        let mut words = head.split_whitespace();
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    };
    let broken = path == "/broken";
    let status = if broken { "500 Internal Server Error" } else { "200 OK" };
    let body = if broken {
        "Traceback: what no client should see\n".to_owned()
    } else {
        format!("This is {name}. What arrived here:\n\n{}", head.replace("\r\n", "\n"))
    };
    let shown = if method == "HEAD" { "" } else { &body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nX-Powered-By: the demo\r\n\
         X-Served-By: {name}\r\n\r\n{shown}",
        body.len()
    )
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn says_its_name_and_what_arrived_and_reads_bodies() {
        let mut stream = std::net::TcpStream::connect(start("anna").unwrap()).unwrap();
        stream
            .write_all(
                b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
                  POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                  GET /broken HTTP/1.1\r\nX-Seen: yes\r\n\r\n",
            )
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("This is anna.").count(), 2, "{answers}");
        assert!(answers.contains("POST /b HTTP/1.1"));
        assert!(answers.contains("HTTP/1.1 500 Internal Server Error\r\n"));
    }
}
