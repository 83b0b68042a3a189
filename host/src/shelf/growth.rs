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
    /// Whether all pieces are kept for the shelf in memory.
    pub(super) is_in_memory: bool,
    /// Pieces that begin before this are counted there as long as they are here.
    pub(super) counted: u64,
    pub(super) feed: Feed,
    pub(super) readers: HashMap<u64, Reader>,
    pub(super) last_reader: u64,
    /// The reader that the object is fetched for: it is never cut off.
    pub(super) own: Option<u64>,
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
    /// Bytes that are counted as waiting for the disk.
    pub(super) owed: u64,
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
const BACKLOG: u64 = 4 << 20;

/// So much of all objects together; beyond it each has only what goes to the disk next.
const BACKLOGS: u64 = 64 << 20;

/// What is on no shelf is not read further ahead of the one that it is fetched for, however fast others are.
const AHEAD: u64 = 1 << 20;

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
        if at >= self.length {
            return match self.end {
                End::Open => Next::Nothing,
                End::Whole => Next::End,
                End::Broken => Next::Broken,
            };
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

    /// A place for a reader, at the beginning.
    pub(super) fn sit_down(&mut self) -> u64 {
        self.last_reader += 1;
        self.readers.insert(self.last_reader, Reader::default());
        self.last_reader
    }

    /// Whether it is time for more of what is on no shelf: somebody has everything and wants to go on, and the one that it is
    /// fetched for is not far behind.
    pub(super) fn is_due(&self) -> bool {
        let is_near = self.own_place().is_none_or(|at| self.length - at.min(self.length) <= AHEAD);
        is_near && self.readers.values().any(|reader| reader.at >= self.length && reader.waker.is_some())
    }

    /// Lets go of pieces that nobody needs from here; how many bytes that are counted were among them.
    #[must_use]
    pub(super) fn trim(&mut self, behind: u64) -> u64 {
        if self.is_in_memory {
            return 0;
        }
        let in_file = if self.feed.place.is_some() { self.feed.written } else { 0 };
        let needed = if self.feed.is_wanted { in_file } else { self.needed(behind, in_file) };
        let mut released = 0;
        while let Some((at, piece)) = self.pieces.front() {
            let length = piece.len() as u64;
            if at + length > needed {
                break;
            }
            released += if *at < self.counted { length } else { 0 };
            self.pieces.pop_front();
        }
        released
    }

    /// From where on pieces are needed when none are to be written any more.
    fn needed(&self, behind: u64, in_file: u64) -> u64 {
        let needed = self.readers.values().map(|reader| reader.at.max(in_file)).min().unwrap_or(self.length);
        if self.end != End::Open {
            return needed;
        }
        let patient = needed.max(self.length.saturating_sub(behind));
        self.own_place().map_or(patient, |at| patient.min(at.max(in_file)))
    }

    fn own_place(&self) -> Option<u64> {
        self.own.and_then(|own| self.readers.get(&own)).map(|reader| reader.at)
    }

    /// Another place for the bytes that are here: pieces that the shelf has as well.
    pub(super) fn settle(&mut self, blocks: Vec<Bytes>) {
        self.counted = 0;
        let mut at = 0;
        let place = |block: Bytes| {
            let begin = at;
            at += block.len() as u64;
            (begin, block)
        };
        self.pieces = blocks.into_iter().map(place).collect();
    }

    /// Whether the disk is too far behind, of whose objects so much waits in all.
    pub(super) fn is_behind(&self, all: u64) -> bool {
        let waiting = self.length - self.feed.written;
        self.feed.is_wanted && waiting > if all > BACKLOGS { BATCH } else { BACKLOG }
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

    /// Readers who wait for more.
    pub(super) fn readers(&mut self) -> Wake {
        Wake(self.readers.values_mut().filter_map(|reader| reader.waker.take()).collect())
    }

    /// All who wait.
    pub(super) fn everybody(&mut self) -> Wake {
        let Wake(mut wakers) = self.readers();
        wakers.extend(self.writer.take());
        Wake(wakers)
    }

    /// The writer, if it is on no shelf and there is something to do, or nobody to do it for.
    pub(super) fn paced(&mut self) -> Wake {
        let waits = self.writer.is_some() && !self.is_kept();
        let has_work = waits && (self.readers.is_empty() || self.is_due());
        Wake(if has_work { self.writer.take().into_iter().collect() } else { Vec::new() })
    }
}

impl Wake {
    pub(super) fn all(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}
