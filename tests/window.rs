//! The window without a display, used through the names of its widgets.

#[path = "support/window.rs"]
mod support;

use std::path::{Path, PathBuf};

use egui::{Event, Key, Modifiers, PointerButton};
use egui_kittest::kittest::Queryable as _;
use semietpicker::coordinates::{Frame, read_csv};
use semietpicker::geometry::distance;
use semietpicker::labels::{ClassId, PointKind};
use semietpicker::render::Plane;
use semietpicker::ui::state::{Tool, VolumeState};
use semietpicker::ui::{Action, Document};

use support::{BALLS, SPACING, Window, has_adapter, write_tomogram};

#[test]
fn the_empty_window_tells_the_next_step() {
    let mut window = Window::new();
    window.settle();
    assert!(window.has("Open a tomogram to begin"));
    assert!(window.has("No tomogram"), "what training needs is said before it is tried");
    window.harness.check_accessibility();
}

#[test]
fn a_click_lands_on_the_voxel_under_the_cursor_in_every_view() {
    let mut window = Window::with_class();
    for (plane, away) in [(Plane::Xy, 6.0), (Plane::Xz, 14.0), (Plane::Yz, -7.0)] {
        window.go_to(BALLS[0]);
        let before = window.labels().len();
        let mut target = BALLS[0];
        target[plane.horizontal()] += away;
        window.click_at(plane, target, PointerButton::Primary);
        let labels = window.labels();
        assert_eq!(labels.len(), before + 1, "{plane:?}");
        let (position, kind) = labels[before];
        assert!(distance(position, target) < 0.1, "{plane:?}: {position:?} instead of {target:?}");
        assert!(matches!(kind, PointKind::Particle(_)));
        assert_eq!(window.harness.state().state.crosshair.map(|n| n as f64), target, "the other views follow");
    }
}

#[test]
fn undo_and_redo_survive_a_change_of_slice() {
    let mut window = Window::with_class();
    window.label_balls(2);
    assert_eq!(window.labels().len(), 2);
    window.wheel(Plane::Xy, 1.0, Modifiers::NONE);
    window.press(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.labels().len(), 1);
    window.press(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(window.labels().len(), 2);
    window.press(Modifiers::COMMAND, Key::Z);
    window.press(Modifiers::COMMAND, Key::Y);
    assert_eq!(window.labels().len(), 2);
}

#[test]
fn several_presses_within_one_slow_frame_all_count() {
    let mut window = Window::with_class();
    window.label_balls(3);
    let press = |key, modifiers| Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers };
    let undo = press(Key::Z, Modifiers::COMMAND);
    window.harness.input_mut().events.extend([undo.clone(), undo]);
    window.settle();
    assert_eq!(window.labels().len(), 1);
    let slice = |window: &Window| window.harness.state().state.crosshair[0];
    let before = slice(&window);
    let up = press(Key::PageUp, Modifiers::NONE);
    window.harness.input_mut().events.extend([up.clone(), up.clone(), up]);
    window.settle();
    assert_eq!(slice(&window), before + 3);
}

#[test]
fn points_are_dragged_removed_and_never_doubled() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.click_at(Plane::Xy, BALLS[0], PointerButton::Primary);
    assert_eq!(window.labels().len(), 1, "a second click on a label adds nothing");

    let target = [8.0, 16.0, 20.0];
    let (from, to) = (window.screen(Plane::Xy, BALLS[0]), window.screen(Plane::Xy, target));
    window.drag(from, to);
    let moved = window.labels()[0].0;
    assert!(distance(moved, target) < 0.2, "{moved:?}");
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(distance(window.labels()[0].0, BALLS[0]) < 0.1, "undo takes a move back");

    window.click_at(Plane::Xy, BALLS[0], PointerButton::Secondary);
    assert!(window.labels().is_empty());
}

