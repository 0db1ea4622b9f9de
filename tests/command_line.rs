//! The program as a user runs it without a window: every task, its files, its exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use semietpicker::coordinates::{Format, Frame, read_csv};
use semietpicker::geometry::distance;
use semietpicker::labels::{Class, Edit, PointKind};
use semietpicker::project::{Project, ProjectTomogram};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_semietpicker")).args(arguments).output().expect("the program starts")
}

fn good(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs what must fail with this exit code and returns standard error.
fn bad(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "errors go to standard error");
    assert!(!error.contains("panicked"), "{error}");
    error
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

/// Two small tomograms with known positions.
fn simulated(folder: &Path) -> [PathBuf; 2] {
    good(&["simulate", "--out", text(folder), "--count", "2", "--shape", "32", "72", "72", "--seed", "5", "--noise", "0.2"]);
    [1, 2].map(|i| folder.join(format!("simulated-{i}.mrc")))
}

#[test]
fn from_simulation_to_scores() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = simulated(folder.path());
    let classes = folder.path().join("classes.toml");
    let model = folder.path().join("m.model");
    let out = folder.path().join("picks");
    let run = folder.path().join("run");

    let info = json(&good(&["info", text(&a), "--json", "--voxel", "0,0,0", "--voxel", "31,71,71"]));
    assert_eq!(info["shape"], serde_json::json!([32, 72, 72]));
    assert_eq!(info["spacing_angstrom"], 10.0);
    assert_eq!(info["data_type"], "float16");
    assert_eq!(info["values"].as_array().map(Vec::len), Some(2));
    assert!(good(&["info", text(&a)]).contains("float16"));

    let pair = format!("{}={}", text(&a), text(&a.with_extension("csv")));
    let region = format!("{}=0,0,0,60,72,32", text(&a));
    let trained = json(&good(&[
        "train",
        "--labelled",
        &pair,
        "--region",
        &region,
        "--classes",
        text(&classes),
        "--out",
        text(&model),
        "--steps",
        "3",
        "--crop",
        "32",
        "--batch",
        "1",
        "--device",
        "cpu",
        "--checkpoint",
        text(&run),
        "--json",
    ]));
    assert_eq!(trained["training"]["steps"], 3);
    assert!(trained["training"]["last_loss"].as_f64().is_some_and(|loss| loss > 0.0), "{trained}");
    assert!(model.exists());
    let again = ["train", "--labelled", &pair, "--region", &region, "--classes", text(&classes), "--out", text(&model)];
    let again = good(&[&again[..], &["--resume", text(&run), "--device", "cpu"]].concat());
    assert!(again.contains("all 3 steps had been trained before"), "{again}");

    let picked = json(&good(&[
        "pick",
        "--model",
        text(&model),
        text(&a),
        text(&b),
        "--out",
        text(&out),
        "--format",
        "csv",
        "relion5",
        "--heatmaps",
        "--threshold",
        "0.06",
        "--device",
        "cpu",
        "--json",
    ]));
    for file in picked["files"].as_array().expect("a list") {
        assert!(Path::new(file.as_str().expect("a path")).exists(), "{file}");
    }
    let picks = out.join("simulated-2.csv");
    let table = std::fs::read_to_string(&picks).unwrap();
    assert!(table.starts_with("tomogram,class,x_angstrom,y_angstrom,z_angstrom,x_voxel,y_voxel,z_voxel,score,source\n"));
    let again = ["pick", "--model", text(&model), text(&b), "--out", text(&out), "--device", "cpu"];
    assert!(bad(1, &again).contains("simulated-2.csv"), "nothing is overwritten unasked");

    let truth = b.with_extension("csv");
    let perfect =
        json(&good(&["evaluate", "--picks", text(&truth), "--truth", text(&truth), "--classes", text(&classes), "--json"]));
    assert_eq!(perfect["mean"]["f1@0.5"], 1.0);
    assert!(perfect["classes"]["ribosome"]["precision@0.5"].is_number());
    assert!(perfect["czii"].is_null(), "proteasomes are not in the challenge");
    let scored =
        json(&good(&["evaluate", "--picks", text(&picks), "--truth", text(&truth), "--classes", text(&classes), "--json"]));
    let mean = scored["mean"]["f1@0.5"].as_f64().expect("a number");
    assert!((0.0..1.0).contains(&mean));
}

