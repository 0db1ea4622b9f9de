//! Warp and M: one STAR file a class, a single block `data_`, coordinates in voxels of the tomogram.
//!
//! `ts_export_particles` wants `rlnCoordinateX/Y/Z` and `rlnMicrographName`, the name of the `.tomostar`, and is told with
//! `--coords_angpix` what a voxel measures: the spacing of the tomograms that were picked. Warp splits rows at blanks and knows
//! no quotation marks, so names with blanks are refused.

use std::path::Path;

use super::writing::{push_header, push_number, push_score, star_value, tilt_series_names};
use crate::coordinates::file_names::FileNames;
use crate::coordinates::whole::WholeFiles;
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram};
use crate::labels::Class;

const COLUMNS: [&str; 5] =
    ["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "rlnMicrographName", "rlnAutopickFigureOfMerit"];

pub(in crate::coordinates) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    _options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let names = tilt_series_names(tomograms)?;
    for name in &names {
        if star_value("tomogram", name)? != *name {
            return Err(CoordinateError::name("tomogram", name, "Warp cannot read names with spaces or #"));
        }
    }
    let mut file_names = FileNames::default();
    for (index, class) in classes.iter().enumerate() {
        let path = dir.join(file_names.give(&[("class", &class.name)], ".star")?);
        let mut text = String::new();
        push_header(&mut text, None, "", &COLUMNS);
        for (tomogram, name) in tomograms.iter().zip(&names) {
            for point in tomogram.points.iter().filter(|point| point.class == index) {
                let start = text.len();
                for axis in [2, 1, 0] {
                    push_number(&mut text, point.position[axis], 4);
                }
                text.remove(start);
                text.push_str(&format!(" {name}.tomostar"));
                push_score(&mut text, point.score);
                text.push('\n');
            }
        }
        text.push('\n');
        files.stage(path, text.as_bytes())?;
    }
    Ok(())
}