#[test]
fn keys_choose_what_a_click_says() {
    let mut window = Window::with_class();
    window.add_class("rod", 30.0);
    let kind = |window: &Window| window.harness.state().state.kind;
    let classes: Vec<ClassId> =
        window.harness.state().state.document.annotations().classes.iter().map(|class| class.id).collect();
    assert_eq!(kind(&window), Some(PointKind::Particle(classes[1])), "a new class is chosen at once");
    window.harness.state_mut().state.tool = Tool::Label;
    window.press(Modifiers::NONE, Key::Num1);
    assert_eq!(kind(&window), Some(PointKind::Particle(classes[0])));
    window.press(Modifiers::NONE, Key::N);
    window.go_to(BALLS[1]);
    window.click_at(Plane::Xy, BALLS[1], PointerButton::Primary);
    assert_eq!(window.labels()[0].1, PointKind::Negative);
    window.harness.remove_cursor();
    window.settle();
    window.press(Modifiers::NONE, Key::Delete);
    assert!(window.labels().is_empty(), "Delete removes the label at the crosshair");
}

#[test]
fn the_wheel_changes_slices_zooms_and_the_slab_is_said() {
    let mut window = Window::with_class();
    window.go_to(BALLS[0]);
    window.wheel(Plane::Xy, 1.0, Modifiers::NONE);
    assert_eq!(window.harness.state().state.crosshair[0], 9);
    window.wheel(Plane::Xy, -1.0, Modifiers::SHIFT);
    assert_eq!(window.harness.state().state.crosshair[0], 0, "ten back, stopped at the first slice");
    let zoom = |window: &Window| window.harness.state().state.panes[0].view.expect("drawn").points_per_voxel;
    let before = zoom(&window);
    window.wheel(Plane::Xy, 3.0, Modifiers::CTRL);
    window.harness.run_steps(10);
    assert!(zoom(&window) > before * 1.05);
    assert_eq!(window.harness.state().state.crosshair[0], 0, "zooming keeps the slice");
    window.press(Modifiers::NONE, Key::Home);
    assert!((zoom(&window) - before).abs() < 1e-6);
    window.press(Modifiers::NONE, Key::Plus);
    assert_eq!(window.harness.state().state.display.slab, 3);
    assert!(window.has("slab 3 (eye only)"));
    window.press(Modifiers::NONE, Key::Minus);
    assert_eq!(window.harness.state().state.display.slab, 1);
}

#[test]
fn regions_are_drawn_marked_whole_and_undone() {
    let mut window = Window::with_class();
    window.click("Whole tomogram is complete");
    assert_eq!(window.regions(), 1);
    assert!(window.has("Whole tomogram"));
    window.click("Remove complete region 1");
    assert_eq!(window.regions(), 0);

    window.click("Region");
    window.click("All slices");
    window.harness.state_mut().state.region_depth = Some([2, 6]);
    let from = window.screen(Plane::Xy, [8.0, 3.0, 4.0]);
    let to = window.screen(Plane::Xy, [8.0, 12.0, 20.0]);
    window.drag(from, to);
    assert_eq!(window.regions(), 1);
    let state = &window.harness.state().state;
    let labels = state.document.annotations().labels(state.current.expect("open")).expect("a region");
    let voxels = labels.regions.values().next().expect("one").voxels;
    assert_eq!((voxels.start, voxels.end), ([2, 3, 4], [7, 13, 21]), "every voxel that the drag touches");
    window.press(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.regions(), 0);
}

#[test]
fn training_shows_progress_and_learns_of_edits() {
    let mut window = Window::with_class();
    assert!(window.has("No labels"), "said before the start");
    window.label_balls(1);
    window.train();
    assert_eq!(window.heard()[0], "train with 1 labels, 0 regions");
    assert!(window.has("30 / 600 steps"));
    assert!(window.has("a pretended device"));
    assert!(window.has("3 of 4"), "three picks above the suggested threshold");

    window.go_to(BALLS[1]);
    window.click_at(Plane::Xy, BALLS[1], PointerButton::Primary);
    let heard = window.heard.clone();
    window.until("the training thread hears of the label", move |_| {
        heard.lock().unwrap().iter().any(|text| text == "update with 2 labels")
    });
    assert!(window.heard().iter().any(|text| text.starts_with("focus")), "{:?}", window.heard());

    window.press(Modifiers::NONE, Key::T);
    window.until("paused", |app| app.state.training.phase == semietpicker::ui::training::Phase::Paused);
    window.click("Resume");
    window.until("resumed", |app| app.state.training.phase == semietpicker::ui::training::Phase::Running);
    window.click("Stop");
    window.until("stopped", |app| !app.state.training.is_active());
    assert!(window.has("Stopped after 30 steps"));
}

