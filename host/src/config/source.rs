//! The text of a config while it is read: from offsets to places, from relative paths to absolute ones, and where the
//! problems gather.

use std::cell::RefCell;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use super::{Place, Problem};

/// A config's text, and what was found wrong with it so far.
pub(super) struct Source<'d> {
    text: &'d str,
    file: Arc<str>,
    directory: PathBuf,
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'d> Source<'d> {
    pub(super) fn of(text: &'d str, file: &str, directory: &Path) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self {
            text,
            file: file.into(),
            directory: directory.to_owned(),
            lines: std::iter::once(0).chain(after_breaks).collect(),
            problems: RefCell::default(),
        }
    }

    /// Where a byte of the text is.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Place { file: self.file.clone(), line, column: before.chars().count() + 1 }
    }

    /// The file as a whole.
    pub(super) fn whole(&self) -> Place {
        Place { file: self.file.clone(), line: 0, column: 0 }
    }

    /// A path as the config means it. Absolute, so that a plan written out again means the same anywhere.
    pub(super) fn resolve(&self, written: &str) -> PathBuf {
        let joined = self.directory.join(written);
        path::absolute(&joined).unwrap_or(joined)
    }

    pub(super) fn report(&self, place: &Place, text: String) {
        self.problems.borrow_mut().push(Problem::at(place, text));
    }

    /// A problem of the file as a whole, not gathered.
    pub(super) fn about_the_file(&self, text: String) -> Problem {
        Problem::at(&self.whole(), text)
    }

    /// What was found so far, in the order of the text; `Err` when it is anything.
    pub(super) fn judge(&self) -> Result<(), Vec<Problem>> {
        let mut problems = self.problems.borrow().clone();
        problems.sort();
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
