//! Content codings (RFC 9110, section 8.4.1): those that files and stored answers come in, and which a client wants.

use super::answer::weight;
use super::{Fields, Value, name};

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
}

/// What an `Accept-Encoding` says of each coding (RFC 9110, section 12.5.3), in thousandths; 0 refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Accepted {
    codings: [u16; Coding::ALL.len()],
    /// No coding at all; `None` where that is allowed, and not spoken of.
    identity: Option<u16>,
}

impl Coding {
    /// Every coding.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding` and `Accept-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What stands behind a file's name that is coded so.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }

    /// Its name as a field's value.
    #[must_use]
    pub const fn value(self) -> Value {
        Value::from_static(self.name())
    }

    /// The coding of a name, in any case. `x-gzip` is `gzip` (RFC 9110, section 8.4.1.3).
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        let is = |coding: &Self| name.eq_ignore_ascii_case(coding.name().as_bytes());
        let old = || name.eq_ignore_ascii_case(b"x-gzip").then_some(Self::Gzip);
        Self::ALL.into_iter().find(is).or_else(old)
    }

    /// What a client says it takes.
    #[must_use]
    pub fn accepted(fields: &Fields) -> Accepted {
        let mut said = Said::default();
        for line in fields.lines(name::ACCEPT_ENCODING) {
            line.as_bytes().split(|&byte| byte == b',').for_each(|member| said.note(member));
        }
        let of = |coding: &Self| said.codings[*coding as usize].or(said.others).unwrap_or(0);
        // All others are none, too, but only to refuse: who likes any coding does not ask for none.
        let identity = said.identity.or(said.others.filter(|&others| others == 0));
        Accepted { codings: [of(&Self::Brotli), of(&Self::Zstd), of(&Self::Gzip)], identity }
    }

    /// The coding that a client wants most, among those that there are, the most wanted first; `None` for no coding.
    #[must_use]
    pub fn choose(fields: &Fields, available: &[Self]) -> Option<Self> {
        Self::accepted(fields).choose(available)
    }
}

impl Accepted {
    /// The most wanted, among those that there are; between equals, the earlier. `None` for no coding: when the client
    /// takes none of them, or wants that more.
    #[must_use]
    pub fn choose(&self, available: &[Coding]) -> Option<Coding> {
        let most = available.iter().map(|&coding| self.of(coding)).max()?;
        let chosen = available.iter().copied().find(|&coding| self.of(coding) == most);
        chosen.filter(|_| most > 0 && most >= self.identity.unwrap_or(0))
    }

    /// Whether a coding may be used.
    #[must_use]
    pub fn takes(&self, coding: Coding) -> bool {
        self.of(coding) > 0
    }

    /// Whether what has no coding is refused. Who has nothing else may send it all the same (RFC 9110, section 12.5.3).
    #[must_use]
    pub fn refuses_identity(&self) -> bool {
        self.identity == Some(0)
    }

    fn of(&self, coding: Coding) -> u16 {
        self.codings[coding as usize]
    }
}

/// What was said so far. Of two words on one coding, the first counts.
#[derive(Default)]
struct Said {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    others: Option<u16>,
}

