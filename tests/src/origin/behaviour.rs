//! The ways an origin behaves, good and bad, each named after what it does.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Behaviour, Exchange, Then};
use crate::eventually::Gate;
use crate::websocket::{Frames, accept, close_frame, text_frame};

/// A piece of the large generated bodies.
static BLOCK: [u8; 65536] = [b'w'; 65536];

/// A behaviour of one's own.
pub fn does(what: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) -> Behaviour {
    Arc::new(what)
}

/// Answers 200 with JSON that says what arrived: method, target, fields, body.
pub fn echoes() -> Behaviour {
    does(|exchange| {
        exchange.read_body()?;
        let body = described(exchange).to_string();
        let length = body.len().to_string();
        exchange.write_head(200, &[("Content-Type", "application/json"), ("Content-Length", &length)])?;
        if exchange.request.method != "HEAD" {
            exchange.write(body)?;
        }
        Ok(Then::Keep)
    })
}

/// Reads the request and answers with this status and text.
pub fn answers(status: u16, body: &'static str) -> Behaviour {
    answers_with(status, &[], body)
}

/// The same with more field lines.
pub fn answers_with(status: u16, fields: &[(&str, &str)], body: &str) -> Behaviour {
    let fields: Vec<(String, String)> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let body = body.to_owned();
    does(move |exchange| {
        exchange.read_body()?;
        let length = body.len().to_string();
        let mut lines: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let bodiless = status == 204 || status == 304;
        if !bodiless {
            lines.push(("Content-Length", &length));
        }
        exchange.write_head(status, &lines)?;
        if !bodiless && exchange.request.method != "HEAD" {
            exchange.write(&body)?;
        }
        Ok(Then::Keep)
    })
}

/// Answers 200 and says in `X-Member` who it is, in one piece: whoever cuts the connection cuts no answer in two.
pub fn is_named(name: &str) -> Behaviour {
    let length = name.len();
    says(format!("HTTP/1.1 200 OK\r\nX-Member: {name}\r\nContent-Length: {length}\r\n\r\n{name}"))
}

/// Does what the other behaviour does for so many requests of a connection, and resets the connection at the next one.
pub fn resets_after_requests(count: usize, before: Behaviour) -> Behaviour {
    let served: Mutex<HashMap<usize, usize>> = Mutex::default();
    does(move |exchange| {
        let is_over = {
            let mut served = served.lock().unwrap_or_else(PoisonError::into_inner);
            let served = served.entry(exchange.request.connection).or_default();
            *served += 1;
            *served > count
        };
        if is_over { Ok(Then::Reset) } else { before(exchange) }
    })
}

/// Answers in part, ends its sending side, and goes on reading until the other side ends too.
pub fn half_closes(sent: usize) -> Behaviour {
    does(move |exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[("Content-Length", "1000")])?;
        exchange.write(vec![b'x'; sent])?;
        exchange.half_close();
        exchange.wait_for_end();
        Ok(Then::Close)
    })
}

/// Shakes hands as RFC 6455 says and sends every text back, until the other side closes.
pub fn echoes_websockets() -> Behaviour {
    does(|exchange| {
        let Some(key) = exchange.request.fields.get("sec-websocket-key") else {
            exchange.write_head(400, &[("Content-Length", "0")])?;
            return Ok(Then::Keep);
        };
        let accept = accept(&key);
        let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", accept.as_str())];
        exchange.write_head(101, &fields)?;
        let mut frames = Frames::default();
        while let Some(text) = frames.text(true, || exchange.some())? {
            exchange.write(text_frame(&text))?;
        }
        exchange.write(close_frame())?;
        Ok(Then::Close)
    })
}

/// Reads the request and answers with exactly these bytes; the connection stays open.
pub fn says(bytes: impl Into<Vec<u8>>) -> Behaviour {
    let bytes = bytes.into();
    does(move |exchange| {
        exchange.read_body()?;
        exchange.write(&bytes)?;
        Ok(Then::Keep)
    })
}

