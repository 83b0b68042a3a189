//! What a filter wants to be called for, and which field values it wants to be handed without asking.

/// A moment of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Request,
    Response,
    Done,
}

/// Hooks that are not named here are never called and cost nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) hooks: Vec<Hook>,
    pub(crate) request_headers: Vec<String>,
    pub(crate) response_headers: Vec<String>,
}

impl Plan {
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls [`Filter::on_request`](crate::Filter::on_request).
    pub fn on_request(self) -> Self {
        self.hook(Hook::Request)
    }

    /// Calls [`Filter::on_response`](crate::Filter::on_response).
    pub fn on_response(self) -> Self {
        self.hook(Hook::Response)
    }

    /// Calls [`Filter::on_done`](crate::Filter::on_done).
    pub fn on_done(self) -> Self {
        self.hook(Hook::Done)
    }

    /// Passes this request field along: the first one named is [`wanted(0)`](crate::Request::wanted), and so on.
    /// Implies [`on_request`](Plan::on_request).
    pub fn request_header(mut self, name: impl Into<String>) -> Self {
        self.request_headers.push(name.into());
        self.on_request()
    }

    /// The same of the response: [`wanted(0)`](crate::Response::wanted). Implies [`on_response`](Plan::on_response).
    pub fn response_header(mut self, name: impl Into<String>) -> Self {
        self.response_headers.push(name.into());
        self.on_response()
    }

    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    pub fn request_headers(&self) -> &[String] {
        &self.request_headers
    }

    pub fn response_headers(&self) -> &[String] {
        &self.response_headers
    }

    fn hook(mut self, hook: Hook) -> Self {
        if !self.hooks.contains(&hook) {
            self.hooks.push(hook);
        }
        self
    }
}
