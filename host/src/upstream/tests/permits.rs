//! How many connections may be open at once, over all threads.

use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::shared::{member, whole};
use super::*;
use crate::clock::now;
use crate::config::UpstreamHttp2;
use crate::failure::Kind;
use crate::upstream::permit::{Bell, Permit, Place, Wish};

/// Answers whatever comes, at once.
async fn simple() -> Arc<Endpoint> {
    let (listener, endpoint) = listen(Protocol::Http1).await;
    serve(listener, |_, mut stream| async move {
        let mut heard = [0; 4096];
        while stream.read(&mut heard).await.unwrap_or(0) > 0 {
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    });
    endpoint
}

/// A member on a thread of its own, until the guard is dropped.
fn aside() -> (Arc<Endpoint>, oneshot::Sender<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    thread::spawn(move || {
        run(|_, _| async move {
            tell.send(simple().await).unwrap();
            let _ = stopped.await;
        });
    });
    (told.recv().unwrap(), stop)
}

fn endpoint(name: &str) -> Arc<Endpoint> {
    let transport = Transport {
        protocol: Protocol::Http1,
        tls: None,
        source: None,
        proxy_protocol: None,
        h2: UpstreamHttp2::USUAL,
    };
    Endpoint::of(&MemberAddress::Name(name.into(), 80), &Arc::new(transport))
}

#[test]
fn turns_are_served_in_order_and_may_be_left_at_any_time() {
    let (endpoint, bell) = (endpoint("turns.example"), Bell::default());
    let take = || Permit::take(&endpoint, Some(1), &bell);
    let only = take().ok().unwrap();
    let [left, mut first, second] = [take(), take(), take()].map(|turn| turn.err().unwrap());
    drop(left);
    assert!(first.permit().is_none());
    drop(only);
    assert!(second.permit().is_none());
    let permit = first.permit().unwrap();
    assert_eq!(endpoint.open_connections(), 1);
    drop(permit);
    // Granted, never fetched: it goes on to whoever is next.
    first = take().err().unwrap();
    drop(second);
    assert!(first.permit().is_some());
    assert_eq!(endpoint.open_connections(), 0);
    let unlimited = Permit::take(&endpoint, None, &bell).ok().unwrap();
    assert!(take().is_err());
    drop(unlimited);
    assert!(!endpoint.gate.is_waited_for());
}

#[test]
fn each_connection_at_rest_is_promised_to_one_who_waits() {
    let (endpoint, here, there) = (endpoint("promises.example"), Bell::default(), Bell::default());
    let open = || {
        let place = Place::default();
        place.fill(Permit::take(&endpoint, Some(2), &here).ok().unwrap());
        place
    };
    let (one, other) = (open(), open());
    assert_eq!(endpoint.gate.wish(&here, &one), Wish::Keep);
    let first = Permit::take(&endpoint, Some(2), &there).err().unwrap();
    assert_eq!(endpoint.gate.wish(&here, &one), Wish::Close);
    assert_eq!(endpoint.gate.wish(&here, &other), Wish::Keep, "one is closing already");
    let second = Permit::take(&endpoint, Some(2), &here).err().unwrap();
    assert_eq!(endpoint.gate.wish(&here, &other), Wish::Leave, "whoever waits here may have it");
    one.release();
    one.release();
    assert!(first.permit().is_some() && second.permit().is_some_and(|_| true));
    assert_eq!(endpoint.open_connections(), 1);
    other.release();
    assert_eq!(endpoint.open_connections(), 0);
}

#[test]
fn an_idle_connection_gives_way_to_another_thread() {
    let (endpoint, _member) = aside();
    let (idle, rests) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let theirs = endpoint.clone();
    let holder = thread::spawn(move || {
        run(|connections, _| async move {
            exchange(&connections, &theirs, Some(1)).await;
            idle.send(theirs.open_connections()).unwrap();
            let _ = stopped.await;
            connections.reuse(&theirs).await.is_none()
        })
    });
    assert_eq!(rests.recv().unwrap(), 1);
    run(|connections, _| async move {
        let before = now();
        assert_eq!(exchange(&connections, &endpoint, Some(1)).await, "ok");
        assert!(now() - before < Duration::from_secs(2));
        assert_eq!(endpoint.open_connections(), 1);
    });
    stop.send(()).unwrap();
    assert!(holder.join().unwrap(), "what was promised is gone");
}

#[test]
fn many_threads_share_few_connections() {
    let (endpoint, _member) = aside();
    let workers = (0..4).map(|_| {
        let endpoint = endpoint.clone();
        thread::spawn(move || {
            run(|connections, _| async move {
                let tasks = (0..8).map(|_| {
                    let (connections, endpoint) = (connections.clone(), endpoint.clone());
                    tokio::task::spawn_local(async move {
                        for _ in 0..20 {
                            assert_eq!(exchange(&connections, &endpoint, Some(2)).await, "ok");
                            assert!(endpoint.open_connections() <= 2);
                        }
                    })
                });
                for task in tasks.collect::<Vec<_>>() {
                    task.await.unwrap();
                }
            });
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.join().unwrap();
    }
    assert_eq!(endpoint.open_connections(), 0);
}

#[test]
fn a_connection_in_use_is_waited_for_on_its_own_thread_or_the_pool_is_full() {
    run(|connections, _| async move {
        let endpoint = simple().await;
        let mut first = connect(&connections, &endpoint, Some(1)).await;
        let short = Duration::from_millis(100);
        let failure = connections.dial(&endpoint, short, None, Some(1)).await.err().unwrap();
        assert_eq!(failure.kind, Kind::PoolFull);
        let answered = ask(&mut first, request("GET", "/", Body::Empty)).await.map_err(|no| no.failure).unwrap();
        let (others, member) = (connections.clone(), endpoint.clone());
        let second = tokio::task::spawn_local(async move { exchange(&others, &member, Some(1)).await });
        eventually(|| endpoint.gate.is_waited_for()).await;
        read(download(answered, first, &connections)).await.unwrap();
        assert_eq!(second.await.unwrap(), "ok");
        assert_eq!(endpoint.open_connections(), 1);
    });
}

#[test]
fn a_private_shelf_takes_no_seats_and_ends_with_its_client() {
    run(|_, ticker| async move {
        let endpoint = simple().await;
        let private = Connections::private(ticker.clone());
        exchange(&private, &endpoint, None).await;
        assert!(endpoint.seat(1).is_some());
        assert!(private.reuse(&endpoint).await.is_some());
        exchange(&private, &endpoint, None).await;
        eventually(|| endpoint.open_connections() == 1).await;
        drop(private);
        eventually(|| endpoint.open_connections() == 0).await;
    });
}

#[test]
fn limits_hold_for_connections_that_are_shared() {
    for (streams, tasks, most) in [(1, 10, 1), (1, 10, 3), (100, 300, 2), (7, 60, 2)] {
        run(|connections, _| async move {
            let (endpoint, seen) = member(streams, |_, _, reply| async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                whole(reply, "ok");
            })
            .await;
            let tasks = (0..tasks).map(|_| {
                let (connections, endpoint) = (connections.clone(), endpoint.clone());
                tokio::task::spawn_local(async move {
                    for _ in 0..3 {
                        assert_eq!(exchange(&connections, &endpoint, Some(most)).await, "ok");
                        assert!(endpoint.open_connections() <= most);
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
            assert!((1..=most).contains(&seen.get()), "{} connections, not {most}", seen.get());
        });
    }
}

#[test]
fn an_idle_shared_connection_gives_way_to_another_thread() {
    run(|connections, _| async move {
        let (endpoint, seen) = member(9, |_, _, reply| async move { whole(reply, "ok") }).await;
        exchange(&connections, &endpoint, Some(1)).await;
        let (theirs, (tell, told)) = (endpoint.clone(), oneshot::channel());
        let other = thread::spawn(move || {
            run(|connections, _| async move {
                exchange(&connections, &theirs, Some(1)).await.len() == 2 && tell.send(()).is_ok()
            })
        });
        told.await.unwrap();
        assert_eq!(seen.get(), 2);
        assert!(other.join().unwrap());
        assert!(connections.reuse(&endpoint).await.is_none());
    });
}

#[test]
fn what_rests_holds_its_endpoints_number() {
    run(|connections, _| async move {
        let first = simple().await;
        exchange(&connections, &first, None).await;
        let (number, address) = (first.number, first.address.clone());
        let (transport, gone) = (first.transport.clone(), Arc::downgrade(&first));
        drop(first);
        let second = simple().await;
        assert_ne!(second.number, number);
        assert!(connections.reuse(&second).await.is_none());
        // Whoever asks for the address again finds the connection.
        assert!(connections.reuse(&Endpoint::of(&address, &transport)).await.is_some());
        connections.sweep(|_| false);
        eventually(|| gone.strong_count() == 0).await;
    });
}

#[test]
fn a_connection_that_names_a_client_rests_on_that_clients_shelf_only() {
    run(|connections, ticker| async move {
        let plain = simple().await;
        let proxy_protocol = Some(crate::config::ProxyVersion::V1);
        let transport = Transport { proxy_protocol, ..(*plain.transport).clone() };
        let endpoint = Endpoint::of(&plain.address, &Arc::new(transport));
        exchange(&connections, &endpoint, None).await;
        assert!(connections.reuse(&endpoint).await.is_none());
        let private = Connections::private(ticker);
        exchange(&private, &endpoint, None).await;
        assert!(private.reuse(&endpoint).await.is_some());
    });
}
