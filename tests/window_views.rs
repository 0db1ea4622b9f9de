//! The views, labelling and looks of the window, used through the names of its widgets.

#[path = "support/window.rs"]
mod support;

use std::time::{Duration, Instant};

use egui::accesskit::Role;
use egui::{Key, Modifiers, PointerButton, Pos2, Rect, Vec2, vec2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use semietpicker::geometry::distance;
use semietpicker::labels::{PointKind, TomogramId};
use semietpicker::render::Plane;
use semietpicker::ui::Action;
use semietpicker::ui::options::{OverviewPlace, ScoreCue, Snap};
use semietpicker::ui::state::{Tool, UiState, VolumeState};

use support::{BALLS, SHAPE, SPACING, Window, has_adapter};

fn state(window: &Window) -> &UiState {
    &window.harness.state().state
}

fn state_mut(window: &mut Window) -> &mut UiState {
    &mut window.harness.state_mut().state
}

fn current(window: &Window) -> TomogramId {
    state(window).current.expect("open")
}

/// A drag while a modifier is held.
fn drag_with(window: &mut Window, modifiers: Modifiers, from: Pos2, to: Pos2) {
    window.harness.event(egui::Event::ModifiersChanged(modifiers));
    window.drag(from, to);
    window.harness.event(egui::Event::ModifiersChanged(Modifiers::NONE));
    window.settle();
}

fn click_with(window: &mut Window, modifiers: Modifiers, at: Pos2) {
    window.harness.event(egui::Event::ModifiersChanged(modifiers));
    window.harness.hover_at(at);
    window.harness.step();
    window.pointer(at, PointerButton::Primary, true);
    window.pointer(at, PointerButton::Primary, false);
    window.harness.event(egui::Event::ModifiersChanged(Modifiers::NONE));
    window.settle();
}

fn overview_rect(window: &Window) -> Rect {
    window.harness.get_by_label("3D overview").rect()
}

/// Where a voxel index is in the overview.
fn overview_pos(window: &Window, index: [f64; 3]) -> Pos2 {
    let rect = overview_rect(window);
    state(window).orbit.projection(SHAPE, rect.size()).screen(rect, index)
}

#[test]
fn the_overview_shows_every_label_turns_and_leads_to_what_is_clicked() {
    let mut window = Window::with_class();
    window.label_balls(3);
    assert!(window.harness.query_by_label("3D overview").is_none());
    window.press(Modifiers::NONE, Key::O);
    window.harness.check_accessibility();
    assert!(overview_rect(&window).height() > 100.0);

    let at = overview_pos(&window, BALLS[1]);
    window.harness.hover_at(at);
    window.settle();
    assert!(window.has("click: go to the point"), "the status line says what a click does here");
    window.pointer(at, PointerButton::Primary, true);
    window.pointer(at, PointerButton::Primary, false);
    window.settle();
    assert_eq!(state(&window).crosshair.map(|n| n as f64), BALLS[1]);
    assert_eq!(window.labels().len(), 3, "a click here adds nothing");

    let before = state(&window).orbit;
    let middle = overview_rect(&window).center();
    window.drag(middle, middle + vec2(30.0, 12.0));
    let after = state(&window).orbit;
    assert!(after.yaw != before.yaw && after.pitch != before.pitch && after.pan == before.pan);
    // After the turn the points are elsewhere, and still lead to their labels.
    let at = overview_pos(&window, BALLS[2]);
    click_with(&mut window, Modifiers::NONE, at);
    assert_eq!(state(&window).crosshair.map(|n| n as f64), BALLS[2]);

    window.press(Modifiers::NONE, Key::Home);
    assert_eq!(state(&window).orbit, semietpicker::render::overview::Orbit::default());
    window.click("Enlarge the 3D overview");
    let (large, small) = (overview_rect(&window), window.harness.get_by_label("XY view").rect());
    assert!(large.area() > 2.0 * small.area());
    window.click("Hide the 3D overview");
    assert_eq!(state(&window).display.overview, OverviewPlace::Hidden);
}

#[test]
fn the_wheel_magnifies_the_overview_and_space_shifts_it() {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.click("3D");
    let middle = overview_rect(&window).center();
    window.harness.hover_at(middle + vec2(20.0, 0.0));
    window.harness.step();
    let slice = state(&window).crosshair;
    window.harness.event(egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Line,
        delta: vec2(0.0, 3.0),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Unknown,
        modifiers: Modifiers::NONE,
    });
    window.harness.run_steps(12);
    assert!(state(&window).orbit.zoom > 1.1, "{:?}", state(&window).orbit);
    assert_eq!(state(&window).crosshair, slice, "the slices stay");
    let before = state(&window).orbit;
    window.harness.key_down(Key::Space);
    window.drag(middle, middle + vec2(16.0, -8.0));
    window.harness.key_up(Key::Space);
    window.settle();
    let after = state(&window).orbit;
    assert_eq!((after.yaw, after.pitch, after.zoom), (before.yaw, before.pitch, before.zoom));
    assert!(after.pan[0] > before.pan[0] + 8.0 && after.pan[1] < before.pan[1] - 4.0, "{before:?} {after:?}");
}

