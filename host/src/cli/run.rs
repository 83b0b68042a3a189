//! `weir run`: a gateway from a config file, until its end.

use std::path::Path;
use std::sync::Arc;

use super::{FAILED, failed, wrong};
use crate::config;
use crate::gateway::{self, Ending, Listening, Options, StartError};
use crate::log::OperatorLog;

pub(super) fn run(file: &Path) -> u8 {
    let path = file.to_owned();
    serve(Arc::new(move || config::load(&path)), |_| ())
}

/// Runs a gateway and turns its end into an exit code.
pub(super) fn serve(source: gateway::Source, ready: impl FnOnce(&[Listening]) + 'static) -> u8 {
    match gateway::run(Options { source, operator: OperatorLog::start(), ready: Box::new(ready) }) {
        Ok(Ending::Drained) => 0,
        Ok(Ending::Hurried | Ending::Broken) => FAILED,
        Err(StartError::Config(problems)) => wrong(problems),
        Err(
            error @ (StartError::Bind(_) | StartError::AccessLog(_) | StartError::Engine(_) | StartError::System(_)),
        ) => failed(error),
    }
}
