//! What the access log will say of one exchange.
//!
//! It owns what it says, because heads are gone when an exchange ends; what it takes from them costs a reference count,
//! and field values and variables are taken only when the format needs them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;

use super::Needs;
use crate::failure::Kind;
use crate::message::{Method, RequestHead, ResponseHead, Scheme, Secured, Value, Variables, Version};

/// One exchange, as far as the access log is concerned. What is not known stays `None` and reads `-` (`null` in JSON).
#[derive(Debug, Clone)]
pub struct Record {
    /// The client, after trusted proxies were taken into account; `None` on a Unix socket.
    pub client: Option<IpAddr>,
    /// The port of the connection, 0 when there is none.
    pub client_port: u16,
    /// The listener it came by.
    pub listener: Arc<str>,
    /// What is known of its connection, when it is under TLS.
    pub secured: Option<Arc<Secured>>,
    /// When its first byte came.
    pub time: SystemTime,
    /// The request as the client sent it, before any filter; `None` when it could not be read.
    pub request: Option<RequestLine>,
    /// What the client was, or would have been, answered.
    pub status: u16,
    /// Bytes of the request's body that were read.
    pub request_bytes: u64,
    /// Bytes of the response's body that were sent.
    pub response_bytes: u64,
    /// From the first byte in to the last byte out.
    pub total: Duration,
    /// For the upstream connection to stand; `None` when a kept one was used, or none.
    pub connect: Option<Duration>,
    /// From the request going upstream to the first byte of its answer.
    pub first_byte: Option<Duration>,
    /// In filters, all calls together.
    pub filter: Duration,
    /// The site.
    pub site: Option<Arc<str>>,
    /// The route.
    pub route: Option<Arc<str>>,
    /// The pool.
    pub pool: Option<Arc<str>>,
    /// The member of the last attempt.
    pub member: Option<Arc<str>>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The public id, as in `X-Request-Id`.
    pub request_id: String,
    /// What went wrong.
    pub failure: Option<Kind>,
    /// Values of `Needs::request_fields`, in its order.
    pub request_fields: Vec<Option<Value>>,
    /// Values of `Needs::response_fields`, in its order.
    pub response_fields: Vec<Option<Value>>,
    /// Values of `Needs::variables`, in its order.
    pub variables: Vec<Option<String>>,
}

/// The parts of a request line, and whom it asked for.
#[derive(Debug, Clone)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// How the client came.
    pub scheme: Scheme,
    /// Host and port as the client wrote them.
    pub host: Value,
    /// Path and query.
    pub target: PathAndQuery,
    /// The version.
    pub version: Version,
}

impl Record {
    /// A record of an exchange that just began.
    #[must_use]
    pub fn begin(listener: Arc<str>, time: SystemTime) -> Self {
        Self {
            client: None,
            client_port: 0,
            listener,
            secured: None,
            time,
            request: None,
            status: 0,
            request_bytes: 0,
            response_bytes: 0,
            total: Duration::ZERO,
            connect: None,
            first_byte: None,
            filter: Duration::ZERO,
            site: None,
            route: None,
            pool: None,
            member: None,
            attempts: 0,
            request_id: String::new(),
            failure: None,
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Takes what will be said of the request; call it before any filter changes the head.
    pub fn note_request(&mut self, head: &RequestHead, needs: &Needs) {
        self.request = Some(RequestLine {
            method: head.method.clone(),
            scheme: head.scheme,
            host: head.authority.value().clone(),
            target: head.target().clone(),
            version: head.version,
        });
        self.request_fields = needs.request_fields.iter().map(|name| head.fields.get(name).cloned()).collect();
    }

    /// Takes what will be said of the response; call it when the head is as the client will see it.
    pub fn note_response(&mut self, head: &ResponseHead, needs: &Needs) {
        self.status = head.status.as_u16();
        self.response_fields = needs.response_fields.iter().map(|name| head.fields.get(name).cloned()).collect();
    }

    /// Takes what filters have set, as far as it will be said.
    pub fn note_variables(&mut self, variables: &Variables, needs: &Needs) {
        self.variables = needs.variables.iter().map(|name| variables.get(name).map(str::to_owned)).collect();
    }
}
