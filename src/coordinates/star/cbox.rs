//! crYOLO: one `.cbox` a tomogram, in voxels, boxes as wide as the particle.
//!
//! `_CoordinateX` and `_CoordinateY` are the box's corner, centre minus half its width; `_CoordinateZ` is the centre, as in
//! crYOLO's and TomoTwin's own files. `data_cryolo_include` lists the slices with boxes. crYOLO finds a tomogram's boxes by the
//! name of the file, so several classes get one folder each, named after the class. What crYOLO's network alone knows is `<NA>`.

use std::collections::BTreeSet;
use std::path::Path;

use super::writing::{class_folders, push_header, push_number, push_score};
use crate::coordinates::file_names::FileNames;
use crate::coordinates::whole::WholeFiles;
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram};
use crate::labels::Class;

const COLUMNS: [&str; 11] = [
    "CoordinateX",
    "CoordinateY",
    "CoordinateZ",
    "Width",
    "Height",
    "Depth",
    "EstWidth",
    "EstHeight",
    "Confidence",
    "NumBoxes",
    "Angle",
];

pub(in crate::coordinates) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    _options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let folders = class_folders(dir, classes)?;
    for ((index, class), folder) in classes.iter().enumerate().zip(&folders) {
        let mut file_names = FileNames::default();
        for tomogram in tomograms {
            let path = folder.join(file_names.give(&[("tomogram", &tomogram.name)], ".cbox")?);
            // Rounded as it is written, so that the corner plus half the width is the centre.
            let width = (2.0 * class.radius_angstrom / tomogram.known_spacing()? * 1e3).round().max(1.0) / 1e3;
            let mut text = "\ndata_global\n\n_cbox_format_version 1.0\n".to_owned();
            push_header(&mut text, None, "cryolo", &COLUMNS);
            let mut slices = BTreeSet::new();
            for point in tomogram.points.iter().filter(|point| point.class == index) {
                let [z, y, x] = point.position;
                let start = text.len();
                for number in [x - width / 2.0, y - width / 2.0, z] {
                    push_number(&mut text, number, 4);
                }
                text.remove(start);
                for _ in ["width", "height", "depth", "estimated width", "estimated height"] {
                    push_number(&mut text, width, 3);
                }
                push_score(&mut text, point.score);
                text.push_str(" <NA> <NA>\n");
                slices.insert(z.round() as i64);
            }
            text.push('\n');
            push_header(&mut text, None, "cryolo_include", &["slice_index"]);
            for slice in slices {
                text.push_str(&format!("{slice}\n"));
            }
            text.push('\n');
            files.stage(path, text.as_bytes())?;
        }
    }
    Ok(())
}
