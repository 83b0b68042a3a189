//! Every input is fed whole, byte by byte and in random pieces; the outcome must be the same.

use super::*;
use Kind::{
    AmbiguousFraming as Ambiguous, BadHost, BadTarget, HeadTooLarge, MalformedBody as Body,
    MalformedRequest as Malformed, NotImplemented, TargetTooLong, VersionUnsupported as Unsupported,
};

const LIMITS: Limits = Limits { max_head: 512, max_target: 64, max_fields: 8 };

/// What is left at the end: a phase, or a refusal and where the refused message began.
type Outcome = Result<Phase, (Kind, &'static str, usize)>;

fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut gate = Gate::of(LIMITS);
    let mut begun = 0;
    let mut at = 0;
    for mut piece in pieces {
        while !piece.is_empty() {
            let was_idle = gate.phase() == Phase::Idle;
            match gate.feed(piece) {
                Ok(passed) => {
                    assert!(passed == piece.len() || gate.waits());
                    gate.go_on();
                    at += passed;
                    begun = if gate.phase() == Phase::Idle { at } else { begun };
                    piece = &piece[passed..];
                }
                Err(refusal) => {
                    let begun = if refusal.good > 0 || was_idle { at + refusal.good } else { begun };
                    assert_eq!(gate.feed(b"GET / HTTP/1.1\r\n").map_err(|again| again.kind), Err(refusal.kind));
                    return Err((refusal.kind, refusal.detail, begun));
                }
            }
        }
    }
    Ok(gate.phase())
}

/// Feeds the input in every way and tells the outcome.
fn fed(input: &[u8]) -> Result<Phase, Kind> {
    let whole = outcome(std::iter::once(input));
    let strip = |outcome: &Outcome| outcome.map_err(|(kind, detail, _)| (kind, detail));
    assert_eq!(strip(&outcome(input.chunks(1))), strip(&whole), "byte by byte: {}", input.escape_ascii());
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20 {
        let mut pieces = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(random.usize(1..=rest.len().min(40)));
            pieces.push(piece);
            rest = behind;
        }
        assert_eq!(strip(&outcome(pieces.into_iter())), strip(&whole), "in pieces: {}", input.escape_ascii());
    }
    whole.map_err(|(kind, ..)| kind)
}

fn check(cases: &[(&str, Result<Phase, Kind>)]) {
    for (input, expected) in cases {
        assert_eq!(fed(input.as_bytes()), *expected, "{}", input.escape_debug());
    }
}

