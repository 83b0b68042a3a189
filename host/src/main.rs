//! The program `weir`.

use std::process::ExitCode;

/// It had the best memory of the allocators tried under a proxy's load.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    weir::cli::main(std::env::args_os())
}
