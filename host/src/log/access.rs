//! From a worker's thread to the file: a buffer for each thread, one bounded queue, one writer.
//!
//! A worker never waits: when the queue is full its lines are dropped and counted, and the operator's log says so.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Format, Output, Record};
use crate::clock::{self, Instant, Telling};

/// How often a worker should hand over what it has: late enough that busy threads fill whole buffers, soon enough for
/// somebody who watches the file.
pub const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// A buffer this full is handed over: some hundred lines for one write, and still small beside a thread's other memory.
const FULL: usize = 32 * 1024;

/// Buffers on their way to the writer. With the buffers' size this bounds what a slow disk can make us hold, to 4 MiB.
const QUEUE: usize = 128;

/// How often the writer looks whether losses are to be told by now, while there are any.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The process's access log. Clones are the same log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    aside: Arc<Aside>,
}

/// What passes beside the queue.
#[derive(Debug, Default)]
struct Aside {
    /// Lines that were dropped and not said yet.
    lost: AtomicU64,
    /// Orders that found the queue full; the writer looks after every message, and a full queue holds messages.
    orders: Mutex<Vec<Message>>,
}

/// One thread's end of the access log. Flushes itself when dropped.
pub struct Sink {
    log: AccessLog,
    buffer: RefCell<Vec<u8>>,
    lines: Cell<u64>,
}

#[derive(Debug)]
enum Message {
    Lines(Vec<u8>, u64),
    Reopen,
    Switch(Output),
    Written(SyncSender<()>),
}

struct Writer {
    queue: Receiver<Message>,
    output: Output,
    aside: Arc<Aside>,
    report: Report,
}

/// What was lost: told at once, and then at times.
#[derive(Default)]
struct Report {
    told: Telling<Loss, Option<io::ErrorKind>>,
    /// Why the last lines were not written.
    error: Option<io::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Loss {
    /// The queue was full.
    Dropped,
    /// The system did not take them.
    Unwritten,
}

impl AccessLog {
    /// Starts the writer's thread, which lives as long as a clone or a sink does.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(output: Output) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let aside = Arc::new(Aside::default());
        let writer = Writer { queue: messages, output, aside: aside.clone(), report: Report::default() };
        thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?;
        Ok(Self { queue, aside })
    }

    /// An end for the calling thread.
    #[must_use]
    pub fn sink(&self) -> Sink {
        Sink { log: self.clone(), buffer: RefCell::default(), lines: Cell::new(0) }
    }

    /// Opens the file again under its path.
    pub fn reopen(&self) {
        self.send(Message::Reopen);
    }

    /// From here on lines go elsewhere.
    pub fn switch(&self, output: Output) {
        self.send(Message::Switch(output));
    }

