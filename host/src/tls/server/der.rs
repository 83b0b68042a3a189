//! DER, element by element (X.690, section 10): enough to walk through what has no parser here. Takes nothing on trust.

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// Its identifier octet.
    pub(super) tag: u8,
    /// What is in it.
    pub(super) content: &'a [u8],
    /// The element itself, with its tag and its length.
    pub(super) whole: &'a [u8],
}

/// Elements that follow each other. Ends at the first that is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

impl<'a> Elements<'a> {
    /// The next element, which has to have this tag; what it holds.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// The next element if it has this tag; otherwise nothing is taken.
    pub(super) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let content = ahead.expect(tag)?;
        *self = ahead;
        Some(content)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        // Long forms of tags occur in nothing that is read here.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (octets, rest) = rest.split_at_checked(usize::from(first.saturating_sub(0x80)))?;
        let length = match first {
            0..0x80 => usize::from(first),
            // Without a length, or longer than anything could be.
            0x80 | 0x85.. => return None,
            _ => octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some(Element { tag, content, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_and_nothing_else() {
        let long = [&[4, 0x81, 0x80][..], &[7; 128]].concat();
        for (bytes, expected) in [
            (&[][..], &[][..]),
            (&[5, 0], &[(5, 0)]),
            (&[5, 0, 2, 1, 9], &[(5, 0), (2, 1)]),
            (&long, &[(4, 128)]),
            (&[2, 2, 9], &[]),
            (&[2], &[]),
            (&[2, 0x80, 0, 0], &[]),
            (&[2, 0x82, 1], &[]),
            (&[2, 0x88, 255, 255, 255, 255, 255, 255, 255, 255], &[]),
            (&[0x1f, 1, 0], &[]),
        ] {
            let found: Vec<_> = Elements(bytes).map(|element| (element.tag, element.content.len())).collect();
            assert_eq!(found, expected, "{bytes:?}");
        }
        assert_eq!(Elements(&long).next().unwrap().whole, &long[..]);
    }
}
