//! A name server on loopback, over UDP, that says what a test tells it to and counts what it is asked.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// How often the thread looks whether its server is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// What a name server does with questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsMood {
    /// Answers from its zone; a name that is not in it does not exist.
    Answers,
    /// SERVFAIL.
    Fails,
    /// Nothing.
    Sleeps,
}

/// A name server. It ends when it is dropped.
pub struct Dns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    mood: DnsMood,
    zone: HashMap<String, (u32, Vec<Record>)>,
    asked: HashMap<String, usize>,
}

/// A type, and what is written for it.
#[derive(Clone)]
struct Record(u16, Vec<u8>);

struct Question {
    name: String,
    kind: u16,
    /// Name, type and class as they came.
    bytes: Vec<u8>,
}

impl Dns {
    pub fn start() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        socket.set_read_timeout(Some(LOOK)).expect("a socket can have a timeout");
        let address = socket.local_addr().expect("a bound socket has an address");
        let state = State { mood: DnsMood::Answers, zone: HashMap::new(), asked: HashMap::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::downgrade(&state);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Some(state) = shared.upgrade() {
                if let Ok((length, client)) = socket.recv_from(&mut bytes)
                    && let Some(answer) = answer(&mut lock(&state), &bytes[..length])
                {
                    let _: io::Result<usize> = socket.send_to(&answer, client);
                }
            }
        });
        Dns { address, state }
    }

    /// Where it listens, for `resolvers`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets all records of a name: `10.0.0.1`, `::1`, or an SRV record's `priority weight port target`. With none, the name
    /// exists and has nothing.
    #[track_caller]
    pub fn set(&self, name: &str, ttl: u32, records: &[&str]) {
        let records = records.iter().map(|record| Record::read(record)).collect();
        lock(&self.state).zone.insert(name.to_ascii_lowercase(), (ttl, records));
    }

    /// The name exists no more.
    pub fn remove(&self, name: &str) {
        lock(&self.state).zone.remove(&name.to_ascii_lowercase());
    }

    pub fn feel(&self, mood: DnsMood) {
        lock(&self.state).mood = mood;
    }

    /// Questions about a name so far, of whatever type, answered or not.
    pub fn asked(&self, name: &str) -> usize {
        lock(&self.state).asked.get(&name.to_ascii_lowercase()).copied().unwrap_or_default()
    }
}

impl Record {
    #[track_caller]
    fn read(text: &str) -> Record {
        let words: Vec<_> = text.split_whitespace().collect();
        match words[..] {
            [address] => match address.parse().unwrap_or_else(|_| panic!("no address: {text}")) {
                IpAddr::V4(address) => Record(A, address.octets().to_vec()),
                IpAddr::V6(address) => Record(AAAA, address.octets().to_vec()),
            },
            [priority, weight, port, target] => {
                let number =
                    |word: &str| word.parse::<u16>().unwrap_or_else(|_| panic!("no number: {text}")).to_be_bytes();
                let fixed = [number(priority), number(weight), number(port)].concat();
                Record(SRV, [fixed, name_bytes(target)].concat())
            }
            _ => panic!("no record: {text}"),
        }
    }
}

/// RFC 1035, section 4.1.
fn answer(state: &mut State, bytes: &[u8]) -> Option<Vec<u8>> {
    let question = Question::read(bytes)?;
    *state.asked.entry(question.name.clone()).or_default() += 1;
    let known = state.zone.get(&question.name);
    let (code, ttl, records) = match (state.mood, known) {
        (DnsMood::Sleeps, _) => return None,
        (DnsMood::Fails, _) => (2, 0, &[][..]),
        (DnsMood::Answers, None) => (3, 0, &[][..]),
        (DnsMood::Answers, Some((ttl, records))) => (0, *ttl, records.as_slice()),
    };
    let records: Vec<_> = records.iter().filter(|record| record.0 == question.kind).collect();
    let count = u16::try_from(records.len()).expect("tests do not set that many records");
    let mut answer = bytes[..2].to_vec();
    // Response, recursion desired and available.
    answer.extend([0x81, 0x80 | code, 0, 1]);
    answer.extend(count.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(&question.bytes);
    for Record(kind, data) in records {
        // The name is the question's, at offset 12.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend(u16::try_from(data.len()).expect("data of a record is short").to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

impl Question {
    fn read(bytes: &[u8]) -> Option<Question> {
        let (mut at, mut labels) = (12, Vec::new());
        loop {
            let length = usize::from(*bytes.get(at)?);
            let label = bytes.get(at + 1..at + 1 + length)?;
            at += 1 + length;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        }
        let kind = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        Some(Question { name: labels.join("."), kind, bytes: bytes.get(12..at + 4)?.to_vec() })
    }
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panics with a zone locked")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `\x07example`, as in a question.
    fn ask(dns: &Dns, name: &str, kind: u16) -> io::Result<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(300)))?;
        let head = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let question = [&head[..], &name_bytes(name), &kind.to_be_bytes(), &[0, 1]].concat();
        socket.send_to(&question, dns.address())?;
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes)?;
        Ok(bytes[..length].to_vec())
    }

    #[test]
    fn a_server_says_what_it_is_told_to() {
        let dns = Dns::start();
        dns.set("A.example", 258, &["10.0.0.1", "::1", "1 2 3 b.c."]);
        let answer = ask(&dns, "a.EXAMPLE", A).expect("it answers");
        assert_eq!((answer[3], &answer[4..8]), (0x80, &[0, 1, 0, 1][..]));
        assert!(answer.ends_with(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 2, 0, 4, 10, 0, 0, 1]), "{answer:?}");
        let answer = ask(&dns, "a.example", SRV).expect("it answers");
        assert!(answer.ends_with(&[0, 11, 0, 1, 0, 2, 0, 3, 1, b'b', 1, b'c', 0]), "{answer:?}");
        assert_eq!(ask(&dns, "b.example", A).expect("it answers")[3] & 15, 3);
        dns.feel(DnsMood::Fails);
        assert_eq!(ask(&dns, "a.example", AAAA).expect("it answers")[3] & 15, 2);
        dns.feel(DnsMood::Sleeps);
        assert!(ask(&dns, "a.example", AAAA).is_err());
        assert_eq!((dns.asked("a.example"), dns.asked("b.example")), (4, 1));
        dns.feel(DnsMood::Answers);
        dns.remove("a.example");
        assert_eq!(ask(&dns, "a.example", A).expect("it answers")[3] & 15, 3);
    }
}
