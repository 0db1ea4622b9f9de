//! A model of IMOD: one `TOMOGRAM.mod` a tomogram, an object of scattered points a class. Always big-endian, whatever the computer
//! (IMOD's "Binary File Format", `binspec.html`, version 1.2; sizes and flags in [`format`]).
//!
//! IMOD's model coordinates run from 0 to NX along x and y, with a voxel's centre at a half, and from -0.5 to NZ - 0.5 along z: a
//! voxel index `(i, j, k)` is the point `(i + 0.5, j + 0.5, k)`. The radius of the spheres is in whole pixels; scores are the
//! points' general values, which 3dmod shows and selects by. Coordinates are single-precision numbers: to a quarter of a thousandth
//! of a voxel in a volume of 4096.
//!
//! A model may hold the spacing and origin of the image on which it was drawn last (`MINX`), and 3dmod moves it when an image with
//! another origin is opened. The origin is not known to an export, and a wrong one would displace every point, so that none is
//! written: 3dmod then takes the coordinates for those of the image on which the model is opened first, which they are.

use std::path::Path;

use super::file_names::FileNames;
use super::{CoordinateError, ExportOptions, ExportPoint, ExportTomogram, Positions, ReadOptions, WholeFiles};
use crate::labels::Class;

mod format;
mod reading;
#[cfg(test)]
mod tests;

use format::{MODEL_NAME_BYTES, OBJECT_NAME_BYTES, flags, store};

/// What the format calls a coordinate's offset from the voxel index, `(x, y, z)`.
const OFFSET: [f64; 3] = [0.5, 0.5, 0.0];

/// Objects in a model that 3dmod opens without complaint.
const MOST_OBJECTS: usize = 10_000;

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    _options: &ExportOptions,
) -> Result<(), CoordinateError> {
    for class in classes {
        if class.name.len() >= OBJECT_NAME_BYTES {
            return Err(CoordinateError::name("class", &class.name, "IMOD's objects have names of at most 63 bytes"));
        }
        if class.name.contains('\0') {
            return Err(CoordinateError::name("class", &class.name, "IMOD's names end at a null character"));
        }
    }
    let mut names = FileNames::default();
    for tomogram in tomograms {
        let path = dir.join(names.give(&[("tomogram", &tomogram.name)], ".mod")?);
        if classes.len() > MOST_OBJECTS {
            let message = format!("{} classes are more than a model of IMOD holds objects", classes.len());
            return Err(CoordinateError::Content { path, message });
        }
        files.stage(path, &model(classes, tomogram)?)?;
    }
    Ok(())
}

pub(super) use reading::read;

