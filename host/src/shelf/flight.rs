//! What is known of one flight: who fetches, who waits since when, and what can be read already.
//!
//! Bookkeeping alone, under its owner's lock. Invariant: a flight without a leader is none.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::flights::Landing;
use super::follow::Source;

/// The flights of some keys.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) flights: HashMap<Bytes, Flight>,
    pub(super) numbers: u64,
}

/// One flight.
pub(super) struct Flight {
    /// Who fetches: one, unless that one takes long, or what it brought said nothing of others.
    pub(super) leaders: Vec<u64>,
    /// When the last of them began.
    pub(super) latest: Instant,
    pub(super) waiting: BTreeMap<u64, Seat>,
    /// What can be read, and who writes it.
    pub(super) written: Option<(u64, Source)>,
    /// How many failed, one after the other, in a way that may have been their own.
    pub(super) failures: u32,
}

/// A place of somebody who waits, and since when.
pub(super) struct Seat {
    pub(super) since: Instant,
    pub(super) sender: oneshot::Sender<Landing>,
}

impl Shard {
    pub(super) fn own(&mut self, key: &Bytes, number: u64) -> Option<&mut Flight> {
        self.flights.get_mut(key).filter(|flight| flight.leaders.contains(&number))
    }

    /// Without a leader there is no flight.
    pub(super) fn tidy(&mut self, key: &Bytes) {
        if self.flights.get(key).is_some_and(|flight| flight.leaders.is_empty()) {
            self.flights.remove(key);
        }
    }
}

impl Flight {
    pub(super) fn led(number: u64, now: Instant) -> Self {
        Self { leaders: vec![number], latest: now, waiting: BTreeMap::new(), written: None, failures: 0 }
    }

    /// A leader leaves, with what it wrote; whether it was one.
    pub(super) fn leave(&mut self, number: u64) -> bool {
        let before = self.leaders.len();
        self.leaders.retain(|leader| *leader != number);
        self.written.take_if(|(writer, _)| *writer == number);
        self.leaders.len() < before
    }
}
