//! The resolver and its table against a name server on loopback whose zone and mood the tests set.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::runtime::{Builder, LocalOptions};

use super::*;

/// What a server does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    Refuses,
    Sleeps,
    Babbles,
}

/// A name server: a zone, a mood, and what it was asked.
#[derive(Clone)]
struct Server(Arc<Mutex<State>>, SocketAddr);

struct State {
    mood: Mood,
    zone: HashMap<String, (u32, Vec<RData>)>,
    asked: Vec<(String, RecordType)>,
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let state = State { mood: Mood::Answers, zone: HashMap::new(), asked: Vec::new() };
        let server = Self(Arc::new(Mutex::new(state)), socket.local_addr().unwrap());
        let own = server.clone();
        tokio::task::spawn_local(async move {
            let mut question = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut question).await {
                if let Some(answer) = own.answer(&question[..length]) {
                    socket.send_to(&answer, client).await.unwrap();
                }
            }
        });
        server
    }

    fn set(&self, name: &str, ttl: u32, records: &[&str]) {
        let read = |record: &&str| match record.split_whitespace().collect::<Vec<_>>()[..] {
            [priority, weight, port, target] => RData::SRV(SRV::new(
                priority.parse().unwrap(),
                weight.parse().unwrap(),
                port.parse().unwrap(),
                Name::from_ascii(target).unwrap(),
            )),
            [address] => match address.parse().unwrap() {
                IpAddr::V4(address) => RData::A(address.into()),
                IpAddr::V6(address) => RData::AAAA(address.into()),
            },
            _ => panic!("{record}"),
        };
        self.0.lock().unwrap().zone.insert(format!("{name}."), (ttl, records.iter().map(read).collect()));
    }

    fn feel(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    fn asked(&self, name: &str) -> usize {
        let name = format!("{name}.");
        self.0.lock().unwrap().asked.iter().filter(|(asked, _)| *asked == name).count()
    }

    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries()[0].clone();
        let mut state = self.0.lock().unwrap();
        state.asked.push((query.name().to_ascii(), query.query_type()));
        let mut answer = Message::new();
        answer.set_id(question.id()).set_message_type(MessageType::Response).add_query(query.clone());
        answer.set_recursion_desired(true).set_recursion_available(true);
        match (state.mood, state.zone.get(&query.name().to_ascii())) {
            (Mood::Sleeps, _) => return None,
            (Mood::Babbles, _) => return Some([&question.id().to_be_bytes()[..], &[0xff; 60]].concat()),
            (Mood::Refuses, _) => drop(answer.set_response_code(ResponseCode::ServFail)),
            (Mood::Answers, None) => drop(answer.set_response_code(ResponseCode::NXDomain)),
            (Mood::Answers, Some((ttl, records))) => {
                let of_type = records.iter().filter(|record| record.record_type() == query.query_type());
                of_type.for_each(|data| {
                    answer.add_answer(Record::from_rdata(query.name().clone(), *ttl, data.clone()));
                });
            }
        }
        Some(answer.to_vec().unwrap())
    }
}

/// A resolver, its table, and its server.
struct World {
    server: Server,
    table: Arc<Table>,
    resolver: Resolver,
}

impl World {
    async fn begin() -> Self {
        let server = Server::start().await;
        let table = Arc::new(Table::default());
        let source = Source::within(&[server.1], Duration::from_millis(300));
        let resolver = Resolver::on(table.clone(), source);
        Self { server, table, resolver }
    }

