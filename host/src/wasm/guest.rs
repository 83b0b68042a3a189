//! What a store holds: one exchange's facts for the time of a call, the limits, and the host's side of the contract.
//!
//! A guest reads the facts of the exchange that it is called for and nothing else; between calls there are none.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::Level;
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::bindings::{exchange, files, log, types};
use super::budget::Budget;
use super::filter::Inner;
use super::sending::Sending;
use super::voice::Voice;
use super::wasi::Wasi;
use crate::clock;
use crate::message::{Facts, Fields, TlsFact, semantics};

/// Elements of one table. Compilers put a program's functions there: a Python interpreter has 12,000.
pub(super) const MAX_TABLE: usize = 20_000;
/// Core instances of one component: an interpreter split into libraries has some tens.
pub(super) const MAX_CORE_INSTANCES: usize = 100;
/// Tables of one component.
pub(super) const MAX_TABLES: usize = 50;
/// Memories of one component.
pub(super) const MAX_MEMORIES: usize = 10;

/// One instance's state on this side.
pub(super) struct Guest {
    /// Of the exchange that the guest is being called for.
    pub(super) facts: Option<Facts>,
    pub(super) memory: Memory,
    pub(super) sending: Sending,
    pub(super) budget: Arc<Budget>,
    pub(super) voice: Arc<Voice>,
    wasi: Option<Box<Wasi>>,
}

/// How much memory the guest has, over all its memories.
pub(super) struct Memory {
    pub(super) used: usize,
    pub(super) limit: usize,
    /// Whether the guest asked for more than it may have, in this call.
    pub(super) refused: bool,
}

impl Guest {
    pub(super) fn of(filter: &Inner) -> Self {
        let voice = Arc::new(Voice::of(filter.name.clone()));
        let wasi = filter.compiled.with_wasi.then(|| Box::new(Wasi::granting_nothing(&voice)));
        let memory = Memory { used: 0, limit: filter.memory, refused: false };
        let sending = Sending::of(filter.roots.clone());
        Self { facts: None, memory, sending, budget: Arc::new(Budget::default()), voice, wasi }
    }

    /// Begins a call for an exchange.
    pub(super) fn begin(&mut self, facts: Facts) {
        // What is written to WASI's streams does not come by here.
        if self.wasi.is_some() {
            self.voice.speak_of(&facts);
        }
        self.facts = Some(facts);
    }

    /// Ends a call: nothing of the exchange stays.
    pub(super) fn rest(&mut self) -> Option<Facts> {
        if let Some(wasi) = &self.wasi {
            wasi.flush();
        }
        self.voice.rest();
        self.memory.refused = false;
        self.facts.take()
    }

    fn request_fields(&self) -> Option<&Fields> {
        self.facts.as_ref().map(|facts| &facts.request.fields)
    }

    fn response_fields(&self) -> Option<&Fields> {
        self.facts.as_ref()?.response.as_ref().map(|response| &response.fields)
    }
}

impl exchange::Host for Guest {
    fn request_header(&mut self, name: String) -> Option<Vec<u8>> {
        if name.eq_ignore_ascii_case("host") {
            return Some(self.facts.as_ref()?.request.authority.as_str().into());
        }
        self.request_fields()?.joined(name.as_str())
    }

    fn request_header_lines(&mut self, name: String) -> Vec<Vec<u8>> {
        if name.eq_ignore_ascii_case("host") {
            return self.request_header(name).into_iter().collect();
        }
        lines(self.request_fields(), &name)
    }

    fn request_headers(&mut self) -> Vec<types::Header> {
        let host = self.request_header("host".to_owned()).map(|value| ("host".to_owned(), value));
        host.into_iter().chain(all(self.request_fields())).collect()
    }

    fn response_header(&mut self, name: String) -> Option<Vec<u8>> {
        self.response_fields()?.joined(name.as_str())
    }

    fn response_header_lines(&mut self, name: String) -> Vec<Vec<u8>> {
        lines(self.response_fields(), &name)
    }