    /// Waits until everything handed over before is written, or until the time is over; whether it was written.
    #[must_use]
    pub fn settle(&self, within: Duration) -> bool {
        let (done, written) = sync_channel(1);
        let by = clock::now() + within;
        let mut message = Message::Written(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if clock::now() >= by {
                return false;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        written.recv_timeout(by.saturating_duration_since(clock::now())).is_ok()
    }

    /// Never waits, or a reader of standard output that is stuck could keep the gateway from being stopped.
    fn send(&self, order: Message) {
        if let Err(TrySendError::Full(order)) = self.queue.try_send(order) {
            self.aside.orders().push(order);
        }
    }
}

impl Aside {
    fn orders(&self) -> MutexGuard<'_, Vec<Message>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Adds a record's line. Never waits.
    pub fn write(&self, format: &Format, record: &Record) {
        let full = {
            let mut buffer = self.buffer.borrow_mut();
            if buffer.capacity() == 0 {
                buffer.reserve(FULL + FULL / 8);
            }
            format.write(record, &mut buffer);
            buffer.len() >= FULL
        };
        self.lines.set(self.lines.get() + 1);
        if full {
            self.flush();
        }
    }

    /// Hands over what there is. Never waits; call it every `FLUSH_EVERY` and when the thread ends.
    pub fn flush(&self) {
        let lines = self.lines.replace(0);
        if lines == 0 {
            return;
        }
        let buffer = self.buffer.take();
        if self.log.queue.try_send(Message::Lines(buffer, lines)).is_err() {
            self.log.aside.lost.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Writer {
    fn run(mut self) {
        while let Some(message) = self.next() {
            self.obey(message);
            let orders = mem::take(&mut *self.aside.orders());
            orders.into_iter().for_each(|order| self.obey(order));
            self.report.look(&self.aside.lost, clock::now());
        }
        self.report.end(&self.aside.lost, clock::now());
    }

    fn obey(&mut self, message: Message) {
        match message {
            Message::Lines(bytes, lines) => {
                if let Err(error) = self.output.write(&bytes) {
                    self.report.unwritten(lines, error, clock::now());
                }
            }
            Message::Reopen => match self.output.reopen() {
                Ok(true) => tracing::info!("access log reopened"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "access log not reopened, going on with the old file"),
            },
            Message::Switch(output) => self.output = output,
            Message::Written(done) => {
                // Who asks is about to end, and the thread with the process: what is owed is told now.
                self.report.end(&self.aside.lost, clock::now());
                // Who does not wait any more needs nothing.
                let _ = done.try_send(());
            }
        }
    }

    /// The next message; wakes without one only while there are losses to report.
    fn next(&mut self) -> Option<Message> {
        loop {
            if !self.report.told.is_owed() && self.aside.lost.load(Ordering::Relaxed) == 0 {
                return self.queue.recv().ok();
            }
            match self.queue.recv_timeout(LOOK_EVERY) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.report.look(&self.aside.lost, clock::now()),
            }
        }
    }
}

impl Report {
    /// Lines were not written.
    fn unwritten(&mut self, lines: u64, error: io::Error, now: Instant) {
        let told = self.told.more(Loss::Unwritten, Some(error.kind()), lines, now);
        self.error = Some(error);
        self.say(Loss::Unwritten, told);
    }

    /// Looks whether lines were dropped, and whether it is time to tell of what was not told.
    fn look(&self, lost: &AtomicU64, now: Instant) {
        match lost.swap(0, Ordering::Relaxed) {
            0 => self.say(Loss::Dropped, self.told.due(&Loss::Dropped, now)),
            lines => self.say(Loss::Dropped, self.told.more(Loss::Dropped, None, lines, now)),
        }
        self.say(Loss::Unwritten, self.told.due(&Loss::Unwritten, now));
    }

    /// Tells of all that was not told.
    fn end(&self, lost: &AtomicU64, now: Instant) {
        self.look(lost, now);
        for loss in [Loss::Dropped, Loss::Unwritten] {
            self.say(loss, self.told.rest(&loss));
        }
    }

    fn say(&self, loss: Loss, lines: Option<u64>) {
        match (loss, lines, &self.error) {
            (Loss::Dropped, Some(lines), _) => {
                tracing::warn!(lines, "access log lines dropped: the writer does not keep up");
            }
            (Loss::Unwritten, Some(lines), Some(error)) => {
                tracing::error!(lines, %error, "access log lines not written")
            }
            (Loss::Unwritten, Some(_), None) | (_, None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::{self, AccessFormat, LogOutput};

    const SOON: Duration = Duration::from_secs(20);

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("weir-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn to(path: &Path) -> Output {
        let output = LogOutput::File(path.to_owned());
        Output::open(&config::AccessLog { output, format: AccessFormat::Json }).unwrap()
    }

    fn status() -> Format {
        Format::of(&AccessFormat::Custom("${response.status}".into())).unwrap()
    }

    fn record(status: u16) -> Record {
        Record { status, ..Record::begin("web".into(), clock::wall()) }
    }

    #[test]
    fn lines_of_many_threads_arrive_whole() {
        let path = directory("whole").join("access.log");
        let log = AccessLog::start(to(&path)).unwrap();
        thread::scope(|scope| {
            for thread in 0..4_u16 {
                let log = &log;
                scope.spawn(move || {
                    let sink = log.sink();
                    (0..500).for_each(|_| sink.write(&status(), &record(200 + thread)));
                });
            }
        });
        assert!(log.settle(SOON));
        let text = fs::read_to_string(&path).unwrap();
        for thread in 0..4 {
            assert_eq!(text.lines().filter(|line| *line == (200 + thread).to_string()).count(), 500);
        }
        assert_eq!(text.lines().count(), 2000);
    }

    #[test]
    fn nothing_is_written_before_a_flush_and_a_full_buffer_flushes_itself() {
        let path = directory("flush").join("access.log");
        let log = AccessLog::start(to(&path)).unwrap();
        let sink = log.sink();
        sink.write(&status(), &record(200));
        assert!(log.settle(SOON));
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        sink.flush();
        assert!(log.settle(SOON));
        assert_eq!(fs::read_to_string(&path).unwrap(), "200\n");
        (0..FULL / 4).for_each(|_| sink.write(&status(), &record(201)));
        assert!(log.settle(SOON));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1 + FULL / 4);
    }

    #[test]
    fn reopens_after_the_file_was_moved_away_and_appends() {
        let directory = directory("reopen");
        let (path, moved) = (directory.join("access.log"), directory.join("access.log.1"));
        fs::write(&path, "before\n").unwrap();
        let log = AccessLog::start(to(&path)).unwrap();
        let sink = log.sink();
        let say = |status_code| {
            sink.write(&status(), &record(status_code));
            sink.flush();
            assert!(log.settle(SOON));
        };
        say(200);
        fs::rename(&path, &moved).unwrap();
        say(201);
        log.reopen();
        say(202);
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\n200\n201\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "202\n");
    }

    #[test]
    fn a_reopen_that_fails_goes_on_with_the_old_file() {
        let directory = directory("refused");
        let (path, moved) = (directory.join("access.log"), directory.join("moved"));
        let log = AccessLog::start(to(&path)).unwrap();
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        log.reopen();
        let sink = log.sink();
        sink.write(&status(), &record(200));
        sink.flush();
        assert!(log.settle(SOON));
        assert_eq!(fs::read_to_string(&moved).unwrap(), "200\n");
    }

    #[test]
    fn switches_to_another_file() {
        let directory = directory("switch");
        let (first, second) = (directory.join("first"), directory.join("second"));
        let log = AccessLog::start(to(&first)).unwrap();
        let sink = log.sink();
        sink.write(&status(), &record(200));
        sink.flush();
        log.switch(to(&second));
        sink.write(&status(), &record(201));
        sink.flush();
        assert!(log.settle(SOON));
        assert_eq!(fs::read_to_string(&first).unwrap(), "200\n");
        assert_eq!(fs::read_to_string(&second).unwrap(), "201\n");
    }

    #[test]
    fn a_full_queue_drops_whole_buffers_and_counts_their_lines() {
        let (queue, _stuck) = sync_channel(1);
        let log = AccessLog { queue, aside: Arc::default() };
        let sink = log.sink();
        for _ in 0..3 {
            sink.write(&status(), &record(200));
            sink.write(&status(), &record(200));
            sink.flush();
        }
        assert_eq!(log.aside.lost.load(Ordering::Relaxed), 4);
        assert!(!log.settle(Duration::from_millis(1)));
        log.reopen();
        assert_eq!(log.aside.orders().len(), 1);
    }

    #[test]
    fn losses_are_told_at_once_and_what_follows_a_minute_later() {
        let (mut report, now) = (Report::default(), clock::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        report.unwritten(3, full(), now);
        assert!(!report.told.is_owed());
        report.unwritten(4, full(), after(1));
        report.look(&AtomicU64::new(0), after(59));
        assert!(report.told.is_owed());
        report.look(&AtomicU64::new(0), after(60));
        assert!(!report.told.is_owed());
        let lost = AtomicU64::new(5);
        report.look(&lost, after(61));
        assert_eq!((lost.load(Ordering::Relaxed), report.told.is_owed()), (0, false));
        lost.store(6, Ordering::Relaxed);
        report.look(&lost, after(62));
        assert_eq!((lost.load(Ordering::Relaxed), report.told.is_owed()), (0, true));
        report.end(&lost, after(62));
        assert!(!report.told.is_owed());
    }

    #[test]
    fn a_disk_that_is_full_loses_lines_and_nothing_else() {
        let log = AccessLog::start(to(Path::new("/dev/full"))).unwrap();
        let sink = log.sink();
        sink.write(&status(), &record(200));
        sink.flush();
        assert!(log.settle(SOON));
        let path = directory("recovers").join("access.log");
        log.switch(to(&path));
        sink.write(&status(), &record(201));
        sink.flush();
        assert!(log.settle(SOON));
        assert_eq!(fs::read_to_string(&path).unwrap(), "201\n");
    }
}
