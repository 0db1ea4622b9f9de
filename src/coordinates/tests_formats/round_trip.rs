use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::examples::{FORMATS, class, classes_for, frame, options, point, scratch, tomogram, tomograms};
use crate::coordinates::{
    CoordinateError, CoordinateRow, ExportOptions, ExportTomogram, Format, ReadOptions, export, read_positions, same_tomogram,
};
use crate::geometry::distance;
use crate::labels::Class;

/// Whether the format has a place for the score of a pick.
fn holds_scores(format: Format) -> bool {
    !matches!(format, Format::Kaggle | Format::PortalNdjson | Format::Coords)
}

/// Exports, reads every file as it is recognised, and gives the rows by tomogram and class, by the file's name where the format has
/// neither.
fn there_and_back(
    format: Format,
    classes: &[Class],
    tomograms: &[ExportTomogram],
    options: &ExportOptions,
) -> BTreeMap<(String, String), Vec<CoordinateRow>> {
    let dir = scratch();
    let mut found: BTreeMap<(String, String), Vec<CoordinateRow>> = BTreeMap::new();
    for path in export(format, dir.path(), classes, tomograms, options).unwrap() {
        if path.extension().is_some_and(|ending| ending == "doc") {
            continue;
        }
        let positions = read_positions(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(positions.format, format, "{}", path.display());
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        for row in positions.rows {
            let (mut tomogram, mut class) = (row.tomogram.clone(), row.class.clone());
            if matches!(format, Format::PortalNdjson | Format::Coords) {
                assert_eq!((&tomogram, &class), (&None, &stem));
                let name = tomograms.iter().map(|tomogram| &tomogram.name).find(|name| stem.starts_with(*name)).unwrap();
                tomogram = Some(name.clone());
                class = stem[name.len() + 1..].to_owned();
            }
            if format == Format::Copick {
                class = classes.iter().map(|class| &class.name).find(|name| safe(name) == class).unwrap().clone();
            }
            found.entry((tomogram.expect("the format names its tomogram"), class)).or_default().push(row);
        }
    }
    found
}

/// As copick has it, for the names of these tests.
fn safe(name: &str) -> String {
    name.replace([' ', '_'], "-").trim_matches('-').to_owned()
}

fn check(format: Format, classes: &[Class], tomograms: &[ExportTomogram], options: &ExportOptions) -> Result<(), TestCaseError> {
    let mut found = there_and_back(format, classes, tomograms, options);
    for tomogram in tomograms {
        for (index, class) in classes.iter().enumerate() {
            let key = found.keys().find(|(name, of)| same_tomogram(name, &tomogram.name) && of == &class.name).cloned();
            let rows = key.and_then(|key| found.remove(&key)).unwrap_or_default();
            let written: Vec<_> = tomogram.points.iter().filter(|point| point.class == index).collect();
            prop_assert_eq!(rows.len(), written.len(), "{} {} {}", format, tomogram.name, class.name);
            for (row, point) in rows.iter().zip(written) {
                let voxel = row.voxel_zyx(&frame(tomogram)).unwrap();
                prop_assert!(distance(voxel, point.position) < 1e-3, "{}: {:?} became {:?}", format, point.position, voxel);
                match (holds_scores(format), point.score) {
                    (false, _) => prop_assert_eq!(row.score, None),
                    // copick gives every point a score, and what it gives is 1.
                    (true, None) if format == Format::Copick => prop_assert_eq!(row.score, Some(1.0)),
                    (true, score) => prop_assert_eq!(row.score, score, "{}", format),
                }
            }
        }
    }
    prop_assert!(found.is_empty(), "{}: {:?}", format, found.keys());
    Ok(())
}

#[test]
fn the_example_comes_back_from_every_format() {
    for format in FORMATS {
        let options = ExportOptions { file_per_tomogram: format == Format::Kaggle, ..options() };
        check(format, &classes_for(format), &tomograms(), &options).unwrap_or_else(|error| panic!("{error}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the spacing and the pixel, positions come back to a thousandth of a voxel, far outside the volume too.
    #[test]
    fn positions_come_back_from_every_format(
        spacing in prop_oneof![Just(0.02), Just(7.84), 0.3..40.0f64],
        pixel in 0.3..5.0f64,
        points in prop::collection::vec((0..3usize, prop::array::uniform3(-50.0..4200.0f64), prop::option::of(1e-4..1.0f32)), 1..12),
    ) {
        let points: Vec<_> = points.into_iter().map(|(class, position, score)| point(class, position, score)).collect();
        let tomograms = [tomogram("TS_001", spacing, points.clone()), tomogram("b.rec_2", spacing * 2.0, points)];
        let options = ExportOptions { tilt_series_pixel_angstrom: Some(pixel), ..ExportOptions::default() };
        for format in FORMATS {
            check(format, &classes_for(format), &tomograms, &options)?;
        }
    }

    /// A name comes back or is refused with a reason; no file is written outside the folder.
    #[test]
    fn names_come_back_or_are_refused(
        names in prop::collection::btree_set("[ -~éω]{1,6}|[a-z]{60,80}|[.]{1,2}|con|a/b|TS_[0-9]", 2..4),
    ) {
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        prop_assume!(names.len() >= 2 && names[0] != names[1]);
        let classes = [class(0, &names[0]), class(1, "b")];
        let tomograms = [tomogram(&names[1], 5.0, vec![point(0, [1.0, 2.0, 3.0], None)])];
        for format in FORMATS {
            let outer = scratch();
            let dir = outer.path().join("x/y");
            match export(format, &dir, &classes, &tomograms, &options()) {
                Err(CoordinateError::Name { reason, .. }) => prop_assert!(!reason.is_empty()),
                Err(error) => prop_assert!(false, "{}: {}", format, error),
                Ok(files) => {
                    prop_assert!(files.iter().all(|file| file.exists() && file.starts_with(&dir)));
                    let outside = fs::read_dir(outer.path()).unwrap().chain(fs::read_dir(outer.path().join("x")).unwrap());
                    prop_assert_eq!(outside.count(), 2);
                    let read = |path: &Path| read_positions(path, &ReadOptions { format: Some(format), class: None }).unwrap().rows;
                    let rows: Vec<_> =
                        files.iter().filter(|file| file.extension().is_none_or(|ending| ending != "doc")).flat_map(|file| read(file)).collect();
                    prop_assert_eq!(rows.len(), 1);
                    if !matches!(format, Format::Copick | Format::PortalNdjson | Format::Coords) {
                        prop_assert_eq!(&rows[0].class, &names[0]);
                    }
                    if !matches!(format, Format::PortalNdjson | Format::Coords | Format::Eman2) {
                        prop_assert_eq!(rows[0].tomogram.as_ref(), Some(&names[1]), "{}", format);
                    }
                }
            }
        }
    }
}

#[test]
fn two_names_that_become_one_file_are_refused() {
    let clash = |format, classes: &[&str], tomograms: &[&str]| {
        let dir = scratch();
        let classes: Vec<Class> = classes.iter().enumerate().map(|(index, name)| class(index as u32, name)).collect();
        let tomograms: Vec<ExportTomogram> = tomograms.iter().map(|name| tomogram(name, 5.0, vec![])).collect();
        let options = ExportOptions { file_per_tomogram: true, ..options() };
        let result = export(format, dir.path(), &classes, &tomograms, &options);
        assert!(result.is_ok() || fs::read_dir(dir.path()).unwrap().count() <= 1, "nothing but empty folders is left");
        result.err().map(|error| error.to_string())
    };
    for format in FORMATS {
        assert_eq!(clash(format, &["a", "b"], &["t", "u"]), None, "{format}");
        if format != Format::Dynamo {
            let message = clash(format, &["a"], &["TS_1", "ts_1"]).expect("one file on Windows");
            assert!(message.contains("ts_1") && message.contains("rename it"), "{format}: {message}");
        }
    }
    let message = clash(Format::Copick, &["virus like", "virus_like"], &["t"]).unwrap();
    assert!(message.contains("class name \"virus_like\""), "{message}");
    assert!(clash(Format::Coords, &["b_c", "c"], &["a", "a_b"]).is_some());
    assert!(clash(Format::PortalNdjson, &["b_c", "c"], &["a", "a_b"]).is_some());
    assert!(clash(Format::Eman2, &["a"], &["t__x", "t__y"]).is_some());
    assert!(clash(Format::Imod, &[&"x".repeat(64)], &["t"]).unwrap().contains("63 bytes"));
}

#[test]
fn a_spacing_is_asked_for_only_where_angstrom_are_written() {
    let unknown =
        [ExportTomogram { spacing_angstrom: None, ..tomogram("TS_1", 1.0, vec![point(0, [1.0, 2.0, 3.0], Some(0.5))]) }];
    for format in FORMATS {
        let dir = scratch();
        let result = export(format, dir.path(), &[class(0, "a")], &unknown, &options());
        if matches!(format, Format::Kaggle | Format::Copick | Format::Eman2 | Format::Cmm) {
            assert!(result.unwrap_err().to_string().contains("set the spacing"), "{format}");
        } else {
            let files = result.unwrap_or_else(|error| panic!("{format}: {error}"));
            let rows = read_positions(&files[0], &ReadOptions::default()).unwrap().rows;
            assert_eq!(rows[0].voxel_zyx(&Default::default()).unwrap(), [1.0, 2.0, 3.0], "{format}");
        }
    }
}

#[test]
fn small_exports_are_what_the_programs_expect_to_the_letter() {
    let classes = [class(0, "ribosome"), class(1, "virus")];
    let tomograms = [tomogram("TS_1", 2.5, vec![point(0, [4.0, 2.0, 1.5], None), point(1, [0.0, 1.0, 2.0], Some(0.75))])];
    let written = |format| {
        let dir = scratch();
        let files = export(format, dir.path(), &classes, &tomograms, &options()).unwrap();
        let of = |path: &Path| path.strip_prefix(dir.path()).unwrap().to_string_lossy().replace('\\', "/");
        files.iter().map(|path| (of(path), fs::read_to_string(path).unwrap())).collect::<Vec<_>>()
    };
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(
        written(Format::Kaggle),
        [file(
            "submission.csv",
            "id,experiment,particle_type,x,y,z\n0,TS_1,ribosome,3.7500,5.0000,10.0000\n1,TS_1,virus,5.0000,2.5000,0.0000\n"
        )]
    );
    assert_eq!(
        written(Format::PortalNdjson),
        [
            file("TS_1_ribosome.ndjson", "{\"type\":\"point\",\"location\":{\"x\":1.5,\"y\":2.0,\"z\":4.0}}\n"),
            file("TS_1_virus.ndjson", "{\"type\":\"point\",\"location\":{\"x\":2.0,\"y\":1.0,\"z\":0.0}}\n")
        ]
    );
    assert_eq!(
        written(Format::Coords),
        [file("TS_1_ribosome.coords", "1.5000 2.0000 4.0000\n"), file("TS_1_virus.coords", "2.0000 1.0000 0.0000\n")]
    );
    assert_eq!(
        written(Format::Cmm),
        [file(
            "TS_1.cmm",
            "<marker_sets>\n<marker_set name=\"ribosome\" tomogram=\"TS_1\">\n\
             <marker id=\"1\" x=\"3.7500\" y=\"5.0000\" z=\"10.0000\" r=\"0.9020\" g=\"0.6235\" b=\"0.0000\" radius=\"60\"/>\n\
             </marker_set>\n<marker_set name=\"virus\" tomogram=\"TS_1\">\n\
             <marker id=\"1\" x=\"5.0000\" y=\"2.5000\" z=\"0.0000\" r=\"0.9020\" g=\"0.6235\" b=\"0.0039\" radius=\"61\" score=\"0.75\"/>\n\
             </marker_set>\n</marker_sets>\n"
        )]
    );
    let copick = written(Format::Copick);
    assert_eq!(copick[1].0, "ExperimentRuns/TS_1/Picks/semietpicker_1_virus.json");
    // As `json.dump(CopickPicksFile(..).model_dump(), file, indent=4)` of copick 1.31 has it.
    let row = |values: [&str; 4]| {
        format!(
            "                [\n{}\n                ]",
            values.map(|value| format!("                    {value}")).join(",\n")
        )
    };
    let matrix =
        [["1.0", "0.0", "0.0", "0.0"], ["0.0", "1.0", "0.0", "0.0"], ["0.0", "0.0", "1.0", "0.0"], ["0.0", "0.0", "0.0", "1.0"]];
    let expected = format!(
        "{{\n    \"pickable_object_name\": \"virus\",\n    \"user_id\": \"semietpicker\",\n    \"session_id\": \"1\",\n    \
         \"run_name\": \"TS_1\",\n    \"voxel_spacing\": 2.5,\n    \"unit\": \"angstrom\",\n    \"points\": [\n        {{\n            \
         \"location\": {{\n                \"x\": 5.0,\n                \"y\": 2.5,\n                \"z\": 0.0\n            }},\n            \
         \"transformation_\": [\n{}\n            ],\n            \"instance_id\": 0,\n            \"score\": 0.75\n        }}\n    ],\n    \
         \"trust_orientation\": false\n}}",
        matrix.map(row).join(",\n")
    );
    assert_eq!(copick[1].1, expected);
}
