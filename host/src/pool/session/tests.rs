//! Sessions by all three ways, in tables.

use super::*;
use crate::clock::Duration;
use crate::config::{SameSite, StickyFallback, StickyInsert, StickyLearn, StickyRoute};
use crate::message::{Method, Name, Scheme, Status, Value, host, name};

/// What is read: `None` for no session, else positions.
type Read<'a> = Option<&'a [usize]>;

/// A seat as `name`, `name:route` or `name:route>redirect`.
fn seats(texts: &[&str]) -> Vec<SeatName> {
    let seat = |text: &&str| {
        let (text, redirect) = text.split_once('>').map_or((*text, None), |(text, redirect)| (text, Some(redirect)));
        let (name, route) = text.split_once(':').map_or((text, None), |(name, route)| (name, Some(route)));
        SeatName { name: name.into(), route: route.map(Arc::from), redirect: redirect.map(Arc::from) }
    };
    texts.iter().map(seat).collect()
}

fn sticky(by: StickyBy) -> Sticky {
    Sticky { by, fallback: StickyFallback::Rebalance }
}

fn by_route() -> StickyRoute {
    StickyRoute {
        cookies: vec!["JSESSIONID".into(), "SID".into()],
        parameter: Some("jsessionid".into()),
        separator: Some('.'),
        ranked: None,
    }
}

fn by_insert() -> StickyInsert {
    StickyInsert {
        name: "WEIR".into(),
        path: "/".into(),
        domain: None,
        max_age: None,
        secure: false,
        http_only: true,
        same_site: None,
        secret: Some("a secret of forty letters, or nearly so..".into()),
    }
}

fn by_learn() -> StickyLearn {
    let (parameter, timeout) = (Some("sid".into()), Duration::from_secs(600));
    StickyLearn { cookie: "SID".into(), parameter, timeout, capacity: 100 }
}

fn sessions(plan: &Sticky, seats: &[SeatName]) -> Sessions {
    Sessions::of(plan, "app", seats, Arc::new(Learned::of(plan)))
}

fn request(target: &str, cookies: &[&[u8]]) -> RequestHead {
    let authority = host::parse(b"h").unwrap();
    let mut request = RequestHead::of(Method::GET, Scheme::Http, authority, target.parse().unwrap());
    for line in cookies {
        request.fields.append(name::COOKIE, Value::from_bytes(line).unwrap());
    }
    request
}

/// What is read of a target and `Cookie` lines.
fn read(sessions: &Sessions, target: &str, cookies: &[&[u8]]) -> Option<Vec<usize>> {
    sessions.read(&request(target, cookies)).map(|session| session.positions().to_vec())
}

