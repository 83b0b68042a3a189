//! The config: TOML as written, checked into a `Plan`, with every problem found at once.
//!
//! Nobody else knows TOML. A plan is only handed out when there is no problem at all, so whoever holds one need not
//! check it again. Files that a page, a fixed answer or TLS names are read here, and programs, users and groups
//! are looked up; nothing else is touched.

use std::path::Path;

mod accel;
mod admin;
mod cache;
mod condition;
mod files;
mod filter;
#[cfg(test)]
mod golden;
mod https;
mod listener;
mod page;
mod pem;
mod plan;
mod pool;
mod problem;
mod reach;
mod respond;
mod route;
mod similar;
mod site;
mod source;
mod table;
mod template;
mod value;
mod whole;
mod written;

pub use self::plan::*;
pub use self::problem::{Place, Problem};
pub use self::similar::hint;
use self::source::Source;
pub use self::value::duration;
use crate::kernel;

/// A config beyond this is not read: a hundred thousand routes, each with a line of everything, have a quarter of it.
const LARGEST: u64 = 64 << 20;

/// Reads and checks a config. Paths inside it are relative to its directory.
///
/// # Errors
/// Every problem there is, in the order of the file. While the file is not TOML, only what makes it so is told. One that has no
/// end is told of as soon as it is longer than a config may be.
pub fn load(path: &Path) -> Result<Plan, Vec<Problem>> {
    let file = path.display().to_string();
    let directory = path.parent().unwrap_or(Path::new(""));
    match kernel::read_text(path, LARGEST) {
        Ok(text) => parse(&text, &file, directory),
        Err(error) => Err(vec![Source::of("", &file, directory).about_the_file(error.to_string())]),
    }
}

