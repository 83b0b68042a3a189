//! What is known of one name, and how long it is believed. Pure: answers and the time come in.
//!
//! A good answer replaces what was known. When nobody answers, what was known stays for as long as it takes. When the
//! answer is that there is nothing, it stays for `GONE` more, as a mistake in a zone is often one of a minute.

use std::net::IpAddr;
use std::sync::Arc;

use super::MOST_ADDRESSES;
use super::client::Answer;
use crate::clock::{Duration, Instant};

/// The shortest time anything is believed: a zone may say zero, and is not asked more often for it.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait after failures; the first is a second, each further one twice the one before.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How long a name that is said not to exist keeps what it had.
pub(super) const GONE: Duration = Duration::from_secs(30);

/// The addresses of a name.
#[derive(Debug)]
pub(super) struct Memory {
    standing: Standing,
    families: [Vec<IpAddr>; 2],
    merged: Arc<[IpAddr]>,
}

/// How asking about a name goes.
#[derive(Debug)]
pub(super) struct Standing {
    name: Box<str>,
    trouble: Option<Arc<str>>,
    retry: Duration,
    gone: Option<Instant>,
}

impl Memory {
    pub(super) fn of(name: &str) -> Self {
        Self { standing: Standing::of(name), families: [Vec::new(), Vec::new()], merged: Arc::new([]) }
    }

    /// Takes IPv4's answer and IPv6's, and says how long until the next ones are wanted.
    pub(super) fn learn(&mut self, answers: [Answer<IpAddr>; 2], most: Duration, now: Instant) -> Duration {
        let wait = match &answers {
            [Answer::Found(_, v4), Answer::Found(_, v6)] => self.standing.well(*v4.min(v6), most),
            [Answer::Found(_, ttl), _] | [_, Answer::Found(_, ttl)] => self.standing.well(*ttl, most),
            [Answer::Nothing(why), Answer::Nothing(_)] => {
                if self.standing.nothing(why, !self.merged.is_empty(), now) {
                    self.families = [Vec::new(), Vec::new()];
                }
                self.merge();
                return self.standing.retry;
            }
            [Answer::Failed(why), _] | [_, Answer::Failed(why)] => {
                self.standing.failed(why, !self.merged.is_empty());
                return self.standing.retry;
            }
        };
        for (family, answer) in self.families.iter_mut().zip(answers) {
            match answer {
                Answer::Found(addresses, _) => *family = addresses,
                Answer::Nothing(_) => family.clear(),
                Answer::Failed(_) => {}
            }
        }
        self.merge();
        wait
    }

    /// In order, each once; empty when none is known.
    pub(super) fn addresses(&self) -> &Arc<[IpAddr]> {
        &self.merged
    }

    /// What the last answer was when it was not a good one.
    pub(super) fn trouble(&self) -> Option<&Arc<str>> {
        self.standing.trouble.as_ref()
    }

    fn merge(&mut self) {
        let mut merged = self.families.concat();
        merged.sort_unstable();
        merged.dedup();
        merged.truncate(MOST_ADDRESSES);
        if *merged != *self.merged {
            tracing::info!(name = %self.standing.name, before = ?self.merged, after = ?merged, "addresses of a name");
            self.merged = merged.into();
        }
    }
}

impl Standing {
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.into(), trouble: None, retry: Duration::ZERO, gone: None }
    }

    /// A good answer; says how long it holds.
    pub(super) fn well(&mut self, ttl: Duration, most: Duration) -> Duration {
        if self.trouble.take().is_some() {
            tracing::info!(name = %self.name, "a name is answered about again");
        }
        (self.retry, self.gone) = (Duration::ZERO, None);
        ttl.min(most).max(SHORTEST)
    }

    /// The answer that there is nothing; says whether what was known is to be forgotten.
    pub(super) fn nothing(&mut self, why: &str, is_known: bool, now: Instant) -> bool {
        self.suffer(why, is_known);
        let since = *self.gone.get_or_insert(now);
        now.saturating_duration_since(since) >= GONE
    }

    /// No answer.
    pub(super) fn failed(&mut self, why: &str, is_known: bool) {
        self.suffer(why, is_known);
        self.gone = None;
    }

    /// How long until the next question, after a bad answer.
    pub(super) fn retry(&self) -> Duration {
        self.retry
    }

    /// Said once for each time of trouble, however long it is.
    fn suffer(&mut self, why: &str, is_known: bool) {
        if self.trouble.is_none() {
            let kept = if is_known { "the last answer is kept" } else { "no answer is known" };
            tracing::warn!(name = %self.name, why, "a name cannot be resolved, {kept}");
        }
        self.trouble = Some(why.into());
        self.retry = (self.retry * 2).clamp(SHORTEST, LONGEST_RETRY);
    }
}

