//! Whose DATA goes next (RFC 9218): what clients and upstreams say of it, and who of those that wait has the turn. Pure.
//!
//! A more urgent stream goes before a less urgent one. Among equals, streams whose parts are of use by themselves
//! (`i`) take turns; the others go one after the other, in the order they were asked for, and all of them together have one
//! turn among the former, so that nobody starves beside an equal. Only streams that have something to send and may send it
//! are known here, so nobody waits for one that does not.

use std::collections::{BTreeSet, VecDeque};

use crate::message::Value;

/// How a stream's answer is to be sent (RFC 9218, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::front) struct Priority {
    /// From 0, the most urgent, to 7.
    pub(in crate::front) urgency: u8,
    /// Its parts are of use by themselves.
    pub(super) is_incremental: bool,
}

/// Streams that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    levels: [Level; 8],
    waiting: usize,
}

/// Streams of one urgency.
#[derive(Debug, Default)]
struct Level {
    /// One after the other, by number: clients number streams in the order of asking.
    ordered: BTreeSet<u32>,
    /// In turns, longest wait first.
    shared: VecDeque<u32>,
    /// The last turn was one of those that share; the next is the ordered ones'.
    was_shared: bool,
}

impl Default for Priority {
    /// RFC 9218, sections 4.1 and 4.2.
    fn default() -> Self {
        Self { urgency: 3, is_incremental: false }
    }
}

impl Priority {
    /// What `Priority` says, where it says something; its lines are one dictionary (RFC 8941, section 4.2). A field that
    /// is none says nothing.
    pub(in crate::front) fn change<'a>(self, lines: impl Iterator<Item = &'a Value>) -> Self {
        let mut changed = self;
        for line in lines {
            if changed.read(line.as_bytes()).is_none() {
                return self;
            }
        }
        changed
    }

    fn read(&mut self, line: &[u8]) -> Option<()> {
        let line = str::from_utf8(line).ok()?.trim_matches([' ', '\t']);
        for member in line.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|_| !line.is_empty()) {
            let item = member.split(';').next().unwrap_or_default().trim_end_matches(' ');
            let (key, value) = item.split_once('=').map_or((item, "?1"), |(key, value)| (key, value));
            if !is_key(key) {
                return None;
            }
            match (key, value) {
                // Values out of range or of another type are passed over (RFC 9218, section 4).
                ("u", digits) => {
                    self.urgency = digits.parse().ok().filter(|urgency| *urgency < 8).unwrap_or(self.urgency);
                }
                ("i", "?1") => self.is_incremental = true,
                ("i", "?0") => self.is_incremental = false,
                _ => {}
            }
        }
        Some(())
    }
}

impl Schedule {
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// A stream waits; one that waits already keeps its place.
    pub(super) fn enter(&mut self, id: u32, priority: Priority) {
        let Some(level) = self.levels.get_mut(usize::from(priority.urgency)) else { return };
        let is_fresh = match priority.is_incremental {
            false => level.ordered.insert(id),
            true if level.shared.contains(&id) => false,
            true => {
                level.shared.push_back(id);
                true
            }
        };
        self.waiting += usize::from(is_fresh);
    }

    /// A stream waits no more; with `has_turn` it was because it had its turn.
    pub(super) fn leave(&mut self, id: u32, priority: Priority, has_turn: bool) {
        let Some(level) = self.levels.get_mut(usize::from(priority.urgency)) else { return };
        let was_there = if priority.is_incremental {
            let place = level.shared.iter().position(|other| *other == id);
            place.and_then(|place| level.shared.remove(place)).is_some()
        } else {
            level.ordered.remove(&id)
        };
        if was_there && has_turn {
            level.was_shared = priority.is_incremental;
        }
        self.waiting -= usize::from(was_there);
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> Option<u32> {
        self.levels.iter().find_map(|level| {
            let (ordered, shared) = (level.ordered.first(), level.shared.front());
            if level.was_shared { ordered.or(shared) } else { shared.or(ordered) }.copied()
        })
    }
}

/// RFC 8941, section 3.1.2.
fn is_key(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase() || first == '*')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(urgency: u8, is_incremental: bool) -> Priority {
        Priority { urgency, is_incremental }
    }

