//! How much there is on the disk and of it in memory, who stays, and what reloads, drains and restarts leave of it.

use std::fs;
use std::thread;
use std::time::Instant;

use weir_tests::origin::Then;
use weir_tests::{Client, Config, Gate, Gateway, Origin, PATIENCE, Signal, behaviour, eventually};

use super::{Store, only_stored, said};

/// An upstream whose bodies are as long as the last word of their path says, fresh for an hour.
fn lengths() -> Origin {
    let origin = Origin::start();
    origin.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let target = exchange.request.target.clone();
        let length: usize = target.rsplit('/').next().and_then(|word| word.parse().ok()).unwrap_or(9);
        exchange.write_head(200, &[("Cache-Control", "max-age=3600"), ("Content-Length", &length.to_string())])?;
        exchange.write(body(&target, length))?;
        Ok(Then::Keep)
    }));
    origin
}

/// Every target has its own.
fn body(target: &str, length: usize) -> Vec<u8> {
    target.bytes().cycle().take(length).collect()
}

/// Asks, checks the body, and says what the cache said.
#[track_caller]
fn get(client: &mut Client, target: &str) -> String {
    let length = target.rsplit('/').next().and_then(|word| word.parse().ok()).unwrap_or(9);
    let response = client.get(target);
    assert!(response.expect(200).body == body(target, length), "{target}");
    said(&response)
}

#[test]
fn a_flood_keeps_within_bounds_and_what_is_asked_for_stays() {
    let (store, app) = (Store::fresh(), lengths());
    let gateway = Gateway::start(&store.config(&app));
    let mut client = gateway.client();
    let hot: Vec<String> = (0..8).map(|number| format!("/hot/{number}/50000")).collect();
    let (mut asked, mut missed) = (0, 0);
    for number in 0..900 {
        get(&mut client, &format!("/flood/{number}/40000"));
        if number % 10 == 0 {
            for target in &hot {
                asked += 1;
                missed += usize::from(get(&mut client, target) != "hit");
            }
            assert!(store.bytes() <= 16 << 20, "{} bytes after {number}", store.bytes());
        }
    }
    // Everything was replaced more than twice; these were fetched once, or hardly more often.
    assert!(missed <= hot.len() + asked / 50, "{missed} of {asked}");
    assert!(store.bytes() > 12 << 20, "{} bytes", store.bytes());
    // As many files as there are stay open, up to a bound.
    for number in 0..900 {
        get(&mut client, &format!("/small/{number}/10"));
    }
    eventually("everything is written", || store.unfinished().is_empty().then_some(()));
    for number in 0..900 {
        get(&mut client, &format!("/small/{number}/10"));
    }
    assert!((500..700).contains(&gateway.descriptors()), "{} descriptors", gateway.descriptors());
}

#[test]
fn thousands_of_objects_are_there_again_soon_and_nobody_waits_for_them() {
    const OBJECTS: usize = 3000;
    let (store, app) = (Store::fresh(), lengths());
    let mut gateway = Gateway::start(&store.config(&app));
    let mut client = gateway.client();
    for number in 0..OBJECTS {
        get(&mut client, &format!("/{number}/100"));
        if number % 200 == 199 {
            // With too much work for the disk, nothing more would be stored.
            store.holds(number + 1);
        }
    }
    gateway.signal(Signal::Kill);
    gateway.wait_exit(PATIENCE);
    let asked = app.requests().len();
    let start = Instant::now();
    let gateway = Gateway::start(&store.config(&app));
    assert_eq!(gateway.get("/end").text(), "end of it");
    let listens = start.elapsed();
    let line = gateway.logged("the directory of a cache was read");
    assert!(line.contains(&format!("\"objects\":{OBJECTS}")), "{line}");
    eprintln!("listens after {listens:?}, {OBJECTS} objects are known after {:?}", start.elapsed());
    assert!(start.elapsed() < PATIENCE);
    let mut client = gateway.client();
    (0..OBJECTS).step_by(7).for_each(|number| assert_eq!(get(&mut client, &format!("/{number}/100")), "hit"));
    assert_eq!(app.requests().len(), asked);
}

