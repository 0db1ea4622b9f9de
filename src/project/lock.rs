//! One window a project.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::ProjectError;

/// A lock on a project's folder. The operating system holds it for the process and drops it with the process, so there are no
/// stale ones after a crash; the file `lock` itself stays and means nothing.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock. The second value says that the file system knows no locks, and that the project was opened without.
    pub fn take(dir: &Path) -> Result<(Self, Option<String>), ProjectError> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(ProjectError::io("write to the project's folder", &path))?;
        let mut note = None;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(ProjectError::AlreadyOpen { pid, path: dir.to_owned() });
            }
            Err(TryLockError::Error(error)) => {
                note = Some(format!("the file system knows no locks ({error}): do not open the project in two windows at once"));
            }
        }
        // The number is for the message above alone; a full disk must not keep the project closed.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
        Ok((Self { _file: file }, note))
    }
}
