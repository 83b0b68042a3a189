//! From a plan to a generation. Waits for compilers: not for workers.

use super::{Generation, Lasting, apart, secure};
use crate::chain::{Chain, Link};
use crate::config::{self, Module, Place, Plan, Problem};
use crate::files::Roots;
use crate::kernel;
use crate::log::Format;
use crate::pool::Pool;
use crate::routes::Table;
use crate::wasm::{Engine, Filter, LARGEST_MODULE, LoadError, standard};

impl Generation {
    /// Builds everything that a plan says. Filters are compiled and configured; pools and TLS sessions go on with what lasts.
    ///
    /// # Errors
    /// Every filter that does not load, and every member and listener that TLS cannot be spoken with as asked, at its line in
    /// the config.
    pub fn build(plan: Plan, engine: &Engine, lasting: &Lasting, number: u64) -> Result<Self, Vec<Problem>> {
        let insecure = secure::members(&plan.pools);
        let doors = secure::doors(&plan, &lasting.tickets);
        let roots = Roots::open(&plan.roots);
        let caches = lasting.caches.open(&plan);
        let (doors, filters, roots, caches) = match (doors, load(&plan, engine), roots, caches) {
            (Ok(doors), Ok(filters), Ok(roots), Ok(caches)) if insecure.is_empty() => (doors, filters, roots, caches),
            (doors, loaded, roots, caches) => {
                let mut problems = [
                    insecure,
                    doors.err().unwrap_or_default(),
                    loaded.err().unwrap_or_default(),
                    roots.err().unwrap_or_default(),
                    caches.err().unwrap_or_default(),
                ]
                .concat();
                problems.sort();
                return Err(problems);
            }
        };
        let chain = |indices: &[usize]| {
            let link = |&index: &usize| {
                let filter: &Filter = filters.get(index)?;
                Some(Link { filter: filter.clone(), on_failure: plan.filters.get(index)?.on_failure })
            };
            Chain::of(indices.iter().filter_map(link).collect())
        };
        let route_chains =
            plan.sites.iter().map(|site| site.routes.iter().map(|route| chain(&route.filters)).collect()).collect();
        let pool_chains = plan.pools.iter().map(|pool| chain(&pool.filters)).collect();
        Ok(Self {
            number,
            routes: Table::of(&plan),
            roots,
            format: Format::of(&plan.access_log.format),
            engine: engine.clone(),
            apart: apart::of(&plan),
            caches,
            pools: plan.pools.iter().map(|pool| Pool::of(pool, &lasting.pools)).collect(),
            doors,
            route_chains,
            pool_chains,
            plan,
        })
    }
}

fn load(whole: &Plan, engine: &Engine) -> Result<Vec<Filter>, Vec<Problem>> {
    let (mut filters, mut problems) = (Vec::new(), Vec::new());
    for plan in &whole.filters {
        match code(&plan.module)
            .map_err(|why| at(&plan.place, plan, &why))
            .and_then(|code| load_one(plan, &whole.roots, &code, engine))
        {
            Ok(filter) => filters.push(filter),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(filters) } else { Err(problems) }
}

fn load_one(plan: &config::Filter, roots: &[config::Root], code: &[u8], engine: &Engine) -> Result<Filter, Problem> {
    engine.load(&plan.name, code, plan, roots).map_err(|error| match error {
        LoadError::Refused(text) => at(&plan.settings_place, plan, &format!("the filter refuses its settings: {text}")),
        error => at(&plan.place, plan, &error.to_string()),
    })
}

fn at(place: &Place, plan: &config::Filter, text: &str) -> Problem {
    Problem::at(place, format!("filter \"{}\": {text}", plan.name))
}

fn code(module: &Module) -> Result<Vec<u8>, String> {
    match module {
        Module::Standard(name) => standard::find(name).map(<[u8]>::to_vec).ok_or_else(|| {
            let known: Vec<_> = standard::names().map(|name| format!("std:{name}")).collect();
            match known.as_slice() {
                [] => format!(
                    "module \"std:{name}\": this build carries no standard filters; `make build` makes one that does"
                ),
                known => format!("module \"std:{name}\" does not exist; known modules: {}", known.join(", ")),
            }
        }),
        Module::File(path) => {
            kernel::read_whole(path, LARGEST_MODULE).map_err(|error| format!("module \"{}\" {error}", path.display()))
        }
    }
}
