//! One check, from dialling to its verdict, within its time. Every check has a connection of its own, also over HTTP/2, and
//! closes it: that the member still accepts one is part of what is found out.

use std::cell::Cell;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::{Outcome, fetch, grpc};
use crate::body::Body;
use crate::clock::{self, Duration, Ticker};
use crate::config::{Check, Health, HttpCheck, Protocol};
use crate::failure::Kind;
use crate::message::{Fields, Status, Value};
use crate::upstream::{Answered, Connection, Connections, Endpoint, Limits};

/// Why a member passed, or why not.
pub(super) type Finding = Result<String, String>;

/// An answer, as much of it as is looked at.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) fields: Fields,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Fields,
}

/// One check under way.
struct Attempt<'a> {
    target: &'a Arc<Endpoint>,
    host: Value,
    timeout: Duration,
    /// What is being waited for, to be named when the time is over.
    awaits: Cell<&'static str>,
}

/// Bytes of a body that are looked at.
const MOST_BODY: usize = 64 << 10;

/// A check's own limits are none: its time holds for the whole of it.
const UNLIMITED: Limits = Limits { head: Duration::ZERO, read: Duration::ZERO, write: Duration::ZERO, until: None };

/// Checks once; nothing is learnt of the member when there is no descriptor to do it with. Cancellation safe: dropping it closes
/// the connection.
pub(super) async fn check(
    target: &Arc<Endpoint>,
    host: Value,
    health: &Health,
    ticker: &Rc<Ticker>,
) -> Option<Outcome> {
    let connections = Connections::private(ticker.clone());
    let began = clock::now();
    let finding = match connections.dial(target, health.timeout, None, None).await {
        Ok(connection) => Attempt::of(target, host, health).within(began, connection, &health.check).await,
        Err(failure) if failure.kind == Kind::OutOfDescriptors => return None,
        Err(failure) => Err(failure.to_string()),
    };
    Some(Outcome::of(finding, began))
}

/// Only connects, TLS included; otherwise as `check`.
pub(super) async fn connect(target: &Arc<Endpoint>, timeout: Duration, ticker: &Rc<Ticker>) -> Option<Outcome> {
    let connections = Connections::private(ticker.clone());
    let began = clock::now();
    let finding = match connections.dial(target, timeout, None, None).await {
        Ok(_) => Ok("connected".to_owned()),
        Err(failure) if failure.kind == Kind::OutOfDescriptors => return None,
        Err(failure) => Err(failure.to_string()),
    };
    Some(Outcome::of(finding, began))
}

impl Outcome {
    fn of(finding: Finding, began: clock::Instant) -> Self {
        let took = clock::now().saturating_duration_since(began);
        let passed = finding.is_ok();
        let (Ok(detail) | Err(detail)) = finding;
        Self { passed, detail, took }
    }
}

impl<'a> Attempt<'a> {
    const fn of(target: &'a Arc<Endpoint>, host: Value, health: &Health) -> Self {
        Self { target, host, timeout: health.timeout, awaits: Cell::new("answer") }
    }

    /// In what is left of the time: dialling keeps to it too, and knows better what it was waiting for.
    async fn within(&self, began: clock::Instant, mut connection: Connection, check: &Check) -> Finding {
        let left = self.timeout.saturating_sub(clock::now().saturating_duration_since(began));
        match tokio::time::timeout(left, self.run(&mut connection, check)).await {
            Ok(finding) => finding,
            Err(_) => Err(format!("{}: no {} within {:?}", self.target, self.awaits.get(), self.timeout)),
        }
    }

    async fn run(&self, connection: &mut Connection, check: &Check) -> Finding {
        match check {
            Check::Tcp => Ok("connected".to_owned()),
            Check::Http(check) => self.http(connection, check).await,
            Check::Grpc(service) => self.grpc(connection, service).await,
        }
    }

    async fn http(&self, connection: &mut Connection, check: &HttpCheck) -> Finding {
        let is_http2 = self.target.transport.protocol == Protocol::Http2;
        let request = fetch::request(check, &self.host, !is_http2)?;
        let most = if fetch::looks_at_body(check) { MOST_BODY } else { 0 };
        let (answer, _) = self.ask(connection, request, most).await?;
        fetch::verdict(check, &answer)
    }

    async fn grpc(&self, connection: &mut Connection, service: &str) -> Finding {
        let request = grpc::request(service, &self.host, self.timeout);
        let (answer, is_whole) = self.ask(connection, request, MOST_BODY).await?;
        if is_whole { grpc::verdict(&answer) } else { Err("the answer is too long".to_owned()) }
    }

    /// The answer with at most so many bytes of its body, and whether that was all.
    async fn ask(
        &self,
        connection: &mut Connection,
        request: http::Request<Body>,
        most: usize,
    ) -> Result<(Answer, bool), String> {
        let answered = connection.ask(request, UNLIMITED, false, |_, _| {}).await;
        let Answered { response, .. } = answered.map_err(|unanswered| unanswered.failure.to_string())?;
        self.awaits.set("end of the answer");
        let (parts, body) = response.into_parts();
        let mut answer = Answer { status: parts.status, fields: parts.headers.into(), ..Answer::default() };
        let is_whole = most > 0 && read(body, most, &mut answer).await?;
        Ok((answer, is_whole))
    }
}

/// Reads a body until it ends or there is enough of it; whether it ended.
async fn read<B>(mut body: B, most: usize, answer: &mut Answer) -> Result<bool, String>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.map_err(|error| format!("the answer broke off: {error}"))?.into_data() {
            Ok(data) => {
                let room = most.saturating_sub(answer.body.len());
                answer.body.extend(data.iter().take(room));
                if data.len() > room {
                    return Ok(false);
                }
            }
            Err(frame) => answer.trailers = frame.into_trailers().map(Fields::from).unwrap_or_default(),
        }
    }
    Ok(true)
}
