//! HTTP/2.

#[allow(dead_code)]
mod wall;

use std::rc::Rc;

use super::Worker;
use super::socket::Stream;
use crate::config;
use crate::pipeline::Client;

pub(super) async fn serve(_: &Rc<Worker>, _: Stream, _: &config::Listener, _: Rc<Client>) {}
