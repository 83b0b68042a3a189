//! `weir filter inspect`: what a filter is and asks for, without running it.

use std::path::Path;

use super::failed;
use crate::kernel;
use crate::wasm::{Engine, EngineOptions, Inspection, Kind, LARGEST_MODULE, World};

pub(super) fn inspect(file: &Path) -> u8 {
    let component = match kernel::read_whole(file, LARGEST_MODULE) {
        Ok(component) => component,
        Err(error) => return failed(format_args!("{} {error}", file.display())),
    };
    let engine = match Engine::start(EngineOptions { cache_directory: None, threads: 1 }) {
        Ok(engine) => engine,
        Err(error) => return failed(format_args!("the filter engine does not start: {error}")),
    };
    match engine.inspect(&component) {
        Ok(inspection) => {
            print!("{}", text(&inspection));
            u8::from(!inspection.problems.is_empty())
        }
        Err(error) => failed(format_args!("{}: {error}", file.display())),
    }
}

fn text(inspection: &Inspection) -> String {
    let kind = match inspection.kind {
        Kind::Component => "component",
        Kind::CoreModule => "core module, wrapped into a component when it is loaded",
    };
    let world = match inspection.world {
        Some(World::Filter) => "filter",
        Some(World::RequestFilter) => "request-filter",
        Some(World::ResponseFilter) => "response-filter",
        None => "none of weir:filter's",
    };
    let mut lines = vec![
        format!("kind     {kind}"),
        format!("world    {world}"),
        format!("version  {}", inspection.version.as_deref().unwrap_or("not named")),
        format!("size     {} bytes", inspection.size),
        format!("digest   sha256:{}", inspection.digest),
    ];
    for import in &inspection.imports {
        lines.push(format!("import   {} ({})", import.name, import.functions.join(", ")));
    }
    lines.extend(inspection.exports.iter().map(|export| format!("export   {export}")));
    lines.extend(inspection.problems.iter().map(|problem| format!("problem  {problem}")));
    lines.push(String::new());
    lines.join("\n")
}
