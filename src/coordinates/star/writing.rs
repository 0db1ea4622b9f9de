//! What the writers of STAR files share: headers, values, names and folders.
//!
//! RELION's parser (`metadata_table.cpp`) asks for line feeds alone, one space before the number of a column, and a blank line
//! after the rows; it takes any line with `data_` for the start of a block. Rows must have a value in every column.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::coordinates::file_names::FileNames;
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram, angstrom_digits, bare_tomogram_name};
use crate::labels::Class;

/// The figure of merit of a position that a person has given.
pub(super) const LABEL_FIGURE_OF_MERIT: f32 = 1.0;

/// The version that RELION 5 writes.
pub(super) const RELION5: Option<u32> = Some(50001);

/// The columns of [`push_centred`].
pub(super) const CENTRED_COLUMNS: [&str; 5] = [
    "rlnTomoName",
    "rlnCenteredCoordinateXAngst",
    "rlnCenteredCoordinateYAngst",
    "rlnCenteredCoordinateZAngst",
    "rlnAutopickFigureOfMerit",
];

/// Begins a table: the version for RELION, the block, the columns.
pub(super) fn push_header(text: &mut String, version: Option<u32>, block: &str, columns: &[&str]) {
    if let Some(version) = version {
        let _ = write!(text, "\n# version {version}\n");
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "\ndata_{block}\n\nloop_\n");
    for (index, column) in columns.iter().enumerate() {
        let _ = writeln!(text, "_{column} #{}", index + 1);
    }
}

/// Rows of [`CENTRED_COLUMNS`] with the points of one class: `(index - N / 2) * spacing + offset`, `N` the voxels along the axis.
pub(super) fn push_centred(
    text: &mut String,
    class: usize,
    name: &str,
    tomogram: &ExportTomogram,
    offset_angstrom: f64,
) -> Result<(), CoordinateError> {
    let spacing = tomogram.known_spacing()?;
    let digits = angstrom_digits(spacing);
    for point in tomogram.points.iter().filter(|point| point.class == class) {
        text.push_str(name);
        for axis in [2, 1, 0] {
            let centred = (point.position[axis] - tomogram.shape[axis] as f64 / 2.0) * spacing + offset_angstrom;
            push_number(text, centred, digits);
        }
        push_score(text, point.score);
        text.push('\n');
    }
    Ok(())
}

/// A space and the number, never as -0.
pub(super) fn push_number(text: &mut String, number: f64, digits: usize) {
    let start = text.len();
    let _ = write!(text, " {number:.digits$}");
    if text[start..].starts_with(" -") && text[start + 2..].bytes().all(|letter| matches!(letter, b'0' | b'.')) {
        text.remove(start + 1);
    }
}

/// A space and the score; a label's stands for certain.
pub(super) fn push_score(text: &mut String, score: Option<f32>) {
    let _ = write!(text, " {}", score.unwrap_or(LABEL_FIGURE_OF_MERIT));
}

/// What RELION's own picker adds to every coordinate: it counts from `N / 2 - 1` pixels of the tilt series instead of `N / 2`
/// (`get_particle_poses/particles.py`, relion issue 1137), so its positions are one pixel larger along each axis.
///
/// # Errors
/// When it is asked for without the size of that pixel.
pub(super) fn picker_offset_angstrom(options: &ExportOptions) -> Result<f64, CoordinateError> {
    if !options.relion_picker_offset {
        return Ok(0.0);
    }
    tilt_series_pixel(options, "shifting positions as RELION's own picker does")
}

/// The size of the tilt series' pixel, or the error that asks for it.
pub(super) fn tilt_series_pixel(options: &ExportOptions, what: &'static str) -> Result<f64, CoordinateError> {
    options
        .tilt_series_pixel_angstrom
        .filter(|pixel| pixel.is_finite() && *pixel > 0.0)
        .ok_or(CoordinateError::NoTiltSeriesPixel { what })
}

/// `value` as RELION's parser reads it back: in quotes when it has a space or `#`.
pub(super) fn star_value(what: &'static str, value: &str) -> Result<String, CoordinateError> {
    let refuse = |reason| Err(CoordinateError::name(what, value, reason));
    if value.is_empty() {
        return refuse("it is empty");
    }
    if value.chars().any(char::is_control) {
        return refuse("it has a line break or another control character");
    }
    if value.contains(['"', '\'']) {
        return refuse("it has a quotation mark");
    }
    if value.contains("  ") {
        return refuse("it has two spaces one after the other, which RELION makes one");
    }
    if value.contains("data_") {
        return refuse("RELION takes a line with data_ for the start of a table");
    }
    if value.starts_with(['_', ';']) || value.starts_with("loop_") {
        return refuse("RELION takes a line that starts with _, ; or loop_ for something else than a row");
    }
    Ok(if value.contains(|letter: char| letter == '#' || letter.is_whitespace()) {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    })
}

/// The names of the tilt series behind the tomograms ([`bare_tomogram_name`]), by which RELION and Warp know them: a tomogram
/// `rec_TS_1` or `TS_1_10.00Apx` is of the tilt series `TS_1`.
///
/// # Errors
/// When two tomograms are of one tilt series.
pub(super) fn tilt_series_names(tomograms: &[ExportTomogram]) -> Result<Vec<&str>, CoordinateError> {
    let mut names = BTreeSet::new();
    tomograms
        .iter()
        .map(|tomogram| {
            let bare = bare_tomogram_name(&tomogram.name);
            let reason = "another tomogram is of the same tilt series (without rec_ before and a pixel size after the name)";
            if names.insert(bare) { Ok(bare) } else { Err(CoordinateError::name("tomogram", &tomogram.name, reason)) }
        })
        .collect()
}

/// One folder a class, named after it; a single class is written into `dir` itself.
///
/// # Errors
/// When a class's name cannot be a folder's, or when two are one folder on some systems.
pub(super) fn class_folders(dir: &Path, classes: &[Class]) -> Result<Vec<PathBuf>, CoordinateError> {
    if classes.len() == 1 {
        return Ok(vec![dir.to_owned()]);
    }
    let mut names = FileNames::default();
    classes.iter().map(|class| names.give(&[("class", &class.name)], "").map(|name| dir.join(name))).collect()
}

/// A file of the export as RELION is to find it: by `dir` as it was given, in quotes when it must be.
pub(super) fn path_value(path: &Path) -> Result<String, CoordinateError> {
    let text = path.to_str().ok_or_else(|| CoordinateError::name("folder", &path.to_string_lossy(), "it is not UTF-8"))?;
    star_value("folder", text)
}
