//! A worker's UDP socket: what is somebody else's goes to them, and what others got for this worker comes in with the rest.
//!
//! The socket itself, with everything that makes UDP fast (GSO, GRO, many datagrams a call), is quinn's. Queues between
//! workers are bounded; what does not fit is dropped, as a network would.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, Runtime, TokioRuntime, UdpPoller};
use tokio::sync::mpsc;

use super::steer::{LENGTH, Numbers, Owner};
use crate::clock::Duration;

/// Datagrams that may wait for a worker: some milliseconds of a fast client, a few hundred kilobytes.
const QUEUE: usize = 256;

/// Errors of receiving in a row after which a socket is not worth asking.
const MOST_ERRORS: u32 = 1000;

/// One worker's socket of a group that is bound to the same address.
pub struct Datagrams {
    socket: std::net::UdpSocket,
    lane: Lane,
}

/// Makes the sockets of a group into what workers take, in the workers' order.
#[must_use]
pub fn group(sockets: Vec<std::net::UdpSocket>) -> Vec<Datagrams> {
    let (to, from): (Vec<_>, Vec<_>) = sockets.iter().map(|_| mpsc::channel(QUEUE)).unzip();
    let group = Arc::new(Group { numbers: Numbers::of(sockets.len()), to });
    let lanes = from.into_iter().enumerate().map(|(worker, queue)| Lane { worker, group: group.clone(), queue });
    sockets.into_iter().zip(lanes).map(|(socket, lane)| Datagrams { socket, lane }).collect()
}

/// What workers on one address share.
struct Group {
    numbers: Numbers,
    to: Vec<mpsc::Sender<Passed>>,
}

/// A worker's place in its group.
struct Lane {
    worker: usize,
    group: Arc<Group>,
    queue: mpsc::Receiver<Passed>,
}

/// A datagram that another worker's socket got.
struct Passed {
    meta: RecvMeta,
    bytes: Bytes,
}

/// The socket as quinn sees it.
struct Steered {
    inner: Arc<dyn AsyncUdpSocket>,
    worker: usize,
    group: Arc<Group>,
    queue: Mutex<mpsc::Receiver<Passed>>,
    /// Errors of receiving, one after the other.
    errors: AtomicU32,
}

/// Makes a worker's connection ids.
pub(super) struct Ids {
    worker: u16,
    group: Arc<Group>,
    /// Chance, by a keyed hash of a counter.
    chance: std::hash::RandomState,
    made: u64,
}

impl Datagrams {
    /// The socket in this thread's runtime, and what makes ids for its connections.
    pub(super) fn open(self) -> io::Result<(Arc<dyn AsyncUdpSocket>, impl Fn() -> Ids + Send + Sync + 'static)> {
        let Self { socket, lane: Lane { worker, group, queue } } = self;
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        let steered =
            Steered { inner, worker, group: group.clone(), queue: Mutex::new(queue), errors: AtomicU32::new(0) };
        Ok((Arc::new(steered), move || Ids::of(worker, group.clone())))
    }
}

