//! What the contract in `wit/` looks like from this side, generated. The three worlds share one set of types.

#![allow(unreachable_pub, unused_qualifications, clippy::all, reason = "generated")]

pub(super) mod both {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "filter",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { "weir:filter/files.send": trappable },
        exports: { default: async },
    });
}

pub(super) mod request {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "request-filter",
        ownership: Borrowing { duplicate_if_necessary: true },
        exports: { default: async },
        with: { "weir:filter": super::both::weir::filter },
    });
}

pub(super) mod response {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "response-filter",
        ownership: Borrowing { duplicate_if_necessary: true },
        exports: { default: async },
        with: { "weir:filter": super::both::weir::filter },
    });
}

pub(super) use self::both::weir::filter::{exchange, files, log, types};
