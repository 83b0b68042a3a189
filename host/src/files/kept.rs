//! What is kept by root and path: bounded, and what nobody asks for leaves by itself.
//!
//! Two shelves: what is asked for stands on the first, and when that is full or old it becomes the second, and what stood
//! on the second leaves. So whatever was not asked for during two turns is gone, without a list to be kept in order.

use std::collections::HashMap;
use std::mem;

/// Values by root and path.
#[derive(Debug)]
pub(super) struct Kept<T> {
    front: Shelf<T>,
    back: Shelf<T>,
    /// How many the front shelf holds at most; zero keeps nothing.
    room: usize,
    /// Whether there is a back shelf.
    is_double: bool,
}

#[derive(Debug)]
struct Shelf<T> {
    roots: Vec<HashMap<Box<[u8]>, T>>,
    count: usize,
}

impl<T: Clone> Kept<T> {
    /// Keeps so many at most.
    pub(super) fn up_to(most: usize) -> Self {
        // Two shelves of half the room each; one alone where that would be none.
        let room = if most > 1 { most / 2 } else { most };
        Self { front: Shelf::default(), back: Shelf::default(), room, is_double: most > 1 }
    }

    /// What is kept there.
    pub(super) fn get(&mut self, root: usize, path: &[u8]) -> Option<T> {
        if let Some(value) = self.front.get(root, path) {
            return Some(value.clone());
        }
        let (path, value) = self.back.take(root, path)?;
        self.put(root, path, value.clone());
        Some(value)
    }

    /// Keeps something there.
    pub(super) fn set(&mut self, root: usize, path: &[u8], value: T) {
        if self.room == 0 {
            return;
        }
        self.back.take(root, path);
        self.put(root, path.into(), value);
    }

    /// Forgets what is there.
    pub(super) fn forget(&mut self, root: usize, path: &[u8]) {
        self.front.take(root, path);
        self.back.take(root, path);
    }

    /// One turn: what was not asked for since the last one leaves. Whether anything is left.
    pub(super) fn turn(&mut self) -> bool {
        let front = mem::take(&mut self.front);
        self.back = if self.is_double { front } else { Shelf::default() };
        self.back.count > 0
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.front.count + self.back.count
    }

    fn put(&mut self, root: usize, path: Box<[u8]>, value: T) {
        if self.front.count >= self.room {
            self.turn();
        }
        self.front.put(root, path, value);
    }
}

impl<T> Shelf<T> {
    fn get(&self, root: usize, path: &[u8]) -> Option<&T> {
        self.roots.get(root)?.get(path)
    }

    fn take(&mut self, root: usize, path: &[u8]) -> Option<(Box<[u8]>, T)> {
        let taken = self.roots.get_mut(root)?.remove_entry(path)?;
        self.count -= 1;
        Some(taken)
    }

    fn put(&mut self, root: usize, path: Box<[u8]>, value: T) {
        if self.roots.len() <= root {
            self.roots.resize_with(root + 1, HashMap::new);
        }
        let Some(paths) = self.roots.get_mut(root) else { return };
        if paths.insert(path, value).is_none() {
            self.count += 1;
        }
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { roots: Vec::new(), count: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_leaves() {
        let mut kept = Kept::up_to(8);
        kept.set(0, b"hot", 0);
        for number in 1..100 {
            kept.set(number % 3, number.to_string().as_bytes(), number);
            assert!(kept.len() <= 8);
            assert_eq!(kept.get(0, b"hot"), Some(0));
        }
        assert_eq!(kept.get(1, b"hot"), None);
        assert_eq!(kept.get(99 % 3, b"99"), Some(99));
        assert_eq!(kept.get(1, b"1"), None);
        kept.forget(0, b"hot");
        assert_eq!(kept.get(0, b"hot"), None);
    }

    #[test]
    fn turns_empty_it_and_bounds_hold() {
        for most in [0, 1, 2, 3, 7] {
            let mut kept = Kept::up_to(most);
            for number in 0..50_u8 {
                kept.set(0, &[number % 9], number);
                assert!(kept.len() <= most, "{most}");
                assert_eq!(kept.get(0, &[number % 9]), (most > 0).then_some(number));
                assert!(kept.len() <= most, "{most}");
            }
            kept.turn();
            assert!(!kept.turn());
            assert_eq!(kept.len(), 0);
        }
    }
}
