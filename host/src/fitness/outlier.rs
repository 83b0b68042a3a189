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
        while self.ejections > 0 && !rules.interval.is_zero() {
            let paid = self.quiet_since.and_then(|since| since.checked_add(rules.interval));
            let Some(paid) = paid.filter(|&paid| paid <= now) else { return };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::config::StatusSet;

    fn of(rows: &[(u64, u64)]) -> Vec<Counts> {
        rows.iter().map(|&(answered, failed)| Counts { answered, failed }).collect()
    }

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    type Rows = &'static [(u64, u64)];

    fn rules() -> Outlier {
        Outlier {
            consecutive: 5,
            statuses: StatusSet::default(),
            interval: SECONDS(10),
            success_rate_deviation: 1900,
            success_rate_members: 5,
            success_rate_requests: 100,
            base_ejection: SECONDS(30),
            max_ejection: SECONDS(100),
            max_ejected: 10,
            panic_threshold: 50,
        }
    }

    #[test]
    fn ejections_grow_to_the_longest_and_are_paid_back() {
        let begin = now();
        let mut watched = Watched::default();
        assert_eq!(watched.ejected_until(), None);
        // At a second: pays back, then ejects; until which second.
        for (at, until) in [
            (0, 30),
            (10, 30), // It is ejected already.
            (30, 90),
            (90, 180),
            (180, 280),
            (280, 380), // 150 s would be longer than the longest.
            (400, 500), // Two quiet intervals: the sixth is the fourth once more.
            (540, 570), // Four more are paid at 510, 520, 530 and 540: none is left but this one.
        ] {
            let at = begin + SECONDS(at);
            if at > begin {
                watched.pay_back(&rules(), at);
            }
            assert_eq!(watched.eject(&rules(), at), begin + SECONDS(until), "{at:?}");
            assert_eq!(watched.ejected_until(), Some(begin + SECONDS(until)));
        }
    }

    #[test]
    fn an_ejection_itself_pays_nothing_back() {
        let begin = now();
        let mut watched = Watched::default();
        watched.eject(&rules(), begin);
        watched.pay_back(&rules(), begin + SECONDS(39));
        assert_eq!(watched.eject(&rules(), begin + SECONDS(39)), begin + SECONDS(99), "30 s of ejection, 9 s of quiet");
        let free = Outlier { interval: Duration::ZERO, ..rules() };
        watched.pay_back(&free, begin + SECONDS(9999));
        assert_eq!(watched.eject(&free, begin + SECONDS(9999)), begin + SECONDS(9999 + 90), "nothing is paid back");
    }

    #[test]
    fn a_pass_ends_an_ejection_and_forgives_nothing() {
        let begin = now();
        let mut watched = Watched::default();
        watched.eject(&rules(), begin);
        watched.restore();
        assert_eq!(watched.ejected_until(), None);
        assert_eq!(watched.eject(&rules(), begin + SECONDS(1)), begin + SECONDS(61));
    }

    #[test]
    fn ejections_without_end_do_not_overflow() {
        let endless = Outlier { base_ejection: Duration::MAX, max_ejection: Duration::MAX, ..rules() };
        let mut watched = Watched::default();
        assert!(watched.eject(&endless, now()) > now());
    }

    #[test]
    fn how_many_may_be_ejected() {
        for (ejected, members, percent, expected) in [
            (0, 0, 100, false),
            (0, 1, 100, false),
            (0, 2, 10, true),
            (0, 2, 0, true),
            (1, 2, 10, false),
            (1, 2, 99, false),
            (1, 2, 100, true),
            (2, 2, 100, false),
            (1, 20, 10, true),
            (2, 20, 10, false),
            (1, 3, 66, false),
            (1, 3, 67, true),
        ] {
            let rules = Outlier { max_ejected: percent, ..rules() };
            assert_eq!(may_eject(ejected, members, &rules), expected, "{ejected} of {members}, {percent} %");
        }
    }

    #[test]
    fn success_rates() {
        const GOOD: (u64, u64) = (990, 10);
        const BAD: (u64, u64) = (500, 500);
        const FEW: (u64, u64) = (0, 99);
        let cases: &[(&str, Rows, &[usize])] = &[
            ("nobody", &[], &[]),
            ("all alike", &[(1, 299); 7], &[]),
            ("one of five", &[GOOD, GOOD, BAD, GOOD, GOOD], &[2]),
            ("one of four stays within two deviations", &[GOOD, BAD, GOOD, GOOD], &[]),
            ("one of four, and one with few requests", &[GOOD, BAD, GOOD, FEW, GOOD], &[]),
            ("few requests are no rate", &[FEW, GOOD, GOOD, GOOD, GOOD, GOOD], &[]),
            ("none at all", &[(0, 0), GOOD, GOOD, GOOD, GOOD, BAD], &[5]),
            ("half are bad: that is the mean", &[BAD, BAD, BAD, GOOD, GOOD, GOOD], &[]),
            ("better is no outlier", &[BAD, BAD, BAD, BAD, BAD, GOOD], &[]),
            ("none good", &[(100, 0), (100, 0), (100, 0), (100, 0), (100, 0), (0, 100)], &[5]),
            ("two of twelve", &[GOOD, BAD, GOOD, GOOD, GOOD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD, GOOD], &[1, 7]),
        ];
        for (what, rows, expected) in cases {
            assert_eq!(&below(&of(rows), &rules()), expected, "{what}");
        }
        let counts = of(&[GOOD, GOOD, BAD, GOOD, GOOD]);
        assert_eq!(below(&counts, &Outlier { success_rate_deviation: 0, ..rules() }), [0; 0], "switched off");
        assert_eq!(below(&counts, &Outlier { success_rate_deviation: 2100, ..rules() }), [0; 0]);
        assert_eq!(below(&counts, &Outlier { success_rate_members: 6, ..rules() }), [0; 0]);
        let huge = of(&[(u64::MAX, u64::MAX); 5]);
        assert_eq!(below(&huge, &rules()), [0; 0]);
    }
}
