//! Several addresses, one connection: happy eyeballs (RFC 8305, section 5).
//!
//! Knows nothing of sockets: an attempt is a future. Attempts begin in order, each a little after the one before or as soon as
//! one fails; the first that stands wins and the others are dropped.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::clock::Duration;
use crate::kernel;

/// How long an address is given before the next is tried beside it, as RFC 8305 recommends.
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses tried for one connection. A name server may list any number; the clock leaves room for no more anyway.
const MOST: usize = 16;

/// What was tried for one connection and what became of it; it outlives the race, so that a time limit can tell of it.
#[derive(Debug, Default)]
pub(super) struct Tried(RefCell<Vec<(SocketAddr, Option<io::Error>)>>);

/// An attempt under way.
type Attempt<F> = (SocketAddr, Pin<Box<F>>);

/// The first connection that stands. Cancellation safe: dropping it drops all attempts.
///
/// # Errors
/// When none stands; `tried` knows why.
pub(super) async fn race<T, F>(
    addresses: &[SocketAddr],
    delay: Duration,
    tried: &Tried,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.iter().copied().take(MOST).peekable();
    let mut running: Vec<Attempt<F>> = Vec::new();
    let mut patience = pin!(tokio::time::sleep(delay));
    poll_fn(|context| {
        loop {
            let (mut won, mut is_one_gone) = (None, running.is_empty());
            running.retain_mut(|(address, attempt)| match attempt.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(connection)) => {
                    won = won.take().or(Some(connection));
                    false
                }
                Poll::Ready(Err(error)) => {
                    tried.fail(*address, error);
                    is_one_gone = true;
                    false
                }
            });
            if let Some(connection) = won {
                return Poll::Ready(Ok(connection));
            }
            if waiting.peek().is_none() {
                return if running.is_empty() { Poll::Ready(Err(tried.error())) } else { Poll::Pending };
            }
            if !is_one_gone && patience.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if let Some(address) = waiting.next() {
                tried.begin(address);
                running.push((address, Box::pin(connect(address))));
                patience.set(tokio::time::sleep(delay));
            }
        }
    })
    .await
}

/// Addresses in the order in which they are tried: families in turn, IPv6 first, each in the order given (RFC 8305, section 4).
pub(super) fn interleaved(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let canonical = || addresses.iter().map(IpAddr::to_canonical);
    let mut sixes = canonical().filter(IpAddr::is_ipv6);
    let mut fours = canonical().filter(IpAddr::is_ipv4);
    let mut order: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
    loop {
        let pair = [sixes.next(), fours.next()];
        if pair == [None, None] {
            return order;
        }
        for address in pair.into_iter().flatten().map(|address| SocketAddr::new(address, port)) {
            if !order.contains(&address) {
                order.push(address);
            }
        }
    }
}

impl Tried {
    fn begin(&self, address: SocketAddr) {
        self.0.borrow_mut().push((address, None));
    }

    fn fail(&self, address: SocketAddr, error: io::Error) {
        if let Some(entry) = self.0.borrow_mut().iter_mut().find(|(tried, _)| *tried == address) {
            entry.1 = Some(error);
        }
    }

    fn error(&self) -> io::Error {
        let kind = self.0.borrow().iter().rev().find_map(|(_, error)| error.as_ref().map(io::Error::kind));
        let text = if self.is_empty() { "it has no address".to_owned() } else { self.to_string() };
        io::Error::new(kind.unwrap_or(io::ErrorKind::AddrNotAvailable), text)
    }

    /// Whether some address could not be tried at all.
    pub(super) fn lacks_descriptors(&self) -> bool {
        self.0.borrow().iter().filter_map(|(_, error)| error.as_ref()).any(kernel::lacks_descriptors)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// Every address with what became of it.
impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, error)) in self.0.borrow().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match error {
                Some(error) => write!(f, "{comma}{address}: {error}")?,
                None => write!(f, "{comma}{address}: no answer")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    const NEVER: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(1);

    fn addresses(hosts: &[u8]) -> Vec<SocketAddr> {
        hosts.iter().map(|host| SocketAddr::from(([192, 0, 2, *host], 80))).collect()
    }

    /// The last byte of an address says what becomes of it: below 100 it never answers, below 200 it refuses.
    async fn connect(address: SocketAddr, alive: Rc<()>) -> io::Result<SocketAddr> {
        let last = match address.ip() {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        match last {
            0..100 => std::future::pending().await,
            100..200 => return Err(io::Error::other("refused")),
            200.. => tokio::task::yield_now().await,
        }
        drop(alive);
        Ok(address)
    }

    #[tokio::test]
    async fn the_first_that_stands_wins() {
        for (hosts, delay, winner, told) in [
            (&[200, 201][..], NEVER, 200, "192.0.2.200:80: no answer"),
            (&[100, 200], NEVER, 200, "192.0.2.100:80: refused, 192.0.2.200:80: no answer"),
            (
                &[100, 101, 200, 1],
                NEVER,
                200,
                "192.0.2.100:80: refused, 192.0.2.101:80: refused, 192.0.2.200:80: no answer",
            ),
            (&[1, 200], SOON, 200, "192.0.2.1:80: no answer, 192.0.2.200:80: no answer"),
            (&[1, 100, 200], SOON, 200, "192.0.2.1:80: no answer, 192.0.2.100:80: refused, 192.0.2.200:80: no answer"),
        ] {
            let (tried, alive) = (Tried::default(), Rc::new(()));
            let won = race(&addresses(hosts), delay, &tried, |address| connect(address, alive.clone())).await.unwrap();
            assert_eq!(won, addresses(&[winner])[0]);
            assert_eq!(tried.to_string(), told);
            assert_eq!(Rc::strong_count(&alive), 1, "the others are dropped");
        }
    }

    #[tokio::test]
    async fn nobody_stands() {
        let alive = Rc::new(());
        for (hosts, told) in
            [(&[100, 101][..], "192.0.2.100:80: refused, 192.0.2.101:80: refused"), (&[], "it has no address")]
        {
            let tried = Tried::default();
            let error = race(&addresses(hosts), NEVER, &tried, |address| connect(address, alive.clone())).await;
            assert_eq!(error.unwrap_err().to_string(), told);
        }
        let (tried, many) = (Tried::default(), addresses(&(100..200).collect::<Vec<_>>()));
        assert!(race(&many, NEVER, &tried, |address| connect(address, alive.clone())).await.is_err());
        assert_eq!(tried.0.borrow().len(), MOST);
    }

    #[tokio::test]
    async fn a_time_limit_leaves_what_was_tried() {
        let (tried, alive) = (Tried::default(), Rc::new(()));
        let hosts = addresses(&[100, 1]);
        let race = race(&hosts, NEVER, &tried, |address| connect(address, alive.clone()));
        assert!(tokio::time::timeout(SOON, race).await.is_err());
        assert_eq!(tried.to_string(), "192.0.2.100:80: refused, 192.0.2.1:80: no answer");
        assert_eq!(Rc::strong_count(&alive), 1);
    }

    #[test]
    fn families_take_turns() {
        let order = |list: &[&str]| -> Vec<String> {
            let list: Vec<IpAddr> = list.iter().map(|address| address.parse().unwrap()).collect();
            interleaved(&list, 8).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            order(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]),
            ["[2001:db8::1]:8", "192.0.2.1:8", "[2001:db8::2]:8", "192.0.2.2:8", "192.0.2.3:8"]
        );
        assert_eq!(order(&["::ffff:192.0.2.1", "192.0.2.1", "::1"]), ["[::1]:8", "192.0.2.1:8"]);
        assert!(order(&[]).is_empty());
    }
}