#[test]
fn choosing_thresholds_shows_how_far_it_is_and_can_be_cut_short() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.harness.state_mut().state.training.config.steps = support::CHOOSES;
    window.click("Train");
    window.until("40 %", |app| app.state.training.choosing == Some(0.4));
    window.settle();
    assert!(window.has("choosing thresholds, 40 %"));
    assert!(window.has("Finishing…"), "there is nothing to pause");
    window.click("Stop");
    window.until("ended", |app| !app.state.training.is_active());
    assert!(window.has("Stopped after 30 steps"));
    assert!(!window.has("choosing thresholds, 40 %"));
}

#[test]
fn what_is_unlabelled_is_learnt_from_unless_the_user_does_not_want_it() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.train();
    assert_eq!(window.heard()[1], "Semi, 600 and 600 steps", "one button: burn-in, then co-training");
    window.click("Stop");
    window.until("stopped", |app| !app.state.training.is_active());
    window.click("Learn from unlabelled parts too");
    window.train();
    let heard = window.heard();
    assert!(heard.iter().any(|text| text == "Supervised, 600 and 0 steps"), "{heard:?}");
}

#[test]
fn a_run_goes_on_from_the_checkpoint_that_the_project_keeps() {
    let mut window = Window::with_class();
    window.label_balls(1);
    assert!(window.harness.query_by_label("Continue last run").is_none(), "there is none");
    let run = window.path("balls").join("training.run");
    std::fs::write(&run, "kept").expect("writable");
    window.harness.state_mut().state.look_for_a_run();
    window.settle();
    window.click("Continue last run");
    let expected = format!("continue {}", run.display());
    let heard = window.heard.clone();
    window.until("the training thread goes on", move |_| heard.lock().unwrap().contains(&expected));
    window.click("Stop");
    window.until("stopped", |app| !app.state.training.is_active());

    // The checkpoint moves with the project.
    let place = window.path("moved");
    window.request(Action::SaveAs(place.clone()));
    assert_eq!(std::fs::read(place.join("training.run")).expect("there"), b"kept");
    std::fs::remove_file(place.join("training.run")).expect("there");
    window.click("Continue last run");
    assert!(window.has("its checkpoint is no longer there"));
}

#[test]
fn thresholds_count_and_picks_become_labels_once() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.train();
    assert!(window.has("Accept 2 picks as labels"), "the labelled one is not offered again");
    let slider = window.harness.get_all_by_label("Threshold of ball").next().expect("a slider");
    slider.set_value_accesskit(0.8);
    window.settle();
    assert!(window.has("1 of 4"));
    window.click("Suggested");
    assert!(window.has("3 of 4"));
    window.click("Accept 2 picks as labels");
    assert_eq!(window.labels().len(), 3);
    assert!(window.has("Accept 0 picks as labels"));
    window.press(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.labels().len(), 1, "one undo takes all back");
}

#[test]
fn review_accepts_and_rejects_one_by_one() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.train();
    window.press(Modifiers::NONE, Key::J);
    window.press(Modifiers::NONE, Key::J);
    window.press(Modifiers::NONE, Key::Enter);
    window.press(Modifiers::NONE, Key::Backspace);
    let kinds: Vec<PointKind> = window.labels().iter().map(|label| label.1).collect();
    assert_eq!(kinds.len(), 3);
    assert_eq!(kinds[2], PointKind::Negative);
    assert!(distance(window.labels()[1].0, BALLS[1]) < 0.1);
}

#[test]
fn a_failed_run_is_said_and_the_labels_stay() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.harness.state_mut().state.training.config.steps = 13;
    window.click("Train");
    window.until("the failure is shown", |app| !app.state.banners.is_empty());
    assert!(window.has("Training failed"));
    assert!(window.has("choose the CPU"));
    assert_eq!(window.labels().len(), 1);
    window.click("Dismiss");
    assert!(!window.has("Training failed"));
}

