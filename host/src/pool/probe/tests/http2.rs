//! Checks over HTTP/2 and gRPC, of a member that knows frames (RFC 9113) and no more: it reads no field block, answers every
//! request with the same frames, and remembers what it was sent.

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status` 200 and 503: the first is in the static table, the second written out (RFC 7541, appendix A).
const OK: &[u8] = &[0x88];
const BUSY: &[u8] = b"\x08\x03503";
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";
const STATUS_0: &[u8] = b"\0\x0bgrpc-status\x010";
const STATUS_5: &[u8] = b"\0\x0bgrpc-status\x015";

type Frames = &'static [(u8, u8, &'static [u8])];

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
}

async fn read_frame(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((kind, flags, u32::from_be_bytes(id), payload))
}

/// Serves a connection to its end; the data it was sent.
async fn serve(mut stream: TcpStream, answer: Frames) -> Vec<u8> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let mut data = Vec::new();
    while let Some((kind, flags, id, payload)) = read_frame(&mut stream).await {
        if kind == SETTINGS && flags & ACK == 0 {
            stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
        }
        if kind == DATA {
            data.extend(payload);
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            for (kind, flags, payload) in answer {
                stream.write_all(&frame(*kind, *flags, id, payload)).await.unwrap();
            }
        }
    }
    data
}

#[test]
fn answers_over_http2_are_judged_and_their_connections_end() {
    const WHOLE: u8 = END_HEADERS | END_STREAM;
    const SERVES: Frames = &[(HEADERS, END_HEADERS, OK), (DATA, 0, SERVING), (HEADERS, WHOLE, STATUS_0)];
    const UNHEARD: Frames = &[(HEADERS, WHOLE, b"\x88\0\x0bgrpc-status\x015")];
    const LATE: Frames = &[(HEADERS, END_HEADERS, OK), (HEADERS, WHOLE, STATUS_5)];
    const UP: Frames = &[(HEADERS, END_HEADERS, OK), (DATA, END_STREAM, b"I'm up")];
    const DOWN: Frames = &[(HEADERS, WHOLE, BUSY)];
    let grpc = || Check::Grpc("shop".into());
    let http = || {
        let expect_body = Some("up$".parse().unwrap());
        Check::Http(HttpCheck { protocol: Some(Protocol::Http2), expect_body, ..get("/up") })
    };
    for (check, answer, passes, detail, sent) in [
        (grpc(), SERVES, true, "SERVING", &b"\0\0\0\0\x06\x0a\x04shop"[..]),
        (grpc(), UNHEARD, false, "grpc-status 5 NOT_FOUND", b"\0\0\0\0\x06\x0a\x04shop"),
        (grpc(), LATE, false, "grpc-status 5 NOT_FOUND", b"\0\0\0\0\x06\x0a\x04shop"),
        (grpc(), UP, false, "the answer has no grpc-status", b"\0\0\0\0\x06\x0a\x04shop"),
        (grpc(), DOWN, false, "status 503, which is not gRPC", b"\0\0\0\0\x06\x0a\x04shop"),
        (http(), UP, true, "status 200", b""),
        (http(), DOWN, false, "status 503, expected 2xx 3xx", b""),
    ] {
        run(async |probes| {
            let (listener, endpoint) = listener().await;
            let (judge, mut hears) = Judge::that(Wanted::Check);
            probes.attend(vec![subject("one", &endpoint, Some(once(check.clone())), &judge)]);
            let (stream, _) = listener.accept().await.unwrap();
            let served = tokio::task::spawn_local(serve(stream, answer));
            let outcome = hear(&mut hears).await;
            assert_eq!((outcome.passed, outcome.detail.as_str()), (passes, detail), "{check:?}");
            assert_eq!(served.await.unwrap(), sent, "{check:?}");
        });
    }
}

#[test]
fn a_check_in_flight_over_http2_ends_with_its_member() {
    run(async |probes| {
        let (listener, endpoint) = listener().await;
        let (judge, mut hears) = Judge::that(Wanted::Check);
        probes.attend(vec![subject("one", &endpoint, Some(once(Check::Grpc(String::new()))), &judge)]);
        let (stream, _) = listener.accept().await.unwrap();
        let served = tokio::task::spawn_local(serve(stream, &[]));
        tokio::task::yield_now().await;
        probes.attend(Vec::new());
        served.await.unwrap();
        drop(judge);
        assert!(hears.recv().await.is_none());
    });
}
