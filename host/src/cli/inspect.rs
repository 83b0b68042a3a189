//! `weir filter inspect`: what a filter is and asks for, without running it.

use std::fs;
use std::path::Path;

use super::failed;
use crate::gateway::shim::wasm::{Engine, EngineOptions};

pub(super) fn inspect(file: &Path) -> u8 {
    let component = match fs::read(file) {
        Ok(component) => component,
        Err(error) => return failed(format_args!("cannot read {}: {error}", file.display())),
    };
    let engine = match Engine::start(EngineOptions { cache_directory: None, threads: 1 }) {
        Ok(engine) => engine,
        Err(error) => return failed(format_args!("the filter engine does not start: {error}")),
    };
    match engine.inspect(&component) {
        Ok(inspection) => {
            println!("{inspection}");
            0
        }
        Err(error) => failed(format_args!("{}: {error}", file.display())),
    }
}
