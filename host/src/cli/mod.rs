//! The commands: what the operator types, and what becomes of it.
//!
//! Exit codes: 0 when it went well, 1 when something failed at run time, 2 for a config with problems or a command that
//! does not exist. Answers go to stdout, complaints to stderr.

mod args;
mod cache;
mod check;
mod demo;
mod inspect;
mod run;

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Args, CacheCommand, Command, FilterCommand};

/// Something failed at run time.
const FAILED: u8 = 1;
/// The config or the command line is wrong.
const WRONG: u8 = 2;

/// Does what a command line says, its first word being the program's own name.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { 0 });
        }
    };
    let code = match args.command {
        Command::Run(file) => run::run(&file.config),
        Command::Check(file) => check::check(&file.config),
        Command::Config(file) => check::show(&file.config),
        Command::Demo { port } => demo::demo(port),
        Command::Filter { command: FilterCommand::Inspect { file } } => inspect::inspect(&file),
        Command::Cache { command: CacheCommand::Status { at, name } } => cache::status(&at, name.as_deref()),
        Command::Cache { command: CacheCommand::Purge(purge) } => cache::purge(&purge),
    };
    ExitCode::from(code)
}

/// Says what went wrong outside of any config, and how the program ends for it.
fn failed(what: impl fmt::Display) -> u8 {
    eprintln!("weir: {what}");
    FAILED
}

/// Says every problem, one a line, and how the program ends for them.
fn wrong(problems: impl IntoIterator<Item = impl fmt::Display>) -> u8 {
    for problem in problems {
        eprintln!("{problem}");
    }
    WRONG
}
