//! Strings in Huffman's code (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: the lengths of the symbols' codes say what the codes are. Codes of up to eight bits, which is all
//! that ordinary text has, are looked up; the others are counted through.

/// Not a string in this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecodable;

/// Appends what a string stands for; fails when that is longer than `most`.
pub(super) fn decode(bytes: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Undecodable> {
    let (mut bits, mut count) = (0_u64, 0_u32);
    let mut rest = bytes.iter();
    let end = out.len().saturating_add(most);
    loop {
        while count <= 56 {
            let Some(byte) = rest.next() else { break };
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        let Some((symbol, length)) = next(bits, count) else { return padding(bits, count) };
        if out.len() >= end {
            return Err(Undecodable);
        }
        out.push(symbol);
        count -= length;
        bits &= (1 << count) - 1;
    }
}

/// The first symbol of so many bits, and how long its code is.
fn next(bits: u64, count: u32) -> Option<(u8, u32)> {
    let window = if count >= 8 { bits >> (count - 8) } else { bits << (8 - count) };
    let (symbol, length) = *SHORT.get(usize::try_from(window).ok()?)?;
    if length > 0 {
        return Some((symbol, u32::from(length))).filter(|(_, length)| *length <= count);
    }
    (9..=LONGEST).take_while(|length| *length <= count).find_map(|length| {
        let code = bits >> (count - length);
        let (first, at, many) = *CODES.get(length as usize)?;
        let nth = usize::try_from(code.checked_sub(u64::from(first))?).ok()?;
        let symbol = *SYMBOLS.get(at + nth)?;
        (nth < many as usize).then_some((symbol, length))
    })
}

/// What is left at the end: fewer than eight bits of the code of an end that is never sent, which are ones.
fn padding(bits: u64, count: u32) -> Result<(), Undecodable> {
    if count < 8 && bits == (1 << count) - 1 { Ok(()) } else { Err(Undecodable) }
}

/// Bits of the longest codes.
const LONGEST: u32 = 30;

/// How many bits each symbol's code has.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];

/// Symbols in the order of their codes.
const SYMBOLS: [u8; 256] = symbols();

/// By length: the first code, where its symbol stands in `SYMBOLS`, and how many codes there are.
const CODES: [(u32, usize, u32); LONGEST as usize + 1] = codes();

/// By the next eight bits: the symbol and the length of its code; zero for longer ones.
const SHORT: [(u8, u8); 256] = short();

const fn symbols() -> [u8; 256] {
    let mut symbols = [0; 256];
    let (mut length, mut at) = (1, 0);
    while length <= LONGEST {
        let mut symbol = 0_u8;
        loop {
            if LENGTHS[symbol as usize] as u32 == length {
                symbols[at] = symbol;
                at += 1;
            }
            if symbol == u8::MAX {
                break;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

const fn codes() -> [(u32, usize, u32); LONGEST as usize + 1] {
    let mut codes = [(0, 0, 0); LONGEST as usize + 1];
    let (mut length, mut code, mut at) = (1, 0_u32, 0);
    while length <= LONGEST as usize {
        code <<= 1;
        let (mut symbol, mut many) = (0, 0);
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                many += 1;
            }
            symbol += 1;
        }
        codes[length] = (code, at, many);
        code += many;
        at += many as usize;
        length += 1;
    }
    codes
}

const fn short() -> [(u8, u8); 256] {
    let mut short = [(0, 0); 256];
    let mut length = 1_u8;
    while length <= 8 {
        let (first, at, many) = CODES[length as usize];
        let mut nth = 0;
        while nth < many as usize {
            let from = (first as usize + nth) << (8 - length);
            let mut place = from;
            while place < from + (1 << (8 - length)) {
                short[place] = (SYMBOLS[at + nth], length);
                place += 1;
            }
            nth += 1;
        }
        length += 1;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
        let mut out = Vec::new();
        decode(bytes, 1000, &mut out).map(|()| out)
    }

    /// The code of a symbol, by the table's own words.
    fn code(symbol: u8) -> (u64, u32) {
        let length = LENGTHS[usize::from(symbol)];
        let (first, at, many) = CODES[usize::from(length)];
        let nth = SYMBOLS[at..at + many as usize].iter().position(|known| *known == symbol).unwrap();
        (u64::from(first) + nth as u64, u32::from(length))
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let bits: String = text
            .iter()
            .map(|symbol| {
                let (code, length) = code(*symbol);
                format!("{code:0width$b}", width = length as usize)
            })
            .collect();
        let whole = format!("{bits}{}", "1".repeat((8 - bits.len() % 8) % 8));
        whole.as_bytes().chunks(8).map(|bits| u8::from_str_radix(str::from_utf8(bits).unwrap(), 2).unwrap()).collect()
    }

    /// RFC 7541, appendix C.4 and C.6.
    #[test]
    fn examples_of_the_rfc() {
        for (hexadecimal, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            (
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            let pairs = hexadecimal.as_bytes().chunks(2);
            let bytes: Vec<u8> =
                pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
            assert_eq!(decoded(&bytes).unwrap(), text.as_bytes());
            assert_eq!(encoded(text.as_bytes()), bytes);
        }
    }

    #[test]
    fn every_symbol_beside_every_other() {
        for symbol in 0..=255_u8 {
            for other in [0, b'a', b'~', 249, 255] {
                let text = [symbol, other, symbol, symbol];
                assert_eq!(decoded(&encoded(&text)).unwrap(), text);
            }
        }
    }

    #[test]
    fn what_is_no_string() {
        for (bytes, why) in [
            (&[0xff_u8][..], "eight bits of padding"),
            (&[0xff; 4], "the end itself"),
            (&[0xff, 0xff, 0xff, 0xfc], "the end and zeros"),
            (&[0b0001_1000], "padding of zeros"),
            (&[0xfe], "half a code"),
        ] {
            assert_eq!(decoded(bytes), Err(Undecodable), "{why}");
        }
        assert_eq!(decoded(&[]), Ok(vec![]));
        let mut out = b"before".to_vec();
        assert_eq!(decode(&encoded(b"abcd"), 3, &mut out), Err(Undecodable));
    }
}
