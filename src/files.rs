//! Where files are, and files that appear whole or not at all: written beside their place under another name, then renamed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// `path` from the root of the file system, or as it is: where the working folder is gone, and for an address on the web.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    if is_url(path) {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether a path is an address on the web, `http://…` or `https://…`.
pub fn is_url(path: &Path) -> bool {
    let scheme =
        |start: &str| path.to_str().and_then(|text| text.get(..start.len())).is_some_and(|s| s.eq_ignore_ascii_case(start));
    scheme("http://") || scheme("https://")
}

/// Bytes at the start of a file that its fingerprint covers: the header of every form of tomogram, and some of its voxels.
const FINGERPRINT_BYTES: u64 = 1 << 16;

/// A checksum of the first 64 KiB of a file, or of the description of an OME-Zarr folder. Two tomograms of one size, such as those of one
/// microscope session, differ in it. `None` when there is nothing to read.
pub(crate) fn fingerprint(path: &Path) -> Option<u32> {
    let descriptions = ["zarr.json", ".zattrs", ".zarray"].map(|name| path.join(name));
    let file = std::iter::once(path.to_owned()).chain(descriptions).find(|file| file.is_file())?;
    let mut start = Vec::new();
    File::open(file).ok()?.take(FINGERPRINT_BYTES).read_to_end(&mut start).ok()?;
    Some(crc32fast::hash(&start))
}

/// The folder of `path`; the working folder for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// An empty file in the folder of `path`, with the rights of an ordinary new file. It goes away when dropped before it is persisted.
///
/// # Errors
/// When the folder is not there or cannot be written.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".semietpicker-").suffix(".part");
    // Temporary files are private unless told otherwise; colleagues may read the result as far as the user's mask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

/// Puts the name of a renamed file on the disk.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Other systems cannot open a folder as a file.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
