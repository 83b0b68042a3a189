//! What happens between a request and the head of its answer, in either version of HTTP: interim answers, and time.

use std::task::Context;

use super::Progress;
use super::progress::Stage;
use crate::failure::{Failure, Kind};
use crate::message::{Fields, Status};

/// The wait for one answer.
pub(super) struct Waiting<'a, F> {
    progress: &'a Progress,
    interim: F,
    heard: usize,
}

/// Interim answers a member may send before the final one, as httpd limits them.
const MOST_INTERIM: usize = 10;

impl<'a, F: FnMut(Status, Fields)> Waiting<'a, F> {
    pub(super) const fn of(progress: &'a Progress, interim: F) -> Self {
        Self { progress, interim, heard: 0 }
    }

    /// An interim answer: `100 Continue` lets the body go, others are passed on.
    pub(super) fn hear(&mut self, status: Status, fields: Fields) -> Result<(), Failure> {
        self.heard += 1;
        if status == Status::CONTINUE {
            self.progress.permit();
        } else if self.heard <= MOST_INTERIM {
            (self.interim)(status, fields);
        } else {
            return Err(Failure::of(Kind::BadResponse, "more than 10 interim answers"));
        }
        Ok(())
    }

    /// The failure that the time means, when it is over. A member that says nothing of `100 Continue` gets the body.
    pub(super) fn overdue(&self, context: &mut Context<'_>) -> Option<Failure> {
        while self.progress.is_over(context) {
            if self.progress.stage() != Stage::Permission {
                return Some(self.progress.overdue());
            }
            self.progress.permit();
        }
        None
    }
}
