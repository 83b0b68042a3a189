//! The response as a filter sees it, and the request that it answers.

use crate::host;

/// The response that a filter is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) id: u64,
    pub(crate) status: u16,
    pub(crate) wanted: Vec<Option<Vec<u8>>>,
}

impl Response {
    /// The exchange's number, the same as in [`Request::id`](crate::Request::id).
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the plan's response field number `index`; several lines are joined with `, `. A field that must
    /// not be joined (`set-cookie`) is better read with [`header_lines`](Response::header_lines).
    pub fn wanted(&self, index: usize) -> Option<&[u8]> {
        self.wanted.get(index)?.as_deref()
    }

    /// Asks the gateway for a field that the plan did not name; several lines are joined with `, `.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        host::response_header(name)
    }

    /// Every line of a field.
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        host::response_header_lines(name)
    }

    /// Every line of every field, in order, names in lower case.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        host::response_headers()
    }

    /// A field of the request.
    pub fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        host::request_header(name)
    }

    /// Every line of a field of the request.
    pub fn request_header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        host::request_header_lines(name)
    }

    /// A variable: one of the gateway's (`request.path`, `client.address`, ...) or one that a filter set.
    pub fn variable(&self, name: &str) -> Option<String> {
        host::variable(name)
    }
}
