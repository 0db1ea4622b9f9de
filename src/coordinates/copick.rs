//! Picks of a copick project: `ExperimentRuns/RUN/Picks/USER_SESSION_OBJECT.json`, laid out as copick 1.31 writes it
//! (`copick/models.py`, `CopickPicksFile`), positions in angstrom.
//!
//! copick splits the file's name at `_`, so the names of object, user and session are made safe by its own rule
//! (`copick/util/escape.py`): spaces, `_`, `<>:"/\|?*` and control characters become `-`, and `-` at the ends goes. A label, which
//! has no score, gets copick's default of 1. There is a file for every class in every tomogram, also without points.
//!
//! Read: a point lies at its `location` plus the translation of its `transformation_`, as copick's own `full_positions` has it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file_names::FileNames;
use super::{
    CoordinateError, CoordinateRow, ExportOptions, ExportTomogram, Format, Positions, ReadOptions, Unit, WholeFiles,
    angstrom_digits, text,
};
use crate::labels::Class;

/// The score of a point that a person has given.
const LABEL_SCORE: f64 = 1.0;

const IDENTITY: [[f64; 4]; 4] = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

#[derive(Serialize)]
struct WrittenPicks<'a> {
    pickable_object_name: &'a str,
    user_id: &'a str,
    session_id: &'a str,
    run_name: &'a str,
    voxel_spacing: f64,
    unit: &'static str,
    points: Vec<WrittenPoint>,
    trust_orientation: bool,
}

#[derive(Serialize)]
struct WrittenPoint {
    location: Location,
    transformation_: [[f64; 4]; 4],
    instance_id: u32,
    score: f64,
}

#[derive(Serialize, Deserialize)]
struct Location {
    x: f64,
    y: f64,
    z: f64,
}

#[derive(Deserialize)]
struct ReadPicks {
    pickable_object_name: Option<String>,
    user_id: Option<String>,
    run_name: Option<String>,
    unit: Option<String>,
    points: Option<Vec<ReadPoint>>,
}

#[derive(Deserialize)]
struct ReadPoint {
    location: Location,
    transformation_: Option<[[f64; 4]; 4]>,
    score: Option<f64>,
}

pub(super) fn stage(
    files: &mut WholeFiles,
    dir: &Path,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> Result<(), CoordinateError> {
    let user = safe("user", &options.copick_user)?;
    let session = safe("session", &options.copick_session)?;
    let objects = classes.iter().map(|class| safe("class", &class.name)).collect::<Result<Vec<_>, _>>()?;
    let mut runs = FileNames::default();
    for tomogram in tomograms {
        let run = run_folder(&mut runs, &tomogram.name)?;
        let folder = dir.join("ExperimentRuns").join(run).join("Picks");
        let mut names = FileNames::default();
        for (index, (class, object)) in classes.iter().zip(&objects).enumerate() {
            let file = format!("{user}_{session}_{object}");
            // The object varies; a clash is a clash of classes, which the message names as the user knows them.
            let file = names.give(&[("file", &file)], ".json").map_err(|error| of_class(error, &class.name))?;
            let path = folder.join(file);
            let picks = picks(tomogram, index, [object, &user, &session])?;
            let mut content = Vec::new();
            let layout = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            picks
                .serialize(&mut serde_json::Serializer::with_formatter(&mut content, layout))
                .map_err(|error| CoordinateError::Content { path: path.clone(), message: error.to_string() })?;
            files.stage(path, &content)?;
        }
    }
    Ok(())
}

fn picks<'a>(
    tomogram: &'a ExportTomogram,
    class: usize,
    [object, user, session]: [&'a str; 3],
) -> Result<WrittenPicks<'a>, CoordinateError> {
    let spacing = tomogram.known_spacing()?;
    let digits = 10_f64.powi(angstrom_digits(spacing) as i32);
    let angstrom = |index: f64| {
        let angstrom = index * spacing;
        // Where rounding would overflow there is nothing to round.
        if angstrom.abs() < 1e12 { (angstrom * digits).round() / digits + 0.0 } else { angstrom }
    };
    let points = tomogram.points.iter().filter(|point| point.class == class).map(|point| {
        let [z, y, x] = point.position.map(angstrom);
        WrittenPoint {
            location: Location { x, y, z },
            transformation_: IDENTITY,
            instance_id: 0,
            // Through its text, so that 0.9 does not become 0.8999999761581421.
            score: point.score.map_or(LABEL_SCORE, |score| score.to_string().parse().unwrap_or(f64::from(score))),
        }
    });
    Ok(WrittenPicks {
        pickable_object_name: object,
        user_id: user,
        session_id: session,
        run_name: &tomogram.name,
        voxel_spacing: spacing,
        unit: "angstrom",
        points: points.collect(),
        trust_orientation: false,
    })
}

