//! Damaged files of positions, classes and copick configurations, many at random: an error or a right answer, never a panic, a
//! hang, or more memory than the file justifies.
//!
//! `tests/support/fuzz.rs` says how it works; `tests/corpus/coordinates/` holds earlier findings. Longer runs:
//! `SEMIETPICKER_FUZZ_SECONDS=300 cargo test --test fuzz_coordinates -- --nocapture`.

#[path = "support/fuzz.rs"]
mod fuzz;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use semietpicker::coordinates::{
    ExportOptions, ExportPoint, ExportTomogram, Format, PlaceOptions, ReadOptions, Target, export, parse_positions, place,
    read_classes, write_classes,
};
use semietpicker::copick::CopickProject;
use semietpicker::labels::{Class, ClassId};
use tempfile::TempDir;

/// Earlier findings.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/coordinates");

/// Duration of each run where nothing else is said: all of them together are to stay short.
const SECONDS: f64 = 0.4;

/// The class and tomogram of a file that no input may lead to.
const SECRET: &str = "secret";

/// A folder in memory where that is to be had: a disk that others use would set the pace.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a temporary folder")
}

/// Writes without emptying the file first: some file systems put such a file on the disk at once.
fn put(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.set_len(bytes.len() as u64)));
    written.expect("the input can be written");
}

fn classes() -> [Class; 2] {
    let class = |index: u32, name: &str| Class {
        id: ClassId(index),
        name: name.to_owned(),
        radius_angstrom: 60.0,
        colour: [230, 159, index as u8],
    };
    [class(0, "80S ribosome"), class(1, "virus-like")]
}

fn tomograms() -> [ExportTomogram; 2] {
    let point = |class, position, score| ExportPoint { class, position, score, source: None };
    let points =
        vec![point(0, [12.25, 24.5, 39.75], Some(0.875)), point(1, [0.0, 0.0, 0.0], None), point(0, [39.0, 49.0, 59.0], None)];
    let tomogram =
        |name: &str, points| ExportTomogram { name: name.to_owned(), shape: [40, 51, 60], spacing_angstrom: Some(7.84), points };
    [tomogram("TS_001", points), tomogram("001", vec![])]
}

/// The files of a small export whose names end like this.
fn exported(format: Format, endings: &[&str]) -> Vec<Vec<u8>> {
    let folder = scratch();
    let options = ExportOptions { tilt_series_pixel_angstrom: Some(1.35), ..ExportOptions::default() };
    let files = export(format, folder.path(), &classes(), &tomograms(), &options).expect("an export");
    let chosen = files.iter().filter(|path| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)));
    let found: Vec<Vec<u8>> = chosen.map(|path| fs::read(path).expect("the file just written")).collect();
    assert!(!found.is_empty(), "{format}: {files:?}");
    found
}

/// Whether `bytes` are positions. Those accepted must be usable, and errors must be short and name the file.
fn positions(bytes: &[u8], path: &Path, format: Option<Format>) -> bool {
    let options = ReadOptions { format, class: None };
    let read = match parse_positions(bytes, path, &options) {
        Ok(read) => read,
        Err(error) => {
            let message = error.to_string();
            assert!(
                message.chars().count() < 1000 && message.contains(&*path.parent().unwrap_or(path).to_string_lossy()),
                "{message}"
            );
            return false;
        }
    };
    for row in &read.rows {
        assert!(row.xyz.iter().chain(&row.shift_angstrom).all(|value| value.is_finite()) && !row.class.is_empty(), "{row:?}");
        assert!(row.score.is_none_or(f32::is_finite), "{row:?}");
        assert!(row.class != SECRET && row.tomogram.as_deref() != Some(SECRET), "a file elsewhere was read");
    }
    assert!(read.notes.len() <= 30 && read.notes.iter().all(|note| note.len() < 2000), "{:?}", read.notes);
    let targets = tomograms().map(|tomogram| Target {
        name: tomogram.name,
        shape: Some(tomogram.shape),
        spacing_angstrom: tomogram.spacing_angstrom,
    });
    let options = PlaceOptions { unnamed: Some(1), tilt_series_pixel_angstrom: Some(1.35), ..PlaceOptions::default() };
    let found = place(&read.rows, &targets, &options);
    let elsewhere = found.elsewhere.values().sum::<usize>() + found.missing.values().sum::<usize>() + found.unnamed;
    assert_eq!(found.placed.len() + found.outside.len() + elsewhere, read.rows.len());
    let inside = |placed: &semietpicker::coordinates::Placed| {
        let size = targets[placed.target].shape.unwrap_or_default();
        (0..3).all(|axis| (-0.5..=size[axis] as f64).contains(&placed.position[axis]))
    };
    assert!(found.placed.iter().all(inside), "{:?}", found.placed);
    true
}

