//! A certificate that nobody vouches for, made on the spot: for demos, never for the public.

use super::Error;

/// A certificate for these names and its key, both as PEM.
///
/// # Errors
/// When a name is none that a certificate can carry.
pub fn self_signed(names: &[&str]) -> Result<(String, String), Error> {
    let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(owned).map_err(|_| Error::Name(names.join(", ")))?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_pair() {
        let (certificate, key) = self_signed(&["localhost", "127.0.0.1"]).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(self_signed(&["\u{e9}"]).is_err());
    }
}
