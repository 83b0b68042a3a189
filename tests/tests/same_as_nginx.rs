//! The same tree behind nginx and behind the gateway: the same bytes, lengths, ranges and dates for the same requests.
//!
//! Where the two differ on purpose, `DIFFERENT` says how and why; a difference that goes away fails as well.

use weir_tests::peers::Nginx;
use weir_tests::{Client, Config, Gateway, Response, Tree};

/// 2001-09-09 01:46:40 UTC.
const THEN: u64 = 1_000_000_000;
const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
const SAME: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

/// Sizes at which something begins or ends: nothing, a page, what is kept in memory, what is read at once.
const SIZES: [u64; 9] = [0, 1, 10, 4096, 16_384, 16_385, 65_537, 200_000, 3_000_000];

struct World {
    tree: Tree,
    nginx: Nginx,
    gateway: Gateway,
}

/// A request, in which `{etag}` is what the server itself called the file.
struct Asked {
    method: &'static str,
    target: String,
    fields: Vec<(&'static str, String)>,
}

impl World {
    fn stand() -> World {
        let tree = Tree::fresh();
        for size in SIZES {
            let name = format!("{size}.bin");
            tree.counted(&name, size).dated(&name, THEN);
        }
        for name in [
            "a.txt",
            "sub/index.html",
            "sub/b.html",
            "with space.txt",
            "per%cent.txt",
            "plus+plus.txt",
            "semi;colon.txt",
            "gr\u{fc}n.txt",
            "index.html",
            "sub/deep/c.css",
            ".hidden/x",
            "(a)[b]{c}",
            "~tilde",
            "dots..txt",
            "a.txt.",
        ] {
            tree.file(name, format!("this is {name}")).dated(name, THEN);
        }
        tree.directory("bare").pipe("pipe").socket("socket").link("within", "a.txt").link("within-directory", "sub");
        tree.link("loop", "loop").link("nowhere", "missing").link("out", "/etc/hostname");
        let nginx = Nginx::serving(&format!("root {};\nabsolute_redirect off;\nsendfile on;", tree.path("")));
        let text = "[listener.web]\nbind = \"127.0.0.1:0\"\n[root.www]\npath = \"{tree}\"\nhidden = true\n\
            [site.all]\nroute = [{ root = \"www\" }]\n";
        let gateway = Gateway::start(&Config::text(text).fill("tree", &tree.path("")));
        World { tree, nginx, gateway }
    }

    fn pair(&self) -> Pair<'_> {
        Pair { weir: self.gateway.client(), world: self }
    }
}

struct Pair<'a> {
    weir: Client,
    world: &'a World,
}

impl Pair<'_> {
    /// What each of them says.
    fn ask(&mut self, asked: &Asked) -> (Response, Response) {
        // It closes connections after some refusals without having said so.
        let nginx = answered(&mut Client::connect(&self.world.nginx.address()), asked);
        let weir = answered(&mut self.weir, asked);
        if weir.says_close() {
            self.weir = self.world.gateway.client();
        }
        (nginx, weir)
    }

    /// Where they differ, if they do.
    fn differs(&mut self, asked: &Asked) -> Option<String> {
        let (nginx, weir) = self.ask(asked);
        let (expected, found) = (told(&nginx, asked.method), told(&weir, asked.method));
        let at = format!("{} {} {:?}", asked.method, asked.target, asked.fields);
        (expected != found).then(|| format!("{at}\n  nginx: {}\n  weir:  {}", expected.said(), found.said()))
    }
}

fn answered(client: &mut Client, asked: &Asked) -> Response {
    let mut etag = String::new();
    if asked.fields.iter().any(|(_, value)| value.contains("{etag}")) {
        etag = client.request("HEAD", &asked.target, &[], b"").fields.get("etag").unwrap_or_default();
    }
    let fields: Vec<(&str, String)> =
        asked.fields.iter().map(|(name, value)| (*name, value.replace("{etag}", &etag))).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    client.request(asked.method, &asked.target, &fields, b"")
}

