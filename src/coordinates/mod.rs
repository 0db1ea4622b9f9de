//! Positions in files: reading labels, picks and truth, and exporting picks for the programs that come next.
//!
//! Inside the program a position is a voxel index `(z, y, x)` (see [`crate::geometry`]); the files here list `x, y, z`.
//! An export is a value, [`ExportTomogram`], that any writer can write; what is read becomes [`Positions`], whatever the unit.
//! [`Format`] names the forms. To add one, add a variant, its words in [`Format::description`], its arm in [`export`], and, where
//! it is read too, its arms in `import.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::labels::Class;

mod classes;
mod cmm;
mod coords;
mod copick;
mod csv;
mod dynamo;
mod eman2;
mod error;
mod file_names;
mod imod;
mod import;
mod kaggle;
mod names;
mod place;
mod portal;
mod questions;
mod row;
mod star;
mod text;
mod whole;

pub use classes::{read_classes, write_classes};
pub use csv::write_csv;
pub use error::CoordinateError;
pub use import::{parse_positions, read_csv, read_positions};
pub use names::{bare_tomogram_name, same_tomogram};
pub use place::{PlaceOptions, Placed, Placement, Target, asks_tilt_series_pixel, place, rest_of_file_name, target_of_file};
pub use row::{CoordinateRow, Frame, Missing, Positions, ReadOptions, Unit};

use whole::WholeFiles;

/// A form of files with positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Format {
    /// One table with angstrom and voxels.
    #[default]
    #[value(name = "csv")]
    Csv,
    /// The table of the CZII challenge.
    #[value(name = "kaggle")]
    Kaggle,
    /// What RELION 5 extracts subtomograms from.
    #[value(name = "relion5")]
    Relion5,
    /// What RELION 5 imports coordinates from.
    #[value(name = "relion5-import")]
    Relion5Import,
    /// What RELION 4 reads.
    #[value(name = "relion4")]
    Relion4,
    /// What Warp and M read.
    #[value(name = "warp")]
    Warp,
    /// Picks of a copick project.
    #[value(name = "copick")]
    Copick,
    /// Points of the CryoET Data Portal.
    #[value(name = "portal-ndjson")]
    PortalNdjson,
    /// A model of IMOD.
    #[value(name = "imod")]
    Imod,
    /// A table of Dynamo.
    #[value(name = "dynamo")]
    Dynamo,
    /// What EMAN2's boxer reads.
    #[value(name = "eman2")]
    Eman2,
    /// Boxes of crYOLO.
    #[value(name = "cbox")]
    Cbox,
    /// Plain voxel indices.
    #[value(name = "coords")]
    Coords,
    /// Markers of ChimeraX.
    #[value(name = "cmm")]
    Cmm,
}

impl Format {
    /// All formats, in the order in which they are offered.
    pub const ALL: [Self; 14] = [
        Self::Csv,
        Self::Kaggle,
        Self::Relion5,
        Self::Relion5Import,
        Self::Relion4,
        Self::Warp,
        Self::Copick,
        Self::PortalNdjson,
        Self::Imod,
        Self::Dynamo,
        Self::Eman2,
        Self::Cbox,
        Self::Coords,
        Self::Cmm,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Kaggle => "kaggle",
            Self::Relion5 => "relion5",
            Self::Relion5Import => "relion5-import",
            Self::Relion4 => "relion4",
            Self::Warp => "warp",
            Self::Copick => "copick",
            Self::PortalNdjson => "portal-ndjson",
            Self::Imod => "imod",
            Self::Dynamo => "dynamo",
            Self::Eman2 => "eman2",
            Self::Cbox => "cbox",
            Self::Coords => "coords",
            Self::Cmm => "cmm",
        }
    }

    /// What is written and by which convention, for people who choose.
    pub fn description(self) -> &'static str {
        match self {
            Self::Csv => "one table, angstrom and 0-based voxel indices, with scores",
            Self::Kaggle => "one table id, experiment, particle_type, x, y, z in angstrom, as the CZII challenge has it",
            Self::Relion5 => {
                "particles.star and optimisation_set.star for RELION 5: centred coordinates in angstrom, one folder a class"
            }
            Self::Relion5Import => "an index and one STAR file a tomogram, for RELION 5's job Import coordinates",
            Self::Relion4 => "particles.star for RELION 3.1 and 4: unbinned pixels of the tilt series, with optics groups",
            Self::Warp => "one STAR file a class for Warp and M: tomogram voxels, rlnMicrographName NAME.tomostar",
            Self::Copick => "ExperimentRuns/RUN/Picks/USER_SESSION_OBJECT.json, in angstrom",
            Self::PortalNdjson => "one JSON object a line in voxels, as the CryoET Data Portal has it",
            Self::Imod => "one .mod a tomogram for IMOD, an object a class, scattered points",
            Self::Dynamo => "one .tbl for Dynamo, with a list of the tomograms' indices",
            Self::Eman2 => "info/NAME_info.json for EMAN2's tomogram boxer",
            Self::Cbox => "one .cbox a tomogram and class for crYOLO, boxes of the particle's size",
            Self::Coords => "one text file a tomogram and class: x y z in voxels",
            Self::Cmm => "one .cmm a tomogram for ChimeraX: markers in angstrom with colour and radius",
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

/// How to export: the questions that single formats ask.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    /// Replace files that exist.
    pub overwrite: bool,
    /// `csv`, `kaggle`: one file a tomogram, named after it, instead of one for all.
    pub file_per_tomogram: bool,
    /// `relion5`: the `tomograms.star` of the RELION project, as seen from the folder in which RELION is started.
    pub relion_tomograms_star: String,
    /// `relion5`, `relion5-import`: shift by one tilt-series pixel, as RELION's own napari picker does (relion issue 1137).
    /// Needs `tilt_series_pixel_angstrom`.
    pub relion_picker_offset: bool,
    /// `relion4`, `eman2`: pixel of the unbinned tilt series in angstrom; those formats count in it.
    pub tilt_series_pixel_angstrom: Option<f64>,
    /// `copick`: under whose name the picks are written.
    pub copick_user: String,
    /// `copick`: the session under which the picks are written.
    pub copick_session: String,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            overwrite: false,
            file_per_tomogram: false,
            relion_tomograms_star: "tomograms.star".to_owned(),
            relion_picker_offset: false,
            tilt_series_pixel_angstrom: None,
            copick_user: "semietpicker".to_owned(),
            copick_session: "1".to_owned(),
        }
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
    let stage = match format {
        Format::Csv => csv::stage,
        Format::Kaggle => kaggle::stage,
        Format::Relion5 => star::relion5::stage,
        Format::Relion5Import => star::relion5_import::stage,
        Format::Relion4 => star::relion4::stage,
        Format::Warp => star::warp::stage,
        Format::Copick => copick::stage,
        Format::PortalNdjson => portal::stage,
        Format::Imod => imod::stage,
        Format::Dynamo => dynamo::stage,
        Format::Eman2 => eman2::stage,
        Format::Cbox => star::cbox::stage,
        Format::Coords => coords::stage,
        Format::Cmm => cmm::stage,
    };
    stage(&mut files, dir, classes, tomograms, options)?;
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
#[cfg(test)]
mod tests_formats;
