//! Compiled code on disk, so that a start costs microseconds instead of seconds.
use std::path::PathBuf;
use wasmtime::component::Component;
pub(super) struct Cache;
impl Cache {
    pub(super) fn open(_directory: PathBuf) -> Option<Self> {
        None
    }
    pub(super) fn component(
        &self,
        engine: &wasmtime::Engine,
        _digest: [u8; 32],
        bytes: &[u8],
    ) -> wasmtime::Result<Component> {
        Component::new(engine, bytes)
    }
}
