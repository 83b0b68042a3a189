//! An exchange to try a filter on: made with what a test cares about, read back after the filter was obeyed.

use crate::Answer;

/// One request, and its response once there is one. What is not said is a GET of `shop.example` over https by
/// 192.0.2.1, and the time is that of RFC 9110's example, 1994-11-06 08:49:37.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub(super) id: u64,
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) authority: String,
    pub(super) target: String,
    pub(super) client: String,
    pub(super) request: Fields,
    pub(super) response: Option<Head>,
    variables: Vec<(String, String)>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) body: Vec<u8>,
    pub(super) file: Option<(String, String)>,
}

/// Lines in order, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(pub(super) Vec<(String, Vec<u8>)>);

impl Exchange {
    /// A GET of a path and query.
    pub fn get(target: &str) -> Self {
        Self::of("GET", target)
    }

    pub fn of(method: &str, target: &str) -> Self {
        Self {
            id: 1,
            method: method.to_owned(),
            scheme: "https".to_owned(),
            authority: "shop.example".to_owned(),
            target: target.to_owned(),
            client: "192.0.2.1".to_owned(),
            request: Fields::default(),
            response: None,
            variables: Vec::new(),
        }
    }

    pub fn id(mut self, id: u64) -> Self {
        self.id = id;
        self
    }

    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.scheme);
        self
    }

    pub fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    pub fn client(mut self, address: &str) -> Self {
        address.clone_into(&mut self.client);
        self
    }

    /// Adds a line to the request.
    pub fn field(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.request.append(name, value.into());
        self
    }

    /// Sets a variable that the gateway would know: `route.name`, say.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.set_variable(name.to_owned(), value.to_owned());
        self
    }

    /// Gives the exchange a response of the upstream.
    pub fn response(mut self, status: u16) -> Self {
        self.response = Some(Head { status, fields: Fields::default(), body: Vec::new(), file: None });
        self
    }

    /// Adds a line to the response, which must be there.
    pub fn response_field_line(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.response.as_mut().expect("the test calls `response` first").fields.append(name, value.into());
        self
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    pub fn request_scheme(&self) -> &str {
        &self.scheme
    }

    pub fn request_authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The lines of a request field, joined with `, `.
    pub fn request_field(&self, name: &str) -> Option<String> {
        self.request.joined(name).map(text)
    }

    pub fn request_lines(&self, name: &str) -> Vec<String> {
        self.request.lines(name).into_iter().map(text).collect()
    }

    pub fn status(&self) -> Option<u16> {
        Some(self.response.as_ref()?.status)
    }

    /// The lines of a response field, joined with `, `.
    pub fn response_field(&self, name: &str) -> Option<String> {
        self.response.as_ref()?.fields.joined(name).map(text)
    }

    pub fn response_lines(&self, name: &str) -> Vec<String> {
        let Some(response) = &self.response else { return Vec::new() };
        response.fields.lines(name).into_iter().map(text).collect()
    }

    /// The body of an answer that the filter made.
    pub fn body(&self) -> &[u8] {
        self.response.as_ref().map_or(&[], |response| &response.body)
    }

    /// The file of an answer that the filter made: its root, and its path beneath it.
    pub fn file(&self) -> Option<(&str, &str)> {
        let (root, path) = self.response.as_ref()?.file.as_ref()?;
        Some((root, path))
    }

    /// A variable as a filter reads it.
    pub fn variable_named(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.variables.iter().find(|(known, _)| known == name) {
            return Some(value.clone());
        }
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        Some(match name {
            "request.id" => format!("test-{}", self.id),
            "request.method" => self.method.clone(),
            "request.host" => self.authority.clone(),
            "request.path" => path.to_owned(),
            "request.query" => query.to_owned(),
            "request.scheme" => self.scheme.clone(),
            "request.version" => "HTTP/1.1".to_owned(),
            "client.address" => self.client.clone(),
            "response.status" => self.status()?.to_string(),
            "time.http" => "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
            "time.unix" => "784111777".to_owned(),
            "time.iso" => "1994-11-06T08:49:37Z".to_owned(),
            _ => return None,
        })
    }

    pub(super) fn set_variable(&mut self, name: String, value: String) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value));
    }

    pub(super) fn answer(&mut self, answer: Answer, file: Option<(String, String)>) {
        let mut fields = Fields::default();
        for (name, value) in answer.headers {
            fields.append(&name, value);
        }
        self.response = Some(Head { status: answer.status, fields, body: answer.body, file });
    }
}

impl Fields {
    pub(super) fn lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
    }

    /// RFC 9110, section 5.3.
    pub(super) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let lines = self.lines(name);
        if lines.is_empty() { None } else { Some(lines.join(b", ".as_slice())) }
    }

    pub(super) fn append(&mut self, name: &str, value: Vec<u8>) {
        self.0.push((name.to_ascii_lowercase(), value));
    }

    pub(super) fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some(first) => {
                self.0[first].1 = value;
                let mut index = 0;
                self.0.retain(|(known, _)| {
                    index += 1;
                    index - 1 == first || !known.eq_ignore_ascii_case(name)
                });
            }
            None => self.append(name, value),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}
