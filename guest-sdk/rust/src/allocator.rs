//! The module's allocator: small blocks from free lists by size, the rest from the standard one.
//!
//! A call of a filter is a dozen small allocations and as many frees; a free list does each in a handful of
//! instructions where a coalescing allocator needs fifty. Invariant: a block is given back with the layout that it was
//! asked for with, so its class needs no header.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Blocks of 16 << class bytes.
const CLASSES: usize = 8;
const SMALLEST: usize = 16;
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// What the free lists are fed from, a piece at a time: a few calls' worth.
const PIECE: usize = 16 * 1024;

/// Sound on one thread only, which is what a Wasm module without the threads proposal has.
pub(crate) struct SizeClasses<Large> {
    large: Large,
    state: UnsafeCell<State>,
}

struct State {
    free: [*mut u8; CLASSES],
    next: *mut u8,
    left: usize,
}

impl<Large> SizeClasses<Large> {
    #[cfg_attr(not(any(test, target_arch = "wasm32")), expect(dead_code, reason = "the allocator of Wasm modules"))]
    pub(crate) const fn over(large: Large) -> Self {
        Self { large, state: UnsafeCell::new(State { free: [null_mut(); CLASSES], next: null_mut(), left: 0 }) }
    }
}

// SAFETY: every block comes from `large`, whole or as a part of a piece that is never given back; parts are handed out
// once until they return to their list, and a part of class c is 16 << c bytes long and aligned to 16.
unsafe impl<Large: GlobalAlloc> GlobalAlloc for SizeClasses<Large> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            return unsafe { self.large.alloc(layout) };
        };
        let state = unsafe { &mut *self.state.get() };
        let head = state.free[class];
        if head.is_null() {
            return unsafe { state.carve(class, &self.large) };
        }
        state.free[class] = unsafe { head.cast::<*mut u8>().read() };
        head
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            return unsafe { self.large.dealloc(block, layout) };
        };
        let state = unsafe { &mut *self.state.get() };
        unsafe { block.cast::<*mut u8>().write(state.free[class]) };
        state.free[class] = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The caller promises that `size` fits a layout of the same alignment (GlobalAlloc::realloc).
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class_of(layout), class_of(wanted)) {
            (None, None) => unsafe { self.large.realloc(block, layout, size) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    unsafe { block.copy_to_nonoverlapping(moved, layout.size().min(size)) };
                    unsafe { self.dealloc(block, layout) };
                }
                moved
            }
        }
    }
}

impl State {
    /// Cuts a block from the current piece; what is too short at its end is forgotten.
    #[cold]
    unsafe fn carve<Large: GlobalAlloc>(&mut self, class: usize, large: &Large) -> *mut u8 {
        let size = SMALLEST << class;
        if self.left < size {
            let Ok(layout) = Layout::from_size_align(PIECE, SMALLEST) else { return null_mut() };
            let piece = unsafe { large.alloc(layout) };
            if piece.is_null() {
                return piece;
            }
            self.next = piece;
            self.left = PIECE;
        }
        let block = self.next;
        self.next = unsafe { block.add(size) };
        self.left -= size;
        block
    }
}

fn class_of(layout: Layout) -> Option<usize> {
    let size = layout.size().max(SMALLEST);
    let fits = size <= LARGEST && layout.align() <= SMALLEST;
    fits.then(|| (usize::BITS - (size - 1).leading_zeros()) as usize - SMALLEST.trailing_zeros() as usize)
}

#[cfg(target_arch = "wasm32")]
mod installed {
    use super::SizeClasses;
    use std::alloc::System;

    // SAFETY: without the threads proposal a module runs on one thread at a time.
    unsafe impl Sync for SizeClasses<System> {}

    #[global_allocator]
    static ALLOCATOR: SizeClasses<System> = SizeClasses::over(System);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn classes_are_powers_of_two_from_16_to_2048() {
        for (size, align, class) in [
            (1, 1, Some(0)),
            (16, 8, Some(0)),
            (17, 1, Some(1)),
            (32, 1, Some(1)),
            (33, 16, Some(2)),
            (2048, 1, Some(7)),
            (2049, 1, None),
            (8, 32, None),
        ] {
            assert_eq!(class_of(layout(size, align)), class, "{size} {align}");
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_come_back() {
        let classes = SizeClasses::over(System);
        let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
        // A fixed walk over sizes: two steps forward, one back, each block filled with its own mark.
        for step in 0..20_000_usize {
            let one = layout(1 + (step * 7919) % 5000, 1 << (step % 6));
            let mark = (step % 251) as u8;
            let block = unsafe { classes.alloc(one) };
            assert!(!block.is_null());
            assert_eq!(block as usize % one.align(), 0);
            unsafe { block.write_bytes(mark, one.size()) };
            held.push((block, one, mark));
            if step % 3 != 0 {
                let (block, one, mark) = held.swap_remove((step * 31) % held.len());
                let bytes = unsafe { std::slice::from_raw_parts(block, one.size()) };
                assert!(bytes.iter().all(|b| *b == mark), "a block was overwritten");
                unsafe { classes.dealloc(block, one) };
            }
        }
        for (block, one, _) in held {
            unsafe { classes.dealloc(block, one) };
        }
    }

    #[test]
    fn a_freed_block_is_the_next_one_handed_out() {
        let classes = SizeClasses::over(System);
        let first = unsafe { classes.alloc(layout(100, 1)) };
        unsafe { classes.dealloc(first, layout(100, 1)) };
        assert_eq!(unsafe { classes.alloc(layout(65, 1)) }, first);
    }

    #[test]
    fn growing_keeps_the_contents() {
        let classes = SizeClasses::over(System);
        let mut size = 4;
        let mut block = unsafe { classes.alloc(layout(size, 1)) };
        unsafe { block.write_bytes(7, size) };
        for wanted in [10, 16, 17, 100, 2048, 2049, 5000, 3000, 64, 4] {
            block = unsafe { classes.realloc(block, layout(size, 1), wanted) };
            let kept = unsafe { std::slice::from_raw_parts(block, size.min(wanted)) };
            assert!(kept.iter().all(|b| *b == 7), "{size} to {wanted}");
            unsafe { block.write_bytes(7, wanted) };
            size = wanted;
        }
    }
}
