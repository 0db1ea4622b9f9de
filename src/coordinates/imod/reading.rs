//! Reading models: every point of every contour, whatever its object is. Lengths in the file are compared with what is left of it
//! before anything is kept.

use std::path::Path;

use super::format::{MODEL_BYTES, MODEL_NAME_BYTES, OBJECT_BYTES, OBJECT_NAME_BYTES, flags, store};
use super::{CoordinateError, OFFSET, Positions, ReadOptions};
use crate::coordinates::{CoordinateRow, Format, Unit, text};

pub(in crate::coordinates) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let mut notes = Vec::new();
    parse(bytes, path, options, &mut notes)
        .map(|rows| Positions { format: Format::Imod, rows, notes })
        .map_err(|message| CoordinateError::Content { path: path.to_owned(), message })
}

/// What is left of the file.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| {
            format!("{what} takes {length} bytes, and {} are left: the file was cut off or is damaged", self.0.len())
        })?;
        self.0 = rest;
        Ok(taken)
    }

    /// As [`Rest::take`], for a number of bytes, or of things of so many bytes, that the file states.
    fn stated(&mut self, count: i32, size: usize, what: &str) -> Result<&'a [u8], String> {
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
        let length = length.ok_or_else(|| format!("{what} states {count} entries: the file is damaged"))?;
        self.take(length, what)
    }

    fn int(&mut self, what: &str) -> Result<i32, String> {
        self.take(4, what).map(|bytes| int(bytes, 0))
    }
}

/// The big-endian number at `offset`; 0 beyond the end, which callers have excluded.
fn int(bytes: &[u8], offset: usize) -> i32 {
    bytes[offset..].first_chunk().map_or(0, |four| i32::from_be_bytes(*four))
}

fn float(bytes: &[u8], offset: usize) -> f32 {
    f32::from_bits(int(bytes, offset) as u32)
}

/// Text up to a null character.
fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

struct Object {
    class: String,
    flags: u32,
    contours_stated: i32,
    contours: i32,
}

/// The points of the contour that was read last, as rows.
struct Contour {
    first_row: usize,
}

fn parse(bytes: &[u8], path: &Path, options: &ReadOptions, notes: &mut Vec<String>) -> Result<Vec<CoordinateRow>, String> {
    let mut rest = Rest(bytes);
    if rest.take(4, "the file's identity")? != b"IMOD" {
        return Err("this is no binary model of IMOD: write it from 3dmod, or convert a text model with imodtrans".to_owned());
    }
    let version = rest.take(4, "the version")?;
    if version != b"V1.2" {
        let version = String::from_utf8_lossy(version);
        return Err(format!("the model is of version {version:?}, and V1.2 is read: save it from 3dmod again"));
    }
    let header = rest.take(MODEL_BYTES, "the model's header")?;
    let model_name = name(&header[..MODEL_NAME_BYTES]);
    let objects_stated = int(header, 140);
    let model_flags = int(header, 144) as u32;
    if model_flags & flags::ROTATED_X != 0 {
        return Err("the model was shown last on a volume rotated about x: save it from 3dmod on the volume as it is".to_owned());
    }
    let flipped = model_flags & flags::FLIPPED_YZ != 0;
    if flipped {
        notes.push("the model was shown last on a volume with y and z exchanged, and was exchanged back".to_owned());
    }
    // A model that an export has named after its tomogram, in the file of that name.
    let tomogram = path.file_stem().filter(|stem| stem.to_string_lossy() == model_name.as_str()).map(|_| model_name.clone());

    let mut rows = Vec::new();
    let mut objects = 0_i32;
    let mut object: Option<Object> = None;
    let mut contour: Option<Contour> = None;
    let mut closed = Vec::new();
    let mut start = None;
    let mut file_class = None;
    loop {
        match rest.take(4, "the next part or the end mark")? {
            b"IEOF" => break,
            b"OBJT" => {
                check_contours(object.as_ref())?;
                let header = rest.take(OBJECT_BYTES, "an object")?;
                objects = objects.saturating_add(1);
                let mut class = name(&header[..OBJECT_NAME_BYTES]);
                if class.is_empty() {
                    let named = file_class.get_or_insert_with(|| text::class_of_file(options, path, notes));
                    class.clone_from(named);
                }
                let object_flags = int(header, 132) as u32;
                object = Some(Object { class, flags: object_flags, contours_stated: int(header, 128), contours: 0 });
                contour = None;
            }
            b"CONT" => {
                let header = rest.take(16, "a contour")?;
                let object = object.as_mut().ok_or("a contour stands before the first object: the file is damaged")?;
                object.contours = object.contours.saturating_add(1);
                let points = rest.stated(int(header, 0), 12, "a contour")?;
                contour = Some(Contour { first_row: rows.len() });
                if !points.is_empty() && object.flags & flags::SCATTERED == 0 && closed.last() != Some(&objects) {
                    closed.push(objects);
                }
                for point in points.chunks_exact(12) {
                    let xyz = [float(point, 0), float(point, 4), float(point, 8)].map(f64::from);
                    if !xyz.iter().all(|coordinate| coordinate.is_finite()) {
                        let place = rows.len() + 1;
                        return Err(format!("point {place}, of object {objects}, has a coordinate that is not finite"));
                    }
                    let [x, y, z] = std::array::from_fn(|axis| xyz[axis] - OFFSET[axis]);
                    rows.push(CoordinateRow {
                        tomogram: tomogram.clone(),
                        class: object.class.clone(),
                        xyz: if flipped { [x, z, y] } else { [x, y, z] },
                        unit: Unit::Voxel,
                        shift_angstrom: [0.0; 3],
                        score: None,
                        source: None,
                        line: rows.len() as u64 + 1,
                    });
                }
            }
            b"MESH" => {
                let header = rest.take(16, "a mesh")?;
                rest.stated(int(header, 0), 12, "a mesh")?;
                rest.stated(int(header, 4), 4, "a mesh")?;
            }
            b"COST" => {
                let length = rest.int("a contour's values")?;
                let entries = rest.stated(length, 1, "a contour's values")?;
                if let Some(contour) = &contour {
                    set_scores(entries, &mut rows[contour.first_row..]);
                }
            }
            b"MINX" => {
                let length = rest.int("MINX")?;
                let chunk = rest.stated(length, 1, "MINX")?;
                start = image_start(chunk, model_flags, notes)?;
            }
            chunk => {
                if !chunk.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
                    return Err("something that is no chunk follows: the file is damaged".to_owned());
                }
                let what = String::from_utf8_lossy(chunk);
                let length = rest.int(&what)?;
                rest.stated(length, 1, &what)?;
            }
        }
    }
    check_contours(object.as_ref())?;
    if objects != objects_stated {
        return Err(format!("the model states {objects_stated} objects and has {objects}: the file was cut off or is damaged"));
    }
    if let Some(start) = start {
        for row in &mut rows {
            row.xyz = std::array::from_fn(|axis| row.xyz[axis] + start[axis]);
        }
    }
    if !closed.is_empty() {
        let names: Vec<String> = closed.iter().take(8).map(i32::to_string).collect();
        let more = if closed.len() > names.len() { " and others" } else { "" };
        notes.push(format!(
            "object {}{more} has contours, not scattered points: each of their points was taken",
            names.join(", ")
        ));
    }
    Ok(rows)
}

