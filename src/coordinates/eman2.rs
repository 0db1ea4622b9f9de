//! What EMAN2's tomogram boxer keeps: `info/NAME_info.json` with `boxes_3d`, rows `[x, y, z, method, score, class]`, `class_list`
//! with each class's name and box size, and `apix_unbin`, the pixel of the unbinned tilt series in angstrom.
//!
//! With `apix_unbin`, positions and box sizes are in that pixel, and positions count from the volume's centre, `n // 2`
//! (`e2spt_boxer.py`: `b[0] / apix * apix_unbin + nx // 2`); files from before 2018 have no `apix_unbin` and hold voxel indices.
//! NAME is what EMAN2 makes of the tomogram's file: `tomograms/TS_1__bin4.hdf` has `info/TS_1_info.json`
//! (`EMAN2.py`, `base_name`). A box is one and a half times the particle's diameter.
//!
//! An `info` file that exists is the user's: it holds the alignment of the tilt series among others. With consent to overwrite,
//! the classes that are exported replace those of the same name, with their boxes; everything else in it stays.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::file_names::FileNames;
use super::{
    CoordinateError, CoordinateRow, ExportOptions, ExportTomogram, Format, Positions, ReadOptions, Unit, WholeFiles, text,
};
use crate::labels::{Class, rounded};

/// How a box was found, for those that a person has set and for picks.
const METHODS: [&str; 2] = ["manual", "semietpicker"];

/// Larger `info` files are not merged with.
const LARGEST_INFO_BYTES: u64 = 256 << 20;

/// Pixel sizes that differ by less than this, of 1, are the same.
const SAME_PIXEL: f64 = 1e-3;

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let mut names = FileNames::default();
    for tomogram in tomograms {
        let base = base_name(&tomogram.name);
        if base.is_empty() {
            return Err(CoordinateError::name("tomogram", &tomogram.name, "EMAN2 makes an empty name of it"));
        }
        let path = dir.join("info").join(names.give(&[("tomogram", &base)], "_info.json")?);
        // Without consent the file is not touched, and staging says so.
        let mut info = if options.overwrite && path.exists() { existing(&path)? } else { Map::new() };
        let pixel = pixel(&info, options, &path)?;
        let scale = tomogram.known_spacing()? / pixel;
        let indices = take_places(&mut info, classes, &path)?;
        add_classes(&mut info, classes, &indices, pixel);
        add_boxes(&mut info, tomogram, &indices, scale);
        info.insert("apix_unbin".to_owned(), json!(pixel));
        let content = serde_json::to_vec_pretty(&info)
            .map_err(|error| CoordinateError::Content { path: path.clone(), message: error.to_string() })?;
        files.stage(path, &content)?;
    }
    Ok(())
}

/// The name by which EMAN2 knows a tomogram: two underscores begin what a program has added.
fn base_name(name: &str) -> String {
    name.split("__").next().unwrap_or_default().replace("_ptcls", "").replace("_info", "")
}

/// What an `info` file that exists says.
fn existing(path: &Path) -> Result<Map<String, Value>, CoordinateError> {
    let reading = |source| CoordinateError::Read { path: path.to_owned(), source };
    let content = |message: String| CoordinateError::Content { path: path.to_owned(), message };
    let mut bytes = Vec::new();
    File::open(path).map_err(reading)?.take(LARGEST_INFO_BYTES + 1).read_to_end(&mut bytes).map_err(reading)?;
    if bytes.len() as u64 > LARGEST_INFO_BYTES {
        return Err(content("the file that exists is too large to be merged with: move it away".to_owned()));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| content(format!("the file that exists is not an EMAN2 info file: move it away ({error})")))
}

/// The pixel of the unbinned tilt series: as the user says, or as the file that exists has it.
fn pixel(info: &Map<String, Value>, options: &ExportOptions, path: &Path) -> Result<f64, CoordinateError> {
    let content = |message: String| CoordinateError::Content { path: path.to_owned(), message };
    let said = options.tilt_series_pixel_angstrom.filter(|pixel| pixel.is_finite() && *pixel > 0.0);
    match (said, info.get("apix_unbin").and_then(positive)) {
        (Some(said), Some(known)) if (said / known - 1.0).abs() > SAME_PIXEL => Err(content(format!(
            "the tilt series has pixels of {known} angstrom according to the file that exists, and {said} is given: give the same"
        ))),
        (_, Some(known)) => Ok(known),
        (Some(said), None) => Ok(said),
        (None, None) => Err(content(
            "EMAN2 counts in pixels of the unbinned tilt series: give their size in angstrom (tilt series pixel)".to_owned(),
        )),
    }
}

/// A positive number, which may be in quotes.
fn positive(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (number.is_finite() && number > 0.0).then_some(number)
}