/// A row in memory is larger than in the file, where it takes 6 bytes or more.
fn of_rows(length: usize) -> usize {
    (1 << 20) + 192 * length
}

fn fuzzer(name: &'static str, suffix: &'static str) -> fuzz::Fuzzer {
    fuzz::Fuzzer::new(name, suffix).seconds(SECONDS).regressions(CORPUS).allowance(of_rows)
}

/// A path to call an input by where nothing beside it is read.
fn nowhere(name: &str) -> PathBuf {
    Path::new("/nowhere/fuzz").join(name)
}

#[test]
fn tables() {
    let others = [
        "id,experiment,particle_type,x,y,z\n0,TS_001,apo-ferritin,1.5,2,3e1\n",
        "# remark\nfilename\tX\tY\tZ\tpredicted_class_name\tconfidence\na/TS_001.mrc\t1\t2\t3\t\"a \"\"b\"\"\"\t0.5\n",
        "index;axis-0;axis-1;axis-2\r\n0;1,5;2;3\r\n1;4;5;6\r\n",
        "\u{feff}tomo;rlnCenteredCoordinateXAngst;rlnCenteredCoordinateYAngst;rlnCenteredCoordinateZAngst\nTS_001;1;-2;3\n",
        "rlnTomoName,rlnCoordinateX,rlnCoordinateY,rlnCoordinateZ,x_nm,y_nm,z_nm\n001,1,2,3,,,\n001,,,,4,5,6\n",
    ];
    fuzzer("csv", "csv")
        .seeds(exported(Format::Csv, &["csv"]).into_iter().chain(exported(Format::Kaggle, &["csv"])))
        .seeds(others.map(|text| text.as_bytes().to_vec()).into_iter().filter(|text| !text.contains(&b';') || text[0] == 0xef))
        .tokens(&[
            b"\"",
            b"\"\"",
            b";",
            b"\t",
            b",",
            b"\r",
            b"\n#",
            b"x_voxel",
            b"y_angstrom",
            b"px_z",
            b"axis-0",
            b"negative",
            b"\xff\xfe",
        ])
        .run(|bytes| positions(bytes, &nowhere("a.csv"), Some(Format::Csv)));
}

/// Files of every kind of STAR, in a folder where some lead to others, and one outside of it.
#[test]
fn star_files() {
    let folder = scratch();
    let inside = folder.path().join("project/80S");
    fs::create_dir_all(&inside).expect("a folder");
    let particles = "data_particles\n\nloop_\n_rlnTomoName #1\n_rlnCenteredCoordinateXAngst #2\n_rlnCenteredCoordinateYAngst #3\n\
                     _rlnCenteredCoordinateZAngst #4\nTS_001 1 2 3\n";
    put(&inside.join("particles.star"), particles.as_bytes());
    put(&inside.join("TS_001.star"), particles.as_bytes());
    for outside in ["project/particles.star", "secret.star"] {
        put(&folder.path().join(outside), particles.replace("TS_001", SECRET).as_bytes());
    }
    let set = "data_\n\n_rlnTomoParticlesFile particles.star\n_rlnTomoTomogramsFile 'to mo.star'\n";
    let old = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnTomoTiltSeriesPixelSize\n1 1.35\n\ndata_particles\nloop_\n_rlnTomoName\n\
               _rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n\
               _rlnOpticsGroup\n_rlnTomoSubtomogramRot\n_rlnTomoSubtomogramTilt\n_rlnTomoSubtomogramPsi\n_rlnClassNumber\n\
               TS_001 1 2 3 0.5 0 -1 1 10 20 30 1\n";
    let matched = "data_\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnAngleRot #4\n_rlnMicrographName #5\n\
                   _rlnAutopickFigureOfMerit #6\n_rlnOriginX\n_rlnPixelSize\n0.5 0.25 1 90 TS_001.tomostar 7.5 0.5 10\n";
    let index =
        "data_\nloop_\n_rlnTomoName\n_rlnTomoImportParticleFile\nTS_001 TS_001.star\n\"0 1\" sub/particles.star # remark\n";
    fuzzer("star", "star")
        .seeds(exported(Format::Relion5, &["particles.star"]))
        .seeds(exported(Format::Relion4, &["star"]))
        .seeds(exported(Format::Warp, &["star"]))
        .seeds([set, old, matched, index].map(|text| text.as_bytes().to_vec()))
        .tokens(&[
            b"data_",
            b"loop_\n",
            b"\n_rlnCoordinateX #1\n",
            b"\n_rlnTomoParticlesFile ",
            b"_rlnImagePixelSize",
            b"_rlnDetectorPixelSize",
            b"_rlnMagnification",
            b"_rlnTomoTomogramBinning",
            b"../particles.star",
            b"../../secret.star",
            b"particles.star",
            b"input.star",
            b"\n\n",
            b"'",
            b"\"",
            b"#",
            b"\n;\n",
            b"rec_TS_001_10.00Apx.mrc",
            b"<NA>",
        ])
        .run(|bytes| {
            let path = inside.join("input.star");
            put(&path, bytes);
            positions(bytes, &path, Some(Format::Relion5))
        });
}

