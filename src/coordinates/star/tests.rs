use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;

use crate::coordinates::*;
use crate::geometry::distance;
use crate::labels::{Class, ClassId};

fn class(name: &str) -> Class {
    Class { id: ClassId(0), name: name.to_owned(), radius_angstrom: 60.0, colour: [1, 2, 3] }
}

fn point(class: usize, position: [f64; 3], score: Option<f32>) -> ExportPoint {
    ExportPoint { class, position, score, source: None }
}

/// Two tomograms with an odd and an even axis, and one without a pick.
fn tomograms() -> Vec<ExportTomogram> {
    let tomogram = |name: &str, points| ExportTomogram {
        name: name.to_owned(),
        shape: [72, 208, 209],
        spacing_angstrom: Some(10.0),
        points,
    };
    vec![
        tomogram("rec_TS_001", vec![point(0, [36.0, 104.0, 104.5], Some(0.25)), point(0, [0.0, 1.5, 208.0], None)]),
        tomogram("002_10.00Apx", vec![point(0, [1.0, 2.0, 3.0], Some(1.5))]),
        tomogram("3", vec![]),
    ]
}

/// Exports one class, and gives the files by their names in the folder.
fn export_one(format: Format, options: &ExportOptions) -> (tempfile::TempDir, Vec<(String, String)>) {
    let dir = tempfile::tempdir().unwrap();
    let files = export(format, dir.path(), &[class("ribosome")], &tomograms(), options).unwrap();
    let texts = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(file).unwrap().replace(dir.path().to_str().unwrap(), "DIR"))
        })
        .collect();
    (dir, texts)
}

fn with_pixel() -> ExportOptions {
    ExportOptions { tilt_series_pixel_angstrom: Some(1.25), ..ExportOptions::default() }
}

fn read_text(name: &str, text: &str) -> Result<Positions, CoordinateError> {
    parse_positions(text.as_bytes(), &Path::new("/nowhere/job012").join(name), &ReadOptions::default())
}

fn refused(name: &str, text: &str) -> String {
    read_text(name, text).map(|positions| format!("{positions:?}")).expect_err(text).to_string()
}

const FRAME: Frame = Frame { shape: Some([72, 208, 209]), spacing_angstrom: Some(10.0), tilt_series_pixel_angstrom: Some(1.25) };

#[test]
fn relion5_files_are_these() {
    let (_dir, files) = export_one(Format::Relion5, &ExportOptions::default());
    let particles = "\n# version 50001\n\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCenteredCoordinateXAngst #2\n\
        _rlnCenteredCoordinateYAngst #3\n_rlnCenteredCoordinateZAngst #4\n_rlnAutopickFigureOfMerit #5\n\
        TS_001 0.0000 0.0000 0.0000 0.25\nTS_001 1035.0000 -1025.0000 -360.0000 1\n002 -1015.0000 -1020.0000 -350.0000 1.5\n\n";
    let set = "\n# version 50001\n\ndata_optimisation_set\n\nloop_\n_rlnTomoParticlesFile #1\n_rlnTomoTomogramsFile #2\n\
        DIR/particles.star tomograms.star\n\n";
    assert_eq!(files, [("particles.star".into(), particles.into()), ("optimisation_set.star".into(), set.into())]);
}

#[test]
fn relions_own_shift_is_one_tilt_series_pixel_more() {
    let options = ExportOptions { relion_picker_offset: true, ..with_pixel() };
    for format in [Format::Relion5, Format::Relion5Import] {
        let (_dir, files) = export_one(format, &options);
        let text: String = files.iter().map(|(_, text)| text.as_str()).collect();
        assert!(text.contains("TS_001 1.2500 1.2500 1.2500 0.25\n"), "{text}");
        let unsaid = ExportOptions { relion_picker_offset: true, ..ExportOptions::default() };
        let dir = tempfile::tempdir().unwrap();
        let error = export(format, dir.path(), &[class("a")], &tomograms(), &unsaid).unwrap_err();
        assert!(error.to_string().contains("tilt-series pixel size"), "{error}");
    }
}

