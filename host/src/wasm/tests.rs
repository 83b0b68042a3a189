//! The room as a whole, with guests written in WebAssembly text: each does what its test says and nothing else.

mod files;
mod said;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use wit_component::StringEncoding;
use wit_parser::{PackageId, Resolve};

use super::*;
use crate::clock::Duration;
use crate::config::{self, Module, OnFailure, Place};
use crate::failure;
use crate::message::{Facts, Method, RequestHead, Scheme, Value, Variables};

/// A core module for `request-filter`. `bad` runs when the path begins with `/!`; otherwise `good` says where the
/// answer lies. Static parts: the plan at 1024 (hook `request`, field `x-a`), `next` at 3000, data of the tests from 4096.
pub(crate) fn module(bad: &str, good: &str, extra: &str) -> Vec<u8> {
    module_in("weir:filter/request-filter@0.1.1", bad, good, extra, "")
}

/// The same for another world of the contract.
fn module_in(world: &str, bad: &str, good: &str, extra: &str, imports: &str) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let contract = |resolve: &mut Resolve| resolve.push_dir(wit).unwrap().0;
    module_by(contract, "0.1.1", world, bad, good, extra, imports)
}

/// The same by another contract.
fn module_by(
    contract: impl FnOnce(&mut Resolve) -> PackageId,
    version: &str,
    world: &str,
    bad: &str,
    good: &str,
    extra: &str,
    imports: &str,
) -> Vec<u8> {
    let text = format!(
        r#"(module
          (import "weir:filter/exchange@{version}" "request-header" (func $header (param i32 i32 i32)))
          (import "weir:filter/log@{version}" "write" (func $log (param i32 i32 i32)))
          {imports}
          (memory (export "memory") 2)
          (global $free (mut i32) (i32.const 65536))
          (global $calls (mut i32) (i32.const 0))
          (data (i32.const 1024) "\00\00\00\00\00\08\00\00\01\00\00\00\10\08\00\00\01\00\00\00\00\00\00\00\00\00\00\00")
          (data (i32.const 2048) "\00")
          (data (i32.const 2064) "\20\08\00\00\03\00\00\00")
          (data (i32.const 2080) "x-a")
          {extra}
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
          (func (export "configure") (param i32 i32) (result i32)
            (global.set $free (i32.const 65536))
            (if (i32.eq (i32.load8_u (local.get 0)) (i32.const 34)) (then
              (i32.store (i32.const 900) (i32.const 1))
              (i32.store (i32.const 904) (local.get 0))
              (i32.store (i32.const 908) (local.get 1))
              (return (i32.const 900))))
            (i32.const 1024))
          (func $recurse (param i32) (result i32)
            (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
          (func $named_trap unreachable)
          (func (export "on-request")
            (param $id i64) (param i32 i32 i32 i32 i32 i32) (param $path i32) (param i32 i32 i32) (param $wanted i32) (param i32)
            (result i32)
            (global.set $free (i32.const 65536))
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (if (i32.eq (i32.load8_u offset=1 (local.get $path)) (i32.const 33)) (then {bad}))
            {good})
        )"#
    );
    let mut module = wat::parse_str(&text).unwrap();
    let mut resolve = Resolve::default();
    let mut packages = vec![contract(&mut resolve)];
    for text in WASI_WIT.iter().filter(|_| world.starts_with("test:")) {
        packages.push(resolve.push_str("test.wit", text).unwrap());
    }
    let world = resolve.select_world(&packages, Some(world)).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// As much of WASI as the tests import, and a world with it.
const WASI_WIT: &[&str] = &[
    "package wasi:io@0.2.6; interface poll { resource pollable { block: func(); } }",
    "package wasi:clocks@0.2.6; interface monotonic-clock {
       use wasi:io/poll@0.2.6.{pollable}; now: func() -> u64; subscribe-duration: func(when: u64) -> pollable; }",
    "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; }",
    "package wasi:io@0.2.7; interface error { resource error; } interface streams {
       use error.{error}; variant stream-error { last-operation-failed(error), closed }
       resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; } }",
    "package wasi:cli@0.2.7;
       interface stdout { use wasi:io/streams@0.2.7.{output-stream}; get-stdout: func() -> output-stream; }
       interface stderr { use wasi:io/streams@0.2.7.{output-stream}; get-stderr: func() -> output-stream; }",
    "package test:wasi; world speaker {
       include weir:filter/request-filter@0.1.1;
       import wasi:cli/stdout@0.2.7; import wasi:cli/stderr@0.2.7; import wasi:io/streams@0.2.7; }
     world sleeper {
       include weir:filter/request-filter@0.1.1;
       import wasi:io/poll@0.2.6; import wasi:clocks/monotonic-clock@0.2.6; import wasi:random/random@0.2.6; }",
];

