//! Session tickets (RFC 8446, section 4.6.1; RFC 5077): a session, sealed by a key that only this process has, and that it soon
//! forgets.
//!
//! A ticket is `name of the key | salt | sealed session | tag`. Each is sealed by a key of its own, made from ours and the salt
//! (HMAC-SHA256), so that nothing has to be counted and no number of tickets is too many; the seal is AES-256-GCM. Our own
//! key seals for one rotation and opens for another one, then it is gone: who steals it later opens nothing older.

use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, Mac};
use rustls::crypto::aws_lc_rs;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::quic::PacketKey;
use rustls::server::ProducesTickets;
use sha2::Sha256;

use crate::clock::{self, Duration, Instant};

/// Seals and opens tickets.
#[derive(Debug)]
pub(super) struct Ticketer {
    rotation: Duration,
    keys: Mutex<Keys>,
}

/// The key that seals and the one before it, with the beginnings of their times. Made when they are needed.
#[derive(Debug, Default)]
struct Keys {
    current: Option<(Arc<Key>, Instant)>,
    previous: Option<(Arc<Key>, Instant)>,
}

struct Key {
    name: [u8; NAME],
    secret: [u8; 32],
}

const NAME: usize = 16;
const SALT: usize = 16;
const TAG: usize = 16;

/// RFC 8446, section 4.6.1: seven days.
const LONGEST_LIFETIME: u64 = 604_800;

impl Ticketer {
    pub(super) fn rotating(rotation: Duration) -> Self {
        Self { rotation, keys: Mutex::default() }
    }

    /// Forgets keys that are over their time.
    pub(super) fn tend(&self, now: Instant) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).expire(now, self.rotation);
    }

    fn seal(&self, session: &[u8], now: Instant) -> Option<Vec<u8>> {
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner).sealing(now, self.rotation)?;
        let mut ticket = key.name.to_vec();
        ticket.extend(random::<SALT>()?);
        let (head, mut sealed) = (ticket.clone(), session.to_vec());
        let tag = key.aead(head.get(NAME..)?)?.encrypt_in_place(0, &head, &mut sealed).ok()?;
        ticket.extend(sealed);
        ticket.extend(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        let (head, sealed) = ticket.split_at_checked(NAME + SALT).filter(|(_, sealed)| sealed.len() >= TAG)?;
        let (name, salt) = head.split_at_checked(NAME)?;
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner).opening(name, now, self.rotation)?;
        let mut session = sealed.to_vec();
        key.aead(salt)?.decrypt_in_place(0, head, &mut session).ok().map(<[u8]>::to_vec)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let seconds = self.rotation.as_secs().saturating_mul(2).min(LONGEST_LIFETIME);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.seal(session, clock::now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, clock::now())
    }
}

impl Keys {
    fn expire(&mut self, now: Instant, rotation: Duration) {
        for slot in [&mut self.current, &mut self.previous] {
            slot.take_if(|(_, since)| now.saturating_duration_since(*since) >= rotation.saturating_mul(2));
        }
    }

    fn sealing(&mut self, now: Instant, rotation: Duration) -> Option<Arc<Key>> {
        self.expire(now, rotation);
        match &self.current {
            Some((key, since)) if now.saturating_duration_since(*since) < rotation => Some(key.clone()),
            Some(_) | None => {
                let key = Arc::new(Key::random()?);
                self.previous = self.current.replace((key.clone(), now));
                Some(key)
            }
        }
    }

    fn opening(&mut self, name: &[u8], now: Instant, rotation: Duration) -> Option<Arc<Key>> {
        self.expire(now, rotation);
        let mut keys = self.current.iter().chain(&self.previous).map(|(key, _)| key);
        keys.find(|key| key.name == name).cloned()
    }
}

impl Key {
    fn random() -> Option<Self> {
        Some(Self { name: random()?, secret: random()? })
    }

    /// Seals one ticket, and no other: its number never changes.
    fn aead(&self, salt: &[u8]) -> Option<Box<dyn PacketKey>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(salt);
        let key: [u8; 32] = mac.finalize().into_bytes().into();
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384.tls13()?;
        Some(suite.quic?.packet_key(AeadKey::from(key), Iv::from([0; 12])))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn tickets_are_opened_by_who_sealed_them_for_one_to_two_rotations() {
        let start = clock::now();
        let ticketer = Ticketer::rotating(HOUR);
        let early = ticketer.seal(b"early", start).unwrap();
        let late = ticketer.seal(b"late", start + HOUR - Duration::from_secs(1)).unwrap();
        assert_eq!(early[..NAME], late[..NAME]);
        let next = ticketer.seal(b"next", start + HOUR + HOUR / 2).unwrap();
        assert_ne!(early[..NAME], next[..NAME]);
        for (after, tickets, opened) in [
            (HOUR, &early, Some(&b"early"[..])),
            (HOUR * 2 - Duration::from_secs(1), &late, Some(b"late")),
            (HOUR * 2, &early, None),
            (HOUR * 2, &late, None),
            (HOUR * 3, &next, Some(b"next")),
            (HOUR * 4, &next, None),
        ] {
            assert_eq!(ticketer.open(tickets, start + after).as_deref(), opened, "{after:?}");
        }
        assert!(Ticketer::rotating(HOUR).open(&early, start).is_none());
    }

    #[test]
    fn keys_are_forgotten_though_nobody_comes() {
        let start = clock::now();
        let ticketer = Ticketer::rotating(HOUR);
        let ticket = ticketer.seal(b"session", start).unwrap();
        ticketer.tend(start + HOUR);
        assert_eq!(ticketer.open(&ticket, start + HOUR).unwrap(), b"session");
        ticketer.tend(start + HOUR * 2);
        assert!(ticketer.keys.lock().unwrap().current.is_none());
        assert!(ticketer.open(&ticket, start).is_none());
    }

    #[test]
    fn what_was_not_sealed_here_is_not_opened() {
        let (now, ticketer) = (clock::now(), Ticketer::rotating(HOUR));
        let ticket = ticketer.seal(b"session", now).unwrap();
        assert_ne!(ticketer.seal(b"session", now).unwrap(), ticket);
        for at in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[at] ^= 1;
            assert!(ticketer.open(&forged, now).is_none(), "byte {at}");
            assert!(ticketer.open(&ticket[..at], now).is_none(), "{at} bytes");
        }
        assert_eq!(ticketer.open(&ticketer.seal(b"", now).unwrap(), now).unwrap(), b"");
    }

    #[test]
    fn lifetimes_are_two_rotations_and_no_more_than_seven_days() {
        for (rotation, lifetime) in [(HOUR, 7200), (HOUR * 24 * 6, 604_800), (Duration::MAX, 604_800)] {
            assert_eq!(Ticketer::rotating(rotation).lifetime(), lifetime);
        }
    }
}