#[test]
fn a_low_pass_smooths_what_is_seen_and_says_that_it_is_for_the_eye() {
    let mut window = Window::with_class();
    window.go_to(BALLS[0]);
    let spread = |window: &Window| {
        let (_, slice) = state(window).panes[0].slice.clone().expect("drawn");
        let mean = slice.values.iter().sum::<f32>() / slice.values.len() as f32;
        slice.values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / slice.values.len() as f32
    };
    let before = spread(&window);
    state_mut(&mut window).display.low_pass_angstrom = 40.0;
    window.until("the smooth slice is there", |app| {
        app.state.panes.iter().all(|pane| pane.slice.as_ref().is_some_and(|(_, slice)| slice.request.low_pass_voxels > 3.0))
    });
    assert!(spread(&window) < 0.7 * before);
    assert!(window.has("low-pass 40 Å (eye only)"));
    let set = state(&window).training_set();
    let mut voxel = [0.0];
    let at = semietpicker::geometry::VoxelBox::new([8, 10, 12], [9, 11, 13]);
    set.tomograms[0].source.read_region(0, at, &mut voxel).expect("readable");
    assert!(voxel[0] < -3.0, "training reads the voxels as they are");
    window.click("No low-pass");
    assert_eq!(state(&window).display.low_pass_angstrom, 0.0);
    window.until("the plain slice is back", |app| {
        app.state.panes[0].slice.as_ref().is_some_and(|(_, slice)| slice.request.low_pass_voxels == 0.0)
    });
    assert!((spread(&window) - before).abs() < 1e-6);
}

#[test]
fn labels_chosen_by_a_rectangle_are_changed_and_removed_as_one_edit() {
    let mut window = Window::with_class();
    window.label_balls(3);
    window.go_to(BALLS[1]);
    // From above the second ball to below the third one, whose sphere reaches this slice; the first lies to the left.
    let (from, to) = (window.screen(Plane::Xy, [8.0, 16.0, 22.0]), window.screen(Plane::Xy, [8.0, 30.0, 46.0]));
    drag_with(&mut window, Modifiers::SHIFT, from, to);
    assert!(window.has("2 labels chosen"));
    assert_eq!(window.labels().len(), 3, "choosing changes nothing");

    // Choosing a class never changes a label by itself.
    window.press(Modifiers::NONE, Key::N);
    assert!(window.labels().iter().all(|label| matches!(label.1, PointKind::Particle(_))));
    window.press(Modifiers::NONE, Key::C);
    let kinds: Vec<bool> = window.labels().iter().map(|label| label.1 == PointKind::Negative).collect();
    assert_eq!(kinds, [false, true, true]);
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.labels().iter().all(|label| matches!(label.1, PointKind::Particle(_))), "one undo takes both back");

    window.press(Modifiers::NONE, Key::Delete);
    assert_eq!(window.labels().len(), 1);
    assert!(!window.has("labels chosen"));
    window.click("Edit");
    assert!(window.has("Undo remove 2 labels"), "the menu names the edit");
    window.press(Modifiers::NONE, Key::Escape);
    window.press(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.labels().len(), 3);

    // In a side view, and one by one.
    window.go_to(BALLS[0]);
    let (from, to) = (window.screen(Plane::Xz, [3.0, 10.0, 6.0]), window.screen(Plane::Xz, [13.0, 10.0, 18.0]));
    drag_with(&mut window, Modifiers::SHIFT, from, to);
    assert!(window.has("1 label chosen"));
    window.go_to(BALLS[1]);
    let at = window.screen(Plane::Xy, BALLS[1]);
    click_with(&mut window, Modifiers::SHIFT, at);
    assert!(window.has("2 labels chosen"));
    click_with(&mut window, Modifiers::SHIFT, at);
    assert!(window.has("1 label chosen"));
    window.press(Modifiers::NONE, Key::Escape);
    assert!(!window.has("label chosen"));
    assert_eq!(window.labels().len(), 3);
    window.click("Edit");
    assert!(window.has("Remove chosen labels"));
}