    async fn addresses(&self, name: &str) -> Result<Vec<String>, String> {
        let found: io::Result<Arc<[IpAddr]>> = self.table.addresses(name).await;
        found.map(|found| found.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    }

    async fn soon_addresses(&self, name: &str, wanted: &[&str]) {
        eventually(async || self.addresses(name).await.is_ok_and(|found| found == wanted)).await;
    }

    /// Watches, and gives what is told.
    fn watch(&self, watched: &Watched) -> (Watch, Told) {
        let told = Told::default();
        let to = told.clone();
        let tell: Tell = Arc::new(move |found: &[Found]| to.0.lock().unwrap().push(found.iter().map(shown).collect()));
        (Watch { watched: watched.clone(), ttl: Duration::from_secs(60), tell }, told)
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Vec<String>>>>);

impl Told {
    fn all(&self) -> Vec<Vec<String>> {
        self.0.lock().unwrap().clone()
    }

    async fn times(&self, count: usize) -> Vec<Vec<String>> {
        eventually(async || self.all().len() >= count).await;
        self.all()
    }
}

fn shown(found: &Found) -> String {
    format!("{} {} {} {}", found.priority, found.weight, found.address, found.target)
}

async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let within = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    within.await.expect("not within 30 s");
}

fn locally(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap().block_on(test);
}

#[test]
fn both_families_are_asked_for_and_known_ones_are_not_asked_again() {
    locally(async {
        let world = World::begin().await;
        world.server.set("both.example", 60, &["10.0.0.2", "::2", "10.0.0.1", "0.0.0.0"]);
        let wanted = Ok(vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned(), "::2".to_owned()]);
        let (one, other) = tokio::join!(world.addresses("both.example"), world.addresses("both.example"));
        assert_eq!((one, other), (wanted.clone(), wanted.clone()));
        assert_eq!(world.addresses("both.example").await, wanted);
        assert_eq!(world.server.asked("both.example"), 2, "once for A, once for AAAA");
        assert_eq!(world.addresses("localhost").await.unwrap(), ["127.0.0.1", "::1"]);
        assert_eq!(world.server.asked("localhost"), 0);
    });
}

#[test]
fn a_change_is_found_when_the_time_to_live_is_over() {
    locally(async {
        let world = World::begin().await;
        world.server.set("moves.example", 1, &["10.0.0.1"]);
        assert_eq!(world.addresses("moves.example").await.unwrap(), ["10.0.0.1"]);
        world.server.set("moves.example", 60, &["10.0.0.2"]);
        world.soon_addresses("moves.example", &["10.0.0.2"]).await;
        assert_eq!(world.server.asked("moves.example"), 4);
    });
}

#[test]
fn members_names_are_resolved_ahead_and_believed_no_longer_than_allowed() {
    locally(async {
        let world = World::begin().await;
        world.server.set("held.example", 3600, &["10.0.0.1"]);
        world.resolver.hold(&[("held.example".into(), Duration::from_secs(1))]);
        eventually(async || world.server.asked("held.example") == 2).await;
        world.server.set("held.example", 3600, &["10.0.0.2"]);
        world.soon_addresses("held.example", &["10.0.0.2"]).await;
    });
}

#[test]
fn the_last_good_answer_outlives_a_server_in_any_trouble() {
    locally(async {
        tokio::join!(outlives(Mood::Refuses), outlives(Mood::Sleeps), outlives(Mood::Babbles));
    });
}

async fn outlives(trouble: Mood) {
    let world = World::begin().await;
    world.server.set("stale.example", 1, &["10.0.0.1"]);
    assert_eq!(world.addresses("stale.example").await.unwrap(), ["10.0.0.1"]);
    world.server.set("stale.example", 1, &["10.0.0.2"]);
    let before = world.server.asked("stale.example");
    world.server.feel(trouble);
    eventually(async || {
        assert_eq!(world.addresses("stale.example").await.unwrap(), ["10.0.0.1"]);
        world.server.asked("stale.example") >= before + 4
    })
    .await;
    world.server.feel(Mood::Answers);
    world.soon_addresses("stale.example", &["10.0.0.2"]).await;
}

#[test]
fn a_first_bad_answer_is_an_error_at_once_and_asked_again() {
    locally(async {
        let world = World::begin().await;
        assert_eq!(world.addresses("late.example").await.unwrap_err(), "late.example does not exist");
        assert!(world.addresses("late.example").await.is_err());
        assert_eq!(world.server.asked("late.example"), 2, "the second error is the first one's");
        world.server.set("late.example", 60, &["10.0.0.1"]);
        world.soon_addresses("late.example", &["10.0.0.1"]).await;

        world.server.feel(Mood::Sleeps);
        let why = world.addresses("silent.example").await.unwrap_err();
        assert!(why.starts_with("silent.example: "), "{why}");
        for odd in ["", "..", &"a".repeat(300), "a b\r\nc", "\u{e9}\u{0}"] {
            assert!(world.addresses(odd).await.is_err(), "{odd:?}");
        }
    });
}

