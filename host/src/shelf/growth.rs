//! What is known of an object that is being written: which pieces are in memory, how far the file is, who reads where.
//!
//! Pure: no disk and no shelf, nobody is woken from here. Pieces are let go when nobody needs them from memory.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use super::flights::Leader;
use super::write::Spool;

/// What a reader gets next.
#[derive(Debug)]
pub(super) enum Next {
    /// These bytes.
    Piece(Bytes),
    /// What the file has: from there, so many.
    File(Arc<File>, u64, usize),
    /// Nothing yet.
    Nothing,
    /// No more.
    End,
    /// No more, and it is not whole; or what comes next is not here any more.
    Broken,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// With where they begin.
    pub(super) pieces: VecDeque<(u64, Bytes)>,
    pub(super) length: u64,
    pub(super) end: End,
    /// Whether all pieces are kept for the shelf in memory, and how many bytes it was told of.
    pub(super) is_in_memory: bool,
    pub(super) grown: u64,
    pub(super) feed: Feed,
    pub(super) readers: HashMap<u64, Reader>,
    pub(super) last_reader: u64,
    pub(super) writer: Option<Waker>,
    /// Told when the file is whole.
    pub(super) leader: Option<Leader>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Open,
    Whole,
    Broken,
}

/// The way to the disk.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// Whether the object is still to become a file.
    pub(super) is_wanted: bool,
    /// Whether a thread works on it, or will.
    pub(super) is_busy: bool,
    /// Here as long as no thread works on it.
    pub(super) spool: Option<Spool>,
    /// What was written can be read there.
    pub(super) place: Option<(Arc<File>, u64)>,
    pub(super) written: u64,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) at: u64,
    pub(super) waker: Option<Waker>,
}

/// Who was made to wait; woken without the lock.
#[derive(Default)]
#[must_use]
pub(super) struct Wake(Vec<Waker>);

/// So much goes to the disk at once; less waits for more, or for the end.
pub(super) const BATCH: u64 = 256 << 10;

/// So much may wait for the disk, before the writer is asked to.
pub(super) const BACKLOG: u64 = 4 << 20;

/// Read from the file at once.
const READ: usize = 256 << 10;

impl State {
    pub(super) fn is_kept(&self) -> bool {
        self.is_in_memory || self.feed.is_wanted
    }

    /// Where the pieces in memory begin.
    pub(super) fn first(&self) -> u64 {
        self.pieces.front().map_or(self.length, |(at, _)| *at)
    }

    pub(super) fn next(&self, at: u64) -> Next {
        if self.end == End::Broken {
            return Next::Broken;
        }
        if at >= self.length {
            return if self.end == End::Whole { Next::End } else { Next::Nothing };
        }
        if at >= self.first() {
            let index = self.pieces.partition_point(|(begin, _)| *begin <= at).saturating_sub(1);
            let piece = self.pieces.get(index).map(|(begin, piece)| {
                let from = usize::try_from(at - begin).unwrap_or(piece.len()).min(piece.len());
                piece.slice(from..)
            });
            return piece.map_or(Next::Broken, Next::Piece);
        }
        match &self.feed.place {
            Some((file, begin)) if at < self.feed.written => {
                let most = usize::try_from(self.feed.written - at).unwrap_or(READ).min(READ);
                Next::File(file.clone(), begin + at, most)
            }
            _ => Next::Broken,
        }
    }

    /// Lets go of pieces that nobody needs from here.
    pub(super) fn trim(&mut self, behind: u64) {
        if self.is_in_memory {
            return;
        }
        let in_file = if self.feed.place.is_some() { self.feed.written } else { 0 };
        let readers = self.readers.values().map(|reader| reader.at.max(in_file)).min();
        let needed = if self.feed.is_wanted {
            in_file
        } else {
            let needed = readers.unwrap_or(self.length);
            if self.end == End::Open { needed.max(self.length.saturating_sub(behind)) } else { needed }
        };
        while self.pieces.front().is_some_and(|(at, piece)| at + piece.len() as u64 <= needed) {
            self.pieces.pop_front();
        }
    }

    /// What is to be written next.
    pub(super) fn batch(&self) -> Vec<Bytes> {
        let from = self.pieces.partition_point(|(at, _)| *at < self.feed.written);
        let mut size = 0;
        let pieces = self.pieces.iter().skip(from).map(|(_, piece)| piece.clone());
        let batch = pieces.take_while(|piece| {
            let is_wanted = size < 4 * BATCH;
            size += piece.len() as u64;
            is_wanted
        });
        if self.feed.is_wanted { batch.collect() } else { Vec::new() }
    }

    pub(super) fn wake(&mut self) -> Wake {
        let mut wakers: Vec<Waker> = self.readers.values_mut().filter_map(|reader| reader.waker.take()).collect();
        wakers.extend(self.writer.take());
        Wake(wakers)
    }
}

impl Wake {
    pub(super) fn all(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}
