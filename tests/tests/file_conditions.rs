//! Conditional requests and ranges of files (RFC 9110, sections 13 and 14), as tables, on HTTP/1.1; `files.rs` has them over
//! every version.

use weir_tests::{Authority, Client, Config, Gateway, Response, Tree, Visitor, byte_at};

/// 2001-09-09 01:46:40 UTC.
const THEN: u64 = 1_000_000_000;
const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
const SAME: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";
/// The same instant in the forms that are obsolete (RFC 9110, section 5.6.7).
const SAME_RFC850: &str = "Sunday, 09-Sep-01 01:46:40 GMT";
const SAME_ASCTIME: &str = "Sun Sep  9 01:46:40 2001";

struct World {
    gateway: Gateway,
    tree: Tree,
}

impl World {
    fn stand() -> World {
        let tree = Tree::fresh();
        tree.file("ten.txt", "0123456789").dated("ten.txt", THEN).file("empty.txt", "").dated("empty.txt", THEN);
        tree.counted("big.bin", 1_000_000).dated("big.bin", THEN).sparse("huge.bin", 5 << 30);
        let text = "[listener.web]\nbind = \"127.0.0.1:0\"\n[files]\nrevalidate = \"10ms\"\n\
            [site.all]\nroute = [{ root = \"{tree}\" }]\n";
        let gateway = Gateway::start(&Config::text(text).fill("tree", &tree.path("")));
        World { gateway, tree }
    }

    fn client(&self) -> Client {
        self.gateway.client()
    }
}

