//! The table of the CZII challenge: `id,experiment,particle_type,x,y,z` with `id` from 0 over the whole file and positions in
//! angstrom, index times spacing. Its own reader is [`super::csv`]'s, to which it is a table like any other. It has no place for
//! scores.

use std::path::Path;

use ::csv::WriterBuilder;

use super::csv::class_of;
use super::file_names::FileNames;
use super::{CoordinateError, ExportOptions, ExportTomogram, WholeFiles, angstrom_digits};
use crate::labels::Class;

/// `submission.csv`, or one `NAME.csv` a tomogram.
pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    if !options.file_per_tomogram {
        let path = dir.join("submission.csv");
        let table = table(classes, tomograms, &path)?;
        return files.stage(path, &table);
    }
    let mut names = FileNames::default();
    for tomogram in tomograms {
        let path = dir.join(names.give(&[("tomogram", &tomogram.name)], ".csv")?);
        let table = table(classes, std::slice::from_ref(tomogram), &path)?;
        files.stage(path, &table)?;
    }
    Ok(())
}

fn table(classes: &[Class], tomograms: &[ExportTomogram], path: &Path) -> Result<Vec<u8>, CoordinateError> {
    let failed = |message: String| CoordinateError::Content { path: path.to_owned(), message };
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(["id", "experiment", "particle_type", "x", "y", "z"]).map_err(|error| failed(error.to_string()))?;
    let mut id = 0_u64;
    for tomogram in tomograms {
        let spacing = tomogram.known_spacing()?;
        let digits = angstrom_digits(spacing);
        for point in &tomogram.points {
            let [z, y, x] = point.position.map(|index| format!("{:.digits$}", index * spacing));
            let class = &class_of(classes, point)?.name;
            writer
                .write_record([&id.to_string(), &tomogram.name, class, &x, &y, &z])
                .map_err(|error| failed(error.to_string()))?;
            id += 1;
        }
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}
