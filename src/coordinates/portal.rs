//! Points of the CryoET Data Portal: one JSON object a line, `{"type":"point","location":{"x":..,"y":..,"z":..}}`, in voxels,
//! 0-based, of the tomogram of the annotation; one `TOMOGRAM_CLASS.ndjson` for each tomogram and class. The format has neither
//! names nor scores.
//!
//! Read: points of every type that the Portal has (`point`, `orientedPoint`, `instancePoint`); orientations are left out. The Portal
//! names its files `101-cytosolic_ribosome-1.0_orientedpoint.ndjson`: the middle then stands for the class.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file_names::FileNames;
use super::{
    CoordinateError, CoordinateRow, ExportOptions, ExportTomogram, Format, Positions, ReadOptions, Unit, WholeFiles, text,
};
use crate::labels::{Class, rounded};

#[derive(Serialize)]
struct WrittenPoint {
    #[serde(rename = "type")]
    kind: &'static str,
    location: Location,
}

#[derive(Serialize, Deserialize)]
struct Location {
    x: f64,
    y: f64,
    z: f64,
}

#[derive(Deserialize)]
struct ReadPoint {
    #[serde(rename = "type")]
    kind: Option<String>,
    location: Location,
}

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    _options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let mut names = FileNames::default();
    for tomogram in tomograms {
        for (index, class) in classes.iter().enumerate() {
            let path = dir.join(names.give(&[("tomogram", &tomogram.name), ("class", &class.name)], ".ndjson")?);
            let mut lines = Vec::new();
            for point in tomogram.points.iter().filter(|point| point.class == index) {
                // Where rounding would overflow there is nothing to round.
                let [z, y, x] = point.position.map(|index| if index.abs() < 1e15 { rounded(index) } else { index });
                let point = WrittenPoint { kind: "point", location: Location { x, y, z } };
                serde_json::to_writer(&mut lines, &point)
                    .map_err(|error| CoordinateError::Content { path: path.clone(), message: error.to_string() })?;
                lines.push(b'\n');
            }
            files.stage(path, &lines)?;
        }
    }
    Ok(())
}

pub(super) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let mut notes = Vec::new();
    let class = match (&options.class, portal_object(path)) {
        (None, Some(object)) => object,
        _ => text::class_of_file(options, path, &mut notes),
    };
    let mut rows = Vec::new();
    let mut oriented = false;
    for (line, content) in text::lines(text::of(bytes, path)?) {
        let at = |message: String| CoordinateError::Line { path: path.to_owned(), line, message };
        if content.trim().is_empty() {
            continue;
        }
        let point: ReadPoint = serde_json::from_str(content).map_err(|error| {
            at(format!("{error}; a line is {{\"type\":\"point\",\"location\":{{\"x\":1,\"y\":2,\"z\":3}}}} in voxels"))
        })?;
        let kind = point.kind.unwrap_or_else(|| "point".to_owned());
        if !kind.to_lowercase().ends_with("point") {
            return Err(at(format!("{kind:?} is not a kind of point: remove the line")));
        }
        oriented |= kind.to_lowercase().starts_with("oriented");
        let Location { x, y, z } = point.location;
        rows.push(CoordinateRow {
            tomogram: None,
            class: class.clone(),
            xyz: [x, y, z],
            unit: Unit::Voxel,
            shift_angstrom: [0.0; 3],
            score: None,
            source: None,
            line,
        });
    }
    if oriented {
        notes.push("orientations are left out".to_owned());
    }
    Ok(Positions { format: Format::PortalNdjson, rows, notes })
}

/// The object in a file's name as the Portal gives it.
fn portal_object(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let (id, rest) = stem.split_once('-')?;
    let (object, version) = rest.rsplit_once('-')?;
    let (version, shape) = version.split_once('_')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let shapes = ["point", "orientedpoint", "instancesegmentation"];
    let fits = is_number(id) && is_number(version) && shapes.contains(&shape.to_lowercase().as_str());
    (fits && !object.is_empty()).then(|| object.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, text: &str) -> Result<Positions, CoordinateError> {
        read(text.as_bytes(), Path::new(name), &ReadOptions::default())
    }

    #[test]
    fn points_of_the_portal_are_read_whatever_else_they_say() {
        let text = "{\"type\":\"orientedPoint\",\"location\":{\"x\":1,\"y\":2.5,\"z\":3},\"xyz_rotation_matrix\":[[1,0,0],[0,1,0],[0,0,1]]}\r\n\n\
            {\"location\":{\"z\":6,\"y\":5,\"x\":4},\"instance_id\":7,\"type\":\"instancePoint\"}\n";
        let positions = parse("101-cytosolic_ribosome-1.0_orientedpoint.ndjson", text).unwrap();
        assert_eq!(positions.rows.iter().map(|row| row.xyz).collect::<Vec<_>>(), [[1.0, 2.5, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(positions.rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 3]);
        assert!(positions.rows.iter().all(|row| row.class == "cytosolic_ribosome" && row.unit == Unit::Voxel));
        assert_eq!(positions.notes, ["orientations are left out"]);
        assert_eq!(parse("TS_1_virus.ndjson", "{\"location\":{\"x\":1,\"y\":2,\"z\":3}}").unwrap().rows[0].class, "TS_1_virus");
        assert!(parse("a.ndjson", "").unwrap().rows.is_empty());
    }

    #[test]
    fn an_error_names_its_line() {
        for (line, reason) in [
            ("{\"type\":\"point\"}", "location"),
            ("{\"type\":\"point\",\"location\":{\"x\":1,\"y\":2}}", "`z`"),
            ("{\"type\":\"mesh\",\"location\":{\"x\":1,\"y\":2,\"z\":3}}", "\"mesh\""),
            ("{\"type\":\"point\",\"location\":{\"x\":NaN,\"y\":2,\"z\":3}}", "in voxels"),
            ("{\"type\":\"point\",\"location\":{\"x\":1e999,\"y\":2,\"z\":3}}", "in voxels"),
            ("[1,2,3]", "in voxels"),
        ] {
            let text = format!("{{\"location\":{{\"x\":1,\"y\":2,\"z\":3}}}}\n{line}\n");
            let message = parse("a.ndjson", &text).unwrap_err().to_string();
            assert!(message.starts_with("line 2:") && message.contains(reason) && message.ends_with("a.ndjson"), "{message}");
        }
    }
}
