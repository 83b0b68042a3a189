//! The rules together, as an exchange goes through them: scenes between a client and an origin, and simulations beside
//! models that were written apart from the rules.

mod fields;
mod hostile;
mod scenes;
mod simulation;
mod world;
