//! Every export read by the library of the program that it is for, and volumes of other libraries read by ours.
//!
//! `scripts/test.sh` makes Python environments of `tests/readers/requirements*.txt` and names their folder in
//! `SEMIETPICKER_READERS`; without them these tests say that they were skipped, or fail when `SEMIETPICKER_REQUIRE_READERS` is 1.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{LazyLock, Mutex, PoisonError};

use semietpicker::coordinates::{ExportPoint, ExportTomogram, Format};
use semietpicker::copick::{CopickProject, LINK_SETTING, SaveRequest, Source, Wishes, next_session, own_user, save};
use semietpicker::labels::PointKind;
use semietpicker::project::Project;
use semietpicker::volume::{MrcMode, write_mrc};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Pixel of the unbinned tilt series in angstrom.
const TILT_SERIES_PIXEL: f64 = 1.96;

/// The last class has no positions.
const CLASSES: [&str; 3] = ["80S ribosome", "virus-like", "none"];

/// Name, voxels `(z, y, x)` and spacing of the tomograms: odd sizes, even sizes, and one without positions.
const TOMOGRAMS: [(&str, [usize; 3], f64); 3] =
    [("001", [41, 93, 97], 7.84), ("TS_026", [40, 96, 88], 10.012), ("TS-3", [8, 9, 10], 7.84)];

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Standard output of the program, which must succeed.
fn program(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_semietpicker")).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The Python of the environment that a list of packages describes; `None` when the tests that need it are to be skipped.
fn python(list: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEMIETPICKER_READERS").filter(|folder| !folder.is_empty());
    let found = folder.as_ref().map(|folder| Path::new(folder).join(list).join("bin/python")).filter(|python| python.exists());
    if found.is_none() {
        let reason = match &folder {
            Some(folder) => format!("there is no environment {list} in {}", Path::new(folder).display()),
            None => "SEMIETPICKER_READERS does not name the Python environments; scripts/test.sh makes them".to_owned(),
        };
        let required = std::env::var("SEMIETPICKER_REQUIRE_READERS").is_ok_and(|value| value == "1");
        assert!(!required, "the readers are required, and {reason}");
        println!("skipped: {reason}");
    }
    found
}

/// Runs a script of `tests/readers`, which must succeed, and passes on what it says.
fn script(python: &Path, name: &str, arguments: &[&Path]) {
    // One at a time: each loads some hundred megabytes of libraries.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name);
    let mut command = Command::new(python);
    command.arg("-B").arg(path).args(arguments).env_remove("PYTHONPATH").env_remove("PYTHONHOME").env("MPLBACKEND", "Agg");
    let Output { status, stdout, stderr } = command.output().expect("Python starts");
    let (said, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{name} ended with {status}\n{said}\n{errors}");
    print!("{said}");
}

/// A folder with an export in every format, and `expected.json` of `tests/readers/common.py`.
struct Exports {
    folder: TempDir,
}

impl Exports {
    fn expected(&self) -> PathBuf {
        self.folder.path().join("expected.json")
    }
}

/// Positions `(x, y, z)` in voxels with class and score: the corners, and places that are no round numbers.
fn points(tomogram: usize) -> Vec<(usize, [f64; 3], Option<f32>)> {
    let (_, [depth, height, width], _) = TOMOGRAMS[tomogram];
    if tomogram == 2 {
        return Vec::new();
    }
    let last = [width, height, depth].map(|size| (size - 1) as f64);
    let mut points = vec![(0, [0.0; 3], None), (1, last, Some(0.875)), (0, last.map(|index| index / 2.0), Some(0.25))];
    points.extend((0..30_u32).map(|i| {
        let fraction = |step: f64| (f64::from(i) * step + 0.0137).fract();
        let place = [0.381_966, 0.618_034, 0.754_878].map(fraction);
        let score = (i % 3 != 0).then_some(i as f32 / 64.0);
        (i as usize % 2, [0, 1, 2].map(|axis| place[axis] * last[axis]), score)
    }));
    points
}

/// Exports by the program, from a table, once for all tests.
fn exports() -> &'static Exports {
    static EXPORTS: LazyLock<Exports> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path();
        let mut tomograms = Vec::new();
        let mut volumes = Vec::new();
        let mut table = "tomogram,class,x_voxel,y_voxel,z_voxel,score\n".to_owned();
        for (index, (name, shape, spacing)) in TOMOGRAMS.into_iter().enumerate() {
            let path = place.join(format!("{name}.mrc"));
            let values = vec![1.5; shape.iter().product()];
            write_mrc(&path, shape, Some(spacing), &values, MrcMode::Float16).expect("a volume");
            volumes.push(path);
            let mut listed = Vec::new();
            for (class, [x, y, z], score) in points(index) {
                let score_text = score.map(|score| score.to_string()).unwrap_or_default();
                table.push_str(&format!("{name},{},{x},{y},{z},{score_text}\n", CLASSES[class]));
                listed.push(json!({ "class": CLASSES[class], "xyz": [x, y, z], "score": score }));
            }
            tomograms.push(json!({ "name": name, "shape": shape, "spacing": spacing, "points": listed }));
        }
        let expected = json!({ "tilt_series_pixel": TILT_SERIES_PIXEL, "classes": CLASSES, "tomograms": tomograms });
        fs::write(place.join("expected.json"), expected.to_string()).expect("a file");
        fs::write(place.join("positions.csv"), table).expect("a file");
        let classes: Vec<_> =
            CLASSES.iter().map(|name| format!("[[class]]\nname = \"{name}\"\nradius_angstrom = 104.0\n")).collect();
        fs::write(place.join("classes.toml"), classes.concat()).expect("a file");
        for format in Format::ALL {
            let (from, list, out) = (place.join("positions.csv"), place.join("classes.toml"), place.join(format.name()));
            let pixel = TILT_SERIES_PIXEL.to_string();
            let mut arguments = vec!["export", "--from", text(&from), "--classes", text(&list), "--out", text(&out), "--json"];
            arguments.extend(["--format", format.name(), "--tilt-series-pixel", &pixel]);
            arguments.extend(["--copick-user", "a user", "--copick-session", "7", "--tomogram"]);
            arguments.extend(volumes.iter().map(|path| text(path)));
            let report = parsed(&program(&arguments));
            assert!(report["files"].as_array().is_some_and(|files| !files.is_empty()), "{format}: {report}");
        }
        Exports { folder }
    });
    &EXPORTS
}

