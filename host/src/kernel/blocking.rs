//! The set of disk threads that the whole process has, for files that are served.

use std::sync::LazyLock;

use tokio::sync::oneshot;

use super::threads::Threads;

static THREADS: LazyLock<Threads> = LazyLock::new(|| Threads::up_to("disk", 1));

/// Says how many threads there may be from now on.
pub fn bound(threads: usize) {
    THREADS.bound(threads);
}

/// Has something done, and waits for it without blocking; `None` if it panicked. Dropped before its turn came, it is not
/// done at all.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    begin(work).await.ok()
}

/// The same for who keeps what it waits for.
pub fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    THREADS.begin(work)
}

/// Has something done that nobody waits for.
pub fn give(work: impl FnOnce() + Send + 'static) {
    THREADS.give(work);
}