#[test]
fn request_lines() {
    let long = "x".repeat(64);
    let longer = "x".repeat(2000);
    let host = "Host: a\r\n\r\n";
    for (line, expected) in [
        ("GET / HTTP/1.1\r\n", Ok(Phase::Idle)),
        ("GET / HTTP/1.0\r\n", Ok(Phase::Idle)),
        ("\r\n\r\nGET / HTTP/1.1\r\n", Ok(Phase::Idle)),
        ("get /?a=b HTTP/1.1\r\n", Ok(Phase::Idle)),
        ("M-SEARCH http://a/b HTTP/1.1\r\n", Ok(Phase::Idle)),
        ("OPTIONS * HTTP/1.1\r\n", Ok(Phase::Idle)),
        ("GET HTTPS://a HTTP/1.1\r\n", Ok(Phase::Idle)),
        ("GET  / HTTP/1.1\r\n", Err(Malformed)),
        ("GET /  HTTP/1.1\r\n", Err(Malformed)),
        ("GET / HTTP/1.1 \r\n", Err(Malformed)),
        (" GET / HTTP/1.1\r\n", Err(Malformed)),
        ("GET\t/ HTTP/1.1\r\n", Err(Malformed)),
        ("GET /\tHTTP/1.1\r\n", Err(Malformed)),
        ("GET /a b HTTP/1.1\r\n", Err(Malformed)),
        ("GET / HTTP/1.1\n", Err(Malformed)),
        ("GET / HTTP/1.1\r\r\n", Err(Malformed)),
        ("GET / HTTP/1.1\rX: y\r\n", Err(Malformed)),
        ("\nGET / HTTP/1.1\r\n", Err(Malformed)),
        ("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", Err(Malformed)),
        ("GET /\r\n", Err(Malformed)),
        ("GET\r\n", Err(Malformed)),
        ("GET /\0 HTTP/1.1\r\n", Err(Malformed)),
        ("GET /\x7f HTTP/1.1\r\n", Err(Malformed)),
        ("GET /\u{e9} HTTP/1.1\r\n", Err(BadTarget)),
        ("GET /#x HTTP/1.1\r\n", Err(BadTarget)),
        ("GET /<x> HTTP/1.1\r\n", Err(BadTarget)),
        ("GET /`x HTTP/1.1\r\n", Err(BadTarget)),
        ("GET /?\" HTTP/1.1\r\n", Err(BadTarget)),
        ("GET /\"{|}^?`{|}^ HTTP/1.1\r\n", Ok(Phase::Idle)),
        ("GET http:// HTTP/1.1\r\n", Err(BadHost)),
        ("GET http:///x HTTP/1.1\r\n", Err(BadHost)),
        ("GET http://u@a/ HTTP/1.1\r\n", Err(BadHost)),
        ("GET http://a:99999/ HTTP/1.1\r\n", Err(BadHost)),
        ("GET http://[::1?x HTTP/1.1\r\n", Err(BadHost)),
        ("GET * HTTP/1.1\r\n", Err(BadTarget)),
        ("GET a HTTP/1.1\r\n", Err(BadTarget)),
        ("GET a:80 HTTP/1.1\r\n", Err(BadTarget)),
        ("GET ftp://a/ HTTP/1.1\r\n", Err(BadTarget)),
        ("CONNECT a:443 HTTP/1.1\r\n", Err(NotImplemented)),
        ("G(T / HTTP/1.1\r\n", Err(Malformed)),
        ("G\u{e9}T / HTTP/1.1\r\n", Err(Malformed)),
        ("GET:/ HTTP/1.1\r\n", Err(Malformed)),
        ("GET / http/1.1\r\n", Err(Malformed)),
        ("GET / HTTP/1.10\r\n", Err(Malformed)),
        ("GET / HTTP/11\r\n", Err(Malformed)),
        ("GET / HTTP/1,1\r\n", Err(Malformed)),
        ("GET / HTTP/ 1.1\r\n", Err(Malformed)),
        ("GET / HTTPS/1.1\r\n", Err(Malformed)),
        ("GET / HTTP/1.2\r\n", Err(Unsupported)),
        ("GET / HTTP/0.9\r\n", Err(Unsupported)),
        ("GET / HTTP/3.0\r\n", Err(Unsupported)),
        ("PRI * HTTP/2.0\r\n", Err(Unsupported)),
        ("\x16\x03\x01\x02\x01\r\n", Err(Malformed)),
        (&format!("GET /{long} HTTP/1.1\r\n"), Err(TargetTooLong)),
        (&format!("GET /{} HTTP/1.1\r\n", "x".repeat(63)), Ok(Phase::Idle)),
        (&format!("GET /{longer} HTTP/1.1\r\n"), Err(TargetTooLong)),
        (&format!("GET /{longer}\n"), Err(TargetTooLong)),
        (&format!("{long} / HTTP/1.1\r\n"), Err(Malformed)),
        (&format!("GET / {longer}\r\n"), Err(Malformed)),
        (&format!("{} / HTTP/1.1\r\n", "M".repeat(32)), Ok(Phase::Idle)),
    ] {
        assert_eq!(fed(format!("{line}{host}").as_bytes()), expected, "{}", line.escape_debug());
    }
}

