//! The first who is not out: members are filled in their order.

use super::{Loads, Share};

/// An index.
pub(super) fn choose(shares: &[Share], loads: &impl Loads) -> Option<usize> {
    shares.iter().position(|share| !loads.is_out(share.position))
}
