//! What guests write: into the log by the contract, and to WASI's streams. Each line says of which exchange it is.

use std::io::{self, Read as _};

use tracing_subscriber::fmt;

use super::*;

const IMPORTS: &str = r#"
    (import "wasi:cli/stdout@0.2.7" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.7" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.7" "[method]output-stream.blocking-write-and-flush"
      (func $write (param i32 i32 i32 i32)))"#;
/// Writes a whole line to one stream, half of one to the other, and a line by the contract.
const SPEAK: &str = r#"
    (call $write (call $stdout) (i32.const 4200) (i32.const 6) (i32.const 4240))
    (call $write (call $stderr) (i32.const 4210) (i32.const 4) (i32.const 4240))
    (call $log (i32.const 1) (i32.const 4220) (i32.const 4))"#;
const WORDS: &str =
    r#"(data (i32.const 4200) "whole\0a") (data (i32.const 4210) "half") (data (i32.const 4220) "said")"#;

#[test]
fn lines_of_a_guest_say_which_exchange_they_are_of() {
    let engine = engine();
    let bytes = module_in("test:wasi/speaker", "nop", &format!("{SPEAK} {NEXT}"), WORDS, IMPORTS);
    for instances in BOTH {
        let filter = engine.load("guest", &bytes, &plan(instances), &[]).unwrap();
        let own = Instances::of(&engine);
        let lines = logged(|| {
            block_on(async {
                for id in ["r7", "r8"] {
                    let mut facts = facts("/");
                    facts.request_id = id.to_owned();
                    assert!(own.request(&filter, &mut facts).await.is_ok());
                }
            });
        });
        let of = |id: &str, words: [&str; 3]| {
            words.map(|word| format!("{word} id=\"{id}\" route=\"route\" filter=\"guest\""))
        };
        let words = ["INFO whole", "INFO said", "WARN half"];
        assert_eq!(lines, [of("r7", words), of("r8", words)].concat());
    }
}

/// Lines without their times.
fn logged(act: impl FnOnce()) -> Vec<String> {
    let (mut reader, writer) = io::pipe().unwrap();
    let subscriber = fmt().with_writer(Arc::new(writer)).with_ansi(false).with_target(false).without_time().finish();
    tracing::subscriber::with_default(subscriber, act);
    let mut lines = String::new();
    reader.read_to_string(&mut lines).unwrap();
    lines.lines().map(|line| line.trim_start().to_owned()).collect()
}
