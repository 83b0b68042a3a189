//! Where access log lines go: nowhere, standard output or a file opened for appending.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use crate::config::{self, AccessFormat, LogOutput};

/// An open end for lines. Every write is of whole lines.
#[derive(Debug, Default)]
pub struct Output {
    file: Option<File>,
    path: Option<PathBuf>,
    torn: bool,
}

impl Output {
    /// Opens what a plan asks for.
    ///
    /// # Errors
    /// What the system says about the file, with its path.
    pub fn open(plan: &config::AccessLog) -> io::Result<Self> {
        match (&plan.format, &plan.output) {
            (AccessFormat::Off, _) => Ok(Self::default()),
            (_, LogOutput::Stdout) => {
                let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                Ok(Self { file: Some(file), path: None, torn: false })
            }
            (_, LogOutput::File(path)) => {
                let file =
                    OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
                        io::Error::new(error.kind(), format!("access log {}: {error}", path.display()))
                    })?;
                Ok(Self { file: Some(file), path: Some(path.clone()), torn: false })
            }
        }
    }

    /// Opens the same path again, for whoever moved the file away. When that fails the old file stays;
    /// where there is no file nothing happens (false).
    pub(super) fn reopen(&mut self) -> io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let plan = config::AccessLog { output: LogOutput::File(path.clone()), format: AccessFormat::Combined };
        *self = Self::open(&plan)?;
        Ok(true)
    }

    /// Writes lines. After a write that stopped in the middle of a line the next one begins a line of its own.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.torn {
            file.write_all(b"\n")?;
            self.torn = false;
        }
        let written = file.write_all(lines);
        self.torn = written.is_err();
        written
    }
}
