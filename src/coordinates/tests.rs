use std::fs;

use proptest::prelude::*;

use super::*;
use crate::labels::ClassId;

fn class(index: u32, name: &str) -> Class {
    Class { id: ClassId(index), name: name.to_owned(), radius_angstrom: 60.0, colour: [1, 2, 3] }
}

fn point(class: usize, position: [f64; 3], score: Option<f32>) -> ExportPoint {
    ExportPoint { class, position, score, source: None }
}

fn tomogram(name: &str, points: Vec<ExportPoint>) -> ExportTomogram {
    ExportTomogram { name: name.to_owned(), shape: [72, 208, 209], spacing_angstrom: Some(10.0), points }
}

fn read(text: impl AsRef<[u8]>) -> Result<Vec<CoordinateRow>, CoordinateError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels.csv");
    fs::write(&path, text).unwrap();
    let rows = read_csv(&path);
    if let Err(error) = &rows {
        let message = error.to_string();
        assert!(message.ends_with("labels.csv"), "the path comes last: {message}");
    }
    rows
}

fn message(text: &str) -> String {
    let error = read(text).map(|rows| format!("{rows:?}")).expect_err(text);
    error.to_string()
}

#[test]
fn tables_of_many_laboratories_are_understood() {
    let expected = [[1.5, 2.0, 3.0], [4.0, -5.0, 6e1]];
    let tables = [
        "class,x,y,z\nribosome,1.5,2,3\nribosome,4,-5,60\n",
        "class,x,y,z,qx,qy\nribosome,1.5,2,3,0,0\nribosome,4,-5,6e1,,\n",
        "\u{feff}class,x,y,z\r\nribosome,1.5,2,3\r\nribosome,4,-5,60\r\n",
        "# made by hand\n\n# twice\nclass;x;y;z\nribosome;1.5;2;3\n# between\nribosome;4;-5;60\n;;;\n",
        "Z (Å)\tY [Angstrom]\tX_A\tParticle Type\n3\t2\t1.5\tribosome\n60\t-5\t4\tribosome",
        "id,experiment,particle_type,x,y,z\n0,TS_1,ribosome,1.5,2,3\n1,TS_1,ribosome,4,-5,60\n",
        "class,x_voxel,y_voxel,z_voxel,x,y,z\nribosome,9,9,9,1.5,2,3\nribosome,9,9,9,4,-5,60\n",
        " class , x , y , z \n ribosome , 1.5 , 2 , 3 \nribosome, 4, -5, 60\n",
    ];
    for table in tables {
        let rows = read(table).unwrap_or_else(|error| panic!("{error}\n{table}"));
        assert_eq!(rows.iter().map(|row| row.xyz).collect::<Vec<_>>(), expected, "{table}");
        assert!(rows.iter().all(|row| row.class == "ribosome" && row.unit == Unit::Angstrom), "{table}");
    }
    let rows = read("tomo,object,px_x,px_y,px_z,confidence,source\n001,a b,1,2,3,0.5,label\n,c,1,2,3,,\n").unwrap();
    assert_eq!(rows[0].unit, Unit::Voxel);
    assert_eq!((rows[0].tomogram.as_deref(), rows[0].score, rows[0].source.as_deref()), (Some("001"), Some(0.5), Some("label")));
    assert_eq!((rows[1].tomogram.as_deref(), rows[1].score, rows[1].line), (None, None, 3));
    let frame = Frame { spacing_angstrom: Some(10.0), ..Frame::default() };
    assert_eq!(rows[0].voxel_zyx(&frame).unwrap(), [3.0, 2.0, 1.0]);
    assert_eq!(rows[0].angstrom_xyz(&frame).unwrap(), [10.0, 20.0, 30.0]);
}

