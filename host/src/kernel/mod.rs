//! System calls that move bytes without bringing them to user space, what has to be known of pages and pipes for that,
//! threads for those calls that wait, and files read whole to a bound.
//!
//! Everything that leaves this room is safe to call. It knows descriptors and lengths, never what they belong to.

pub mod blocking;
mod held;
mod pages;
mod pipe;
mod send;
mod shortage;
mod threads;
mod whole;
mod window;

pub use self::held::hold;
#[cfg(test)]
pub use self::pages::chill;
pub use self::pages::{Residency, read_now, read_waiting, residency, warm};
pub use self::pipe::Pipe;
pub use self::send::{is_better_joined, send_file, send_first};
pub use self::shortage::lacks_descriptors;
pub use self::threads::Threads;
pub use self::whole::{Unread, read_text, read_whole};
pub use self::window::Window;
