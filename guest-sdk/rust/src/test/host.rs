//! What the imports of a module answer natively: the exchange of the call that is running on this thread.

use std::cell::RefCell;

use super::{Exchange, rules};
use crate::{Level, Refusal};

thread_local! {
    static CURRENT: RefCell<Option<Exchange>> = const { RefCell::new(None) };
    static FILES: RefCell<Files> = const { RefCell::new(Files::Closed) };
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Runs a call for an exchange. The filter reads it as it is before the call.
pub(super) fn during<T>(exchange: &Exchange, call: impl FnOnce() -> T) -> T {
    CURRENT.set(Some(exchange.clone()));
    let result = call();
    CURRENT.set(None);
    result
}

/// What the filter has to do with files.
enum Files {
    /// There is nothing to answer.
    Closed,
    /// A file was named all the same.
    Misused,
    /// A call that may answer runs.
    Open { granted: Vec<String>, named: Option<File> },
}

/// A root and a path beneath it.
pub(super) type File = (String, String);

/// Runs a call that may answer, of a filter that has these roots. Tells the file that it named.
pub(super) fn asking<T>(exchange: &Exchange, granted: &[String], call: impl FnOnce() -> T) -> (T, Option<File>) {
    FILES.set(Files::Open { granted: granted.to_vec(), named: None });
    let result = during(exchange, call);
    match FILES.replace(Files::Closed) {
        Files::Open { named, .. } => (result, named),
        Files::Closed | Files::Misused => (result, None),
    }
}

/// Whether a file was named where there was nothing to answer, since the last time.
pub(super) fn is_misused() -> bool {
    matches!(FILES.replace(Files::Closed), Files::Misused)
}

pub(crate) fn send(root: &str, path: &str) -> Result<(), Refusal> {
    FILES.with_borrow_mut(|files| match files {
        Files::Open { granted, named } => {
            if !granted.iter().any(|known| known == root) {
                return Err(Refusal::NotGranted);
            }
            rules::file_path(path)?;
            *named = Some((root.to_owned(), path.to_owned()));
            Ok(())
        }
        Files::Closed | Files::Misused => {
            *files = Files::Misused;
            Err(Refusal::NotGranted)
        }
    })
}

/// Takes the lines written since the last time.
pub(super) fn lines() -> Vec<(Level, String)> {
    LINES.take()
}

pub(crate) fn log(level: Level, message: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

pub(crate) fn request_header(name: &str) -> Option<Vec<u8>> {
    current(|exchange| exchange.request.joined(name)).flatten()
}

pub(crate) fn request_header_lines(name: &str) -> Vec<Vec<u8>> {
    current(|exchange| exchange.request.lines(name)).unwrap_or_default()
}

pub(crate) fn request_headers() -> Vec<(String, Vec<u8>)> {
    current(|exchange| exchange.request.0.clone()).unwrap_or_default()
}

pub(crate) fn response_header(name: &str) -> Option<Vec<u8>> {
    current(|exchange| exchange.response.as_ref()?.fields.joined(name)).flatten()
}

pub(crate) fn response_header_lines(name: &str) -> Vec<Vec<u8>> {
    current(|exchange| Some(exchange.response.as_ref()?.fields.lines(name))).flatten().unwrap_or_default()
}

pub(crate) fn response_headers() -> Vec<(String, Vec<u8>)> {
    current(|exchange| Some(exchange.response.as_ref()?.fields.0.clone())).flatten().unwrap_or_default()
}

pub(crate) fn variable(name: &str) -> Option<String> {
    current(|exchange| exchange.variable_named(name)).flatten()
}

fn current<T>(read: impl FnOnce(&Exchange) -> T) -> Option<T> {
    CURRENT.with_borrow(|exchange| exchange.as_ref().map(read))
}