/// What has to be the same.
#[derive(PartialEq, Eq)]
struct Told {
    status: u16,
    length: Option<String>,
    range: Option<String>,
    modified: Option<String>,
    accepts: Option<String>,
    location: Option<String>,
    /// The body, or each part of it with its range.
    bytes: Vec<(String, Vec<u8>)>,
}

fn told(response: &Response, method: &str) -> Told {
    let field = |name| response.fields.get(name);
    let has_body = matches!(response.status, 200 | 206) && method != "HEAD";
    let parts = field("content-type").and_then(|kind| kind.split_once("boundary=").map(|(_, text)| text.to_owned()));
    let bytes = match (&parts, has_body) {
        (_, false) => Vec::new(),
        (None, true) => vec![(String::new(), response.body.clone())],
        (Some(boundary), true) => parts_of(&response.body, boundary.trim_matches('"')),
    };
    // What an error or a redirect has to say is each one's own; how long the boundary is, too.
    let is_own = !matches!(response.status, 200 | 206) || parts.is_some();
    Told {
        status: response.status,
        length: field("content-length").filter(|_| !is_own),
        range: field("content-range"),
        modified: field("last-modified").filter(|_| response.status != 304),
        accepts: field("accept-ranges").filter(|_| response.status == 200),
        location: field("location"),
        bytes,
    }
}

impl Told {
    fn said(&self) -> String {
        let Told { status, length, range, modified, accepts, location, bytes } = self;
        let bytes: Vec<String> = bytes
            .iter()
            .map(|(range, bytes)| {
                format!("{range} {} {:?}", bytes.len(), String::from_utf8_lossy(&bytes[..bytes.len().min(20)]))
            })
            .collect();
        format!("{status} {length:?} {range:?} {modified:?} {accepts:?} {location:?} {bytes:?}")
    }
}

/// The parts of multipart/byteranges (RFC 2046, section 5.1): ranges and bytes.
fn parts_of(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let delimiter = format!("--{boundary}");
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, delimiter.as_bytes()) {
        rest = &rest[at + delimiter.len()..];
        let Some(end) = find(rest, b"\r\n\r\n") else { break };
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        let range = head.lines().find_map(|line| line.strip_prefix("content-range: ")).unwrap_or_default().to_owned();
        rest = &rest[end + 4..];
        let next = find(rest, format!("\r\n{delimiter}").as_bytes()).unwrap_or(rest.len());
        parts.push((range, rest[..next].to_vec()));
        rest = &rest[next..];
    }
    parts
}

fn get(target: &str, fields: &[(&'static str, &str)]) -> Asked {
    by("GET", target, fields)
}

fn by(method: &'static str, target: &str, fields: &[(&'static str, &str)]) -> Asked {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Asked { method, target: target.to_owned(), fields }
}

#[track_caller]
fn same(asks: impl IntoIterator<Item = Asked>) {
    let world = World::stand();
    let mut pair = world.pair();
    let different: Vec<String> = asks.into_iter().filter_map(|asked| pair.differs(&asked)).collect();
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different[..different.len().min(40)].join("\n"));
}

