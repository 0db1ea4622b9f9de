//! What can go wrong with a copick project, in words for the person who opens or saves it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::causes::brief;
use crate::coordinates::CoordinateError;

/// Why a copick project could not be opened or written to.
#[derive(Debug, Error)]
pub enum CopickError {
    /// A file or folder cannot be read.
    #[error("cannot read: {source}: {}", brief(&path.display().to_string()))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The configuration is not understood.
    #[error("{}: {}", brief(message), path.display())]
    Config {
        /// What is wrong and what to do.
        message: String,
        /// The configuration.
        path: PathBuf,
    },
    /// Data that are not in the file system.
    #[error(
        "{field} is {}, which is not a folder of this computer: download or mount the data and give a path or local:// there (s3, ssh, http and the CryoET Data Portal are not read through copick): {}",
        brief(&format!("{root:?}")),
        path.display()
    )]
    Remote {
        /// `overlay_root` or `static_root`.
        field: &'static str,
        /// What the configuration says.
        root: String,
        /// The configuration.
        path: PathBuf,
    },
    /// A choice that the project does not offer.
    #[error("{message}: {}", path.display())]
    Choice {
        /// What was asked for and what there is.
        message: String,
        /// The configuration.
        path: PathBuf,
    },
    /// A name that copick does not take.
    #[error("{name:?} cannot be {what} in copick: {reason}")]
    Name {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
        /// The rule.
        reason: &'static str,
    },
    /// Saving would touch picks that are not this program's.
    #[error("{message}: {}", path.display())]
    NotOurs {
        /// Whose they are and what to do.
        message: String,
        /// The file or folder.
        path: PathBuf,
    },
    /// Picks of the same user and session are there, and nobody has agreed to replacing them.
    #[error("{files} files of {user}/{session} are there already: choose another session, or agree to replacing them: {}", path.display())]
    Exists {
        /// Their number.
        files: usize,
        /// Whose.
        user: String,
        /// In which session.
        session: String,
        /// One of them.
        path: PathBuf,
    },
    /// There is nothing to write.
    #[error("no position can be saved: {0}")]
    Nothing(String),
    /// Writing the picks failed.
    #[error(transparent)]
    Coordinates(#[from] CoordinateError),
}

impl CopickError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}
