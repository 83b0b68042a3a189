//! Who serves a session: a member, then those that its sessions are redirected to.

use std::collections::HashMap;
use std::sync::Arc;

use super::SeatName;

/// The longest chain. Redirects name one another in a ring at times; a chain ends where it would come back, and one that
/// has passed 32 members without finding anybody usable would not be helped by a 33rd.
const LONGEST: usize = 32;

/// Positions by route and by name, each with all that its redirects lead to.
#[derive(Debug)]
pub(super) struct Chains {
    routes: HashMap<Arc<str>, Box<[usize]>>,
    names: HashMap<Arc<str>, Box<[usize]>>,
}

impl Chains {
    pub(super) fn of(seats: &[SeatName]) -> Self {
        let routes = index(seats, |seat| seat.route.as_ref());
        let names = index(seats, |seat| Some(&seat.name));
        let follow = |starts: &HashMap<Arc<str>, Vec<usize>>| {
            starts.iter().map(|(key, start)| (key.clone(), chain(seats, &routes, start))).collect()
        };
        Self { routes: follow(&routes), names: follow(&names) }
    }

    /// Of all members with a route, in the order written.
    pub(super) fn by_route(&self, route: &str) -> &[usize] {
        self.routes.get(route).map_or(&[], |chain| chain)
    }

    /// Of the member of a name.
    pub(super) fn by_name(&self, name: &str) -> &[usize] {
        self.names.get(name).map_or(&[], |chain| chain)
    }
}

fn index<'a>(
    seats: &'a [SeatName],
    key: impl Fn(&'a SeatName) -> Option<&'a Arc<str>>,
) -> HashMap<Arc<str>, Vec<usize>> {
    let mut index: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    for (position, seat) in seats.iter().enumerate() {
        if let Some(key) = key(seat) {
            index.entry(key.clone()).or_default().push(position);
        }
    }
    index
}

/// Breadth first, each position once.
fn chain(seats: &[SeatName], routes: &HashMap<Arc<str>, Vec<usize>>, start: &[usize]) -> Box<[usize]> {
    let mut chain: Vec<usize> = start.iter().copied().take(LONGEST).collect();
    let mut next = 0;
    while let Some(seat) = chain.get(next).and_then(|&position| seats.get(position)) {
        next += 1;
        for position in seat.redirect.as_ref().and_then(|route| routes.get(route)).into_iter().flatten() {
            if chain.len() < LONGEST && !chain.contains(position) {
                chain.push(*position);
            }
        }
    }
    chain.into()
}