#[test]
fn regions_are_drawn_and_their_edges_moved_in_every_view() {
    let mut window = Window::with_class();
    window.go_to(BALLS[0]);
    window.click("Region");
    let (from, to) = (window.screen(Plane::Xz, [3.0, 10.0, 4.0]), window.screen(Plane::Xz, [12.0, 10.0, 20.0]));
    window.drag(from, to);
    let region = |window: &Window| {
        let labels = state(window).document.annotations().labels(current(window)).expect("a region");
        labels.regions.values().next().expect("one").voxels
    };
    assert_eq!((region(&window).start, region(&window).end), ([3, 0, 4], [13, 32, 21]), "through the whole depth of the view");

    // Each edge in the view that shows it: y only in XY and YZ.
    let edge = |window: &mut Window, plane: Plane, from: [f64; 3], to: [f64; 3]| {
        let (from, to) = (window.screen(plane, from), window.screen(plane, to));
        window.harness.hover_at(from);
        window.settle();
        assert!(window.has("drag: move this edge"), "{plane:?}");
        window.drag(from, to);
    };
    edge(&mut window, Plane::Xy, [8.0, 15.0, 20.5], [8.0, 15.0, 30.5]);
    assert_eq!(region(&window).end, [13, 32, 31]);
    edge(&mut window, Plane::Yz, [8.0, -0.5, 12.0], [8.0, 5.5, 12.0]);
    assert_eq!(region(&window).start, [3, 6, 4]);
    edge(&mut window, Plane::Xz, [12.5, 10.0, 30.5], [10.5, 10.0, 26.5]);
    assert_eq!(region(&window).end, [11, 32, 27], "a corner moves two edges");
    window.press(Modifiers::COMMAND, Key::Z);
    assert_eq!(region(&window).end, [13, 32, 31]);

    let inside = window.screen(Plane::Yz, [8.0, 20.0, 12.0]);
    window.harness.hover_at(inside);
    window.settle();
    window.press(Modifiers::NONE, Key::Delete);
    assert_eq!(window.regions(), 0);
    window.press(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.regions(), 1);
}

#[test]
fn a_click_snaps_to_the_middle_of_a_ball_as_one_edit() {
    let mut window = Window::with_class();
    window.choose("Snapping", "snap to density");
    assert_eq!(state(&window).snap, Snap::Automatic);
    window.go_to([10.0, 12.0, 10.0]);
    assert!(window.has("in the middle of the density here"));
    window.click_at(Plane::Xy, [10.0, 12.0, 10.0], PointerButton::Primary);
    window.until("the point has found its place", |app| app.state.snapping.is_empty() && app.state.actions.is_empty());
    let labels = window.labels();
    assert_eq!(labels.len(), 1);
    let away = distance(labels[0].0, BALLS[0]);
    assert!(away < 0.7, "{:?} is {away} voxels away from {:?}, the click was 3.5 away", labels[0].0, BALLS[0]);
    assert_eq!(state(&window).crosshair[0], 8, "the views go along");
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.labels().is_empty(), "one undo");
    // "Not a particle" stays where it was said.
    window.press(Modifiers::NONE, Key::N);
    window.go_to([10.0, 12.0, 10.0]);
    window.click_at(Plane::Xy, [10.0, 12.0, 10.0], PointerButton::Primary);
    assert!(distance(window.labels()[0].0, [10.0, 12.0, 10.0]) < 0.1);
}

#[test]
fn the_live_view_follows_at_the_rate_that_is_chosen_also_during_a_run() {
    let mut window = Window::with_class();
    window.label_balls(2);
    window.click("Live view off");
    assert_eq!(state(&window).training.config.live_view_secs, None);
    window.train();
    window.click("Live view low");
    let heard = window.heard.clone();
    window.until("the training thread hears of it", move |_| {
        heard.lock().unwrap().iter().any(|text| text == "live view every Some(15.0)")
    });
    assert_eq!(state(&window).training.config.live_view_secs, Some(15.0));
}