#[test]
fn whole_files() {
    let paths = [
        "/",
        "/index.html",
        "/a.txt",
        "/sub/",
        "/sub",
        "/sub?x=1",
        "/sub/index.html",
        "/sub/b.html",
        "/sub/deep/c.css",
        "/with%20space.txt",
        "/per%25cent.txt",
        "/plus+plus.txt",
        "/plus%2Bplus.txt",
        "/semi;colon.txt",
        "/gr%c3%bcn.txt",
        "/%61.txt",
        "/a%2etxt",
        "/bare/",
        "/bare",
        "/missing",
        "/missing/",
        "/sub/missing",
        "/a.txt/x",
        "/a.txt.",
        "/A.TXT",
        "/.hidden/x",
        "/(a)%5Bb%5D%7Bc%7D",
        "/~tilde",
        "/%7Etilde",
        "/dots..txt",
        "//a.txt",
        "/sub//b.html",
        "/./a.txt",
        "/sub/../a.txt",
        "/sub/deep/../../a.txt",
        "/sub/%2e%2e/a.txt",
        "/sub/.",
        "/sub/..",
        "/a.txt?",
        "/a.txt?q=/../x&%00",
        "/within",
        "/within-directory/b.html",
        "/..",
        "/../a.txt",
        "/sub/../../a.txt",
        "/%2e%2e/a.txt",
        "/pipe",
        "/nowhere",
        "/%00",
        "/a.txt%00",
        "/%zz",
    ];
    let sizes = SIZES.map(|size| format!("/{size}.bin"));
    let paths = paths.into_iter().map(str::to_owned).chain(sizes);
    same(paths.flat_map(|path| ["GET", "HEAD"].map(|method| by(method, &path, &[]))));
}

#[test]
fn other_methods() {
    same(
        ["POST", "PUT", "DELETE", "PATCH"]
            .into_iter()
            .flat_map(|method| ["/a.txt", "/sub/"].map(|target| by(method, target, &[]))),
    );
}

