//! Compiled code on disk, so that a start costs microseconds instead of seconds.
//!
//! What is loaded from here runs as native code with all rights of this process. So the directory must be ours alone, and
//! every file carries a code (HMAC-SHA-256, RFC 2104) under a key that only we can read; anything else is compiled anew.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A directory of compiled code.
pub(super) struct Cache {
    directory: PathBuf,
    key: [u8; KEY],
}

/// Bytes of one compiled file. The largest interpreters come to 60 MiB.
const MAX_FILE: u64 = 512 << 20;
/// Bytes of the code in front of a file.
const CODE: usize = 32;
/// Bytes of the key: as many as of what it makes (RFC 2104, section 3).
const KEY: usize = 32;
/// Bytes that HMAC works in with SHA-256 (RFC 2104, section 2).
const BLOCK: usize = 64;

impl Cache {
    /// Opens or makes the directory; `None`, and a warning, when it cannot be trusted or used.
    pub(super) fn open(directory: PathBuf) -> Option<Self> {
        let opened = own_directory(&directory).and_then(|()| own_key(&directory));
        match opened {
            Ok(key) => Some(Self { directory, key }),
            Err(error) => {
                tracing::warn!(directory = %directory.display(), "compiled filters are not kept: {error}");
                None
            }
        }
    }

    /// The compiled form of a component: from the directory when it is there and ours, compiled and kept otherwise.
    pub(super) fn component(&self, engine: &Engine, digest: [u8; 32], bytes: &[u8]) -> wasmtime::Result<Component> {
        let path = self.path(engine, digest);
        match self.read(&path) {
            Ok(compiled) => match trusted(engine, compiled.get(CODE..).unwrap_or_default()) {
                Ok(component) => return Ok(component),
                Err(error) => tracing::warn!(file = %path.display(), "compiled anew: {error:#}"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(file = %path.display(), "compiled anew: {error}"),
        }
        let component = Component::new(engine, bytes)?;
        let kept = component
            .serialize()
            .map_err(|error| format!("{error:#}"))
            .and_then(|compiled| self.write(&path, &compiled).map_err(|error| error.to_string()));
        if let Err(error) = kept {
            tracing::warn!(file = %path.display(), "a compiled filter was not kept: {error}");
        }
        Ok(component)
    }

    /// Code for another engine, other settings or another Weir has another name.
    fn path(&self, engine: &Engine, digest: [u8; 32]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        let digest = super::inspect::hexadecimal(&digest);
        self.directory.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }

    /// A file whose code is right.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
        let mut whole = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut whole)?;
        match whole.split_at_checked(CODE) {
            Some((code, compiled)) if same(code, &self.code(path, compiled)) => Ok(whole),
            _ => Err(io::Error::other("it is not what was kept there (damaged, or changed by somebody else)")),
        }
    }

    fn write(&self, path: &Path, compiled: &[u8]) -> io::Result<()> {
        let temporary = temporary(path);
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
                file.write_all(&self.code(path, compiled))?;
                file.write_all(compiled)?;
                fs::rename(&temporary, path)
            });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// HMAC over the file's name and content: a file under another name is another file.
    fn code(&self, path: &Path, compiled: &[u8]) -> [u8; CODE] {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let length = (name.len() as u64).to_be_bytes();
        hmac(&self.key, &[&length, name, compiled])
    }
}

#[allow(unsafe_code)]
fn trusted(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: these bytes were made by `Component::serialize` in a process with our key: their code was checked over the
    // very bytes that are passed here, in memory that nobody else writes. Whether this engine can run them (version,
    // settings, processor) wasmtime checks itself.
    unsafe { Component::deserialize(engine, compiled) }
}

fn own_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    check_owner(&found, 0o022)
}

/// The key that is there, or another one where there is none that can be used: what was kept under the old one is compiled anew.
fn own_key(directory: &Path) -> io::Result<[u8; KEY]> {
    let path = directory.join("key");
    match read_key(&path) {
        Ok(key) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(&path, |temporary| fs::hard_link(temporary, &path))?;
            // Two processes may come at once; the one that linked first has made it.
            read_key(&path)
        }
        Err(error) => {
            let file = path.display();
            tracing::warn!(%file, "a new key is made, and what was compiled under the old one is compiled anew: {error}");
            make_key(&path, |temporary| fs::rename(temporary, &path))?;
            read_key(&path)
        }
    }
}

/// A key that nobody else can have read, and that was written to its end: a crash may leave a file without its content.
fn read_key(path: &Path) -> io::Result<[u8; KEY]> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    check_owner(&file.metadata()?, 0o077)?;
    let mut found = Vec::new();
    file.take(KEY as u64 + 1).read_to_end(&mut found)?;
    let key = <[u8; KEY]>::try_from(found).ok().filter(|key| key.iter().any(|byte| *byte != 0));
    key.ok_or_else(|| io::Error::other("it does not hold a key (damaged, or not written to its end)"))
}

