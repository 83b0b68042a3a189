//! A pool's members and their leases.