#[test]
fn relion5_import_files_are_these() {
    let (_dir, files) = export_one(Format::Relion5Import, &ExportOptions::default());
    let header = "\n# version 50001\n\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCenteredCoordinateXAngst #2\n\
        _rlnCenteredCoordinateYAngst #3\n_rlnCenteredCoordinateZAngst #4\n_rlnAutopickFigureOfMerit #5\n";
    let first = format!("{header}TS_001 0.0000 0.0000 0.0000 0.25\nTS_001 1035.0000 -1025.0000 -360.0000 1\n\n");
    let second = format!("{header}002 -1015.0000 -1020.0000 -350.0000 1.5\n\n");
    let index = "\n# version 50001\n\ndata_\n\nloop_\n_rlnTomoName #1\n_rlnTomoImportParticleFile #2\n\
        TS_001 DIR/TS_001.star\n002 DIR/002.star\n\n";
    let expected = [("TS_001.star", first.as_str()), ("002.star", &second), ("import_coordinates.star", index)];
    assert_eq!(files, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn relion4_files_are_these() {
    let (_dir, files) = export_one(Format::Relion4, &with_pixel());
    let text = "\n# version 30001\n\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n\
        _rlnCoordinateZ #4\n_rlnOpticsGroup #5\n_rlnAutopickFigureOfMerit #6\n\
        TS_001 836.000000 832.000000 288.000000 1 0.25\nTS_001 1664.000000 12.000000 0.000000 1 1\n\
        002 24.000000 16.000000 8.000000 1 1.5\n\n\
        \n# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnTomoTiltSeriesPixelSize #3\n\
        1 opticsGroup1 1.25\n\n";
    assert_eq!(files, [("particles.star".to_owned(), text.to_owned())]);
    let dir = tempfile::tempdir().unwrap();
    for wrong in [None, Some(0.0), Some(f64::NAN)] {
        let options = ExportOptions { tilt_series_pixel_angstrom: wrong, ..ExportOptions::default() };
        let error = export(Format::Relion4, dir.path(), &[class("a")], &tomograms(), &options).unwrap_err();
        assert!(error.to_string().contains("relion4 needs the pixel size of the unbinned tilt series"), "{error}");
    }
    // An empty table comes last: RELION would take what follows for a row of it.
    let files = export(Format::Relion4, dir.path(), &[class("a"), class("b")], &tomograms(), &with_pixel()).unwrap();
    assert_eq!(files, ["a", "b"].map(|class| dir.path().join(class).join("particles.star")));
    let text = fs::read_to_string(&files[1]).unwrap();
    assert!(text.find("data_optics") < text.find("data_particles") && text.ends_with("_rlnAutopickFigureOfMerit #6\n\n"));
}

#[test]
fn warp_files_are_these() {
    let dir = tempfile::tempdir().unwrap();
    let mut tomograms = tomograms();
    for tomogram in &mut tomograms {
        tomogram.spacing_angstrom = None;
    }
    let classes = [class("80S ribosome"), class("b")];
    let files = export(Format::Warp, dir.path(), &classes, &tomograms, &ExportOptions::default()).unwrap();
    let header = "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnMicrographName #4\n\
        _rlnAutopickFigureOfMerit #5\n";
    let rows = "104.5000 104.0000 36.0000 TS_001.tomostar 0.25\n208.0000 1.5000 0.0000 TS_001.tomostar 1\n\
        3.0000 2.0000 1.0000 002.tomostar 1.5\n";
    assert_eq!(files, [dir.path().join("80S ribosome.star"), dir.path().join("b.star")]);
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), format!("{header}{rows}\n"));
    assert_eq!(fs::read_to_string(&files[1]).unwrap(), format!("{header}\n"));
    tomograms[0].name = "TS 001".to_owned();
    let options = ExportOptions { overwrite: true, ..ExportOptions::default() };
    let error = export(Format::Warp, dir.path(), &classes, &tomograms, &options).unwrap_err();
    assert!(error.to_string().contains("Warp cannot read names with spaces"), "{error}");
}

