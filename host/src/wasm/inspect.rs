//! What a file is, and whether it fits the contract: read from its types, without compiling or running anything.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};
use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem};

use super::load::LoadError;

/// The package whose contract filters fit.
pub(super) const PACKAGE: &str = "weir:filter";
/// Its version. Files made for another patch of the same minor version fit (`wit/README.md`).
pub(super) const VERSION: &str = "0.1.1";

/// The worlds with what each exports.
const WORLDS: &[(World, &[&str])] = &[
    (World::Filter, &["configure", "on-request", "on-response", "on-done"]),
    (World::RequestFilter, &["configure", "on-request"]),
    (World::ResponseFilter, &["configure", "on-response"]),
];

/// The package's interfaces with the functions of each.
const INTERFACES: &[(&str, &[&str])] = &[
    (
        "exchange",
        &[
            "request-header",
            "request-header-lines",
            "request-headers",
            "response-header",
            "response-header-lines",
            "response-headers",
            "variable",
        ],
    ),
    ("files", &["send"]),
    ("log", &["write"]),
    ("types", &[]),
];

/// The packages of WASI 0.2 that are there, granting nothing.
const WASI: &[&str] = &["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// What a file is.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Its SHA-256, in hexadecimal.
    pub digest: String,
    /// Bytes.
    pub size: usize,
    /// Component or core module.
    pub kind: Kind,
    /// The world that it fits, if it fits one.
    pub world: Option<World>,
    /// The version of the package that it was made for, if it names one.
    pub version: Option<String>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// The functions and interfaces that it exports.
    pub exports: Vec<String>,
    /// What keeps it from being a filter here; empty when it fits.
    pub problems: Vec<String>,
}

/// An interface (or a single function) that a file imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// `weir:filter/exchange@0.1.0`.
    pub name: String,
    /// The functions used of it.
    pub functions: Vec<String>,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A component.
    Component,
    /// A core module with the component's types in a custom section, which is wrapped when it is loaded.
    CoreModule,
}

/// What a filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Requests and responses.
    Filter,
    /// Requests only.
    RequestFilter,
    /// Responses only.
    ResponseFilter,
}

/// A file as a component, with what is known of it.
pub(super) struct Opened<'a> {
    pub(super) component: Cow<'a, [u8]>,
    pub(super) digest: [u8; 32],
    pub(super) inspection: Inspection,
}

/// Reads a file.
pub(super) fn open(bytes: &[u8]) -> Result<Opened<'_>, LoadError> {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let (kind, component) = component(bytes)?;
    let decoded = wit_component::decode(&component).map_err(|error| LoadError::NotAFilter(format!("{error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(LoadError::NotAFilter("it is a WIT package, not a component with code".to_owned()));
    };
    let (imports, exports) = surface(&resolve, world);
    let version = imports.iter().find_map(|import| split(&import.name)).filter(|(package, ..)| *package == PACKAGE);
    let functions: Vec<&str> = exports.iter().map(String::as_str).collect();
    let fitting = WORLDS.iter().find(|(_, needed)| needed.iter().all(|name| functions.contains(name)));
    let mut problems: Vec<String> = imports.iter().filter_map(check_import).collect();
    problems.extend(check_exports(&functions, fitting.is_some()));
    let inspection = Inspection {
        digest: hexadecimal(&digest),
        size: bytes.len(),
        kind,
        world: fitting.map(|(world, _)| *world),
        version: version.and_then(|(.., version)| version).map(str::to_owned),
        imports,
        exports,
        problems,
    };
    Ok(Opened { component, digest, inspection })
}

fn component(bytes: &[u8]) -> Result<(Kind, Cow<'_, [u8]>), LoadError> {
    // The preamble: magic, then a version and a layer of two bytes each; layer 1 is a component, layer 0 a module.
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok((Kind::Component, bytes.into())),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => wrap(bytes).map(|wrapped| (Kind::CoreModule, wrapped.into())),
        _ => Err(LoadError::NotAFilter("it is not WebAssembly (the first bytes are not `\\0asm`)".to_owned())),
    }
}

fn wrap(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let described = wit_component::metadata::decode(module).is_ok_and(|(stripped, _)| stripped.is_some());
    if !described {
        return Err(LoadError::NotAFilter(
            "it is a core module without a component type section; build it with wit-bindgen (or the crate \
             `weir-filter`), or embed the types with `wasm-tools component embed wit/ --world filter`"
                .to_owned(),
        ));
    }
    let encode = || wit_component::ComponentEncoder::default().module(module)?.validate(true).encode();
    encode().map_err(|error| LoadError::NotAFilter(format!("as a component it is not valid: {error:#}")))
}