#[test]
fn boxes_of_cryolo() {
    fuzzer("cbox", "cbox")
        .seeds(exported(Format::Cbox, &["cbox"]))
        .tokens(&[b"_CoordinateX #1\n", b"_Width", b"_Confidence", b"data_cryolo", b"<NA>", b"loop_", b"\n\n"])
        .run(|bytes| positions(bytes, &nowhere("80S/TS_001.cbox"), Some(Format::Cbox)));
}

#[test]
fn picks_of_copick() {
    let moved = r#"{"pickable_object_name":"a","user_id":"u","session_id":"1","run_name":"TS_001","unit":"angstrom","points":[
        {"location":{"x":1,"y":2e1,"z":-0},"transformation_":[[1,0,0,0.5],[0,1,0,0],[0,0,1,-1],[0,0,0,1]],"score":null},
        {"location":{"x":1.5,"y":2,"z":3}}]}"#;
    fuzzer("copick", "json")
        .seeds(exported(Format::Copick, &["json"]))
        .seeds([moved.as_bytes().to_vec()])
        .tokens(&[
            b"[",
            b"{\"",
            b"null",
            b"\"points\":",
            b"\\u0000",
            b"\\ud800",
            b"1e400",
            b"\"unit\":\"nm\"",
            b"transformation_",
            b",",
        ])
        .run(|bytes| positions(bytes, &nowhere("TS_001/Picks/u_1_a.json"), Some(Format::Copick)));
}

#[test]
fn points_of_the_data_portal() {
    let oriented = "{\"type\":\"orientedPoint\",\"location\":{\"x\":1,\"y\":2,\"z\":3},\"xyz_rotation_matrix\":[[1,0,0],[0,1,0],[0,0,1]]}\n\n\
                    {\"type\":\"instancePoint\",\"location\":{\"z\":1.5,\"y\":2,\"x\":3},\"instance_id\":4}\r\n";
    fuzzer("portal", "ndjson")
        .seeds(exported(Format::PortalNdjson, &["ribosome.ndjson"]))
        .seeds([oriented.as_bytes().to_vec()])
        .tokens(&[b"\n", b"{", b"[[[[", b"\"location\":", b"\"type\":\"point\"", b"null", b"1e400", b"\\ud800"])
        .run(|bytes| positions(bytes, &nowhere("TS_001_a.ndjson"), Some(Format::PortalNdjson)));
}

#[test]
fn models_of_imod() {
    let seeds = exported(Format::Imod, &["mod"]);
    // The object's number of contours, and the number of points of its first contour; the sizes of chunks are met by chance.
    let fields = [(148, 4), (152, 4), (240 + 4 + 128, 4), (240 + 4 + 132, 4), (240 + 4 + 176 + 4, 4)];
    fuzzer("imod", "mod")
        .seeds(seeds)
        .fields(fields)
        .tokens(&[
            b"OBJT",
            b"CONT",
            b"MESH",
            b"COST",
            b"MINX",
            b"IEOF",
            b"IMAT",
            b"\x7f\xff\xff\xff",
            b"\xff\xff\xff\xff",
            b"V1.2",
        ])
        .run(|bytes| positions(bytes, &nowhere("TS_001.mod"), Some(Format::Imod)));
}

