//! The operator's socket: opened, moved and taken away as plans want it. What is said over it is `admin/`'s business.

use std::os::unix::net::UnixListener;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::bind::{self, Refusal, SocketFile};
use crate::admin;
use crate::config::{Admin, Place};
use crate::generation::Current;

/// The socket, if there is one.
#[derive(Default)]
pub(super) struct Door {
    open: Option<Open>,
}

/// What a plan wants, a new socket bound already. Dropping it gives that back.
pub(super) struct Prepared {
    plan: Option<Admin>,
    fresh: Option<(UnixListener, SocketFile)>,
}

/// Dropping it accepts nobody any more and removes the file; who came before is answered.
struct Open {
    plan: Admin,
    file: SocketFile,
    _stop: oneshot::Sender<()>,
}

impl Door {
    /// Binds what a plan wants and is not there yet.
    ///
    /// # Errors
    /// When the path cannot be had; then nothing has changed.
    pub(super) fn prepare(&self, plan: Option<&Admin>) -> Result<Prepared, (Place, Refusal)> {
        let missing = plan.filter(|plan| !self.open.as_ref().is_some_and(|open| open.serves_for(plan)));
        let fresh = missing.map(|plan| bind::admin(plan).map_err(|refusal| (plan.place.clone(), refusal)));
        Ok(Prepared { plan: plan.cloned(), fresh: fresh.transpose()? })
    }

    /// Makes what was prepared true.
    pub(super) fn apply(&mut self, prepared: Prepared, current: &Arc<Current>) {
        match (prepared, &mut self.open) {
            (Prepared { plan: Some(plan), fresh: Some((socket, file)) }, _) => {
                self.close();
                self.open = Some(Open::begin(plan, socket, file, current));
            }
            (Prepared { plan: Some(plan), fresh: None }, Some(open)) => open.keep(plan),
            (Prepared { .. }, _) => self.close(),
        }
    }

    /// Lets the path go.
    pub(super) fn close(&mut self) {
        if let Some(open) = self.open.take() {
            tracing::info!(path = %open.plan.socket.display(), "the admin socket is closed");
        }
    }
}

impl Open {
    fn begin(plan: Admin, socket: UnixListener, file: SocketFile, current: &Arc<Current>) -> Self {
        let (stop, stopped) = oneshot::channel();
        tracing::info!(path = %plan.socket.display(), "the admin socket is open");
        tokio::task::spawn_local(admin::serve(current.clone(), socket, stopped));
        Self { plan, file, _stop: stop }
    }

    /// Whether a plan's socket is this one; one whose file somebody removed is nobody's.
    fn serves_for(&self, plan: &Admin) -> bool {
        self.plan.socket == plan.socket && self.file.is_there()
    }

    fn keep(&mut self, plan: Admin) {
        if (plan.mode, plan.group) != (self.plan.mode, self.plan.group)
            && let Err(error) = self.file.allow(&plan)
        {
            tracing::error!(path = %plan.socket.display(), %error, "the admin socket keeps its permissions");
        }
        self.plan = plan;
    }
}