#[test]
fn a_wrong_table_is_an_error_that_says_where_and_what_to_do() {
    let line_of = |text: &str| message(text).split(':').next().unwrap_or_default().to_owned();
    assert!(message("").contains("empty"));
    assert!(message("ribosome,1,2,3\nribosome,1,2,3\n").contains("class,x,y,z"));
    assert!(message("class,x,y\na,2,3\n").contains("coordinate z"));
    assert!(message("class,x,y_voxel,z\na,1,2,3\n").contains("coordinate y"));
    assert!(message("class,x,X,y,z\na,1,1,2,3\n").contains("two columns"));
    let text = message("# comment\nclass,x,y,z\na,1,2,3\na,1,inf,3\n");
    assert!(text.starts_with("line 4:") && text.contains("\"y\"") && text.contains("not finite"), "{text}");
    assert!(message("class,x,y,z\na,NaN,2,3\n").contains("not finite"));
    assert!(message("class;x;y;z\na;1,5;2;3\n").contains("decimal point"));
    assert!(message("class,x,y,z\na,1,2,\n").contains("empty"));
    assert!(message("class,x,y,z\n,1,2,3\n").contains("give the class"));
    assert!(message("class,x,y,z,score\na,1,2,3,high\n").contains("\"score\""));
    assert_eq!(line_of("class,x,y,z\r\na,1,2,3\r\n\r\na,1,2\r\n"), "line 4");
    assert_eq!(line_of("class,x,y,z\n\"a\nb\",1,2,3\na,1,2,3,4\n"), "line 4");
    assert!(read([0xff, 0xfe, b'c', 0]).unwrap_err().to_string().contains("UTF-16"));
    assert!(read(b"class,x,y,z\n\xe9,1,2,3\n").unwrap_err().to_string().contains("UTF-8"));
    assert!(read_csv(Path::new("/nonexistent/labels.csv")).unwrap_err().to_string().ends_with("labels.csv"));
}

#[test]
fn an_unknown_spacing_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let unknown = ExportTomogram { spacing_angstrom: None, ..tomogram("TS_1", vec![point(0, [1.0; 3], None)]) };
    let options = ExportOptions { tilt_series_pixel_angstrom: Some(1.0), ..ExportOptions::default() };
    let in_angstrom = [
        Format::Kaggle,
        Format::Relion5,
        Format::Relion5Import,
        Format::Relion4,
        Format::Copick,
        Format::Eman2,
        Format::Cbox,
        Format::Cmm,
    ];
    for format in in_angstrom {
        let error = export(format, dir.path(), &[class(0, "a")], std::slice::from_ref(&unknown), &options).unwrap_err();
        assert!(error.to_string().contains("set the spacing"), "{format}: {error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn nothing_is_replaced_unasked_and_files_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let classes = [class(0, "a"), class(1, "b")];
    let tomograms = [tomogram("TS_1", vec![point(1, [1.0, 2.0, 3.0], Some(0.5))]), tomogram("TS_2", vec![])];
    let mut options = ExportOptions { tilt_series_pixel_angstrom: Some(1.0), ..ExportOptions::default() };
    for format in Format::ALL {
        // RELION's formats share names of files.
        let dir = dir.path().join(format.name());
        let files = export(format, &dir, &classes, &tomograms, &options).unwrap();
        let before: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        // One file of several is in the way: none of them is written.
        fs::remove_file(&files[0]).unwrap();
        if files.len() > 1 {
            let error = export(format, &dir, &classes, &tomograms, &options).unwrap_err();
            assert!(matches!(&error, CoordinateError::Exists(path) if *path == files[1]), "{error}");
            assert!(!files[0].exists());
        }
        options.overwrite = true;
        export(format, &dir, &classes, &tomograms, &options).unwrap();
        assert_eq!(files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>(), before);
        options.overwrite = false;
        let strays = fs::read_dir(&dir)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".semietpicker"));
        assert_eq!(strays.count(), 0);
    }
}

#[cfg(unix)]
#[test]
fn colleagues_may_read_an_export() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("here.txt");
    fs::write(&path, "").unwrap();
    let usual = fs::metadata(&path).unwrap().permissions().mode();
    let files =
        export(Format::Csv, dir.path(), &[class(0, "a")], &[tomogram("TS_1", vec![])], &ExportOptions::default()).unwrap();
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode(), usual);
}

