//! `weir check` and `weir config`: a config looked at, nothing started.

use std::path::Path;

use super::{failed, wrong};
use crate::config;
use crate::generation::{Generation, Lasting, Stores};
use crate::log::OperatorLog;
use crate::wasm::{Engine, EngineOptions};

/// Everything a start would look at but sockets: the config, and whether every filter loads and takes its settings.
pub(super) fn check(file: &Path) -> u8 {
    let _log = OperatorLog::start();
    let plan = match config::load(file) {
        Ok(plan) => plan,
        Err(problems) => return wrong(problems),
    };
    let options = EngineOptions { cache_directory: plan.cache_directory.clone(), threads: plan.threads };
    let engine = match Engine::start(options) {
        Ok(engine) => engine,
        Err(error) => return failed(format_args!("the filter engine does not start: {error}")),
    };
    match Generation::build(plan, &engine, &Lasting { caches: Stores::dry(), ..Lasting::default() }, 0) {
        Ok(_) => {
            println!("{}: ok", file.display());
            0
        }
        Err(problems) => wrong(problems),
    }
}

/// The plan as a config, defaults filled in.
pub(super) fn show(file: &Path) -> u8 {
    match config::load(file) {
        Ok(plan) => {
            print!("{}", plan.to_toml());
            0
        }
        Err(problems) => wrong(problems),
    }
}
