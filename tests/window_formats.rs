//! The window's forms for files of positions: what they ask, what they write, what they take in.

#[path = "support/window.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use semietpicker::coordinates::{Format, Frame, ReadOptions, read_positions};
use semietpicker::geometry::distance;
use semietpicker::labels::PointKind;
use semietpicker::ui::{Action, Document};

use support::{BALLS, SHAPE, SPACING, Window};

/// The entry of a format in the form.
fn entry(format: Format) -> String {
    format!("{format}: {}", format.description())
}

/// Two labelled balls and the export form, with a folder.
fn with_form(folder: &str) -> (Window, PathBuf) {
    let mut window = Window::with_class();
    window.label_balls(2);
    window.press(Modifiers::COMMAND, Key::E);
    let folder = window.path(folder);
    window.harness.state_mut().state.export.folder = folder.display().to_string();
    window.settle();
    (window, folder)
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path());
        }
    }
    found
}

/// Clicks the export button, whatever number it names, and waits for the end.
fn export(window: &mut Window, positions: usize) {
    window.click(&format!("Export {positions} positions"));
    window.until("the export ends", |app| {
        !app.state.export.running && (!app.state.forms.export || app.state.export.error.is_some())
    });
}

fn is_enabled(window: &Window, button: &str) -> bool {
    !window.harness.get_by_role_and_label(Role::Button, button).accesskit_node().is_disabled()
}

#[test]
fn every_format_is_written_and_asks_only_its_own_questions() {
    for format in Format::ALL {
        let (mut window, folder) = with_form("out");
        window.choose("Format", &entry(format));
        assert_eq!(window.harness.state().state.export.format, format);
        let asks = |window: &Window, text: &str| window.harness.query_all_by_label_contains(text).next().is_some();
        assert_eq!(asks(&window, "Session"), format == Format::Copick, "{format}");
        assert_eq!(asks(&window, "tomograms.star of the RELION"), format == Format::Relion5, "{format}");
        assert_eq!(asks(&window, "One file a tomogram"), format.may_split(), "{format}");
        assert_eq!(asks(&window, "Pixel of the unbinned"), format.needs_tilt_series_pixel(), "{format}");
        if format.needs_tilt_series_pixel() {
            assert!(!is_enabled(&window, "Export 2 positions"), "{format}: the pixel size is asked first");
            assert!(window.has("Give the pixel size"));
            window.harness.state_mut().state.export.tilt_series_pixel_angstrom = 2.5;
            window.settle();
        }
        window.harness.check_accessibility();
        export(&mut window, 2);
        assert_eq!(window.harness.state().state.export.error, None, "{format}");
        let written = files(&folder);
        assert!(!written.is_empty(), "{format}");
        assert!(window.has("2 positions in"), "{format}: the outcome is said");

        // What was written is read back at the same voxels.
        let frame = Frame { shape: Some(SHAPE), spacing_angstrom: Some(SPACING), tilt_series_pixel_angstrom: Some(2.5) };
        let found = written.iter().filter_map(|path| read_positions(path, &ReadOptions::default()).ok());
        let found: Vec<_> = found.flat_map(|positions| positions.rows).map(|row| row.voxel_zyx(&frame).expect("known")).collect();
        for ball in &BALLS[..2] {
            assert!(found.iter().any(|position| distance(*position, *ball) < 0.1), "{format}: {found:?}");
        }
        for position in &found {
            assert!(BALLS[..2].iter().any(|ball| distance(*position, *ball) < 0.1), "{format}: {found:?}");
        }
    }
}

#[test]
fn classes_and_tomograms_can_be_left_out_and_an_error_stays_in_the_form() {
    let (mut window, folder) = with_form("out");
    window.harness.state_mut().state.forms.export = false;
    window.add_class("rod", 30.0);
    window.press(Modifiers::NONE, Key::Num2);
    window.go_to(BALLS[2]);
    window.click_at(semietpicker::render::Plane::Xy, BALLS[2], egui::PointerButton::Primary);
    window.open("second.mrc", Some(SPACING));
    window.press(Modifiers::COMMAND, Key::E);
    assert!(window.has("Export 3 positions"));
    window.click("Export class ball");
    assert!(window.has("Export 1 position"));
    window.click("Some tomograms");
    window.click("Export tomogram tomo");
    assert!(window.has("Export 0 positions"));
    window.click("Export tomogram tomo");
    window.click("This tomogram");
    assert!(window.has("Export 0 positions"), "the second one is on the screen");
    window.click("All tomograms");
    window.click("Export class ball");
    export(&mut window, 3);
    assert!(folder.join("particles.csv").exists());
    let before = std::fs::read(folder.join("particles.csv")).expect("readable");

    window.press(Modifiers::COMMAND, Key::E);
    export(&mut window, 3);
    assert!(window.has("exists already") && window.has("Tick"), "what to do is said");
    assert_eq!(std::fs::read(folder.join("particles.csv")).expect("readable"), before);
    window.click("Replace files that exist");
    export(&mut window, 3);
    assert!(!window.harness.state().state.forms.export);
}

