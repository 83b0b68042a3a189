//! Values of fields that are made of a number which many answers share for a second: made once for a thread, not for each.

use std::cell::RefCell;

use crate::message::Value;

/// Values by their number.
struct Known(RefCell<[Option<(i64, Value)>; PLACES]>);

/// What is popular is answered many times in a second, and what is not costs more elsewhere; a power of two.
const PLACES: usize = 64;

/// What `Age` says.
pub(super) fn age(seconds: u64) -> Value {
    thread_local!(static AGES: Known = const { Known::none() });
    match i64::try_from(seconds) {
        Ok(number) => AGES.with(|known| known.of(number, || Value::from(seconds))),
        Err(_) => Value::from(seconds),
    }
}

/// What `Cache-Status` says of a fresh hit.
pub(super) fn hit(ttl: i64, make: impl FnOnce() -> Value) -> Value {
    thread_local!(static HITS: Known = const { Known::none() });
    HITS.with(|known| known.of(ttl, make))
}

impl Known {
    const fn none() -> Self {
        Self(RefCell::new([const { None }; PLACES]))
    }

    fn of(&self, number: i64, make: impl FnOnce() -> Value) -> Value {
        let mut places = self.0.borrow_mut();
        let place = places.get_mut(usize::try_from(number.cast_unsigned()).unwrap_or(usize::MAX) % PLACES);
        match place {
            Some(Some((known, value))) if *known == number => value.clone(),
            Some(place) => place.insert((number, make())).1.clone(),
            None => make(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_value() {
        for seconds in [0, 1, 64, 65, 0, 64, 1, u64::MAX, i64::MAX.unsigned_abs()] {
            assert_eq!(age(seconds), seconds.to_string());
        }
        for ttl in [-1_i64, 63, -65, -1, 127] {
            assert_eq!(hit(ttl, || Value::from(ttl)), ttl.to_string());
        }
    }
}
