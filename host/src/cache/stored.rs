//! A stored response without its content: all that the rules know of it. Where the bytes are is a store's business.

use http::header;

use super::fresh::{Policy, Times, dated_by};
use super::invalidate::{self, Tag};
use super::partial::Held;
use super::storable::Refusal;
use super::vary::Selection;
use super::{Directives, Knobs, RULED, SURROGATE_CONTROL, date};
use crate::message::conditional::Validators;
use crate::message::{Fields, Name, ResponseHead, Status, Version, hops, semantics};

/// One response of those that a key has.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Status and fields, as they are stored.
    pub head: ResponseHead,
    /// When it was asked for and came, or was last validated.
    pub times: Times,
    /// Which requests it is for.
    pub selection: Selection,
    /// Which bytes of its content are here; none before `finish`.
    pub held: Held,
    /// What may be done with it, and when.
    pub policy: Policy,
    /// What tells it from other versions.
    pub validators: Validators,
    /// What it can be forgotten by.
    pub tags: Vec<Tag>,
    /// Where its groups belong: `http://shop.example`.
    pub origin: Box<str>,
    /// The version of HTTP that the origin spoke; `None` if it is not the origin's.
    pub version: Option<Version>,
}

/// Beside what `Connection` names: fields of proxies' own authentication (RFC 9111, section 3.1).
const PROXY_AUTHENTICATION_INFO: Name = Name::from_static("proxy-authentication-info");

/// What an origin was asked by, which many of them say again: what is stored answers other requests.
const X_REQUEST_ID: Name = Name::from_static("x-request-id");

/// What says how long a response lives, and for whom.
pub const READ: [Name; 5] = [header::CACHE_CONTROL, header::EXPIRES, header::AGE, header::DATE, header::VARY];

impl Stored {
    /// Works out what the fields say; they are stored as they are given. For entries that come back from a disk, too.
    #[must_use]
    pub fn of(head: ResponseHead, times: Times, selection: Selection, origin: Box<str>, knobs: &Knobs) -> Self {
        let directives = Directives::of(&head.fields, &knobs.targets, knobs.surrogate);
        let policy = Policy::of(&head, &directives, times, knobs);
        let validators = Validators::stated(&head.fields);
        let tags = invalidate::tags(&head.fields, &origin).unwrap_or_default();
        Self { head, times, selection, held: Held::nothing(), policy, validators, tags, origin, version: None }
    }

    /// Its content has come to its end, with so many bytes: now it can be used. A content that is not as long as the head
    /// says is not stored (RFC 9111, section 3.3; RFC 9112, section 8).
    pub fn finish(&mut self, length: u64) -> Result<(), Refusal> {
        let declared = semantics::declared_length(&self.head.fields).map_err(|_| Refusal::Incomplete)?;
        if declared.is_some_and(|declared| declared != length) {
            return Err(Refusal::Incomplete);
        }
        self.held = match self.head.status {
            Status::PARTIAL_CONTENT => Held::part(&self.head.fields, length).ok_or(Refusal::Range)?,
            _ => Held::whole(length),
        };
        Ok(())
    }

    /// The same for another request: a variant that the origin has named by its tag, or one that is in the right language.
    /// `None` if its `Vary` lets nothing choose it.
    #[must_use]
    pub fn also_for(&self, request: &Fields) -> Option<Self> {
        let selection = Selection::of(&self.head.fields, request)?;
        Some(Self { selection, ..self.clone() })
    }

    /// Keeps it for validation only: a soft purge, or an unsafe request (RFC 9111, section 4.4).
    pub fn invalidate(&mut self) {
        self.policy.must_ask = true;
    }
}

/// The fields of a response as they are stored (RFC 9111, section 3.1): without those of the connection, of proxies, of one
/// request, and those that `no-cache` and `private` name; with a `Date` that is one (RFC 9110, section 6.6.1).
#[must_use]
pub(super) fn ready(fields: &Fields, directives: &Directives, times: Times, knobs: &Knobs) -> Fields {
    let mut ready = fields.clone();
    if hops::strip(&mut ready).is_err() {
        // Whoever let such a head in knows why; nothing of the connection is stored.
        hops_only(&mut ready);
    }
    ready.remove(PROXY_AUTHENTICATION_INFO);
    ready.remove(X_REQUEST_ID);
    // Trailers are not stored (section 3.1 lets a cache discard them), so nothing announces them.
    ready.remove(header::TRAILER);
    let private = if knobs.store_private { &[] } else { directives.private.fields() };
    let named = directives.no_cache.fields().iter().chain(private).chain(&knobs.strip);
    for name in named.filter(|name| !is_read(name, knobs)) {
        ready.remove(name);
    }
    if dated_by(&ready, header::DATE, times.answered).is_none() {
        ready.set(header::DATE, date::write(times.answered));
    }
    ready
}

/// Whether the rules read a field of what is stored: without it they would decide about another response, one that lives
/// longer or is for everybody.
fn is_read(name: &Name, knobs: &Knobs) -> bool {
    READ.contains(name) || knobs.targets.contains(name) || [RULED, SURROGATE_CONTROL].contains(name)
}

fn hops_only(fields: &mut Fields) {
    fields.remove(header::CONNECTION);
    // Without `Connection` there is nothing left that can be wrong.
    let _ = hops::strip(fields);
}