fn surface(resolve: &Resolve, world: WorldId) -> (Vec<Import>, Vec<String>) {
    let Some(world) = resolve.worlds.get(world) else { return (Vec::new(), Vec::new()) };
    let mut imports = Vec::new();
    for (key, item) in &world.imports {
        let functions = match item {
            WorldItem::Interface { id, .. } => {
                resolve.interfaces.get(*id).map(|interface| interface.functions.keys().cloned().collect())
            }
            WorldItem::Function(function) => Some(vec![function.name.clone()]),
            WorldItem::Type { .. } => None,
        };
        imports.extend(functions.map(|functions| Import { name: resolve.name_world_key(key), functions }));
    }
    let is_type = |item: &WorldItem| matches!(item, WorldItem::Type { .. });
    let exports = world.exports.iter().filter(|(_, item)| !is_type(item)).map(|(key, _)| resolve.name_world_key(key));
    (imports, exports.collect())
}

/// What is wrong with an import, said with what there would be.
fn check_import(import: &Import) -> Option<String> {
    let name = &import.name;
    let Some((package, interface, version)) = split(name) else {
        return Some(format!("imports `{name}`, which does not exist here; {}", offered()));
    };
    if package == PACKAGE {
        let Some((_, functions)) = INTERFACES.iter().find(|(known, _)| *known == interface) else {
            return Some(format!("imports `{name}`, which `{PACKAGE}@{VERSION}` does not have; {}", offered()));
        };
        if !version.is_some_and(fits) {
            return Some(format!("imports `{name}`; this gateway has version {VERSION}"));
        }
        let unknown: Vec<_> = import.functions.iter().filter(|used| !functions.contains(&used.as_str())).collect();
        let first = unknown.first()?;
        return Some(format!("imports `{first}` of `{name}`, which is not there; it has {}", listed(functions)));
    }
    if WASI.contains(&package) {
        let fits = version.is_some_and(|version| version.starts_with("0.2."));
        return (!fits).then(|| format!("imports `{name}`; this gateway has version 0.2 of WASI"));
    }
    Some(format!("imports `{name}`, which does not exist here; {}", offered()))
}

fn check_exports(functions: &[&str], fits: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let known = |name: &&str| WORLDS.iter().any(|(_, names)| names.contains(name));
    for unknown in functions.iter().filter(|name| name.starts_with("on-") && !known(name)) {
        problems.push(format!("exports `{unknown}`, a hook that version {VERSION} does not have"));
    }
    if fits {
        return problems;
    }
    // What is missing is said of the world that needs the least; the first of those is the widest.
    let missing = |needed: &[&'static str]| -> Vec<&'static str> {
        needed.iter().filter(|name| !functions.contains(name)).copied().collect()
    };
    let nearest = WORLDS.iter().min_by_key(|(_, needed)| missing(needed).len());
    if let Some((world, needed)) = nearest {
        problems.push(format!("does not export {}, which world `{world}` needs", listed(&missing(needed))));
    }
    problems
}

/// `wasi:io/poll@0.2.6` into package, interface and version.
fn split(name: &str) -> Option<(&str, &str, Option<&str>)> {
    let (package, rest) = name.split_once('/')?;
    match rest.split_once('@') {
        Some((interface, version)) => Some((package, interface, Some(version))),
        None => Some((package, rest, None)),
    }
}

/// Before 1.0 the minor version is what must be the same.
fn fits(version: &str) -> bool {
    VERSION.rsplit_once('.').is_some_and(|(minor, _)| version.rsplit_once('.').is_some_and(|(other, _)| other == minor))
}

fn offered() -> String {
    let own = INTERFACES.iter().map(|(name, _)| format!("{PACKAGE}/{name}@{VERSION}"));
    let wasi = WASI.iter().map(|package| format!("{package}@0.2"));
    format!("there are {}", own.chain(wasi).collect::<Vec<_>>().join(", "))
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl World {
    pub(super) const fn hooks(self) -> super::Hooks {
        let (request, response) = match self {
            World::Filter => (true, true),
            World::RequestFilter => (true, false),
            World::ResponseFilter => (false, true),
        };
        super::Hooks { request, response, done: request && response }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::Filter => "filter",
            World::RequestFilter => "request-filter",
            World::ResponseFilter => "response-filter",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Component => "component",
            Kind::CoreModule => "core module",
        })
    }
}