/// The same, and closes.
pub fn says_and_closes(bytes: impl Into<Vec<u8>>) -> Behaviour {
    then(says(bytes), Then::Close)
}

/// Another behaviour's answer, and then another end of the connection.
pub fn then(first: Behaviour, then: Then) -> Behaviour {
    does(move |exchange| first(exchange).map(|_| then))
}

/// Waits for the gate before it does what the other behaviour does.
pub fn waits_for(gate: &Gate, then: Behaviour) -> Behaviour {
    let gate = gate.clone();
    does(move |exchange| {
        gate.pass();
        then(exchange)
    })
}

/// Reads the request and resets the connection instead of answering.
pub fn resets_before_response() -> Behaviour {
    does(|exchange| {
        exchange.read_body()?;
        Ok(Then::Reset)
    })
}

/// Reads the request and closes in good order instead of answering.
pub fn closes_before_response() -> Behaviour {
    does(|exchange| {
        exchange.read_body()?;
        Ok(Then::Close)
    })
}

/// Announces 1000 bytes, sends this many of them, and resets once they have been taken.
pub fn resets_after(sent: usize) -> Behaviour {
    breaks_off(sent, Then::Reset)
}

/// Announces 1000 bytes, sends this many of them, and closes in good order.
pub fn closes_after(sent: usize) -> Behaviour {
    breaks_off(sent, Then::Close)
}

fn breaks_off(sent: usize, then: Then) -> Behaviour {
    does(move |exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[("Content-Length", "1000")])?;
        exchange.write(vec![b'x'; sent])?;
        if then == Then::Reset {
            exchange.wait_until_taken();
        }
        Ok(then)
    })
}

/// Answers well, waits for the next request on the connection, and closes it instead of answering that.
pub fn closes_on_the_next() -> Behaviour {
    fails_on_the_next(Then::Close)
}

/// The same with a reset.
pub fn resets_on_the_next() -> Behaviour {
    fails_on_the_next(Then::Reset)
}

fn fails_on_the_next(then: Then) -> Behaviour {
    let good = answers(200, "first");
    does(move |exchange| {
        good(exchange)?;
        let _ = exchange.some();
        Ok(then)
    })
}

/// Answers, and closes at once without having said so.
pub fn closes_after_response() -> Behaviour {
    then(answers(200, "and gone"), Then::Close)
}

/// Sends a body of this many bytes one by one with a pause after each.
pub fn trickles(pause: Duration, count: usize) -> Behaviour {
    does(move |exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[("Content-Length", &count.to_string())])?;
        for _ in 0..count {
            exchange.write(b"t")?;
            thread::sleep(pause);
        }
        Ok(Then::Keep)
    })
}