/// Checks a config that is at hand. `file` is what problems call it; paths inside it are relative to `directory`.
///
/// # Errors
/// As `load`.
pub fn parse(text: &str, file: &str, directory: &Path) -> Result<Plan, Vec<Problem>> {
    let source = Source::of(text, file, directory);
    let (document, errors) = toml::de::DeTable::parse_recoverable(text);
    for error in errors {
        let start = error.span().map_or(0, |span| span.start);
        source.report(&source.place(start), format!("not valid TOML: {}", error.message()));
    }
    source.judge()?;
    let plan = whole::read(&source, &document);
    source.judge()?;
    plan.ok_or_else(|| vec![source.about_the_file("cannot be made into a plan".to_owned())])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SAMPLE: &str = r#"
[listener.web]
bind = "0.0.0.0:8080"

[pool.app]
balance = "round-robin"
member = [ { url = "http://127.0.0.1:9001", weight = 3 }, "http://127.0.0.1:9002", "unix:/run/app.sock" ]

[filter.rewrite]
module = "std:url-rewrite"
settings = { rule = [ { match = "^/old/(.*)$", to = "/new/$1" } ] }

[site.shop]
host = ["shop.example", "*.shop.example"]
  [[site.shop.route]]
  path = "/images/"
  pool = "app"
  filters = ["rewrite"]
"#;

    const EVERYTHING: &str = include_str!("golden/everything.toml");

    #[test]
    fn a_sample_becomes_a_plan() {
        let plan = parse(SAMPLE, "weir.toml", Path::new("/etc/weir")).unwrap();
        assert_eq!(plan.listeners[0].bind, [Bind::Tcp("0.0.0.0:8080".parse().unwrap())]);
        assert_eq!(plan.pools[0].members[0].weight, 3);
        assert_eq!(plan.pools[0].members[2].address, MemberAddress::Unix("/run/app.sock".into()));
        assert_eq!(plan.filters[0].settings, r#"{"rule":[{"match":"^/old/(.*)$","to":"/new/$1"}]}"#);
        assert_eq!(plan.sites[0].hosts, ["shop.example", "*.shop.example"]);
        assert_eq!(plan.sites[0].routes[0].filters, [0]);
        assert!(matches!(plan.sites[0].routes[0].action, Action::Pool(0)));
        assert_eq!(plan.default_site, None);
    }

    #[test]
    fn a_plan_written_out_is_the_same_plan() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/golden");
        for text in [SAMPLE, EVERYTHING] {
            let plan = parse(&text.replace("GOLDEN", golden), "weir.toml", Path::new("/etc/weir")).unwrap();
            let written = plan.to_toml();
            let again = parse(&written, "weir.toml", Path::new("/elsewhere")).unwrap();
            assert_eq!(written, again.to_toml());
            assert_eq!(without_places(&plan), without_places(&again), "{written}");
        }
    }

    #[test]
    fn a_members_url_says_how_it_is_spoken_to() {
        for (url, address, host, protocol, tls) in [
            ("http://A.example", MemberAddress::Name("a.example".into(), 80), "A.example", Protocol::Http1, false),
            ("https://a.example", MemberAddress::Name("a.example".into(), 443), "a.example", Protocol::Auto, true),
            ("https://[::1]:1", MemberAddress::Tcp("[::1]:1".parse().unwrap()), "[::1]:1", Protocol::Auto, true),
            ("unix:@app", MemberAddress::Abstract(b"app".to_vec()), "localhost", Protocol::Http1, false),
            ("https://unix:/a", MemberAddress::Unix("/a".into()), "localhost", Protocol::Auto, true),
            ("srv://_a._tcp.B.c", MemberAddress::Service("_a._tcp.b.c".into()), "b.c", Protocol::Http1, false),
            ("srvs://b.c", MemberAddress::Service("b.c".into()), "b.c", Protocol::Auto, true),
        ] {
            let text = SAMPLE.replace("unix:/run/app.sock", url);
            let plan = parse(&text, "weir.toml", Path::new("/etc/weir")).unwrap();
            let member = &plan.pools[0].members[2];
            assert_eq!((&member.address, member.host.to_str().unwrap()), (&address, host), "{url}");
            assert_eq!((member.transport.protocol, member.transport.tls.is_some()), (protocol, tls), "{url}");
        }
    }

    #[test]
    fn what_a_member_or_a_check_says_itself_goes_before_what_is_shared() {
        let text = SAMPLE.replace("[pool.app]", "[health.web]\npath = \"/a\"\nfails = 9\n[pool.app]").replace(
            "balance = \"round-robin\"",
            "health = { template = \"web\", path = \"/b\" }\nmax-requests = 5\ntls = { server-name = \"s\", verify = false }",
        );
        let own = "{ url = \"https://b\", max-requests = 6, tls = { verify = true } }, \"unix:/run";
        let plan = parse(&text.replace("\"unix:/run", own), "weir.toml", Path::new("/etc/weir")).unwrap();
        let (pool, health) = (&plan.pools[0], plan.pools[0].health.clone().unwrap());
        let tls = pool.members[2].transport.tls.clone().unwrap();
        assert_eq!((tls.server_name.as_deref(), tls.verify), (Some("s"), true));
        assert_eq!((pool.members[0].max_requests, pool.members[2].max_requests), (Some(5), Some(6)));
        assert!(matches!(&health.check, Check::Http(check) if check.path == "/b"));
        assert_eq!(health.fails, 9);
    }

    #[test]
    fn a_file_that_is_not_there_is_a_problem() {
        let problems = load(Path::new("/nowhere/weir.toml")).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().starts_with("/nowhere/weir.toml: cannot be read: "), "{}", problems[0]);
    }

    #[test]
    fn what_has_no_end_is_read_up_to_a_bound() {
        let said = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(said(load(Path::new("/dev/zero")).unwrap_err()), ["/dev/zero: is larger than 64MiB"]);
        for key in ["error-page = { 404 = { file = \"/dev/zero\" } }", "certificate = { chain = \"/dev/zero\" }"] {
            let text = SAMPLE.replace("host = [", &format!("{key}\nhost = ["));
            let problems = said(parse(&text, "weir.toml", Path::new("/")).unwrap_err());
            let told = problems.iter().any(|problem| problem.ends_with("/dev/zero is larger than 1MiB"));
            assert!(told, "{problems:?}");
        }
    }

    #[test]
    fn pages_are_read_beside_the_config_and_have_a_bound() {
        let directory = std::env::temp_dir().join(format!("weir-config-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("404.txt"), "gone fishing").unwrap();
        fs::write(directory.join("large.html"), vec![b'x'; (1 << 20) + 1]).unwrap();
        fs::write(directory.join("latin1.html"), b"\xe9").unwrap();
        let check = |file: &str| {
            let page = format!("error-page = {{ 404 = {{ file = {file:?} }} }}");
            parse(&SAMPLE.replace("host = [", &format!("{page}\nhost = [")), "weir.toml", &directory)
        };
        let page = check("404.txt").unwrap().sites[0].error_pages[0].clone();
        let said = |file: &str| check(file).unwrap_err()[0].text.replace(&directory.display().to_string(), "DIR");
        let (large, latin1) = (said("large.html"), said("latin1.html"));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!((&*page.body, page.content_type.to_str().unwrap()), ("gone fishing", "text/plain; charset=utf-8"));
        assert_eq!(large, "site \"shop\": error-page: 404: file: DIR/large.html is larger than 1MiB");
        let prefix = "site \"shop\": error-page: 404: file: DIR/latin1.html cannot be read: ";
        assert_eq!(latin1, format!("{prefix}it is not UTF-8 from byte 0 on"));
    }

    #[test]
    fn every_example_is_a_plan() {
        let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
        // Keys are made where they are used.
        let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/golden"));
        let keys = std::env::temp_dir().join(format!("weir-config-keys-{}", std::process::id()));
        fs::create_dir_all(&keys).unwrap();
        for (name, from) in [("shop.pem", "certificate.pem"), ("shop.key", "key.pem"), ("ca.pem", "certificate.pem")] {
            fs::copy(golden.join(from), keys.join(name)).unwrap();
        }
        let mut seen = 0;
        for entry in fs::read_dir(examples).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = fs::read_to_string(&path).unwrap();
                let directory = if text.contains("shop.key") { &keys } else { examples };
                let plan = parse(&text, "example.toml", directory).unwrap_or_else(|problems| panic!("{problems:#?}"));
                parse(&plan.to_toml(), "written.toml", Path::new("/")).unwrap();
                seen += 1;
            }
        }
        fs::remove_dir_all(&keys).unwrap();
        assert!(seen >= 6);
    }

    fn without_places(plan: &Plan) -> String {
        let places = regex::Regex::new(r"Place \{[^}]*\}").unwrap();
        places.replace_all(&format!("{plan:?}"), "Place").into_owned()
    }
}
