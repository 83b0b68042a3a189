//! The command line: what each command prints, and with which code it ends.

use std::net::TcpListener;

use weir_tests::{Config, Gateway, PATIENCE, Place, filter_file, weir, weir_within};

const GOOD: &str = r#"
[listener.web]
bind = "127.0.0.1:0"

[pool.app]
member = ["http://127.0.0.1:9001"]

[site.shop]
host = ["shop.example"]
  [[site.shop.route]]
  path = "/api/"
  pool = "app"
"#;

fn place(config: &str) -> Place {
    let place = Place::fresh();
    place.write("weir.toml", format!("cache-directory = \"{}\"\n{config}", place.join("cache").display()));
    place
}

#[test]
fn help_teaches() {
    let place = Place::fresh();
    let help = weir(&place, &["--help"]);
    assert_eq!(help.code, Some(0));
    for word in ["run", "check", "config", "demo", "filter", "cache", "weir.toml", "Exit"] {
        assert!(help.out.contains(word), "{word} in {}", help.out);
    }
    for command in [
        &["run"][..],
        &["check"],
        &["config"],
        &["demo"],
        &["filter", "inspect"],
        &["cache", "status"],
        &["cache", "purge"],
    ] {
        let help = weir(&place, &[command, &["--help"]].concat());
        assert_eq!(help.code, Some(0), "{command:?}");
        assert!(help.out.contains("weir "), "{command:?}: {}", help.out);
    }
    assert!(weir(&place, &["run", "--help"]).out.contains("SIGHUP"));
    assert_eq!(weir(&place, &["--version"]).code, Some(0));
}