fn answer(lines: &[(&'static str, &str)]) -> ResponseHead {
    let mut answer = ResponseHead::of(Status::OK);
    for (name, value) in lines {
        answer.fields.append(Name::from_static(name), Value::from_str(value).unwrap());
    }
    answer
}

fn lines(fields: &Fields, name: &str) -> Vec<String> {
    fields.lines(name).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect()
}

#[test]
fn routes() {
    let seats = seats(&["a:one", "b:two", "c:x.y", "d", "e:two"]);
    let sessions = sessions(&sticky(StickyBy::Route(by_route())), &seats);
    let cases: &[(&str, &[&str], Read<'_>)] = &[
        ("/", &[], None),
        ("/", &["JSESSIONID=abc.one"], Some(&[0])),
        ("/", &["JSESSIONID=\"abc.one\""], Some(&[0])),
        ("/", &["a=b; JSESSIONID=abc.one;c=d"], Some(&[0])),
        ("/", &["a=b", "JSESSIONID=abc.one"], Some(&[0])),
        // A route that two have; a route with the separator in it.
        ("/", &["JSESSIONID=abc.two"], Some(&[1, 4])),
        ("/", &["JSESSIONID=abc.x.y"], Some(&[2])),
        ("/", &["JSESSIONID=.one"], Some(&[0])),
        // A session's own part may hold it too.
        ("/", &["JSESSIONID=a.b.c.one"], Some(&[0])),
        ("/", &["JSESSIONID=a.b.x.y"], Some(&[2])),
        ("/", &["JSESSIONID=a.b.three"], Some(&[])),
        // No separator or nothing behind it: not sticky. Nobody of that route: a session, but nobody's.
        ("/", &["JSESSIONID=one"], None),
        ("/", &["JSESSIONID=abc."], None),
        ("/", &["JSESSIONID="], None),
        ("/", &["JSESSIONID=abc.three"], Some(&[])),
        ("/", &["JSESSIONID=abc.d"], Some(&[])),
        ("/", &["JSESSIONID=abc.ONE"], Some(&[])),
        ("/", &["jsessionid=abc.one"], None),
        // The first value that names somebody.
        ("/", &["JSESSIONID=x.old; JSESSIONID=x.two"], Some(&[1, 4])),
        ("/", &["SID=x.one; JSESSIONID=x.two"], Some(&[1, 4])),
        ("/", &["SID=x.one; JSESSIONID=none"], Some(&[0])),
        // Parameters go before cookies, of the path before of the query.
        ("/a;jsessionid=1.one", &["JSESSIONID=abc.two"], Some(&[0])),
        ("/a;x=y;jsessionid=1.one/b?q", &[], Some(&[0])),
        ("/a?b=c&jsessionid=1.one", &["JSESSIONID=abc.two"], Some(&[0])),
        ("/a?jsessionid=1%2Eone", &[], Some(&[0])),
        ("/a;jsessionid=1.one?jsessionid=1.two", &[], Some(&[0])),
        ("/a;jsessionid=1.gone", &["JSESSIONID=abc.two"], Some(&[1, 4])),
        ("/a;JSESSIONID=1.one", &[], None),
        ("/a;jsessionid", &[], None),
        ("/jsessionid=1.one", &[], None),
        ("/a;xjsessionid=1.one?xjsessionid=1.one", &[], None),
    ];
    for (target, cookies, expected) in cases {
        let cookies: Vec<&[u8]> = cookies.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(read(&sessions, target, &cookies).as_deref(), *expected, "{target} {cookies:?}");
    }
    let mut unchanged = answer(&[]);
    sessions.settle(None, 0, &mut unchanged);
    assert!(unchanged.fields.is_empty());
}

#[test]
fn routes_without_separator_and_ranked_ones() {
    let names = seats(&["a:one", "b:two", "c:three", "d:four>three"]);
    let plan = |separator, ranked| sticky(StickyBy::Route(StickyRoute { separator, ranked, ..by_route() }));
    let cases: &[(Option<char>, Option<char>, &str, Read<'_>)] = &[
        (None, None, "one", Some(&[0])),
        (None, None, "x.one", Some(&[])),
        (None, None, "", None),
        (Some('!'), None, "x.y!two", Some(&[1])),
        (Some('\u{e9}'), None, "x\u{e9}two", Some(&[1])),
        (Some('.'), Some(':'), "x.two:one", Some(&[1, 0])),
        (Some('.'), Some(':'), "x.gone::two:two", Some(&[1])),
        (Some('.'), Some(':'), "x.four:one:three", Some(&[3, 2, 0])),
        (Some('.'), Some('.'), "x.one.two", Some(&[0, 1])),
        (None, Some(':'), "three:one", Some(&[2, 0])),
        (Some('.'), Some(':'), "x.:::", Some(&[])),
    ];
    for (separator, ranked, value, expected) in cases {
        let sessions = sessions(&plan(*separator, *ranked), &names);
        let cookie = format!("SID={value}");
        assert_eq!(
            read(&sessions, "/", &[cookie.as_bytes()]).as_deref(),
            *expected,
            "{separator:?} {ranked:?} {value}"
        );
    }
}

#[test]
fn redirects_are_followed_and_end() {
    let cases: &[(&[&str], &[usize])] = &[
        (&["a:one>two", "b:two>three", "c:three"], &[0, 1, 2]),
        (&["a:one>one", "b:two"], &[0]),
        (&["a:one>two", "b:two>one"], &[0, 1]),
        (&["a:one>two", "b:two>three", "c:three>two"], &[0, 1, 2]),
        (&["a:one>gone", "b:two"], &[0]),
        (&["a:one>two", "b:two", "c:one>three", "d:three", "e:two>five", "f:five"], &[0, 2, 1, 4, 3, 5]),
    ];
    for (texts, expected) in cases {
        let sessions = sessions(&sticky(StickyBy::Route(by_route())), &seats(texts));
        assert_eq!(read(&sessions, "/", &[b"SID=x.one"]).as_deref(), Some(*expected), "{texts:?}");
    }
    // A ring of a thousand is walked as far as is useful, and no further.
    let ring: Vec<String> = (0..1000).map(|seat| format!("m{seat}:r{seat}>r{}", (seat + 1) % 1000)).collect();
    let ring = seats(&ring.iter().map(String::as_str).collect::<Vec<_>>());
    let sessions = sessions(&sticky(StickyBy::Route(by_route())), &ring);
    assert_eq!(
        read(&sessions, "/", &[b"SID=x.r990"]).unwrap()[..12],
        [990, 991, 992, 993, 994, 995, 996, 997, 998, 999, 0, 1]
    );
    assert_eq!(read(&sessions, "/", &[b"SID=x.r990"]).unwrap().len(), 32);
}

/// Whatever is sent, something sensible is read, and soon.
#[test]
fn hostile_cookies() {
    let names = seats(&["a:one"]);
    let ranked = StickyRoute { ranked: Some(':'), ..by_route() };
    let plans = [StickyBy::Route(ranked), StickyBy::Insert(by_insert()), StickyBy::Learn(by_learn())];
    let many = |cookie: &str| cookie.repeat(100_000 / cookie.len()).into_bytes();
    let texts = [
        b"=;=;;;==; =".to_vec(),
        b"SID".to_vec(),
        b"SID=\"".to_vec(),
        b"WEIR=\"\"; SID=\"\"".to_vec(),
        b"SID=\xff\xfe.\xfdone; JSESSIONID=\xff".to_vec(),
        b"\xff=\xff; WEIR=\xff\xff".to_vec(),
        many("SID=x.gone; "),
        many("WEIR=AAAAAAAAAAAAAAAAAAAAAA; "),
        many("a=b; "),
        many(";"),
        [b"SID=x.".to_vec(), many("gone:")].concat(),
        [b"SID=".to_vec(), many("x")].concat(),
    ];
    for by in plans {
        let sessions = sessions(&sticky(by), &names);
        for text in &texts {
            let mut request = request("/;;;==;sid;jsessionid?&&=&sid=&jsessionid=.", &[text, text]);
            let session = sessions.read(&request);
            assert!(session.is_none_or(|session| session.positions().is_empty()));
            sessions.hide(&mut request.fields);
            assert!(
                lines(&request.fields, "cookie")
                    .iter()
                    .all(|line| !line.contains("WEIR=") || !matches!(sessions.0, By::Insert(_)))
            );
        }
    }
    // Beyond thousands of others, the one that counts is still found.
    let sessions = sessions(&sticky(StickyBy::Route(by_route())), &names);
    assert_eq!(read(&sessions, "/", &[&many("a=b; "), b"SID=x.one"]), Some(vec![0]));
}

#[test]
fn a_cookie_is_inserted_once_and_leads_back() {
    let names = seats(&["a:one>two", "b:two", "c", "c"]);
    let sessions = sessions(&sticky(StickyBy::Insert(by_insert())), &names);
    let cookie_of = |position| {
        let mut answer = answer(&[]);
        sessions.settle(None, position, &mut answer);
        let lines = lines(&answer.fields, "set-cookie");
        assert_eq!(lines.len(), 1);
        lines[0].split(';').next().unwrap().to_owned()
    };
    let cookies: Vec<String> = (0..4).map(cookie_of).collect();
    assert!(cookies[0] != cookies[1] && cookies[1] != cookies[2] && cookies[2] == cookies[3]);
    for (position, expected) in [(0, &[0, 1][..]), (1, &[1]), (2, &[2, 3]), (3, &[2, 3])] {
        assert_eq!(read(&sessions, "/", &[cookies[position].as_bytes()]).as_deref(), Some(expected));
    }
    // Who brings it and who answers decide whether a new one is set.
    for (brought, answers, is_set) in [
        (Some(cookies[0].as_str()), 0, false),
        (Some(&cookies[0]), 1, true),
        (Some(&cookies[2]), 3, false),
        (Some("WEIR=AAAAAAAAAAAAAAAAAAAAAA"), 0, true),
        (Some("WEIR=one"), 0, true),
        (None, 0, true),
    ] {
        let request = request("/", brought.map(str::as_bytes).as_slice());
        let session = sessions.read(&request);
        assert_eq!(session.is_some(), brought.is_some());
        let mut answer = answer(&[]);
        sessions.settle(session.as_ref(), answers, &mut answer);
        assert_eq!(answer.fields.contains("set-cookie"), is_set, "{brought:?} {answers}");
        assert_eq!(answer.fields.contains("cache-control"), is_set, "{brought:?} {answers}");
    }
    let mut nobody = answer(&[]);
    sessions.settle(None, 99, &mut nobody);
    assert!(nobody.fields.is_empty());
}

/// A value of another pool, another secret, a changed one: all as good as none.
#[test]
fn cookies_cannot_be_made() {
    let names = seats(&["a", "b"]);
    let other = |pool: &str, secret: Option<&str>| {
        let plan = sticky(StickyBy::Insert(StickyInsert { secret: secret.map(Arc::from), ..by_insert() }));
        let mut answer = answer(&[]);
        Sessions::of(&plan, pool, &names, Arc::new(Learned::of(&plan))).settle(None, 0, &mut answer);
        lines(&answer.fields, "set-cookie")[0].split(';').next().unwrap().to_owned()
    };
    let secret = by_insert().secret;
    let sessions = sessions(&sticky(StickyBy::Insert(by_insert())), &names);
    let own = other("app", secret.as_deref());
    assert_eq!(read(&sessions, "/", &[own.as_bytes()]), Some(vec![0]));
    let shorter = own.get(..own.len() - 1).unwrap().to_owned();
    let made =
        [other("api", secret.as_deref()), other("app", Some("x")), other("app", None), shorter, format!("{own}A")];
    for cookie in made.iter().map(String::as_str).chain(["WEIR=a", "WEIR=0", "WEIR="]) {
        assert_eq!(read(&sessions, "/", &[cookie.as_bytes()]), Some(vec![]), "{cookie}");
    }
    // Without a secret in the config, the process has one, and keeps it over a reload.
    assert_eq!(other("app", None), other("app", None));
}

#[test]
fn attributes_of_the_cookie() {
    let plain = StickyInsert { http_only: false, ..by_insert() };
    let all = StickyInsert {
        path: "/shop".into(),
        domain: Some("shop.example".into()),
        max_age: Some(Duration::from_secs(3600)),
        secure: true,
        same_site: Some(SameSite::Lax),
        ..by_insert()
    };
    let none = StickyInsert { secure: true, same_site: Some(SameSite::None), ..plain.clone() };
    let strict = StickyInsert { same_site: Some(SameSite::Strict), ..plain.clone() };
    for (plan, expected) in [
        (plain, "; Path=/"),
        (all, "; Path=/shop; Domain=shop.example; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"),
        (none, "; Path=/; Secure; SameSite=None"),
        (strict, "; Path=/; SameSite=Strict"),
    ] {
        let mut answer = answer(&[("set-cookie", "own=1")]);
        sessions(&sticky(StickyBy::Insert(plan)), &seats(&["a"])).settle(None, 0, &mut answer);
        let lines = lines(&answer.fields, "set-cookie");
        assert_eq!(lines[0], "own=1");
        let (value, attributes) = lines[1].split_at("WEIR=".len() + 22);
        assert!(value.bytes().skip(5).all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{value}");
        assert_eq!(attributes, expected);
    }
}

#[test]
fn an_answer_with_our_cookie_is_private() {
    let sessions = sessions(&sticky(StickyBy::Insert(by_insert())), &seats(&["a"]));
    for (before, after) in [
        (&[][..], &["private"][..]),
        (&["public, max-age=60"], &["public, max-age=60", "private"]),
        (&["no-cache"], &["no-cache", "private"]),
        (&["max-age=60, Private"], &["max-age=60, Private"]),
        (&["max-age=60", "no-store"], &["max-age=60", "no-store"]),
        (&["private=\"set-cookie\""], &["private=\"set-cookie\"", "private"]),
        (&["no-cache=\"a, no-store , b\""], &["no-cache=\"a, no-store , b\"", "private"]),
    ] {
        let given: Vec<_> = before.iter().map(|line| ("cache-control", *line)).collect();
        let mut answer = answer(&given);
        answer.fields.set(Name::from_static("cdn-cache-control"), Value::from_static("max-age=600"));
        sessions.settle(None, 0, &mut answer);
        assert_eq!(lines(&answer.fields, "cache-control"), *after);
        assert!(!answer.fields.contains("cdn-cache-control"));
    }
}

#[test]
fn our_cookie_is_hidden_from_members() {
    let names = seats(&["a"]);
    for (before, after) in [
        (&[][..], &[][..]),
        (&["WEIR=x"], &[]),
        (&["WEIR=x; a=1"], &["a=1"]),
        (&["a=1; WEIR=x;b=\"2\"; WEIR=y ;c"], &["a=1; b=\"2\"; c"]),
        (&["WEIR=x", "a=1", ";WEIR=", "b=2"], &["a=1", "b=2"]),
        (&["weir=x;; WEIRD=1; a=WEIR=x"], &["weir=x;; WEIRD=1; a=WEIR=x"]),
    ] {
        let cookies: Vec<&[u8]> = before.iter().map(|line| line.as_bytes()).collect();
        let mut inserting = request("/", &cookies);
        sessions(&sticky(StickyBy::Insert(by_insert())), &names).hide(&mut inserting.fields);
        assert_eq!(lines(&inserting.fields, "cookie"), *after);
        let mut learning = request("/", &cookies);
        sessions(&sticky(StickyBy::Learn(by_learn())), &names).hide(&mut learning.fields);
        assert_eq!(lines(&learning.fields, "cookie"), *before);
    }
}

#[test]
fn sessions_are_learned_and_moved() {
    let plan = sticky(StickyBy::Learn(by_learn()));
    let names = seats(&["a:one>two", "b:two", "c"]);
    let learned = Arc::new(Learned::of(&plan));
    let sessions = Sessions::of(&plan, "app", &names, learned.clone());
    assert_eq!(read(&sessions, "/", &[]), None);
    assert_eq!(read(&sessions, "/", &[b"SID="]), None);
    assert_eq!(read(&sessions, "/", &[b"SID=v1"]), Some(vec![]));

    let set = |value: &str, position| {
        let mut answer = answer(&[("set-cookie", "other=v9; Path=/"), ("set-cookie", value)]);
        sessions.settle(None, position, &mut answer);
        assert_eq!(answer.fields.len(), 2, "the answer stays as it is");
    };
    set("SID=v1; Path=/; HttpOnly", 0);
    set(" SID = \"v2\" ;Secure", 2);
    for unlearned in ["SID=; Max-Age=0", "sid=v3", "SID", "x; SID=v3"] {
        set(unlearned, 0);
    }
    assert_eq!(learned.count(), 2);
    for (target, cookie, expected) in [
        ("/", "SID=v1", Some(&[0, 1][..])),
        ("/", "a=b; SID=\"v1\"", Some(&[0, 1])),
        ("/", "SID=v2", Some(&[2])),
        ("/", "SID=v3", Some(&[])),
        ("/", "SID=v9", Some(&[])),
        ("/", "SID=gone; SID=v2", Some(&[2])),
        ("/?sid=v2", "SID=v1", Some(&[2])),
        ("/a;sid=v2", "SID=v1", Some(&[2])),
        ("/?sid=v7", "SID=v1", Some(&[0, 1])),
    ] {
        assert_eq!(read(&sessions, target, &[cookie.as_bytes()]).as_deref(), expected, "{target} {cookie}");
    }

    // Another member served it and set nothing: it is that one's now. One that was never seen is not remembered.
    for (cookie, position, expected) in [("SID=v1", 1, &[1][..]), ("SID=made-up", 1, &[])] {
        let session = sessions.read(&request("/", &[cookie.as_bytes()]));
        sessions.settle(session.as_ref(), position, &mut answer(&[]));
        assert_eq!(read(&sessions, "/", &[cookie.as_bytes()]).as_deref(), Some(expected), "{cookie}");
    }
    // The other member began a session of its own: the old one stays where it was.
    let session = sessions.read(&request("/", &[b"SID=v2"]));
    sessions.settle(session.as_ref(), 0, &mut answer(&[("set-cookie", "SID=v4")]));
    assert_eq!(read(&sessions, "/", &[b"SID=v2"]), Some(vec![2]));
    assert_eq!(read(&sessions, "/", &[b"SID=v4"]), Some(vec![0, 1]));

    // A reload with members in another order, one gone: the table knows names.
    let reloaded = Sessions::of(&plan, "app", &seats(&["d", "c", "b"]), learned.clone());
    assert_eq!(read(&reloaded, "/", &[b"SID=v2"]), Some(vec![1]));
    assert_eq!(read(&reloaded, "/", &[b"SID=v4"]), Some(vec![]));
}

#[test]
fn the_table_is_bounded_and_forgets() {
    let of = |timeout, capacity| sticky(StickyBy::Learn(StickyLearn { timeout, capacity, ..by_learn() }));
    let plan = of(Duration::from_secs(600), 100);
    let learned = Arc::new(Learned::of(&plan));
    let sessions = Sessions::of(&plan, "app", &seats(&["a"]), learned.clone());
    for number in 0..10_000 {
        sessions.settle(None, 0, &mut answer(&[("set-cookie", &format!("SID=v{number}"))]));
    }
    assert_eq!(learned.count(), 100);
    assert_eq!(read(&sessions, "/", &[b"SID=v9999"]), Some(vec![0]), "the last one is among them");
    assert_eq!(read(&sessions, "/", &[b"SID=v0"]), Some(vec![]));

    let brief = of(Duration::from_millis(20), 100);
    let learned = Arc::new(Learned::of(&brief));
    let sessions = Sessions::of(&brief, "app", &seats(&["a"]), learned.clone());
    sessions.settle(None, 0, &mut answer(&[("set-cookie", "SID=v")]));
    let patience = crate::clock::now() + Duration::from_secs(10);
    while learned.count() > 0 {
        assert!(crate::clock::now() < patience, "it is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(read(&sessions, "/", &[b"SID=v"]), Some(vec![]));

    assert!(learned.suits(&brief) && !learned.suits(&plan) && !learned.suits(&sticky(StickyBy::Insert(by_insert()))));
    // The longest time that a config can say is no reason to fall over.
    let _ = Learned::of(&of(Duration::MAX, u64::MAX));
}
