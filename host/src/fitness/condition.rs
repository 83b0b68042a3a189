//! What a member is like, and whether that lets it serve.
//!
//! It knows one member at a time; sets, roles and shares are for `stand.rs`.

use crate::clock::Instant;
use crate::config::{Role, State};

/// What a member is like at an instant, as far as choosing is concerned.
#[derive(Debug, Clone)]
pub struct Condition {
    /// What it is for, within its set.
    pub role: Role,
    /// The set it belongs to.
    pub set: u8,
    /// What the operator made of it.
    pub state: State,
    /// Its share.
    pub weight: u32,
    /// It is in error until then; one that has passed is an error that ended by itself.
    pub error_until: Option<Instant>,
    /// Active checks found it unfit.
    pub has_failed_check: bool,
    /// Its first check is awaited, and it serves nothing before.
    pub is_unproven: bool,
    /// It is ejected until then; one that has passed is an ejection that ended by itself.
    pub ejected_until: Option<Instant>,
    /// When it became usable after having been unusable, or was added at run time; `None` when it never was out. Errors
    /// and ejections that end by themselves need not be noted here.
    pub back_since: Option<Instant>,
}

/// Whether a member takes a session that is its own: draining ones do, and sets, spares and standbys do not matter.
#[must_use]
pub fn takes_session(condition: &Condition, now: Instant) -> bool {
    (condition.is_enabled() || condition.state == State::Draining) && condition.is_fit(now)
}

impl Condition {
    /// Whether the operator lets it take whatever comes.
    pub(super) fn is_enabled(&self) -> bool {
        matches!(self.state, State::Ok | State::IgnoreErrors)
    }

    /// Whether nothing that was found out stands against it.
    pub(super) fn is_fit(&self, now: Instant) -> bool {
        !self.is_held_by_checks() && self.out_until(now).is_none()
    }

    /// Whether active checks keep it out. That it ignores errors does not help here, as with httpd's flag `I`.
    pub(super) fn is_held_by_checks(&self) -> bool {
        self.has_failed_check || self.is_unproven
    }

    /// When the last of its errors and ejections ends that keep it out now.
    pub(super) fn out_until(&self, now: Instant) -> Option<Instant> {
        self.setbacks().filter(|&end| end > now).max()
    }

    /// When it last came back, whether that was noted or an error or ejection just ended.
    pub(super) fn last_back(&self, now: Instant) -> Option<Instant> {
        self.setbacks().filter(|&end| end <= now).chain(self.back_since).max()
    }

    /// The ends of its latest error and ejection, unless it ignores them.
    fn setbacks(&self) -> impl Iterator<Item = Instant> {
        let counts = self.state != State::IgnoreErrors;
        self.error_until.into_iter().chain(self.ejected_until).filter(move |_| counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Duration, now};

    /// Columns: state, trouble, whether the member takes its own sessions. Roles and sets are none of its concern.
    #[test]
    fn sessions_of_their_own() {
        use State::{Disabled, Draining, IgnoreErrors, Ok, Stopped};
        let now = now();
        let (later, earlier) = (Some(now + Duration::from_millis(1)), Some(now));
        let fit = Condition {
            role: Role::Active,
            set: 0,
            state: Ok,
            weight: 1,
            error_until: None,
            has_failed_check: false,
            is_unproven: false,
            ejected_until: None,
            back_since: None,
        };
        let in_error = Condition { error_until: later, ..fit.clone() };
        let was_in_error = Condition { error_until: earlier, ..fit.clone() };
        let ejected = Condition { ejected_until: later, ..fit.clone() };
        let was_ejected = Condition { ejected_until: earlier, ..fit.clone() };
        let failed = Condition { has_failed_check: true, ..fit.clone() };
        let unproven = Condition { is_unproven: true, ..fit.clone() };
        #[rustfmt::skip]
        let rows = [
            //                Ok     Disabled Stopped Draining IgnoreErrors
            (&fit,          [ true,  false,   false,  true,    true  ]),
            (&in_error,     [ false, false,   false,  false,   true  ]),
            (&was_in_error, [ true,  false,   false,  true,    true  ]),
            (&ejected,      [ false, false,   false,  false,   true  ]),
            (&was_ejected,  [ true,  false,   false,  true,    true  ]),
            (&failed,       [ false, false,   false,  false,   false ]),
            (&unproven,     [ false, false,   false,  false,   false ]),
        ];
        for (condition, expected) in rows {
            for (state, expected) in [Ok, Disabled, Stopped, Draining, IgnoreErrors].into_iter().zip(expected) {
                for (role, set) in [(Role::Active, 0), (Role::Spare, 0), (Role::Standby, 7)] {
                    let condition = Condition { state, role, set, ..condition.clone() };
                    assert_eq!(takes_session(&condition, now), expected, "{condition:?}");
                }
            }
        }
    }
}
