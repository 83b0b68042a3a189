//! Who may be chosen: what is known of each member, turned into the candidates of this instant.
//!
//! Pure: time is always an argument and nothing is shared. It knows what members are like, never who they are or how
//! they are reached; which candidate is taken is for `balance/` to say.

mod budget;
mod condition;
mod outlier;
mod slow_start;
mod stand;
mod streak;
#[cfg(test)]
mod table;

pub use self::budget::Budget;
pub use self::condition::{Condition, takes_session};
pub use self::outlier::{Counts, Watched, below, may_eject};
pub use self::stand::{Candidate, Rules, Standing, stand};
pub use self::streak::{Streak, Turned};
