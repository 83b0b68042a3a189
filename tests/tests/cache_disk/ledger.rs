//! An upstream whose bodies say of themselves what they have to be, and who is owed which version of what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use weir_tests::origin::Then;
use weir_tests::{Origin, Response, behaviour};

/// What the upstream has, and what clients were promised.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The version that the upstream answers with.
    versions: HashMap<u64, u64>,
    /// The oldest version that may still be given to anybody who asks from now on: what was before it was purged.
    floors: HashMap<u64, u64>,
    fetched: HashMap<u64, u64>,
}

/// Numbers that look like chance and are the same every time.
pub(super) struct Chance(u64);

/// Keys with this tag each are purged together.
pub(super) const TAGS: u64 = 7;

impl Ledger {
    /// An upstream that answers for `/o/KEY`, slowly at times. A third of it is stale after a second.
    pub(super) fn origin(&self) -> Origin {
        let (origin, ledger) = (Origin::start(), self.clone());
        origin.otherwise(behaviour::does(move |exchange| {
            exchange.read_body()?;
            let key = exchange.request.target.rsplit('/').next().and_then(|key| key.parse().ok()).unwrap_or(0);
            let version = ledger.fetch(key);
            let tag = format!("\"{key}.{version}\"");
            let (of, length) = (format!("{key}.{version}"), length(key, version).to_string());
            let sum = format!("{:016x}", sum(&content(key, version)));
            let control = if key % 3 == 0 { "max-age=1" } else { "max-age=3600" };
            let group = format!("t{}", key % TAGS);
            let confirmed = if exchange.request.fields.has("if-none-match") { "yes" } else { "no" };
            let mut fields = vec![
                ("ETag", tag.as_str()),
                ("Cache-Control", control),
                ("Surrogate-Key", &group),
                ("X-Of", &of),
                ("X-Sum", &sum),
                ("X-Confirmed", confirmed),
            ];
            if exchange.request.fields.get("if-none-match").as_deref() == Some(&tag) {
                exchange.write_head(304, &fields)?;
                return Ok(Then::Keep);
            }
            fields.push(("Content-Length", &length));
            exchange.write_head(200, &fields)?;
            for piece in content(key, version).chunks(50_000) {
                exchange.write(piece)?;
                if key % 5 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(Then::Keep)
        }));
        origin
    }

    /// The upstream has something else from now on, and nobody may get what was before once this was purged.
    pub(super) fn change(&self, key: u64) -> u64 {
        let mut state = self.state();
        let version = state.versions.entry(key).or_default();
        *version += 1;
        *version
    }

    /// It was purged: what is older than this version is gone.
    pub(super) fn purged(&self, key: u64, version: u64) {
        let mut state = self.state();
        let floor = state.floors.entry(key).or_default();
        *floor = version.max(*floor);
    }

    pub(super) fn floor(&self, key: u64) -> u64 {
        self.state().floors.get(&key).copied().unwrap_or(0)
    }

    /// How often the upstream was asked.
    pub(super) fn fetches(&self) -> u64 {
        self.state().fetched.values().sum()
    }

    fn fetch(&self, key: u64) -> u64 {
        let mut state = self.state();
        *state.fetched.entry(key).or_default() += 1;
        state.versions.get(&key).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread panics with the ledger locked")
    }
}

impl Chance {
    pub(super) fn of(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % bound
    }
}

/// Checks an answer for a key against what it says of itself: every byte, its version in every field, and that it is not
/// older than what was promised when it was asked for. A body that was cut off has to be right as far as it goes.
pub(super) fn check(response: &Response, key: u64, floor: u64) -> Result<(), String> {
    let wrong = |what: String| {
        let fields = &response.fields.0;
        Err(format!("{what}: /o/{key}, at least version {floor}: {} {fields:?}", response.status))
    };
    let field = |name: &str| response.fields.get(name).unwrap_or_default();
    let of = field("x-of");
    let Some((own, version)) = of.split_once('.').and_then(|(k, v)| Some((k.parse::<u64>().ok()?, v.parse().ok()?)))
    else {
        return wrong("says not what it is".to_owned());
    };
    let whole = content(own, version);
    if own != key || field("etag") != format!("\"{of}\"") || field("x-sum") != format!("{:016x}", sum(&whole)) {
        return wrong("a head of something else".to_owned());
    }
    if version < floor {
        return wrong("what was purged is back".to_owned());
    }
    let from = match field("content-range").strip_prefix("bytes ").and_then(|range| range.split_once('-')) {
        Some((from, _)) if response.status == 206 => from.parse().map_err(|_| of.clone())?,
        _ => 0_usize,
    };
    let expected = whole.get(from..).unwrap_or_default();
    if !expected.starts_with(&response.body) {
        let at = expected.iter().zip(&response.body).position(|(one, other)| one != other);
        return wrong(format!("a wrong byte at {from} + {at:?} of {}", whole.len()));
    }
    if response.status == 200 && response.cut.is_none() && response.body.len() != whole.len() {
        return wrong(format!("{} bytes of {}", response.body.len(), whole.len()));
    }
    Ok(())
}

/// How long a version of a key is: small mostly, and now and then so large that others have to leave.
pub(super) fn length(key: u64, version: u64) -> usize {
    let chance = mix(key << 32 | version);
    let most = match chance % 20 {
        0 | 1 => 64,
        2..13 => 20_000,
        13..19 => 150_000,
        _ => 1_500_000,
    };
    usize::try_from(mix(chance) % most).expect("it is small")
}

pub(super) fn content(key: u64, version: u64) -> Vec<u8> {
    let (length, seed) = (length(key, version), mix(key << 32 | version));
    let words = (0..).map(|at: u64| mix(seed ^ at).to_le_bytes());
    let mut bytes = Vec::with_capacity(length + 8);
    words.take(length.div_ceil(8)).for_each(|word| bytes.extend(word));
    bytes.truncate(length);
    bytes
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        mix(sum ^ u64::from_le_bytes(word))
    })
}

/// splitmix64's last step.
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