#[test]
fn tables_of_dynamo() {
    let folder = scratch();
    put(&folder.path().join("particles.doc"), b"1 TS_001\n2 001\n");
    put(&folder.path().join("particles_classes.doc"), b"1 80S ribosome\n2 virus-like\n");
    fuzzer("dynamo", "tbl")
        .seeds(exported(Format::Dynamo, &["tbl"]))
        .tokens(&[b"\n", b" ", b"NaN", b"1.5+0.25i", b"9007199254740993", b"# ", b"%"])
        .run(|bytes| positions(bytes, &folder.path().join("particles.tbl"), Some(Format::Dynamo)));
}

/// The lists beside a table of Dynamo.
#[test]
fn lists_of_dynamo() {
    let folder = scratch();
    let table = exported(Format::Dynamo, &["tbl"]).remove(0);
    fuzzer("dynamo_list", "doc")
        .seeds([b"1 TS_001\n2 001\n".to_vec(), b"# remark\n2\t/a b/TS_001.mrc\r\n1 \\\\x\\TS\n".to_vec()])
        .tokens(&[b"\n", b" ", b"18446744073709551616", b"-1", b"/"])
        .run(|bytes| {
            put(&folder.path().join("particles.doc"), bytes);
            put(&folder.path().join("particles_classes.doc"), bytes);
            positions(&table, &folder.path().join("particles.tbl"), Some(Format::Dynamo))
        });
}

#[test]
fn boxes_of_eman2() {
    let full = r#"{"apix_unbin":1.35,"boxes_3d":[[1,2.5,-3,"manual",0.5,0],[4,5,6,"tm",1,1]],
        "class_list":{"0":{"boxsize":44,"name":"a"},"1":{"name":""}},"tlt_params":[[0,0,0,-60,0]]}"#;
    fuzzer("eman2", "json")
        .seeds(exported(Format::Eman2, &["TS_001_info.json"]))
        .seeds([full.as_bytes().to_vec()])
        .tokens(&[
            b"[",
            b"{\"",
            b"\"boxes_3d\":",
            b"\"class_list\":",
            b"null",
            b"\"-1\"",
            b"1e400",
            b"\"apix_unbin\":0,",
            b"\\ud800",
        ])
        .run(|bytes| positions(bytes, &nowhere("TS_001_info.json"), Some(Format::Eman2)));
}

#[test]
fn plain_coordinates() {
    fuzzer("coords", "coords")
        .seeds(exported(Format::Coords, &["ribosome.coords"]))
        .seeds([b"# x y z\r\n1 2 3\r4,5,6\n\n7\t8\t9".to_vec()])
        .tokens(&[b"\n", b"\r", b" ", b",", b"nan", b"1_000", b"+1", b"1e400", b"0x10", b"\xc2\xa0"])
        .run(|bytes| positions(bytes, &nowhere("TS_001_a.coords"), Some(Format::Coords)));
}

#[test]
fn markers_of_chimerax() {
    let odd = "<?xml version=\"1.0\"?>\n<!DOCTYPE a [<!ENTITY b \"c\">]>\n<marker_set name='a &amp; &#x42;'><!-- x -->\n\
               <marker id=\"1\" x=\"1\" y=\"2\" z=\"3\" r=\"1\" g=\"0\" b=\"0\" radius=\"5\" note=\"&lt;\"/><link id1=\"1\" id2=\"1\"/></marker_set>\n";
    fuzzer("cmm", "cmm")
        .seeds(exported(Format::Cmm, &["cmm"]))
        .seeds([odd.replace("<!DOCTYPE a [<!ENTITY b \"c\">]>\n", "").into_bytes()])
        .tokens(&[
            b"<marker_set>",
            b"</marker_set>",
            b"<marker x=\"1\" y=\"1\" z=\"1\"/>",
            b"<!DOCTYPE a [<!ENTITY b \"&b;&b;\">]>",
            b"&b;",
            b"&#0;",
            b"&#x110000;",
            b"<!--",
            b"<![CDATA[",
            b"]]>",
            b"\"",
        ])
        .run(|bytes| positions(bytes, &nowhere("TS_001.cmm"), Some(Format::Cmm)));
}

