//! Not a filter: it imports `weir:filter/beyond` and `wasi:sockets/network`, which the gateway does not offer, and
//! exports `on-done` without `configure`.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    inline: "
        package weir:filter@0.1.0;
        interface beyond { reach: func() -> string; }
        world odd {
            import beyond;
            import wasi:sockets/network@0.2.0;
            export on-done: func(id: u64);
        }
        package wasi:sockets@0.2.0 {
            interface network { dial: func(address: string) -> bool; }
        }
    ",
    generate_all,
});

struct Odd;

impl Guest for Odd {
    fn on_done(_: u64) {
        wasi::sockets::network::dial(&weir::filter::beyond::reach());
    }
}

export!(Odd);
