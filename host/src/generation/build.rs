//! From a plan to a generation. Waits for compilers: not for workers.

use std::fs;
use std::path::Path;

use super::Generation;
use crate::chain::{Chain, Link};
use crate::config::{self, Module, Place, Plan, Problem};
use crate::log::Format;
use crate::pool::{Pool, Registry};
use crate::routes::Table;
use crate::tls;
use crate::wasm::{Engine, Filter, LoadError, standard};

/// A module's file beyond this is not read: the largest guests (an embedded Python) have 40 MB.
const LARGEST_MODULE: u64 = 256 << 20;

impl Generation {
    /// Builds everything that a plan says. Filters are compiled and configured; pools go on with what the registry knows of
    /// them.
    ///
    /// # Errors
    /// Every filter that does not load, and every member that TLS cannot be spoken to as asked, at its line in the config.
    pub fn build(plan: Plan, engine: &Engine, registry: &Registry, number: u64) -> Result<Self, Vec<Problem>> {
        let insecure = insecure(&plan.pools);
        let filters = match load(&plan.filters, engine) {
            Ok(filters) if insecure.is_empty() => filters,
            loaded => {
                let mut problems = [insecure, loaded.err().unwrap_or_default()].concat();
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
            format: Format::of(&plan.access_log.format),
            engine: engine.clone(),
            pools: plan.pools.iter().map(|pool| Pool::of(pool, registry)).collect(),
            route_chains,
            pool_chains,
            plan,
        })
    }
}

/// Certificates, keys and names that are none: found here, on a thread that may wait for the disk, and not when the first
/// client comes.
fn insecure(pools: &[config::Pool]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for pool in pools {
        for member in &pool.members {
            let transport = &member.transport;
            if let Some(Err(error)) = transport.tls.as_ref().map(|plan| tls::Client::of(plan, transport.protocol)) {
                let text = format!("pool \"{}\": member \"{}\": TLS: {error}", pool.name, member.name);
                problems.push(Problem::at(&member.place, text));
            }
        }
        let checks = pool.health.as_ref().and_then(|health| health.tls.as_ref()?.as_ref());
        if let Some(Err(error)) = checks.map(|plan| tls::Client::of(plan, config::Protocol::Auto)) {
            problems.push(Problem::at(&pool.place, format!("pool \"{}\": health checks: TLS: {error}", pool.name)));
        }
    }
    problems
}

fn load(plans: &[config::Filter], engine: &Engine) -> Result<Vec<Filter>, Vec<Problem>> {
    let (mut filters, mut problems) = (Vec::new(), Vec::new());
    for plan in plans {
        match code(&plan.module)
            .map_err(|why| at(&plan.place, plan, &why))
            .and_then(|code| load_one(plan, &code, engine))
        {
            Ok(filter) => filters.push(filter),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(filters) } else { Err(problems) }
}

fn load_one(plan: &config::Filter, code: &[u8], engine: &Engine) -> Result<Filter, Problem> {
    engine.load(&plan.name, code, plan).map_err(|error| match error {
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
        Module::File(path) => read(path).map_err(|error| format!("module \"{}\": {error}", path.display())),
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > LARGEST_MODULE {
        return Err(std::io::Error::other(format!(
            "{length} bytes are more than a module may have ({LARGEST_MODULE})"
        )));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Pem, Protocol, Transport, UpstreamTls};

    #[test]
    fn what_is_wrong_with_tls_is_a_problem_of_its_member() {
        let text = r#"
            [listener.web]
            bind = "127.0.0.1:0"
            [pool.app]
            member = ["http://127.0.0.1:1",
                "http://127.0.0.1:2"]
            [site.all]
            host = "a.example"
            [[site.all.route]]
            pool = "app"
        "#;
        let mut plan = config::parse(text, "weir.toml", Path::new("")).unwrap();
        assert!(insecure(&plan.pools).is_empty());
        let ca = Some(Pem { path: "ca.pem".into(), text: b"nothing".as_slice().into() });
        let tls = Some(UpstreamTls { server_name: None, verify: true, ca, certificate: None, pins: Vec::new() });
        plan.pools[0].members[1].transport =
            Arc::new(Transport { protocol: Protocol::Http1, tls, source: None, proxy_protocol: None });
        let problems: Vec<_> = insecure(&plan.pools).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 1);
        let said = "weir.toml:6:17: pool \"app\": member \"http://127.0.0.1:2\": TLS: \"ca.pem\": there is no certificate in it";
        assert!(problems[0].starts_with(said), "{}", problems[0]);
    }
}