/// The bytes of a model.
fn model(classes: &[Class], tomogram: &ExportTomogram) -> Result<Vec<u8>, CoordinateError> {
    let spacing = tomogram.spacing_angstrom.filter(|spacing| spacing.is_finite() && *spacing > 0.0);
    let mut out = Writer(Vec::new());
    out.bytes(b"IMODV1.2");
    // The reader knows by it that the model is of this tomogram; too long a name is no loss.
    let name = if tomogram.name.len() < MODEL_NAME_BYTES { tomogram.name.as_str() } else { "" };
    out.text(name, MODEL_NAME_BYTES);
    let [nz, ny, nx] = tomogram.shape.map(|voxels| i32::try_from(voxels).unwrap_or(i32::MAX));
    out.ints(&[nx, ny, nz, classes.len() as i32]);
    out.ints(&[(flags::NEW_TO_3DMOD | flags::MULTIPLE_CLIP | flags::MATERIAL_BYTES) as i32]);
    // Draw the model; the mouse edits it; black and white level.
    out.ints(&[1, 1, 0, 255]);
    // Unused offsets, and the scale of x, y and z.
    out.floats(&[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    // Current object, contour and point: none; pixels between points drawn by dragging; threshold of auto contours.
    out.ints(&[0, -1, -1, 3, 128]);
    out.floats(&[spacing.unwrap_or(1.0) as f32]);
    out.ints(&[if spacing.is_some() { format::UNIT_ANGSTROM } else { format::UNIT_PIXEL }, 0]);
    out.floats(&[0.0; 3]);
    for (index, class) in classes.iter().enumerate() {
        let points: Vec<&ExportPoint> = tomogram.points.iter().filter(|point| point.class == index).collect();
        let radius_pixels = spacing.map_or(0.0, |spacing| (class.radius_angstrom / spacing).round().clamp(1.0, 1e6));
        object(&mut out, class, &points, radius_pixels as i32, &tomogram.name)?;
    }
    out.bytes(b"IEOF");
    Ok(out.0)
}

fn object(
    out: &mut Writer,
    class: &Class,
    points: &[&ExportPoint],
    radius_pixels: i32,
    tomogram: &str,
) -> Result<(), CoordinateError> {
    out.bytes(b"OBJT");
    out.text(&class.name, OBJECT_NAME_BYTES);
    out.bytes(&[0; 64]);
    out.ints(&[i32::from(!points.is_empty()), (flags::OPEN | flags::SCATTERED) as i32, 0, 1]);
    out.floats(&class.colour.map(|value| f32::from(value) / 255.0));
    out.ints(&[radius_pixels]);
    // A circle of 3 pixels in 2D; line widths; solid; no symbol flags; padding; opaque.
    out.bytes(&[0, 3, 1, 1, 0, 0, 0, 0]);
    // Meshes and surfaces.
    out.ints(&[0, 0]);
    if !points.is_empty() {
        out.bytes(b"CONT");
        // Checked against the size of a chunk below.
        out.ints(&[points.len() as i32, 0, 0, 0]);
        for point in points {
            let [z, y, x] = point.position;
            let xyz = [x + OFFSET[0], y + OFFSET[1], z + OFFSET[2]].map(|coordinate| coordinate as f32);
            if !xyz.iter().all(|coordinate| coordinate.is_finite()) {
                return Err(CoordinateError::NotFinite { tomogram: tomogram.to_owned() });
            }
            out.floats(&xyz);
        }
        let scores: Vec<(i32, f32)> =
            points.iter().enumerate().filter_map(|(index, point)| Some((index as i32, point.score?))).collect();
        values(out, &scores);
    }
    let [red, green, blue] = class.colour;
    out.bytes(b"IMAT");
    out.ints(&[16]);
    // Ambient, diffuse, specular, shininess; fill colour and sphere quality; unused; black and white level of values; flags.
    out.bytes(&[102, 255, 127, 4, red, green, blue, 0, 0, 0, 0, 0, 0, 255, 0, 0]);
    let scores = || points.iter().filter_map(|point| point.score);
    if let (Some(least), Some(greatest)) = (scores().min_by(f32::total_cmp), scores().max_by(f32::total_cmp)) {
        out.bytes(b"OBST");
        out.ints(&[store::ENTRY_BYTES as i32]);
        out.entry(store::MIN_AND_MAX, store::FLOAT_INDEX | store::FLOAT_VALUE | store::NO_INDEX, least.to_bits(), greatest);
    }
    Ok(())
}

/// The general values of the points of a contour.
fn values(out: &mut Writer, scores: &[(i32, f32)]) {
    if scores.is_empty() {
        return;
    }
    out.bytes(b"COST");
    out.ints(&[(scores.len() * store::ENTRY_BYTES) as i32]);
    for (index, score) in scores {
        out.entry(store::VALUE, store::FLOAT_VALUE | store::ONE_POINT, *index as u32, *score);
    }
}

/// Big-endian bytes.
struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn ints(&mut self, values: &[i32]) {
        values.iter().for_each(|value| self.bytes(&value.to_be_bytes()));
    }

    fn floats(&mut self, values: &[f32]) {
        values.iter().for_each(|value| self.bytes(&value.to_be_bytes()));
    }

    /// `text` with zeros up to `length`; longer than that, less one, it is cut.
    fn text(&mut self, text: &str, length: usize) {
        let bytes = &text.as_bytes()[..text.len().min(length - 1)];
        self.bytes(bytes);
        self.0.resize(self.0.len() + length - bytes.len(), 0);
    }

    /// An entry of a general storage chunk.
    fn entry(&mut self, kind: i16, flags: u16, index: u32, value: f32) {
        self.bytes(&kind.to_be_bytes());
        self.bytes(&flags.to_be_bytes());
        self.bytes(&index.to_be_bytes());
        self.floats(&[value]);
    }
}
