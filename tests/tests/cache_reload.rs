//! Reloads that change a cache: what is stored stays as far as it fits, hits go on meanwhile, and nothing that was forgotten comes
//! back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use weir_tests::{Client, Config, Gate, Gateway, Origin, Place, Response, behaviour, eventually};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[admin]
socket = "admin.sock"
[pool.app]
member = ["{app}"]
[cache.pages]
purge = ["127.0.0.1"]
{cache}
[site.all]
route = [{ pool = "app", cache = "pages" }]
"#;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");

struct World {
    gateway: Gateway,
    app: Origin,
}

impl World {
    /// Every answer of the upstream has so many bytes.
    fn start(cache: &str, bytes: usize) -> World {
        let app = Origin::start();
        app.otherwise(behaviour::answers_with(200, &[FRESH], &"x".repeat(bytes)));
        World { gateway: Gateway::start(&config(&app, cache)), app }
    }

    fn reload(&self, cache: &str) {
        self.gateway.reload(&config(&self.app, cache));
    }

    fn fill(&self, count: usize) {
        let mut client = self.gateway.client();
        (0..count).for_each(|at| drop(client.get(&format!("/{at}")).expect(200).clone()));
    }

    /// How many of these are there, without asking the upstream.
    fn there(&self, count: usize) -> usize {
        let mut client = self.gateway.client();
        let mut is_there = |at: usize| only_stored(&mut client, &format!("/{at}")).status == 200;
        (0..count).filter(|at| is_there(*at)).count()
    }

    /// What the operator is told of a shelf.
    fn told(&self, shelf: &str, what: &str) -> u64 {
        let socket = format!("unix:{}", self.gateway.place().join("admin.sock").display());
        let told = Client::connect(&socket).get("/caches/pages").expect(200).json();
        told[shelf][what].as_u64().unwrap_or_default()
    }
}

fn config(app: &Origin, cache: &str) -> Config {
    Config::text(CONFIG).fill("cache", cache).fill("app", &app.url())
}

fn only_stored(client: &mut Client, target: &str) -> Response {
    client.ask(target, &[("Cache-Control", "only-if-cached")])
}

#[test]
fn a_memory_of_another_size_keeps_what_fits() {
    let world = World::start("memory = \"8MiB\"", 10_000);
    world.fill(400);
    for (memory, capacity, least) in
        [("64MiB", 64 << 20, 400), ("8MiB", 8 << 20, 400), ("2MiB", 2 << 20, 100), ("64MiB", 64 << 20, 100)]
    {
        world.reload(&format!("memory = \"{memory}\""));
        let bytes = || world.told("memory", "bytes");
        eventually("it fits", || (bytes() <= capacity).then_some(()));
        let there = world.there(400);
        assert!(there >= least, "{there} with {memory}");
        assert_eq!(world.told("memory", "capacity"), capacity);
        eventually("all is carried over", || {
            (world.told("memory", "objects") == world.there(400) as u64).then_some(())
        });
    }
    assert_eq!(world.app.requests().len(), 400);
    // What is stored now has all of the new room.
    world.fill(400);
    assert_eq!(world.there(400), 400);
}

#[test]
fn hits_go_on_while_it_is_carried_over_and_what_was_forgotten_stays_so() {
    let world = World::start("memory = \"64MiB\"", 100);
    world.fill(3000);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for half in 0..2 {
            let (world, is_over) = (&world, &is_over);
            scope.spawn(move || {
                let mut client = world.gateway.client();
                for at in (0..2000).cycle().skip(half * 1000).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    let target = format!("/{at}");
                    assert_eq!(only_stored(&mut client, &target).status, 200, "{target}");
                }
            });
        }
        let mut client = world.gateway.client();
        for (round, memory) in ["80MiB", "65MiB", "64MiB", "100MiB", "70MiB"].iter().cycle().take(10).enumerate() {
            world.reload(&format!("memory = \"{memory}\""));
            for at in (2000..3000).skip(round).step_by(10) {
                let target = format!("/{at}");
                client.request("PURGE", &target, &[], b"").expect(200);
                only_stored(&mut client, &target).expect(504);
            }
        }
        assert_eq!(world.there(3000), 2000);
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.app.requests().len(), 3000);
}

#[test]
fn a_cache_on_a_disk_gets_and_loses_its_memory() {
    let place = Place::fresh();
    let store = place.join("store");
    let cache = |memory: &str, sync: bool| {
        let disk = format!("disk = {{ path = \"{}\", size = \"16MiB\", sync = {sync} }}", store.display());
        format!("memory = \"{memory}\"\n{disk}")
    };
    let world = World::start(&cache("off", false), 100);
    for (round, (memory, sync)) in [("1MiB", true), ("off", true), ("2MiB", false), ("4MiB", false)].iter().enumerate()
    {
        world.reload(&cache(memory, *sync));
        world.gateway.get(&format!("/of/{round}")).expect(200);
        let expected = match *memory {
            "off" => 0,
            // What was in memory when its size changed is there.
            "4MiB" => 2,
            _ => 1,
        };
        eventually("memory has its part", || (world.told("memory", "objects") == expected).then_some(()));
        eventually("the disk has all", || (world.told("disk", "objects") == round as u64 + 1).then_some(()));
        // As long as not everything is synced, a note says so to the start after the machine went down.
        eventually("it is noted", || (store.join("unsynced").exists() != *sync).then_some(()));
    }
    assert_eq!(world.gateway.log_count("next start"), 0);
    assert_eq!(world.gateway.log_count("another gateway"), 0);
}

#[test]
fn what_could_not_be_stored_is_remembered_for_as_long_as_the_config_says() {
    let world = World::start("uncacheable-ttl = \"1d\"", 100);
    let gate = Gate::closed();
    world.app.on("/own", behaviour::answers_with(200, &[("Cache-Control", "no-store")], "x"));
    let both = || {
        let before = world.app.count("/own");
        world.app.on("/own", behaviour::waits_for(&gate, behaviour::answers_with(200, &[FRESH], "x")));
        let mut clients: Vec<Client> = (0..2).map(|_| world.gateway.client()).collect();
        for client in &mut clients {
            client.send("GET /own HTTP/1.1\r\nHost: any.example\r\n\r\n");
        }
        (clients, before)
    };
    world.gateway.get("/own").expect(200);
    // Nobody waits for anybody.
    let (clients, before) = both();
    eventually("both ask", || (world.app.count("/own") == before + 2).then_some(()));
    drop(clients);
    world.reload("uncacheable-ttl = \"0s\"");
    let (mut clients, before) = both();
    eventually("one asks", || (world.app.count("/own") > before).then_some(()));
    gate.open();
    clients.iter_mut().for_each(|client| drop(client.response().expect(200).clone()));
    assert_eq!(world.app.count("/own"), before + 1);
}
