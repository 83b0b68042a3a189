//! What answers say of a file, made once when it is opened.

use std::time::{Duration, SystemTime};

use super::jail::Stand;
use super::{path, types};
use crate::config::Root;
use crate::message::conditional::Validators;
use crate::message::{Coding, Value};

/// What answers say of a version of a file.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// `Content-Type`.
    pub(super) kind: Value,
    /// To compare with.
    pub(super) validators: Validators,
    /// `Last-Modified`.
    pub(super) modified: Option<Value>,
    /// It changed long enough ago that whatever changes it now shows.
    pub(super) is_settled: bool,
}

/// How far apart two changes are that show for certain: the coarsest clock of a file system, FAT's.
const COARSE: Duration = Duration::from_secs(2);

impl Said {
    /// Of the file at a path, as it is at this time.
    pub(super) fn of(root: &Root, path: &[u8], stand: &Stand, now: SystemTime) -> Self {
        let settled_before = now.checked_sub(COARSE).unwrap_or(SystemTime::UNIX_EPOCH);
        let (modified, changed) = (time(stand.modified), time(stand.changed));
        let is_settled = [modified, changed].iter().all(|time| time.is_none_or(|time| time < settled_before));
        let validators = Validators::of(etag(path, stand), modified, now);
        Self { kind: types::of(root, path), modified: validators.last_modified(), validators, is_settled }
    }
}

/// A strong validator: when the file was written to the nanosecond, and its size. Not which inode it is, so that two machines
/// with the same files say the same. The name of a coding follows where the path says one, so that a file and a coded one
/// beside it differ whatever their times and sizes.
fn etag(path: &[u8], stand: &Stand) -> Option<Value> {
    let (seconds, nanoseconds) = stand.modified;
    let extension = path::extension(path);
    let coding = Coding::ALL.into_iter().find(|coding| extension.as_deref() == Some(coding.extension()));
    let (dash, coding) = coding.map_or(("", ""), |coding| ("-", coding.name()));
    Value::from_str(&format!("\"{seconds:x}.{nanoseconds:x}-{:x}{dash}{coding}\"", stand.size)).ok()
}

/// Times before 1970 are none: HTTP cannot say them.
fn time((seconds, nanoseconds): (i64, u32)) -> Option<SystemTime> {
    let since =
        Duration::from_secs(u64::try_from(seconds).ok()?).checked_add(Duration::from_nanos(nanoseconds.into()))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::super::tests::root;
    use super::*;

    #[test]
    fn versions_have_tags_and_dates() {
        let root = root("/".as_ref());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let said =
            |path: &str, seconds, size| Said::of(&root, path.as_bytes(), &Stand::of_file(size, (seconds, 5)), now);
        let plain = said("a.js", 784_111_777, 255);
        assert_eq!(plain.validators.etag.unwrap(), "\"2ebc98a1.5-ff\"");
        assert_eq!(plain.modified.unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(plain.is_settled);
        assert_eq!(said("a.js.br", 784_111_777, 255).validators.etag.unwrap(), "\"2ebc98a1.5-ff-br\"");
        assert_eq!(said("a.js.GZ", 784_111_777, 255).validators.etag.unwrap(), "\"2ebc98a1.5-ff-gzip\"");
        for (seconds, modified, is_settled) in [
            (-1, None, true),
            (i64::MIN, None, true),
            (999_999_997, Some("Sun, 09 Sep 2001 01:46:37 GMT"), true),
            (999_999_999, Some("Sun, 09 Sep 2001 01:46:39 GMT"), false),
            // A date still to come would be a lie (RFC 9110, section 8.8.2.1).
            (1_000_000_001, Some("Sun, 09 Sep 2001 01:46:40 GMT"), false),
            (253_402_300_800, Some("Sun, 09 Sep 2001 01:46:40 GMT"), false),
        ] {
            let said = said("a", seconds, u64::MAX);
            assert_eq!(said.modified.as_ref().map(|value| value.to_str().unwrap()), modified, "{seconds}");
            assert_eq!(said.is_settled, is_settled, "{seconds}");
            assert!(said.validators.etag.is_some());
        }
        said("a", i64::MAX, 0);
    }
}
