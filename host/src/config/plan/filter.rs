//! The plan of filters: which code, and how far it is trusted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Place;

/// A filter: a component with settings.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Its name.
    pub name: Arc<str>,
    /// Where its code is.
    pub module: Module,
    /// Its settings as JSON.
    pub settings: String,
    /// Thread time for one call.
    pub cpu: Duration,
    /// Bytes of memory for one instance.
    pub memory: usize,
    /// Roots whose files it may answer with: indices into `Plan::roots`.
    pub roots: Vec<usize>,
    /// What its failure means for the request.
    pub on_failure: OnFailure,
    /// How long an instance lives.
    pub instances: Instances,
    /// Where it was written.
    pub place: Place,
    /// Where its settings were written (the filter's place when there are none).
    pub settings_place: Place,
}

/// Where a filter's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Module {
    /// One that comes with the gateway: `std:url-rewrite`.
    Standard(String),
    /// A file.
    File(PathBuf),
}

/// What a filter's failure means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends with 503.
    Closed,
    /// It goes on unmodified by this filter.
    Open,
}

/// How long a filter's instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instances {
    /// For many calls on one thread.
    Reuse,
    /// For one request.
    PerRequest,
}