#[test]
fn fields() {
    let long = format!("X: {}\r\n", "x".repeat(600));
    for (lines, expected) in [
        ("", Ok(Phase::Idle)),
        ("X: y\r\n", Ok(Phase::Idle)),
        ("X:\r\n", Ok(Phase::Idle)),
        ("X:y\t z \t\r\n", Ok(Phase::Idle)),
        ("X: \u{e9}\r\n", Ok(Phase::Idle)),
        ("x!#$%&'*+-.^_`|~1: y\r\n", Ok(Phase::Idle)),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\n", Ok(Phase::Idle)),
        ("Expect: 100-continue\r\n", Ok(Phase::Idle)),
        ("X : y\r\n", Err(Malformed)),
        ("X\t: y\r\n", Err(Malformed)),
        (" X: y\r\n", Err(Malformed)),
        ("\tX: y\r\n", Err(Malformed)),
        ("X: y\r\n folded\r\n", Err(Malformed)),
        ("X: y\r\n\tfolded\r\n", Err(Malformed)),
        (": y\r\n", Err(Malformed)),
        ("X\r\n", Err(Malformed)),
        ("X y: z\r\n", Err(Malformed)),
        ("X(: y\r\n", Err(Malformed)),
        ("X\0: y\r\n", Err(Malformed)),
        ("X\u{e9}: y\r\n", Err(Malformed)),
        ("\"X\": y\r\n", Err(Malformed)),
        ("X: y\0z\r\n", Err(Malformed)),
        ("X: y\x01z\r\n", Err(Malformed)),
        ("X: y\x0bz\r\n", Err(Malformed)),
        ("X: y\x7fz\r\n", Err(Malformed)),
        ("X: y\rZ: 1\r\n", Err(Malformed)),
        ("X: y\n", Err(Malformed)),
        ("X: y\nZ: 1\r\n", Err(Malformed)),
        ("X: y\r\r\n", Err(Malformed)),
        ("\n", Err(Malformed)),
        ("\r\r\n", Err(Malformed)),
        (&"X: y\r\n".repeat(7), Ok(Phase::Idle)),
        (&"X: y\r\n".repeat(8), Err(HeadTooLarge)),
        (&long, Err(HeadTooLarge)),
    ] {
        assert_eq!(
            fed(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()),
            expected,
            "{}",
            lines.escape_debug()
        );
    }
}

#[test]
fn hosts() {
    let ten = "GET / HTTP/1.0\r\n";
    let eleven = "GET / HTTP/1.1\r\n";
    for (line, lines, expected) in [
        (eleven, "Host: a", Ok(Phase::Idle)),
        (eleven, "hOST:a:80", Ok(Phase::Idle)),
        (eleven, "Host: [::1]:80", Ok(Phase::Idle)),
        (eleven, "X: y", Err(BadHost)),
        (eleven, "Host:", Err(BadHost)),
        (eleven, "Host: ", Err(BadHost)),
        (eleven, "Host: a\r\nHost: a", Err(BadHost)),
        (eleven, "Host: a\r\nHOST: b", Err(BadHost)),
        (eleven, "Host: a, b", Err(BadHost)),
        (eleven, "Host: a b", Err(BadHost)),
        (eleven, "Host: a/b", Err(BadHost)),
        (eleven, "Host: u@a", Err(BadHost)),
        (eleven, "Host: a:x", Err(BadHost)),
        (eleven, "Host: a:65536", Err(BadHost)),
        (eleven, "Host: \u{e9}", Err(BadHost)),
        (eleven, "Host: [::1", Err(BadHost)),
        (eleven, "Host: http://a", Err(BadHost)),
        (ten, "X: y", Ok(Phase::Idle)),
        (ten, "Host: a", Ok(Phase::Idle)),
        (ten, "Host: a\r\nHost: a", Err(BadHost)),
        (ten, "Host: a b", Err(BadHost)),
        (ten, "Host:", Err(BadHost)),
    ] {
        assert_eq!(fed(format!("{line}{lines}\r\n\r\n").as_bytes()), expected, "{line} {lines}");
    }
}

