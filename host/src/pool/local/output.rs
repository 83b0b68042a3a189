//! What programs write, line by line in the operator's log. Lines have a length, and a second has a number of lines:
//! what is more is counted, not kept.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Program;
use crate::clock::{self, Duration, Instant};

/// A longer line is cut.
const LINE: usize = 4 * 1024;

/// Lines of one stream in a second; a program in trouble says the same again and again.
const LINES: u32 = 100;

const WINDOW: Duration = Duration::from_secs(1);

/// Where lines go.
pub(super) struct Output {
    pool: Arc<str>,
    member: Arc<str>,
    stream: &'static str,
    since: Instant,
    lines: u32,
    dropped: u64,
}

/// Bytes on their way to becoming lines.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    cut: usize,
}

/// Logs what a stream says until it ends.
pub(super) async fn follow(mut stream: impl AsyncRead + Unpin, mut output: Output) {
    let mut chunk = vec![0; LINE];
    let mut lines = Lines::default();
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let bytes = chunk.get(..length).unwrap_or_default();
                lines.take(bytes, |line, cut| output.log(line, cut, clock::now()));
            }
        }
    }
    lines.end(|line, cut| output.log(line, cut, clock::now()));
    output.confess();
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8], usize)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let (kept, rest) = text.split_at(text.len().min(LINE - self.line.len()));
            self.line.extend_from_slice(kept);
            self.cut += rest.len();
            if text.len() < part.len() {
                self.end(&mut each);
            }
        }
    }

    fn end(&mut self, mut each: impl FnMut(&[u8], usize)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if !line.is_empty() {
            each(line, self.cut);
        }
        self.line.clear();
        self.cut = 0;
    }
}

impl Output {
    pub(super) fn of(program: &Program, stream: &'static str) -> Self {
        let (pool, member) = (program.pool.clone(), program.member.clone());
        Self { pool, member, stream, since: clock::now(), lines: 0, dropped: 0 }
    }

    fn log(&mut self, line: &[u8], cut: usize, now: Instant) {
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.confess();
            (self.since, self.lines) = (now, 0);
        }
        if self.lines == LINES {
            self.dropped += 1;
            return;
        }
        self.lines += 1;
        let (Self { pool, member, stream, .. }, said) = (self, String::from_utf8_lossy(line));
        if cut == 0 {
            tracing::info!(%pool, %member, stream, "{said}");
        } else {
            tracing::info!(%pool, %member, stream, cut, "{said}");
        }
    }

    /// Says how much was not logged.
    fn confess(&mut self) {
        let Self { pool, member, stream, dropped, .. } = self;
        if *dropped > 0 {
            tracing::warn!(%pool, %member, stream, dropped, "a program writes more than {LINES} lines a second");
            *dropped = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_come() {
        let long = "x".repeat(LINE + 3);
        let text = format!("one\r\n\ntwo\n{long}\nlast");
        for size in [1, 2, 5, 1000, 10_000] {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            let mut each = |line: &[u8], cut| seen.push((String::from_utf8(line.to_vec()).unwrap(), cut));
            text.as_bytes().chunks(size).for_each(|chunk| lines.take(chunk, &mut each));
            lines.end(&mut each);
            let cut = "x".repeat(LINE);
            assert_eq!(seen, [("one".into(), 0), ("two".into(), 0), (cut, 3), ("last".into(), 0)]);
        }
    }
}