fn check_contours(object: Option<&Object>) -> Result<(), String> {
    match object {
        Some(object) if object.contours != object.contours_stated => Err(format!(
            "object {:?} states {} contours and has {}: the file was cut off or is damaged",
            object.class, object.contours_stated, object.contours
        )),
        _ => Ok(()),
    }
}

/// Takes general values of points for their scores.
fn set_scores(entries: &[u8], rows: &mut [CoordinateRow]) {
    for entry in entries.chunks_exact(store::ENTRY_BYTES) {
        let [kind, bits] = [0, 2].map(|offset| u16::from_be_bytes([entry[offset], entry[offset + 1]]));
        let is_value = kind as i16 == store::VALUE
            && bits & store::INDEX_TYPE == 0
            && bits & store::VALUE_TYPE == store::FLOAT_VALUE
            && bits & (store::NO_INDEX | store::REVERT) == 0;
        let row = usize::try_from(int(entry, 4)).ok().and_then(|index| rows.get_mut(index));
        if let Some(row) = row.filter(|_| is_value) {
            row.score = Some(float(entry, 8)).filter(|score| score.is_finite());
        }
    }
}

/// Where the part of the image begins on which the model was drawn last, `(x, y, z)` in its pixels; `None` when it was the whole.
///
/// `ctrans` is the origin less the scale times the first index of what was loaded, and `otrans` is the origin (`binspec.html`).
fn image_start(chunk: &[u8], model_flags: u32, notes: &mut Vec<String>) -> Result<Option<[f64; 3]>, String> {
    if chunk.len() < 72 {
        return Err(format!("MINX has {} bytes where 72 belong: the file is damaged", chunk.len()));
    }
    let triple = |first: usize| [0, 4, 8].map(|axis| f64::from(float(chunk, first * 12 + axis)));
    let (old_shift, scale, shift, rotation) = (triple(1), triple(3), triple(4), triple(5));
    if rotation.iter().any(|angle| angle.abs() > 1e-3) {
        notes.push("the image on which the model was drawn had rotation angles in its header, which are left out".to_owned());
    }
    if !scale.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return Ok(None);
    }
    if scale.iter().any(|scale| *scale != 1.0) {
        let [x, y, z] = scale;
        notes.push(format!(
            "the model was drawn on a volume with voxels of {x} x {y} x {z} angstrom: its positions are voxels of that volume"
        ));
    }
    if model_flags & flags::ORIGIN == 0 {
        return Ok(None);
    }
    let start: [f64; 3] = std::array::from_fn(|axis| (old_shift[axis] - shift[axis]) / scale[axis]);
    if !start.iter().all(|first| first.is_finite()) || start.iter().all(|first| first.abs() < 1e-3) {
        return Ok(None);
    }
    let [x, y, z] = start;
    notes.push(format!("the model was drawn on a part of the volume that begins at {x:.2}, {y:.2}, {z:.2}: this was added"));
    Ok(Some(start))
}