#[test]
fn bad_arguments_end_with_2_and_failures_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = simulated(folder.path());
    let classes = folder.path().join("classes.toml");
    let truth = a.with_extension("csv");
    bad(2, &["train"]);
    bad(2, &["frobnicate", "--hard"]);
    let elsewhere = bad(2, &["simulate", "--out", text(folder.path()), "--name", "../other"]);
    assert!(elsewhere.contains("--out"), "{elsewhere}");
    bad(2, &["pick", "--model", "m", text(&a), "--out", "o", "--threshold", "seldom"]);
    let message =
        bad(2, &["evaluate", "--picks", text(&truth), text(&truth), "--truth", text(&truth), "--classes", text(&classes)]);
    assert!(message.contains("one --truth for each --picks"), "{message}");
    let pair = format!("{}={}", text(&a), text(&truth));
    let train = ["train", "--labelled", &pair, "--classes", text(&classes), "--out", "m.model", "--device", "cpu"];
    let outside = format!("{}=0,0,0,999,72,32", text(&a));
    assert!(bad(2, &[&train[..], &["--region", &outside]].concat()).contains("does not lie inside"));
    assert!(bad(1, &[&train[..], &["--crop", "30"]].concat()).contains("multiple of 8"));

    assert!(bad(1, &["info", "/nowhere.mrc"]).contains("/nowhere.mrc"));
    assert!(bad(1, &["info", text(&classes)]).contains("classes.toml"));
    assert!(bad(1, &["info", text(&a), "--voxel", "0,0,72"]).contains("voxel"));
    assert!(
        bad(1, &["pick", "--model", text(&truth), text(&a), "--out", text(folder.path())]).contains("not a SemiETPicker model")
    );
    assert!(bad(1, &["simulate", "--out", text(folder.path()), "--shape", "4", "4", "4"]).contains("too small"));
    assert!(bad(1, &["simulate", "--out", text(folder.path()), "--defocus", "0"]).contains("defocus"));
}

/// Sets of one folder, taken differently, as `scripts/reproduce.py` makes them.
#[test]
fn simulated_tomograms_take_their_name_and_defocus() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, defocus: &str| {
        let shape = ["--shape", "32", "64", "64", "--seed", "2", "--noise", "0", "--defocus", defocus, "--defocus-spread", "0"];
        good(&[&["simulate", "--out", text(folder.path()), "--name", name][..], &shape].concat());
        let file = folder.path().join(format!("{name}-1.mrc"));
        (std::fs::read_to_string(file.with_extension("csv")).unwrap(), std::fs::read(file).unwrap())
    };
    let [(positions, near), (same_positions, far)] = [make("labelled", "2"), make("test", "5")];
    assert!(positions.lines().skip(1).all(|line| line.starts_with("labelled-1,")), "{positions}");
    assert_eq!(positions.replace("labelled-1,", "test-1,"), same_positions, "the defocus moves nothing");
    assert_ne!(near, far, "but it is seen");
}

#[test]
fn an_unknown_spacing_names_the_flag_that_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = simulated(folder.path());
    let truth = a.with_extension("csv");
    let mut bytes = std::fs::read(&a).unwrap();
    // The cell in angstrom, from byte 40 on.
    bytes[40..52].fill(0);
    let unknown = folder.path().join("unknown.mrc");
    std::fs::write(&unknown, bytes).unwrap();
    assert!(json(&good(&["info", text(&unknown), "--json"]))["spacing_angstrom"].is_null());
    let pair = format!("{}={}", text(&unknown), text(&truth));
    let model = folder.path().join("m.model");
    let train = [
        "train",
        "--labelled",
        &pair,
        "--classes",
        text(&folder.path().join("classes.toml")).to_owned().leak(),
        "--out",
        text(&model),
        "--device",
        "cpu",
        "--steps",
        "1",
        "--crop",
        "16",
        "--batch",
        "1",
    ];
    assert!(bad(2, &train).contains("--spacing"));
    good(&[&train[..], &["--spacing", "10"]].concat());
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = simulated(folder.path());
    let program = env!("CARGO_BIN_EXE_semietpicker");
    let line = format!("set -o pipefail; '{program}' info '{}' | true", text(&a));
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