/// A name as copick makes it safe.
fn safe(what: &'static str, name: &str) -> Result<String, CoordinateError> {
    let unfit = |letter: char| {
        matches!(letter, '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' | '_' | '\u{7f}')
            || letter <= '\u{1f}'
            || letter.is_whitespace()
    };
    let safe = name.replace(unfit, "-");
    let safe = safe.trim_matches('-');
    if safe.is_empty() {
        return Err(CoordinateError::name(what, name, "copick allows it no letter of its own"));
    }
    Ok(safe.to_owned())
}

/// The folder of a run. copick looks for files by patterns, in which brackets have a meaning.
fn run_folder(names: &mut FileNames, name: &str) -> Result<String, CoordinateError> {
    if name.contains(['[', ']']) {
        return Err(CoordinateError::name("tomogram", name, "copick does not find runs with brackets in their names"));
    }
    names.give(&[("tomogram", name)], "")
}

fn of_class(error: CoordinateError, class: &str) -> CoordinateError {
    match error {
        CoordinateError::Name { reason, .. } => CoordinateError::name("class", class, reason),
        other => other,
    }
}

pub(super) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let content = |message: String| CoordinateError::Content { path: path.to_owned(), message };
    let picks: ReadPicks = serde_json::from_str(text::of(bytes, path)?)
        .map_err(|error| content(format!("not a file of copick's picks: {error}")))?;
    let mut notes = Vec::new();
    let (from_file_name, run) = names_of(path);
    let named = |name: Option<String>| name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let class = match named(picks.pickable_object_name).or_else(|| options.class.clone()).or(from_file_name) {
        Some(class) => class,
        None => text::class_of_file(options, path, &mut notes),
    };
    let unit_name = picks.unit.unwrap_or_else(|| "angstrom".to_owned());
    let (unit, scale) = match unit_name.to_lowercase().as_str() {
        "angstrom" | "angstroms" | "a" | "å" => (Unit::Angstrom, 1.0),
        "nanometer" | "nanometre" | "nm" => (Unit::Angstrom, 10.0),
        "pixel" | "pixels" | "voxel" | "voxels" | "px" => (Unit::Voxel, 1.0),
        _ => return Err(content(format!("the unit {unit_name:?} is not known: give angstrom, nanometer or pixel"))),
    };
    let (tomogram, source) = (named(picks.run_name).or(run), named(picks.user_id));
    let mut rows = Vec::new();
    let mut shifted = 0_usize;
    for (index, point) in picks.points.unwrap_or_default().iter().enumerate() {
        let [dx, dy, dz] = point.transformation_.map_or([0.0; 3], |matrix| [matrix[0][3], matrix[1][3], matrix[2][3]]);
        shifted += usize::from([dx, dy, dz] != [0.0; 3]);
        let Location { x, y, z } = point.location;
        let xyz = [(x + dx) * scale, (y + dy) * scale, (z + dz) * scale];
        let score = point.score.map(|score| score as f32);
        if !(xyz.iter().all(|coordinate| coordinate.is_finite()) && score.is_none_or(f32::is_finite)) {
            return Err(content(format!("point {} has a position or score that is too large", index + 1)));
        }
        rows.push(CoordinateRow {
            tomogram: tomogram.clone(),
            class: class.clone(),
            xyz,
            unit,
            shift_angstrom: [0.0; 3],
            score,
            source: source.clone(),
            line: index as u64 + 1,
        });
    }
    if shifted > 0 {
        notes.push(format!("{shifted} points have a shift in their transformation, which was added"));
    }
    Ok(Positions { format: Format::Copick, rows, notes })
}

