//! SWAP AT MERGE: a stand-in for `crate::config`'s reading side. It sees only `bind`, `threads` and the log's format, so
//! that start, reload and drain can be tried before the config's own reader is here.

pub(super) mod config {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use crate::config::*;

    pub(in crate::cli) fn load(path: &Path) -> Result<Plan, Vec<Problem>> {
        let place = Place { file: path.display().to_string().into(), line: 0, column: 0 };
        let text = std::fs::read_to_string(path).map_err(|error| vec![Problem::at(&place, error.to_string())])?;
        parse(&text, &path.display().to_string(), Path::new("."))
    }

    pub(in crate::cli) fn to_toml(plan: &Plan) -> String {
        format!("{plan:#?}\n")
    }

    pub(in crate::cli) fn parse(text: &str, file: &str, _directory: &Path) -> Result<Plan, Vec<Problem>> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let found = lines.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().trim_matches('"'));
            found.collect::<Vec<_>>()
        };
        let bind = |(nth, bind): (usize, &&str)| {
            let place = Place { file: file.into(), line: nth + 1, column: 1 };
            let bind = match bind.strip_prefix("unix:") {
                Some(path) => Bind::Unix(PathBuf::from(path)),
                None => Bind::Tcp(bind.parse().map_err(|_| Problem::at(&place, format!("bind {bind:?}")))?),
            };
            let name: Arc<str> = format!("l{nth}").into();
            Ok(listener(name, bind, place))
        };
        let listeners: Vec<Result<Listener, Problem>> = value("bind").iter().enumerate().map(bind).collect();
        let problems: Vec<Problem> = listeners.iter().filter_map(|listener| listener.clone().err()).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let format = if value("format") == ["json"] { LogFormat::Json } else { LogFormat::Text };
        Ok(Plan {
            threads: value("threads").first().and_then(|number| number.parse().ok()).unwrap_or(2),
            shutdown_timeout: Duration::from_secs(5),
            trusted_proxies: Vec::new(),
            cache_directory: None,
            log: Log { level: tracing::level_filters::LevelFilter::DEBUG, format },
            access_log: AccessLog { output: LogOutput::Stdout, format: AccessFormat::Off },
            listeners: listeners.into_iter().flatten().collect(),
            pools: Vec::new(),
            filters: Vec::new(),
            sites: Vec::new(),
            default_site: None,
        })
    }

    fn listener(name: Arc<str>, bind: Bind, place: Place) -> Listener {
        Listener {
            name,
            bind: vec![bind],
            max_connections: 1000,
            backlog: 128,
            head_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            max_head: 0,
            max_target: 0,
            max_fields: 0,
            max_body: None,
            place,
        }
    }
}
