//! WASI 0.2 that grants nothing: no files, no network, no environment, no arguments. Clocks and randomness work, standard
//! input is at its end, standard output and error go into the log line by line.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView};

use super::voice::{MAX_LINE, Voice};

/// Streams, pollables and the like that one instance may hold.
const MAX_RESOURCES: usize = 1_000;
/// Random bytes of one call of the host: enough for any seed or key.
const MAX_RANDOM: u64 = 64 << 10;
/// Bytes of one write to standard output, before the guest has to ask again.
const WINDOW: usize = 64 << 10;

/// One instance's WASI.
pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    out: Spout,
    err: Spout,
}

/// Standard output or error: what was written since the last line's end waits here.
#[derive(Clone)]
struct Spout(Arc<Waiting>);

struct Waiting {
    voice: Arc<Voice>,
    level: Level,
    line: Mutex<Vec<u8>>,
}

impl Wasi {
    pub(super) fn granting_nothing(voice: &Arc<Voice>) -> Self {
        let (out, err) = (Spout::of(voice, Level::INFO), Spout::of(voice, Level::WARN));
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let context = WasiCtxBuilder::new()
            .stdout(out.clone())
            .stderr(err.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM)
            .build();
        Self { context, table, out, err }
    }

    pub(super) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }

    /// Ends a call: what has no line's end yet is said, so that nothing of one exchange waits for the next.
    pub(super) fn flush(&self) {
        self.out.flush();
        self.err.flush();
    }
}

impl Spout {
    fn of(voice: &Arc<Voice>, level: Level) -> Self {
        Self(Arc::new(Waiting { voice: voice.clone(), level, line: Mutex::default() }))
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            match byte {
                b'\n' => self.say(&mut line),
                // One more than is said, so that the cut can be seen.
                _ if line.len() <= MAX_LINE => line.push(byte),
                _ => {}
            }
        }
    }

    fn flush(&self) {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.is_empty() {
            self.say(&mut line);
        }
    }

    fn say(&self, line: &mut Vec<u8>) {
        self.0.voice.say(self.0.level, line);
        line.clear();
    }
}

impl IsTerminal for Spout {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Spout {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Spout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WINDOW)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Spout {
    async fn ready(&mut self) {}
}
