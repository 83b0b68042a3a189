//! The handshake of WebSocket over HTTP/1 (RFC 6455, section 4), as a gateway takes part in it that asks a member for what
//! a client asked for over HTTP/2 or HTTP/3, where there is no such handshake (RFC 8441, section 5).

use http::header;
use sha1::{Digest, Sha1};

use super::{Fields, Value};

/// A nonce that a server must have read to answer as it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 24]);

/// What the nonce is hashed with (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Key {
    /// One that nobody had before. It guards against mistakes, not against attackers: any chance does.
    #[must_use]
    pub fn fresh() -> Self {
        let mut text = [0; 24];
        base64(&fastrand::u128(..).to_be_bytes(), &mut text);
        Self(text)
    }

    /// Puts the client's part of the handshake into a request. A client's own key would be none: with HTTP/2 and HTTP/3
    /// there are no keys. The version goes without saying when it was not said.
    pub fn ask(&self, fields: &mut Fields) {
        if let Ok(key) = Value::from_bytes(&self.0) {
            fields.set(header::SEC_WEBSOCKET_KEY, key);
        }
        if !fields.contains(header::SEC_WEBSOCKET_VERSION) {
            fields.set(header::SEC_WEBSOCKET_VERSION, Value::from_static("13"));
        }
    }

    /// Whether a server's answer shows that it read the key (RFC 6455, section 4.1); takes its proof off, which is not for
    /// the client.
    #[must_use]
    pub fn is_accepted(&self, fields: &mut Fields) -> bool {
        let is_proof = |said: &Value| said.as_bytes().trim_ascii() == self.accept();
        let is_alone = fields.lines(header::SEC_WEBSOCKET_ACCEPT).nth(1).is_none();
        let is_accepted = is_alone && fields.get(header::SEC_WEBSOCKET_ACCEPT).is_some_and(is_proof);
        fields.remove(header::SEC_WEBSOCKET_ACCEPT);
        is_accepted
    }

    fn accept(&self) -> [u8; 28] {
        let mut text = [0; 28];
        base64(&Sha1::new().chain_update(self.0).chain_update(GUID).finalize(), &mut text);
        text
    }
}

/// Base64 (RFC 4648, section 4), padded; the text has four letters for each three bytes or part of them.
fn base64(bytes: &[u8], text: &mut [u8]) {
    for (chunk, letters) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let held = chunk.iter().chain(&[0, 0]).take(3).fold(0_usize, |held, byte| held << 8 | usize::from(*byte));
        for (place, letter) in letters.iter_mut().enumerate() {
            let known = ALPHABET.get(held >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            *letter = if place > chunk.len() { b'=' } else { known };
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::message::fields::tests::fields;

    /// What a server answers to a key.
    pub(crate) fn accept(key: &str) -> String {
        let key = Key(key.as_bytes().try_into().unwrap());
        String::from_utf8(key.accept().to_vec()).unwrap()
    }

    /// RFC 6455, section 1.3.
    const KEY: Key = Key(*b"dGhlIHNhbXBsZSBub25jZQ==");

    #[test]
    fn an_accept_proves_that_the_key_was_read() {
        for (lines, expected) in [
            (&["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="][..], true),
            (&[" s3pPLMBiTxaQ9kYGzzhZRbK+xOo= "], true),
            (&["S3pPLMBiTxaQ9kYGzzhZRbK+xOo="], false),
            (&["s3pPLMBiTxaQ9kYGzzhZRbK+xOo"], false),
            (&["s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="], false),
            (&["dGhlIHNhbXBsZSBub25jZQ=="], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut answer = Fields::default();
            for line in lines {
                answer.append(header::SEC_WEBSOCKET_ACCEPT, Value::from_static(line));
            }
            assert_eq!(KEY.is_accepted(&mut answer), expected, "{lines:?}");
            assert!(answer.is_empty());
        }
    }

    #[test]
    fn a_request_gets_a_key_of_its_own_and_keeps_its_version() {
        for (said, sent) in [(None, "13"), (Some("8"), "8")] {
            let mut request = fields(&[("sec-websocket-key", "mine"), ("sec-websocket-protocol", "chat")]);
            if let Some(said) = said {
                request.set(header::SEC_WEBSOCKET_VERSION, Value::from_static(said));
            }
            KEY.ask(&mut request);
            assert_eq!(request.get("sec-websocket-key").unwrap(), "dGhlIHNhbXBsZSBub25jZQ==");
            assert_eq!(request.get("sec-websocket-version").unwrap(), sent);
            assert_eq!(request.get("sec-websocket-protocol").unwrap(), "chat");
        }
        let (one, other) = (Key::fresh(), Key::fresh());
        assert_ne!(one, other);
        assert!(one.0.ends_with(b"==") && one.0.iter().all(u8::is_ascii_graphic));
    }

    /// RFC 4648, section 10.
    #[test]
    fn base64_as_in_its_rfc() {
        for (bytes, expected) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("", "")] {
            let mut text = vec![0; bytes.len().div_ceil(3) * 4];
            base64(bytes.as_bytes(), &mut text);
            assert_eq!(text, expected.as_bytes());
        }
    }
}
