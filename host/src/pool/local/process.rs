//! A running program: a process group of its own, whose leader is waited for, so that nothing is left behind.

use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::Program;
use super::output::{Output, follow};
use crate::clock::Duration;

/// For the last lines of output once the program has ended. Whoever it left behind may hold its output open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// For dying of SIGKILL. Only a program that is stuck in the kernel takes longer.
const DEATH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    number: u32,
    /// Whether the leader has been waited for, and its group killed.
    is_over: bool,
    output: JoinSet<()>,
}

impl Process {
    /// Starts a program. Must be called on a local runtime, on which its output is read.
    pub(super) fn spawn(program: &Program) -> io::Result<Self> {
        let mut child = command(program)?.spawn()?;
        let number = child.id().unwrap_or_default();
        let mut output = JoinSet::new();
        if let Some(stream) = child.stdout.take() {
            output.spawn_local(follow(stream, Output::of(program, "stdout")));
        }
        if let Some(stream) = child.stderr.take() {
            output.spawn_local(follow(stream, Output::of(program, "stderr")));
        }
        Ok(Self { child, number, is_over: false, output })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Waits until it ends and says how. Whatever it left in its group is killed then: a program that goes to the
    /// background cannot be watched, and its next start would meet it. Cancellation safe.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        if !self.is_over {
            self.is_over = true;
            // At once after the wait, so that the number is nobody else's yet.
            self.signal(Signal::KILL);
        }
        status
            .map_or_else(|error| format!("it cannot be waited for ({error})"), |status| format!("it ended ({status})"))
    }

    /// SIGTERM to its group, and SIGKILL when that has not ended it in time. May be called again.
    pub(super) async fn stop(&mut self, within: Duration) {
        if !self.is_over {
            self.signal(Signal::TERM);
            if tokio::time::timeout(within, self.ended()).await.is_err() {
                tracing::warn!(process = self.number, "a program does not end within {within:?}, it is killed");
                self.signal(Signal::KILL);
                if tokio::time::timeout(DEATH, self.ended()).await.is_err() {
                    tracing::error!(process = self.number, "a program does not even die of SIGKILL, it is left");
                }
            }
        }
        let _ = tokio::time::timeout(LAST_WORDS, async { while self.output.join_next().await.is_some() {} }).await;
    }

    fn signal(&self, signal: Signal) {
        // Zero would be our own group.
        if let Some(group) = i32::try_from(self.number).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

fn command(program: &Program) -> io::Result<Command> {
    let plan = &program.command;
    let [name, arguments @ ..] = plan.argv.as_slice() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    if !plan.inherit_environment {
        command.env_clear();
    }
    command.envs(plan.environment.iter().map(|(name, value)| (name, value)));
    if let Some(directory) = &plan.directory {
        command.current_dir(directory);
    }
    // With a user set and our own being root, our supplementary groups are dropped too.
    if let Some(group) = plan.group {
        command.gid(group);
    }
    if let Some(user) = plan.user {
        command.uid(user);
    }
    Ok(command)
}
