//! Which site and route a request belongs to.
