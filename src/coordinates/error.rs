//! What can go wrong with coordinate files, in words for the person who has the file.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::causes::brief;
use crate::labels::EditError;

/// Why positions or classes could not be read or written.
#[derive(Debug, Error)]
pub enum CoordinateError {
    /// The file cannot be read.
    #[error("cannot read the file: {source}: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file cannot be written; what was there before is untouched.
    #[error("cannot write the file: {source}: {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is there and may not be replaced.
    #[error("the file exists already: allow overwriting, or choose another folder: {}", .0.display())]
    Exists(PathBuf),
    /// A line of a table is not understood.
    #[error("line {line}: {}: {}", brief(message), path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// What is wrong and what to do.
        message: String,
    },
    /// A file as a whole is not understood.
    #[error("{}: {}", brief(message), path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// An entry of a file of classes breaks a rule.
    #[error("class {entry}: {}: {}", brief(&source.to_string()), path.display())]
    Class {
        /// The file.
        path: PathBuf,
        /// Which entry, from 1.
        entry: usize,
        /// The rule.
        source: EditError,
    },
    /// Angstrom were asked for and the spacing is unknown.
    #[error(
        "the voxel spacing of tomogram {tomogram:?} is unknown, so its positions cannot be given in angstrom: set the spacing first"
    )]
    NoSpacing {
        /// The tomogram.
        tomogram: String,
    },
    /// The size of the tilt series' pixel is needed and was not given.
    #[error("{what} needs the pixel size of the unbinned tilt series in angstrom: give the tilt-series pixel size")]
    NoTiltSeriesPixel {
        /// What needs it.
        what: &'static str,
    },
    /// A name that cannot be written.
    #[error("the {what} name {name:?} cannot be written in this format: {reason}: rename it")]
    Name {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A point of a class that is not among those exported.
    #[error("a point is of class {index}, but there are only {classes} classes")]
    ClassIndex {
        /// The point's class, from 0.
        index: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A position or score is not a number.
    #[error("tomogram {tomogram:?} has a position or score that is not finite")]
    NotFinite {
        /// The tomogram.
        tomogram: String,
    },
    /// Not a format.
    #[error("there is no coordinate format {name:?}: use one of {known}")]
    Format {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl CoordinateError {
    pub(super) fn name(what: &'static str, name: &str, reason: &'static str) -> Self {
        Self::Name { what, name: name.to_owned(), reason }
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_quotes_a_long_file_is_cut_in_the_middle() {
        let message = |quoted: String| {
            CoordinateError::Line { path: "a.csv".into(), line: 3, message: format!("{quoted:?} is not a number") }.to_string()
        };
        assert_eq!(message("é".repeat(500)), format!("line 3: {:?} is not a number: a.csv", "é".repeat(500)));
        let long = message("é".repeat(100_000));
        assert!(long.starts_with("line 3: \"ééé") && long.ends_with("éé\" is not a number: a.csv"), "{long}");
        assert!((600..640).contains(&long.chars().count()), "{long}");
    }
}