/// Up to a tenth sooner, so that names learned together are not asked about together for ever; never below the shortest.
pub(super) fn soon(wait: Duration) -> Duration {
    // A year is as good as for ever, and can be slept.
    let wait = wait.min(Duration::from_secs(365 * 24 * 3600));
    wait.mul_f64(1.0 - fastrand::f64() / 10.0).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn found(addresses: &[&str], ttl: u64) -> Answer<IpAddr> {
        Answer::Found(addresses.iter().map(|address| address.parse().unwrap()).collect(), Duration::from_secs(ttl))
    }

    fn nothing() -> Answer<IpAddr> {
        Answer::Nothing("nothing".into())
    }

    fn failed() -> Answer<IpAddr> {
        Answer::Failed("failed".into())
    }

    fn known(memory: &Memory) -> Vec<String> {
        memory.addresses().iter().map(ToString::to_string).collect()
    }

    const MOST: Duration = Duration::from_secs(60);

    #[test]
    fn answers_hold_as_long_as_they_say_within_bounds() {
        let mut memory = Memory::of("a");
        for (answers, wait) in [
            ([found(&["10.0.0.1"], 20), nothing()], 20),
            ([found(&["10.0.0.1"], 20), found(&["::2"], 5)], 5),
            ([found(&["10.0.0.1"], 0), nothing()], 1),
            ([nothing(), found(&["::2"], 4000)], 60),
            ([failed(), found(&["::2"], 7)], 7),
        ] {
            assert_eq!(memory.learn(answers, MOST, clock::now()).as_secs(), wait);
        }
    }

    #[test]
    fn a_family_that_fails_keeps_its_addresses_and_one_that_has_none_loses_them() {
        let (mut memory, now) = (Memory::of("a"), clock::now());
        memory.learn([found(&["10.0.0.2", "10.0.0.1", "10.0.0.1"], 9), found(&["::2"], 9)], MOST, now);
        assert_eq!(known(&memory), ["10.0.0.1", "10.0.0.2", "::2"]);
        memory.learn([found(&["10.0.0.3"], 9), failed()], MOST, now);
        assert_eq!(known(&memory), ["10.0.0.3", "::2"]);
        memory.learn([failed(), nothing()], MOST, now);
        assert_eq!(known(&memory), ["10.0.0.3", "::2"], "half an answer without addresses proves nothing");
        memory.learn([found(&["10.0.0.3"], 9), nothing()], MOST, now);
        assert_eq!(known(&memory), ["10.0.0.3"]);
    }

    #[test]
    fn failures_are_waited_out_and_nothing_is_believed_in_the_end() {
        let (mut memory, start) = (Memory::of("a"), clock::now());
        memory.learn([found(&["10.0.0.1"], 9), nothing()], MOST, start);
        let waits: Vec<_> =
            (0..6).map(|_| memory.learn([failed(), failed()], MOST, start + 100 * GONE).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(known(&memory), ["10.0.0.1"]);
        let gone = start + 200 * GONE;
        memory.learn([nothing(), nothing()], MOST, gone);
        memory.learn([nothing(), nothing()], MOST, gone + GONE - Duration::from_millis(1));
        assert_eq!(known(&memory), ["10.0.0.1"]);
        memory.learn([nothing(), nothing()], MOST, gone + GONE);
        assert!(known(&memory).is_empty() && memory.trouble().is_some());
        memory.learn([found(&["10.0.0.1"], 9), nothing()], MOST, gone + GONE);
        assert!(memory.trouble().is_none());
        assert_eq!(memory.learn([failed(), failed()], MOST, gone + GONE).as_secs(), 1, "it begins anew");
    }

    #[test]
    fn there_is_an_end_to_addresses() {
        let many: Vec<IpAddr> = (0..2000_u32).map(|n| std::net::Ipv4Addr::from(n + 0x0a00_0000).into()).collect();
        let mut memory = Memory::of("a");
        memory.learn([Answer::Found(many, MOST), nothing()], MOST, clock::now());
        assert_eq!(memory.addresses().len(), MOST_ADDRESSES);
    }

    #[test]
    fn chance_moves_a_wait_by_a_tenth_at_most() {
        for _ in 0..100 {
            let wait = soon(Duration::from_secs(10));
            assert!((9..=10).contains(&wait.as_secs()), "{wait:?}");
        }
        assert_eq!(soon(SHORTEST), SHORTEST);
        assert!(soon(Duration::MAX) < Duration::MAX);
    }
}