/// Object and run as the path has them, `RUN/Picks/USER_SESSION_OBJECT.json`.
fn names_of(path: &Path) -> (Option<String>, Option<String>) {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let object = stem.splitn(3, '_').nth(2).filter(|object| !object.is_empty()).map(str::to_owned);
    let folder = path.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "Picks"));
    let run = folder.and_then(Path::parent).and_then(Path::file_name).map(|run| run.to_string_lossy().into_owned());
    (object, run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, text: &str) -> Result<Positions, CoordinateError> {
        read(text.as_bytes(), Path::new(path), &ReadOptions::default())
    }

    #[test]
    fn names_become_what_copick_makes_of_them() {
        // Expected values from copick.util.escape.sanitize_name of copick 1.31.
        for (name, expected) in [
            ("virus_like particle", "virus-like-particle"),
            ("__a__", "a"),
            ("a/b:c", "a-b-c"),
            ("é\u{a0}x", "é-x"),
            ("a\tb\u{7f}", "a-b"),
            ("80S", "80S"),
        ] {
            assert_eq!(safe("class", name).unwrap(), expected, "{name:?}");
        }
        assert!(safe("class", "_ _").unwrap_err().to_string().contains("class name"));
    }

    #[test]
    fn a_point_lies_at_its_location_and_the_shift_of_its_transformation() {
        let text = r#"{"pickable_object_name": "ribosome", "user_id": "human", "session_id": "1", "run_name": null,
            "voxel_spacing": null, "unit": "angstrom", "trust_orientation": true, "points": [
            {"location": {"x": 10, "y": 20, "z": 30}, "transformation_": [[0,1,0,1],[-1,0,0,2],[0,0,1,-3],[0,0,0,1]],
             "instance_id": 3, "score": 0.5},
            {"location": {"x": 1, "y": 2, "z": 3}, "transformation_": null, "score": null}]}"#;
        let positions = parse("ExperimentRuns/TS-1/Picks/human_1_ribosome.json", text).unwrap();
        assert_eq!(positions.rows.iter().map(|row| row.xyz).collect::<Vec<_>>(), [[11.0, 22.0, 27.0], [1.0, 2.0, 3.0]]);
        assert_eq!(positions.rows.iter().map(|row| row.score).collect::<Vec<_>>(), [Some(0.5), None]);
        let row = &positions.rows[0];
        assert_eq!(
            (row.tomogram.as_deref(), row.class.as_str(), row.source.as_deref()),
            (Some("TS-1"), "ribosome", Some("human"))
        );
        assert_eq!(row.unit, Unit::Angstrom);
        assert!(positions.notes[0].starts_with("1 points have a shift"));
        let pixels = parse("a_1_b-c.json", r#"{"unit": "Pixel", "points": [{"location": {"x": 1, "y": 2, "z": 3}}]}"#).unwrap();
        assert_eq!((pixels.rows[0].unit, pixels.rows[0].class.as_str(), &pixels.rows[0].tomogram), (Unit::Voxel, "b-c", &None));
        let nanometers = parse("a.json", r#"{"unit": "nm", "points": [{"location": {"x": 1, "y": 2, "z": 3}}]}"#).unwrap();
        assert_eq!(nanometers.rows[0].xyz, [10.0, 20.0, 30.0]);
    }

    #[test]
    fn what_is_not_copicks_is_an_error_that_says_why() {
        for (text, reason) in [
            ("", "EOF"),
            ("[]", "not a file of copick's picks"),
            (r#"{"unit": "furlong"}"#, "\"furlong\""),
            (r#"{"points": [{"location": {"x": 1, "y": 2}}]}"#, "missing field `z`"),
            (r#"{"points": [{"location": {"x": 1, "y": 2, "z": NaN}}]}"#, "line 1"),
            (r#"{"points": [{"location": {"x": 1, "y": 2, "z": 3}, "transformation_": [[1]]}]}"#, "4"),
            (r#"{"unit": "nm", "points": [{"location": {"x": 1e308, "y": 2, "z": 3}}]}"#, "too large"),
        ] {
            let message = parse("a_1_b.json", text).unwrap_err().to_string();
            assert!(message.contains(reason) && message.ends_with("a_1_b.json"), "{message}");
        }
        let bomb = format!("{{\"points\":{}", "[".repeat(100_000));
        assert!(parse("a.json", &bomb).is_err());
    }
}
