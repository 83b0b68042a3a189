//! When active checks turn a member: results in a row.
//!
//! In a row means in a row. httpd's counters are not set back by a result of the other kind in between, so that three
//! failures in a week of passes take a member out with `hcfails=3`; that is not taken over.

/// The latest results that were all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streak {
    passed: bool,
    length: u32,
}

/// What a result makes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// It is unfit from now on.
    Failed,
    /// It is fit again.
    Passed,
}

impl Streak {
    /// Takes a result. `is_failed` is what the member counts as so far, `passes` and `fails` are how many results in a row
    /// turn it; zero is taken as one.
    pub fn note(&mut self, passed: bool, is_failed: bool, passes: u32, fails: u32) -> Option<Turned> {
        self.length = if self.passed == passed { self.length.saturating_add(1) } else { 1 };
        self.passed = passed;
        match (passed, is_failed) {
            (true, true) if self.length >= passes => Some(Turned::Passed),
            (false, false) if self.length >= fails => Some(Turned::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_in_a_row() {
        // Passes, fails, results (`+` and `-`), what the member is after each (`f`it, `u`nfit); it begins fit.
        for (passes, fails, results, expected) in [
            (1, 1, "+-+-", "fufu"),
            (0, 0, "-+", "uf"),
            (2, 3, "--+--+---+", "ffffffffuu"),
            (2, 3, "---+-++", "ffuuuuf"),
            (3, 1, "-++-+++-", "uuuuuufu"),
            (2, 2, "--++--++", "fuuffuuf"),
        ] {
            let mut streak = Streak::default();
            let mut is_failed = false;
            let mut after = String::new();
            for result in results.chars() {
                match streak.note(result == '+', is_failed, passes, fails) {
                    Some(Turned::Failed) => is_failed = true,
                    Some(Turned::Passed) => is_failed = false,
                    None => {}
                }
                after.push(if is_failed { 'u' } else { 'f' });
            }
            assert_eq!(after, expected, "{passes} passes, {fails} fails, {results}");
        }
    }

    #[test]
    fn a_turn_that_was_not_followed_is_said_again() {
        let mut streak = Streak::default();
        let turns: Vec<_> = (0..4).map(|_| streak.note(false, false, 1, 3)).collect();
        assert_eq!(turns, [None, None, Some(Turned::Failed), Some(Turned::Failed)]);
    }
}
