//! A cookie of our own that names a member without telling which: only who knows the secret can make one.
//!
//! A value is the code (HMAC-SHA-256, cut to 128 bits) of pool and member name, so the values that count are a table made
//! once. Anything else a client sends is not found there, whatever it looks like, and is replaced with the next answer.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::OnceLock;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::chains::Chains;
use super::{SeatName, Session, answer, cookies};
use crate::config::{SameSite, StickyInsert};
use crate::message::{Fields, Value};

/// Values that are looked at in one request. A browser keeps one; more come from somebody who tries.
const VALUES: usize = 16;

/// Bytes of a code that are sent: 128 bits cannot be guessed.
const CODE: usize = 16;

/// Sessions by a cookie of ours.
#[derive(Debug)]
pub(super) struct Insert {
    name: String,
    /// Positions by the cookie's value. The table's own hash is keyed, so time tells nothing about values in it.
    tokens: HashMap<Box<[u8]>, Box<[usize]>>,
    /// The `Set-Cookie` of each position.
    cookies: Box<[Option<Value>]>,
}

impl Insert {
    pub(super) fn of(plan: &StickyInsert, pool: &str, seats: &[SeatName], chains: &Chains) -> Self {
        let secret = plan.secret.as_ref().map_or(own_secret().as_slice(), |secret| secret.as_bytes());
        let tokens: Vec<String> = seats.iter().map(|seat| token(secret, pool, &seat.name)).collect();
        let cookies = tokens.iter().map(|token| set_cookie(plan, token)).collect();
        let chain = |(token, seat): (String, &SeatName)| (token.into_bytes().into(), chains.by_name(&seat.name).into());
        Self { name: plan.name.clone(), tokens: tokens.into_iter().zip(seats).map(chain).collect(), cookies }
    }

    pub(super) fn read(&self, fields: &Fields) -> Option<Session> {
        let mut values = cookies::values(fields, &self.name).take(VALUES).peekable();
        values.peek()?;
        let positions = values.find_map(|value| self.tokens.get(value)).map_or(&[][..], |chain| chain);
        Some(Session { positions: positions.to_vec(), named: positions.first().copied(), learned: None })
    }

    /// Members that share a name share its value, and going from one to the other changes nothing. Whether a cookie was
    /// added.
    pub(super) fn settle(&self, session: Option<&Session>, position: usize, fields: &mut Fields) -> bool {
        let cookie = |position: usize| self.cookies.get(position).and_then(Option::as_ref);
        let Some(wanted) = cookie(position) else { return false };
        let is_other = session.and_then(|session| session.named).and_then(cookie) != Some(wanted);
        if is_other {
            answer::add_cookie(fields, wanted.clone());
        }
        is_other
    }

    pub(super) fn hide(&self, fields: &mut Fields) {
        cookies::remove(fields, &self.name);
    }
}

/// A zero byte, which no name holds, keeps pool and member apart.
fn token(secret: &[u8], pool: &str, member: &str) -> String {
    let code = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do (RFC 2104, section 3)");
    let code = code.chain_update(pool).chain_update([0]).chain_update(member).finalize().into_bytes();
    base64url(code.get(..CODE).unwrap_or_default())
}

/// Without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        let letters = [bits >> 18, bits >> 12, bits >> 6, bits].map(|bits| bits & 63);
        let letters = letters.into_iter().take(group.len() + 1).filter_map(|letter| usize::try_from(letter).ok());
        text.extend(letters.filter_map(|letter| LETTERS.get(letter)).map(|&letter| char::from(letter)));
    }
    text
}

/// As RFC 6265bis writes it. `None` only for settings that are no text of a field, which a config does not let through.
fn set_cookie(plan: &StickyInsert, token: &str) -> Option<Value> {
    let mut text = format!("{}={token}; Path={}", plan.name, plan.path);
    if let Some(domain) = &plan.domain {
        text.push_str("; Domain=");
        text.push_str(domain);
    }
    if let Some(age) = plan.max_age {
        text.push_str("; Max-Age=");
        text.push_str(&age.as_secs().to_string());
    }
    if plan.secure {
        text.push_str("; Secure");
    }
    if plan.http_only {
        text.push_str("; HttpOnly");
    }
    match plan.same_site {
        Some(SameSite::Strict) => text.push_str("; SameSite=Strict"),
        Some(SameSite::Lax) => text.push_str("; SameSite=Lax"),
        Some(SameSite::None) => text.push_str("; SameSite=None"),
        None => {}
    }
    Value::try_from(text).ok()
}

/// The secret of pools that state none: one for the life of the process, so a reload changes no cookie.
fn own_secret() -> &'static [u8; 32] {
    static SECRET: OnceLock<[u8; 32]> = OnceLock::new();
    SECRET.get_or_init(|| {
        let mut secret = [0; 32];
        let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut secret));
        if read.is_err() {
            // Without devices (a bare root): the standard library asks the kernel for the keys of its hashes.
            for part in secret.chunks_mut(8) {
                part.copy_from_slice(&RandomState::new().hash_one(0_u8).to_ne_bytes());
            }
        }
        secret
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_their_letters() {
        // RFC 4648, section 10, without padding; the last two show the letters that differ from plain base64.
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff], "-_8"),
        ] {
            assert_eq!(base64url(bytes), text);
        }
        let tokens = [token(b"s", "p", "m"), token(b"t", "p", "m"), token(b"s", "q", "m"), token(b"s", "p", "n")];
        assert_eq!(tokens.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert!(tokens.iter().all(|token| token.len() == 22));
        assert_ne!(own_secret(), &[0; 32]);
        assert_eq!(own_secret(), own_secret());
    }
}