fn read_back(list: &str, name: &str) {
    let Some(python) = python(list) else { return };
    let exports = exports();
    script(&python, name, &[exports.folder.path(), &exports.expected()]);
}

#[test]
fn starfile_reads_the_star_files() {
    read_back("requirements", "star_files.py");
}

#[test]
fn tables_json_and_markers_are_read_as_their_programs_read_them() {
    read_back("requirements", "text_files.py");
}

#[test]
fn imodmodel_reads_the_models() {
    read_back("requirements", "imod_models.py");
}

#[test]
fn dynamotable_reads_the_table() {
    read_back("requirements", "dynamo_tables.py");
}

#[test]
fn cryocat_reads_relions_and_dynamos_lists() {
    read_back("requirements-cryocat", "cryocat_lists.py");
}

#[test]
fn copick_reads_the_picks() {
    let Some(python) = python("requirements-copick") else { return };
    let exports = exports();
    script(&python, "copick_projects.py", &[Path::new("export"), exports.folder.path(), &exports.expected()]);
}

/// The program's own description of each volume of a list, compared with what was written there.
fn volumes_read_as_written(volumes: &Value) {
    let volumes = volumes.as_array().expect("a list");
    assert!(!volumes.is_empty());
    for volume in volumes {
        let path = volume["path"].as_str().expect("a path");
        let voxels: Vec<String> = volume["values"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|voxel| format!("{},{},{}", voxel[0], voxel[1], voxel[2]))
            .collect();
        let mut arguments = vec!["info", path, "--json"];
        arguments.extend(voxels.iter().flat_map(|voxel| ["--voxel", voxel.as_str()]));
        let info = parsed(&program(&arguments));
        assert_eq!(info["shape"], volume["shape"], "{path}");
        match volume["spacing"].as_f64() {
            None => assert!(info["spacing_angstrom"].is_null(), "{path}: {info}"),
            Some(spacing) => {
                let found = info["spacing_angstrom"].as_f64().unwrap_or_default();
                assert!((found / spacing - 1.0).abs() < 1e-6, "{path}: {found} for {spacing}");
            }
        }
        for (found, expected) in
            info["values"].as_array().expect("a list").iter().zip(volume["values"].as_array().expect("a list"))
        {
            let (found, expected) = (found["value"].as_f64(), expected[3].as_f64());
            // Shortest decimal numbers of 32-bit floats are compared as such.
            assert_eq!(found.map(|value| value as f32), expected.map(|value| value as f32), "{path}");
        }
    }
    println!("{} volumes were read as they were written", volumes.len());
}