    #[test]
    fn what_the_field_says() {
        for (lines, expected) in [
            (&[][..], said(3, false)),
            (&[""], said(3, false)),
            (&["u=0"], said(0, false)),
            (&["u=7, i"], said(7, true)),
            (&["i,u=5"], said(5, true)),
            (&["i=?1"], said(3, true)),
            (&["i", "i=?0"], said(3, false)),
            (&["u=1", "i"], said(1, true)),
            (&["u=1, u=2"], said(2, false)),
            (&["u=2;x=1, i;y"], said(2, true)),
            (&["u=8"], said(3, false)),
            (&["u=-1"], said(3, false)),
            (&["u=2.0, i"], said(3, true)),
            (&["i=1"], said(3, false)),
            (&["foo=bar, u=1"], said(1, false)),
            (&["u=1, Foo"], said(3, false)),
            (&["u=1,"], said(3, false)),
            (&["=1"], said(3, false)),
            (&["u=1", "\u{e9}"], said(3, false)),
        ] {
            let values: Vec<_> = lines.iter().map(|line| Value::from_bytes(line.as_bytes()).unwrap()).collect();
            assert_eq!(Priority::default().change(values.iter()), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_upstream_changes_only_what_it_names() {
        let asked = said(5, true);
        for (line, expected) in [("u=1", said(1, true)), ("i=?0", said(5, false)), ("x", asked), ("!", asked)] {
            assert_eq!(asked.change([Value::from_static(line)].iter()), expected, "{line}");
        }
    }

    /// Streams that have always more to send, and who sends in what order.
    fn turns(streams: &[(u32, Priority)], count: usize) -> Vec<u32> {
        let mut schedule = Schedule::default();
        streams.iter().for_each(|(id, priority)| schedule.enter(*id, *priority));
        let mut order = Vec::new();
        while let Some(id) = schedule.next().filter(|_| order.len() < count) {
            let priority = streams.iter().find(|(known, _)| *known == id).unwrap().1;
            schedule.leave(id, priority, true);
            schedule.enter(id, priority);
            order.push(id);
        }
        order
    }

    #[test]
    fn turns_of_streams_that_have_always_more() {
        let (one, both) = (said(3, false), said(3, true));
        for (streams, expected) in [
            (&[][..], &[][..]),
            (&[(1, one), (3, one)], &[1, 1, 1]),
            (&[(5, one), (3, one)], &[3, 3, 3]),
            (&[(1, both), (3, both), (5, both)], &[1, 3, 5, 1, 3, 5]),
            (&[(1, one), (3, said(2, false))], &[3, 3, 3]),
            (&[(1, said(0, true)), (3, said(0, true)), (5, said(1, false))], &[1, 3, 1, 3]),
            (&[(1, one), (3, one), (5, both), (7, both)], &[5, 1, 7, 1, 5, 1]),
        ] {
            assert_eq!(turns(streams, expected.len()), expected, "{streams:?}");
        }
    }

    #[test]
    fn who_waits_for_nothing_holds_up_nobody() {
        let (urgent, lazy) = (said(0, false), said(7, false));
        let mut schedule = Schedule::default();
        schedule.enter(1, urgent);
        schedule.enter(3, lazy);
        assert_eq!(schedule.next(), Some(1));
        schedule.leave(1, urgent, false);
        assert_eq!(schedule.next(), Some(3));
        schedule.enter(3, lazy);
        schedule.leave(3, lazy, true);
        schedule.leave(3, lazy, true);
        assert!(schedule.is_empty() && schedule.next().is_none());
    }
}