/// Files whose form has to be recognised first.
#[test]
fn files_of_unknown_form() {
    let seeds = Format::ALL.into_iter().flat_map(|format| {
        let endings: &[&str] = match format {
            Format::Relion5Import | Format::Relion5 => &["particles.star"],
            Format::Dynamo => &[".tbl"],
            Format::Coords | Format::PortalNdjson => &["TS_001_80S ribosome.coords", "TS_001_80S ribosome.ndjson"],
            _ => &[""],
        };
        if format == Format::Relion5Import { Vec::new() } else { exported(format, endings) }
    });
    // Without an ending the content alone says what it is; that of an empty tomogram may not.
    let seeds: Vec<_> = seeds.filter(|bytes| positions(bytes, &nowhere("input"), None)).collect();
    assert!(seeds.len() > 12, "{}", seeds.len());
    fuzzer("unknown", "bin")
        .seeds(seeds)
        .tokens(&[b"IMOD", b"{", b"<", b"data_\n", b"boxes_3d", b"\"location\"", b"1 2 3\n", b"x,y,z\n", b"\xef\xbb\xbf"])
        .run(|bytes| positions(bytes, &nowhere("input"), None));
}

#[test]
fn lists_of_classes() {
    let folder = scratch();
    let path = folder.path().join("classes.toml");
    write_classes(&path, &classes(), false).expect("a list of classes");
    let other = "# remark\n[[class]]\nname = 'a'\nradius_angstrom = 1_5.0e1\ncolor = [1, 0x2, 3]\n\n\
                 [[class]]\nname = \"\"\"\nb\"\"\"\nradius_angstrom = 5\n";
    fuzzer("classes", "toml")
        .seeds([fs::read(&path).expect("the file just written"), other.as_bytes().to_vec()])
        .tokens(&[
            b"[[class]]\n",
            b"[",
            b"{",
            b"\"\"\"",
            b"nan",
            b"inf",
            b"a.b.c",
            b"\\u0000",
            b"colour = \"#e69F00\"",
            b"radius_angstrom = ",
        ])
        .run(|bytes| {
            put(&path, bytes);
            match read_classes(&path) {
                Ok(classes) => {
                    let usable = |class: &Class| {
                        !class.name.is_empty() && class.radius_angstrom > 0.0 && class.radius_angstrom.is_finite()
                    };
                    assert!(!classes.is_empty() && classes.iter().all(usable), "{classes:?}");
                    true
                }
                Err(error) => {
                    let message = error.to_string();
                    assert!(message.chars().count() < 1000 && message.contains(&path.display().to_string()), "{message}");
                    false
                }
            }
        });
}

/// A configuration, and the folders that it leads to.
#[test]
fn configurations_of_copick() {
    let folder = scratch();
    let picks = folder.path().join("overlay/ExperimentRuns/TS_001/Picks");
    fs::create_dir_all(&picks).expect("a folder");
    put(&picks.join("u_1_ribosome.json"), &exported(Format::Copick, &["80S-ribosome.json"])[0]);
    let path = folder.path().join("config.json");
    let full = r##"{"config_type":"filesystem","name":"a","description":"b","version":"1.31","user_id":"u","session_id":"1",
        "pickable_objects":[{"name":"ribosome","is_particle":true,"label":1,"color":[0,117,220,255],"radius":150.0,
        "emdb_id":"EMD-3883","pdb_id":"1abc","identifier":"GO:0022626","map_threshold":0.5,"metadata":{"a":[1,2]}},
        {"name":"membrane","is_particle":false,"label":2,"color":[1,2,3,255]}],
        "overlay_root":"local://overlay","overlay_fs_args":{"auto_mkdir":true},"static_root":"file://overlay/..","static_fs_args":{}}"##;
    let short = r#"{"pickable_objects":[],"overlay_root":"overlay"}"#;
    fuzzer("copick_config", "json")
        .seeds([full, short].map(|text| text.as_bytes().to_vec()))
        .tokens(&[
            b"[",
            b"{\"",
            b"null",
            b"..",
            b"/",
            b"~",
            b"s3://",
            b"local:",
            b"\\u0000",
            b"\"name\":",
            b"1e400",
            b"\"static_root\":\"overlay\",",
        ])
        .run(|bytes| {
            put(&path, bytes);
            match CopickProject::open(&path) {
                Ok(project) => {
                    let usable = |radius: f64| radius > 0.0 && radius.is_finite();
                    assert!(project.config().objects.iter().all(|object| object.radius_angstrom.is_none_or(usable)));
                    assert!(project.notes().len() <= 1000, "{}", project.notes().len());
                    let _ = (project.grids(), project.sources(), project.to_string());
                    true
                }
                Err(error) => {
                    let message = error.to_string();
                    // The configuration, or the folder that it names, which may lie anywhere.
                    let named = message.contains(&*folder.path().to_string_lossy()) || message.contains("ExperimentRuns");
                    assert!(message.len() < 2000 && named, "{message}");
                    false
                }
            }
        });
}
