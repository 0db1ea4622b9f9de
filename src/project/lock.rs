//! One window a project.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::ProjectError;

/// A lock on a project's folder. The operating system holds it for the process and drops it with the process, so there are no
/// stale ones after a crash; the file `lock` itself stays and means nothing.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// How long a lock that this very process seems to hold is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The process that took the lock last.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
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
        let start = Instant::now();
        let taken = loop {
            match file.try_lock() {
                // A program that this process is just starting holds the lock with it for a moment, until it becomes that program.
                Err(TryLockError::WouldBlock) if holder(&mut file) == Some(std::process::id()) && start.elapsed() < PATIENCE => {
                    std::thread::sleep(PATIENCE / 50);
                }
                other => break other,
            }
        };
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ProjectError::AlreadyOpen { pid: holder(&mut file), path: dir.to_owned() });
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
