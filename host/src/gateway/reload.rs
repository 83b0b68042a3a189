//! From a source to everything a plan asks for, built beside what runs. Blocking: it reads files and compiles filters.

use super::{Source, StartError};
use crate::config::{Place, Plan, Problem};
use crate::generation::{Generation, Lasting};
use crate::log::Output;
use crate::wasm::Engine;

/// What one plan became.
pub(super) struct Built {
    pub plan: Plan,
    pub generation: Generation,
    pub output: Output,
}

/// Builds the generation of a plan that was read already, and opens its access log.
pub(super) fn build(plan: Plan, engine: &Engine, lasting: &Lasting, number: u64) -> Result<Built, StartError> {
    let output = Output::open(&plan.access_log).map_err(StartError::AccessLog)?;
    let generation = Generation::build(plan.clone(), engine, lasting, number).map_err(StartError::Config)?;
    Ok(Built { plan, generation, output })
}

/// Reads the config again and builds from it.
///
/// # Errors
/// Every problem; then nothing has changed.
pub(super) fn rebuild(source: &Source, engine: &Engine, lasting: &Lasting, number: u64) -> Result<Built, Vec<Problem>> {
    let plan = source()?;
    let file = plan.listeners.first().map_or_else(|| "config".into(), |listener| listener.place.file.clone());
    build(plan, engine, lasting, number).map_err(|error| match error {
        StartError::Config(problems) => problems,
        StartError::Bind(_) | StartError::AccessLog(_) | StartError::Engine(_) | StartError::System(_) => {
            vec![Problem { place: Place { file, line: 0, column: 0 }, text: error.to_string() }]
        }
    })
}