/// The index of each class in the file, where one of the same name keeps its own. Boxes of these classes are taken out.
fn take_places(info: &mut Map<String, Value>, classes: &[Class], path: &Path) -> Result<Vec<u64>, CoordinateError> {
    let wrong = |what: &str| CoordinateError::Content {
        path: path.to_owned(),
        message: format!("{what:?} in the file that exists is not as EMAN2 writes it: move the file away"),
    };
    let known = match info.get("class_list") {
        None => Vec::new(),
        Some(list) => class_list(list).ok_or_else(|| wrong("class_list"))?,
    };
    let empty = Value::Array(Vec::new());
    let boxes = info.entry("boxes_3d").or_insert(empty).as_array_mut().ok_or_else(|| wrong("boxes_3d"))?;
    let used = known.iter().map(|(index, _)| *index).chain(boxes.iter().filter_map(class_of_box));
    let mut next = used.max().map_or(0, |index| index.saturating_add(1));
    let mut indices = Vec::new();
    for class in classes {
        let place = known.iter().find(|(_, name)| *name == class.name).map(|(index, _)| *index);
        indices.push(place.unwrap_or_else(|| {
            next = next.saturating_add(1);
            next - 1
        }));
    }
    boxes.retain(|entry| class_of_box(entry).is_none_or(|index| !indices.contains(&index)));
    Ok(indices)
}

/// Indices and names of EMAN2's `class_list`: `{"0": {"name": .., "boxsize": ..}}`, or names alone in old files.
fn class_list(list: &Value) -> Option<Vec<(u64, String)>> {
    let name = |entry: &Value| match entry {
        Value::Object(entry) => entry.get("name")?.as_str().map(str::to_owned),
        Value::String(name) => Some(name.clone()),
        _ => None,
    };
    list.as_object()?.iter().map(|(index, entry)| Some((index.parse().ok()?, name(entry)?))).collect()
}

/// The class of a box; EMAN2 takes a missing one for 0.
fn class_of_box(entry: &Value) -> Option<u64> {
    match entry.as_array()?.get(5) {
        None => Some(0),
        Some(index) => index.as_u64().or_else(|| index.as_f64().filter(|index| *index >= 0.0).map(|index| index as u64)),
    }
}

fn add_classes(info: &mut Map<String, Value>, classes: &[Class], indices: &[u64], pixel: f64) {
    let list = info.entry("class_list").or_insert(Value::Object(Map::new()));
    // It was looked at before: it is an object.
    if let Some(list) = list.as_object_mut() {
        for (class, index) in classes.iter().zip(indices) {
            // Even, as boxes are.
            let half = (1.5 * class.radius_angstrom / pixel).round().max(1.0);
            list.insert(index.to_string(), json!({ "name": class.name, "boxsize": (2.0 * half) as u64 }));
        }
    }
}

fn add_boxes(info: &mut Map<String, Value>, tomogram: &ExportTomogram, indices: &[u64], scale: f64) {
    let Some(boxes) = info.get_mut("boxes_3d").and_then(Value::as_array_mut) else { return };
    for point in &tomogram.points {
        let Some(class) = indices.get(point.class) else { continue };
        let xyz: [f64; 3] = std::array::from_fn(|axis| {
            let place = (point.position[2 - axis] - (tomogram.shape[2 - axis] / 2) as f64) * scale;
            if place.abs() < 1e15 { rounded(place) } else { place }
        });
        let method = METHODS[usize::from(point.score.is_some())];
        // Through its text, so that 0.9 does not become 0.8999999761581421.
        let score: f64 = point.score.map_or(0.0, |score| score.to_string().parse().unwrap_or(f64::from(score)));
        boxes.push(json!([xyz[0], xyz[1], xyz[2], method, score, class]));
    }
}