#[test]
fn a_bad_file_is_explained_and_the_rest_goes_on() {
    let mut window = Window::with_tomogram();
    let bad = window.path("notes.mrc");
    std::fs::write(&bad, "this is no tomogram").expect("writable");
    window.request(Action::Open(vec![bad]));
    window.until("the failure is shown", |app| !app.state.banners.is_empty());
    assert!(window.has("notes.mrc cannot be opened"));
    let state = &window.harness.state().state;
    assert_eq!(state.document.tomograms().len(), 1, "what cannot be read is not added");
    assert!(state.open_volume().is_some());
    window.click("Dismiss");
    assert!(window.harness.state().state.banners.is_empty());
}

#[test]
fn an_unknown_spacing_is_asked_for_before_training() {
    let mut window = Window::new();
    window.open("bare.mrc", None);
    window.add_class("ball", 20.0);
    assert!(window.has("does not say its voxel spacing"));
    window.label_balls(1);
    assert!(window.has("The spacing of bare is not known"));
    let id = window.harness.state().state.current.expect("open");
    window.harness.state_mut().state.spacing_fields.insert(id, 7.5);
    window.settle();
    window.click("Set");
    assert!(!window.has("does not say its voxel spacing"));
    assert_eq!(window.harness.state().state.spacing(id), Some(7.5));
    window.train();
}