impl Ids {
    fn of(worker: usize, group: Arc<Group>) -> Self {
        let worker = u16::try_from(worker).unwrap_or(u16::MAX);
        Self { worker, group, chance: std::hash::RandomState::new(), made: 0 }
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        use std::hash::BuildHasher as _;
        self.made += 1;
        let chance = self.chance.hash_one(self.made);
        ConnectionId::new(&self.group.numbers.id(self.worker, chance))
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

impl Steered {
    /// What others got for this worker, one datagram a buffer; how many.
    fn take_passed(&self, context: &mut Context<'_>, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Poll::Ready(Some(passed)) = queue.poll_recv(context) else { break };
            let length = passed.bytes.len().min(buffer.len());
            buffer.iter_mut().zip(&passed.bytes).for_each(|(to, from)| *to = *from);
            *meta = RecvMeta { len: length, ..passed.meta };
            taken += 1;
        }
        taken
    }

    /// Takes out of a buffer what belongs to others, and gives it to them.
    fn sort(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let (length, stride) = (meta.len.min(buffer.len()), meta.stride.max(1));
        let mut kept = 0;
        for from in (0..length).step_by(stride) {
            let until = length.min(from.saturating_add(stride));
            let Some(datagram) = buffer.get(from..until) else { break };
            match self.group.numbers.owner(datagram) {
                Owner::Worker(worker) if worker != self.worker => self.pass(worker, datagram, meta),
                Owner::Worker(_) | Owner::Finder => {
                    if kept < from {
                        buffer.copy_within(from..until, kept);
                    }
                    kept += until - from;
                }
            }
        }
        meta.len = kept;
    }

    fn pass(&self, worker: usize, datagram: &[u8], meta: &RecvMeta) {
        let Some(to) = self.group.to.get(worker) else { return };
        let meta = RecvMeta { len: datagram.len(), stride: datagram.len(), ..*meta };
        if to.try_send(Passed { meta, bytes: Bytes::copy_from_slice(datagram) }).is_err() {
            tracing::trace!(worker, "a datagram for another worker was dropped");
        }
    }
}

impl AsyncUdpSocket for Steered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // At most half of the buffers, so that neither way can starve the other.
        let most = buffers.len().min(metas.len()).div_ceil(2);
        let (first, _) = buffers.split_at_mut(most);
        let passed = self.take_passed(context, first, metas);
        if passed > 0 && passed < most {
            return Poll::Ready(Ok(passed));
        }
        let buffers = buffers.get_mut(passed..).unwrap_or_default();
        let metas = metas.get_mut(passed..).unwrap_or_default();
        if buffers.is_empty() {
            return Poll::Ready(Ok(passed));
        }
        match self.inner.poll_recv(context, buffers, metas) {
            Poll::Ready(Ok(got)) => {
                self.errors.store(0, Ordering::Relaxed);
                for (buffer, meta) in buffers.iter_mut().zip(metas.iter_mut()).take(got) {
                    self.sort(buffer, meta);
                }
                Poll::Ready(Ok(passed + got))
            }
            Poll::Pending | Poll::Ready(Err(_)) if passed > 0 => Poll::Ready(Ok(passed)),
            // The endpoint would end with the first one, and most are about a moment's lack of memory.
            Poll::Ready(Err(error)) if self.errors.fetch_add(1, Ordering::Relaxed) < MOST_ERRORS => {
                tracing::debug!(%error, "no datagram received");
                context.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steered").field("worker", &self.worker).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sockets of a group of two, in a runtime.
    fn pair() -> [Arc<Steered>; 2] {
        let sockets = (0..2).map(|_| std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap()).collect();
        let opened: Vec<_> = group(sockets)
            .into_iter()
            .map(|datagrams| {
                let Datagrams { socket, lane: Lane { worker, group, queue } } = datagrams;
                let inner = TokioRuntime.wrap_udp_socket(socket).unwrap();
                Arc::new(Steered { inner, worker, group, queue: Mutex::new(queue), errors: AtomicU32::new(0) })
            })
            .collect();
        opened.try_into().unwrap()
    }

    /// A packet with a short header for a worker, its last byte a mark.
    fn packet(of: &Steered, worker: u16, mark: u8, length: usize) -> Vec<u8> {
        let id = of.group.numbers.id(worker, u64::from(mark));
        let mut packet = [&[0x40][..], &id, &vec![0; length - LENGTH - 2]].concat();
        packet.push(mark);
        packet
    }

    async fn received(socket: &Steered) -> Vec<(u8, usize, SocketAddr)> {
        let mut memory = vec![vec![0_u8; 4000]; 4];
        let mut buffers: Vec<_> = memory.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let mut metas = [RecvMeta::default(); 4];
        let got = std::future::poll_fn(|context| socket.poll_recv(context, &mut buffers, &mut metas)).await.unwrap();
        let marks =
            buffers.iter().zip(&metas).take(got).map(|(buffer, meta)| (buffer[meta.len - 1], meta.len, meta.addr));
        marks.collect()
    }

    #[tokio::test]
    async fn what_another_worker_got_comes_in_as_if_it_had_been_sent_here() {
        let [one, other] = pair();
        let client = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let from = client.local_addr().unwrap();
        client.send_to(&packet(&one, 1, 7, 40), one.local_addr().unwrap()).unwrap();
        client.send_to(&packet(&one, 0, 8, 50), one.local_addr().unwrap()).unwrap();
        let mut kept = Vec::new();
        while !kept.contains(&(8, 50, from)) {
            let mut memory = vec![0_u8; 4000];
            let (mut buffers, mut metas) = ([IoSliceMut::new(&mut memory)], [RecvMeta::default()]);
            let got = std::future::poll_fn(|context| one.poll_recv(context, &mut buffers, &mut metas)).await.unwrap();
            let whole = metas.iter().take(got).filter(|meta| meta.len > 0);
            kept.extend(whole.map(|meta| (buffers[0][meta.len - 1], meta.len, meta.addr)));
        }
        assert_eq!(kept, [(8, 50, from)]);
        assert_eq!(received(&other).await, [(7, 40, from)]);
    }

    #[tokio::test]
    async fn datagrams_that_came_as_one_are_told_apart() {
        let [one, other] = pair();
        let addr = "192.0.2.1:7".parse().unwrap();
        let parts = [packet(&one, 0, 1, 30), packet(&one, 1, 2, 30), packet(&one, 0, 3, 30), packet(&one, 1, 4, 20)];
        let mut buffer = parts.concat();
        let mut meta = RecvMeta { addr, len: buffer.len(), stride: 30, ..RecvMeta::default() };
        one.sort(&mut buffer, &mut meta);
        assert_eq!(buffer[..meta.len], [&parts[0][..], &parts[2]].concat());
        assert_eq!(received(&other).await, [(2, 30, addr), (4, 20, addr)]);
        let mut foreign = packet(&one, 1, 5, 30);
        let mut meta = RecvMeta { addr, len: 30, stride: 30, ..RecvMeta::default() };
        one.sort(&mut foreign, &mut meta);
        assert_eq!(meta.len, 0);
    }

    #[tokio::test]
    async fn a_worker_that_does_not_come_is_not_waited_for() {
        let [one, other] = pair();
        let addr = "192.0.2.1:7".parse().unwrap();
        for _ in 0..QUEUE * 2 {
            let mut foreign = packet(&one, 1, 5, 30);
            one.sort(&mut foreign, &mut RecvMeta { addr, len: 30, stride: 30, ..RecvMeta::default() });
        }
        let mut came = 0;
        while came < QUEUE {
            came += received(&other).await.len();
        }
        assert_eq!(came, QUEUE);
    }

    #[test]
    fn ids_are_their_workers_and_never_the_same() {
        let group = Arc::new(Group { numbers: Numbers::of(3), to: Vec::new() });
        let mut ids = Ids::of(2, group.clone());
        let made: std::collections::HashSet<_> = (0..1000).map(|_| ids.generate_cid()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.len() == ids.cid_len() && group.numbers.maker(id) == Some(2)));
    }
}
