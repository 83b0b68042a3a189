//! The access log and the operator's log.