#[test]
fn lengths_and_codings() {
    for (lines, expected) in [
        ("Content-Length: 0", Ok(Phase::Idle)),
        ("Content-Length: 5", Ok(Phase::Body)),
        ("Content-Length:\t5 ", Ok(Phase::Body)),
        ("content-length: 9223372036854775807", Ok(Phase::Body)),
        ("Content-Length: 9223372036854775808", Err(Ambiguous)),
        ("Content-Length: 18446744073709551616", Err(Ambiguous)),
        ("Content-Length: 99999999999999999999999999", Err(Ambiguous)),
        ("Content-Length:", Err(Ambiguous)),
        ("Content-Length: +5", Err(Ambiguous)),
        ("Content-Length: -5", Err(Ambiguous)),
        ("Content-Length: 0x5", Err(Ambiguous)),
        ("Content-Length: 5 5", Err(Ambiguous)),
        ("Content-Length: 5, 5", Err(Ambiguous)),
        ("Content-Length: 5,", Err(Ambiguous)),
        ("Content-Length: 5.0", Err(Ambiguous)),
        ("Content-Length: 1_0", Err(Ambiguous)),
        ("Content-Length: 05", Err(Ambiguous)),
        ("Content-Length: 00", Err(Ambiguous)),
        ("Content-Length: \"5\"", Err(Ambiguous)),
        ("Content-Length: \u{665}", Err(Ambiguous)),
        ("Content-Length: 5\x0b", Err(Malformed)),
        ("Content-Length : 5", Err(Malformed)),
        ("Content-Length: 5\r\nContent-Length: 5", Err(Ambiguous)),
        ("Content-Length: 5\r\nContent-Length: 6", Err(Ambiguous)),
        ("Content_Length: 5", Err(Ambiguous)),
        ("Transfer-Encoding: chunked", Ok(Phase::Body)),
        ("TRANSFER-ENCODING:\t Chunked \t", Ok(Phase::Body)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", Err(Ambiguous)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Err(Ambiguous)),
        ("Content-Length: 0\r\nTransfer-Encoding: gzip", Err(Ambiguous)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(Ambiguous)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Err(Ambiguous)),
        ("Transfer-Encoding: chunked, chunked", Err(Ambiguous)),
        ("Transfer-Encoding: chunked,", Err(Ambiguous)),
        ("Transfer-Encoding: ,chunked", Err(Ambiguous)),
        ("Transfer-Encoding: chunked, gzip", Err(Ambiguous)),
        ("Transfer-Encoding: \"chunked\"", Err(Ambiguous)),
        ("Transfer-Encoding: chunked;q=1", Err(Ambiguous)),
        ("Transfer-Encoding: chunked; a", Err(Ambiguous)),
        ("Transfer-Encoding: xchunked", Err(Ambiguous)),
        ("Transfer-Encoding: chunked x", Err(Ambiguous)),
        ("Transfer-Encoding: chu nked", Err(Ambiguous)),
        ("Transfer-Encoding:", Err(Ambiguous)),
        ("Transfer-Encoding: \x0bchunked", Err(Malformed)),
        ("Transfer-Encoding: chunked\x0c", Err(Malformed)),
        ("Transfer-Encoding:\r\n chunked", Err(Ambiguous)),
        ("Transfer-Encoding : chunked", Err(Malformed)),
        ("Transfer-Encoding: chunked\u{a0}", Err(Ambiguous)),
        ("Transfer_Encoding: chunked", Err(Ambiguous)),
        ("Transfer-Encoding: gzip", Err(NotImplemented)),
        ("Transfer-Encoding: gzip, chunked", Err(NotImplemented)),
        ("Transfer-Encoding: identity", Err(NotImplemented)),
    ] {
        assert_eq!(
            fed(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes()),
            expected,
            "{}",
            lines.escape_debug()
        );
    }
    check(&[
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Ambiguous)),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", Err(Ambiguous)),
        ("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", Ok(Phase::Idle)),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Ok(Phase::Idle),
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabX / HTTP/1.1", Ok(Phase::Head)),
        ("GET / HTTP/1.1\r\nHost: a\r\n", Ok(Phase::Head)),
        ("G", Ok(Phase::Head)),
        ("\r\n", Ok(Phase::Idle)),
        ("", Ok(Phase::Idle)),
    ]);
}

