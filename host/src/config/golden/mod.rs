//! Every problem text there is, word for word: `problems.txt` has configs and what is said about them.
//!
//! Files are looked for beside this one, in a directory that problems call `/nowhere`. Where a config names no listener,
//! pool `app` or site, a sound one is put after it. `BLESS=1 cargo test` writes what is said now; read the difference
//! before you believe it.

use std::fs;
use std::path::Path;

use super::parse;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/golden/problems.txt");
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/golden");
const CASES: &str = include_str!("problems.txt");
const RULE: &str = "\n====\n";
const SAID: &str = "\n----\n";

const LISTENER: &str = "\n[listener.sound]\nbind = \"127.0.0.1:0\"\n";
const POOL: &str = "\n[pool.app]\nmember = [\"http://127.0.0.1:9001\"]\n";
const SITE: &str = "\n[site.sound]\nroute = [{ pool = \"app\" }]\n";

#[test]
fn every_problem_is_said_in_these_words() {
    let mut said = Vec::new();
    for case in CASES.trim_end().split(RULE) {
        let config = case.split_once(SAID).map_or(case, |(config, _)| config);
        said.push(format!("{config}{SAID}{}", problems(config)));
    }
    let said = said.join(RULE) + "\n";
    if std::env::var_os("BLESS").is_some() {
        fs::write(FILE, said).unwrap();
        return;
    }
    for (said, expected) in said.trim_end().split(RULE).zip(CASES.trim_end().split(RULE)) {
        assert_eq!(said, expected);
    }
}

fn problems(config: &str) -> String {
    let mut text = config.to_owned() + "\n";
    if !config.contains("# alone") {
        for (section, sound) in [("listener", LISTENER), ("pool.app", POOL), ("site", SITE)] {
            if !config.contains(&format!("[{section}")) {
                text.push_str(sound);
            }
        }
    }
    match parse(&text, "weir.toml", Path::new(DIRECTORY)) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => {
            let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
            said.join("\n").replace(DIRECTORY, "/nowhere")
        }
    }
}
