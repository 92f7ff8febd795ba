//! Reads files that an operator names: only regular ones, since a pipe would block the process, and only up to a size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// An opened regular file.
#[derive(Debug)]
pub(crate) struct RegularFile {
    file: File,
    mode: u32,
}

impl RegularFile {
    /// Opens a file; `None` if it is not a regular one.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        // Before it is opened: opening a device can act on it.
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        // Another file may be in its place by now. Opening a pipe would wait for its writer.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then(|| Self {
            file,
            mode: metadata.mode(),
        }))
    }

    /// Returns the permission bits, with those of the type.
    pub(crate) fn mode(&self) -> u32 {
        self.mode
    }

    /// Reads the whole file; `None` if it has more than `longest` bytes. The bytes are wiped after use.
    pub(crate) fn read(self, longest: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        // The buffer never grows, so no copy of a secret stays in freed memory.
        let room = longest + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        self.file.take(room as u64).read_to_end(&mut bytes)?;
        Ok((bytes.len() < room).then_some(bytes))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_longest_length_and_nothing_but_a_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1234").unwrap();
        let read = |longest| RegularFile::open(&path).unwrap().unwrap().read(longest).unwrap();
        assert_eq!(read(4).unwrap().as_slice(), b"1234");
        assert_eq!(read(5).unwrap().as_slice(), b"1234");
        assert_eq!(read(3), None);
        for other in [folder.path(), Path::new("/dev/zero")] {
            assert!(RegularFile::open(other).unwrap().is_none());
        }
    }
}