pub(super) fn read(bytes: &[u8], path: &Path, _options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let content = |message: String| CoordinateError::Content { path: path.to_owned(), message };
    let info: Map<String, Value> =
        serde_json::from_str(text::of(bytes, path)?).map_err(|error| content(format!("not an EMAN2 info file: {error}")))?;
    let boxes = match info.get("boxes_3d") {
        None => return Err(content("the file has no boxes_3d: box particles in this tomogram first".to_owned())),
        Some(boxes) => boxes.as_array().ok_or_else(|| content("boxes_3d is not a list".to_owned()))?,
    };
    let names = match info.get("class_list") {
        None => Vec::new(),
        Some(list) => class_list(list).ok_or_else(|| content("class_list is not as EMAN2 writes it".to_owned()))?,
    };
    let mut notes = Vec::new();
    let unit = match info.get("apix_unbin").map(|pixel| (positive(pixel), pixel)) {
        Some((Some(pixel), _)) => Unit::CentredPixel(Some(pixel)),
        Some((None, pixel)) => return Err(content(format!("apix_unbin is {pixel}, which is no pixel size"))),
        None => {
            notes.push("the file has no apix_unbin, as before 2018: positions were taken for voxels of the tomogram".to_owned());
            Unit::Voxel
        }
    };
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let tomogram = stem.strip_suffix("_info").filter(|name| !name.is_empty()).map(str::to_owned);
    let mut rows = Vec::new();
    for (index, entry) in boxes.iter().enumerate() {
        let wrong = || content(format!("box {} is {}, not [x, y, z, method, score, class]", index + 1, shortened(entry)));
        let fields = entry.as_array().filter(|fields| fields.len() >= 3).ok_or_else(wrong)?;
        let number = |place: usize| fields[place].as_f64().filter(|number| number.is_finite()).ok_or_else(wrong);
        let class_index = class_of_box(entry).ok_or_else(wrong)?;
        let named = names.iter().find(|(index, name)| *index == class_index && !name.trim().is_empty());
        let class = named.map_or_else(|| format!("particles_{class_index:02}"), |(_, name)| name.trim().to_owned());
        let method = fields.get(3).and_then(Value::as_str).unwrap_or_default();
        let score = fields.get(4).and_then(Value::as_f64).map(|score| score as f32).filter(|score| score.is_finite());
        rows.push(CoordinateRow {
            tomogram: tomogram.clone(),
            class,
            xyz: [number(0)?, number(1)?, number(2)?],
            unit,
            shift_angstrom: [0.0; 3],
            // A box set by hand has the score 0 because it has to have one.
            score: score.filter(|score| *score != 0.0 || method != METHODS[0]),
            source: (!method.is_empty()).then(|| method.to_owned()),
            line: index as u64 + 1,
        });
    }
    Ok(Positions { format: Format::Eman2, rows, notes })
}