#[test]
fn the_form_is_remembered_with_the_project() {
    let (mut window, _) = with_form("out");
    window.choose("Format", &entry(Format::Relion4));
    window.harness.state_mut().state.export.tilt_series_pixel_angstrom = 1.35;
    window.settle();
    export(&mut window, 2);
    let form = window.harness.state().state.export.clone();
    let Window { harness, folder, .. } = window;
    drop(harness);
    let document = Document::open(&folder.path().join("balls")).expect("closed");
    let window = Window::with(folder, document);
    assert_eq!(window.harness.state().state.export, form);
}

#[test]
fn a_file_without_classes_asks_for_the_class_and_what_lies_outside_is_said() {
    let mut window = Window::with_class();
    let file = window.path("tomo.coords");
    std::fs::write(&file, "12 10 8\n30 20 8\n400 20 8\n").expect("writable");
    // As when it is dropped onto the window.
    window.request(Action::Open(vec![file]));
    window.until("the form is there", |app| !app.state.imports.is_empty());
    assert!(window.has("3 positions in tomo.coords") && window.has("Read as coords"));
    window.harness.check_accessibility();
    window.choose("What becomes of Positions without a class", "add as a new class");
    assert!(window.harness.query_by_label("New radius of Positions without a class").is_some());
    window.choose("What becomes of Positions without a class", "are ball");
    window.click("Import");
    assert_eq!(window.labels().len(), 2);
    assert!(window.has("2 of 3 positions were imported") && window.has("1 position lies outside tomo"));
    let ball = window.harness.state().state.document.annotations().classes[0].id;
    assert!(window.labels().iter().all(|(_, kind)| *kind == PointKind::Particle(ball)));
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.labels().is_empty(), "one edit");
}

#[test]
fn the_pixel_of_the_tilt_series_is_asked_and_remembered() {
    let mut window = Window::with_class();
    let file = window.path("picks.star");
    let text = "\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n_rlnCoordinateZ #4\n\
                tomo 24 20 16\ntomo 60 40 16\n";
    std::fs::write(&file, text).expect("writable");
    for round in 0..2 {
        window.request(Action::ImportLabels(file.clone()));
        window.until("the form is there", |app| !app.state.imports.is_empty());
        assert!(window.has("Pixel of the unbinned tilt series"));
        if round == 0 {
            assert!(!is_enabled(&window, "Import"));
            let form = &mut window.harness.state_mut().state.imports[0];
            form.tilt_series_pixel_angstrom = Some(2.5);
            window.settle();
        }
        assert_eq!(window.harness.state().state.imports[0].tilt_series_pixel_angstrom, Some(2.5));
        window.choose("What becomes of Positions without a class", "are ball");
        window.click("Import");
        let labels = window.labels();
        assert_eq!(labels.len(), 2, "{labels:?}");
        assert!(distance(labels[0].0, BALLS[0]) < 1e-6 && distance(labels[1].0, BALLS[1]) < 1e-6, "{labels:?}");
        window.press(Modifiers::COMMAND, Key::Z);
    }
    window.request(Action::ImportLabels(file));
    window.until("the form is there", |app| !app.state.imports.is_empty());
    window.click("Cancel");
    assert!(window.labels().is_empty() && window.harness.state().state.imports.is_empty());
}

#[test]
fn an_unknown_class_is_added_with_its_radius_and_another_tomograms_name_can_be_given() {
    let mut window = Window::with_tomogram();
    let file = window.path("picks.csv");
    std::fs::write(&file, "tomogram,class,x,y,z\nother,rod,60,50,40\nother,negative,100,100,20\n").expect("writable");
    window.request(Action::ImportLabels(file));
    window.until("the form is there", |app| !app.state.imports.is_empty());
    window.harness.check_accessibility();
    window.choose("Tomogram other, which the project lacks", "tomo");
    window.harness.state_mut().state.imports[0].classes[0].radius_angstrom = 42.0;
    window.settle();
    window.click("Import");
    assert_eq!(window.labels().len(), 2);
    let class = window.harness.state().state.document.annotations().class_named("rod").cloned().expect("added");
    assert_eq!(class.radius_angstrom, 42.0);
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.harness.state().state.document.annotations().classes.is_empty(), "class and labels are one edit");
}

#[test]
fn a_file_that_cannot_be_read_is_explained() {
    let mut window = Window::with_class();
    let file = window.path("bad.csv");
    std::fs::write(&file, "class,x,y\nball,1,2\n").expect("writable");
    window.request(Action::ImportLabels(file));
    window.until("the failure is shown", |app| !app.state.banners.is_empty());
    assert!(window.has("The labels were not imported") && window.has("coordinate z"));
}
