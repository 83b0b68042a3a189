//! Whether a response may be stored (RFC 9111, section 3), and the stored response if it may.

use http::header;

use super::fresh::{self, Source, Times, may_guess};
use super::partial::ContentRange;
use super::stored::{Stored, ready};
use super::validate::is_tag;
use super::vary::Selection;
use super::{Cookies, Directives, Knobs, Reach, RequestDirectives, invalidate};
use crate::message::{Fields, Method, Name, RequestHead, ResponseHead, Status, grpc};

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is stored for this method.
    Method,
    /// The status is none that is stored, or is about this very request.
    Status,
    /// The request says `no-store`.
    RequestNoStore,
    /// The response says `no-store`.
    NoStore,
    /// The response says `private`.
    Private,
    /// The request has credentials, and the response does not say that it is for everybody.
    Authorization,
    /// `Vary: *`, or no list of names.
    Vary,
    /// It sets a cookie.
    Cookie,
    /// Nothing says that it may be stored.
    Unstated,
    /// It is stale already and cannot be validated.
    Expired,
    /// A part that does not say which one it is, or several parts.
    Range,
    /// Its content is not as long as its head says.
    Incomplete,
    /// It has more tags, or longer ones, than are kept.
    Tags,
    /// What it says is in its trailers, which are not stored: gRPC's status is.
    Trailers,
}

impl Refusal {
    /// As `Cache-Status` has it (`detail`).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::Vary => "vary",
            Self::Cookie => "set-cookie",
            Self::Unstated => "unstated",
            Self::Expired => "expired",
            Self::Range => "range",
            Self::Incomplete => "incomplete",
            Self::Tags => "tags",
            Self::Trailers => "trailers",
        }
    }
}

/// Decides with the heads alone; the content follows, and `Stored::finish` when it has come.
///
/// The request is the one that the origin was asked with, as far as clients could choose it. What is stored for `POST` is
/// for later `GET`s (RFC 9110, section 9.3.3).
pub fn storable(
    request: &RequestHead,
    response: &ResponseHead,
    times: Times,
    knobs: &Knobs,
) -> Result<Stored, Refusal> {
    let directives = Directives::of(&response.fields, &knobs.targets, knobs.surrogate);
    method(request, response, &directives, knobs)?;
    status(response, knobs)?;
    permission(request, response.status, &directives, knobs)?;
    if !is_stated(response, &directives, knobs) {
        return Err(Refusal::Unstated);
    }
    cookies(response, &directives, times, knobs)?;
    if grpc::is_one(&response.fields) {
        return Err(Refusal::Trailers);
    }
    let selection = Selection::of(&response.fields, &request.fields).ok_or(Refusal::Vary)?;
    // Where hosts are one to the key, nothing is left that could choose by them.
    if knobs.key.any_host && selection.iter().any(|(name, _)| *name == header::HOST) {
        return Err(Refusal::Vary);
    }
    let mut head = ResponseHead::of(response.status);
    head.fields = ready(&response.fields, &directives, times, knobs);
    let origin = invalidate::origin(request.scheme, &request.authority);
    // By fields that are not stored, too.
    let tags = invalidate::tags(&response.fields, &origin).ok_or(Refusal::Tags)?;
    let stored = Stored { tags, ..Stored::of(head, times, selection, origin, knobs) };
    if is_of_use(&stored, knobs) { Ok(stored) } else { Err(Refusal::Expired) }
}

/// What a stored response must not say of itself after a 304 has changed its fields.
#[must_use]
pub(super) fn forbidden(
    request: &RequestHead,
    head: &ResponseHead,
    directives: &Directives,
    times: Times,
    knobs: &Knobs,
) -> Option<Refusal> {
    let origin = invalidate::origin(request.scheme, &request.authority);
    permission(request, head.status, directives, knobs)
        .and_then(|()| cookies(head, directives, times, knobs))
        .and_then(|()| invalidate::tags(&head.fields, &origin).map(drop).ok_or(Refusal::Tags))
        .err()
}

/// The method is understood. `HEAD` has no content to store (it freshens what is stored, see `validate`).
fn method(
    request: &RequestHead,
    response: &ResponseHead,
    directives: &Directives,
    knobs: &Knobs,
) -> Result<(), Refusal> {
    let is_understood = match request.method.as_str() {
        "GET" => true,
        "QUERY" => knobs.query,
        "POST" => {
            let has_lifetime = is_explicit(&response.fields, directives);
            response.status.is_success() && has_lifetime && invalidate::is_itself(request, &response.fields)
        }
        _ => false,
    };
    if is_understood { Ok(()) } else { Err(Refusal::Method) }
}