impl Said {
    fn note(&mut self, member: &[u8]) {
        let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let place = match Coding::named(name) {
            Some(coding) => &mut self.codings[coding as usize],
            None if name == b"*" => &mut self.others,
            None if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            None => return,
        };
        let weighed = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
        place.get_or_insert(weighed.map_or(1000, weight));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::fields;
    use super::Coding::{Brotli, Gzip, Zstd};
    use super::*;

    #[test]
    fn choices() {
        for (lines, available, expected, refuses) in [
            (&[][..], &Coding::ALL[..], None, false),
            (&[""], &Coding::ALL, None, false),
            (&["gzip"], &Coding::ALL, Some(Gzip), false),
            (&["gzip"], &[], None, false),
            (&["gzip"], &[Brotli, Zstd], None, false),
            (&["gzip, deflate, br, zstd"], &Coding::ALL, Some(Brotli), false),
            (&["gzip, deflate, br, zstd"], &[Zstd, Gzip, Brotli], Some(Zstd), false),
            (&["gzip, deflate, br, zstd"], &[Gzip], Some(Gzip), false),
            (&["gzip", "br"], &Coding::ALL, Some(Brotli), false),
            (&["br;q=0.5, gzip;q=0.8"], &Coding::ALL, Some(Gzip), false),
            (&["br ; q=0.5 ,\tgzip; Q=0.4"], &Coding::ALL, Some(Brotli), false),
            (&["br;q=0, gzip"], &Coding::ALL, Some(Gzip), false),
            (&["br;q=0.000"], &Coding::ALL, None, false),
            (&["br;q=0.001"], &Coding::ALL, Some(Brotli), false),
            (&["br;q=1.000, gzip;q=0.999"], &[Gzip, Brotli], Some(Brotli), false),
            (&["GZip"], &Coding::ALL, Some(Gzip), false),
            (&["x-gzip"], &Coding::ALL, Some(Gzip), false),
            (&["X-GZIP;q=0.3, br;q=0.2"], &Coding::ALL, Some(Gzip), false),
            (&["*"], &Coding::ALL, Some(Brotli), false),
            (&["*;q=0.1"], &[Zstd], Some(Zstd), false),
            (&["br;q=0, *"], &Coding::ALL, Some(Zstd), false),
            (&["*;q=0.5, gzip"], &Coding::ALL, Some(Gzip), false),
            (&["gzip;q=0.2, *;q=0"], &Coding::ALL, Some(Gzip), true),
            (&["*;q=0"], &Coding::ALL, None, true),
            (&["*;q=0, identity;q=0.1"], &Coding::ALL, None, false),
            (&["identity;q=0"], &Coding::ALL, None, true),
            (&["identity;q=0, br"], &Coding::ALL, Some(Brotli), true),
            (&["Identity;q=0, *"], &[Gzip], Some(Gzip), true),
            (&["identity"], &Coding::ALL, None, false),
            (&["identity, gzip"], &Coding::ALL, Some(Gzip), false),
            (&["identity, gzip;q=0.9"], &Coding::ALL, None, false),
            (&["identity;q=0.5, gzip;q=0.9"], &Coding::ALL, Some(Gzip), false),
            (&["gzip;q=0, gzip"], &Coding::ALL, None, false),
            (&["gzip;q=nonsense"], &Coding::ALL, None, false),
            (&["gzip;q=1.5"], &Coding::ALL, None, false),
            (&["gzip;q=-1"], &Coding::ALL, None, false),
            (&["gzip;q="], &Coding::ALL, None, false),
            (&["gzip;level=9"], &Coding::ALL, Some(Gzip), false),
            (&["gzip br"], &Coding::ALL, None, false),
            (&["gzipped, brotli, zst, br1"], &Coding::ALL, None, false),
            (&[",;,;q=1, ;br"], &Coding::ALL, None, false),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("accept-encoding", *line)).collect();
            let accepted = Coding::accepted(&fields(&lines));
            assert_eq!((accepted.choose(available), accepted.refuses_identity()), (expected, refuses), "{lines:?}");
            assert_eq!(Coding::choose(&fields(&lines), available), expected);
            assert!(expected.is_none_or(|coding| accepted.takes(coding)));
        }
    }

    #[test]
    fn names_are_found_again() {
        for coding in Coding::ALL {
            assert_eq!(Coding::named(coding.name().to_uppercase().as_bytes()), Some(coding));
            assert_eq!(coding.value(), coding.name());
            assert_eq!(Coding::ALL[coding as usize], coding);
        }
        assert_eq!(Coding::named(b""), None);
    }

    #[test]
    fn nothing_that_comes_makes_it_panic() {
        let mut dice = fastrand::Rng::with_seed(16);
        let words: [&[u8]; 9] = [b"gzip", b"br", b"zstd", b"*", b"identity", b";q=", b"0.", b",", b"\xff"];
        for _ in 0..20_000 {
            let mut text = Vec::new();
            (0..dice.usize(..9)).for_each(|_| match dice.u8(..6) {
                0 => text.push(dice.u8(..)),
                _ => text.extend_from_slice(dice.choice(words).unwrap_or_default()),
            });
            let Ok(value) = Value::from_bytes(&text) else { continue };
            let mut fields = Fields::default();
            fields.set(name::ACCEPT_ENCODING, value);
            let accepted = Coding::accepted(&fields);
            assert!(accepted.choose(&Coding::ALL).is_none_or(|coding| accepted.takes(coding)));
        }
    }
}
