//! RELION 4: `particles.star` with coordinates in pixels of the unbinned tilt series, and the optics group that says their size.
//!
//! A coordinate is index times spacing over that pixel's size (`rlnCoordinateX/Y/Z`; RELION 5 still reads them). RELION 4's job
//! "Import coordinates" reads the first block of the file (`import_particles.cpp`), so `data_particles` comes first; everything
//! else finds the blocks by name. RELION 4 refuses particles whose optics lack `rlnTomoTiltSeriesPixelSize`; voltage and the
//! like it takes from its tomograms. Several classes get one folder each; a single class is written into `dir` itself.

use std::path::Path;

use super::writing::{class_folders, push_header, push_number, push_score, star_value, tilt_series_names, tilt_series_pixel};
use crate::coordinates::whole::WholeFiles;
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram};
use crate::labels::Class;

/// The version that RELION 3.1 and 4 write.
const RELION4: Option<u32> = Some(30001);

const COLUMNS: [&str; 6] =
    ["rlnTomoName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "rlnOpticsGroup", "rlnAutopickFigureOfMerit"];

pub(in crate::coordinates) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let pixel = tilt_series_pixel(options, "relion4")?;
    let names = tilt_series_names(tomograms)?;
    let mut optics = String::new();
    push_header(&mut optics, RELION4, "optics", &["rlnOpticsGroup", "rlnOpticsGroupName", "rlnTomoTiltSeriesPixelSize"]);
    optics.push_str(&format!("1 opticsGroup1 {pixel}\n\n"));
    for (class, folder) in class_folders(dir, classes)?.iter().enumerate() {
        let mut particles = String::new();
        push_header(&mut particles, RELION4, "particles", &COLUMNS);
        let header = particles.len();
        for (tomogram, name) in tomograms.iter().zip(&names) {
            let (name, scale) = (star_value("tomogram", name)?, tomogram.known_spacing()? / pixel);
            for point in tomogram.points.iter().filter(|point| point.class == class) {
                particles.push_str(&name);
                for axis in [2, 1, 0] {
                    push_number(&mut particles, point.position[axis] * scale, 6);
                }
                particles.push_str(" 1");
                push_score(&mut particles, point.score);
                particles.push('\n');
            }
        }
        let is_empty = particles.len() == header;
        particles.push('\n');
        // Without rows RELION would take the next block's name for one, so an empty table is the last.
        let text = if is_empty { optics.clone() + &particles } else { particles + &optics };
        files.stage(folder.join("particles.star"), text.as_bytes())?;
    }
    Ok(())
}
