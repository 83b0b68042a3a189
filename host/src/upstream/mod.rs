//! Connections to members: dial, keep, reuse, speak.