pub(crate) const NEXT: &str = "(i32.const 3000)";

/// One edit, `set-header`, with the name at 5000 and the value at 5016, so long each.
pub(crate) fn edit(name: u32, value: u32) -> String {
    format!(
        "(i32.store (i32.const 4096) (i32.const 1)) (i32.store (i32.const 4100) (i32.const 4112))
         (i32.store (i32.const 4104) (i32.const 1)) (i32.store (i32.const 4112) (i32.const 5))
         (i32.store (i32.const 4116) (i32.const 5000)) (i32.store (i32.const 4120) (i32.const {name}))
         (i32.store (i32.const 4124) (i32.const 5016)) (i32.store (i32.const 4128) (i32.const {value}))
         (return (i32.const 4096))"
    )
}

pub(crate) fn plan(instances: config::Instances) -> config::Filter {
    let place = Place { file: "weir.toml".into(), line: 1, column: 1 };
    config::Filter {
        roots: Vec::new(),
        name: "guest".into(),
        module: Module::File("guest.wasm".into()),
        settings: "{}".into(),
        cpu: Duration::from_millis(10),
        memory: 4 << 20,
        on_failure: OnFailure::Closed,
        instances,
        place: place.clone(),
        settings_place: place,
    }
}

pub(crate) fn facts(path: &'static str) -> Facts {
    let authority = crate::message::host::parse(b"shop.example").unwrap();
    let mut request = RequestHead::of(Method::GET, Scheme::Http, authority, PathAndQuery::from_static(path));
    request.fields.append("x-a".parse().unwrap(), Value::from_static("1"));
    Facts {
        id: 7,
        request_id: "r7".into(),
        client: Some([192, 0, 2, 1].into()),
        secured: None,
        request,
        response: None,
        site: "site".into(),
        route: "route".into(),
        pool: None,
        member: None,
        variables: Variables::default(),
    }
}

