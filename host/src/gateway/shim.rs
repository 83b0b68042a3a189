//! SWAP AT MERGE: stand-ins for `crate::generation`, `crate::front` and `crate::wasm`, with the shapes that this room is
//! written against. The front answers every request with `200` so that start, reload and drain can be tried.
#![allow(missing_docs)]

/// Stands for `crate::wasm`.
pub mod wasm {
    use std::path::PathBuf;

    #[derive(Debug)]
    pub struct EngineOptions {
        pub cache_directory: Option<PathBuf>,
        pub threads: usize,
    }
    pub struct Engine;
    #[derive(Debug)]
    pub struct StartError(String);
    #[derive(Debug)]
    pub struct LoadError(String);
    pub struct Inspection;

    impl Engine {
        pub fn start(_options: EngineOptions) -> Result<Self, StartError> {
            Ok(Self)
        }
        pub fn inspect(&self, _component: &[u8]) -> Result<Inspection, LoadError> {
            Err(LoadError("filters cannot be read in this build".into()))
        }
    }
    impl std::fmt::Display for StartError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }
    impl std::fmt::Display for LoadError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }
    impl std::fmt::Display for Inspection {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Ok(())
        }
    }
}

/// Stands for `crate::generation`.
pub mod generation {
    use std::sync::{Arc, Mutex};

    use super::wasm::Engine;
    use crate::config::{Plan, Problem};

    pub struct Generation {
        pub number: u64,
    }
    pub struct Current(Mutex<Arc<Generation>>);

    impl Generation {
        pub fn build(_plan: Plan, _engine: &Engine, number: u64) -> Result<Self, Vec<Problem>> {
            Ok(Self { number })
        }
    }
    impl Current {
        pub fn of(first: Arc<Generation>) -> Self {
            Self(Mutex::new(first))
        }
        pub fn load(&self) -> Arc<Generation> {
            self.0.lock().expect("nobody panics while holding it").clone()
        }
        pub fn swap(&self, next: Arc<Generation>) {
            *self.0.lock().expect("nobody panics while holding it") = next;
        }
    }
}

/// Stands for `crate::front`.
pub mod front {
    use std::cell::{Cell, RefCell};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::sync::watch;

    use super::generation::Current;
    use crate::log::AccessLog;

    /// What all threads share of one listener.
    pub struct ListenerShared {
        pub name: Arc<str>,
        pub connections: AtomicUsize,
    }

    /// A socket that listens, non-blocking.
    pub enum Socket {
        Tcp(TcpListener),
        Unix(UnixListener),
    }

    pub struct Worker {
        current: Arc<Current>,
        in_flight: Cell<usize>,
        draining: watch::Sender<bool>,
        _sink: RefCell<crate::log::Sink>,
    }

    impl Worker {
        pub fn start(current: Arc<Current>, access: &AccessLog) -> Rc<Self> {
            let draining = watch::channel(false).0;
            Rc::new(Self { current, in_flight: Cell::new(0), draining, _sink: RefCell::new(access.sink()) })
        }

        /// Accepts until told to stop, then once more until the kernel's queue is empty, then closes the socket.
        pub async fn serve(self: Rc<Self>, listener: Arc<ListenerShared>, socket: Socket, stop: watch::Receiver<bool>) {
            match socket {
                Socket::Tcp(socket) => {
                    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
                    self.accept(&listener, stop, async || socket.accept().await.ok().map(|pair| pair.0)).await;
                }
                Socket::Unix(socket) => {
                    let Ok(socket) = tokio::net::UnixListener::from_std(socket) else { return };
                    self.accept(&listener, stop, async || socket.accept().await.ok().map(|pair| pair.0)).await;
                }
            }
        }

        async fn accept<S: AsyncRead + AsyncWrite + Unpin + 'static>(
            self: &Rc<Self>,
            listener: &Arc<ListenerShared>,
            mut stop: watch::Receiver<bool>,
            accept: impl AsyncFn() -> Option<S>,
        ) {
            loop {
                let stream = tokio::select! {
                    biased;
                    stream = accept() => stream,
                    _ = stop.wait_for(|stop| *stop) => return,
                };
                let Some(stream) = stream else { continue };
                self.in_flight.set(self.in_flight.get() + 1);
                listener.connections.fetch_add(1, Ordering::Relaxed);
                let (worker, listener) = (self.clone(), listener.clone());
                tokio::task::spawn_local(async move {
                    worker.talk(stream).await;
                    listener.connections.fetch_sub(1, Ordering::Relaxed);
                    worker.in_flight.set(worker.in_flight.get() - 1);
                });
            }
        }

        async fn talk(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
            let (mut head, mut draining, mut fresh) = (Vec::new(), self.draining.subscribe(), true);
            loop {
                if !fresh && head.is_empty() && *draining.borrow() {
                    return;
                }
                let told = async {
                    let _ = draining.wait_for(|draining| *draining).await;
                    tokio::time::sleep(Duration::from_millis(if fresh { 500 } else { 0 })).await;
                };
                tokio::select! {
                    biased;
                    read = stream.read_buf(&mut head) => if !matches!(read, Ok(1..)) { return },
                    () = told, if head.is_empty() => return,
                }
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                if head.starts_with(b"GET /slow") {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                head.clear();
                fresh = false;
                let body = format!("generation {}\n", self.current.load().number);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }

        /// Closes idle connections now and busy ones after their exchange.
        pub fn drain(&self) {
            self.draining.send_replace(true);
        }

        /// Connections that are open.
        pub fn in_flight(&self) -> usize {
            self.in_flight.get()
        }
    }
}
