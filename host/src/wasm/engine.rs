//! The process-wide engine: how components are compiled, where their memories lie, and the heartbeat that interrupts them.
//!
//! Two engines in one: instances for many calls run with guard pages and wide reservations, where a call is cheapest;
//! instances for one request run without guard pages, where making and dropping them is cheapest and no thread waits
//! for another's page tables. Each is made when the first filter needs it: until then no address space is reserved.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bindings::both;
use super::cache::Cache;
use super::filter::Compiled;
use super::guest::{Guest, MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLE, MAX_TABLES};
use super::pulse::{Activity, Pulse};
use super::trap::Seen;
use crate::config;

/// What the engine needs to know.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Where compiled filters are kept; `None` means nowhere.
    pub cache_directory: Option<PathBuf>,
    /// Worker threads.
    pub threads: usize,
}

/// The engine. Cheap to clone; ends with its last clone.
#[derive(Clone)]
pub struct Engine(pub(super) Arc<Inner>);

pub(super) struct Inner {
    reuse: OnceLock<Flavour>,
    fresh: OnceLock<Flavour>,
    /// Held while one of the two is made.
    making: Mutex<()>,
    slots: u32,
    pub(super) cache: Option<Cache>,
    pub(super) seen: Seen,
    compiled: Mutex<HashMap<Code, Weak<Compiled>>>,
    pulse: Pulse,
    beating: Arc<[OnceLock<wasmtime::EngineWeak>; 2]>,
}

/// What was compiled (by its SHA-256) for which way of living.
type Code = ([u8; 32], config::Instances);

/// An engine with everything that a filter may import.
pub(super) struct Flavour {
    layout: Layout,
    pub(super) engine: wasmtime::Engine,
    pub(super) plain: Linker<Guest>,
    pub(super) with_wasi: Linker<Guest>,
}

/// Why the engine does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The address space that this process may use (`ulimit -v`) is smaller than what has to be reserved.
    AddressSpace {
        /// Bytes that have to be reserved.
        needed: u64,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// The system refused something else.
    System(String),
}

/// How address space is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Every memory has 4 GiB and a guard: code needs no bounds checks.
    Wide,
    /// Every memory has what a filter can use at most; code checks bounds. Slower by some tens of percent, and fits.
    Narrow,
    /// The same without guard pages and signals.
    Unguarded,
}

/// Instances at once for each worker thread: some for every filter, and more for calls that were interrupted.
const SLOTS_PER_THREAD: u32 = 128;
/// No machine needs more at once, and the bookkeeping has its price.
const MAX_SLOTS: u32 = 4096;
/// Stack of a guest. Interpreters need tens of KiB; what recurses deeper has lost its way.
const STACK: usize = 256 << 10;
/// Stack of a call with the host's own part.
const FIBER: usize = 512 << 10;
/// Bytes of a memory that are wiped instead of given back: what small guests use, so that a fresh one costs no page fault.
const KEEP_RESIDENT: usize = 2 << 20;
/// Bytes of a memory in the layouts that check bounds.
pub(super) const NARROW_MEMORY: usize = 256 << 20;
/// Bytes of a memory in the wide layout: all that 32 bits can name.
const WIDE_MEMORY: usize = 4 << 30;
/// What runs besides: code, heap, stacks of threads.
const REST_OF_PROCESS: u64 = 1 << 30;

impl Engine {
    /// Starts the engine, with nothing reserved yet.
    ///
    /// # Errors
    /// When there is no thread.
    pub fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let threads = u32::try_from(options.threads).unwrap_or(MAX_SLOTS).max(1);
        let slots = threads.saturating_mul(SLOTS_PER_THREAD).min(MAX_SLOTS);
        let beating: Arc<[OnceLock<wasmtime::EngineWeak>; 2]> = Arc::default();
        let engines = beating.clone();
        let pulse = Pulse::start(move || {
            for engine in engines.iter().filter_map(OnceLock::get).filter_map(wasmtime::EngineWeak::upgrade) {
                engine.increment_epoch();
            }
        })
        .map_err(|error| EngineError::System(format!("no thread for the filters' clock: {error}")))?;
        let cache = options.cache_directory.and_then(Cache::open);
        Ok(Self(Arc::new(Inner {
            reuse: OnceLock::new(),
            fresh: OnceLock::new(),
            making: Mutex::default(),
            slots,
            cache,
            seen: Seen::default(),
            compiled: Mutex::default(),
            pulse,
            beating,
        })))
    }

    /// The engine for a way of living, made now if nobody needed it before.
    ///
    /// # Errors
    /// When there is not enough address space.
    pub(super) fn flavour(&self, instances: config::Instances) -> Result<&Flavour, EngineError> {
        let [reused, fresh] = &*self.0.beating;
        let (place, beating, layouts) = match instances {
            config::Instances::Reuse => (&self.0.reuse, reused, &[Layout::Wide, Layout::Narrow][..]),
            config::Instances::PerRequest => (&self.0.fresh, fresh, &[Layout::Unguarded][..]),
        };
        let _making = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = place.get() {
            return Ok(made);
        }
        let flavour = first_that_fits(layouts, self.0.slots)?;
        let _ = beating.set(flavour.engine.weak());
        Ok(place.get_or_init(|| flavour))
    }

    pub(super) fn activity(&self) -> Activity {
        self.0.pulse.activity()
    }

    /// What was compiled before and is still in use.
    pub(super) fn known(&self, digest: [u8; 32], instances: config::Instances) -> Option<Arc<Compiled>> {
        let mut compiled = self.0.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.retain(|_, known| known.strong_count() > 0);
        compiled.get(&(digest, instances)).and_then(Weak::upgrade)
    }

    pub(super) fn remember(&self, digest: [u8; 32], instances: config::Instances, new: &Arc<Compiled>) {
        let mut compiled = self.0.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.insert((digest, instances), Arc::downgrade(new));
    }
}