// -- files of positions -----------------------------------------------------------------------------------------------------

fn strings(value: &serde_json::Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|one| one.as_str().expect("text").to_owned()).collect()
}

/// Class and position `(z, y, x)` in voxels of each row of a table, sorted.
fn table(path: &Path, spacing: f64) -> Vec<(String, [f64; 3])> {
    let frame = Frame { spacing_angstrom: Some(spacing), ..Frame::default() };
    let rows = read_csv(path).expect("a table");
    let mut rows: Vec<_> = rows.iter().map(|row| (row.class.clone(), row.voxel_zyx(&frame).expect("angstrom"))).collect();
    rows.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
    rows
}

#[test]
fn every_format_is_exported_once_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = simulated(folder.path());
    let classes = folder.path().join("classes.toml");
    // Several of most classes, none of one, and no round numbers.
    let from = folder.path().join("positions.csv");
    let mut lines = "tomogram,class,x_voxel,y_voxel,z_voxel,score\n".to_owned();
    for i in 0..20 {
        let class = ["ribosome", "apo-ferritin", "beta-galactosidase", "thyroglobulin"][i % 4];
        let (x, y, z) = (3.217 * i as f64 + 0.113, 71.3 - 3.501 * i as f64, 0.317 + 1.5 * i as f64);
        lines.push_str(&format!("simulated-1,{class},{x},{y},{z},0.{}\n", 10 + i));
    }
    std::fs::write(&from, lines).unwrap();
    let truth = table(&from, 10.0);
    for format in Format::ALL {
        let out = folder.path().join(format.name());
        let arguments = [
            &["export", "--from", text(&from), "--tomogram", text(&a), "--classes", text(&classes)][..],
            &["--format", format.name(), "--tilt-series-pixel", "2.5", "--out", text(&out), "--json"],
        ]
        .concat();
        let report = json(&good(&arguments));
        let counts = report["positions"]["simulated-1"].as_object().expect("one tomogram");
        assert_eq!(counts.values().filter_map(serde_json::Value::as_u64).sum::<u64>(), truth.len() as u64, "{format}");
        let files = strings(&report["files"]);
        assert!(!files.is_empty() && files.iter().all(|file| Path::new(file).is_file()), "{format}");
        let before: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();

        assert!(bad(1, &arguments).contains("--overwrite"), "{format}: nothing is replaced unasked");
        good(&[&arguments[..], &["--overwrite"]].concat());
        assert_eq!(files.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>(), before, "{format}");

        // Lists of names and of files lie beside the positions.
        let holds_positions = |file: &&String| match format {
            Format::Relion5 => file.ends_with("particles.star"),
            Format::Relion5Import => file.ends_with("import_coordinates.star"),
            Format::Dynamo => file.ends_with(".tbl"),
            _ => true,
        };
        let back = folder.path().join(format!("{format}-back"));
        let mut arguments = vec!["export", "--tomogram", text(&a), "--tilt-series-pixel", "2.5", "--out", text(&back), "--from"];
        arguments.extend(files.iter().filter(holds_positions).map(String::as_str));
        good(&arguments);
        let rows = table(&back.join("particles.csv"), 10.0);
        assert_eq!(rows.len(), truth.len(), "{format}");
        for ((class, position), (expected, place)) in rows.iter().zip(&truth) {
            assert_eq!(class, expected, "{format}");
            assert!(distance(*position, *place) < 1e-3, "{format}: {position:?} for {place:?}");
        }
    }
}

