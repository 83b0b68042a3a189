//! Guests that answer with files, and guests of before that could be.

use std::path::PathBuf;

use wit_parser::{PackageId, Resolve};

use super::*;
use crate::config::{Root, Symlinks};

const SEND: &str = r#"(import "weir:filter/files@0.1.1" "send" (func $send (param i32 i32 i32 i32 i32)))"#;
/// Names of roots, then paths.
const DATA: &str = r#"(data (i32.const 5000) "pages") (data (i32.const 5010) "secret")
    (data (i32.const 5020) "a/b.html") (data (i32.const 5040) "../b.html")"#;
const GRANTED: &str = "(call $send (i32.const 5000) (i32.const 5) (i32.const 5020) (i32.const 8) (i32.const 6000))";
const SECRET: &str = "(call $send (i32.const 5010) (i32.const 6) (i32.const 5020) (i32.const 8) (i32.const 6000))";
const UPWARDS: &str = "(call $send (i32.const 5000) (i32.const 5) (i32.const 5040) (i32.const 9) (i32.const 6000))";
/// The refusal's number as the status: 400 for `not-granted`, 401 for `bad-path`, 500 when it was none.
const TELL: &str = "(i32.store (i32.const 4096) (i32.const 2)) (i32.store16 (i32.const 4100)
    (if (result i32) (i32.load8_u (i32.const 6000))
      (then (i32.add (i32.const 400) (i32.load8_u (i32.const 6001)))) (else (i32.const 500))))";

fn respond(status: u16, body: u32) -> String {
    format!(
        "(i32.store (i32.const 4096) (i32.const 2)) (i32.store16 (i32.const 4100) (i32.const {status}))
         (i32.store (i32.const 4112) (i32.const 5000)) (i32.store (i32.const 4116) (i32.const {body}))"
    )
}

/// Does the first on its way, and says the second.
fn sender(first: &str, then: &str) -> Vec<u8> {
    let good = format!("{first} {then} (i32.const 4096)");
    module_in("weir:filter/request-filter@0.1.1", "nop", &good, DATA, SEND)
}

/// Two roots; the filter has the second.
fn granting(instances: config::Instances) -> (config::Filter, [Root; 2]) {
    let plan = config::Filter { roots: vec![1], ..plan(instances) };
    let root = |name: &str| Root {
        name: name.into(),
        path: PathBuf::from("/nowhere"),
        symlinks: Symlinks::Deny,
        hidden: false,
        index: Vec::new(),
        listing: false,
        precompressed: Vec::new(),
        content_types: Vec::new(),
        default_type: Value::from_static("text/plain"),
        charset: None,
        cache_control: None,
        accel: false,
        temporary: false,
        place: plan.place.clone(),
    };
    let roots = [root("secret"), root("pages")];
    (plan, roots)
}

#[test]
fn a_filter_answers_with_a_file_of_its_roots_and_is_told_why_not_of_others() {
    let nothing = || Content::Bytes(Bytes::new());
    let file = || Content::File { root: 1, path: "a/b.html".to_owned() };
    let cases = [
        ("a file", sender(GRANTED, &respond(200, 0)), 200, file()),
        ("under an error", sender(GRANTED, &respond(503, 0)), 503, file()),
        ("not granted", sender(SECRET, TELL), 400, nothing()),
        ("upwards", sender(UPWARDS, TELL), 401, nothing()),
        ("a refusal after a file", sender(&format!("{GRANTED} {UPWARDS}"), &respond(200, 0)), 200, file()),
    ];
    let engine = engine();
    for instances in BOTH {
        let (plan, roots) = granting(instances);
        for (name, code, expected, of) in &cases {
            let filter = engine.load(name, code, &plan, &roots).unwrap();
            let own = Instances::of(&engine);
            block_on(async {
                for _ in 0..2 {
                    match own.request(&filter, &mut facts("/")).await {
                        Ok(Verdict::Respond { status, content, .. }) => {
                            assert_eq!((status.as_u16(), &content), (*expected, of), "{name} {instances:?}");
                        }
                        other => panic!("{name}: {other:?}"),
                    }
                }
            });
        }
        let (name, code, ..) = &cases[0];
        let without = engine.load(name, code, &super::plan(instances), &roots).unwrap();
        let said = block_on(async { Instances::of(&engine).request(&without, &mut facts("/")).await });
        assert!(
            matches!(said, Ok(Verdict::Respond { content: Content::Bytes(_), .. })),
            "the same code without roots: {said:?}"
        );
    }
}