#[test]
fn relion_gets_coordinates_from_the_centre_in_its_own_spelling() {
    let dir = tempfile::tempdir().unwrap();
    let points = vec![point(0, [36.0, 104.0, 104.5], Some(0.25)), point(0, [0.0, 1.5, 208.0], None)];
    let tomograms = [tomogram("TS_001", points), tomogram("TS 002", vec![point(0, [1.0; 3], Some(1.0))]), tomogram("3", vec![])];
    let files = export(Format::Relion5, dir.path(), &[class(0, "ribosome")], &tomograms, &ExportOptions::default()).unwrap();
    assert_eq!(files, [dir.path().join("particles.star"), dir.path().join("optimisation_set.star")]);
    let text = fs::read_to_string(&files[0]).unwrap();
    let expected = "\n# version 50001\n\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCenteredCoordinateXAngst #2\n\
        _rlnCenteredCoordinateYAngst #3\n_rlnCenteredCoordinateZAngst #4\n_rlnAutopickFigureOfMerit #5\n\
        TS_001 0.0000 0.0000 0.0000 0.25\nTS_001 1035.0000 -1025.0000 -360.0000 1\n\
        \"TS 002\" -1035.0000 -1030.0000 -350.0000 1\n\n";
    assert_eq!(text, expected);
    let set = fs::read_to_string(&files[1]).unwrap();
    let row = set.lines().find(|line| line.ends_with(" tomograms.star")).unwrap();
    assert_eq!(row, format!("{} tomograms.star", files[0].display()));
    assert!(!set.contains('\r') && set.ends_with("\n\n"));
}

#[test]
fn several_classes_get_a_folder_each_and_bad_names_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let tomograms = [tomogram("TS_1", vec![point(1, [1.0; 3], Some(0.5))])];
    let run = |classes: &[Class], tomograms: &[ExportTomogram]| {
        export(Format::Relion5, dir.path(), classes, tomograms, &ExportOptions::default())
    };
    let files = run(&[class(0, "ribosome"), class(1, "virus-like-particle")], &tomograms).unwrap();
    assert_eq!(files.len(), 4);
    let rows = |path: &Path| fs::read_to_string(path).unwrap().lines().filter(|line| line.starts_with("TS_1")).count();
    assert_eq!(rows(&dir.path().join("ribosome/particles.star")), 0);
    assert_eq!(rows(&dir.path().join("virus-like-particle/particles.star")), 1);
    for bad in ["a/b", "..", "a|b"] {
        assert!(matches!(run(&[class(0, "x"), class(1, bad)], &tomograms), Err(CoordinateError::Name { .. })), "{bad}");
    }
    assert!(run(&[class(0, "New"), class(1, "new")], &tomograms).is_err());
    for bad in ["", "my_data_1", "_x", "a\"b", "a\nb", " a"] {
        let named = [tomogram(bad, vec![point(0, [1.0; 3], None)])];
        assert!(matches!(run(&[class(0, "y")], &named), Err(CoordinateError::Name { .. })), "{bad:?}");
    }
}

#[test]
fn inconsistent_exports_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = |tomograms: &[ExportTomogram]| {
        export(Format::Csv, dir.path(), &[class(0, "a")], tomograms, &ExportOptions::default()).unwrap_err()
    };
    let same = tomogram("TS_1", vec![]);
    assert!(matches!(run(&[same.clone(), same]), CoordinateError::Name { .. }));
    assert!(matches!(run(&[tomogram("TS_1", vec![point(1, [0.0; 3], None)])]), CoordinateError::ClassIndex { .. }));
    assert!(matches!(run(&[tomogram("TS_1", vec![point(0, [f64::NAN; 3], None)])]), CoordinateError::NotFinite { .. }));
    assert!(matches!(run(&[tomogram("TS_1", vec![point(0, [0.0; 3], Some(f32::NAN))])]), CoordinateError::NotFinite { .. }));
}

