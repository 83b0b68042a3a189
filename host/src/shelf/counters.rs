//! What a shelf can say of itself.

/// Of one kind of shelf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// In memory: keys with all their variants. On a disk: objects.
    pub objects: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Objects that came.
    pub stores: u64,
    /// Objects that left because others needed their room.
    pub evictions: u64,
    /// Objects that were forgotten, or became stale, because somebody said so.
    pub purged: u64,
    /// Objects that could not be written.
    pub failures: u64,
    /// Objects that could not be read, or were not what had been written.
    pub unread: u64,
}

/// Of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In memory.
    pub memory: Count,
    /// On the disk.
    pub disk: Count,
    /// Answers that are being fetched for more than one exchange, or could be.
    pub flights: u64,
}