#[test]
fn chunks() {
    let extension = "x".repeat(4000);
    let longer = "x".repeat(5000);
    let trailers = format!("0\r\nX: {}\r\n\r\n", "x".repeat(9000));
    for (body, expected) in [
        ("0\r\n\r\n", Ok(Phase::Idle)),
        ("000\r\n\r\n", Ok(Phase::Idle)),
        ("5\r\nhello\r\n0\r\n\r\n", Ok(Phase::Idle)),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\nGET", Ok(Phase::Head)),
        ("0000000000000005\r\nhello\r\n", Ok(Phase::Body)),
        ("5;a\r\nhello\r\n0;b=\"c d\"\r\n\r\n", Ok(Phase::Idle)),
        ("5\r\n\r\n\r\n\r\r\n0\r\n\r\n", Ok(Phase::Idle)),
        ("2\r\n\r\n\r\n0\r\n\r\n", Ok(Phase::Idle)),
        ("0\r\nX: y\r\nZ:\r\n\r\n", Ok(Phase::Idle)),
        ("0\r\nx-checksum: 1\r\n", Ok(Phase::Body)),
        ("\r\n", Err(Body)),
        (";a\r\n", Err(Body)),
        ("x\r\n", Err(Body)),
        ("0x5\r\nhello\r\n", Err(Body)),
        ("+5\r\nhello\r\n", Err(Body)),
        ("-1\r\n", Err(Body)),
        ("5 \r\nhello\r\n", Err(Body)),
        (" 5\r\nhello\r\n", Err(Body)),
        ("5 ;a\r\nhello\r\n", Err(Body)),
        ("5\t\r\nhello\r\n", Err(Body)),
        ("5\nhello\r\n", Err(Body)),
        ("5\rhello\r\n", Err(Body)),
        ("5;a\nhello\r\n", Err(Body)),
        ("5;a\rb\r\nhello\r\n", Err(Body)),
        ("5;\0\r\nhello\r\n", Err(Body)),
        ("5;\u{e9}\r\nhello\r\n", Err(Body)),
        ("5,\r\nhello\r\n", Err(Body)),
        ("5_0\r\n", Err(Body)),
        ("10000000000000005\r\nhello\r\n", Err(Body)),
        ("00000000000000005\r\nhello\r\n", Err(Body)),
        ("ffffffffffffffff\r\n", Err(Body)),
        ("8000000000000000\r\n", Err(Body)),
        ("7fffffffffffffff\r\n", Ok(Phase::Body)),
        ("5\r\nhelloX\n0\r\n\r\n", Err(Body)),
        ("5\r\nhello\n0\r\n\r\n", Err(Body)),
        ("5\r\nhello0\r\n\r\n", Err(Body)),
        ("5\r\nhello\r0\r\n\r\n", Err(Body)),
        ("4\r\nhello\r\n0\r\n\r\n", Err(Body)),
        ("0\r\n\n", Err(Body)),
        ("0\n\r\n", Err(Body)),
        ("0\r\nX: y\n\r\n", Err(Body)),
        ("0\r\nX y\r\n\r\n", Err(Body)),
        ("0\r\nX : y\r\n\r\n", Err(Body)),
        ("0\r\n X: y\r\n\r\n", Err(Body)),
        ("0\r\nX: y\r\n z\r\n\r\n", Err(Body)),
        ("0\r\nX: \0\r\n\r\n", Err(Body)),
        ("0\r\nContent-Length: 5\r\n\r\n", Err(Body)),
        ("0\r\ncontent_length: 5\r\n\r\n", Err(Body)),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Body)),
        ("0\r\nHost: b\r\n\r\n", Err(Body)),
        ("0\r\nAuthorization: b\r\n\r\n", Err(Body)),
        (&trailers, Err(Body)),
        (&format!("0\r\n{}\r\n", "X: y\r\n".repeat(9)), Err(Body)),
        (&format!("1;{extension}\r\na\r\n0\r\n\r\n"), Ok(Phase::Idle)),
        (&format!("1;{extension}\r\na\r\n1;{extension}\r\n"), Err(Body)),
        (&format!("1;{longer}\r\na\r\n"), Err(Body)),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            fed(format!("{head}{body}").as_bytes()),
            expected,
            "{}",
            body.escape_debug().take(99).collect::<String>()
        );
    }
}

