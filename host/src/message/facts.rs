//! What is known of one exchange while it lives: what filters may ask and what the log may say.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::{RequestHead, ResponseHead, Secured};

/// One exchange's heads and circumstances. Moves into a filter's store for the time of a call, and back.
#[derive(Debug)]
pub struct Facts {
    /// The exchange's number.
    pub id: u64,
    /// The public id, as in `X-Request-Id`.
    pub request_id: String,
    /// The client, after trusted proxies were taken into account.
    pub client: Option<IpAddr>,
    /// What is known of the client's connection, when it is under TLS.
    pub secured: Option<Arc<Secured>>,
    /// The request, as it is now.
    pub request: RequestHead,
    /// The response, as it is now, once there is one.
    pub response: Option<ResponseHead>,
    /// The site that was chosen.
    pub site: Arc<str>,
    /// The route that was chosen.
    pub route: Arc<str>,
    /// The pool, once one was chosen.
    pub pool: Option<Arc<str>>,
    /// The member of the last attempt.
    pub member: Option<Arc<str>>,
    /// What filters have set.
    pub variables: Variables,
}

impl Facts {
    /// What is known at the beginning.
    #[must_use]
    pub fn of(id: u64, client: Option<IpAddr>, request: RequestHead) -> Self {
        thread_local! {
            static NOTHING: Arc<str> = "".into();
        }
        let nothing = NOTHING.with(Arc::clone);
        Self {
            id,
            request_id: String::new(),
            client,
            secured: None,
            request,
            response: None,
            site: nothing.clone(),
            route: nothing,
            pool: None,
            member: None,
            variables: Variables::default(),
        }
    }

    /// The facts of an exchange that is over, out of their place.
    #[must_use]
    pub fn leave(&mut self) -> Self {
        let mut blank = Self::of(self.id, self.client, self.request.clone());
        std::mem::swap(self, &mut blank);
        blank
    }
}

/// The first words of variables that only the gateway sets.
pub const OWN_SPACES: &[&str] = &["client", "member", "pool", "request", "response", "route", "site", "time", "tls"];

/// Whether a variable may be called so: `namespace.name`, in lower case letters, digits and `-`.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    let lawful = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.contains('.') && name.split('.').all(lawful)
}

/// Variables by name, few and in order.
#[derive(Debug, Clone, Default)]
pub struct Variables(Vec<(Text, Text)>);

/// Filters' own texts, or the gateway's, which are few and known.
type Text = Cow<'static, str>;

impl Variables {
    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Sets a variable, replacing an earlier value.
    pub fn set(&mut self, name: String, value: String) {
        self.put(name.into(), value.into());
    }

    /// The same with the gateway's own words.
    pub fn note(&mut self, name: &'static str, value: &'static str) {
        self.put(name.into(), value.into());
    }

    fn put(&mut self, name: Text, value: Text) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Every variable.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
