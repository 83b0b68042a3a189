//! Certificates that are renewed while the gateway runs: their files are looked at again and again, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use crate::generation::{Current, Generation};
use crate::tls::Refreshed;

/// Whoever renews a certificate and then looks whether it is served does not wait longer for that, and a look at a few files costs
/// some microseconds.
const EVERY: Duration = Duration::from_secs(5);

/// Looks at the files of whatever generation is current, until it is dropped. A generation that comes is as its config was
/// read, so there is nothing to be told of it.
pub(super) async fn keep_fresh(current: Arc<Current>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let generation = current.load();
        if generation.secured().next().is_some() {
            let _ = tokio::task::spawn_blocking(move || look(&generation)).await;
        }
    }
}

/// One look. Each change and each failure is told once.
fn look(generation: &Generation) {
    for (listener, server) in generation.secured() {
        match server.refresh() {
            Refreshed::Same => {}
            Refreshed::Changed { files, remarks } => {
                tracing::info!(%listener, ?files, "certificates have changed, handshakes use them from now on");
                remarks.iter().for_each(|remark| tracing::warn!(%listener, "{remark}"));
            }
            Refreshed::Refused(error) => {
                tracing::error!(%listener, %error, "certificates have changed and are no good, the ones before are kept");
            }
        }
    }
}