    fn response_headers(&mut self) -> Vec<types::Header> {
        all(self.response_fields()).collect()
    }

    fn variable(&mut self, name: String) -> Option<String> {
        variable(self.facts.as_ref()?, &name)
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        if let Some(facts) = &self.facts {
            self.voice.speak_of(facts);
        }
        self.voice.say(level, message.as_bytes());
    }
}

impl files::Host for Guest {
    fn send(&mut self, root: String, path: String) -> wasmtime::Result<Result<(), files::Refusal>> {
        self.sending.name(&root, path)
    }
}

impl types::Host for Guest {}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.as_mut().expect("WASI is linked only into components whose guests are made with it").view()
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.memory.used.saturating_sub(current).saturating_add(desired);
        if used > self.memory.limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.memory.refused = true;
            return Ok(false);
        }
        self.memory.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= MAX_TABLE;
        self.memory.refused |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

/// What happens at every tick of a long call: its neighbours get a turn, or it is over.
pub(super) fn tick(guest: &Guest) -> UpdateDeadline {
    if guest.budget.tick(clock::thread_time()) { UpdateDeadline::Yield(1) } else { UpdateDeadline::Interrupt }
}

fn lines(fields: Option<&Fields>, name: &str) -> Vec<Vec<u8>> {
    fields.map_or_else(Vec::new, |fields| fields.lines(name).map(|value| value.as_bytes().to_vec()).collect())
}

fn all(fields: Option<&Fields>) -> impl Iterator<Item = types::Header> {
    let pairs = fields.into_iter().flat_map(Fields::iter);
    pairs.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
}

/// The variables of the contract, then those that filters set.
fn variable(facts: &Facts, name: &str) -> Option<String> {
    let text = match name {
        "request.id" => facts.request_id.clone(),
        "request.method" => facts.request.method.as_str().to_owned(),
        "request.host" => facts.request.authority.host().to_owned(),
        "request.path" => facts.request.path().to_owned(),
        "request.query" => facts.request.query()?.to_owned(),
        "request.scheme" => facts.request.scheme.as_str().to_owned(),
        "request.version" => semantics::version(facts.request.version).to_owned(),
        "client.address" => facts.client.map(|address| IpAddr::to_canonical(&address).to_string())?,
        "response.status" => facts.response.as_ref()?.status.as_str().to_owned(),
        "site.name" => facts.site.to_string(),
        "route.name" => facts.route.to_string(),
        "pool.name" => facts.pool.as_deref()?.to_owned(),
        "member.name" => facts.member.as_deref()?.to_owned(),
        "time.http" => httpdate::fmt_http_date(clock::wall()),
        "time.unix" => clock::wall().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs().to_string(),
        "time.iso" => time::OffsetDateTime::from(clock::wall())
            .replace_nanosecond(0)
            .ok()?
            .format(&time::format_description::well_known::Rfc3339)
            .ok()?,
        tls if tls.starts_with("tls.") => facts.secured.as_ref()?.fact(TlsFact::named(tls)?)?.into_owned(),
        set => facts.variables.get(set)?.to_owned(),
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::secured::tests::secured;

    #[test]
    fn variables_of_the_connection_are_there_when_it_is_known() {
        let mut facts = crate::wasm::tests::facts("/");
        facts.variables.set("tls-of.mine".to_owned(), "x".to_owned());
        for (known, expected) in [
            (None, [None, None, Some("x")]),
            (Some(false), [Some("TLSv1.3"), None, Some("x")]),
            (Some(true), [Some("TLSv1.3"), Some("CN=alice"), Some("x")]),
        ] {
            facts.secured = known.map(|with_client| Arc::new(secured(with_client)));
            let said = ["tls.version", "tls.client.subject", "tls-of.mine"].map(|name| variable(&facts, name));
            assert_eq!(said.each_ref().map(Option::as_deref), expected);
        }
        assert_eq!(variable(&facts, "request.version").as_deref(), Some("HTTP/1.1"));
        assert_eq!(variable(&facts, "tls.nonsense"), None);
    }
}
