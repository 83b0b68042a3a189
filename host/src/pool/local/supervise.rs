//! One program's life: started on need, watched, started again with patience, stopped.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::process::Process;
use super::reach::{accepts, until_accepts};
use super::{Phase, Program};
use crate::clock::{self, Duration};

/// The wait after a first failure; each further one is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait: a program that is repaired shall not be waited for much longer than it takes to look.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Who ran this long did not fail at starting.
const STEADY: Duration = Duration::from_secs(10);

/// Sees to a program until told to stop; ends when it has ended.
pub(super) async fn supervise(program: Arc<Program>, stop: Rc<Notify>) {
    let mut process = None;
    tokio::select! {
        biased;
        () = stop.notified() => {}
        () = live(&program, &mut process) => {}
    }
    if let Some(process) = &mut process {
        tracing::info!(pool = %program.pool, member = %program.member, "stopping a program");
        process.stop(program.command.stop_timeout).await;
    }
    program.left();
}

/// Never ends. What runs is in `process` at all times, so that it can be stopped wherever this is left.
async fn live(program: &Program, process: &mut Option<Process>) {
    let (mut is_kept, mut failures) = (false, 0);
    loop {
        let is_tried_again = failures > 0 && program.is_waited_for();
        if !(is_kept || is_tried_again) {
            program.wanted.notified().await;
        }
        if accepts(&program.address).await {
            // Somebody else's: nothing to start, nothing to watch.
            (is_kept, failures) = (false, 0);
            program.tell(Phase::Listening);
            continue;
        }
        let why = match start(program, process).await {
            Ok(started) => {
                is_kept = true;
                let since = clock::now();
                let why = keep(program, started).await;
                if clock::now().saturating_duration_since(since) >= STEADY {
                    failures = 0;
                }
                why
            }
            Err(why) => why,
        };
        failures += 1;
        let wait = patience(failures);
        tracing::warn!(pool = %program.pool, member = %program.member, failures, ?wait, "a program failed: {why}");
        program.tell(Phase::Failed { why: why.into(), failures, until: clock::now() + wait });
        if let Some(process) = process {
            process.stop(program.command.stop_timeout).await;
        }
        *process = None;
        tokio::time::sleep(wait).await;
    }
}

/// Starts it and waits until it listens.
async fn start<'a>(program: &Program, process: &'a mut Option<Process>) -> Result<&'a mut Process, String> {
    program.tell(Phase::Starting);
    let spawned = Process::spawn(program).map_err(|error| format!("it cannot be started: {error}"))?;
    tracing::info!(pool = %program.pool, member = %program.member, process = spawned.number(), "started a program");
    let process = process.insert(spawned);
    listening(program, process).await?;
    program.tell(Phase::Listening);
    Ok(process)
}

/// Watches it until it has to be started again; says why. Whoever could not connect to it is answered.
async fn keep(program: &Program, process: &mut Process) -> String {
    loop {
        tokio::select! {
            status = process.ended() => return status,
            () = program.wanted.notified() => match listening(program, process).await {
                Ok(()) => program.tell(Phase::Listening),
                Err(why) => return why,
            }
        }
    }
}

async fn listening(program: &Program, process: &mut Process) -> Result<(), String> {
    let bound = program.command.start_timeout;
    tokio::select! {
        () = until_accepts(&program.address) => Ok(()),
        status = process.ended() => Err(format!("{status} and did not listen")),
        () = tokio::time::sleep(bound) => Err(format!("it did not listen within {bound:?}")),
    }
}

/// How long after this many failures in a row nothing is started.
fn patience(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_doubles_and_has_an_end() {
        let waits: Vec<_> = (1..=9).map(|failures| patience(failures).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(patience(u32::MAX), LONGEST_WAIT);
    }
}