#[test]
fn every_export_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let classes = [class(0, "80S"), class(1, "b")];
    let options = ExportOptions { tilt_series_pixel_angstrom: Some(2.0), ..ExportOptions::default() };
    let points = vec![point(0, [3.0, 2.0, 1.0], Some(0.5)), point(1, [30.0, 20.0, 10.0], None)];
    let tomograms = [tomogram("TS_1", points), tomogram("TS_2", vec![point(1, [5.0, 6.0, 7.0], Some(0.25))])];
    let frame = Frame { shape: Some([72, 208, 209]), spacing_angstrom: Some(10.0), tilt_series_pixel_angstrom: Some(2.0) };
    for format in Format::ALL {
        let files = export(format, &dir.path().join(format.name()), &classes, &tomograms, &options).unwrap();
        let mut found = Vec::new();
        for file in files.iter().filter(|file| file.extension().is_none_or(|ending| ending != "doc")) {
            let positions = read_positions(file, &ReadOptions::default()).unwrap_or_else(|error| panic!("{format}: {error}"));
            let is_part = format == Format::Relion5Import && !file.ends_with("import_coordinates.star");
            assert_eq!(positions.format, if is_part { Format::Relion5 } else { format }, "{}", file.display());
            // RELION 5 has its particles in two files that name each other.
            if !is_part && !file.ends_with("optimisation_set.star") {
                found.extend(positions.rows.iter().map(|row| row.voxel_zyx(&frame).unwrap()));
            }
        }
        for point in tomograms.iter().flat_map(|tomogram| &tomogram.points) {
            let near = found.iter().filter(|place| crate::geometry::distance(**place, point.position) < 1e-3).count();
            assert_eq!(near, 1, "{format}: {point:?} in {found:?}");
        }
        assert_eq!(found.len(), 3, "{format}");
    }
}

#[test]
fn forms_are_recognised_by_content_before_name() {
    let format = |name: &str, text: &str| {
        parse_positions(text.as_bytes(), Path::new(name), &ReadOptions::default())
            .map(|positions| (positions.format, positions.rows.len()))
            .map_err(|error| error.to_string())
    };
    let star =
        "\n# version 30001\n\ndata_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n1 2 3\n";
    for name in ["a.star", "a.txt", "a.csv", "a", "a.STAR"] {
        assert_eq!(format(name, star), Ok((Format::Relion4, 1)), "{name}");
        assert_eq!(format(name, &format!("\u{feff}{}", star.replace('\n', "\r\n"))), Ok((Format::Relion4, 1)), "{name}");
    }
    assert_eq!(format("a.csv", "tomogram,class,x,y,z\ndata_1,a,1,2,3\n"), Ok((Format::Csv, 1)));
    assert_eq!(format("a.tsv", "tomogram\tclass\tx\ty\tz\ndata_1\ta\t1\t2\t3\n"), Ok((Format::Csv, 1)));
    assert_eq!(format("a.txt", "1 2 3\n4 5 6\n"), Ok((Format::Coords, 2)));
    for (name, text) in [("a", ""), ("a", "hello\n"), ("a.mrc", "\0\0\0\0"), ("a", "1 2 3 4\n")] {
        assert!(format(name, text).unwrap_err().contains("not recognised"), "{text:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(read_positions(dir.path(), &ReadOptions::default()).unwrap_err().to_string().contains("this is not a file"));
}

#[test]
fn classes_are_read_as_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("CLASSES.toml");
    let text = "[[class]]\nname = \"ribosome\"\nradius_angstrom = 150\ncolour = \"#e69F00\"\n\n\
        [[class]]\nname = \"apo-ferritin \\\"x\\\"\"\nradius_angstrom = 60.5\ncolor = [1, 2, 255]\n\n\
        [[class]]\nname = \"c\"\nradius_angstrom = 1\n";
    fs::write(&path, text).unwrap();
    let classes = read_classes(&path).unwrap();
    assert_eq!(
        classes.iter().map(|class| class.colour).collect::<Vec<_>>(),
        [[230, 159, 0], [1, 2, 255], crate::labels::default_colour(2)]
    );
    assert_eq!(classes[1].name, "apo-ferritin \"x\"");
    assert_eq!(classes[1].radius_angstrom, 60.5);
    assert!(matches!(write_classes(&path, &classes, false), Err(CoordinateError::Exists(_))));
    write_classes(&path, &classes, true).unwrap();
    assert_eq!(read_classes(&path).unwrap(), classes);

    let refused = [
        ("", "[[class]]"),
        ("class = []", "no class is listed"),
        ("[[class]]\nname = \"a\"\n", "radius_angstrom"),
        ("[[class]]\nname = \"a\"\nradius = 5\n", "line 3"),
        ("[[class]]\nname = \"a\"\nradius_angstrom = -5\n", "class 1"),
        ("[[class]]\nname = \"\"\nradius_angstrom = 5\n", "class 1"),
        ("[[class]]\nname = \"a\"\nradius_angstrom = nan\n", "class 1"),
        ("[[class]]\nname = \"a\"\nradius_angstrom = 5\n[[class]]\nname = \"a\"\nradius_angstrom = 5\n", "class 2"),
        ("[[class]]\nname = \"a\"\nradius_angstrom = 5\ncolour = \"red\"\n", "\"red\" is not a colour"),
        ("[[class]]\nname = \"a\"\nradius_angstrom = 5\ncolour = \"#12345é\"\n", "is not a colour"),
        ("[[class]]\nname = \"a\"\nradius_angstrom = 5\ncolour = [1, 2, 256]\n", "line 4"),
    ];
    for (text, expected) in refused {
        fs::write(&path, text).unwrap();
        let message = read_classes(&path).unwrap_err().to_string();
        assert!(message.contains(expected) && message.ends_with("CLASSES.toml"), "{message}");
    }
}

#[test]
fn formats_are_found_by_their_names() {
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
        let value = clap::ValueEnum::to_possible_value(&format).unwrap();
        assert_eq!(value.get_name(), format.name());
        assert!(!format.description().is_empty());
    }
    assert!("star".parse::<Format>().unwrap_err().to_string().contains("csv, kaggle, relion5"));
}