#[test]
fn what_stands_before_a_refused_message_is_told() {
    let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let pipelined = [&good[..], b"GET / HTTP/1.1\nHost: a\r\n\r\n"].concat();
    let refusal = Gate::of(LIMITS).feed(&pipelined).unwrap_err();
    assert_eq!((refusal.kind, refusal.good, refusal.running), (Malformed, good.len(), false));
    let mut gate = Gate::of(LIMITS);
    gate.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let refusal = gate.feed(b"5\r\nhello\r\nx").and_then(|_| gate.feed(b"\r\n")).unwrap_err();
    assert_eq!((refusal.kind, refusal.good, refusal.running), (Body, 0, true));
}

#[test]
fn behind_a_request_for_another_protocol_the_gate_waits() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n";
    for (head, waits) in [
        (format!("{upgrade}\r\n"), true),
        (format!("{upgrade}Content-Length: 0\r\n\r\n"), true),
        ("GET / HTTP/1.1\r\nHost: a\r\nuPGRADE:\r\n\r\n".to_owned(), true),
        (format!("{upgrade}Content-Length: 3\r\n\r\nabc"), false),
        (format!("{upgrade}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), false),
        ("GET / HTTP/1.0\r\nUpgrade: x\r\n\r\n".to_owned(), false),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Upgrade: x\r\n\r\n".to_owned(), false),
    ] {
        let first = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut gate = Gate::of(LIMITS);
        let input = format!("{first}{head}");
        assert_eq!(gate.feed(input.as_bytes()), Ok(input.len()));
        assert_eq!((gate.waits(), gate.heads(), gate.phase()), (waits, 2, Phase::Idle), "{head}");
        let mut gate = Gate::of(LIMITS);
        let glued = format!("{input}\x00\u{81}not http\n");
        let fed = gate.feed(glued.as_bytes());
        match waits {
            true => {
                assert_eq!(fed, Ok(input.len()), "{head}");
                assert_eq!(gate.feed(b"\x81"), Ok(0));
                gate.go_on();
                assert_eq!(gate.feed(b"\x00\n").map_err(|refusal| refusal.kind), Err(Malformed));
            }
            false => assert_eq!(fed.map_err(|refusal| (refusal.kind, refusal.good)), Err((Malformed, input.len()))),
        }
    }
}

#[test]
fn nothing_is_kept_of_a_head_that_comes_at_once() {
    let mut gate = Gate::of(LIMITS);
    gate.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab").unwrap();
    assert_eq!(gate.carried.capacity(), 0);
    let mut gate = Gate::of(LIMITS);
    for _ in 0..100 {
        let _ = gate.feed(&[b'x'; 1000]);
        assert!(gate.carried.capacity() <= 2 * LIMITS.max_head);
    }
}

/// Whatever random bytes do, they do it however they are cut, and nothing panics.
#[test]
fn noise() {
    let mut random = fastrand::Rng::with_seed(11);
    let words: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n",
        b"POST ",
        b"/ ",
        b"HTTP/1.1",
        b"\r\n",
        b"\r",
        b"\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Upgrade: x\r\n",
        b"\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"0",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"x",
        b": ",
        b" ",
        b"\0",
        b"\xff",
        b";",
    ];
    for _ in 0..3000 {
        let mut input = Vec::new();
        for _ in 0..random.usize(1..14) {
            input.extend_from_slice(words[random.usize(..words.len())]);
        }
        let _ = fed(&input);
    }
}

#[test]
fn who_asks_about_the_server_as_a_whole_is_remembered_by_number() {
    let mut gate = Gate::of(LIMITS);
    let ask = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
    let lines = [
        "OPTIONS http://a",
        "OPTIONS http://a/",
        "GET http://a",
        "OPTIONS *",
        "OPTIONS HTTPS://a",
        "OPTIONS http://a?",
    ];
    let all: String = lines.iter().map(|line| ask(line)).collect();
    gate.feed(all.as_bytes()).unwrap();
    let found: Vec<bool> = (1..=6).map(|message| gate.is_of_server(message)).collect();
    assert_eq!(found, [true, false, false, false, true, false]);
}
