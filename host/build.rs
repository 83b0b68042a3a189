//! Embeds the standard filters that `filters/build.sh` has built. Without them the gateway builds too, and says so when a
//! config names one.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

const STANDARD: [&str; 2] = ["url-rewrite", "header-rules"];

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let built = Path::new(&root).join("../filters/out");
    let mut text = String::from("const STANDARD: &[(&str, &[u8])] = &[\n");
    for name in STANDARD {
        let path = built.join(name).with_extension("wasm");
        println!("cargo::rerun-if-changed={}", path.display());
        if path.exists() {
            let path = path.canonicalize().expect("it exists");
            writeln!(text, "    (\"{name}\", include_bytes!({path:?})),").expect("strings take everything");
        }
    }
    text.push_str("];\n");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("standard.rs");
    fs::write(target, text).expect("cargo's directory is writable");
}
