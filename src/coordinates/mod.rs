//! Positions in files: reading labels, picks and truth, and exporting picks for the programs that come next.
//!
//! Inside the program a position is a voxel index `(z, y, x)` (see [`crate::geometry`]); the files here list `x, y, z`.
//! An export is a value, [`ExportTomogram`], that any writer can write; [`Format`] names the writers. To add a format, add a
//! variant, its words in [`Format::description`], and its arm in [`export`].

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::labels::Class;

mod classes;
mod csv;
mod error;
mod names;
mod relion5;
mod whole;

pub use classes::{read_classes, write_classes};
pub use csv::{CoordinateRow, Unit, read_csv, write_csv};
pub use error::CoordinateError;
pub use names::{bare_tomogram_name, same_tomogram};

use whole::WholeFiles;

/// A way to write positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Format {
    /// One table with angstrom and voxels.
    #[default]
    #[value(name = "csv")]
    Csv,
    /// What RELION 5 extracts subtomograms from.
    #[value(name = "relion5")]
    Relion5,
}

impl Format {
    /// All formats, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Csv, Self::Relion5];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Relion5 => "relion5",
        }
    }

    /// What is written and by which convention, for people who choose.
    pub fn description(self) -> &'static str {
        match self {
            Self::Csv => "particles.csv: one table, angstrom and 0-based voxel indices, with scores",
            Self::Relion5 => {
                "particles.star and optimisation_set.star for RELION 5: centred coordinates in angstrom, one folder a class"
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = CoordinateError;

    fn from_str(name: &str) -> Result<Self, CoordinateError> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| CoordinateError::Format { name: name.to_owned(), known: Self::ALL.map(Self::name).join(", ") })
    }
}

/// A position to export.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportPoint {
    /// Index into the classes of the export.
    pub class: usize,
    /// Continuous voxel index `(z, y, x)`.
    pub position: [f64; 3],
    /// Peak height of a pick; `None` for a label.
    pub score: Option<f32>,
    /// Where the position comes from, such as `label` or the model's name.
    pub source: Option<String>,
}

/// A tomogram to export; one without points stays in the set.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportTomogram {
    /// Its name in the files; unique in an export.
    pub name: String,
    /// Voxels `(z, y, x)`.
    pub shape: [usize; 3],
    /// Edge of a voxel in angstrom; `None` when nobody has said it, which refuses every format in angstrom.
    pub spacing_angstrom: Option<f64>,
    /// The positions.
    pub points: Vec<ExportPoint>,
}

/// How to export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportOptions {
    /// Replace files that exist.
    pub overwrite: bool,
    /// `csv`: one file a tomogram, named after it, instead of one `particles.csv`.
    pub file_per_tomogram: bool,
    /// `relion5`: the `tomograms.star` of the RELION project, as seen from the folder in which RELION is started.
    pub relion_tomograms_star: String,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { overwrite: false, file_per_tomogram: false, relion_tomograms_star: "tomograms.star".to_owned() }
    }
}

/// Writes `tomograms` into the folder `dir`, which is created when it is missing. Returns the files written.
///
/// Every file appears whole or not at all, and unless `overwrite` is set none of them replaces another.
///
/// # Errors
/// When a file exists and may not be replaced, when a spacing is unknown, when a name cannot be written in the format, when a
/// point names no class or is not finite, or when writing fails.
pub fn export(
    format: Format,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<Vec<PathBuf>, CoordinateError> {
    check(classes, tomograms)?;
    let mut files = WholeFiles::new(options.overwrite);
    match format {
        Format::Csv => csv::stage(&mut files, dir, classes, tomograms, options)?,
        Format::Relion5 => relion5::stage(&mut files, dir, classes, tomograms, options)?,
    }
    files.commit()
}

/// What every format relies on.
fn check(classes: &[Class], tomograms: &[ExportTomogram]) -> Result<(), CoordinateError> {
    let mut names = BTreeSet::new();
    for tomogram in tomograms {
        if tomogram.name.is_empty() || tomogram.name.trim() != tomogram.name {
            return Err(CoordinateError::name("tomogram", &tomogram.name, "it is empty or has spaces around it"));
        }
        if !names.insert(&tomogram.name) {
            return Err(CoordinateError::name("tomogram", &tomogram.name, "another tomogram has the same name"));
        }
        for point in &tomogram.points {
            if point.class >= classes.len() {
                return Err(CoordinateError::ClassIndex { index: point.class, classes: classes.len() });
            }
            if !(point.position.iter().all(|index| index.is_finite()) && point.score.is_none_or(f32::is_finite)) {
                return Err(CoordinateError::NotFinite { tomogram: tomogram.name.clone() });
            }
        }
    }
    Ok(())
}

impl ExportTomogram {
    /// The spacing, or the error that asks for it.
    fn known_spacing(&self) -> Result<f64, CoordinateError> {
        match self.spacing_angstrom {
            Some(spacing) if spacing.is_finite() && spacing > 0.0 => Ok(spacing),
            _ => Err(CoordinateError::NoSpacing { tomogram: self.name.clone() }),
        }
    }
}

/// Digits after the point that keep an angstrom to better than a thousandth of a voxel.
fn angstrom_digits(spacing_angstrom: f64) -> usize {
    if spacing_angstrom < 0.1 { 9 } else { 4 }
}

#[cfg(test)]
mod tests;
