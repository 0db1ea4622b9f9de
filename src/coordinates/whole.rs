//! Files that appear whole or not at all.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::CoordinateError;
use crate::files::{folder_of, temporary_beside};

/// Files written beside their final places, which they take together in [`WholeFiles::commit`]. Dropped before that, they
/// leave nothing behind.
pub(super) struct WholeFiles {
    overwrite: bool,
    staged: Vec<(PathBuf, NamedTempFile)>,
}

impl WholeFiles {
    pub fn new(overwrite: bool) -> Self {
        Self { overwrite, staged: Vec::new() }
    }

    /// Writes `content` for `path`, creating its folder.
    pub fn stage(&mut self, path: PathBuf, content: &[u8]) -> Result<(), CoordinateError> {
        // Looked at before the work as well as in `commit`, so that the usual mistake is reported with nothing created.
        if path.is_dir() || (!self.overwrite && path.exists()) {
            return Err(CoordinateError::Exists(path));
        }
        let dir = folder_of(&path);
        fs::create_dir_all(dir).map_err(|source| CoordinateError::write(dir, source))?;
        let mut file = temporary_beside(&path).map_err(|source| CoordinateError::write(&path, source))?;
        file.write_all(content)
            .and_then(|()| file.as_file().sync_all())
            .map_err(|source| CoordinateError::write(&path, source))?;
        self.staged.push((path, file));
        Ok(())
    }

    /// Puts every file in its place. When one fails, those already placed are removed again unless they replaced a file.
    pub fn commit(self) -> Result<Vec<PathBuf>, CoordinateError> {
        let mut placed = Vec::new();
        let mut created = Vec::new();
        for (path, file) in self.staged {
            let existed = path.exists();
            let result = if self.overwrite { file.persist(&path) } else { file.persist_noclobber(&path) };
            if let Err(error) = result {
                for path in created {
                    // The export has failed anyway, and that is what the user hears.
                    let _ = fs::remove_file(path);
                }
                return Err(if existed && !self.overwrite {
                    CoordinateError::Exists(path)
                } else {
                    CoordinateError::write(&path, error.error)
                });
            }
            if !existed {
                created.push(path.clone());
            }
            placed.push(path);
        }
        Ok(placed)
    }
}
