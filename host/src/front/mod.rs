//! From sockets to exchanges.
