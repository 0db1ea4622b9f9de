//! RELION 5's job "Import coordinates": `import_coordinates.star`, which names one STAR file a tomogram.
//!
//! The job (`import_coordinates.cpp`) reads the first block of each file as it stands into its `particles.star`, so the columns
//! are those of RELION 5's particles, angstrom from the centre; it needs no switch for centred coordinates and no factor. It
//! compares the tomogram's name in the index with that in the first row, and stops at a file without rows: a tomogram without a
//! pick has no file, and stays in RELION's own set of tomograms. Several classes get one folder each.

use std::path::Path;

use super::writing::{
    CENTRED_COLUMNS, RELION5, class_folders, path_value, picker_offset_angstrom, push_centred, push_header, star_value,
    tilt_series_names,
};
use crate::coordinates::file_names::FileNames;
use crate::coordinates::whole::WholeFiles;
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram};
use crate::labels::Class;

/// The index.
const INDEX: &str = "import_coordinates";

pub(in crate::coordinates) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let offset_angstrom = picker_offset_angstrom(options)?;
    let names = tilt_series_names(tomograms)?;
    for (class, folder) in class_folders(dir, classes)?.iter().enumerate() {
        let mut file_names = FileNames::default();
        let index_path = folder.join(file_names.give(&[("index", INDEX)], ".star")?);
        let mut index = String::new();
        push_header(&mut index, RELION5, "", &["rlnTomoName", "rlnTomoImportParticleFile"]);
        for (tomogram, name) in tomograms.iter().zip(&names) {
            let value = star_value("tomogram", name)?;
            let mut text = String::new();
            push_header(&mut text, RELION5, "particles", &CENTRED_COLUMNS);
            push_centred(&mut text, class, &value, tomogram, offset_angstrom)?;
            text.push('\n');
            let path = folder.join(file_names.give(&[("tomogram", name)], ".star")?);
            if tomogram.points.iter().any(|point| point.class == class) {
                index.push_str(&format!("{value} {}\n", path_value(&path)?));
                files.stage(path, text.as_bytes())?;
            }
        }
        index.push('\n');
        files.stage(index_path, index.as_bytes())?;
    }
    Ok(())
}
