//! Transfers far larger than the memory that the gateway may use.

use std::time::{Duration, Instant};

use weir_tests::{Config, Framing, Gateway, Origin, behaviour};

const FOUR_GIB: u64 = 4 << 30;
const MOST_KIB: u64 = 64 * 1024;

/// Five minutes for what takes seconds on an idle machine.
const BOUND: Duration = Duration::from_secs(300);

fn gateway(origin: &Origin) -> Gateway {
    Gateway::start(&Config::to(origin).tables("[log]\nformat = \"json\"\nlevel = \"info\""))
}

#[test]
fn a_download_of_four_gib_passes_under_64_mib() {
    let origin = Origin::that(behaviour::big_body(FOUR_GIB));
    let gateway = gateway(&origin);
    let start = Instant::now();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_head().0, 200);
    assert_eq!(client.drain(Framing::Length(FOUR_GIB)).expect("a whole body"), FOUR_GIB);
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert!(gateway.peak_rss_kib() < MOST_KIB, "{} KiB were resident", gateway.peak_rss_kib());
}

#[test]
fn an_upload_of_four_gib_passes_under_64_mib() {
    let origin = Origin::that(behaviour::sinks());
    let gateway = gateway(&origin);
    let start = Instant::now();
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {FOUR_GIB}\r\n\r\n"));
    let block = vec![b'u'; 1 << 20];
    for _ in 0..FOUR_GIB >> 20 {
        client.send(&block);
    }
    assert_eq!(client.response().text(), FOUR_GIB.to_string());
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert!(gateway.peak_rss_kib() < MOST_KIB, "{} KiB were resident", gateway.peak_rss_kib());
}
