//! The snapshot, `project.json`, and its backups `project.json.1` (the newest) to `.3`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ProjectError;
use super::state::ProjectState;
use crate::files::{sync_folder, temporary_beside};

/// The format that this program writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;
pub(super) const SNAPSHOT: &str = "project.json";
const BACKUPS: usize = 3;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    sequence: u64,
    #[serde(flatten)]
    state: &'a ProjectState,
}

/// Read first, alone: a newer format may differ in everything else.
#[derive(Deserialize)]
struct Head {
    version: u32,
    sequence: u64,
}

/// The path of the backup `number`, from 1.
pub(super) fn backup(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("{SNAPSHOT}.{number}"))
}

/// Every file that a snapshot may consist of.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    std::iter::once(dir.join(SNAPSHOT)).chain((1..=BACKUPS).map(|number| backup(dir, number))).collect()
}

/// Writes the snapshot; the one before becomes the first backup. A crash at any moment leaves a whole `project.json`.
pub(super) fn write(dir: &Path, state: &ProjectState, sequence: u64) -> Result<(), ProjectError> {
    let path = dir.join(SNAPSHOT);
    let failed = |source| ProjectError::Io { action: "write the project", path: path.clone(), source };
    let mut text = serde_json::to_vec(&Written { version: VERSION, sequence, state })
        .map_err(|error| ProjectError::Unwritable(error.to_string()))?;
    text.push(b'\n');
    let mut file = temporary_beside(&path).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    if path.exists() {
        // A backup that cannot be made is no reason not to save.
        if let Err(error) = keep_backup(dir, &path) {
            log::warn!("cannot keep a backup of the project: {error}: {}", path.display());
        }
    }
    file.persist(&path).map_err(|error| failed(error.error))?;
    sync_folder(dir).map_err(failed)
}

/// Moves the backups on by one. `project.json` itself stays in its place until the new one replaces it.
fn keep_backup(dir: &Path, path: &Path) -> io::Result<()> {
    for number in (1..BACKUPS).rev() {
        let older = backup(dir, number);
        if older.exists() {
            fs::rename(&older, backup(dir, number + 1))?;
        }
    }
    let first = backup(dir, 1);
    fs::hard_link(path, &first).or_else(|_| fs::copy(path, &first).map(drop))
}

/// A snapshot as it was found.
pub(super) struct Found {
    pub state: ProjectState,
    pub sequence: u64,
    /// What had to be done, for people.
    pub notes: Vec<String>,
}

/// Reads the snapshot, or the newest backup that can be read. A `project.json` that cannot be read is kept under another name.
pub(super) fn read(dir: &Path) -> Result<Found, ProjectError> {
    let mut found = look(dir)?;
    let path = dir.join(SNAPSHOT);
    if let Some(note) = found.notes.first_mut()
        && path.exists()
    {
        let kept = (1..1000).map(|n| dir.join(format!("{SNAPSHOT}.damaged-{n}"))).find(|kept| !kept.exists());
        if let Some(kept) = kept
            && fs::rename(&path, &kept).is_ok()
        {
            note.push_str(&format!("; the unreadable file was kept: {}", kept.display()));
        }
    }
    Ok(found)
}

/// Reads the snapshot, or the newest backup that can be read, which the only note then says; changes nothing.
pub(super) fn look(dir: &Path) -> Result<Found, ProjectError> {
    let path = dir.join(SNAPSHOT);
    if !files(dir).iter().any(|file| file.exists()) {
        return Err(ProjectError::NotAProject(dir.to_owned()));
    }
    let message = match read_one(&path)? {
        Ok((state, sequence)) => return Ok(Found { state, sequence, notes: Vec::new() }),
        Err(message) => message,
    };
    for number in 1..=BACKUPS {
        let Ok(Ok((state, sequence))) = read_one(&backup(dir, number)) else { continue };
        let note = format!(
            "project.json could not be read ({message}); the backup project.json.{number} was opened, and changes made between \
             the two may be missing"
        );
        return Ok(Found { state, sequence, notes: vec![note] });
    }
    Err(ProjectError::Damaged { message, path: dir.to_owned() })
}

/// The outer error ends the search for a readable snapshot, the inner one goes on with it.
fn read_one(path: &Path) -> Result<Result<(ProjectState, u64), String>, ProjectError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        // A permission or a disk that fails is not cured by opening older labels.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ProjectError::io("read the project", path)(error)),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let head: Head = match serde_json::from_slice(&bytes) {
        Ok(head) => head,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if head.version > VERSION {
        return Err(ProjectError::Version { found: head.version, known: VERSION, path: path.to_owned() });
    }
    let state = serde_json::from_slice::<ProjectState>(&bytes).map_err(|error| error.to_string());
    Ok(state.and_then(|state| state.checked().map_err(|error| error.to_string())).map(|state| (state, head.sequence)))
}