#[test]
fn a_file_without_its_answer_breaks_the_contract() {
    let cases = [
        ("next", sender(GRANTED, "(i32.store (i32.const 4096) (i32.const 0))"), "it names a file and does not answer"),
        ("body", sender(GRANTED, &respond(200, 5)), "it names a file and answers with a body of its own"),
        ("no content", sender(GRANTED, &respond(204, 0)), "status 204: it cannot have a file"),
        ("a part", sender(GRANTED, &respond(206, 0)), "status 206: it cannot have a file"),
    ];
    let engine = engine();
    let (plan, roots) = granting(config::Instances::Reuse);
    for (name, code, said) in &cases {
        let filter = engine.load(name, code, &plan, &roots).unwrap();
        let own = Instances::of(&engine);
        block_on(async {
            let failed = own.request(&filter, &mut facts("/")).await.unwrap_err();
            assert_eq!(failed.kind, failure::Kind::FilterVerdict, "{name}");
            assert!(failed.detail.ends_with(said), "{name}: {}", failed.detail);
            assert_eq!(own.idle(&filter), 0, "{name}: the instance is not used again");
        });
    }
}

#[test]
fn a_file_where_there_is_nothing_to_answer_ends_the_call() {
    let done = format!(
        r#"{DATA} (data (i32.const 2048) "\02")
        (func (export "on-response") (param i64 i32 i32 i32) (result i32) (i32.const 3000))
        (func (export "on-done") (param i64) {GRANTED})"#
    );
    let bytes = module_in("weir:filter/filter@0.1.1", "nop", NEXT, &done, SEND);
    let engine = engine();
    let (plan, roots) = granting(config::Instances::Reuse);
    let filter = engine.load("late", &bytes, &plan, &roots).unwrap();
    assert!(filter.hooks().done);
    let failed = block_on(async { Instances::of(&engine).done(&filter, &mut facts("/")).await.unwrap_err() });
    assert_eq!(failed.kind, failure::Kind::FilterVerdict, "{}", failed.detail);
    assert!(failed.detail.ends_with("it names a file where there is nothing to answer"), "{}", failed.detail);
}

/// The contract as it was before there were files.
fn first(resolve: &mut Resolve) -> PackageId {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/first/wit");
    resolve.push_dir(folder).unwrap().0
}

#[test]
fn a_filter_made_for_the_version_before_goes_on_working() {
    let set = format!("{} {NEXT}", edit(3, 1));
    let data = r#"(data (i32.const 5000) "x-b") (data (i32.const 5016) "1")"#;
    let world = "weir:filter/request-filter@0.1.0";
    let bytes = module_by(first, "0.1.0", world, "nop", &set, data, "");
    let engine = engine();
    let inspection = engine.inspect(&bytes).unwrap();
    assert_eq!((inspection.version.as_deref(), inspection.problems.len()), (Some("0.1.0"), 0), "{inspection:?}");
    for instances in BOTH {
        let filter = engine.load("first", &bytes, &plan(instances), &[]).unwrap();
        let verdict = block_on(async { Instances::of(&engine).request(&filter, &mut facts("/")).await });
        assert!(matches!(verdict, Ok(Verdict::Edits(edits)) if edits.len() == 1));
    }
}
