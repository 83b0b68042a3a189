//! Heads of requests and responses, and the HTTP semantics that need nothing but them (RFC 9110, RFC 9112).
//!
//! Pure: no sockets, no config, no time. Other rooms read and change heads through these methods only, so that what
//! holds the fields inside can change without them.

pub mod accel;
pub mod answer;
pub mod charset;
mod coding;
pub mod conditional;
mod facts;
mod fields;
pub mod forwarding;
pub mod grpc;
mod head;
pub mod hops;
pub mod host;
pub mod https;
pub mod query;
pub mod ranges;
pub(crate) mod secured;
pub mod semantics;
pub mod target;
pub mod trailers;
pub mod websocket;

pub use http::{HeaderName as Name, HeaderValue as Value, Method, StatusCode as Status, Version, header as name};

pub use self::coding::{Accepted, Coding};
pub use self::facts::{Facts, OWN_SPACES, Variables, is_variable_name};
pub use self::fields::Fields;
#[cfg(test)]
pub(crate) use self::fields::tests::fields;
pub use self::head::{Authority, RequestHead, ResponseHead, Scheme};
pub use self::secured::{ClientCertificate, Secured, TlsFact};