#[test]
fn what_stands_in_the_way_of_training_is_said_with_its_remedy() {
    let mut window = Window::with_class();
    window.add_class("rod", 30.0);
    window.press(Modifiers::NONE, Key::Num1);
    window.label_balls(1);
    assert!(window.has("rod has no label") && window.has("Label some, or remove the class"));
    assert!(window.has("There is one tomogram only") && window.has("Open others of the sample too"));
    window.open("bare.mrc", None);
    assert!(!window.has("There is one tomogram only"));
    assert!(window.has("The spacing of bare is not known"));
}

#[test]
fn every_key_of_the_map_does_what_it_says() {
    let mut window = Window::with_class();
    window.add_class("rod", 30.0);
    window.label_balls(1);
    let none = Modifiers::NONE;
    window.harness.remove_cursor();
    window.go_to([8.0, 16.0, 24.0]);
    let z = |window: &Window| state(window).crosshair[0];
    for (modifiers, key, expected) in [
        (none, Key::PageUp, 9),
        (none, Key::PageDown, 8),
        (none, Key::ArrowUp, 9),
        (none, Key::ArrowDown, 8),
        (Modifiers::SHIFT, Key::PageDown, 0),
        (Modifiers::SHIFT, Key::PageUp, 10),
        (Modifiers::SHIFT, Key::ArrowDown, 0),
        (Modifiers::SHIFT, Key::ArrowUp, 10),
    ] {
        window.press(modifiers, key);
        assert_eq!(z(&window), expected, "{key:?}");
    }
    type Reading = fn(&UiState) -> bool;
    let switches: [(Key, Reading); 5] = [
        (Key::I, |state| state.display.invert),
        (Key::H, |state| state.display.heatmap),
        (Key::P, |state| state.display.picks),
        (Key::L, |state| state.display.labels),
        (Key::O, |state| state.display.overview != OverviewPlace::Hidden),
    ];
    for (key, reading) in switches {
        let before = reading(state(&window));
        window.press(none, key);
        assert_ne!(reading(state(&window)), before, "{key:?}");
        window.press(none, key);
        assert_eq!(reading(state(&window)), before, "{key:?}");
    }
    let contrast = |window: &Window| state(window).open_volume().expect("open").1.contrast;
    let automatic = contrast(&window);
    let id = current(&window);
    if let Some(VolumeState::Open(volume)) = state_mut(&mut window).volumes.get_mut(&id) {
        volume.contrast = [0.0, 0.1];
    }
    window.press(none, Key::A);
    assert_eq!(contrast(&window), automatic);

    let classes: Vec<_> = state(&window).document.annotations().classes.iter().map(|class| class.id).collect();
    for (key, kind) in [
        (Key::Num2, PointKind::Particle(classes[1])),
        (Key::Num1, PointKind::Particle(classes[0])),
        (Key::Num9, PointKind::Particle(classes[0])),
        (Key::N, PointKind::Negative),
    ] {
        window.press(none, key);
        assert_eq!(state(&window).kind, Some(kind), "{key:?}");
    }
    assert_eq!(window.labels().len(), 1, "choosing is never destructive");

    window.press(none, Key::Plus);
    assert_eq!(state(&window).display.slab, 3);
    window.press(none, Key::Minus);
    assert_eq!(state(&window).display.slab, 1);

    // Panning with space and with the middle button, zooming and fitting.
    let view = |window: &Window| state(window).panes[0].view.expect("drawn");
    window.press(none, Key::Home);
    let fitted = view(&window);
    let at = window.screen(Plane::Xy, [8.0, 16.0, 24.0]);
    window.harness.key_down(Key::Space);
    window.drag(at, at + vec2(40.0, 10.0));
    window.harness.key_up(Key::Space);
    window.settle();
    assert!(view(&window).centre[0] < fitted.centre[0] - 1.0);
    assert_eq!(window.labels().len(), 1);
    window.press(none, Key::Home);
    assert_eq!(view(&window), fitted);

    window.press(none, Key::T);
    window.until("training has begun", |app| app.state.training.is_active());
    window.press(none, Key::Questionmark);
    assert!(state(&window).forms.help);
    window.press(none, Key::Escape);
    assert!(!state(&window).forms.help);
}

