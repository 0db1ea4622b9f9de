//! A copick project in the window: opened through its form, labelled, saved back. One test, because it moves the folder for
//! unnamed projects of the whole process.

#[path = "support/window.rs"]
mod support;

use std::fs;
use std::path::Path;

use egui::PointerButton;
use semietpicker::copick::{CopickProject, Source};
use semietpicker::geometry::distance;
use semietpicker::render::Plane;
use semietpicker::ui::state::VolumeState;
use semietpicker::ui::{Action, App};

use support::Window;

const SHAPE: [usize; 3] = [16, 32, 48];

/// An OME-Zarr 0.4 of one value, without a chunk, of 10 angstrom.
fn write_tomogram(folder: &Path) {
    let array = folder.join("0");
    fs::create_dir_all(&array).expect("the temporary folder is writable");
    let write = |path: &Path, text: &str| fs::write(path, text).expect("the temporary folder is writable");
    write(&folder.join(".zgroup"), r#"{"zarr_format": 2}"#);
    write(
        &folder.join(".zattrs"),
        r#"{"multiscales": [{"version": "0.4", "datasets": [{"path": "0", "coordinateTransformations":
            [{"type": "scale", "scale": [10.0, 10.0, 10.0]}]}], "axes": [{"name": "z", "type": "space", "unit": "angstrom"},
            {"name": "y", "type": "space", "unit": "angstrom"}, {"name": "x", "type": "space", "unit": "angstrom"}]}]}"#,
    );
    write(
        &array.join(".zarray"),
        r#"{"zarr_format": 2, "shape": [16, 32, 48], "chunks": [16, 32, 48], "dtype": "<f4", "compressor": null, "filters": null,
            "fill_value": 1.0, "order": "C", "dimension_separator": "/"}"#,
    );
}

fn write_picks(run: &Path, user: &str, x_angstrom: f64) {
    let folder = run.join("Picks");
    fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let text = format!(
        r#"{{"pickable_object_name": "ribosome", "user_id": "{user}", "session_id": "1", "unit": "angstrom", "points":
            [{{"location": {{"x": {x_angstrom}, "y": 100.0, "z": 80.0}}}}]}}"#
    );
    fs::write(folder.join(format!("{user}_1_ribosome.json")), text).expect("the temporary folder is writable");
}

fn all_open(app: &App) -> bool {
    let state = &app.state;
    let open = |id| matches!(state.volumes.get(&id), Some(VolumeState::Open(_)));
    !state.document.tomograms().is_empty() && state.document.tomograms().iter().all(|entry| open(entry.id))
}

#[test]
#[allow(unsafe_code)]
fn a_copick_project_is_opened_labelled_and_saved_back() {
    let home = tempfile::tempdir().expect("a temporary folder");
    // SAFETY: this is the only test of the process, and no other thread has been started yet.
    unsafe { std::env::set_var("XDG_DATA_HOME", home.path()) };

    let mut window = Window::new();
    for run in ["TS_1", "TS_2"] {
        let run = window.path("data/ExperimentRuns").join(run);
        write_tomogram(&run.join("VoxelSpacing10.000/wbp.zarr"));
        write_tomogram(&run.join("VoxelSpacing10.000/denoised.zarr"));
        write_picks(&run, "jane", 200.0);
        write_picks(&run, "eve", 300.0);
    }
    let config = window.path("config.json");
    let text = r#"{"config_type": "filesystem", "name": "ribosomes", "user_id": "jane", "overlay_root": "local://data",
        "pickable_objects": [{"name": "ribosome", "is_particle": true, "color": [1, 2, 3, 255], "radius": 100}]}"#;
    fs::write(&config, text).expect("the temporary folder is writable");

    window.request(Action::Open(vec![config.clone()]));
    window.until("the form is there", |app| app.state.copick.open.is_some());
    assert!(window.has("ribosomes: 2 runs") && window.has("eve/1: 2 ribosome") && window.has("jane/1: 2 ribosome"));
    window.click("wbp (2)");
    window.click("Open");
    window.until("the tomograms are open", all_open);
    let state = &window.harness.state().state;
    assert_eq!(state.document.tomograms().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["TS_1", "TS_2"]);
    assert!(state.document.is_untitled() && state.document.folder().starts_with(home.path()));
    let class = &state.document.annotations().classes[0];
    assert_eq!((class.name.as_str(), class.radius_angstrom, class.colour), ("ribosome", 100.0, [1, 2, 3]));
    assert!(state.document.tomograms()[0].path.ends_with("TS_1/VoxelSpacing10.000/wbp.zarr"));
    // The configuration's own user was chosen already, the other one was not.
    assert_eq!(window.labels().iter().map(|label| label.0).collect::<Vec<_>>(), [[8.0, 10.0, 20.0]]);

    let added = [8.0, 20.0, 30.0];
    window.go_to(added);
    window.click_at(Plane::Xy, added, PointerButton::Primary);
    assert_eq!(window.labels().len(), 2);
    let save = |window: &mut Window| {
        window.request(Action::SaveCopickForm);
        window.until("the form is there", |app| app.state.copick.save.is_some() && app.state.copick.busy.is_none());
        window.click("Save");
        let over = |app: &App| app.state.copick.save.as_ref().is_none_or(|form| form.error.is_some());
        window.until("it is saved", over);
    };
    save(&mut window);
    assert!(window.harness.state().state.banners.is_empty(), "{:?}", window.harness.state().state.banners);
    let saved = |session: &str| -> Vec<[f64; 3]> {
        let project = CopickProject::open(&config).expect("the project is as it was");
        let source = Source { user: "jane".to_owned(), session: session.to_owned() };
        let wishes =
            semietpicker::copick::Wishes { tomo_type: Some("wbp".to_owned()), picks: Some(vec![source]), ..Default::default() };
        let choice = project.suggest(&wishes).expect("they are there").choice;
        let plan = project.plan(&choice).expect("they can be read");
        plan.tomograms[0].labels.iter().map(|label| label.1).collect()
    };
    let labels = saved("labels-1");
    assert_eq!(labels.len(), 2);
    assert!(distance(labels[0], [8.0, 10.0, 20.0]) < 1e-3 && distance(labels[1], added) < 0.1, "{labels:?}");
    assert!(labels.iter().all(|label| (0..3).all(|axis| label[axis] < SHAPE[axis] as f64)));

    // The same session once more is a question, and the answer is a tick.
    save(&mut window);
    assert!(window.has("are there already: choose another session"));
    window.click("Replace this user's files of this session");
    window.click("Save");
    window.until("it is saved", |app| app.state.copick.save.is_none());
    assert_eq!(saved("labels-1").len(), 2);

    // The work is offered when the project is opened again, since it lies in a folder without a name.
    let folder = window.harness.state().state.document.folder().to_owned();
    window.request(Action::NewProject);
    window.request(Action::Open(vec![window.path("config.json")]));
    window.until("the form is there", |app| app.state.copick.open.is_some());
    let name = folder.file_name().expect("it has a name").to_string_lossy().into_owned();
    window.click(&name);
    window.until("the tomograms are open", all_open);
    assert_eq!(window.harness.state().state.document.folder(), folder);
    assert_eq!(window.labels().len(), 2);
}
