//! The life of the gateway: start, reload, drain, end.
//!
//! It owns sockets, threads and the choice of the current generation, and knows nothing of HTTP. A reload either stands
//! as a whole or changes nothing.

mod admin;
mod bind;
mod certificates;
mod inherited;
mod life;
mod listeners;
mod reload;
mod system;
mod workers;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use self::life::run;
use crate::config::{Plan, Problem};
use crate::log::OperatorLog;

/// Where plans come from: at the start, and again at every reload.
pub type Source = Arc<dyn Fn() -> Result<Plan, Vec<Problem>> + Send + Sync>;

/// Somebody to tell what is listened on.
pub type Ready = Box<dyn FnOnce(&[Listening])>;

/// What a gateway is started with.
pub struct Options {
    /// Where its plan comes from.
    pub source: Source,
    /// The operator's log, to be set as each plan says.
    pub operator: OperatorLog,
    /// Told once, when every listener listens: names and addresses.
    pub ready: Ready,
}

/// One address that is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The listener's name.
    pub listener: Arc<str>,
    /// `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`, ports as the system chose them.
    pub address: String,
}

/// How a gateway that had started came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was told to stop, and what was in flight was finished or had its time.
    Drained,
    /// It was told twice.
    Hurried,
    /// A worker thread ended by itself.
    Broken,
}

/// Why a gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// The config has problems.
    Config(Vec<Problem>),
    /// Listeners cannot have their addresses.
    Bind(Vec<bind::Refusal>),
    /// The access log cannot be opened; the error names the file.
    AccessLog(io::Error),
    /// The Wasm engine refuses to start.
    Engine(crate::wasm::EngineError),
    /// No thread, no runtime or no signal can be had.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(problems) => lines(problems, f),
            StartError::Bind(refusals) => lines(refusals, f),
            StartError::AccessLog(error) => write!(f, "cannot open the {error}"),
            StartError::Engine(error) => write!(f, "the filter engine does not start: {error}"),
            StartError::System(error) => write!(f, "the system refuses what a gateway needs: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

fn lines<T: fmt::Display>(list: &[T], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    list.iter().enumerate().try_for_each(|(nth, item)| match nth {
        0 => item.fmt(f),
        _ => write!(f, "\n{item}"),
    })
}
