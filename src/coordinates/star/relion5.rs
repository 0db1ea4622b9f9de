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

use std::path::Path;

use super::writing::{
    CENTRED_COLUMNS, RELION5, class_folders, path_value, picker_offset_angstrom, push_centred, push_header, star_value,
    tilt_series_names,
};
use crate::coordinates::whole::WholeFiles;
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram};
use crate::labels::Class;

pub(in crate::coordinates) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let tomograms_star = star_value("tomograms.star", &options.relion_tomograms_star)?;
    let offset_angstrom = picker_offset_angstrom(options)?;
    let names = tilt_series_names(tomograms)?;
    for (class, folder) in class_folders(dir, classes)?.iter().enumerate() {
        let particles_path = folder.join("particles.star");
        let mut particles = String::new();
        push_header(&mut particles, RELION5, "particles", &CENTRED_COLUMNS);
        for (tomogram, name) in tomograms.iter().zip(&names) {
            push_centred(&mut particles, class, &star_value("tomogram", name)?, tomogram, offset_angstrom)?;
        }
        particles.push('\n');
        let mut set = String::new();
        push_header(&mut set, RELION5, "optimisation_set", &["rlnTomoParticlesFile", "rlnTomoTomogramsFile"]);
        set.push_str(&format!("{} {tomograms_star}\n\n", path_value(&particles_path)?));
        files.stage(particles_path, particles.as_bytes())?;
        files.stage(folder.join("optimisation_set.star"), set.as_bytes())?;
    }
    Ok(())
}
