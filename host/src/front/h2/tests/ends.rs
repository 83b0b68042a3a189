//! How connections end.

use super::raw::{ACK, DATA, GET, GOAWAY, HEADERS, PING, Raw};
use super::world;

const LAST: u32 = u32::MAX >> 1;

fn last_stream(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

#[test]
fn a_connection_without_a_stream_is_told_to_go() {
    world("idle-timeout = \"1s\"", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        raw.ask(1, &GET, true).await;
        assert_eq!(raw.next_of(&[HEADERS]).await.unwrap().id, 1);
        let first = raw.next_of(&[GOAWAY]).await.unwrap();
        assert_eq!((last_stream(&first.payload), first.code()), (LAST, 0));
        let ping = raw.next_of(&[PING]).await.unwrap();
        raw.send(PING, ACK, 0, &ping.payload).await;
        let second = raw.next_of(&[GOAWAY]).await.unwrap();
        assert_eq!((last_stream(&second.payload), second.code()), (1, 0));
        assert_eq!(raw.next().await, None);
    });
}

#[test]
fn a_client_that_does_not_answer_is_left_all_the_same() {
    world("idle-timeout = \"1s\"", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        raw.next_of(&[GOAWAY]).await.unwrap();
        raw.next_of(&[GOAWAY]).await.unwrap();
        assert_eq!(raw.next().await, None);
    });
}

#[test]
fn a_preface_that_does_not_come_is_not_waited_for() {
    world("head-timeout = \"1s\"", |world| async move {
        let mut stream = world.connect(1 << 16);
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await.unwrap();
        // The gateway's SETTINGS, and no word more.
        assert_eq!(all.get(3), Some(&super::raw::SETTINGS));
    });
}

/// Whatever else goes on: nothing of it can be heard while a head is not whole.
#[test]
fn a_head_that_does_not_end_ends_the_connection() {
    world("head-timeout = \"1s\"", |world| async move {
        for is_framed in [true, false] {
            let mut raw = Raw::greet(&world, &[]).await;
            raw.ask(1, &GET, true).await;
            assert_eq!(raw.next_of(&[HEADERS]).await.unwrap().id, 1);
            // A frame without END_HEADERS; a frame without its end.
            match is_framed {
                true => raw.send(HEADERS, 0, 3, &[0x82]).await,
                false => raw.send_bytes(&[0, 0, 9, HEADERS, 4, 0, 0, 0, 3, 0x82]).await,
            }
            let end = raw.next_of(&[GOAWAY]).await.unwrap();
            assert_eq!((last_stream(&end.payload), end.code()), (1, 11), "{is_framed}");
            assert_eq!(raw.next().await, None);
        }
    });
}

#[test]
fn draining_lets_streams_end_and_takes_what_is_on_its_way() {
    world("", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/echo"), (":authority", "a.example")];
        raw.ask(1, &[&fields[..], &[("content-length", "3")]].concat(), false).await;
        raw.next_of(&[HEADERS]).await.unwrap();
        world.worker.drain();
        let first = raw.next_of(&[GOAWAY]).await.unwrap();
        assert_eq!(last_stream(&first.payload), LAST);
        let ping = raw.next_of(&[PING]).await.unwrap();
        raw.ask(3, &GET, true).await;
        assert_eq!(raw.next_of(&[HEADERS]).await.unwrap().id, 3);
        raw.send(PING, ACK, 0, &ping.payload).await;
        let second = raw.next_of(&[GOAWAY]).await.unwrap();
        assert_eq!(last_stream(&second.payload), 3);
        // Too late, and safe to be sent again.
        raw.ask(5, &GET, true).await;
        raw.send(DATA, 1, 1, b"end").await;
        let frame = raw.next_of(&[DATA]).await.unwrap();
        assert_eq!((frame.id, &*frame.payload), (1, &b"end"[..]));
        while let Some(frame) = raw.next().await {
            assert_ne!(frame.id, 5);
        }
    });
}
