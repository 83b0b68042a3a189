//! What is concluded from exchanges: who is ejected, for how long, and how many may be.
//!
//! The rules are Envoy's outlier detection. Active checks have no say in how many may be ejected, and an active pass ends
//! an ejection.

use crate::clock::{Duration, Instant};
use crate::config::Outlier;

/// Below this a distance from the mean is an error of rounding: members that are all alike have no outlier.
const NOTHING: f64 = 1e-9;

/// The ejections of a member.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched {
    /// Times the base that the latest ejection took.
    ejections: u32,
    ejected_until: Option<Instant>,
    /// Since when there has been neither an ejection nor a repayment.
    quiet_since: Option<Instant>,
}

/// How a member did in an interval. An exchange is in one of the two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges that went well.
    pub answered: u64,
    /// Exchanges that did not.
    pub failed: u64,
}

impl Watched {
    /// Ejects it, for the base time as often as it was ejected and has not paid back. While it is ejected this changes
    /// nothing. Returns when the ejection ends.
    pub fn eject(&mut self, rules: &Outlier, now: Instant) -> Instant {
        if let Some(end) = self.ejected_until.filter(|&end| end > now) {
            return end;
        }
        self.ejections = self.ejections.saturating_add(1);
        let time = rules.base_ejection.saturating_mul(self.ejections).min(rules.max_ejection);
        // An end that the clock cannot tell is one that nobody lives to see; the longest that can be told is a day's.
        let end = now.checked_add(time).or_else(|| now.checked_add(Duration::from_secs(86_400))).unwrap_or(now);
        self.ejected_until = Some(end);
        self.quiet_since = Some(end);
        end
    }

    /// Lowers the multiplier by one for every whole interval that has passed without ejection; an interval of zero pays
    /// nothing back.
    pub fn pay_back(&mut self, rules: &Outlier, now: Instant) {
        let Some(since) = self.quiet_since else { return };
        while self.ejections > 0 && !rules.interval.is_zero() {
            let Some(paid) = self.quiet_since.unwrap_or(since).checked_add(rules.interval) else { return };
            if paid > now {
                return;
            }
            self.ejections -= 1;
            self.quiet_since = Some(paid);
        }
    }

    /// Ends an ejection, because an active check passed. The multiplier stays.
    pub fn restore(&mut self) {
        self.ejected_until = None;
    }

    /// When its latest ejection ends or ended; `None` when there was none, or a check ended it.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Instant> {
        self.ejected_until
    }
}

/// Whether one more of so many members may be ejected: within the share that may be, and one always, but never the only
/// member.
#[must_use]
pub fn may_eject(ejected: usize, members: usize, rules: &Outlier) -> bool {
    let most = u64::from(rules.max_ejected).saturating_mul(members as u64);
    let after = (ejected as u64).saturating_add(1).saturating_mul(100);
    members > 1 && ejected < members && (ejected == 0 || after <= most)
}

/// The positions of members whose success rate lies too far below the mean of all that had enough requests. Nobody is
/// when fewer members had enough than the rules ask for. (One bad member among n alike ones lies √(n - 1) standard
/// deviations below: with a deviation of 1900 thousandths it takes five members to see it.)
#[must_use]
pub fn below(counts: &[Counts], rules: &Outlier) -> Vec<usize> {
    let rates = || counts.iter().enumerate().filter_map(|(position, counts)| Some((position, rate(counts, rules)?)));
    let members = rates().count();
    if rules.success_rate_deviation == 0 || members < 2 || (members as u64) < u64::from(rules.success_rate_members) {
        return Vec::new();
    }
    let average =
        |of: fn(f64, f64) -> f64, by: f64| rates().map(|(_, rate)| of(rate, by)).sum::<f64>() / members as f64;
    let mean = average(|rate, _| rate, 0.0);
    let deviation = average(|rate, mean| (rate - mean).powi(2), mean).sqrt();
    let least = mean - deviation * f64::from(rules.success_rate_deviation) / 1000.0 - NOTHING;
    rates().filter(|&(_, rate)| rate < least).map(|(position, _)| position).collect()
}

/// The share of exchanges that went well, when there were enough of them.
fn rate(counts: &Counts, rules: &Outlier) -> Option<f64> {
    let all = counts.answered.saturating_add(counts.failed);
    let is_enough = all >= u64::from(rules.success_rate_requests.max(1));
    is_enough.then(|| counts.answered as f64 / all as f64)
}
