//! The part of the plan that is about the operator's door.

use std::path::PathBuf;

use crate::config::Place;

/// Where the operator is listened to: `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The path of its Unix socket; absolute.
    pub socket: PathBuf,
    /// The permissions of that, which say who may connect: writing is connecting (unix(7)).
    pub mode: u32,
    /// Its group, where that is not the gateway's own.
    pub group: Option<u32>,
    /// Where it was written.
    pub place: Place,
}