#[test]
fn the_status_line_says_what_a_click_will_do() {
    let mut window = Window::with_tomogram();
    assert!(window.has("add a class on the right"));
    window.add_class("ball", 20.0);
    assert!(window.has("click: add ball"));
    window.press(Modifiers::NONE, Key::N);
    assert!(window.has("click: add “not a particle”"));
    window.click("Look");
    assert!(window.has("click: move the crosshair"));
    window.harness.event(egui::Event::ModifiersChanged(Modifiers::SHIFT));
    window.settle();
    assert!(window.has("Shift+drag: choose the labels in a rectangle"));
    window.harness.event(egui::Event::ModifiersChanged(Modifiers::NONE));
    window.click("Region");
    assert!(window.has("drag: mark a complete box"));
    let at = window.screen(Plane::Xy, [8.0, 10.0, 12.0]);
    window.harness.hover_at(at);
    window.settle();
    let node = window.harness.get_by_label_contains("x 12 y 10 z 8");
    let line = node.accesskit_node().value().or_else(|| node.accesskit_node().label()).unwrap_or_default();
    assert!(line.contains("60 50 40 Å"), "{line}");
    let shown = line.rsplit('|').next().unwrap_or_default().trim().parse::<f32>().expect("a value");
    assert!((-4.0..=-3.0).contains(&shown), "{shown}");
}

#[test]
fn the_keyboard_reaches_the_views_and_labels_at_the_crosshair() {
    let mut window = Window::with_class();
    window.go_to(BALLS[0]);
    window.harness.remove_cursor();
    window.settle();
    let focused = |window: &Window| state(window).focused_plane;
    for _ in 0..80 {
        if focused(&window) == Some(Plane::Xz) {
            break;
        }
        window.harness.key_press(Key::Tab);
        window.settle();
    }
    assert_eq!(focused(&window), Some(Plane::Xz), "Tab goes through everything");
    window.press(Modifiers::NONE, Key::ArrowUp);
    assert_eq!(state(&window).crosshair, [8, 11, 12], "the arrows change the slice of the view with the focus");
    assert_eq!(focused(&window), Some(Plane::Xz), "and do not take the focus away");
    window.press(Modifiers::NONE, Key::Enter);
    assert_eq!(window.labels().len(), 1);
    assert!(distance(window.labels()[0].0, [8.0, 11.0, 12.0]) < 1e-6);
}

#[test]
fn the_window_contents_can_be_made_larger() {
    let mut window = Window::with_class();
    window.click("View");
    window.click("Larger window contents");
    assert!((window.harness.ctx.zoom_factor() - 1.1).abs() < 1e-6);
    window.settle();
    window.click("View");
    assert!(window.has("Usual size (now 110 %)"));
    window.click("Usual size (now 110 %)");
    window.settle();
    assert!((window.harness.ctx.zoom_factor() - 1.0).abs() < 1e-6);
}

#[test]
fn the_first_steps_are_shown_from_the_menu_and_lead_to_the_keys() {
    let mut window = Window::new();
    window.settle();
    assert!(!window.has("Say where you are done"));
    window.click("Help");
    window.click("First steps");
    assert!(window.has("Say where you are done"));
    window.harness.check_accessibility();
    window.press(Modifiers::NONE, Key::Escape);
    assert!(!window.has("Say where you are done"));
}

#[test]
fn preferences_outlive_the_window() {
    use semietpicker::ui::preferences::Preferences;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("window.json");
    let mut window = Window::with_class();
    let ctx = window.harness.ctx.clone();
    Preferences::read(&path).apply(&ctx, state_mut(&mut window));
    assert!(state(&window).forms.first_steps, "shown at the very first start");
    window.settle();
    window.click("Begin");
    window.press(Modifiers::NONE, Key::O);
    state_mut(&mut window).display.score_cue = ScoreCue::Opacity;
    ctx.set_theme(egui::ThemePreference::Light);
    Preferences::of(&ctx, state(&window)).write(&path).expect("writable");

    let mut window = Window::with_class();
    let ctx = window.harness.ctx.clone();
    Preferences::read(&path).apply(&ctx, state_mut(&mut window));
    window.settle();
    assert!(!state(&window).forms.first_steps, "and never again");
    assert_eq!(state(&window).display.overview, OverviewPlace::Beside);
    assert_eq!(state(&window).display.score_cue, ScoreCue::Opacity);
    assert_eq!(ctx.theme(), egui::Theme::Light);
}