/// Final, understood where it must be, and not about the request's own range or precondition.
fn status(response: &ResponseHead, knobs: &Knobs) -> Result<(), Refusal> {
    let code = response.status.as_u16();
    let is_listed = knobs.statuses.as_ref().is_none_or(|known| known.contains(&code));
    let is_final = code >= 200;
    let is_about_request =
        [Status::NOT_MODIFIED, Status::PRECONDITION_FAILED, Status::RANGE_NOT_SATISFIABLE].contains(&response.status);
    if !is_listed || !is_final || is_about_request {
        return Err(Refusal::Status);
    }
    let is_part = response.status == Status::PARTIAL_CONTENT;
    if is_part && ContentRange::of(&response.fields).is_none() { Err(Refusal::Range) } else { Ok(()) }
}

/// Nobody forbids it.
fn permission(request: &RequestHead, status: Status, directives: &Directives, knobs: &Knobs) -> Result<(), Refusal> {
    let wishes = RequestDirectives::of(&request.fields);
    if wishes.no_store && !knobs.ignore_request && !knobs.store_no_store {
        return Err(Refusal::RequestNoStore);
    }
    // `must-understand` is for caches that know the status; to them `no-store` beside it is void (section 5.2.2.3).
    if directives.must_understand && !is_known(status) {
        return Err(Refusal::Status);
    }
    if directives.no_store && !knobs.store_no_store && !directives.must_understand {
        return Err(Refusal::NoStore);
    }
    if directives.private == Reach::Whole && !knobs.store_private {
        return Err(Refusal::Private);
    }
    // RFC 9111, section 3.5.
    let is_for_all = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if request.fields.contains(header::AUTHORIZATION) && !is_for_all {
        return Err(Refusal::Authorization);
    }
    Ok(())
}

/// The last item of section 3: a lifetime, `public`, a status that may be guessed about, or the operator's word.
fn is_stated(response: &ResponseHead, directives: &Directives, knobs: &Knobs) -> bool {
    let by_operator = knobs.status_ttl(response.status).is_some();
    let is_said = is_explicit(&response.fields, directives) || directives.ruled.is_some();
    is_said || (may_guess(response.status, directives) || by_operator) && !may_be_endless(&response.fields)
}

/// What has no end as long as somebody listens would be read on for nobody.
fn may_be_endless(fields: &Fields) -> bool {
    let kind = fields.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().trim_ascii()).unwrap_or_default();
    let is = |begin: &[u8]| kind.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin));
    is(b"text/event-stream") || is(b"multipart/x-mixed-replace")
}

fn is_explicit(fields: &Fields, directives: &Directives) -> bool {
    directives.has_lifetime() || !directives.is_targeted && fields.contains(header::EXPIRES)
}

/// Statuses whose meaning for caches is known here: those of RFC 9110, section 15.
fn is_known(status: Status) -> bool {
    matches!(status.as_u16(), 200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

fn cookies(response: &ResponseHead, directives: &Directives, times: Times, knobs: &Knobs) -> Result<(), Refusal> {
    let is_stripped = |names: &[Name]| names.contains(&header::SET_COOKIE);
    let is_gone = is_stripped(&knobs.strip)
        || is_stripped(directives.no_cache.fields())
        || is_stripped(directives.private.fields()) && !knobs.store_private;
    if is_gone || !response.fields.contains(header::SET_COOKIE) {
        return Ok(());
    }
    match knobs.cookies {
        Cookies::Always => Ok(()),
        // A lifetime of nothing says that it is to be asked about, not that the cookie is for everybody who asks.
        Cookies::Stated if fresh::states_life(&response.fields, directives, times) => Ok(()),
        Cookies::Stated | Cookies::Never => Err(Refusal::Cookie),
    }
}

/// Fresh for a while, if only for those who waited for it, or worth a question to the origin, or of use when it fails.
fn is_of_use(stored: &Stored, knobs: &Knobs) -> bool {
    let policy = &stored.policy;
    let can_be_asked_about =
        stored.validators.etag.as_ref().is_some_and(is_tag) || stored.validators.modified.is_some();
    let may_be_stale = policy.stale_while_revalidate.is_some() || policy.stale_if_error.is_some();
    let is_stated = policy.source != Source::Nowhere;
    policy.came_fresh() || can_be_asked_about || is_stated && (may_be_stale && !policy.must_ask || knobs.store_expired)
}

/// Whether a request with this method can be answered from the store at all.
#[must_use]
pub fn is_looked_up(method: &Method, knobs: &Knobs) -> bool {
    *method == Method::GET || *method == Method::HEAD || knobs.query && method.as_str() == "QUERY"
}

#[cfg(test)]
mod tests;
