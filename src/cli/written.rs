//! Coordinates written in the formats that the command line asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::arguments::FormatArguments;
use super::{Usage, say};
use crate::coordinates::{CoordinateError, ExportOptions, ExportTomogram, Format, export};
use crate::labels::Class;

impl FormatArguments {
    /// The formats, each once.
    pub(super) fn formats(&self) -> Vec<Format> {
        let mut formats = self.format.clone();
        let mut seen = Vec::new();
        formats.retain(|format| {
            let new = !seen.contains(format);
            seen.push(*format);
            new
        });
        formats
    }

    /// Checks that what the formats ask is answered, before any work is done.
    pub(super) fn check(&self, file_per_tomogram: bool) -> Result<(), Usage> {
        let formats = self.formats();
        for (index, format) in formats.iter().enumerate() {
            if let Some(other) = formats[..index].iter().find(|other| other.clashes_with(*format, file_per_tomogram)) {
                return Err(Usage(format!(
                    "{other} and {format} write files of the same name; export them into different folders, one after the other"
                )));
            }
            if format.needs_tilt_series_pixel() && self.tilt_series_pixel.is_none() {
                return Err(Usage(format!(
                    "{format} counts in pixels of the unbinned tilt series; add --tilt-series-pixel with their size in angstrom"
                )));
            }
        }
        Ok(())
    }

    /// Writes `tomograms` into the folder `dir` in every format.
    ///
    /// # Errors
    /// As [`export`]; a spacing that is not known is a mistake of the arguments, as are two formats that write the same file.
    pub(super) fn write(
        &self,
        dir: &Path,
        classes: &[Class],
        tomograms: &[ExportTomogram],
        file_per_tomogram: bool,
    ) -> anyhow::Result<Vec<PathBuf>> {
        self.check(file_per_tomogram)?;
        let options = ExportOptions {
            overwrite: self.overwrite,
            file_per_tomogram,
            relion_tomograms_star: self.relion_tomograms_star.clone(),
            relion_picker_offset: self.relion_picker_offset,
            tilt_series_pixel_angstrom: self.tilt_series_pixel,
            copick_user: self.copick_user.clone(),
            copick_session: self.copick_session.clone(),
        };
        let mut by: BTreeMap<PathBuf, Format> = BTreeMap::new();
        let mut files = Vec::new();
        for format in self.formats() {
            let same = |other: Format, path: &Path| {
                Usage(format!("{other} and {format} write the same file; export them into different folders: {}", path.display()))
            };
            let written = export(format, dir, classes, tomograms, &options).map_err(|error| match error {
                CoordinateError::NoSpacing { tomogram } => anyhow::Error::from(Usage(format!(
                    "the voxel spacing of {tomogram} is not known; add --spacing with its value in angstrom"
                ))),
                CoordinateError::NoTiltSeriesPixel { what } => anyhow::Error::from(Usage(format!(
                    "{what} needs the pixel of the unbinned tilt series; add --tilt-series-pixel with its size in angstrom"
                ))),
                CoordinateError::Exists(path) => match by.get(&path) {
                    Some(other) => same(*other, &path).into(),
                    None => anyhow::anyhow!("the file exists already; add --overwrite to replace it: {}", path.display()),
                },
                other => other.into(),
            })?;
            for path in written {
                if let Some(other) = by.insert(path.clone(), format) {
                    return Err(same(other, &path).into());
                }
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// Numbers of positions by tomogram and class, for JSON.
pub(super) fn counts(classes: &[Class], tomograms: &[ExportTomogram]) -> serde_json::Value {
    let of = |tomogram: &ExportTomogram| -> serde_json::Value {
        let counts: serde_json::Map<_, _> =
            classes.iter().enumerate().map(|(i, class)| (class.name.clone(), count(tomogram, i).into())).collect();
        counts.into()
    };
    let tomograms: serde_json::Map<_, _> = tomograms.iter().map(|tomogram| (tomogram.name.clone(), of(tomogram))).collect();
    tomograms.into()
}

fn count(tomogram: &ExportTomogram, class: usize) -> usize {
    tomogram.points.iter().filter(|point| point.class == class).count()
}

/// Says the numbers of positions by tomogram and class, and the files.
pub(super) fn say_all(classes: &[Class], tomograms: &[ExportTomogram], files: &[PathBuf]) -> anyhow::Result<()> {
    for tomogram in tomograms {
        let counts: Vec<String> =
            classes.iter().enumerate().map(|(i, class)| format!("{} {}", count(tomogram, i), class.name)).collect();
        say(format!("{}: {}", tomogram.name, counts.join(", ")))?;
    }
    files.iter().try_for_each(|file| say(file.display()))
}
