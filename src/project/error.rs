//! What can go wrong with a project, in words for the person whose labels it holds.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::labels::{EditError, TomogramId};

/// Why a project could not be opened, changed or saved.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// The change is made and kept in memory, but it could not be written. It is written with the next change, by
    /// [`super::Project::flush`], or as part of [`super::Project::save_as`].
    #[error("{records} changes are not on the disk yet: {source}: make room or save the project elsewhere: {}", path.display())]
    Unsaved {
        /// Changes waiting.
        records: usize,
        /// The journal.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot {action}: {source}: {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no project in the folder.
    #[error("the folder holds no project (no project.json): choose another folder, or create a project in it: {}", .0.display())]
    NotAProject(PathBuf),
    /// There is one already.
    #[error("the folder holds a project already: open it, or choose another folder: {}", .0.display())]
    Exists(PathBuf),
    /// Another process has it open.
    #[error("the project is already open in another window{}: close it there first: {}",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    AlreadyOpen {
        /// The other process, when it could be told.
        pid: Option<u32>,
        /// The project's folder.
        path: PathBuf,
    },
    /// Written by a program that knows more.
    #[error("the project was written by a newer version of this program (format {found}, known up to {known}): update the program: {}", path.display())]
    Version {
        /// The format found.
        found: u32,
        /// The newest format known.
        known: u32,
        /// The snapshot.
        path: PathBuf,
    },
    /// Neither the snapshot nor a backup can be understood.
    #[error("neither project.json nor a backup of it can be read: {message}: {}", path.display())]
    Damaged {
        /// What is wrong with project.json.
        message: String,
        /// The project's folder.
        path: PathBuf,
    },
    /// The labels do not allow the edit; nothing has changed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// No tomogram of this identity; nothing has changed.
    #[error("there is no tomogram {} in the project", .0.0)]
    NoTomogram(TomogramId),
    /// The identity is in use; nothing has changed.
    #[error("the identity {} of a new tomogram is already in use: take one from new_tomogram_id", .0.0)]
    TomogramId(TomogramId),
    /// Not a spacing; nothing has changed.
    #[error("{spacing_angstrom} Å is not the voxel spacing of a tomogram ({tomogram}): give a positive number of angstrom")]
    Spacing {
        /// The tomogram.
        tomogram: String,
        /// What was given.
        spacing_angstrom: f64,
    },
    /// A value that JSON cannot hold, such as a path that is not UTF-8; nothing has changed.
    #[error("the change cannot be written to a project: {0}")]
    Unwritable(String),
    /// There is no place for unnamed projects.
    #[error(
        "there is no folder for unnamed projects: set HOME or XDG_DATA_HOME, or create the project in a folder of your choice"
    )]
    NoDataFolder,
}

impl ProjectError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