#[test]
fn volumes_of_zarr_python_are_read() {
    let Some(python) = python("requirements") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    script(&python, "zarr_volumes.py", &[folder.path()]);
    let list = fs::read_to_string(folder.path().join("expected.json")).expect("the script's list");
    volumes_read_as_written(&parsed(&list));
}

#[test]
fn mrcfile_validates_our_volumes() {
    let Some(python) = python("requirements") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path();
    let mut volumes = Vec::new();
    for (number, mode) in [(2, MrcMode::Float32), (12, MrcMode::Float16)] {
        for (shape, spacing) in [([7, 5, 3], Some(7.84)), ([4, 6, 9], Some(13.48)), ([1, 1, 1], None)] {
            let path = place.join(format!("{number}-{}.mrc", shape[0]));
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|index| index as f32 / 8.0 - 3.0).collect();
            write_mrc(&path, shape, spacing, &values, mode).expect("a volume");
            let [z, y, x] = shape.map(|size| size - 1);
            let at = [[0, 0, 0, 0], [z, 0, 0, z * shape[1] * shape[2]], [z, y, x, count - 1]];
            let known: Vec<_> = at.iter().map(|&[z, y, x, index]| json!([z, y, x, values[index]])).collect();
            let spacing = spacing.unwrap_or(0.0);
            volumes.push(json!({ "path": path, "shape": shape, "spacing": spacing, "mode": number, "values": known }));
        }
    }

    // What the program writes: a simulated tomogram, and heatmaps of a network that has hardly learnt.
    program(&["simulate", "--out", text(place), "--count", "1", "--shape", "33", "71", "75", "--seed", "5"]);
    let [tomogram, classes, model, out] = ["simulated-1.mrc", "classes.toml", "m.model", "picks"].map(|name| place.join(name));
    volumes.push(json!({ "path": tomogram, "shape": [33, 71, 75], "spacing": 10.0, "mode": 12, "values": [] }));
    let pair = format!("{}={}", text(&tomogram), text(&tomogram.with_extension("csv")));
    let mut train = vec!["train", "--labelled", &pair, "--classes", text(&classes), "--out", text(&model)];
    train.extend(["--steps", "1", "--crop", "16", "--batch", "1", "--device", "cpu"]);
    program(&train);
    let mut pick = vec!["pick", "--model", text(&model), text(&tomogram), "--out", text(&out), "--heatmaps"];
    pick.extend(["--device", "cpu", "--json"]);
    let report = parsed(&program(&pick));
    let heatmaps: Vec<&str> = report["files"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .filter(|file| file.ends_with(".heatmap.mrc"))
        .collect();
    assert!(!heatmaps.is_empty(), "{report}");
    for heatmap in heatmaps {
        let info = parsed(&program(&["info", heatmap, "--json"]));
        let spacing = info["spacing_angstrom"].as_f64().expect("a spacing");
        assert!(spacing >= 10.0, "{heatmap}: {spacing}");
        volumes.push(json!({ "path": heatmap, "shape": info["shape"], "spacing": spacing, "mode": 2, "values": [] }));
    }
    let expected = place.join("expected.json");
    fs::write(&expected, Value::from(volumes).to_string()).expect("a file");
    script(&python, "mrc_files.py", &[&expected]);
}