/// Announces a length that is off by this much from the ten bytes that come, and closes.
pub fn lies_about_length(difference: i64) -> Behaviour {
    let length = 10 + difference;
    says_and_closes(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n0123456789"))
}

/// Reads the request and says nothing until the other side gives up.
pub fn never_answers() -> Behaviour {
    does(|exchange| {
        exchange.read_body()?;
        exchange.wait_for_end();
        Ok(Then::Close)
    })
}

/// Does not even read the body.
pub fn never_reads() -> Behaviour {
    does(|_| {
        thread::sleep(crate::PATIENCE);
        Ok(Then::Close)
    })
}

/// Answers as soon as the head is there, and then reads whatever still comes.
pub fn answers_early(status: u16) -> Behaviour {
    does(move |exchange| {
        exchange.write_head(status, &[("Content-Length", "5")])?;
        exchange.write(b"early")?;
        exchange.sink_body()?;
        Ok(Then::Keep)
    })
}

/// Answers as soon as the head is there, says it will close, and closes without reading the body.
pub fn answers_early_and_closes(status: u16) -> Behaviour {
    does(move |exchange| {
        exchange.write_head(status, &[("Content-Length", "5"), ("Connection", "close")])?;
        exchange.write(b"early")?;
        Ok(Then::Close)
    })
}

/// An interim 103 with a link, then the echo.
pub fn sends_103() -> Behaviour {
    let echo = echoes();
    does(move |exchange| {
        exchange.write_head(103, &[("Link", "</style.css>; rel=preload; as=style")])?;
        echo(exchange)
    })
}

/// Sends `100 Continue` when the gate opens, then reads the body and echoes.
pub fn sends_100_after(gate: &Gate) -> Behaviour {
    let gate = gate.clone();
    let echo = echoes();
    does(move |exchange| {
        gate.pass();
        exchange.write_head(100, &[])?;
        echo(exchange)
    })
}

/// A final answer instead of `100 Continue`; the body is not wanted.
pub fn refuses_to_continue(status: u16) -> Behaviour {
    answers_early_and_closes(status)
}

/// Not a status line at all.
pub fn bad_status_line() -> Behaviour {
    says_and_closes("HTTP/1.1 abc Nonsense\r\nContent-Length: 0\r\n\r\n")
}

/// A response head of about this many bytes.
pub fn huge_head(size: usize) -> Behaviour {
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    let line = format!("X-Filler: {}\r\n", "f".repeat(1000));
    while head.len() < size {
        head.push_str(&line);
    }
    says_and_closes(head + "Content-Length: 0\r\n\r\n")
}

/// A field whose name cannot be one.
pub fn bad_header() -> Behaviour {
    says_and_closes("HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n")
}

/// The texts as one chunk each, and a trailer.
pub fn chunked_with_trailers(chunks: &'static [&'static str]) -> Behaviour {
    does(move |exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[("Transfer-Encoding", "chunked"), ("Trailer", "X-Checksum")])?;
        for chunk in chunks {
            exchange.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()))?;
        }
        exchange.write("0\r\nX-Checksum: abc123\r\n\r\n")?;
        Ok(Then::Keep)
    })
}

/// A good chunk, then something that is not a chunk size.
pub fn broken_chunks() -> Behaviour {
    says_and_closes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
}

/// Good chunks that end without the last one.
pub fn unfinished_chunks() -> Behaviour {
    says_and_closes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
}

/// A body that ends with the connection.
pub fn close_delimited_body(body: &'static str) -> Behaviour {
    says_and_closes(format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{body}"))
}

/// A body of this many bytes, made on the fly.
pub fn big_body(size: u64) -> Behaviour {
    does(move |exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[("Content-Length", &size.to_string())])?;
        let mut left = size;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len());
            exchange.write(&BLOCK[..piece])?;
            left -= piece as u64;
        }
        Ok(Then::Keep)
    })
}

/// Counts the body without keeping it, and answers with the count.
pub fn sinks() -> Behaviour {
    does(|exchange| {
        exchange.sink_body()?;
        let count = exchange.request.length.to_string();
        exchange.write_head(200, &[("Content-Length", &count.len().to_string())])?;
        exchange.write(count)?;
        Ok(Then::Keep)
    })
}

/// Two framings at once.
pub fn length_and_chunked() -> Behaviour {
    says_and_closes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
}

/// Two lengths that disagree.
pub fn two_lengths() -> Behaviour {
    says_and_closes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello")
}

/// An old server: HTTP/1.0, and the connection's end is the body's end.
pub fn speaks_http_1_0() -> Behaviour {
    says_and_closes("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nfrom the last century")
}

pub(super) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        404 => "Not Found",
        _ => "Status",
    }
}

fn described(exchange: &Exchange<'_>) -> Value {
    let request = &exchange.request;
    let fields: Vec<Value> = request.fields.0.iter().map(|(name, value)| json!([name, value])).collect();
    json!({
        "connection": request.connection,
        "method": request.method,
        "target": request.target,
        "version": request.version,
        "fields": fields,
        "length": request.length,
        "body": if request.body.len() <= 65536 { Value::from(String::from_utf8_lossy(&request.body)) } else { Value::Null },
    })
}