/// The disk has everything, memory what fits and is asked for again.
#[test]
fn objects_are_on_both_shelves() {
    let (store, app) = (Store::fresh(), lengths());
    let config = store.config_with(&app, "memory = \"1MiB\"\nmax-object = \"8MiB\"");
    let mut gateway = Gateway::start(&config);
    let (small, large) = ("/small/5000", "/large/3000000");
    for target in [small, large] {
        assert_ne!(get(&mut gateway.client(), target), "hit");
    }
    store.holds(2);
    let in_memory = |gateway: &Gateway, target: &str| {
        // Without its file, an object is found in memory or nowhere.
        store.objects().into_iter().for_each(|path| fs::rename(&path, path.with_extension("aside")).unwrap());
        let said = only_stored(gateway, target).status == 200;
        store.objects().into_iter().for_each(|path| fs::rename(&path, path.with_extension("")).unwrap());
        said
    };
    assert!(in_memory(&gateway, small));
    assert_eq!(get(&mut gateway.client(), large), "hit");
    gateway.signal(Signal::Kill);
    gateway.wait_exit(PATIENCE);
    let gateway = Gateway::start(&config);
    gateway.logged("the directory of a cache was read");
    // From the disk, and then from memory as well.
    for target in [small, large, small, large] {
        assert_eq!(get(&mut gateway.client(), target), "hit");
    }
    let begun = Instant::now();
    eventually("it is in memory", || {
        let is_there = in_memory(&gateway, small);
        assert!(begun.elapsed() < PATIENCE);
        is_there.then_some(())
    });
    assert_eq!(app.requests().len(), 2);
}

#[test]
fn a_cache_that_is_taken_away_and_comes_back_has_what_it_had() {
    let (store, app) = (Store::fresh(), lengths());
    let with = store.config(&app);
    let without = "[listener.web]\nbind = \"127.0.0.1:0\"\n[pool.app]\nmember = [\"{app}\"]\n\
        [site.all]\nroute = [{ path = \"/end\", respond = { body = \"end of it\" } }, { pool = \"app\" }]\n";
    let without = Config::text(without).fill("app", &app.url());
    let gateway = Gateway::start(&with);
    get(&mut gateway.client(), "/a/20000");
    store.holds(1);
    for round in 1..4 {
        gateway.reload(&without);
        assert_eq!(get(&mut gateway.client(), "/a/20000"), "");
        gateway.reload(&with);
        eventually("it is found again", || (only_stored(&gateway, "/a/20000").status == 200).then_some(()));
        assert_eq!(app.count("/a/20000"), 1 + round);
    }
    assert_eq!(gateway.log_count("another gateway"), 0);
}

#[test]
fn what_is_being_written_at_the_end_is_whole_or_gone() {
    for is_drained in [true, false] {
        let (store, app, gate) = (Store::fresh(), Origin::start(), Gate::closed());
        let held = gate.clone();
        app.otherwise(behaviour::does(move |exchange| {
            exchange.read_body()?;
            exchange.write_head(200, &[("Cache-Control", "max-age=3600"), ("Content-Length", "900000")])?;
            exchange.write(vec![b'x'; 600_000])?;
            held.pass();
            exchange.write(vec![b'x'; 300_000])?;
            Ok(Then::Keep)
        }));
        let mut gateway = Gateway::start(&store.config(&app));
        let mut client = gateway.client();
        client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n");
        client.response_head();
        eventually("it is being written", || (!store.unfinished().is_empty()).then_some(()));
        gateway.signal(Signal::Terminate);
        gateway.logged("drain");
        if is_drained {
            gate.open();
            let rest = thread::spawn(move || client.rest().len());
            gateway.wait_exit(PATIENCE);
            assert_eq!(rest.join().unwrap(), 900_000);
        } else {
            gateway.signal(Signal::Terminate);
            gateway.wait_exit(PATIENCE);
            gate.open();
        }
        let gateway = Gateway::start(&store.config(&app));
        gateway.logged("the directory of a cache was read");
        let found = only_stored(&gateway, "/a");
        assert!(store.unfinished().is_empty());
        match is_drained {
            true => assert!(found.expect(200).body == vec![b'x'; 900_000]),
            false => drop(found.expect(504).clone()),
        }
    }
}