/// A project that copick made is opened, its tomograms and picks are read, and what is saved into it is read by copick.
#[test]
fn projects_of_copick_are_opened_and_saved_to() {
    let Some(python) = python("requirements-copick") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path();
    script(&python, "copick_projects.py", &[Path::new("make"), place]);
    let truth = parsed(&fs::read_to_string(place.join("truth.json")).expect("the script's list"));
    volumes_read_as_written(&truth["tomograms"]);
    let info = parsed(&program(&["info", text(&place.join("config.json")), "--json"]));
    let runs: Vec<_> = info["runs"].as_array().expect("a list").iter().filter_map(|run| run["name"].as_str()).collect();
    assert_eq!(runs, ["TS-2", "TS_001"]);

    let spacing = 10.012;
    let project = CopickProject::open(&place.join("config.json")).expect("a copick project");
    let wishes = |picks: Vec<Source>| Wishes { voxel_spacing: Some(spacing), tomo_type: Some("wbp".into()), picks: Some(picks) };
    let planned = |picks| {
        let suggestion = project.suggest(&wishes(picks)).expect("a suggestion");
        assert!(suggestion.open_questions.is_empty(), "{:?}", suggestion.open_questions);
        project.plan(&suggestion.choice).expect("a plan")
    };
    let mut read = 0;
    let mut worst: f64 = 0.0;
    for source in project.sources() {
        let plan = planned(vec![source.clone()]);
        for tomogram in &plan.tomograms {
            for (index, class) in plan.classes.iter().enumerate() {
                let mut found: Vec<[f64; 3]> =
                    tomogram.labels.iter().filter(|(class, _)| *class == index).map(|(_, [z, y, x])| [*x, *y, *z]).collect();
                let key = format!("{}|{}/{}|{}", tomogram.run, source.user, source.session, class.name);
                let angstrom: Vec<[f64; 3]> = serde_json::from_value(truth["picks"][&key].clone()).unwrap_or_default();
                let mut expected: Vec<_> = angstrom.into_iter().map(|position| position.map(|x| x / spacing)).collect();
                assert_eq!(found.len(), expected.len(), "{key}");
                read += found.len();
                for list in [&mut found, &mut expected] {
                    list.sort_by(|a, b| a[0].total_cmp(&b[0]));
                }
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    worst = worst.max((found - expected).abs());
                }
            }
        }
    }
    let written = truth["picks"].as_object().expect("sets").values().filter_map(Value::as_array).map(Vec::len).sum::<usize>();
    assert!(read == written && read > 0 && worst < 1e-3, "{read} of {written} positions, {worst}");
    println!("copick's picks: {read} positions, largest deviation {worst:.1e} voxel");

    let plan = planned(project.sources().into_iter().collect());
    let mut ours = Project::create(&place.join("ours")).expect("a project");
    plan.fill(&mut ours).expect("its content");
    let link = ours.setting(LINK_SETTING).expect("the link to the copick project");
    let annotations = ours.annotations();
    let mut saved = serde_json::Map::new();
    let mut tomograms = Vec::new();
    for tomogram in ours.tomograms() {
        let mut points = Vec::new();
        for point in annotations.labels(tomogram.id).into_iter().flat_map(|labels| labels.points.values()) {
            let PointKind::Particle(id) = point.kind else { continue };
            let class = annotations.class_index(id).expect("a known class");
            let [z, y, x] = point.position;
            let key = format!("{}|{}", tomogram.name, annotations.classes[class].name);
            let list = saved.entry(key).or_insert_with(|| json!([])).as_array_mut().expect("a list");
            list.push(json!([x * spacing, y * spacing, z * spacing]));
            points.push(ExportPoint { class, position: point.position, score: None, source: None });
        }
        let (name, shape) = (tomogram.name.clone(), tomogram.shape);
        tomograms.push((tomogram.id, ExportTomogram { name, shape, spacing_angstrom: Some(spacing), points }));
    }
    fs::write(place.join("saved.json"), Value::Object(saved).to_string()).expect("a file");
    let user = own_user(project.config()).to_owned();
    let session = next_session(&project, &user, "labels");
    let request = SaveRequest { user, session, replace: false, classes: annotations.classes.clone(), tomograms };
    save(&link, &request).expect("picks can be saved");
    script(&python, "copick_projects.py", &[Path::new("saved"), place]);
}
