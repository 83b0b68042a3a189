//! What the imports of a module answer natively: the exchange of the call that is running on this thread.

use std::cell::RefCell;

use super::Exchange;
use crate::Level;

thread_local! {
    static CURRENT: RefCell<Option<Exchange>> = const { RefCell::new(None) };
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Runs a call for an exchange. The filter reads it as it is before the call.
pub(super) fn during<T>(exchange: &Exchange, call: impl FnOnce() -> T) -> T {
    CURRENT.set(Some(exchange.clone()));
    let result = call();
    CURRENT.set(None);
    result
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
