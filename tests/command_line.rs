//! The program as a user runs it without a window: every task, its files, its exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
        "--json",
    ]));
    assert_eq!(trained["training"]["steps"], 3);
    assert!(model.exists());

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