#[test]
fn labels_and_picks_are_exported_and_read_back() {
    let mut window = Window::with_class();
    window.label_balls(2);
    window.train();
    window.press(Modifiers::COMMAND, Key::E);
    let folder = window.path("out");
    window.harness.state_mut().state.export.folder = folder.display().to_string();
    window.settle();
    window.click("Export 2 positions");
    let closed = |window: &mut Window| window.until("the files are written", |app| !app.state.forms.export);
    closed(&mut window);
    let rows = read_csv(&folder.join("particles.csv")).expect("what was written can be read");
    assert_eq!(rows.len(), 2);
    let frame = Frame { spacing_angstrom: Some(SPACING), ..Frame::default() };
    for (row, ball) in rows.iter().zip(BALLS) {
        assert_eq!((row.tomogram.as_deref(), row.class.as_str()), (Some("tomo"), "ball"));
        assert!(distance(row.voxel_zyx(&frame).expect("the spacing is known"), ball) < 0.1);
    }

    // The same folder again: refused, with the reason in the form.
    window.press(Modifiers::COMMAND, Key::E);
    window.click("Picks above the thresholds");
    window.click("Export 3 positions");
    window.until("the refusal", |app| app.state.export.error.is_some());
    assert!(window.has("exists already"));
    window.click("Replace files that exist");
    window.click("Export 3 positions");
    closed(&mut window);
    let rows = read_csv(&folder.join("particles.csv")).expect("readable");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.score.is_some()));

    window.press(Modifiers::COMMAND, Key::E);
    window.choose("Format", &format!("relion5: {}", semietpicker::coordinates::Format::Relion5.description()));
    window.click("Export 3 positions");
    closed(&mut window);
    let stars: Vec<_> = walk(&folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "star")).collect();
    assert!(!stars.is_empty(), "{:?}", walk(&folder));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("there").flatten() {
        if entry.path().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

#[test]
fn a_loaded_model_picks_and_its_class_is_added_with_its_picks() {
    let mut window = Window::with_tomogram();
    // Dropped on the window, or typed as a path.
    window.request(Action::Open(vec!["a.model".into()]));
    window.until("the model is there", |app| app.state.training.model.is_some());
    window.click("Pick this tomogram");
    window.until("the picks are there", |app| !app.state.picks.is_empty());
    assert!(window.heard().contains(&"pick tomo".to_owned()));
    window.click("Accept 3 picks as labels");
    assert_eq!(window.labels().len(), 3);
    assert_eq!(window.harness.state().state.document.annotations().classes[0].name, "ball");
    window.request(Action::SaveModel("b.model".into()));
    window.until("the model is written", |app| app.state.actions.is_empty());
}

#[test]
fn a_reopened_project_has_everything() {
    let mut window = Window::with_class();
    window.label_balls(2);
    window.click("Whole tomogram is complete");
    let labels = window.labels();
    let Window { harness, folder, .. } = window;
    drop(harness);

    let document = Document::open(&folder.path().join("balls")).expect("the lock is gone with the window");
    let mut window = Window::with(folder, document);
    window.until("the tomogram is open", |app| app.state.open_volume().is_some());
    assert_eq!(window.labels(), labels);
    assert_eq!(window.regions(), 1);
    assert_eq!(window.harness.state().state.document.annotations().classes[0].name, "ball");

    // A project can also be opened in the window at hand.
    let place = window.path("copy");
    window.request(Action::SaveAs(place.clone()));
    window.request(Action::NewProject);
    window.until("an empty project", |app| app.state.document.tomograms().is_empty());
    window.request(Action::Open(vec![place]));
    window.until("the copy is open", |app| app.state.open_volume().is_some());
    assert_eq!(window.labels(), labels);
}

#[test]
fn a_moved_file_takes_its_place_again() {
    let mut window = Window::with_class();
    window.label_balls(1);
    let id = window.harness.state().state.current;
    let Window { harness, folder, .. } = window;
    drop(harness);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("writable");
    std::fs::rename(folder.path().join("tomo.mrc"), elsewhere.join("tomo.mrc")).expect("writable");

    let document = Document::open(&folder.path().join("balls")).expect("closed");
    let mut window = Window::with(folder, document);
    window.until("the loss is noticed", |app| app.state.volumes.values().any(|v| matches!(v, VolumeState::Failed(_))));
    assert!(window.has("tomo cannot be opened"));
    window.request(Action::Open(vec![elsewhere.join("tomo.mrc")]));
    window.until("it is open", |app| app.state.open_volume().is_some());
    assert_eq!(window.harness.state().state.current, id);
    assert_eq!(window.labels().len(), 1);
}

#[test]
fn a_renamed_file_is_chosen_and_others_that_moved_along_are_found() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.open("second.mrc", Some(SPACING));
    let first = window.harness.state().state.document.tomograms()[0].id;
    let Window { harness, folder, .. } = window;
    drop(harness);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("writable");
    std::fs::rename(folder.path().join("tomo.mrc"), elsewhere.join("renamed.mrc")).expect("writable");
    std::fs::rename(folder.path().join("second.mrc"), elsewhere.join("second.mrc")).expect("writable");
    let other = folder.path().join("other.mrc");
    let mut bytes = std::fs::read(elsewhere.join("renamed.mrc")).expect("readable");
    // One slice fewer.
    let slices = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) - 1;
    bytes[8..12].copy_from_slice(&slices.to_le_bytes());
    std::fs::write(&other, bytes).expect("writable");

    let document = Document::open(&folder.path().join("balls")).expect("closed");
    let mut window = Window::with(folder, document);
    let failed = |app: &semietpicker::ui::App| app.state.volumes.values().filter(|v| matches!(v, VolumeState::Failed(_))).count();
    window.until("both are missed", move |app| failed(app) == 2);
    assert!(window.harness.query_by_label("Find the file of tomo").is_some(), "a way out is offered");
    window.request(Action::Relink(first, other));
    window.until("a file of another size is refused", move |app| failed(app) == 2);
    assert!(window.has("This file is not tomo"));
    window.request(Action::Relink(first, elsewhere.join("renamed.mrc")));
    window.until("both are there again", |app| app.state.volumes.values().all(|v| matches!(v, VolumeState::Open(_))));
    assert_eq!(window.harness.state().state.document.path(first), Some(elsewhere.join("renamed.mrc")));
    window.harness.state_mut().state.show(first);
    window.settle();
    assert_eq!(window.labels().len(), 1);
}

#[test]
fn tomograms_are_listed_switched_and_removed() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.open("second.mrc", Some(SPACING));
    let second = window.harness.state().state.current;
    window.press(Modifiers::NONE, Key::OpenBracket);
    assert_ne!(window.harness.state().state.current, second);
    window.press(Modifiers::NONE, Key::CloseBracket);
    assert_eq!(window.harness.state().state.current, second);
    window.click("Remove second from the project");
    assert_eq!(window.harness.state().state.document.tomograms().len(), 1);
    assert_eq!(window.labels().len(), 1);
    assert!(window.path("second.mrc").exists());
}