#[test]
fn what_an_export_lacks_is_asked_by_the_name_of_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = simulated(folder.path());
    let truth = a.with_extension("csv");
    let out = folder.path().join("out");
    let export = |more: &[&str]| bad(2, &[&["export", "--from", text(&truth), "--out", text(&out)][..], more].concat());
    let tomogram = ["--tomogram", text(&a)];
    assert!(export(&[]).contains("--spacing"));
    assert!(export(&["--spacing", "10", "--format", "relion5"]).contains("--tomogram"));
    assert!(export(&[&tomogram[..], &["--format", "relion4"]].concat()).contains("--tilt-series-pixel"));
    assert!(export(&[&tomogram[..], &["--relion-picker-offset"]].concat()).contains("--tilt-series-pixel"));
    let message = export(&[&tomogram[..], &["--format", "cmm"]].concat());
    assert!(message.contains("--classes") && message.contains("--radius"), "{message}");
    let message = export(&[&tomogram[..], &["--format", "relion4", "relion5", "--tilt-series-pixel", "2"]].concat());
    assert!(message.contains("files of the same name"), "{message}");
    assert!(export(&[&tomogram[..], &["--class", "unicorn"]].concat()).contains("ribosome"), "the known ones are listed");
    assert!(export(&[&tomogram[..], &["--only", "TS_9"]].concat()).contains("simulated-1"));
    assert!(export(&["--format", "docx"]).contains("relion5"), "the formats are listed");
    bad(2, &["export", "--out", text(&out)]);
    assert!(bad(1, &["export", "/nowhere/project", "--out", text(&out)]).contains("/nowhere/project"));
    assert!(bad(1, &["export", "--from", "/nowhere.csv", "--spacing", "10", "--out", text(&out)]).contains("/nowhere.csv"));
    assert!(!out.exists(), "nothing was written");

    // A file without names of tomograms, and two to choose from.
    let points = folder.path().join("points.coords");
    std::fs::write(&points, "1 2 3\n500 2 3\n").unwrap();
    let two = ["export", "--from", text(&points), "--tomogram", text(&a), text(&b), "--out", text(&out)];
    assert!(bad(2, &two).contains("of which tomogram"));
    let one = ["export", "--from", text(&points), "--tomogram", text(&a), "--as-class", "dot", "--out", text(&out), "--json"];
    let output = run(&one);
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 of 2 positions lie outside simulated-1"));
    let report = json(&String::from_utf8_lossy(&output.stdout));
    assert_eq!((&report["left_out"]["outside"], &report["positions"]["simulated-1"]["dot"]), (&1.into(), &1.into()));
}

/// A project with one tomogram, one class and two labels.
fn project(folder: &Path, tomogram: &Path) -> Project {
    let mut project = Project::create(folder).expect("the project is new and its folder can be written");
    let id = project.new_tomogram_id();
    let tomogram = ProjectTomogram {
        id,
        name: "simulated-1".to_owned(),
        path: tomogram.to_owned(),
        relative_path: None,
        shape: [32, 72, 72],
        spacing_angstrom: None,
        size_bytes: None,
        fingerprint: None,
    };
    project.add_tomogram(tomogram).expect("the project is new and its folder can be written");
    let class = Class { id: project.new_class_id(), name: "ribosome".to_owned(), radius_angstrom: 150.0, colour: [9; 3] };
    let kind = PointKind::Particle(class.id);
    project.perform(Edit::AddClass { index: 0, class }).expect("the project is new and its folder can be written");
    let points = [([10.0, 20.0, 30.5], kind), ([11.0, 21.0, 31.0], kind), ([5.0, 5.0, 5.0], PointKind::Negative)];
    let edit = project.import_edit(id, points);
    project.perform(edit).expect("the project is new and its folder can be written");
    project
}