#[test]
fn the_contrast_of_a_tomogram_is_kept_with_the_project() {
    let mut window = Window::with_class();
    let id = current(&window);
    if let Some(VolumeState::Open(volume)) = state_mut(&mut window).volumes.get_mut(&id) {
        volume.contrast = [-2.5, 0.25];
    }
    let place = state(&window).document.folder().to_path_buf();
    window.request(Action::NewProject);
    window.until("an empty project", |app| app.state.document.tomograms().is_empty());
    window.request(Action::Open(vec![place]));
    window.until("the project is open again", |app| app.state.open_volume().is_some());
    assert_eq!(state(&window).open_volume().expect("open").1.contrast, [-2.5, 0.25]);
}

/// A hundred thousand labels, of which several times as many lie about each slice as in a tomogram of a thousand voxels a side. The
/// bound is generous because tests share the machine with others.
#[test]
fn a_hundred_thousand_labels_scroll_in_three_views() {
    const LABELS: usize = 100_000;
    let mut window = Window::with_class();
    let id = current(&window);
    let state = state_mut(&mut window);
    let kind = state.kind.expect("a class");
    let from = state.document.annotations().classes[0].clone();
    let to = semietpicker::labels::Class { radius_angstrom: SPACING, ..from.clone() };
    assert!(state.perform(semietpicker::labels::Edit::ChangeClass { from, to }));
    let points = (0..LABELS)
        .map(|index| {
            let share = |step: usize| ((index * step) % LABELS) as f64 / LABELS as f64;
            ([share(61_803) * 15.0, share(75_487) * 31.0, share(56_984) * 47.0], kind)
        })
        .collect();
    let edit = state.document.import_edit(id, points);
    assert!(state.perform(edit));
    state.display.overview = OverviewPlace::Beside;
    window.settle();
    let mut times = Vec::new();
    for frame in 0..40 {
        let plane = Plane::ALL[frame % 3];
        state_mut(&mut window).step_slice(plane, if frame % 7 < 4 { 1 } else { -1 });
        let start = Instant::now();
        window.harness.step();
        times.push(start.elapsed());
    }
    times.sort();
    let (median, late) = (times[times.len() / 2], times[times.len() * 9 / 10]);
    println!("frames with {LABELS} labels: median {median:?}, 90 % within {late:?}");
    assert!(median < Duration::from_millis(80), "{median:?}");
    // The next label appears although so many are there.
    let start = Instant::now();
    window.go_to(BALLS[0]);
    let before = window.labels().len();
    let edited = Instant::now();
    state_mut(&mut window).perform(semietpicker::labels::Edit::AddPoint {
        tomogram: id,
        point: semietpicker::labels::Point { id: semietpicker::labels::ItemId(10_000_000), position: [0.0; 3], kind },
    });
    window.harness.step();
    println!("an edit and its frame: {:?}; all: {:?}", edited.elapsed(), start.elapsed());
    assert_eq!(window.labels().len(), before + 1);
    assert!(edited.elapsed() < Duration::from_millis(400), "{:?}", edited.elapsed());
}

/// Widgets in the rows of text at the top and the bottom and above the views must not lie on top of each other.
fn nothing_overlaps(window: &Window, size: Vec2) {
    let mut rects: Vec<(String, Rect)> = Vec::new();
    for role in [Role::Button, Role::Label, Role::ComboBox, Role::CheckBox] {
        for node in window.harness.query_all_by_role(role) {
            let name = node.accesskit_node().label().or_else(|| node.accesskit_node().value()).unwrap_or_default();
            let rect = node.rect();
            let row = rect.center().y < 34.0 || rect.center().y > size.y - 22.0;
            let tools = rect.left() > 150.0 && rect.right() < size.x - 300.0 && rect.bottom() < 130.0;
            // What a scrolled panel hides below its end is not drawn.
            let status = [" ms", "(eye only)", "|"].iter().any(|part| name.contains(part)) || name.starts_with("slab ");
            let hidden = rect.center().y > size.y - 22.0 && rect.left() > size.x - 320.0 && !status;
            if (row || tools) && !hidden && rect.width() > 1.0 {
                assert!(rect.right() <= size.x + 1.0 && rect.left() >= -1.0, "{name} leaves the window: {rect:?}");
                rects.push((name, rect));
            }
        }
    }
    assert!(rects.len() > 6, "{rects:?}");
    for (index, (name, rect)) in rects.iter().enumerate() {
        for (other_name, other) in &rects[..index] {
            let common = rect.shrink(1.5).intersect(other.shrink(1.5));
            assert!(!common.is_positive(), "{name:?} {rect:?} lies on {other_name:?} {other:?}");
        }
    }
}

