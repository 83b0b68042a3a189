//! The filters of a route or pool, in order.