#[test]
fn tomograms_are_recognised_under_other_programs_names() {
    for name in ["TS_001", "rec_TS_001", "TS_001.tomostar", "TS_001_10.00Apx", "TS_001_10.00Apx.mrc", "rec_TS_001.mrc"] {
        assert_eq!(bare_tomogram_name(name), "TS_001", "{name}");
    }
    for name in ["001", "rec_", "TS_Apx", "_10Apx", ""] {
        assert_eq!(bare_tomogram_name(name), name);
    }
    assert!(same_tomogram("rec_a", "a.mrc") && !same_tomogram("001", "1"));
}

#[test]
fn the_data_sets_own_tables_are_read() {
    let data = std::env::var_os("SEMIETPICKER_TEST_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let picks = data.join("apoferritin/picks.csv");
    if !picks.exists() {
        println!("skipped: there is no test data at {}", data.display());
        return;
    }
    assert_eq!(read_csv(&picks).unwrap().len(), 337);
    assert_eq!(read_csv(&data.join("apoferritin/ignore.csv")).unwrap().len(), 29);
    let rows = read_csv(&data.join("phantom/labelled-1.csv")).unwrap();
    assert_eq!((rows[0].class.as_str(), rows[0].xyz, rows[0].unit), ("apo-ferritin", [57.19, 1285.77, 434.77], Unit::Angstrom));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the names and numbers, a written table reads back as it was, positions to a thousandth of a voxel.
    #[test]
    fn a_table_survives_being_written(
        names in prop::collection::vec("[a-z#\",;\n\tÅ_ 0-9-]{1,8}", 1..4),
        spacing in prop_oneof![Just(0.02), 0.5..30.0f64],
        positions in prop::collection::vec((prop::array::uniform3(-10.0..5000.0f64), prop::option::of(0.0..1.0f32)), 1..20),
    ) {
        let mut names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        names.sort();
        names.dedup();
        prop_assume!(!names.is_empty());
        let classes: Vec<Class> = names.iter().enumerate().map(|(index, name)| class(index as u32, name)).collect();
        let tomograms: Vec<ExportTomogram> = names.iter().map(|name| {
            let points = positions.iter().enumerate().map(|(index, (position, score))| ExportPoint {
                source: (index % 2 == 0).then(|| name.clone()),
                ..point(index % classes.len(), *position, *score)
            });
            ExportTomogram { spacing_angstrom: Some(spacing), ..tomogram(name, points.collect()) }
        }).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        write_csv(&path, &classes, &tomograms, false).unwrap();
        let mut rows = read_csv(&path).unwrap().into_iter();
        for tomogram in &tomograms {
            for written in &tomogram.points {
                let row = rows.next().unwrap();
                prop_assert_eq!(row.tomogram.as_deref(), Some(tomogram.name.as_str()));
                prop_assert_eq!(&row.class, &classes[written.class].name);
                prop_assert_eq!((row.score, &row.source), (written.score, &written.source));
                let frame = Frame { spacing_angstrom: Some(spacing), ..Frame::default() };
                prop_assert!(crate::geometry::distance(row.voxel_zyx(&frame).unwrap(), written.position) < 1e-3);
            }
        }
        prop_assert!(rows.next().is_none());
    }
}
