//! From a file to a filter: opened, checked, compiled or taken from the cache, configured once.
//!
//! Everything here may take long and belongs on a thread that may wait.

use std::fmt;
use std::sync::Arc;

use super::bindings::{both, request, response};
use super::engine::{Engine, EngineError, Flavour};
use super::filter::{Compiled, Filter, Hooks, Inner, Pre, check_plan};
use super::inspect::{Inspection, Opened, PACKAGE, VERSION, World, open};
use super::live::Live;
use super::sending::granted;
use crate::clock::Duration;
use crate::config;

/// Processor time of the first `configure`: what compiles rules and tables, once, in the operator's presence.
const FIRST_CONFIGURE: Duration = Duration::from_secs(1);

/// Why a file does not become a filter. `Refused` is about the filter's `settings`, everything else about its `module`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The file is not a component, nor a module that can become one.
    NotAFilter(String),
    /// It is a component, but its imports and exports do not fit the contract: every misfit.
    Misfit(Vec<String>),
    /// It fits, but no filter can be run here.
    Engine(EngineError),
    /// It fits and still cannot be compiled or linked.
    Compile(String),
    /// It could not be instantiated, or `configure` failed.
    Failed(String),
    /// `configure` refused the settings: the filter's own text.
    Refused(String),
}

/// Bytes of a filter's own text that are shown.
const MAX_TEXT: usize = 1_000;

impl Engine {
    /// Reads what a file is, fitting or not.
    ///
    /// # Errors
    /// When it is not WebAssembly, or carries no types that could be read.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Inspection, LoadError> {
        open(bytes).map(|opened| opened.inspection)
    }

    /// Makes a filter of a file. Blocks for as long as compiling takes; must not be called on a worker's thread. `roots`
    /// are the whole plan's, which the filter's own are indices into.
    ///
    /// # Errors
    /// Everything that can be wrong with a file, and what the filter says of its settings.
    pub fn load(
        &self,
        name: &str,
        bytes: &[u8],
        plan: &config::Filter,
        roots: &[config::Root],
    ) -> Result<Filter, LoadError> {
        let opened = open(bytes)?;
        if !opened.inspection.problems.is_empty() {
            return Err(LoadError::Misfit(opened.inspection.problems));
        }
        let world = opened.inspection.world.ok_or_else(|| LoadError::Misfit(Vec::new()))?;
        let digest = opened.inspection.digest.clone();
        let most = self.flavour(plan.instances).map_err(LoadError::Engine)?.max_memory();
        let compiled = self.compiled(&opened, world, plan.instances)?;
        let inner = Inner {
            name: name.into(),
            digest,
            compiled,
            settings: plan.settings.clone(),
            cpu: plan.cpu,
            memory: plan.memory.min(most),
            instances: plan.instances,
            roots: granted(plan, roots),
            hooks: Hooks::default(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            engine: self.clone(),
        };
        configured(inner, world)
    }

    fn compiled(
        &self,
        opened: &Opened<'_>,
        world: World,
        instances: config::Instances,
    ) -> Result<Arc<Compiled>, LoadError> {
        if let Some(known) = self.known(opened.digest, instances) {
            return Ok(known);
        }
        let flavour = self.flavour(instances).map_err(LoadError::Engine)?;
        let component = match &self.0.cache {
            Some(cache) => cache.component(&flavour.engine, opened.digest, &opened.component),
            None => wasmtime::component::Component::new(&flavour.engine, &opened.component),
        };
        let component = component.map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        let with_wasi = opened.inspection.imports.iter().any(|import| import.name.starts_with("wasi:"));
        let exports = link(flavour, &component, world, with_wasi)
            .map_err(|error| LoadError::Misfit(vec![format!("{error:#}")]))?;
        let compiled = Arc::new(Compiled { exports, with_wasi });
        self.remember(opened.digest, instances, &compiled);
        Ok(compiled)
    }
}

fn link(
    flavour: &Flavour,
    component: &wasmtime::component::Component,
    world: World,
    with_wasi: bool,
) -> wasmtime::Result<Pre> {
    let linker = if with_wasi { &flavour.with_wasi } else { &flavour.plain };
    let pre = linker.instantiate_pre(component)?;
    Ok(match world {
        World::Filter => Pre::Both(both::FilterPre::new(pre)?),
        World::RequestFilter => Pre::Request(request::RequestFilterPre::new(pre)?),
        World::ResponseFilter => Pre::Response(response::ResponseFilterPre::new(pre)?),
    })
}

/// Makes the first instance and asks it for its plan, on a thread of its own: a component may want to wait, and this may
/// be called where waiting is not possible.
fn configured(mut inner: Inner, world: World) -> Result<Filter, LoadError> {
    let filter = Filter(Arc::new(inner.draft()));
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| LoadError::Failed(error.to_string()))?;
            let activity = filter.0.engine.activity();
            let live = Live::make(&filter, FIRST_CONFIGURE, &activity, None);
            runtime.block_on(live).map(|(_, answer)| answer).map_err(|failure| LoadError::Failed(failure.detail))
        });
        asked.join().unwrap_or_else(|_| Err(LoadError::Failed("the gateway failed while configuring it".to_owned())))
    })?;
    let plan = answer.map_err(|text| LoadError::Refused(text.chars().take(MAX_TEXT).collect()))?;
    let (hooks, request_headers, response_headers) = check_plan(plan, world.hooks())
        .map_err(|text| LoadError::Failed(format!("filter {:?}: {text}", inner.name)))?;
    inner.hooks = hooks;
    inner.request_headers = request_headers;
    inner.response_headers = response_headers;
    Ok(Filter(Arc::new(inner)))
}

impl Inner {
    /// The same filter before its plan is known.
    fn draft(&self) -> Self {
        Self {
            name: self.name.clone(),
            digest: self.digest.clone(),
            compiled: self.compiled.clone(),
            settings: self.settings.clone(),
            cpu: self.cpu,
            memory: self.memory,
            instances: self.instances,
            roots: self.roots.clone(),
            hooks: Hooks::default(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            engine: self.engine.clone(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::NotAFilter(text) => f.write_str(text),
            LoadError::Misfit(misfits) => {
                write!(f, "it does not fit `{PACKAGE}@{VERSION}`: it {}", misfits.join("; it "))
            }
            LoadError::Engine(error) => write!(f, "{error}"),
            LoadError::Compile(text) => write!(f, "it cannot be compiled: {text}"),
            LoadError::Failed(text) | LoadError::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LoadError {}
