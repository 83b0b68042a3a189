//! The hash of keys and names: FNV-1a with a finaliser.
//!
//! It is the same on every machine, in every run and in every release, so several gateways in a row agree on members, and
//! a page of documentation can say how. It has no secret: a client who can choose its key can choose its member. What
//! that may cost is limited by the load factor of a pool, not here. FNV alone leaves the upper bits of short keys
//! (addresses) alike; the finaliser spreads every bit over all.

/// The hash of a key or a name.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    // Offset and prime of the 64-bit FNV-1a.
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(fnv)
}

/// Every bit of the result depends on every bit of the number (the finaliser of SplitMix64).
pub(super) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