impl Flavour {
    fn build(layout: Layout, slots: u32) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&settings(layout, slots))?;
        let mut plain = Linker::new(&engine);
        both::Filter::add_to_linker::<_, wasmtime::component::HasSelf<Guest>>(&mut plain, |guest| guest)?;
        let mut with_wasi = plain.clone();
        wasmtime_wasi::p2::add_to_linker_async(&mut with_wasi)?;
        Ok(Self { layout, engine, plain, with_wasi })
    }

    /// The most memory an instance can have.
    pub(super) fn max_memory(&self) -> usize {
        self.layout.memory()
    }
}

impl Layout {
    /// Bytes of a memory.
    const fn memory(self) -> usize {
        match self {
            Self::Wide => WIDE_MEMORY,
            Self::Narrow | Self::Unguarded => NARROW_MEMORY,
        }
    }
}

fn first_that_fits(layouts: &[Layout], slots: u32) -> Result<Flavour, EngineError> {
    let allowed = allowed_address_space();
    let mut trouble = EngineError::System(String::new());
    for layout in layouts {
        let needed = needed(*layout, slots);
        if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
            trouble = EngineError::AddressSpace { needed, allowed };
            continue;
        }
        if *layout == Layout::Narrow {
            tracing::warn!(
                "there is little address space to reserve (see `ulimit -v`): filters run with bounds checks, which is slower"
            );
        }
        match Flavour::build(*layout, slots) {
            Ok(flavour) => return Ok(flavour),
            Err(error) => trouble = EngineError::System(format!("{error:#}")),
        }
    }
    Err(trouble)
}

/// Address space of all slots.
fn needed(layout: Layout, slots: u32) -> u64 {
    let memory = match layout {
        Layout::Wide => WIDE_MEMORY as u64 + (32 << 20),
        Layout::Narrow | Layout::Unguarded => NARROW_MEMORY as u64 + (64 << 10),
    };
    u64::from(slots) * (memory + FIBER as u64 + (MAX_TABLE * 8) as u64) + REST_OF_PROCESS
}

/// What `ulimit -v` allows; `None` when it allows everything, or cannot be known.
fn allowed_address_space() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn settings(layout: Layout, slots: u32) -> Config {
    let mut config = Config::new();
    // The contract has no concurrency inside an instance; support for it costs a third of every call.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK);
    config.async_stack_size(FIBER);
    config.generate_address_map(true);
    match layout {
        Layout::Wide => {
            config.memory_reservation(WIDE_MEMORY as u64);
        }
        Layout::Narrow => {
            config.memory_reservation(NARROW_MEMORY as u64);
            config.memory_guard_size(64 << 10);
            config.guard_before_linear_memory(false);
        }
        Layout::Unguarded => {
            config.signals_based_traps(false);
            config.memory_reservation(NARROW_MEMORY as u64);
            config.memory_guard_size(0);
            config.guard_before_linear_memory(false);
        }
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(layout, slots)));
    config
}

fn pooling(layout: Layout, slots: u32) -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::new();
    pooling.total_component_instances(slots);
    pooling.total_stacks(slots);
    pooling.total_memories(slots);
    pooling.total_tables(slots * 4);
    pooling.total_core_instances(slots * 8);
    pooling.max_unused_warm_slots(slots);
    pooling.max_core_instances_per_component(bounded(MAX_CORE_INSTANCES));
    pooling.max_memories_per_component(bounded(MAX_MEMORIES));
    pooling.max_tables_per_component(bounded(MAX_TABLES));
    pooling.max_core_instance_size(1 << 20);
    pooling.max_component_instance_size(1 << 20);
    pooling.table_elements(MAX_TABLE);
    pooling.max_memory_size(layout.memory());
    pooling.linear_memory_keep_resident(KEEP_RESIDENT);
    pooling.table_keep_resident(64 << 10);
    pooling.async_stack_keep_resident(16 << 10);
    pooling.pagemap_scan(Enabled::Auto);
    pooling
}

fn bounded(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::AddressSpace { needed, allowed } => write!(
                f,
                "filters need {} GiB of address space to be reserved (it is not used), but `ulimit -v` allows {} GiB; \
                 raise it, or lower `threads`",
                needed.div_ceil(1 << 30),
                allowed >> 30
            ),
            EngineError::System(text) => write!(f, "filters cannot run here: {text}"),
        }
    }
}

impl std::error::Error for EngineError {}