/// A value for a message.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::coordinates::{ExportPoint, Frame, export};
    use crate::labels::ClassId;

    fn class(name: &str) -> Class {
        Class { id: ClassId(0), name: name.to_owned(), radius_angstrom: 100.0, colour: [1, 2, 3] }
    }

    fn tomogram(points: Vec<ExportPoint>) -> ExportTomogram {
        ExportTomogram { name: "TS_1__bin4".to_owned(), shape: [72, 208, 209], spacing_angstrom: Some(10.0), points }
    }

    fn point(class: usize, position: [f64; 3], score: Option<f32>) -> ExportPoint {
        ExportPoint { class, position, score, source: None }
    }

    fn options(pixel: Option<f64>, overwrite: bool) -> ExportOptions {
        ExportOptions { tilt_series_pixel_angstrom: pixel, overwrite, ..ExportOptions::default() }
    }

    #[test]
    fn boxes_count_from_the_centre_in_unbinned_pixels() {
        let dir = tempfile::tempdir().unwrap();
        let tomogram = tomogram(vec![point(0, [36.0, 104.0, 104.0], None), point(1, [0.0, 1.5, 208.0], Some(0.9))]);
        let classes = [class("ribosome"), class("virus")];
        let files = export(Format::Eman2, dir.path(), &classes, &[tomogram], &options(Some(2.5), false)).unwrap();
        assert_eq!(files, [dir.path().join("info/TS_1_info.json")]);
        let info: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
        // EMAN2 puts x at b / apix * apix_unbin + nx // 2: 104 * 10 / 2.5 = 416.
        let expected = json!([[0.0, 0.0, 0.0, "manual", 0.0, 0], [416.0, -410.0, -144.0, "semietpicker", 0.9, 1]]);
        assert_eq!(info["boxes_3d"], expected);
        assert_eq!(info["apix_unbin"], json!(2.5));
        assert_eq!(info["class_list"]["1"], json!({"name": "virus", "boxsize": 120}));
    }

    #[test]
    fn what_the_user_has_in_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("info/TS_1_info.json");
        fs::create_dir(dir.path().join("info")).unwrap();
        let before = json!({
            "tlt_params": [[0.5, 1, 2, 3, 4]], "apix_unbin": "2.5", "defocus": [3.25],
            "class_list": {"0": {"name": "membrane", "boxsize": 32}, "3": {"name": "virus", "boxsize": 8, "color": 2}},
            "boxes_3d": [[1, 2, 3, "tm", 0.5, 0, 9], [4, 5, 6, "manual", 0.0, 3], [7, 8, 9]],
        });
        fs::write(&path, before.to_string()).unwrap();
        let tomograms = [tomogram(vec![point(0, [36.0, 104.0, 105.0], Some(1.0)), point(1, [36.0, 105.0, 104.0], None)])];
        let classes = [class("ribosome"), class("virus")];
        let run = |options: &ExportOptions| export(Format::Eman2, dir.path(), &classes, &tomograms, options);
        assert!(matches!(run(&options(Some(2.5), false)).unwrap_err(), CoordinateError::Exists(_)));
        assert!(run(&options(Some(5.0), true)).unwrap_err().to_string().contains("2.5 angstrom according to the file"));
        assert_eq!(fs::read_to_string(&path).unwrap(), before.to_string());
        // The file says the pixel, so that nobody has to.
        run(&options(None, true)).unwrap();
        let once: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((&once["tlt_params"], &once["defocus"]), (&before["tlt_params"], &before["defocus"]));
        assert_eq!(once["class_list"]["0"], before["class_list"]["0"]);
        assert_eq!((&once["class_list"]["3"]["name"], &once["class_list"]["4"]["name"]), (&json!("virus"), &json!("ribosome")));
        let expected = json!([
            [1, 2, 3, "tm", 0.5, 0, 9],
            [7, 8, 9],
            [4.0, 0.0, 0.0, "semietpicker", 1.0, 4],
            [0.0, 4.0, 0.0, "manual", 0.0, 3]
        ]);
        assert_eq!(once["boxes_3d"], expected);
        // Exporting again adds nothing.
        run(&options(None, true)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap(), once);

        fs::write(&path, "{\"class_list\": 3}").unwrap();
        assert!(run(&options(Some(2.5), true)).unwrap_err().to_string().contains("class_list"));
        fs::write(&path, "{\"ali_loss\": [NaN]}").unwrap();
        assert!(run(&options(Some(2.5), true)).unwrap_err().to_string().contains("move it away"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"ali_loss\": [NaN]}", "what cannot be merged with is not lost");
    }

    #[test]
    fn the_pixel_of_the_tilt_series_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let run = |tomogram: ExportTomogram, pixel| {
            export(Format::Eman2, dir.path(), &[class("a")], &[tomogram], &options(pixel, false)).unwrap_err().to_string()
        };
        assert!(run(tomogram(vec![]), None).contains("unbinned tilt series"));
        assert!(run(ExportTomogram { spacing_angstrom: None, ..tomogram(vec![]) }, Some(2.5)).contains("set the spacing"));
        assert!(run(ExportTomogram { name: "__x".to_owned(), ..tomogram(vec![]) }, Some(2.5)).contains("empty name"));
    }

    #[test]
    fn info_files_of_old_and_new_versions_are_read() {
        let path = Path::new("info/TS_7_info.json");
        let read = |text: &str| read(text.as_bytes(), path, &ReadOptions::default());
        let new = r#"{"apix_unbin": 2.0, "class_list": {"1": {"name": "virus", "boxsize": 64}},
            "boxes_3d": [[2, -4, 6.5, "tm", 0.25, 1], [0, 0, 0, "manual", 0.0, 5], [1, 1, 1]]}"#;
        let positions = read(new).unwrap();
        let row = &positions.rows[0];
        assert_eq!((row.unit, row.class.as_str(), row.score), (Unit::CentredPixel(Some(2.0)), "virus", Some(0.25)));
        assert_eq!((row.tomogram.as_deref(), row.source.as_deref()), (Some("TS_7"), Some("tm")));
        let frame = Frame { shape: Some([11, 20, 31]), spacing_angstrom: Some(4.0), tilt_series_pixel_angstrom: None };
        assert_eq!(row.voxel_zyx(&frame).unwrap(), [5.0 + 3.25, 10.0 - 2.0, 15.0 + 1.0]);
        assert_eq!((positions.rows[1].class.as_str(), positions.rows[1].score), ("particles_05", None));
        assert_eq!(positions.rows[2].class, "particles_00");
        let old = read(r#"{"class_list": {"0": "virus"}, "boxes_3d": [[2, 4, 6, "manual", 0.0, 0]]}"#).unwrap();
        assert_eq!((old.rows[0].unit, old.rows[0].class.as_str()), (Unit::Voxel, "virus"));
        assert!(old.notes[0].contains("before 2018"));
        for (text, reason) in [
            ("{}", "no boxes_3d"),
            (r#"{"boxes_3d": 3}"#, "not a list"),
            (r#"{"boxes_3d": [[1, 2]]}"#, "box 1"),
            (r#"{"boxes_3d": [[1, 2, "x"]]}"#, "box 1"),
            (r#"{"boxes_3d": [[1, 2, 3, "m", 0, -1]]}"#, "box 1"),
            (r#"{"boxes_3d": [], "apix_unbin": 0}"#, "no pixel size"),
            (r#"{"boxes_3d": [], "class_list": {"a": "b"}}"#, "class_list"),
            ("{\"boxes_3d\": [[1", "EOF"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(reason) && message.ends_with("TS_7_info.json"), "{message}");
        }
    }
}
