//! RELION 5: `particles.star`, which its extraction reads, and `optimisation_set.star`, which joins it to the tomograms.
//!
//! Coordinates are in angstrom from the volume's centre, `(index - N / 2) * spacing` with `N` the number of voxels along the
//! axis, as RELION's own `tomogram_set.cpp` has it (`rlnCenteredCoordinateXAngst`). Particles of different classes are
//! averaged apart, so several classes get one folder each, named after the class; a single class is written into `dir` itself.
//! `optimisation_set.star` names `particles.star` by `dir` as it was given: a relative `dir` is right when RELION is started in
//! the same folder, as it is from a RELION project; an absolute one is right everywhere.
//!
//! Which tomograms are in the set is for `tomograms.star` to say, so one without a pick stays in; a class without a pick gets
//! a table without rows. RELION requires a value in every row: a label, which has no score, gets a figure of merit of 1.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::{CoordinateError, ExportOptions, ExportTomogram, WholeFiles, angstrom_digits};
use crate::labels::Class;

/// The figure of merit of a position that a person has given.
const LABEL_FIGURE_OF_MERIT: f32 = 1.0;

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let mut folders = BTreeSet::new();
    let tomograms_star = star_value("tomograms.star", &options.relion_tomograms_star)?;
    for (index, class) in classes.iter().enumerate() {
        let folder = if classes.len() == 1 { dir.to_owned() } else { dir.join(folder_name(&class.name)?) };
        if classes.len() > 1 && !folders.insert(class.name.to_lowercase()) {
            return Err(CoordinateError::name("class", &class.name, "another class differs in upper and lower case alone"));
        }
        let particles_path = folder.join("particles.star");
        let particles_file = particles_path
            .to_str()
            .ok_or_else(|| CoordinateError::name("folder", &folder.to_string_lossy(), "it is not UTF-8"))?;
        let set = format!(
            "\n# version 50001\n\ndata_optimisation_set\n\nloop_\n_rlnTomoParticlesFile #1\n_rlnTomoTomogramsFile #2\n{} {tomograms_star}\n\n",
            star_value("folder", particles_file)?
        );
        files.stage(folder.join("particles.star"), particles(index, tomograms)?.as_bytes())?;
        files.stage(folder.join("optimisation_set.star"), set.as_bytes())?;
    }
    Ok(())
}

/// The text of `particles.star` with the points of one class.
fn particles(class: usize, tomograms: &[ExportTomogram]) -> Result<String, CoordinateError> {
    let mut text = "\n# version 50001\n\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCenteredCoordinateXAngst #2\n\
        _rlnCenteredCoordinateYAngst #3\n_rlnCenteredCoordinateZAngst #4\n_rlnAutopickFigureOfMerit #5\n"
        .to_owned();
    for tomogram in tomograms {
        let name = star_value("tomogram", &tomogram.name)?;
        let spacing = tomogram.known_spacing()?;
        let digits = angstrom_digits(spacing);
        for point in tomogram.points.iter().filter(|point| point.class == class) {
            text.push_str(&name);
            for axis in [2, 1, 0] {
                let centred = (point.position[axis] - tomogram.shape[axis] as f64 / 2.0) * spacing;
                // Writing to a String cannot fail.
                let _ = write!(text, " {:.digits$}", centred + 0.0);
            }
            let _ = writeln!(text, " {}", point.score.unwrap_or(LABEL_FIGURE_OF_MERIT));
        }
    }
    text.push('\n');
    Ok(text)
}

/// `value` as RELION's parser reads it back: in quotes when it has a space or `#`.
fn star_value(what: &'static str, value: &str) -> Result<String, CoordinateError> {
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

/// A class's name as a folder.
fn folder_name(name: &str) -> Result<&str, CoordinateError> {
    if name.contains(['/', '\\', '<', '>', ':', '"', '|', '?', '*']) || name.starts_with('.') || name.ends_with('.') {
        return Err(CoordinateError::name("class", name, "it becomes the name of a folder"));
    }
    Ok(name)
}