#[test]
fn labels_are_imported_from_a_table() {
    let mut window = Window::with_class();
    let table = window.path("truth.csv");
    std::fs::write(&table, "class,x,y,z\nball,60,50,40\nball,150,100,40\nnegative,100,100,20\nrod,1,1,1\n").expect("writable");
    // Together with a tomogram: the table waits until that is open.
    let first = window.harness.state().state.current.expect("open");
    write_tomogram(&window.path("another.mrc"), Some(SPACING));
    let another = window.path("another.mrc");
    window.request(Action::Open(vec![table.clone(), another]));
    // One class is not known: asked before anything is imported.
    window.until("the table has been read", |app| !app.state.imports.is_empty());
    assert!(window.labels().is_empty());
    window.choose("What becomes of Class rod", "leave out");
    window.click("Import");
    assert_eq!(window.labels().len(), 3, "rows without a tomogram's name belong to the one on the screen");
    assert!(window.has("3 labels were imported into another; 1 of classes not wanted"), "what is not used is said");
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.labels().is_empty());
    window.harness.state_mut().state.show(first);
    window.settle();
    window.request(Action::ImportLabels(table));
    window.until("the table has been read", |app| !app.state.imports.is_empty());
    window.click("Import");
    let labels = window.labels();
    assert_eq!(labels.len(), 4);
    assert!(distance(labels[0].0, BALLS[0]) < 1e-6, "{:?}", labels[0]);
    assert_eq!(labels[2].1, PointKind::Negative);
    assert!(window.harness.state().state.document.annotations().class_named("rod").is_some());
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.labels().is_empty());
}

#[test]
fn every_key_is_on_the_sheet_and_every_widget_has_a_name() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.train();
    window.press(Modifiers::NONE, Key::Questionmark);
    assert!(window.has("remove the nearest point"));
    window.harness.check_accessibility();
    window.press(Modifiers::NONE, Key::Escape);
    assert!(!window.has("remove the nearest point"));
}

// -- pictures ---------------------------------------------------------------------------------------------------------------

/// Compares the window with the picture of this name, leaving out what changes from run to run.
fn picture(window: &mut Window, name: &str) {
    // Until toasts are gone.
    window.harness.remove_cursor();
    window.harness.run_steps(40);
    let time = window.harness.get_by_label_contains(" ms").rect();
    window.harness.mask(time.expand(2.0));
    let options = egui_kittest::SnapshotOptions::new()
        .threshold(1.2)
        .max_failed_pixels(200)
        .output_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"));
    window.harness.snapshot_options(name, &options);
}

#[test]
fn the_empty_window_looks_as_it_should() {
    if !has_adapter() {
        println!("skipped: no graphics adapter, not even a software one, so nothing can be drawn");
        return;
    }
    picture(&mut Window::new(), "empty");
}

#[test]
fn the_window_looks_as_it_should() {
    if !has_adapter() {
        println!("skipped: no graphics adapter, not even a software one, so nothing can be drawn");
        return;
    }
    let mut window = Window::with_class();
    // Plain voxels make small files.
    window.harness.state_mut().state.display.smooth = false;
    window.label_balls(3);
    window.press(Modifiers::NONE, Key::N);
    window.go_to([8.0, 25.0, 10.0]);
    window.click_at(Plane::Xy, [8.0, 25.0, 10.0], PointerButton::Primary);
    window.press(Modifiers::NONE, Key::Num1);
    window.go_to(BALLS[0]);
    picture(&mut window, "labelled");

    window.click("Whole tomogram is complete");
    window.train();
    picture(&mut window, "training");

    window.harness.state_mut().state.training.config.steps = 13;
    window.click("Stop");
    window.until("stopped", |app| !app.state.training.is_active());
    window.harness.state_mut().state.training.config.steps = 13;
    window.click("Train");
    window.until("the failure is shown", |app| !app.state.banners.is_empty());
    picture(&mut window, "error");

    window.harness.ctx.set_theme(egui::Theme::Light);
    window.click("Dismiss");
    picture(&mut window, "light");
}
