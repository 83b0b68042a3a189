//! What a filter says: go on, go on with changes, or answer now. Nothing is checked here: the gateway does, and a
//! filter that oversteps costs its exchange an error answer.

/// A filter's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on, nothing changed.
    Next,
    /// Go on with these changes, applied in order, all or none.
    Edit(Vec<Edit>),
    /// Answer now. On the response side this replaces the response.
    Respond(Answer),
}

/// One change. Header edits change the request on the request side and the response on the response side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    SetMethod(String),
    SetScheme(String),
    SetAuthority(String),
    SetPath(String),
    SetStatus(u16),
    SetHeader(String, Vec<u8>),
    AppendHeader(String, Vec<u8>),
    RemoveHeader(String),
    SetVariable(String, String),
}

/// A list of changes in the making; `.into()` makes it an [`Action`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

/// An answer made by a filter. The gateway adds `date`, `content-length` and the connection's own fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Edits {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn push(&mut self, edit: Edit) {
        self.0.push(edit);
    }

    /// Request side only.
    pub fn set_method(self, method: impl Into<String>) -> Self {
        self.with(Edit::SetMethod(method.into()))
    }

    /// Request side only: `http` or `https`.
    pub fn set_scheme(self, scheme: impl Into<String>) -> Self {
        self.with(Edit::SetScheme(scheme.into()))
    }

    /// Request side only: host and, where there is one, port.
    pub fn set_authority(self, authority: impl Into<String>) -> Self {
        self.with(Edit::SetAuthority(authority.into()))
    }

    /// Request side only: path and query, beginning with `/`.
    pub fn set_path(self, path: impl Into<String>) -> Self {
        self.with(Edit::SetPath(path.into()))
    }

    /// Response side only.
    pub fn set_status(self, status: u16) -> Self {
        self.with(Edit::SetStatus(status))
    }

    /// Replaces every line of that name by one.
    pub fn set_header(self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.with(Edit::SetHeader(name.into(), value.into()))
    }

    /// Adds a line.
    pub fn append_header(self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.with(Edit::AppendHeader(name.into(), value.into()))
    }

    /// Removes every line of that name.
    pub fn remove_header(self, name: impl Into<String>) -> Self {
        self.with(Edit::RemoveHeader(name.into()))
    }

    /// Sets a variable of this exchange, `namespace.name`, for later filters and the access log.
    pub fn set_variable(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(Edit::SetVariable(name.into(), value.into()))
    }

    /// Adds a change that was made elsewhere, such as those of [`cache`](crate::cache).
    pub fn with(mut self, edit: Edit) -> Self {
        self.0.push(edit);
        self
    }
}

impl Answer {
    /// Without fields and body. `status` is 200 to 599.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With a plain text body.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status).header("content-type", "text/plain; charset=utf-8").body(text.into())
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<Edits> for Action {
    fn from(edits: Edits) -> Self {
        if edits.0.is_empty() { Action::Next } else { Action::Edit(edits.0) }
    }
}

impl From<Answer> for Action {
    fn from(answer: Answer) -> Self {
        Action::Respond(answer)
    }
}