pub(crate) fn engine() -> Engine {
    Engine::start(EngineOptions { cache_directory: None, threads: 1 }).unwrap()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

const BOTH: [config::Instances; 2] = [config::Instances::Reuse, config::Instances::PerRequest];

#[test]
fn each_way_of_misbehaving_costs_one_request() {
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    let giant = "(i32.store (i32.const 4096) (i32.const 1)) (i32.store (i32.const 4100) (i32.const 8192))
                 (i32.store (i32.const 4104) (i32.const 50000000)) (return (i32.const 4096))";
    let outside = "(i32.store (i32.const 4096) (i32.const 1)) (i32.store (i32.const 4100) (i32.const 0x7fff0000))
                   (i32.store (i32.const 4104) (i32.const 2)) (return (i32.const 4096))";
    let bad_name = r#"(data (i32.const 5000) "a b")"#;
    let bad_value = r#"(data (i32.const 5000) "x-b") (data (i32.const 5016) "a\0d\0ab")"#;
    let framing = r#"(data (i32.const 5000) "content-length") (data (i32.const 5016) "0")"#;
    let bad_utf8 = r#"(data (i32.const 5000) "\ff\fe")"#;
    let status = "(i32.store (i32.const 4096) (i32.const 2)) (i32.store16 (i32.const 4100) (i32.const 101)) (return (i32.const 4096))";
    use failure::Kind::*;
    let cases: &[(&str, String, &str, failure::Kind)] = &[
        ("trap", "(call $named_trap)".into(), "", FilterTrap),
        ("loop", "(loop $l (br $l))".into(), "", FilterDeadline),
        ("memory", grow.into(), "", FilterMemory),
        ("stack", "(drop (call $recurse (i32.const 0)))".into(), "", FilterMemory),
        ("giant list", giant.into(), "", FilterVerdict),
        ("outside of memory", outside.into(), "", FilterVerdict),
        ("field name", edit(3, 1), bad_name, FilterVerdict),
        ("field value", edit(3, 4), bad_value, FilterVerdict),
        ("framing", edit(14, 1), framing, FilterVerdict),
        ("not UTF-8", edit(2, 1), bad_utf8, FilterVerdict),
        (
            "unknown variant",
            "(i32.store8 (i32.const 4096) (i32.const 9)) (return (i32.const 4096))".into(),
            "",
            FilterVerdict,
        ),
        ("status", status.into(), "", FilterVerdict),
    ];
    let engine = engine();
    for instances in BOTH {
        for (name, bad, extra, kind) in cases {
            let filter = engine
                .load(name, &module(bad, NEXT, extra), &plan(instances), &[])
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let own = Instances::of(&engine);
            block_on(async {
                for _ in 0..2 {
                    let mut before = facts("/!");
                    let failed = own.request(&filter, &mut before).await.unwrap_err();
                    assert_eq!(failed.kind, *kind, "{name} {instances:?}: {}", failed.detail);
                    assert_eq!(
                        (before.request_id.as_str(), before.request.path()),
                        ("r7", "/!"),
                        "{name}: facts are back"
                    );
                    let mut next = facts("/good");
                    assert!(matches!(own.request(&filter, &mut next).await, Ok(Verdict::Next)), "{name}: recovery");
                    assert_eq!(next.request.path(), "/good");
                }
            });
        }
    }
}

#[test]
fn neighbours_go_on_while_a_guest_loops() {
    let engine = engine();
    let plan = config::Filter { cpu: Duration::from_millis(50), ..plan(config::Instances::Reuse) };
    let filter = engine.load("loop", &module("(loop $l (br $l))", NEXT, ""), &plan, &[]).unwrap();
    let own = Instances::of(&engine);
    let turns = Cell::new(0);
    block_on(async {
        let mut facts = facts("/!");
        let neighbour = async {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            failed = own.request(&filter, &mut facts) => assert_eq!(failed.unwrap_err().kind, failure::Kind::FilterDeadline),
            () = neighbour => {}
        }
    });
    assert!(turns.get() >= 10, "{} turns", turns.get());
}

#[test]
fn a_cancelled_call_gives_the_facts_back_and_its_instance_up() {
    let engine = engine();
    let plan = config::Filter { cpu: Duration::from_secs(5), ..plan(config::Instances::Reuse) };
    let filter = engine.load("loop", &module("(loop $l (br $l))", NEXT, ""), &plan, &[]).unwrap();
    let own = Instances::of(&engine);
    block_on(async {
        let mut facts = facts("/!");
        {
            let mut call = std::pin::pin!(own.request(&filter, &mut facts));
            std::future::poll_fn(|context| {
                assert!(call.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert_eq!((facts.request_id.as_str(), facts.request.path()), ("r7", "/!"));
        assert_eq!(own.idle(&filter), 0, "the instance was given up");
        facts.request.set_target(PathAndQuery::from_static("/good"));
        assert!(own.request(&filter, &mut facts).await.is_ok());
        assert_eq!(own.idle(&filter), 1);
    });
}

#[test]
fn what_is_good_is_passed_on() {
    // Answers 418 with the first wanted value as its body: `wanted` begins with an option's tag, then pointer and length.
    let echo = "(i32.store (i32.const 4096) (i32.const 2)) (i32.store16 (i32.const 4100) (i32.const 418))
        (i32.store (i32.const 4112) (i32.load offset=4 (local.get $wanted)))
        (i32.store (i32.const 4116) (i32.load offset=8 (local.get $wanted))) (i32.const 4096)";
    let engine = engine();
    for instances in BOTH {
        let filter = engine.load("echo", &module("nop", echo, ""), &plan(instances), &[]).unwrap();
        assert_eq!(filter.hooks(), Hooks { request: true, response: false, done: false });
        assert_eq!(filter.request_headers(), ["x-a"]);
        let own = Instances::of(&engine);
        block_on(async {
            let mut facts = facts("/");
            facts.request.fields.append("x-a".parse().unwrap(), Value::from_static("2"));
            for _ in 0..3 {
                match own.request(&filter, &mut facts).await.unwrap() {
                    Verdict::Respond { status, content, .. } => {
                        assert_eq!((status.as_u16(), content), (418, Content::Bytes(Bytes::from_static(b"1, 2"))))
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
    }
}

#[test]
fn refused_settings_come_back_in_the_filters_words() {
    let plan = config::Filter { settings: r#""no""#.into(), ..plan(config::Instances::Reuse) };
    let refused = engine().load("picky", &module("nop", NEXT, ""), &plan, &[]).unwrap_err();
    assert_eq!(refused, LoadError::Refused(r#""no""#.into()));
}

#[test]
fn an_instance_is_recycled_after_a_thousand_calls() {
    // A trap at call 1001 of one instance.
    let count = "(if (i32.gt_u (global.get $calls) (i32.const 1000)) (then unreachable)) (i32.const 3000)";
    let engine = engine();
    let filter = engine.load("count", &module("nop", count, ""), &plan(config::Instances::Reuse), &[]).unwrap();
    let own = Instances::of(&engine);
    block_on(async {
        let mut facts = facts("/");
        for call in 0..1500 {
            assert!(own.request(&filter, &mut facts).await.is_ok(), "call {call}");
        }
    });
}

#[test]
fn files_that_do_not_fit_are_told_what_is_wrong() {
    let engine = engine();
    let text = |bytes: &[u8]| engine.load("x", bytes, &plan(config::Instances::Reuse), &[]).unwrap_err().to_string();
    assert_eq!(text(b"MZ"), "it is not WebAssembly (the first bytes are not `\\0asm`)");
    let core = wat::parse_str("(module)").unwrap();
    assert!(text(&core).starts_with("it is a core module without a component type section; build it with"));
    let foreign = wat::parse_str(
        r#"(component
            (import "weir:filter/exchange@0.2.0" (instance (export "variable" (func (param "name" string)))))
            (import "weir:filter/log@0.1.0" (instance (export "shout" (func))))
            (import "acme:x/y" (instance (export "z" (func)))))"#,
    )
    .unwrap();
    assert_eq!(
        text(&foreign),
        "it does not fit `weir:filter@0.1.1`: \
         it imports `weir:filter/exchange@0.2.0`; this gateway has version 0.1.1; \
         it imports `shout` of `weir:filter/log@0.1.0`, which is not there; it has `write`; \
         it imports `acme:x/y`, which does not exist here; there are weir:filter/exchange@0.1.1, \
         weir:filter/files@0.1.1, weir:filter/log@0.1.1, weir:filter/types@0.1.1, wasi:cli@0.2, wasi:clocks@0.2, wasi:filesystem@0.2, wasi:io@0.2, wasi:random@0.2, \
         wasi:sockets@0.2; \
         it does not export `configure`, `on-request`, which world `request-filter` needs"
    );
    let inspection = engine.inspect(&module("nop", NEXT, "")).unwrap();
    assert_eq!((inspection.kind, inspection.world), (Kind::CoreModule, Some(World::RequestFilter)));
    assert_eq!(inspection.version.as_deref(), Some("0.1.1"));
    assert!(inspection.problems.is_empty());
}

#[test]
fn a_filter_is_the_same_across_threads() {
    fn needs<T: Send + Sync + Clone>() {}
    needs::<Filter>();
    needs::<Engine>();
    needs::<Arc<Filter>>();
}

#[test]
fn when_every_slot_is_taken_a_call_fails_and_the_next_does_not() {
    let engine = engine();
    let plan = config::Filter { cpu: Duration::from_secs(60), ..plan(config::Instances::Reuse) };
    let filter = engine.load("loop", &module("(loop $l (br $l))", NEXT, ""), &plan, &[]).unwrap();
    let own = Instances::of(&engine);
    block_on(async {
        let mut running: Vec<_> = Vec::new();
        let failed = loop {
            let (own, filter) = (own.clone(), filter.clone());
            let mut call = Box::pin(async move { own.request(&filter, &mut facts("/!")).await });
            match std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await {
                std::task::Poll::Ready(ended) => break ended.unwrap_err(),
                std::task::Poll::Pending => running.push(call),
            }
            assert!(running.len() <= 128);
        };
        assert_eq!(failed.kind, failure::Kind::FilterUnavailable, "{}", failed.detail);
        drop(running);
        assert!(own.request(&filter, &mut facts("/good")).await.is_ok());
    });
}

#[test]
fn wasi_has_clocks_and_randomness_and_no_call_sleeps_for_ever() {
    let imports = r#"
        (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
        (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))"#;
    let sleep = "(call $block (call $after (i64.const 3600000000000)))";
    let good = "(if (i64.eq (call $random) (call $random)) (then unreachable))
                (if (i64.eqz (call $now)) (then unreachable)) (i32.const 3000)";
    let engine = engine();
    let bytes = module_in("test:wasi/sleeper", sleep, good, "", imports);
    let filter = engine.load("sleeper", &bytes, &plan(config::Instances::Reuse), &[]).unwrap();
    let own = Instances::of(&engine);
    block_on(async {
        let failed = own.request(&filter, &mut facts("/!")).await.unwrap_err();
        assert_eq!(failed.kind, failure::Kind::FilterDeadline, "{}", failed.detail);
        assert!(matches!(own.request(&filter, &mut facts("/good")).await, Ok(Verdict::Next)));
    });
}

#[test]
fn an_instance_for_one_request_sees_all_hooks_of_it_and_no_other() {
    // Every later hook traps unless this instance has seen exactly one `on-request`.
    let extra = r#"(data (i32.const 2048) "\00\01\02") (data (i32.const 1032) "\03")
        (func (export "on-response") (param i64 i32 i32 i32) (result i32)
          (if (i32.ne (global.get $calls) (i32.const 1)) (then unreachable)) (i32.const 3000))
        (func (export "on-done") (param i64)
          (if (i32.ne (global.get $calls) (i32.const 1)) (then unreachable)))"#;
    let bytes = module_in("weir:filter/filter@0.1.1", "nop", NEXT, extra, "");
    let engine = engine();
    let filter = engine.load("all", &bytes, &plan(config::Instances::PerRequest), &[]).unwrap();
    assert_eq!(filter.hooks(), Hooks { request: true, response: true, done: true });
    let own = Instances::of(&engine);
    block_on(async {
        let (mut one, mut two) = (facts("/one"), facts("/two"));
        two.id = 8;
        let exchanges = [own.exchange(one.id), own.exchange(two.id)];
        for facts in [&mut one, &mut two] {
            assert!(own.request(&filter, facts).await.is_ok());
        }
        assert_eq!(own.kept(), 2);
        for facts in [&mut two, &mut one] {
            assert!(own.response(&filter, facts).await.is_ok());
        }
        assert!(own.done(&filter, &mut one).await.is_ok());
        drop(exchanges);
        assert_eq!(own.kept(), 0, "nothing outlives its exchange");
    });
}
