//! From a pool's plan, and what its names were found to be, to its members.

use std::sync::Arc;

use super::local::Program;
use super::roster::Enlisted;
use super::state::Shared;
use crate::clock::Instant;
use crate::config::{self, MemberAddress, Protocol, Transport};
use crate::upstream::Found;

/// The members, in the order of the plan. `found` says by position what names are; `since` when members that nobody knew
/// yet join, if others serve already.
pub(super) fn members(
    plan: &config::Pool,
    found: &[Option<Vec<Found>>],
    shared: &Arc<Shared>,
    since: Option<Instant>,
) -> Vec<Enlisted> {
    let gated = plan.health.as_ref().is_some_and(|health| health.gate);
    let mut members = Vec::new();
    for (position, member) in plan.members.iter().enumerate() {
        let found = found.get(position).and_then(Option::as_deref);
        for single in singles(member, found) {
            let known = shared.member(&single, gated, since);
            let program =
                single.command.as_ref().map(|command| Program::of(&plan.name, &single.name, command, &single.address));
            members.push(Enlisted { member: known, most: most(&single), plan: single, program });
        }
    }
    members
}

/// Exchanges that a member takes at once: over HTTP/1.1 each needs a connection.
fn most(member: &config::Member) -> usize {
    let by_connections = match member.transport.protocol {
        Protocol::Http1 => member.max_connections,
        Protocol::Http2 | Protocol::Auto => None,
    };
    member.max_requests.into_iter().chain(by_connections).min().unwrap_or(usize::MAX)
}

/// A member of the plan as it is, or one for every address that its name was found to be.
fn singles(member: &config::Member, found: Option<&[Found]>) -> Vec<config::Member> {
    let is_service = matches!(member.address, MemberAddress::Service(_));
    match found {
        Some(found) if is_service => of_service(member, found),
        Some(found) if member.each_address => found.iter().map(|found| at(member, found)).collect(),
        // A name that was not resolved yet is dialled as a whole.
        Some(_) | None if !is_service => vec![member.clone()],
        Some(_) | None => Vec::new(),
    }
}

/// Targets of a lower priority are sets of their own, used when those before have nobody (RFC 2782).
fn of_service(member: &config::Member, found: &[Found]) -> Vec<config::Member> {
    let mut priorities: Vec<_> = found.iter().map(|found| found.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let of_target = |found: &Found| {
        let rank = priorities.iter().position(|priority| *priority == found.priority).unwrap_or(0);
        let set = usize::from(member.set).saturating_add(rank).min(99);
        let weight = u32::from(found.weight).clamp(1, 1000);
        config::Member { set: u8::try_from(set).unwrap_or(99), weight, ..at(member, found) }
    };
    found.iter().map(of_target).collect()
}

/// A member at one of its addresses. Its certificate must still carry the name that the config has, not one that a name
/// server made of it (RFC 6125, section 6.2.1).
fn at(member: &config::Member, found: &Found) -> config::Member {
    let mut transport = Transport::clone(&member.transport);
    if let Some(tls) = &mut transport.tls {
        let host = member.host.to_str().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        tls.server_name.get_or_insert_with(|| name.trim_end_matches('.').to_owned());
    }
    config::Member {
        name: format!("{}#{}", member.name, found.address).into(),
        address: MemberAddress::Tcp(found.address),
        each_address: false,
        transport: Arc::new(transport),
        ..member.clone()
    }
}
