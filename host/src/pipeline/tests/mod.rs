//! Whole exchanges as fronts hand them over, with a member that lives in the same thread.

mod accel;
mod connect;
mod doors;
mod grpc;

use std::cell::{OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use http_body::Body as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;

use super::{Arrived, Client, Interim, Outgoing};
use crate::body::Body;
use crate::clock::{self, Duration};
use crate::config::{self, Plan};
use crate::failure::Failure;
use crate::generation::{Generation, Lasting, Local, Thread};
use crate::log::{AccessLog, Output};
use crate::message::forwarding::Peer;
use crate::message::secured::tests::secured;
use crate::message::{Fields, Scheme, Status, Value, Version};
use crate::wasm::{Engine, EngineOptions};

/// What the log says of an exchange.
const LOGGED: &str = "${request.method} ${request.version} ${response.status} ${failure}";

/// A gateway without doors.
struct House {
    local: Rc<Local>,
    access: AccessLog,
    log: PathBuf,
    /// Heads that the member got.
    seen: Rc<RefCell<Vec<String>>>,
}

/// A request as a front would have it.
struct Asking {
    request: http::request::Builder,
    body: Body,
    client: Client,
    protocol: Option<&'static str>,
    is_early: bool,
}

struct Nobody;

impl Interim for Nobody {
    fn send(&self, _: Status, _: Fields) {}
}

/// What a member does with a request's head, once it was read.
type Act = Rc<dyn Fn(String, TcpStream) -> Pin<Box<dyn Future<Output = ()>>>>;

/// A member that answers with what `answer` makes of a head, and closes.
fn answering(answer: impl Fn(&str) -> String + 'static) -> Act {
    let answer = Rc::new(answer);
    Rc::new(move |head, mut stream| {
        let answer = answer.clone();
        Box::pin(async move {
            stream.write_all(answer(&head).as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        })
    })
}

/// Runs a test as a thread of the gateway runs, with a member that acts so.
fn run<F: Future<Output = ()>>(name: &str, act: Act, test: impl FnOnce(Rc<House>) -> F) {
    run_as(name, act, |_| {}, test);
}

/// The same with a plan that was changed.
fn run_as<F: Future<Output = ()>>(
    name: &str,
    act: Act,
    change: impl FnOnce(&mut Plan),
    test: impl FnOnce(Rc<House>) -> F,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
    let directory = std::env::temp_dir().join(format!("weir-pipeline-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    runtime.block_on(async {
        let house = Rc::new(build(&directory, act, change).await);
        tokio::task::spawn_local(house.local.thread.ticker.clone().run());
        tokio::time::timeout(Duration::from_secs(60), test(house)).await.expect("it ends");
    });
    std::fs::remove_dir_all(&directory).unwrap();
}

async fn build(directory: &Path, act: Act, change: impl FnOnce(&mut Plan)) -> House {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "[access-log]\npath = \"access.log\"\nformat = {LOGGED:?}\n\
         [listener.web]\nbind = \"127.0.0.1:0\"\n\
         [pool.app]\nmember = [\"http://{}\"]\n\
         [pool.dead]\nmember = [\"unix:{}/nobody.sock\"]\n\
         [site.main]\nroute = [\n\
         {{ path = \"/socket\", pool = \"app\", upgrade = [\"websocket\", \"connect-udp\"] }},\n\
         {{ path = \"/dead\", pool = \"dead\", upgrade = [\"websocket\"] }},\n\
         {{ path = \"/fixed\", respond = {{ body = \"fixed\" }} }},\n\
         {{ path = \"/none\", exclude = true }},\n\
         {{ pool = \"app\" }} ]\n",
        listener.local_addr().unwrap(),
        directory.display()
    );
    let mut plan = config::parse(&text, "weir.toml", directory).unwrap_or_else(|problems| panic!("{problems:#?}"));
    change(&mut plan);
    let access = AccessLog::start(Output::open(&plan.access_log).unwrap()).unwrap();
    let engine = Engine::start(EngineOptions { cache_directory: None, threads: 1 }).unwrap();
    let generation = Generation::build(plan, &engine, &Lasting::default(), 1).unwrap();
    let local = Local::of(Arc::new(generation), Thread::start(&access));
    let seen = Rc::new(RefCell::new(Vec::new()));
    tokio::task::spawn_local(member(listener, act, seen.clone()));
    House { local, access, log: directory.join("access.log"), seen }
}

async fn member(listener: TcpListener, act: Act, seen: Rc<RefCell<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (act, seen) = (act.clone(), seen.clone());
        tokio::task::spawn_local(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).unwrap();
            seen.borrow_mut().push(head.clone());
            act(head, stream).await;
        });
    }
}

/// A request that came over a connection like this.
fn asking(version: Version, scheme: Scheme, method: &str, uri: &str) -> Asking {
    let secured = (scheme == Scheme::Https).then(|| Arc::new(secured(true)));
    let client = Client {
        peer: Peer::of("192.0.2.7".parse().ok(), false),
        port: 4711,
        listener: "web".into(),
        scheme,
        to: Some("127.0.0.1:8443".parse().unwrap()),
        secured,
        own: OnceCell::new(),
    };
    let request = http::Request::builder().version(version).method(method).uri(uri);
    Asking { request, body: Body::Empty, client, protocol: None, is_early: false }
}

impl Asking {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    fn to(mut self, protocol: &'static str) -> Self {
        self.protocol = Some(protocol);
        self
    }

    fn early(mut self) -> Self {
        self.is_early = true;
        self
    }

    /// By a proxy in front, whose word is taken.
    fn by_proxy(mut self) -> Self {
        self.client.peer = Peer::of(None, false);
        self
    }
}

impl House {
    async fn serve(&self, asking: Asking) -> http::Response<Outgoing> {
        let (head, ()) = asking.request.body(()).unwrap().into_parts();
        super::serve(Arrived {
            local: self.local.clone(),
            client: Rc::new(asking.client),
            head,
            body: asking.body,
            interim: Rc::new(Nobody),
            began: clock::now(),
            protocol: asking.protocol.map(Value::from_static),
            is_early: asking.is_early,
        })
        .await
    }

    /// Serves a request; what was answered, whole.
    async fn ask(&self, asking: Asking) -> (http::response::Parts, String, HeaderMap) {
        let (head, body) = self.serve(asking).await.into_parts();
        let (body, trailers) = read(body).await.unwrap();
        (head, body, trailers)
    }

    /// The last head that the member got.
    fn last_seen(&self) -> String {
        self.seen.borrow().last().cloned().unwrap_or_default().to_ascii_lowercase()
    }

    /// What the log says of the last exchange.
    fn last_logged(&self) -> String {
        self.local.thread.sink.flush();
        assert!(self.access.settle(Duration::from_secs(20)));
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines().last().unwrap_or_default().to_owned()
    }
}

async fn read(mut body: Outgoing) -> Result<(String, HeaderMap), Failure> {
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    Ok((String::from_utf8(bytes).unwrap(), trailers))
}

fn field<'a>(head: &'a http::response::Parts, name: &str) -> &'a str {
    head.headers.get(name).map_or("", |value| value.to_str().unwrap())
}