/// Asks for a table of fields, and says where the status is another.
#[track_caller]
fn statuses(client: &mut Client, target: &str, table: &[(&[(&str, &str)], u16)]) {
    let wrong: Vec<String> = table
        .iter()
        .map(|(fields, status)| (fields, status, client.ask(target, fields)))
        .filter(|(_, status, response)| response.status != **status)
        .map(|(fields, status, response)| format!("{target} with {fields:?}: not {status} but {response}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn validators_stay_what_they_are_as_long_as_the_file_does() {
    let world = World::stand();
    let mut client = world.client();
    let first = client.get("/ten.txt");
    let (etag, modified) = (first.field("etag"), first.field("last-modified"));
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 4, "not a strong one: {etag}");
    assert_eq!(modified, SAME);
    for _ in 0..3 {
        let again = world.gateway.get("/ten.txt");
        assert_eq!((again.field("etag"), again.field("last-modified")), (etag.clone(), modified.clone()));
    }
    // Another gateway over the same tree says the same: several may stand behind one name.
    let text = "[listener.web]\nbind = \"127.0.0.1:0\"\n[site.all]\nroute = [{ root = \"{tree}\" }]\n";
    let other = Gateway::start(&Config::text(text).fill("tree", &world.tree.path("")));
    assert_eq!(other.get("/ten.txt").field("etag"), etag);
    assert_ne!(other.get("/empty.txt").field("etag"), etag);
}

#[test]
fn conditions_by_etag() {
    let world = World::stand();
    let mut client = world.client();
    let etag = client.get("/ten.txt").field("etag");
    let weak = format!("W/{etag}");
    let listed = format!("\"x\", {etag}, \"y\"");
    let listed_weak = format!("\"x\" ,W/{etag}");
    let unquoted = etag.trim_matches('"').to_owned();
    let with_comma = format!("\"a,b\", {etag}");
    statuses(
        &mut client,
        "/ten.txt",
        &[
            (&[("If-None-Match", &etag)], 304),
            (&[("If-None-Match", &weak)], 304),
            (&[("If-None-Match", &listed)], 304),
            (&[("If-None-Match", &listed_weak)], 304),
            (&[("If-None-Match", &with_comma)], 304),
            (&[("If-None-Match", "\"x\""), ("If-None-Match", &etag)], 304),
            (&[("If-None-Match", "*")], 304),
            (&[("If-None-Match", "\"x\"")], 200),
            (&[("If-None-Match", "\"\"")], 200),
            (&[("If-None-Match", "")], 200),
            (&[("If-None-Match", &unquoted)], 200),
            (&[("If-Match", &etag)], 200),
            (&[("If-Match", &listed)], 200),
            (&[("If-Match", "*")], 200),
            (&[("If-Match", &weak)], 412),
            (&[("If-Match", "\"x\"")], 412),
            (&[("If-Match", "\"x\""), ("If-Match", &etag)], 200),
            // Both hold, or do not; the first one that fails decides (RFC 9110, section 13.2.2).
            (&[("If-Match", &etag), ("If-None-Match", &etag)], 304),
            (&[("If-Match", "\"x\""), ("If-None-Match", &etag)], 412),
            (&[("If-Match", &etag), ("If-None-Match", "\"x\"")], 200),
        ],
    );
}

#[test]
fn conditions_by_date() {
    let world = World::stand();
    let mut client = world.client();
    let etag = client.get("/ten.txt").field("etag");
    statuses(
        &mut client,
        "/ten.txt",
        &[
            (&[("If-Modified-Since", SAME)], 304),
            (&[("If-Modified-Since", AFTER)], 304),
            (&[("If-Modified-Since", BEFORE)], 200),
            (&[("If-Modified-Since", SAME_RFC850)], 304),
            (&[("If-Modified-Since", SAME_ASCTIME)], 304),
            (&[("If-Modified-Since", "yesterday")], 200),
            (&[("If-Modified-Since", "")], 200),
            (&[("If-Modified-Since", "1000000000")], 200),
            (&[("If-Unmodified-Since", SAME)], 200),
            (&[("If-Unmodified-Since", AFTER)], 200),
            (&[("If-Unmodified-Since", BEFORE)], 412),
            (&[("If-Unmodified-Since", "yesterday")], 200),
            // Where there is a tag, the date is not looked at.
            (&[("If-None-Match", "\"x\""), ("If-Modified-Since", AFTER)], 200),
            (&[("If-None-Match", &etag), ("If-Modified-Since", BEFORE)], 304),
            (&[("If-Match", &etag), ("If-Unmodified-Since", BEFORE)], 200),
            (&[("If-Match", "\"x\""), ("If-Unmodified-Since", AFTER)], 412),
            (&[("If-Unmodified-Since", SAME), ("If-Modified-Since", SAME)], 304),
            (&[("If-Unmodified-Since", BEFORE), ("If-None-Match", &etag)], 412),
        ],
    );
}

#[test]
fn what_304_412_and_416_say() {
    let world = World::stand();
    let mut client = world.client();
    let whole = client.get("/ten.txt");
    let (etag, modified) = (whole.field("etag"), whole.field("last-modified"));
    for method in ["GET", "HEAD"] {
        let unchanged = client.request(method, "/ten.txt", &[("If-None-Match", &etag)], b"");
        assert_eq!((unchanged.expect(304).field("etag"), unchanged.body.len()), (etag.clone(), 0));
        // A cache that has an entity tag needs no more than that (RFC 9110, section 15.4.5).
        assert!(unchanged.fields.get("last-modified").is_none_or(|said| said == modified));
        assert!(!unchanged.fields.has("content-range"));
        let length = unchanged.fields.get("content-length");
        assert!(length.is_none_or(|length| length == "10"), "{unchanged}");
        client.request(method, "/ten.txt", &[("If-Match", "\"x\"")], b"").expect(412);
        assert_eq!(client.get("/ten.txt").expect(200).text(), "0123456789");
    }
    let beyond = client.ask("/ten.txt", &[("Range", "bytes=10-")]);
    assert_eq!(beyond.expect(416).field("content-range"), "bytes */10");
    assert!(!beyond.fields.has("etag") || beyond.field("etag") == etag);
    // A condition comes before a range.
    client.ask("/ten.txt", &[("Range", "bytes=10-"), ("If-None-Match", &etag)]).expect(304);
    client.ask("/ten.txt", &[("Range", "bytes=10-"), ("If-Match", "\"x\"")]).expect(412);
    client.ask("/ten.txt", &[("Range", "bytes=0-1"), ("If-Modified-Since", SAME)]).expect(304);
    // What is not there has no state that a condition could be about, but a 404 it stays.
    client.ask("/missing", &[("If-None-Match", "*")]).expect(404);
    let absent = client.ask("/missing", &[("If-Match", "*")]);
    assert!([404, 412].contains(&absent.status), "{absent}");
}

#[test]
fn one_range() {
    let world = World::stand();
    let mut client = world.client();
    let parts = [
        ("bytes=0-0", "0"),
        ("bytes=0-9", "0123456789"),
        ("bytes=0-", "0123456789"),
        ("bytes=9-", "9"),
        ("bytes=3-5", "345"),
        ("bytes=3-1000", "3456789"),
        ("bytes=0-18446744073709551615", "0123456789"),
        ("bytes=0-99999999999999999999999999", "0123456789"),
        ("bytes=-1", "9"),
        ("bytes=-10", "0123456789"),
        ("bytes=-1000", "0123456789"),
        ("bytes=-99999999999999999999999999", "0123456789"),
        ("Bytes=3-5", "345"),
        ("BYTES=3-5", "345"),
        ("bytes=003-05", "345"),
        ("bytes= 3-5", "345"),
        ("bytes=3-5 ", "345"),
        ("bytes=,3-5", "345"),
        ("bytes=3-5,", "345"),
        ("bytes=3-5, 20-30", "345"),
        ("bytes=20-30, -2", "89"),
    ];
    let mut wrong = Vec::new();
    for (range, text) in parts {
        let response = client.ask("/ten.txt", &[("Range", range)]);
        let first = text.chars().next().unwrap_or_default();
        let expected = format!("bytes {first}-9/10");
        let last = text.chars().last().unwrap_or_default();
        let expected = expected.replace("-9", &format!("-{last}"));
        let found = (response.status, response.text(), response.fields.get("content-range").unwrap_or_default());
        if found != (206, text.to_owned(), expected) {
            wrong.push(format!("{range}: {response}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn ranges_that_are_none_and_ranges_that_are_not_there() {
    let world = World::stand();
    let mut client = world.client();
    statuses(
        &mut client,
        "/ten.txt",
        &[
            (&[("Range", "bytes=10-")], 416),
            (&[("Range", "bytes=10-20")], 416),
            (&[("Range", "bytes=10-,20-30")], 416),
            (&[("Range", "bytes=-0")], 416),
            (&[("Range", "bytes=99999999999999999999999999-")], 416),
            // What is no range is as if it were not there (RFC 9110, section 14.2).
            (&[("Range", "bytes=5-3")], 200),
            (&[("Range", "bytes=")], 200),
            (&[("Range", "bytes=-")], 200),
            (&[("Range", "bytes")], 200),
            (&[("Range", "")], 200),
            (&[("Range", "bytes=a-b")], 200),
            (&[("Range", "bytes=0x1-3")], 200),
            (&[("Range", "bytes=1-2-3")], 200),
            (&[("Range", "bytes=+1-3")], 200),
            (&[("Range", "bytes=--1")], 200),
            (&[("Range", "bytes=1.0-3")], 200),
            (&[("Range", "bytes=1-2;3-4")], 200),
            (&[("Range", "bytes=0-1,5-3")], 200),
            (&[("Range", "bytes=0-1,x")], 200),
            (&[("Range", "lines=1-2")], 200),
            (&[("Range", "=1-2")], 200),
        ],
    );
    // Some clients ask for the beginning of everything, and of nothing that is all.
    for range in ["bytes=0-", "bytes=0-0", "bytes=-5", "bytes=x"] {
        let response = client.ask("/empty.txt", &[("Range", range)]);
        assert_eq!((response.expect(200).body.len(), response.field("content-length").as_str()), (0, "0"));
    }
    client.ask("/empty.txt", &[("Range", "bytes=10-")]).expect(416);
    // A method that has no ranges (RFC 9110, section 14.2).
    let told = client.request("HEAD", "/ten.txt", &[("Range", "bytes=0-1")], b"");
    assert!(told.status == 200 && told.field("content-length") == "10", "HEAD: {told}");
    // Two lines of it are one list with a wrong beginning, or the first one; never half of each.
    let twice = client.ask("/ten.txt", &[("Range", "bytes=0-1"), ("Range", "bytes=5-6")]);
    assert!(twice.status == 200 || twice.text() == "01", "{twice}");
}

/// The parts of a multipart body, and what each says of itself.
#[track_caller]
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let kind = response.field("content-type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap_or_else(|| panic!("{kind}"));
    let boundary = boundary.trim_matches('"').to_owned();
    assert!(!boundary.is_empty() && boundary.len() <= 70, "RFC 2046, section 5.1.1: {boundary}");
    assert_eq!(response.field("content-length"), response.body.len().to_string());
    let mut rest = &response.body[..];
    let mut parts = Vec::new();
    // What stands before the first boundary is not looked at, and is nothing here but a line's end.
    rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    loop {
        rest = rest.strip_prefix(format!("--{boundary}").as_bytes()).expect("a boundary");
        if let Some(end) = rest.strip_prefix(b"--") {
            assert!(end.is_empty() || end == b"\r\n", "{end:?}");
            return parts;
        }
        rest = rest.strip_prefix(b"\r\n").expect("a line's end");
        let at = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&rest[..at]).into_owned();
        rest = &rest[at + 4..];
        let range =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-range: ").map(str::to_owned));
        let range = range.unwrap_or_else(|| panic!("no range in {head}"));
        let (first, last) = range.strip_prefix("bytes ").unwrap().split('/').next().unwrap().split_once('-').unwrap();
        let length = last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap();
        assert!(head.to_ascii_lowercase().contains("content-type: "), "{head}");
        parts.push((range, rest[..length].to_vec()));
        rest = rest[length..].strip_prefix(b"\r\n").expect("a line's end");
    }
}

#[test]
fn several_ranges() {
    let world = World::stand();
    let mut client = world.client();
    for (range, expected) in [
        ("bytes=0-1,5-6", vec![("bytes 0-1/10", "01"), ("bytes 5-6/10", "56")]),
        ("bytes=0-1, -2", vec![("bytes 0-1/10", "01"), ("bytes 8-9/10", "89")]),
        ("bytes=0-0 , 4-4,\t9-", vec![("bytes 0-0/10", "0"), ("bytes 4-4/10", "4"), ("bytes 9-9/10", "9")]),
        ("bytes=0-1,20-30,5-6", vec![("bytes 0-1/10", "01"), ("bytes 5-6/10", "56")]),
    ] {
        let response = client.ask("/ten.txt", &[("Range", range)]);
        assert!(!response.expect(206).fields.has("content-range"), "RFC 9110, section 15.3.7.2: {response}");
        let found = parts(&response);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(range, text)| (range.as_str(), std::str::from_utf8(text).unwrap())).collect();
        assert_eq!(found, expected, "{range}");
        assert!(response.fields.has("etag") && response.fields.has("last-modified"));
    }
    let response = client.ask("/big.bin", &[("Range", "bytes=0-99,100000-299999,999999-")]);
    let found = parts(response.expect(206));
    let lengths: Vec<usize> = found.iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [100, 200_000, 1]);
    assert!(found[1].1.iter().zip(100_000..).all(|(byte, offset)| *byte == byte_at(offset)));
    client.get("/ten.txt").expect(200);
}

#[test]
fn ranges_that_would_cost_more_than_the_file_do_not() {
    let world = World::stand();
    let mut client = world.client();
    let whole = 1_000_000;
    let many = |range: &str, count: usize| vec![range; count].join(",");
    for (what, range) in [
        ("the whole over and over", format!("bytes={}", many("0-", 500))),
        ("overlapping", format!("bytes={}", (0..500).map(|at| format!("{at}-")).collect::<Vec<_>>().join(","))),
        (
            "tiny ones",
            format!("bytes={}", (0..1500).map(|at| format!("{}-{}", at * 2, at * 2)).collect::<Vec<_>>().join(",")),
        ),
        ("one twice", "bytes=0-999999,0-999999".to_owned()),
        (
            "backwards",
            format!("bytes={}", (0..500).rev().map(|at| format!("{0}-{0}", at * 10)).collect::<Vec<_>>().join(",")),
        ),
    ] {
        let response = client.ask("/big.bin", &[("Range", &range)]);
        assert!([200, 206, 416].contains(&response.status), "{what}: {response}");
        assert!(response.body.len() <= whole + 200_000, "{what}: {} bytes", response.body.len());
    }
    client.get("/ten.txt").expect(200);
}

#[test]
fn ranges_of_a_version() {
    let world = World::stand();
    let mut client = world.client();
    let etag = client.get("/ten.txt").field("etag");
    let weak = format!("W/{etag}");
    let range = ("Range", "bytes=2-3");
    statuses(
        &mut client,
        "/ten.txt",
        &[
            (&[range, ("If-Range", &etag)], 206),
            (&[range, ("If-Range", "\"x\"")], 200),
            (&[range, ("If-Range", &weak)], 200),
            (&[range, ("If-Range", SAME)], 206),
            (&[range, ("If-Range", SAME_RFC850)], 206),
            // A date must be the very same (RFC 9110, section 13.1.5).
            (&[range, ("If-Range", AFTER)], 200),
            (&[range, ("If-Range", BEFORE)], 200),
            (&[range, ("If-Range", "nonsense")], 200),
            (&[("Range", "bytes=10-"), ("If-Range", "\"x\"")], 200),
            (&[("Range", "bytes=10-"), ("If-Range", &etag)], 416),
            (&[("If-Range", &etag)], 200),
            (&[range, ("If-Range", &etag), ("If-None-Match", &etag)], 304),
        ],
    );
    // A file that may change within the second of its date has no strong one (RFC 9110, section 8.8.2.2).
    world.tree.file("fresh.txt", "0123456789");
    let modified = client.get("/fresh.txt").field("last-modified");
    let part = client.ask("/fresh.txt", &[range, ("If-Range", &modified)]);
    assert!([200, 206].contains(&part.status), "{part}");
}

#[test]
fn beyond_four_gib() {
    let world = World::stand();
    world.tree.overwrite("huge.bin", (4 << 30) + 17, b"needle");
    let mut client = world.client();
    let told = client.request("HEAD", "/huge.bin", &[], b"");
    assert_eq!(told.field("content-length"), (5_u64 << 30).to_string());
    let part = client.ask("/huge.bin", &[("Range", "bytes=4294967313-4294967318")]);
    assert_eq!(
        (part.expect(206).text().as_str(), part.field("content-range").as_str()),
        ("needle", "bytes 4294967313-4294967318/5368709120")
    );
    let last = client.ask("/huge.bin", &[("Range", "bytes=-1")]);
    assert_eq!(last.expect(206).field("content-range"), "bytes 5368709119-5368709119/5368709120");
    let two = client.ask("/huge.bin", &[("Range", "bytes=0-0,4294967313-4294967318")]);
    assert_eq!(parts(two.expect(206))[1].1, b"needle");
}

#[test]
fn requests_on_one_connection_do_not_mix() {
    let world = World::stand();
    let mut client = world.client();
    let asks = [
        ("GET /ten.txt HTTP/1.1\r\nHost: x\r\n\r\n", 200, 10),
        ("GET /big.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=1-70000\r\n\r\n", 206, 70_000),
        ("HEAD /big.bin HTTP/1.1\r\nHost: x\r\n\r\n", 200, 0),
        ("GET /empty.txt HTTP/1.1\r\nHost: x\r\n\r\n", 200, 0),
        ("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n", 404, 0),
        ("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n", 200, 1_000_000),
        ("GET /ten.txt HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n", 304, 0),
        ("GET /ten.txt HTTP/1.1\r\nHost: x\r\n\r\n", 200, 10),
    ];
    // All at once: what one leaves behind would be the head of the next.
    client.send(asks.map(|(ask, ..)| ask).concat());
    for (ask, status, length) in asks {
        let response = client.response_to(ask.split(' ').next().unwrap_or_default());
        assert_eq!(response.status, status, "{ask}");
        assert!(status == 404 || response.body.len() == length, "{ask}: {}", response.body.len());
    }
}

/// Numbers that are the same in every run (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A request, and what has to come of it: status, and which bytes.
fn thrown(dice: &mut Dice) -> (String, &'static str, u16, Option<(u64, u64)>) {
    const SIZES: [u64; 6] = [1, 1000, 16_384, 16_385, 100_000, 400_000];
    let size = SIZES[usize::try_from(dice.below(6)).expect("an index")];
    let first = dice.below(size);
    let last = first + dice.below(size - first);
    let ask =
        |method: &str, fields: &str| format!("{method} /{size}.bin HTTP/1.1\r\nHost: any.example\r\n{fields}\r\n");
    match dice.below(8) {
        0 => (ask("HEAD", ""), "HEAD", 200, None),
        1 => (ask("GET", "If-None-Match: *\r\n"), "GET", 304, None),
        2 => (ask("GET", "If-Match: \"x\"\r\n"), "GET", 412, None),
        3 => (ask("GET", &format!("Range: bytes={size}-\r\n")), "GET", 416, None),
        4 => (ask("GET", "").replace(".bin", ".none"), "GET", 404, None),
        5 | 6 => (ask("GET", &format!("Range: bytes={first}-{last}\r\n")), "GET", 206, Some((first, last + 1))),
        _ => (ask("GET", ""), "GET", 200, Some((0, size))),
    }
}

#[test]
fn thrown_requests_sent_at_once_are_answered_in_their_order_by_their_bytes() {
    let (tree, authority) = (Tree::fresh(), Authority::found());
    for size in [1, 1000, 16_384, 16_385, 100_000, 400_000] {
        tree.counted(&format!("{size}.bin"), size);
    }
    let text = "[listener.web]\nbind = \"127.0.0.1:0\"\n[listener.secure]\nbind = \"127.0.0.1:0\"\n\
        tls.certificate = { chain = \"web.pem\", key = \"web.key\" }\n[site.all]\nroute = [{ root = \"{tree}\" }]\n";
    let config = Config::text(text).fill("tree", &tree.path("")).identity("web", &authority.certify("any.example"));
    let gateway = Gateway::start(&config);
    let visitor = Visitor::trusting(&authority);
    for (way, seed) in [("wide", 3), ("narrow", 5), ("secure", 7)] {
        let mut client = match way {
            "wide" => gateway.client(),
            "narrow" => Client::connect_narrow(&gateway.addr("web")),
            _ => visitor.connect(&gateway.addr("secure")),
        };
        let mut dice = Dice(0x2545_f491_4f6c_dd1d + seed);
        for _ in 0..12 {
            let asks: Vec<_> = (0..20).map(|_| thrown(&mut dice)).collect();
            client.send(asks.iter().map(|(ask, ..)| ask.as_str()).collect::<String>());
            for (ask, method, status, bytes) in asks {
                let response = client.response_to(method);
                assert_eq!(response.status, status, "{way}: {ask}");
                let Some((from, to)) = bytes else { continue };
                assert_eq!(response.body.len() as u64, to - from, "{way}: {ask}");
                let mut found = response.body.iter().zip(from..);
                assert!(found.all(|(byte, offset)| *byte == byte_at(offset)), "{way}: other bytes for {ask}");
            }
        }
    }
}