#[test]
fn cbox_files_are_these() {
    let (_dir, files) = export_one(Format::Cbox, &ExportOptions::default());
    let header = "\ndata_global\n\n_cbox_format_version 1.0\n\ndata_cryolo\n\nloop_\n_CoordinateX #1\n_CoordinateY #2\n\
        _CoordinateZ #3\n_Width #4\n_Height #5\n_Depth #6\n_EstWidth #7\n_EstHeight #8\n_Confidence #9\n_NumBoxes #10\n_Angle #11\n";
    let include = "\n\ndata_cryolo_include\n\nloop_\n_slice_index #1\n";
    let width = "12.000 12.000 12.000 12.000 12.000";
    let first = format!(
        "{header}98.5000 98.0000 36.0000 {width} 0.25 <NA> <NA>\n202.0000 -4.5000 0.0000 {width} 1 <NA> <NA>\n{include}0\n36\n\n"
    );
    let second = format!("{header}-3.0000 -4.0000 1.0000 {width} 1.5 <NA> <NA>\n{include}1\n\n");
    let third = format!("{header}{include}\n");
    let expected = [("rec_TS_001.cbox", first), ("002_10.00Apx.cbox", second), ("3.cbox", third)];
    assert_eq!(files, expected.map(|(name, text)| (name.to_owned(), text)));
}

#[test]
fn relion_can_read_what_is_written() {
    let options = ExportOptions { relion_tomograms_star: "Tomograms/job 1/tomograms.star".to_owned(), ..with_pixel() };
    for format in [Format::Relion5, Format::Relion5Import, Format::Relion4, Format::Warp, Format::Cbox] {
        for (name, text) in export_one(format, &options).1 {
            assert!(!text.contains('\r') && text.ends_with("\n\n"), "{name}");
            for line in text.lines().filter(|line| line.starts_with('_') && line.contains('#')) {
                let words: Vec<_> = line.split(' ').collect();
                assert!(words.len() == 2 && words[1].starts_with('#'), "{name}: {line}");
            }
            let blocks = text.lines().filter(|line| line.contains("data_")).count();
            assert_eq!(blocks, text.lines().filter(|line| line.starts_with("data_")).count(), "{name}");
        }
    }
}

