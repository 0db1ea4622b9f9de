//! What the columns of STAR files say about the size of a pixel.
//!
//! Coordinates and images may count in different pixels: `rlnCoordinateX/Y/Z` in those of the tilt series or tomogram in which
//! particles were picked, images in those of the boxes, which may be binned.
//!
//! | column | angstrom |
//! |---|---|
//! | `rlnTomoTiltSeriesPixelSize` | pixel of the unbinned tilt series: RELION 4 and 5 count coordinates in it |
//! | `rlnMicrographPixelSize` | pixel of what was picked: RELION 3.1 counts coordinates in it |
//! | `rlnPixelSize` | pixel of the row, boxes and coordinates: Warp and M |
//! | `rlnDetectorPixelSize` (micrometre), `rlnMagnification` | the same in RELION 3.0 and Warp: 10000 times the one over the other |
//! | `rlnImagePixelSize` | pixel of the boxes only; over `rlnTomoSubtomogramBinning` it is the tilt series' |
//!
//! `rlnMicrographOriginalPixelSize`, the camera's, is a pixel of neither.

use super::parse::{Table, Wrong};

/// The columns of one table.
pub(super) struct PixelColumns {
    places: [Option<usize>; 7],
}

const NAMES: [&str; 7] = [
    "rlnTomoTiltSeriesPixelSize",
    "rlnMicrographPixelSize",
    "rlnPixelSize",
    "rlnDetectorPixelSize",
    "rlnMagnification",
    "rlnImagePixelSize",
    "rlnTomoSubtomogramBinning",
];

/// What one row says, in the order of [`NAMES`]; only positive numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PixelSizes {
    numbers: [Option<f64>; 7],
}

impl PixelColumns {
    pub fn find(table: &Table<'_>) -> Result<Self, Wrong> {
        let mut places = [None; 7];
        for (place, name) in places.iter_mut().zip(NAMES) {
            *place = table.column(name)?;
        }
        Ok(Self { places })
    }

    pub fn read(&self, line: u64, row: &[&str]) -> Result<PixelSizes, Wrong> {
        let mut sizes = PixelSizes::default();
        for ((number, place), name) in sizes.numbers.iter_mut().zip(self.places).zip(NAMES) {
            if let Some(place) = place {
                *number = optional_number(line, name, row[place])?.filter(|number| *number > 0.0);
            }
        }
        Ok(sizes)
    }
}

impl PixelSizes {
    /// What a row says, or else its optics group.
    pub fn or(self, optics: Self) -> Self {
        Self { numbers: std::array::from_fn(|index| self.numbers[index].or(optics.numbers[index])) }
    }

    /// Angstrom a pixel of `rlnCoordinateX/Y/Z`.
    pub fn of_coordinates(&self) -> Option<f64> {
        let [tilt_series, micrograph, pixel, _, _, image, binning] = self.numbers;
        let unbinned = image.zip(binning).map(|(image, binning)| image / binning);
        tilt_series.or(unbinned).or(micrograph).or(pixel).or(self.magnified()).filter(|pixel| pixel.is_finite() && *pixel > 0.0)
    }

    /// Angstrom a pixel of the boxes, in which `rlnOriginX/Y/Z` counts.
    pub fn of_boxes(&self) -> Option<f64> {
        let [.., pixel, _, _, image, _] = self.numbers;
        image.or(pixel).or(self.magnified()).filter(|pixel| pixel.is_finite() && *pixel > 0.0)
    }

    fn magnified(&self) -> Option<f64> {
        let [.., detector, magnification, _, _] = self.numbers;
        detector.zip(magnification).map(|(detector, magnification)| detector * 1e4 / magnification)
    }
}

/// A number that may be missing.
pub(super) fn optional_number(line: u64, column: &str, value: &str) -> Result<Option<f64>, Wrong> {
    if matches!(value, "" | "<NA>" | "None" | "null" | "nan" | "NaN" | "-nan") {
        return Ok(None);
    }
    number(line, column, value).map(Some)
}

/// A finite number.
pub(super) fn number(line: u64, column: &str, value: &str) -> Result<f64, Wrong> {
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(Wrong::new(line, format!("_{column} is {}, which is not finite", shown(value)))),
        Err(_) => Err(Wrong::new(line, format!("_{column} is {}, which is not a number", shown(value)))),
    }
}

/// A value for a message, not longer than a line.
pub(super) fn shown(value: &str) -> String {
    let short: String = value.chars().take(60).collect();
    if short.len() < value.len() { format!("{short:?}…") } else { format!("{short:?}") }
}
