//! Configs of gateways under test: the usual one with parts put in, or a text of one's own.
//!
//! Top-level keys that every test wants (one thread, a filter cache of its own, JSON logs) are added unless given.

use crate::origin::Origin;
use crate::place::Place;
use crate::tls::Identity;

#[derive(Clone, Debug, Default)]
pub struct Config {
    text: String,
    fills: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    top: String,
    listener: String,
    pool: String,
    site: String,
    route: String,
    tables: String,
}

impl Config {
    /// Listener `web`, pool `app` with this origin as its only member, and site `all` with one route to it.
    pub fn to(origin: &Origin) -> Config {
        Config::to_url(&origin.url())
    }

    pub fn to_url(url: &str) -> Config {
        Config::default().fill("origin", url)
    }

    /// The same with these members: URLs, or tables as they are written in a config.
    pub fn of(members: &[impl AsRef<str>]) -> Config {
        let written = |member: &str| if member.starts_with('{') { member.to_owned() } else { format!("{member:?}") };
        let members: Vec<String> = members.iter().map(|member| written(member.as_ref())).collect();
        Config::default().pool(&format!("member = [{}]", members.join(", ")))
    }

    /// A text of one's own with `{name}` where `fill` puts something.
    pub fn text(text: &str) -> Config {
        Config { text: text.to_owned(), ..Config::default() }
    }

    /// The listener under TLS, with this for whoever names no site with certificates of its own.
    pub fn secure(self, identity: &Identity) -> Config {
        let entry = "tls.certificate = { chain = \"web.pem\", key = \"web.key\" }";
        self.identity("web", identity).listener(entry)
    }

    /// A certificate as `NAME.pem` beside the config, and its key as `NAME.key`.
    pub fn identity(self, name: &str, identity: &Identity) -> Config {
        self.file(&format!("{name}.pem"), identity.pem()).file(&format!("{name}.key"), identity.key_pem())
    }

    /// What stands for `{name}`.
    pub fn fill(mut self, name: &str, value: &str) -> Config {
        self.fills.push((format!("{{{name}}}"), value.to_owned()));
        self
    }

    /// A file beside the config.
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Config {
        self.files.push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// More lines at the top of the file.
    pub fn top(mut self, lines: &str) -> Config {
        push_line(&mut self.top, lines);
        self
    }

    /// More lines in `[listener.web]`.
    pub fn listener(mut self, lines: &str) -> Config {
        push_line(&mut self.listener, lines);
        self
    }

    /// More lines in `[pool.app]`.
    pub fn pool(mut self, lines: &str) -> Config {
        push_line(&mut self.pool, lines);
        self
    }

    /// More lines in `[site.all]`.
    pub fn site(mut self, lines: &str) -> Config {
        push_line(&mut self.site, lines);
        self
    }

    /// More lines in the route.
    pub fn route(mut self, lines: &str) -> Config {
        push_line(&mut self.route, lines);
        self
    }

    /// More tables, `[filter.x]` say, or routes that come after the usual one.
    pub fn tables(mut self, lines: &str) -> Config {
        push_line(&mut self.tables, lines);
        self
    }

    /// The access log, as a file with one line of these variables for each exchange.
    pub fn access_log(self, format: &str) -> Config {
        self.tables(&format!("[access-log]\npath = \"access.log\"\nformat = '{format}'"))
    }

    /// Writes `weir.toml` and the files beside it.
    pub fn write(&self, place: &Place) {
        for (name, content) in &self.files {
            place.write(name, content);
        }
        place.write("weir.toml", self.render(place));
    }

    pub(crate) fn render(&self, place: &Place) -> String {
        let usual = self.usual();
        let text = if self.text.is_empty() { &usual } else { &self.text };
        let mut top = self.top.clone();
        for (key, line) in [("threads", "threads = 1"), ("cache-directory", "cache-directory = \"{place}/cache\"")] {
            if !text.contains(key) && !top.contains(key) {
                push_line(&mut top, line);
            }
        }
        let log = if text.contains("[log]") || self.tables.contains("[log]") {
            ""
        } else {
            "[log]\nlevel = \"debug\"\nformat = \"json\"\n"
        };
        let mut whole = format!("{top}{text}\n{log}{}", self.tables);
        for (name, value) in &self.fills {
            whole = whole.replace(name, value);
        }
        whole.replace("{place}", &place.path().display().to_string())
    }

    fn usual(&self) -> String {
        let bind = if self.listener.contains("bind") { "" } else { "bind = \"127.0.0.1:0\"\n" };
        let member = if self.pool.contains("member") { "" } else { "member = [\"{origin}\"]\n" };
        let end = ["pool", "root", "respond", "exclude"].iter().any(|end| starts_a_line(&self.route, end));
        let pool = if end { "" } else { "pool = \"app\"\n" };
        format!(
            "[listener.web]\n{bind}{}[pool.app]\n{member}{}[site.all]\n{}[[site.all.route]]\n{}{pool}",
            self.listener, self.pool, self.site, self.route
        )
    }
}

fn push_line(text: &mut String, lines: &str) {
    text.push_str(lines);
    text.push('\n');
}

fn starts_a_line(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with(key))
}
