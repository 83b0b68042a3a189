//! Components, instances, limits: the only room that knows Wasm.