#[test]
fn tilt_series_have_one_tomogram_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut tomograms = tomograms();
    tomograms[1].name = "TS_001_5.00Apx".to_owned();
    for format in [Format::Relion5, Format::Relion5Import, Format::Relion4, Format::Warp] {
        let error = export(format, dir.path(), &[class("a")], &tomograms, &with_pixel()).unwrap_err();
        assert!(error.to_string().contains("same tilt series"), "{format}: {error}");
    }
    tomograms[1].name = "import_coordinates".to_owned();
    let error = export(Format::Relion5Import, dir.path(), &[class("a")], &tomograms, &with_pixel()).unwrap_err();
    assert!(matches!(error, CoordinateError::Name { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn relion5_positions_count_from_the_centre_less_the_shifts_of_refinement() {
    let text = "\n# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks 1\n\ndata_optics\n\nloop_ \n_rlnOpticsGroup #1 \n\
        _rlnTomoTiltSeriesPixelSize #2 \n1 1.25\n\n\ndata_particles\n\nloop_ \n_rlnTomoName #1 \n_rlnTomoSubtomogramRot #2 \n\
        _rlnTomoSubtomogramTilt #3 \n_rlnTomoSubtomogramPsi #4 \n_rlnOriginXAngst #5 \n_rlnOriginYAngst #6 \n_rlnOriginZAngst #7 \n\
        _rlnCenteredCoordinateXAngst #8 \n_rlnCenteredCoordinateYAngst #9 \n_rlnCenteredCoordinateZAngst #10 \n\
        _rlnTomoParticleName #11 \n_rlnClassNumber #12 \n_rlnOpticsGroup #13 \n\
        rec_TS_01 0 0 0  10 -20 30  1045 5 0 TS_01/2 1 1\n  TS_01.tomostar   90 0 0  10 20 30  0 0 0 TS_01/3 2 1\n\
        001 0 90 0 10 20 30  0 0 0 001/1 2 1\n001 0 90 90 10 20 30  0 0 0 001/1 2 1\n";
    let positions = read_text("run_data.star", text).unwrap();
    assert_eq!(positions.format, Format::Relion5);
    let rows = &positions.rows;
    assert_eq!(rows.iter().map(|row| row.tomogram.as_deref().unwrap()).collect::<Vec<_>>(), ["TS_01", "TS_01", "001", "001"]);
    assert_eq!((rows[0].unit, rows[0].xyz, rows[0].class.as_str()), (Unit::CentredAngstrom, [1045.0, 5.0, 0.0], "job012"));
    assert_eq!(rows[0].voxel_zyx(&FRAME).unwrap(), [33.0, 106.5, 208.0]);
    // By hand: rot turns x, y by -90 degrees; tilt takes z to -x and x to z; psi turns what came out.
    for (row, shift) in rows[1..].iter().zip([[-20.0, 10.0, -30.0], [30.0, -20.0, -10.0], [-20.0, -30.0, -10.0]]) {
        assert!(distance(row.shift_angstrom, shift) < 1e-9, "{:?}", row.shift_angstrom);
    }
    let notes = positions.notes.join("\n");
    for part in ["shifts of refinement", "rlnClassNumber differs", "folder's name, \"job012\""] {
        assert!(notes.contains(part), "{notes}");
    }
}

#[test]
fn the_unit_of_pixels_comes_from_the_columns() {
    let file = |optics: &str, columns: &str, rows: &str| {
        let header = |names: &str| names.split(' ').map(|name| format!("_{name}\n")).collect::<String>();
        let optics = optics
            .split_once(": ")
            .map(|(names, row)| format!("data_optics\nloop_\n{}{row}\n\n", header(names)))
            .unwrap_or_default();
        format!(
            "{optics}data_particles\nloop_\n{}{rows}\n",
            header(&format!("rlnCoordinateX rlnCoordinateY rlnCoordinateZ {columns}"))
        )
    };
    let unit = |optics: &str, columns: &str, rows: &str| {
        let positions = read_text("picks.star", &file(optics, columns, &format!("8 16 24 {rows}"))).unwrap();
        (positions.rows[0].unit, positions.format, positions.rows[0].tomogram.clone().unwrap_or_default())
    };
    let pixel = |pixel| Unit::TiltSeriesPixel(Some(pixel));
    let named = |unit, format, name: &str| (unit, format, name.to_owned());
    // RELION 4 and 5
    let group = "rlnOpticsGroup rlnTomoTiltSeriesPixelSize rlnImagePixelSize rlnTomoSubtomogramBinning: 7 1.25 5 4";
    assert_eq!(unit(group, "rlnTomoName rlnOpticsGroup", "TS_1 7"), named(pixel(1.25), Format::Relion4, "TS_1"));
    assert_eq!(unit(group, "rlnTomoName", "TS_1"), named(pixel(1.25), Format::Relion4, "TS_1"));
    let group = "rlnOpticsGroup rlnImagePixelSize rlnTomoSubtomogramBinning: 7 5 4";
    assert_eq!(unit(group, "rlnTomoName rlnOpticsGroup", "TS_1 7").0, pixel(1.25));
    assert_eq!(unit("", "rlnTomoName", "TS_1").0, Unit::TiltSeriesPixel(None));
    // RELION 3.1: the boxes' pixel may be binned, so it is not taken.
    let group = "rlnOpticsGroup rlnImagePixelSize: 1 5";
    let found = unit(group, "rlnMicrographName rlnOpticsGroup", "a/TS_1.mrc 1");
    assert_eq!(found, named(Unit::TiltSeriesPixel(None), Format::Relion4, "TS_1"));
    let group = "rlnOpticsGroup rlnMicrographOriginalPixelSize rlnMicrographPixelSize rlnImagePixelSize: 1 0.5 2 5";
    assert_eq!(
        unit(group, "rlnMicrographName rlnOpticsGroup", "TS_1_aligned.st:mrc 1"),
        named(pixel(2.0), Format::Relion4, "TS_1_aligned")
    );
    // RELION 3.0: 5 micrometres at 20000-fold magnification are 2.5 angstrom.
    let columns = "rlnMicrographName rlnMagnification rlnDetectorPixelSize";
    assert_eq!(unit("", columns, "a/b/TS_1.rec 20000 5").0, pixel(2.5));
    assert_eq!(unit("", "rlnMicrographName", "a/b/TS_1.rec"), named(Unit::Voxel, Format::Relion4, "TS_1"));
    // Warp
    assert_eq!(unit("", "rlnMicrographName", "TS_1.tomostar"), named(Unit::Voxel, Format::Warp, "TS_1"));
    assert_eq!(unit("", "rlnMicrographName rlnPixelSize", "TS_1.tomostar 10.0").0, pixel(10.0));
    // What the user says of the form goes first.
    let options = |format| ReadOptions { format: Some(format), class: None };
    let text = file("", "rlnTomoName", "1 2 3 TS_1");
    let read = |format| parse_positions(text.as_bytes(), Path::new("a.star"), &options(format)).unwrap().rows[0].unit;
    assert_eq!((read(Format::Warp), read(Format::Relion4)), (Unit::Voxel, Unit::TiltSeriesPixel(None)));
    // The annotations of RELION 5's picker, before it has made particles of them, are in voxels of what it showed.
    let picked = read_text("TS_1_particles.star", &text).unwrap();
    assert_eq!(picked.rows[0].unit, Unit::Voxel);
    // A size of no use is as none.
    assert_eq!(unit("rlnOpticsGroup rlnTomoTiltSeriesPixelSize: 1 0", "rlnTomoName", "TS_1").0, Unit::TiltSeriesPixel(None));
    assert!(
        refused("a.star", &file("rlnOpticsGroup rlnImagePixelSize: 1 x", "rlnTomoName", "1 2 3 TS_1"))
            .contains("line 5: _rlnImagePixelSize")
    );
}

#[test]
fn warps_template_matching_gives_fractions() {
    let text = "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnAngleRot #4\n\
        _rlnMicrographName #5\n_rlnAutopickFigureOfMerit #6\n 0.5  0.25 1E-1 12 TS_1.tomostar 8.5\n";
    let positions = read_text("TS_1_10.00Apx_80S.star", text).unwrap();
    assert_eq!((positions.rows[0].unit, positions.rows[0].score), (Unit::VolumeFraction, Some(8.5)));
    let voxel = positions.rows[0].voxel_zyx(&FRAME).unwrap();
    assert!(distance(voxel, [7.2, 52.0, 104.5]) < 1e-9, "{voxel:?}");
    assert_eq!(positions.rows[0].voxel_zyx(&Frame { shape: None, ..FRAME }), Err(Missing::Shape));
    assert_eq!(read_text("TS_1.star", &text.replace("0.25", "25")).unwrap().rows[0].unit, Unit::Voxel);
}

#[test]
fn old_shifts_are_pixels() {
    let columns =
        "_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnMicrographName\n_rlnOriginX\n_rlnOriginY\n_rlnOriginZ\n";
    let text = format!("data_\nloop_\n{columns}_rlnPixelSize\n10 20 30 TS_1.tomostar 1 -2 3 5\n");
    let row = &read_text("a.star", &text).unwrap().rows[0];
    assert_eq!((row.xyz, row.shift_angstrom), ([10.0, 20.0, 30.0], [-5.0, 10.0, -15.0]));
    assert_eq!(row.voxel_zyx(&FRAME).unwrap(), [13.5, 11.0, 4.5]);
    let row = &read_text("a.star", &format!("data_\nloop_\n{columns}10 20 30 TS_1.tomostar 1 -2 3\n")).unwrap().rows[0];
    assert_eq!((row.xyz, row.shift_angstrom), ([9.0, 22.0, 27.0], [0.0; 3]));
}

#[test]
fn cryolos_own_boxes_are_read() {
    let text = "\ndata_global\n\n_cbox_format_version   1.0 \n\ndata_cryolo\n\nloop_\n_CoordinateX #1\n_CoordinateY #2\n\
        _CoordinateZ #3\n_Width #4\n_Height #5\n_Depth #6\n_EstWidth #7\n_EstHeight #8\n_Confidence #9\n_NumBoxes #10\n_Angle #11\n \
        98.000000\t98.000000 36.500000 13 12 1 <NA> <NA> 0.75 5 <NA> \n 1 2 3 4 6 1 <NA> <NA> <NA> 5 <NA>\n\n\
        data_cryolo_include\n\nloop_\n_slice_index #1\n 36.5\n\n";
    let positions = read_text("TS_1_10.00Apx.cbox", text).unwrap();
    let rows = &positions.rows;
    assert_eq!((positions.format, rows[0].unit, rows[0].tomogram.as_deref()), (Format::Cbox, Unit::Voxel, Some("TS_1_10.00Apx")));
    assert_eq!(
        (rows[0].xyz, rows[0].score, rows[1].xyz, rows[1].score),
        ([104.5, 104.0, 36.5], Some(0.75), [3.0, 5.0, 3.0], None)
    );
    assert!(refused("a.cbox", &text.replace(" 36.500000 13", " <NA> 13")).contains("line 20: _CoordinateZ"));
}

#[test]
fn what_a_file_lacks_is_said() {
    assert!(refused("a.star", "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n1 2\n").contains("have no z"));
    assert!(refused("a.star", "data_\nloop_\n_rlnTomoName\nTS_1\n").contains("no block of this STAR file has coordinates"));
    let header = "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n";
    for (row, part) in [("1 2 inf", "not finite"), ("1 2 z", "not a number"), ("1 2", "2 values"), ("1 2 1e999", "not finite")] {
        let message = refused("a.star", &format!("{header}1 2 3\n{row}\n"));
        assert!(message.starts_with("line 7: ") && message.contains(part) && message.ends_with("a.star"), "{message}");
    }
    assert!(refused("a.star", &format!("{header}_rlnCoordinateX\n1 2 3 4\n")).contains("two columns are named _rlnCoordinateX"));
    let group = "data_optics\nloop_\n_rlnOpticsGroup\n1\n1\n";
    assert!(refused("a.star", &format!("{group}{header}1 2 3\n")).contains("there twice"));
    assert!(
        parse_positions(b"data_\xff\n", Path::new("a.star"), &ReadOptions::default()).unwrap_err().to_string().contains("UTF-8")
    );
    let notes = read_text("a.star", &format!("{header}1 2 3")).unwrap().notes.join("\n");
    assert!(notes.contains("cut short") && notes.contains("does not name the tomograms"), "{notes}");
    let twice = format!("{header}1 2 3\n{header}4 5 6\n");
    assert!(read_text("a.star", &twice).unwrap().notes.join("\n").contains("1 more blocks"));
}

#[test]
fn files_that_name_others_are_followed_within_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("80S");
    fs::create_dir_all(inside.join("deep")).unwrap();
    let particles = "data_particles\nloop_\n_rlnCenteredCoordinateXAngst\n_rlnCenteredCoordinateYAngst\n\
        _rlnCenteredCoordinateZAngst\n1 2 3\n";
    for path in ["outside.star", "80S/particles.star", "80S/deep/TS_9.star"] {
        fs::write(dir.path().join(path), particles).unwrap();
    }
    let read = |name: &str, text: &str| {
        let path = inside.join(name);
        fs::write(&path, text).unwrap();
        read_positions(&path, &ReadOptions::default())
    };
    let set = |named: &str| format!("data_\n\n_rlnTomoParticlesFile   {named}\n_rlnTomoTomogramsFile x\n");
    for named in ["particles.star", "Extract/job012/particles.star", inside.join("particles.star").to_str().unwrap()] {
        let positions = read("optimisation_set.star", &set(named)).unwrap();
        assert_eq!((positions.rows.len(), positions.rows[0].class.as_str(), positions.format), (1, "80S", Format::Relion5));
        assert!(positions.notes[0].contains("which was read"));
    }
    for named in ["../outside.star", "/etc/passwd", "missing.star", "optimisation_set.star", ".", "\"\""] {
        let message = read("optimisation_set.star", &set(named)).unwrap_err().to_string();
        assert!(message.contains("open that file itself"), "{named}: {message}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path().join("outside.star"), inside.join("link.star")).unwrap();
        assert!(read("optimisation_set.star", &set("link.star")).is_err());
    }
    // A set that names a set is not followed further.
    fs::write(inside.join("second.star"), set("particles.star")).unwrap();
    assert!(read("optimisation_set.star", &set("second.star")).unwrap_err().to_string().contains("no block"));

    let index = |rows: &str| format!("data_\nloop_\n_rlnTomoName\n_rlnTomoImportParticleFile\n{rows}\n");
    let positions =
        read("import_coordinates.star", &index("rec_TS_9 project/80S/deep/TS_9.star\nTS_8 deep/TS_9.star")).err().unwrap();
    assert!(positions.to_string().starts_with("line 5: the file \"project/80S/deep/TS_9.star\" is not in the folder"));
    let positions = read("import_coordinates.star", &index("rec_TS_9 deep/TS_9.star\nTS_8 particles.star")).unwrap();
    assert_eq!(positions.format, Format::Relion5Import);
    let names: Vec<_> = positions.rows.iter().map(|row| row.tomogram.as_deref().unwrap()).collect();
    assert_eq!(names, ["TS_9", "TS_8"]);
    assert_eq!(read("import_coordinates.star", &index("")).unwrap().rows.len(), 0);
}

/// An example of every file of the family, by name.
fn examples() -> &'static [(String, String)] {
    static EXAMPLES: OnceLock<Vec<(String, String)>> = OnceLock::new();
    EXAMPLES.get_or_init(make_examples)
}

fn make_examples() -> Vec<(String, String)> {
    let options = ExportOptions { relion_tomograms_star: "a b.star".to_owned(), ..with_pixel() };
    let mut all: Vec<_> = [Format::Relion5, Format::Relion5Import, Format::Relion4, Format::Warp, Format::Cbox]
        .into_iter()
        .flat_map(|format| export_one(format, &options).1)
        .collect();
    let quoted = "data_optics\r\nloop_\r\n_rlnOpticsGroup #1\r\n_rlnImagePixelSize #2\r\n1 2.5\r\n\r\ndata_particles\r\nloop_\r\n\
        _rlnTomoName #1\r\n_rlnCoordinateX #2\r\n_rlnCoordinateY #3\r\n_rlnCoordinateZ #4\r\n_rlnOriginXAngst #5\r\n\
        _rlnOpticsGroup #6\r\n'TS é' 1 2 3 4 1\r\n# comment\r\n\"TS 2\" 1 2 3 4 1\r\n";
    all.push(("old.star".to_owned(), quoted.to_owned()));
    all
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_right_as_far_as_it_goes() {
    let options = ReadOptions { class: Some("a".to_owned()), ..ReadOptions::default() };
    for (name, text) in examples() {
        let read = |bytes: &[u8]| parse_positions(bytes, &Path::new("/nowhere").join(name), &options);
        // The index of an import and the optimisation set name files that are not here.
        let whole = read(text.as_bytes()).map(|positions| positions.rows).unwrap_or_default();
        for cut in 0..text.len() {
            let Ok(part) = read(&text.as_bytes()[..cut]) else { continue };
            // Only the row in which a line breaks off can be other than it was, and then the file is said to be cut.
            let is_cut = part.notes.iter().any(|note| note.contains("cut short"));
            let sure = part.rows.len() - usize::from(is_cut && !part.rows.is_empty());
            assert!(sure <= whole.len(), "{name} {cut}");
            for (row, whole) in part.rows[..sure].iter().zip(&whole) {
                let optics_may_be_missing =
                    CoordinateRow { unit: whole.unit, shift_angstrom: whole.shift_angstrom, ..row.clone() };
                assert!(
                    row == whole || row.unit == Unit::TiltSeriesPixel(None) && optics_may_be_missing == *whole,
                    "{name} {cut}"
                );
            }
        }
    }
}

/// The positions of an export, read back from the files that hold them.
fn read_back(format: Format, files: &[PathBuf], classes: &[Class]) -> Vec<CoordinateRow> {
    let wanted = |file: &&PathBuf| match format {
        Format::Relion5 => file.ends_with("optimisation_set.star"),
        Format::Relion5Import => file.ends_with("import_coordinates.star"),
        _ => true,
    };
    let class_of = |file: &Path| {
        let name = if format == Format::Warp { file.file_stem() } else { file.parent().unwrap().file_name() };
        classes.iter().find(|class| Some(class.name.as_ref()) == name).map(|class| class.name.clone())
    };
    let mut rows = Vec::new();
    for file in files.iter().filter(wanted) {
        let positions = read_positions(file, &ReadOptions::default()).unwrap();
        assert_eq!(positions.format, format);
        for row in positions.rows {
            assert_eq!(Some(&row.class), class_of(file).as_ref(), "the folder or file is the class");
            rows.push(row);
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is exported is read back at the same places, whatever the volume's parity and the spacing.
    #[test]
    fn exports_are_read_back(
        shape in prop::array::uniform3(1..1000_usize),
        spacing in prop_oneof![Just(0.0371), 0.5..30.0f64],
        tilt_series_pixel in 0.3..12.0f64,
        places in prop::collection::vec((0..2_usize, prop::array::uniform3(-0.2..1.2f64), prop::option::of(0.0..1.0f32)), 0..20),
    ) {
        let classes = [class("80S ribosome"), class("apo-ferritin")];
        let names = ["TS_1", "001"];
        let tomograms: Vec<_> = names.iter().enumerate().map(|(index, name)| ExportTomogram {
            name: (*name).to_owned(),
            shape,
            spacing_angstrom: Some(spacing),
            points: places.iter().skip(index).map(|(class, place, score)| {
                point(*class, std::array::from_fn(|axis| place[axis] * shape[axis] as f64), *score)
            }).collect(),
        }).collect();
        let frame = Frame { shape: Some(shape), spacing_angstrom: Some(spacing), tilt_series_pixel_angstrom: None };
        let options = ExportOptions { tilt_series_pixel_angstrom: Some(tilt_series_pixel), ..ExportOptions::default() };
        for format in [Format::Relion5, Format::Relion5Import, Format::Relion4, Format::Warp, Format::Cbox] {
            let dir = tempfile::tempdir().unwrap();
            let files = export(format, dir.path(), &classes, &tomograms, &options).unwrap();
            let mut rows = read_back(format, &files, &classes).into_iter();
            for (index, class) in classes.iter().enumerate() {
                for tomogram in &tomograms {
                    for written in tomogram.points.iter().filter(|point| point.class == index) {
                        let row = rows.next().unwrap();
                        prop_assert_eq!((row.tomogram.as_deref(), &row.class), (Some(tomogram.name.as_str()), &class.name));
                        prop_assert_eq!(row.score, Some(written.score.unwrap_or(1.0)));
                        let voxel = row.voxel_zyx(&frame).unwrap();
                        prop_assert!(distance(voxel, written.position) < 1e-3, "{}: {:?} {:?}", format, voxel, written);
                    }
                }
            }
            prop_assert!(rows.next().is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damaged files are an error or are read; what is read is finite.
    #[test]
    fn damaged_files_never_panic(
        example in 0..11_usize,
        damages in prop::collection::vec((0.0..1.0f64, 0..6_u8, prop::collection::vec(any::<u8>(), 1..6)), 1..8),
    ) {
        let examples = examples();
        let (name, text) = &examples[example % examples.len()];
        let mut bytes = text.clone().into_bytes();
        for (place, kind, new) in damages {
            let at = (place * bytes.len() as f64) as usize;
            let end = (at + new.len()).min(bytes.len());
            match kind {
                0 => bytes[at..end].copy_from_slice(&new[..end - at]),
                1 => drop(bytes.splice(at..at, new)),
                2 => drop(bytes.drain(at..end)),
                3 => drop(bytes.splice(at..end, [b"\n".as_slice(), b"loop_\n", b"data_", b"_x ", b"\"", b"\t1e308 "][new.len()].iter().copied())),
                4 => bytes.truncate(at),
                _ => {
                    let piece = bytes[at..].to_vec();
                    bytes.splice(0..0, piece);
                }
            }
        }
        for format in [None, Some(Format::Relion4), Some(Format::Warp)] {
            let options = ReadOptions { format: format.or(Some(Format::Relion5)), class: None };
            if let Ok(positions) = parse_positions(&bytes, &Path::new("/nowhere").join(name), &options) {
                for row in positions.rows {
                    prop_assert!(row.xyz.iter().chain(&row.shift_angstrom).all(|number| number.is_finite()) && !row.class.is_empty());
                }
            }
            let _ = parse_positions(&bytes, Path::new("a"), &ReadOptions::default());
        }
    }

    /// Nor does any text.
    #[test]
    fn any_text_is_an_error_or_read(words in prop::collection::vec(prop::sample::select(vec![
        "data_", "data_a", "loop_", "_rlnCoordinateX", "_rlnCoordinateY", "_rlnCoordinateZ", "_rlnTomoName", "_rlnOpticsGroup",
        "_rlnTomoParticlesFile", "_rlnTomoImportParticleFile", "_CoordinateX", "_CoordinateY", "_CoordinateZ", "_Width", "_Height",
        "1", "2.5", "-1e308", "NaN", "<NA>", "'", "\"", "#", ";", "é", "\r\n", "\n", "\n", "\n", "\n", "\n\n", " ", " ", "\t", "\0",
    ]), 0..80)) {
        let text = words.concat();
        let _ = read_text("a.star", &text);
        let _ = parse_positions(text.as_bytes(), Path::new("a.star"), &ReadOptions { format: Some(Format::Cbox), class: None });
    }
}
