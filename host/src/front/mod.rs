//! From sockets to exchanges.

pub mod gate;
