//! One way to look at either side's head. What the call brought along is taken from there, the rest is asked for.

use std::borrow::Cow;

use weir_filter::{Request, Response};

#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    Request(&'a Request),
    Response(&'a Response),
}

impl<'a> View<'a> {
    pub fn wanted(self, index: usize) -> Option<&'a [u8]> {
        match self {
            View::Request(request) => request.wanted(index),
            View::Response(response) => response.wanted(index),
        }
    }

    pub fn request_field(self, name: &str) -> Option<Vec<u8>> {
        match self {
            View::Request(request) => request.header(name),
            View::Response(response) => response.request_header(name),
        }
    }

    pub fn response_field(self, name: &str) -> Option<Vec<u8>> {
        match self {
            View::Request(_) => None,
            View::Response(response) => response.header(name),
        }
    }

    /// Every line of the field of the side that is being looked at.
    pub fn lines(self, name: &str) -> Vec<Vec<u8>> {
        match self {
            View::Request(request) => request.header_lines(name),
            View::Response(response) => response.header_lines(name),
        }
    }

    pub fn status(self) -> Option<u16> {
        match self {
            View::Request(_) => None,
            View::Response(response) => Some(response.status()),
        }
    }

    pub fn variable(self, name: &str) -> Option<Cow<'a, str>> {
        match self {
            View::Request(request) => match name {
                "request.method" => Some(Cow::Borrowed(request.method())),
                "request.path" => Some(Cow::Borrowed(request.path())),
                "request.query" => Some(Cow::Borrowed(request.query().unwrap_or_default())),
                "request.scheme" => Some(Cow::Borrowed(request.scheme())),
                "client.address" => Some(Cow::Borrowed(request.client())),
                _ => request.variable(name).map(Cow::Owned),
            },
            View::Response(response) => response.variable(name).map(Cow::Owned),
        }
    }

    /// The host that was asked for, without port.
    pub fn host(self) -> Cow<'a, str> {
        match self {
            View::Request(request) => Cow::Borrowed(request.host()),
            View::Response(response) => {
                let mut host = response.variable("request.host").unwrap_or_default();
                if let Some((name, port)) = host.rsplit_once(':') {
                    if port.bytes().all(|byte| byte.is_ascii_digit()) {
                        host.truncate(name.len());
                    }
                }
                Cow::Owned(host)
            }
        }
    }
}