#[test]
fn nothing_overlaps_in_small_and_large_windows() {
    for (size, pixels_per_point) in
        [(vec2(820.0, 520.0), 1.0), (vec2(1280.0, 720.0), 1.0), (vec2(1920.0, 1080.0), 2.0), (vec2(2560.0, 1440.0), 1.0)]
    {
        let mut window = Window::with_class_and_size(size, pixels_per_point);
        window.label_balls(2);
        let (from, to) = (window.screen(Plane::Xy, [8.0, 1.0, 1.0]), window.screen(Plane::Xy, [8.0, 30.0, 46.0]));
        drag_with(&mut window, Modifiers::SHIFT, from, to);
        state_mut(&mut window).display.slab = 5;
        state_mut(&mut window).display.low_pass_angstrom = 20.0;
        window.harness.remove_cursor();
        window.harness.run_steps(40);
        nothing_overlaps(&window, size);
    }
}

// -- pictures ---------------------------------------------------------------------------------------------------------------

/// Compares the window with the picture of this name, leaving out what changes from run to run.
fn picture(window: &mut Window, name: &str) {
    window.harness.remove_cursor();
    window.harness.run_steps(40);
    let time = window.harness.get_by_label_contains(" ms").rect();
    window.harness.mask(time.expand(2.0));
    let options = egui_kittest::SnapshotOptions::new()
        .threshold(1.2)
        .max_failed_pixels(400)
        .output_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"));
    window.harness.snapshot_options(name, &options);
}

/// A window with labels, picks, a region and the overview.
fn full_window(size: Vec2, pixels_per_point: f32) -> Window {
    let mut window = Window::with_class_and_size(size, pixels_per_point);
    state_mut(&mut window).display.smooth = false;
    window.label_balls(2);
    state_mut(&mut window).add_region(semietpicker::geometry::VoxelBox::new([2, 4, 4], [12, 26, 36]));
    window.train();
    window.press(Modifiers::NONE, Key::O);
    window.go_to(BALLS[0]);
    window
}

#[test]
fn the_views_look_as_they_should() {
    if !has_adapter() {
        println!("skipped: no graphics adapter, not even a software one, so nothing can be drawn");
        return;
    }
    let mut window = full_window(vec2(1280.0, 720.0), 1.0);
    picture(&mut window, "overview");
    window.click("Enlarge the 3D overview");
    window.harness.ctx.set_theme(egui::Theme::Light);
    picture(&mut window, "overview_large_light");
    window.click("Hide the 3D overview");
    window.harness.ctx.set_theme(egui::Theme::Dark);
    let (from, to) = (window.screen(Plane::Xy, [8.0, 2.0, 2.0]), window.screen(Plane::Xy, [8.0, 30.0, 46.0]));
    drag_with(&mut window, Modifiers::SHIFT, from, to);
    state_mut(&mut window).tool = Tool::Look;
    state_mut(&mut window).display.score_cue = ScoreCue::Opacity;
    picture(&mut window, "chosen");
}

#[test]
fn the_window_looks_as_it_should_at_200_percent() {
    if !has_adapter() {
        println!("skipped: no graphics adapter, not even a software one, so nothing can be drawn");
        return;
    }
    picture(&mut full_window(vec2(1280.0, 720.0), 2.0), "scale_200");
}

#[test]
fn the_smallest_window_looks_as_it_should() {
    if !has_adapter() {
        println!("skipped: no graphics adapter, not even a software one, so nothing can be drawn");
        return;
    }
    let mut window = full_window(vec2(820.0, 520.0), 1.0);
    picture(&mut window, "small");
    window.click("Help");
    window.click("First steps");
    picture(&mut window, "first_steps");
    window.click("Keys and mouse");
    picture(&mut window, "keys");
}

#[test]
fn spacing_of_the_test_tomogram_is_what_the_tests_assume() {
    let window = Window::with_class();
    assert_eq!(state(&window).spacing(current(&window)), Some(SPACING));
}
