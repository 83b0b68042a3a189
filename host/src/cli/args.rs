//! The command line's shape, and the help that teaches it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  weir demo                        a gateway with two small servers behind it, to play with
  weir run                         run the gateway that weir.toml describes
  weir run -c /etc/weir/weir.toml  the same, with the config elsewhere
  weir check                       find every problem of the config without starting anything
  weir filter inspect my.wasm      see what a filter is and what it asks for
  weir cache status                see what the caches of the running gateway hold

A first weir.toml:
  [listener.web]
  bind = \"0.0.0.0:8080\"

  [pool.app]
  member = [\"http://127.0.0.1:9001\", \"http://127.0.0.1:9002\"]

  [site.main]
  route = [{ path = \"/\", pool = \"app\" }]

Exit codes: 0 fine, 1 something failed, 2 the config or the command line is wrong.";

const RUN: &str = "\
Signals:
  SIGTERM, SIGINT  stop accepting, finish what is in flight (up to `shutdown-timeout`), exit 0;
                   a second one ends at once with 1
  SIGHUP           read the config again; if it has any problem all of them are logged and nothing changes
  SIGUSR1          open the access log again, after it was moved away

Examples:
  weir run
  weir run -c /etc/weir/weir.toml
  kill -HUP $(pidof weir)";

const CHECK: &str = "\
Every problem comes with its place, what was found and what would be right:
  weir.toml:14:8: route \"/api\": pool \"apj\" is not defined; known pools: api, files (did you mean \"api\"?)
Filters are loaded and asked whether they take their settings; nothing listens.

Examples:
  weir check
  weir check -c new.toml && mv new.toml weir.toml && kill -HUP $(pidof weir)";

const CONFIG: &str = "\
What is printed is a config again, with every default written out.

Examples:
  weir config
  weir config -c weir.toml | less";

const DEMO: &str = "\
Starts two small servers on free ports of this machine, a gateway in front of them, and prints curl lines to try. Nothing
is written anywhere. Ctrl-C ends it.

Examples:
  weir demo
  weir demo --port 8081";

const INSPECT: &str = "\
Prints the filter's world and version, what it exports and imports, its size and its digest. A file that is no filter is
refused with the reason.

Examples:
  weir filter inspect my_filter.wasm";

const STATUS: &str = "\
The gateway is asked over the socket that its config names:
  [admin]
  socket = \"/run/weir/admin.sock\"

Examples:
  weir cache status
  weir cache status pages
  weir cache status --socket /run/weir/admin.sock";

const PURGE: &str = "\
URLs are as clients see them, http://, https:// or // for both. What is forgotten is asked for anew; with --soft it stays and
is stale, so that it can be confirmed, or stand in while the server fails.

Examples:
  weir cache purge pages --url https://shop.example/a?b
  weir cache purge pages --prefix //shop.example/images/ --soft
  weir cache purge pages --tag news --tag sports
  weir cache purge pages --match '\\.png$' --host '*.shop.example' --older-than 1h
  weir cache purge --all";

/// A WebAssembly-extensible edge gateway: HTTP in front of pools of servers, every request through sandboxed filters.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway until it is told to stop
    #[command(after_help = RUN)]
    Run(ConfigFile),
    /// Find every problem of a config, filters included, without starting anything
    #[command(after_help = CHECK)]
    Check(ConfigFile),
    /// Print the config as the gateway understands it, every default filled in
    #[command(after_help = CONFIG)]
    Config(ConfigFile),
    /// Run a small world to try things in: two servers, a gateway, lines to type
    #[command(after_help = DEMO)]
    Demo {
        /// The gateway's port on 127.0.0.1
        #[arg(long, default_value_t = 8080, value_name = "PORT")]
        port: u16,
    },
    /// Look at filters
    #[command(arg_required_else_help = true, disable_help_subcommand = true)]
    Filter {
        #[command(subcommand)]
        command: FilterCommand,
    },
    /// Look at a running gateway's caches, and make them forget
    #[command(arg_required_else_help = true, disable_help_subcommand = true)]
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ConfigFile {
    /// The config
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "weir.toml")]
    pub config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(super) enum FilterCommand {
    /// Print what a filter is and what it asks for
    #[command(after_help = INSPECT)]
    Inspect {
        /// A component, or a core module that carries its component type
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Print what caches hold and did
    #[command(after_help = STATUS)]
    Status {
        #[command(flatten)]
        at: AdminSocket,
        /// One of them, with all there is to know
        name: Option<String>,
    },
    /// Forget, and print how much that was
    #[command(after_help = PURGE)]
    Purge(Box<Purge>),
}

#[derive(Debug, clap::Args)]
pub(super) struct Purge {
    #[command(flatten)]
    pub at: AdminSocket,
    #[command(flatten)]
    pub meant: Meant,
    #[command(flatten)]
    pub only: Only,
    /// Keep it, as stale
    #[arg(long)]
    pub soft: bool,
    /// Of this cache; of all, where none is named
    pub name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct AdminSocket {
    /// The config, which names the gateway's admin socket
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "weir.toml")]
    pub config: PathBuf,
    /// The gateway's admin socket; no config is read then
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
}

/// What is to be forgotten.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Meant {
    /// What is stored of this URL
    #[arg(long, value_name = "URL", conflicts_with = "prefix")]
    pub url: Option<String>,
    /// What is stored of URLs that begin so
    #[arg(long, value_name = "URL")]
    pub prefix: Option<String>,
    /// What has this tag, or one of several
    #[arg(long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// What is stored of paths, with their queries, in which this regular expression is found
    #[arg(long = "match", value_name = "PATTERN")]
    pub pattern: Vec<String>,
    /// Everything
    #[arg(long)]
    pub all: bool,
}

/// What of that.
#[derive(Debug, clap::Args)]
pub(super) struct Only {
    /// Only of this host, or *.EXAMPLE
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only answers with this status or class, 404 or 4xx, or one of several
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,
    /// Only contents of this type, text/html or image/*, or one of several
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Vec<String>,
    /// Only what was stored so long ago, 1h or 30m
    #[arg(long, value_name = "TIME")]
    pub older_than: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn configs_are_found_by_default_or_by_name() {
        for (line, expected) in [
            ("weir run", "weir.toml"),
            ("weir run -c a.toml", "a.toml"),
            ("weir check --config /b/c.toml", "/b/c.toml"),
            ("weir config -cd.toml", "d.toml"),
        ] {
            match parse(line).unwrap().command {
                Command::Run(file) | Command::Check(file) | Command::Config(file) => {
                    assert_eq!(file.config, Path::new(expected), "{line}");
                }
                other @ (Command::Demo { .. } | Command::Filter { .. } | Command::Cache { .. }) => {
                    panic!("{line}: {other:?}")
                }
            }
        }
    }

    #[test]
    fn the_demo_has_a_port() {
        assert!(matches!(parse("weir demo").unwrap().command, Command::Demo { port: 8080 }));
        assert!(matches!(parse("weir demo --port 81").unwrap().command, Command::Demo { port: 81 }));
    }

    #[test]
    fn caches_are_looked_at_and_purged() {
        let Command::Cache { command: CacheCommand::Status { at, name } } =
            parse("weir cache status --socket a.sock pages").unwrap().command
        else {
            panic!("another command")
        };
        assert_eq!((at.socket.as_deref(), name.as_deref()), (Some(Path::new("a.sock")), Some("pages")));
        let Command::Cache { command: CacheCommand::Purge(purge) } =
            parse("weir cache purge -c a.toml --tag a --tag b --status 4xx --soft").unwrap().command
        else {
            panic!("another command")
        };
        let Purge { at, meant, only, soft, name } = *purge;
        assert_eq!((at.config.as_path(), at.socket, name), (Path::new("a.toml"), None, None));
        assert_eq!((only.status, only.older_than), (vec!["4xx".to_owned()], None));
        assert_eq!((meant.tag, soft, meant.url), (vec!["a".to_owned(), "b".to_owned()], true, None));
    }

    #[test]
    fn what_is_not_a_command_is_said() {
        for (line, expected) in [
            ("weir", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("weir walk", ErrorKind::InvalidSubcommand),
            ("weir run --fast", ErrorKind::UnknownArgument),
            ("weir demo --port 70000", ErrorKind::ValueValidation),
            ("weir filter inspect", ErrorKind::MissingRequiredArgument),
            ("weir cache purge pages", ErrorKind::MissingRequiredArgument),
            ("weir cache purge --soft", ErrorKind::MissingRequiredArgument),
            ("weir cache purge --url a --prefix b", ErrorKind::ArgumentConflict),
            ("weir cache status -c a --socket b", ErrorKind::ArgumentConflict),
            ("weir --version", ErrorKind::DisplayVersion),
            ("weir --help", ErrorKind::DisplayHelp),
            ("weir run --help", ErrorKind::DisplayHelp),
        ] {
            assert_eq!(parse(line).unwrap_err().kind(), expected, "{line}");
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        let mut commands: Vec<_> = Args::command().get_subcommands().cloned().collect();
        let nested: Vec<_> = commands.iter().flat_map(|command| command.get_subcommands().cloned()).collect();
        commands.retain(|command| !command.has_subcommands());
        for command in commands.iter().chain(&nested) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  weir "), "{}", command.get_name());
        }
    }
}