#[test]
fn a_command_that_is_none_ends_with_2() {
    let place = Place::fresh();
    for arguments in [&["walk"][..], &["run", "--fast"], &["filter"], &["cache"]] {
        let ended = weir(&place, arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(!ended.all().is_empty());
    }
}

#[test]
fn check_is_content_with_a_good_config() {
    let checked = weir(&place(GOOD), &["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let checked = weir(&place(GOOD), &["check", "-c", "weir.toml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn check_prints_every_problem_with_its_line_and_what_would_be_right() {
    let bad = GOOD.replace("pool = \"app\"", "pool = \"apj\"").replace("127.0.0.1:0", "nowhere")
        + "\n[pool.empty]\nmember = []\ncolour = \"red\"\n";
    let place = place(&bad);
    let checked = weir(&place, &["check"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    let text = checked.all();
    for word in ["apj", "did you mean", "nowhere", "colour", "empty"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let line = place.read("weir.toml").lines().position(|line| line.contains("apj")).map(|index| index + 1);
    let position = format!("weir.toml:{}:", line.expect("the bad line is there"));
    assert!(text.contains(&position), "{position} in {text}");
}

#[test]
fn a_config_that_is_missing_or_not_toml_ends_with_2() {
    for command in ["check", "config", "run"] {
        let ended = weir(&Place::fresh(), &[command]);
        assert_eq!(ended.code, Some(2), "{command}: {ended:?}");
        assert!(ended.all().contains("weir.toml"), "{ended:?}");
        let ended = weir(&place("[listener.web\nbind = 1"), &[command]);
        assert_eq!(ended.code, Some(2), "{command}: {ended:?}");
        assert!(ended.all().contains("weir.toml:2"), "{ended:?}");
    }
}

#[test]
fn config_prints_the_plan_with_its_defaults_as_a_config_again() {
    let place = place(GOOD);
    let printed = weir(&place, &["config"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    for default in
        ["head-timeout = \"10s\"", "max-head = \"32KiB\"", "preserve-host = false", "max-idle-connections = 128"]
    {
        assert!(printed.out.contains(default), "{default} in {}", printed.out);
    }
    place.write("again.toml", &printed.out);
    let again = weir(&place, &["config", "-c", "again.toml"]);
    assert_eq!((again.code, &again.out), (Some(0), &printed.out));
}

#[test]
fn there_are_as_many_threads_as_cores_unless_said_otherwise() {
    let cores = std::thread::available_parallelism().expect("the system knows its cores").get();
    let printed = weir(&place(GOOD), &["config"]);
    assert!(printed.out.contains(&format!("threads = {cores}\n")), "{}", printed.out);
}

#[test]
fn a_config_with_problems_does_not_run() {
    let mut gateway = Gateway::spawn(&Config::text(GOOD).tables("[pool.app2]\nmembr = []"));
    assert_eq!(gateway.wait_exit(PATIENCE), Some(2));
    gateway.logged("membr");
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = taken.local_addr().expect("a listener has an address").to_string();
    let mut gateway = Gateway::spawn(&Config::text(&GOOD.replace("127.0.0.1:0", &address)));
    assert_eq!(gateway.wait_exit(PATIENCE), Some(1));
    gateway.logged(&address);
}

#[test]
fn a_filter_that_refuses_its_settings_is_a_problem_of_the_config() {
    let filter =
        "[filter.rewrite]\nmodule = \"std:url-rewrite\"\nsettings = { rule = [ { match = \"(\", to = \"/\" } ] }\n";
    let place = place(&format!("{GOOD}  filters = [\"rewrite\"]\n{filter}"));
    let checked = weir(&place, &["check"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    let line = place.read("weir.toml").lines().position(|line| line.contains("settings")).map(|index| index + 1);
    let position = format!("weir.toml:{}:", line.expect("the settings are there"));
    assert!(checked.all().contains(&position), "{position} in {}", checked.all());
}

#[test]
fn a_filter_that_is_missing_or_no_filter_is_a_problem_of_the_config() {
    for (module, said) in [("gone.wasm", "gone.wasm"), ("std:no-such", "no-such"), ("text.wasm", "not WebAssembly")] {
        let place = place(&format!("{GOOD}  filters = [\"mine\"]\n[filter.mine]\nmodule = \"{module}\"\n"));
        place.write("text.wasm", "this is no module");
        let checked = weir(&place, &["check"]);
        assert_eq!(checked.code, Some(2), "{module}: {checked:?}");
        assert!(checked.all().contains(said), "{module}: {checked:?}");
    }
}

#[test]
fn inspect_says_what_a_filter_is() {
    let place = Place::fresh();
    let file = filter_file("hostile").display().to_string();
    let inspected = weir(&place, &["filter", "inspect", &file]);
    assert_eq!(inspected.code, Some(0), "{inspected:?}");
    for word in ["weir:filter", "0.1.1", "configure", "on-request"] {
        assert!(inspected.out.contains(word), "{word} in {}", inspected.out);
    }
    let digest = inspected.out.split(|c: char| !c.is_ascii_hexdigit()).any(|word| word.len() == 64);
    assert!(digest, "no digest in {}", inspected.out);
}

#[test]
fn inspect_refuses_what_is_no_filter() {
    let place = Place::fresh();
    place.write("text.wasm", "this is no module");
    // An empty core module: valid, but it exports nothing.
    place.write("empty.wasm", b"\0asm\x01\0\0\0");
    for file in ["text.wasm", "empty.wasm", "gone.wasm"] {
        let inspected = weir(&place, &["filter", "inspect", file]);
        assert_eq!(inspected.code, Some(1), "{file}: {inspected:?}");
        assert!(inspected.err.contains(file), "{inspected:?}");
    }
}

#[test]
fn a_filter_that_wants_what_there_is_not_is_told_exactly_what() {
    let odd = filter_file("odd").display().to_string();
    let checked = weir(&place(&format!("{GOOD}  filters = [\"odd\"]\n[filter.odd]\nmodule = \"{odd}\"\n")), &["check"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    for word in ["weir:filter/beyond", "configure"] {
        assert!(checked.all().contains(word), "{word} in {checked:?}");
    }
}

#[test]
fn a_config_that_does_not_end_is_not_read_on_for_ever() {
    let place = Place::fresh();
    std::fs::File::create(place.join("large.toml")).unwrap().set_len(1 << 30).unwrap();
    std::fs::create_dir(place.join("folder")).unwrap();
    for (file, said) in [
        ("/dev/zero", "/dev/zero: is larger than 64MiB\n"),
        ("large.toml", "large.toml: is larger than 64MiB\n"),
        ("folder", "folder: cannot be read: Is a directory (os error 21)\n"),
    ] {
        for command in ["check", "config", "run"] {
            let ended = weir(&place, &[command, "-c", file]);
            assert_eq!((ended.code, ended.err.as_str()), (Some(2), said), "{command} {file}: {ended:?}");
        }
    }
    let inspected = weir(&place, &["filter", "inspect", "/dev/zero"]);
    assert_eq!((inspected.code, inspected.err.as_str()), (Some(1), "weir: /dev/zero is larger than 256MiB\n"));
}

#[test]
fn a_config_may_come_through_a_pipe() {
    let place = place(GOOD);
    let config = std::fs::read(place.join("weir.toml")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place.join("pipe"), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    for (bytes, code) in [(config, 0), (vec![b'#'; (64 << 20) + 1], 2)] {
        let pipe = place.join("pipe");
        let writer = std::thread::spawn(move || {
            // Who reads up to a bound only leaves the rest unread.
            let _ = std::fs::write(pipe, bytes);
        });
        let ended = weir(&place, &["check", "-c", "pipe"]);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        writer.join().unwrap();
    }
}

#[test]
fn address_space_is_asked_for_by_filters_alone() {
    let plain = place(GOOD);
    let ended = weir_within("-v 1000000", &plain, &["check", "-c", "weir.toml"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    let module = filter_file("url-rewrite");
    for instances in ["reuse", "per-request"] {
        let filter = format!("{GOOD}\n[filter.a]\nmodule = {module:?}\ninstances = \"{instances}\"\n");
        let ended = weir_within("-v 1000000", &place(&filter), &["check", "-c", "weir.toml"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.starts_with("weir.toml:15:1: filter \"a\": filters need "), "{ended:?}");
        assert!(ended.err.contains("`ulimit -v` allows 0 GiB"), "{ended:?}");
    }
}