#[test]
fn conditions() {
    let table: &[&[(&'static str, &str)]] = &[
        &[("If-None-Match", "{etag}")],
        &[("If-None-Match", "W/{etag}")],
        &[("If-None-Match", "\"x\", {etag}")],
        &[("If-None-Match", "*")],
        &[("If-None-Match", "\"x\"")],
        &[("If-Match", "{etag}")],
        &[("If-Match", "\"x\", {etag}")],
        &[("If-Match", "*")],
        &[("If-Match", "\"x\"")],
        &[("If-Modified-Since", SAME)],
        &[("If-Modified-Since", BEFORE)],
        &[("If-Modified-Since", "nonsense")],
        &[("If-Unmodified-Since", SAME)],
        &[("If-Unmodified-Since", AFTER)],
        &[("If-Unmodified-Since", BEFORE)],
        &[("If-None-Match", "\"x\""), ("If-Modified-Since", SAME)],
        &[("If-Match", "{etag}"), ("If-None-Match", "{etag}")],
        &[("If-Match", "\"x\""), ("If-None-Match", "{etag}")],
        &[("Range", "bytes=0-3"), ("If-Range", "{etag}")],
        &[("Range", "bytes=0-3"), ("If-Range", "\"x\"")],
        &[("Range", "bytes=0-3"), ("If-Range", SAME)],
        &[("Range", "bytes=0-3"), ("If-Range", BEFORE)],
        &[("Range", "bytes=0-3"), ("If-Range", AFTER)],
        &[("Range", "bytes=0-3"), ("If-None-Match", "{etag}")],
        &[("Range", "bytes=0-3"), ("If-Match", "\"x\"")],
        &[("Range", "bytes=0-3"), ("If-Unmodified-Since", BEFORE)],
        &[("Range", "bytes=900-"), ("If-Modified-Since", SAME)],
    ];
    same(
        ["/a.txt", "/", "/65537.bin", "/0.bin", "/missing", "/bare/"]
            .into_iter()
            .flat_map(|target| table.iter().map(move |fields| get(target, fields))),
    );
}

#[test]
fn ranges() {
    let table = [
        "bytes=0-0",
        "bytes=0-",
        "bytes=0-9",
        "bytes=9-",
        "bytes=10-",
        "bytes=3-5",
        "bytes=3-1000000",
        "bytes=-1",
        "bytes=-10",
        "bytes=-1000000",
        "bytes=0-1,5-6",
        "bytes=0-1, -2",
        "bytes=0-0,4-4,9-9",
        "bytes=0-1,20000000-",
        "bytes=20000000-,0-1",
        "bytes=20000000-,30000000-",
        "Bytes=3-5",
        "bytes= 3-5",
        "lines=1-2",
        "bytes",
        "none",
    ];
    same(SIZES.into_iter().flat_map(|size| table.map(|range| get(&format!("/{size}.bin"), &[("Range", range)]))));
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

#[test]
fn thrown_ranges() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut asks = Vec::new();
    for _ in 0..1000 {
        let size = SIZES[usize::try_from(dice.below(SIZES.len() as u64)).expect("an index")];
        // Apart from each other and in order: what overlaps is nobody's duty to serve (RFC 9110, section 14.2).
        let mut specs = Vec::new();
        let mut from = 0;
        for _ in 0..=dice.below(3) {
            let first = from + dice.below(size + 20);
            let last = first + dice.below(size + 20);
            specs.push(if dice.below(5) == 0 { format!("{first}-") } else { format!("{first}-{last}") });
            from = last + 2;
            if specs.last().is_some_and(|spec| spec.ends_with('-')) {
                break;
            }
        }
        if dice.below(6) == 0 {
            specs = vec![format!("-{}", 1 + dice.below(size + 20))];
        }
        asks.push(get(&format!("/{size}.bin"), &[("Range", &format!("bytes={}", specs.join(",")))]));
    }
    same(asks);
}

#[test]
fn thrown_paths() {
    const SEGMENTS: [&str; 18] = [
        "a.txt",
        "sub",
        "deep",
        "b.html",
        "c.css",
        "index.html",
        ".",
        "..",
        "",
        "%2e",
        "%2E%2e",
        "missing",
        "%61.txt",
        "with%20space.txt",
        "bare",
        "within-directory",
        ".hidden",
        "x",
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut asks = Vec::new();
    for _ in 0..1000 {
        let mut path = String::new();
        for _ in 0..=dice.below(4) {
            path.push('/');
            path.push_str(SEGMENTS[usize::try_from(dice.below(SEGMENTS.len() as u64)).expect("an index")]);
        }
        asks.push(get(&path, &[]));
    }
    same(asks);
}

/// Method, target, fields, nginx's status, ours, and why.
type Difference = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16, u16, &'static str);

const DIFFERENT: &[Difference] = &[
    ("GET", "/sub%2Fb.html", &[], 200, 404, "an escaped slash parts nothing: what routes match is what is opened"),
    ("GET", "/socket", &[], 500, 404, "it is no file, which is nobody's fault"),
    ("GET", "/out", &[], 200, 404, "links never lead out of a root"),
    (
        "GET",
        "/a.txt",
        &[("If-Modified-Since", AFTER)],
        200,
        304,
        "RFC 9110, section 13.1.3: `exact` is nginx's own default",
    ),
    ("HEAD", "/10.bin", &[("Range", "bytes=0-3")], 206, 200, "RFC 9110, section 14.2: ranges are for GET"),
    ("GET", "/10.bin", &[("Range", "bytes=5-3")], 416, 200, "RFC 9110, section 14.2: what is no range is ignored"),
    (
        "GET",
        "/10.bin",
        &[("Range", "bytes=3 - 5")],
        206,
        200,
        "as above: RFC 9110, section 14.1.1, knows no spaces there",
    ),
    ("GET", "/10.bin", &[("Range", "bytes=x")], 416, 200, "as above"),
    ("GET", "/10.bin", &[("Range", "bytes=0-1,x")], 416, 200, "as above"),
];

#[test]
fn what_differs_does_so_on_purpose() {
    let world = World::stand();
    let mut pair = world.pair();
    let mut wrong = Vec::new();
    for (method, target, fields, theirs, ours, why) in DIFFERENT {
        let asked = by(method, target, fields);
        let (nginx, weir) = pair.ask(&asked);
        if (nginx.status, weir.status) != (*theirs, *ours) {
            wrong.push(format!("{method} {target} {fields:?}: {} and {}, though {why}", nginx.status, weir.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(world.tree.is_there("a.txt"));
}