#[test]
fn a_project_is_exported_while_a_window_has_it_open_and_takes_positions_in_afterwards() {
    let folder = tempfile::tempdir().expect("the project is new and its folder can be written");
    let [a, _] = simulated(folder.path());
    let place = folder.path().join("project");
    let open = project(&place, &a);
    let out = folder.path().join("out");
    let report = json(&good(&["export", text(&place), "--format", "csv", "imod", "relion5", "--out", text(&out), "--json"]));
    assert_eq!(report["positions"]["simulated-1"]["ribosome"], 2);
    let frame = Frame { spacing_angstrom: Some(10.0), ..Frame::default() };
    let rows = read_csv(&out.join("particles.csv")).unwrap();
    assert_eq!(rows[0].voxel_zyx(&frame), Ok([10.0, 20.0, 30.5]));

    // Positions of a file, with what the project knows of tomogram and class.
    let picks = folder.path().join("picks.csv");
    let text_of_picks = "tomogram,class,x_voxel,y_voxel,z_voxel,score\nsimulated-1,ribosome,1,2,3,0.9\n\
                         simulated-1,ribosome,4,5,6,0.2\nsimulated-1,rod,7,8,9,0.9\nsimulated-1,ribosome,7,8,99,0.9\n";
    std::fs::write(&picks, text_of_picks).unwrap();
    let of_picks = ["export", text(&place), "--from", text(&picks), "--threshold", "0.5", "--class", "ribosome"];
    let second = folder.path().join("second");
    let report =
        json(&good(&[&of_picks[..], &["--format", "cbox", "--radius", "50", "--out", text(&second), "--json"]].concat()));
    assert_eq!(report["positions"]["simulated-1"]["ribosome"], 1);
    assert_eq!(report["left_out"]["outside"], 1);

    let import = ["import", text(&place), text(&picks), "--json"];
    assert!(bad(1, &import).contains("already open"));
    open.close().map_err(|(_, error)| error).unwrap();
    let output = run(&import);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("class rod") && said.contains("--radius") && said.contains("outside"), "{said}");
    assert_eq!(json(&String::from_utf8_lossy(&output.stdout))["labels"]["simulated-1"], 2);
    good(&["import", text(&place), text(&picks), "--radius", "40", "--threshold", "0.5"]);
    let project = Project::open(&place).unwrap();
    let id = project.tomograms()[0].id;
    assert_eq!(project.annotations().labels(id).unwrap().points.len(), 3 + 2 + 2);
    assert_eq!(project.annotations().class_named("rod").map(|class| class.radius_angstrom), Some(40.0));
}

#[test]
fn labels_and_picks_of_other_programs_are_learnt_from_and_scored() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = simulated(folder.path());
    let truth = a.with_extension("csv");
    let stars = folder.path().join("stars");
    good(
        &[
            &["export", "--from", text(&truth), "--tomogram", text(&a), "--class", "ribosome", "--out", text(&stars)][..],
            &["--format", "relion5"],
        ]
        .concat(),
    );
    let star = stars.join("particles.star");
    let only = folder.path().join("only.toml");
    std::fs::write(&only, "[[class]]\nname = \"ribosome\"\nradius_angstrom = 140\n").unwrap();
    let ribosomes = folder.path().join("ribosomes");
    good(&["export", "--from", text(&truth), "--tomogram", text(&a), "--class", "ribosome", "--out", text(&ribosomes)]);
    let truth = ribosomes.join("particles.csv");
    let evaluate = ["evaluate", "--picks", text(&star), "--truth", text(&truth), "--classes", text(&only)];
    assert!(bad(2, &evaluate).contains("--tomogram"));
    let scored = json(&good(&[&evaluate[..], &["--tomogram", text(&a), "--json"]].concat()));
    assert_eq!(scored["mean"]["f1@0.5"], 1.0);

    let old = folder.path().join("old.star");
    let text_of_old = "\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n_rlnCoordinateZ #4\n\
                       simulated-1 120 120 64\n";
    std::fs::write(&old, text_of_old).unwrap();
    let pair = format!("{}={}", text(&a), text(&old));
    let model = folder.path().join("m.model");
    let train = ["train", "--labelled", &pair, "--classes", text(&only), "--out", text(&model), "--device", "cpu"];
    let train = [&train[..], &["--steps", "1", "--crop", "16", "--batch", "1"]].concat();
    assert!(bad(2, &train).contains("--tilt-series-pixel"));
    good(&[&train[..], &["--tilt-series-pixel", "2.5"]].concat());
    let pick = ["pick", "--model", text(&model), text(&a), "--out", text(&stars), "--device", "cpu", "--format", "relion4"];
    assert!(bad(2, &pick).contains("--tilt-series-pixel"), "asked before the work");
}