/// Writes a key beside its place, and puts it there.
fn make_key(path: &Path, put: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut key = [0; KEY];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let temporary = temporary(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    let done = file.write_all(&key).and_then(|()| file.sync_all()).and_then(|()| put(&temporary));
    // Not there any more when it was moved.
    let _ = fs::remove_file(&temporary);
    match done {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Ours, and without these rights for others.
fn check_owner(found: &fs::Metadata, forbidden: u32) -> io::Result<()> {
    let us = fs::metadata("/proc/self")?.uid();
    if found.uid() != us {
        return Err(io::Error::other(format!("it belongs to user {}, not to user {us}", found.uid())));
    }
    if found.mode() & forbidden != 0 {
        return Err(io::Error::other(format!("others have rights to it (mode {:o})", found.mode() & 0o777)));
    }
    Ok(())
}

/// A name of its own beside the file that it will become.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", fastrand::u64(..)));
    name.into()
}

fn hmac(key: &[u8; KEY], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = parts.iter().fold(Sha256::new_with_prefix(pad(0x36)), |hash, part| hash.chain_update(part));
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

/// Compares without telling by its time how much was right.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_the_one_of_rfc_4231() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let code = hmac(&key, &[b"what do ya want ", b"for nothing?"]);
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(super::super::inspect::hexadecimal(&code), expected);
    }

    #[test]
    fn what_was_changed_is_compiled_anew() {
        let place = Place::fresh();
        let cache = Cache::open(place.0.clone()).unwrap();
        let engine = Engine::default();
        let bytes = wat::parse_str("(component)").unwrap();
        cache.component(&engine, [7; 32], &bytes).unwrap();
        let path = cache.path(&engine, [7; 32]);
        let kept = fs::read(&path).unwrap();
        assert!(cache.read(&path).is_ok());
        for at in [0, CODE, kept.len() - 1] {
            let mut changed = kept.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(cache.read(&path).is_err(), "byte {at}");
            cache.component(&engine, [7; 32], &bytes).unwrap();
            assert!(cache.read(&path).is_ok(), "kept anew after byte {at}");
        }
        fs::write(&path, b"short").unwrap();
        assert!(cache.read(&path).is_err());
        fs::write(&path, &kept).unwrap();
        let elsewhere = cache.path(&engine, [8; 32]);
        fs::copy(&path, &elsewhere).unwrap();
        assert!(cache.read(&elsewhere).is_err(), "right content under another name");
        assert!(Cache::open(place.0.clone()).unwrap().read(&path).is_ok(), "the key stays");
    }

    #[test]
    fn a_directory_open_to_others_is_not_used() {
        let place = Place::fresh();
        fs::create_dir(&place.0).unwrap();
        for (mode, usable) in [(0o700, true), (0o755, true), (0o770, false), (0o777, false)] {
            fs::set_permissions(&place.0, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Cache::open(place.0.clone()).is_some(), usable, "{mode:o}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_is_made_anew_and_what_stands_under_it_is_compiled_again() {
        type Spoil = fn(&Path);
        let spoilt: &[(&str, Spoil)] = &[
            ("empty", |key| fs::write(key, b"").unwrap()),
            ("truncated", |key| fs::write(key, [7; KEY - 1]).unwrap()),
            ("too long", |key| fs::write(key, [7; KEY + 1]).unwrap()),
            ("never written", |key| fs::write(key, [0; KEY]).unwrap()),
            ("read by others", |key| fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap()),
            ("a link", |key| {
                fs::rename(key, key.with_extension("moved")).unwrap();
                std::os::unix::fs::symlink("key.moved", key).unwrap();
            }),
            ("a link to nothing", |key| {
                fs::remove_file(key).unwrap();
                std::os::unix::fs::symlink("nothing", key).unwrap();
            }),
        ];
        let engine = Engine::default();
        let bytes = wat::parse_str("(component)").unwrap();
        for (name, spoil) in spoilt {
            let place = Place::fresh();
            let before = Cache::open(place.0.clone()).unwrap();
            before.component(&engine, [7; 32], &bytes).unwrap();
            let (key, path) = (place.0.join("key"), before.path(&engine, [7; 32]));
            spoil(&key);
            let cache = Cache::open(place.0.clone()).unwrap_or_else(|| panic!("{name}"));
            assert_ne!(cache.key, before.key, "{name}");
            assert!(cache.read(&path).is_err(), "{name}");
            cache.component(&engine, [7; 32], &bytes).unwrap();
            assert!(Cache::open(place.0.clone()).unwrap().read(&path).is_ok(), "{name}: the new key stays");
            let left: Vec<_> = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(
                !left.iter().any(|file| file.to_string_lossy().starts_with("key.") && file != "key.moved"),
                "{left:?}"
            );
        }
        // What cannot be replaced is left alone, and nothing is kept.
        let place = Place::fresh();
        fs::create_dir(&place.0).unwrap();
        fs::create_dir(place.0.join("key")).unwrap();
        assert!(Cache::open(place.0.clone()).is_none());
    }

    struct Place(PathBuf);

    impl Place {
        fn fresh() -> Self {
            Self(std::env::temp_dir().join(format!("weir-cache-{:016x}", fastrand::u64(..))))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