#[test]
fn other_servers_are_asked_at_once_and_nobody_is_left_waiting_at_the_end() {
    locally(async {
        let world = World::begin().await;
        world.server.set("a.example", 3600, &["10.0.0.1"]);
        assert_eq!(world.addresses("a.example").await.unwrap(), ["10.0.0.1"]);
        let other = Server::start().await;
        other.set("a.example", 3600, &["10.0.0.2"]);
        world.resolver.reconfigure(&[other.1]);
        world.soon_addresses("a.example", &["10.0.0.2"]).await;
        world.resolver.reconfigure(&[other.1]);
        assert_eq!(other.asked("a.example"), 2, "the same servers are no change");

        other.feel(Mood::Sleeps);
        let World { table, resolver, .. } = world;
        let waiting = tokio::task::spawn_local({
            let table = table.clone();
            async move { table.addresses("b.example").await }
        });
        eventually(async || other.asked("b.example") > 0).await;
        drop(resolver);
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), io::ErrorKind::NotConnected);
        assert!(table.addresses("a.example").await.is_err());
    });
}

#[test]
fn a_service_is_every_address_of_every_target() {
    locally(async {
        let world = World::begin().await;
        let records =
            ["10 5 8001 one.example.", "10 1 8002 Two.example.", "20 0 8003 none.example.", "1 1 0 one.example."];
        world.server.set("_http._tcp.example", 1, &records);
        world.server.set("one.example", 60, &["10.0.0.1", "::1"]);
        world.server.set("two.example", 60, &["10.0.0.2"]);
        let (watch, told) = world.watch(&Watched::Services("_http._tcp.example".into()));
        world.resolver.attend(vec![watch]);
        let first = ["10 5 10.0.0.1:8001 one.example", "10 1 10.0.0.2:8002 two.example", "10 5 [::1]:8001 one.example"];
        assert_eq!(told.times(1).await[0], first);

        world.server.feel(Mood::Refuses);
        let before = world.server.asked("_http._tcp.example");
        eventually(async || world.server.asked("_http._tcp.example") >= before + 2).await;
        assert_eq!(told.all().len(), 1, "trouble is no change");

        world.server.feel(Mood::Answers);
        world.server.set("_http._tcp.example", 1, &["0 0 0 ."]);
        assert_eq!(told.times(2).await[1], [""; 0], "the service says that it is none");
    });
}

#[test]
fn a_watch_is_told_of_changes_only() {
    locally(async {
        let world = World::begin().await;
        let watched = Watched::Addresses("w.example".into(), 80);
        world.server.set("w.example", 1, &["10.0.0.2", "10.0.0.1"]);
        let (watch, told) = world.watch(&watched);
        world.resolver.attend(vec![watch.clone()]);
        let first = ["0 0 10.0.0.1:80 w.example", "0 0 10.0.0.2:80 w.example"];
        assert_eq!(told.times(1).await[0], first);
        world.server.set("w.example", 1, &["10.0.0.1", "10.0.0.2"]);
        let before = world.server.asked("w.example");
        eventually(async || world.server.asked("w.example") >= before + 4).await;
        assert_eq!(told.all().len(), 1, "another order is no change");

        let (later, told_later) = world.watch(&watched);
        world.resolver.attend(vec![watch, later.clone()]);
        assert_eq!(told_later.all(), [first], "who comes later is told at once");
        assert_eq!(told.all().len(), 1);

        world.resolver.attend(vec![later]);
        world.server.set("w.example", 1, &["10.0.0.3"]);
        assert_eq!(told_later.times(2).await[1], ["0 0 10.0.0.3:80 w.example"]);
        assert_eq!(told.all().len(), 1, "who left is not told");

        world.resolver.attend(Vec::new());
        let asked = world.server.asked("w.example");
        let control = world.watch(&Watched::Addresses("x.example".into(), 80));
        world.server.set("x.example", 1, &["10.0.0.1"]);
        world.resolver.attend(vec![control.0]);
        eventually(async || world.server.asked("x.example") >= 6).await;
        assert!(world.server.asked("w.example") <= asked + 2, "what nobody watches is not asked about");
    });
}

#[test]
fn a_flood_of_records_is_cut() {
    locally(async {
        let world = World::begin().await;
        let records: Vec<_> = (0..30).map(|n| format!("1 1 80 t{n}.example.")).collect();
        world.server.set("_many._tcp.example", 60, &records.iter().map(String::as_str).collect::<Vec<_>>());
        let addresses: Vec<_> = (1..40).map(|n| format!("10.0.0.{n}")).collect();
        for number in 0..30 {
            let addresses = addresses.iter().map(String::as_str).collect::<Vec<_>>();
            world.server.set(&format!("t{number}.example"), 60, &addresses);
        }
        let (watch, told) = world.watch(&Watched::Services("_many._tcp.example".into()));
        world.resolver.attend(vec![watch]);
        assert_eq!(told.times(1).await[0].len(), MOST_ADDRESSES);
    });
}
