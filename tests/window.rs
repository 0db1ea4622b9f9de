//! The window without a display, used through the names of its widgets.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egui::{Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, TouchPhase, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use semietpicker::coordinates::read_csv;
use semietpicker::geometry::distance;
use semietpicker::labels::{Class, ClassId, PointKind, TomogramId};
use semietpicker::project::Project;
use semietpicker::render::Plane;
use semietpicker::train::{
    Command, Event as TrainingEvent, Heatmap, LiveView, Pick, PickSet, Progress, Service, Session, SessionEnds, TrainingSet,
};
use semietpicker::ui::state::{Tool, VolumeState};
use semietpicker::ui::{Action, App, Document, WindowOptions};
use semietpicker::volume::{MrcMode, write_mrc};

/// Voxels `(z, y, x)` of the test tomogram: 240 by 160 by 80 angstrom at 5 angstrom.
const SHAPE: [usize; 3] = [16, 32, 48];
const SPACING: f64 = 5.0;
/// Centres `(z, y, x)` of the dark balls in it.
const BALLS: [[f64; 3]; 3] = [[8.0, 10.0, 12.0], [8.0, 20.0, 30.0], [5.0, 24.0, 40.0]];
const BALL_RADIUS: f64 = 4.0;

/// A tomogram with dark balls and a weak pattern that is the same everywhere.
fn write_tomogram(path: &Path, spacing: Option<f64>) {
    let mut voxels = Vec::with_capacity(SHAPE.iter().product());
    for z in 0..SHAPE[0] {
        for y in 0..SHAPE[1] {
            for x in 0..SHAPE[2] {
                let pattern = ((x * 7 + y * 13 + z * 29) % 17) as f32 / 17.0;
                let at = [z as f64, y as f64, x as f64];
                let ball = BALLS.iter().any(|ball| distance(*ball, at) < BALL_RADIUS);
                voxels.push(if ball { pattern - 4.0 } else { pattern });
            }
        }
    }
    write_mrc(path, SHAPE, spacing, &voxels, MrcMode::Float32).expect("the temporary folder is writable");
}

/// What the stand-in for the training thread has heard.
type Heard = Arc<Mutex<Vec<String>>>;

/// Trains nothing: reports progress, shows a heatmap and picks at the balls and one place more, then waits for commands.
struct Pretend {
    heard: Heard,
}

fn pick_set(tomogram: TomogramId, classes: &[Class], step: usize) -> PickSet {
    let mut picks: Vec<Pick> =
        BALLS.iter().zip([0.9, 0.7, 0.55]).map(|(ball, score)| Pick { position: *ball, class: 0, score }).collect();
    picks.push(Pick { position: [12.0, 5.0, 40.0], class: 0, score: 0.2 });
    PickSet { tomogram, classes: classes.to_vec(), thresholds: vec![0.5; classes.len()], picks, step }
}

fn heatmap(tomogram: TomogramId, classes: &[Class], step: usize) -> Heatmap {
    let shape = SHAPE.map(|n| n / 2);
    let mut cells = Vec::new();
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let at = [z, y, x].map(|n| n as f64 * 2.0);
                let near = BALLS.iter().map(|ball| distance(*ball, at)).fold(f64::INFINITY, f64::min);
                cells.push((255.0 * (-near * near / 12.0).exp()) as u8);
            }
        }
    }
    let cells = Arc::new(cells);
    let channels = classes.iter().map(|_| cells.clone()).collect();
    Heatmap { tomogram, shape, voxels_per_cell: [2.0; 3], channels, step }
}

impl Pretend {
    fn hear(&self, text: String) {
        self.heard.lock().expect("no test panics while holding it").push(text);
    }

    fn show(&self, set: &TrainingSet, ends: &SessionEnds) {
        if let Some(tomogram) = set.tomograms.first() {
            let heatmap = Arc::new(heatmap(tomogram.id, &set.classes, 30));
            ends.publish(LiveView { heatmap, picks: Arc::new(pick_set(tomogram.id, &set.classes, 30)) });
        }
    }

    fn run(&mut self, set: TrainingSet, steps: usize, ends: &SessionEnds) {
        ends.emit(TrainingEvent::Started { device: "a pretended device".to_owned(), parameters: 1_500_000 });
        for step in 1..=30 {
            let loss = 0.1 / step as f32;
            let remaining = Duration::from_secs(90);
            ends.emit(TrainingEvent::Progress(Progress {
                step,
                steps,
                loss,
                consistency_loss: None,
                steps_per_second: 4.0,
                remaining,
            }));
        }
        self.show(&set, ends);
        while let Some(command) = ends.wait_command() {
            match command {
                Command::Pause => ends.emit(TrainingEvent::Paused),
                Command::Resume => ends.emit(TrainingEvent::Resumed),
                Command::UpdateSet(set) => {
                    let labels: usize = set.tomograms.iter().map(|tomogram| tomogram.labels.points.len()).sum();
                    self.hear(format!("update with {labels} labels"));
                }
                Command::Focus { position, .. } => self.hear(format!("focus {position:?}")),
                Command::Stop => break,
                _ => self.hear("something else".to_owned()),
            }
        }
        ends.emit(TrainingEvent::Finished { steps: 30, stopped: true, elapsed: Duration::from_secs(8) });
    }
}

impl Service for Pretend {
    fn handle(&mut self, command: Command, ends: &SessionEnds) -> anyhow::Result<()> {
        match command {
            Command::Train { config, set } => {
                let labels: usize = set.tomograms.iter().map(|tomogram| tomogram.labels.points.len()).sum();
                let regions: usize = set.tomograms.iter().map(|tomogram| tomogram.labels.regions.len()).sum();
                self.hear(format!("train with {labels} labels, {regions} regions"));
                if config.steps == 13 {
                    anyhow::bail!("the device is not there: choose the CPU");
                }
                self.run(set, config.steps, ends);
            }
            Command::Pick { tomograms, .. } => {
                for tomogram in tomograms {
                    self.hear(format!("pick {}", tomogram.name));
                    ends.emit(TrainingEvent::Picked(Arc::new(pick_set(tomogram.id, &[ball_class()], 30))));
                }
            }
            Command::LoadModel { path, .. } => {
                ends.emit(TrainingEvent::ModelLoaded { path, classes: vec![ball_class()], spacing_angstrom: SPACING });
            }
            Command::SaveModel(path) => ends.emit(TrainingEvent::ModelSaved(path)),
            _ => {}
        }
        Ok(())
    }
}

fn ball_class() -> Class {
    Class { id: ClassId(77), name: "ball".to_owned(), radius_angstrom: 20.0, colour: [230, 159, 0] }
}

/// The window, its folder and what its training thread has heard.
struct Window {
    harness: Harness<'static, App>,
    heard: Heard,
    folder: tempfile::TempDir,
}

impl Window {
    /// An empty project in a folder of its own.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = Project::create(&folder.path().join("balls")).expect("the temporary folder is writable");
        Self::with(folder, Document::new(project))
    }

    fn with(folder: tempfile::TempDir, document: Document) -> Self {
        let heard = Heard::default();
        let service = heard.clone();
        let build = move |creation: &mut eframe::CreationContext<'_>| {
            let ctx = creation.egui_ctx.clone();
            let service = move || Pretend { heard: service.clone() };
            let session = Session::start_with(move || ctx.request_repaint(), service).expect("a thread");
            let options = WindowOptions::default();
            let state = creation.wgpu_render_state.as_ref();
            App::new(&creation.egui_ctx, state, session, document, &options).expect("threads")
        };
        let mut builder = Harness::builder().with_size(vec2(1280.0, 720.0)).with_max_steps(60);
        if has_adapter() {
            builder = builder.wgpu();
        }
        let harness = builder.build_eframe(build);
        Self { harness, heard, folder }
    }

    /// A project with one open tomogram.
    fn with_tomogram() -> Self {
        let mut window = Self::new();
        window.open("tomo.mrc", Some(SPACING));
        window
    }

    /// As [`Window::with_tomogram`], with a class of 20 angstrom.
    fn with_class() -> Self {
        let mut window = Self::with_tomogram();
        window.add_class("ball", 20.0);
        window
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&mut self, name: &str, spacing: Option<f64>) {
        let path = self.path(name);
        write_tomogram(&path, spacing);
        self.request(Action::Open(vec![path.clone()]));
        self.until("the slices are there", |app| {
            let open = app.state.open_volume().is_some_and(|(_, volume)| volume.source.info().path == path);
            let current = app.state.current;
            open && app.state.panes.iter().all(|pane| pane.slice.as_ref().is_some_and(|(id, _)| Some(*id) == current))
        });
    }

    fn request(&mut self, action: Action) {
        self.harness.state_mut().state.request(action);
        self.harness.run_steps(2);
    }

    /// Runs frames until something is so.
    fn until(&mut self, what: &str, done: impl Fn(&App) -> bool) {
        let start = Instant::now();
        while !done(self.harness.state()) {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
            self.harness.step();
            std::thread::sleep(Duration::from_millis(5));
        }
        self.settle();
    }

    /// A few frames, so that what was changed is drawn.
    fn settle(&mut self) {
        self.harness.run_steps(4);
    }

    fn click(&mut self, name: &str) {
        self.harness.get_by_label(name).scroll_to_me();
        self.settle();
        self.harness.get_by_label(name).click();
        self.settle();
    }

    fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.settle();
    }

    fn has(&self, text: &str) -> bool {
        self.harness.query_all_by_label_contains(text).next().is_some()
    }

    fn add_class(&mut self, name: &str, radius: f64) {
        self.harness.state_mut().state.new_class.1 = radius;
        self.harness.get_by_label("Name of a new class").click();
        self.settle();
        self.harness.get_by_label("Name of a new class").type_text(name);
        self.settle();
        self.click("Add class");
        // Keys are text while a field has the focus.
        self.harness.remove_cursor();
        self.settle();
    }

    /// Where a voxel index lies on the screen in a view.
    fn screen(&self, plane: Plane, index: [f64; 3]) -> Pos2 {
        let rect = self.harness.get_by_label(&format!("{} view", plane.name())).rect();
        let view = self.harness.state().state.panes[plane.index()].view.expect("drawn");
        view.screen_from_image(rect, plane.image_from_index(index))
    }

    fn pointer(&mut self, pos: Pos2, button: PointerButton, pressed: bool) {
        self.harness.event(Event::PointerButton { pos, button, pressed, modifiers: Modifiers::NONE });
        self.harness.step();
    }

    fn click_at(&mut self, plane: Plane, index: [f64; 3], button: PointerButton) {
        let pos = self.screen(plane, index);
        self.harness.hover_at(pos);
        self.harness.step();
        self.pointer(pos, button, true);
        self.pointer(pos, button, false);
        self.settle();
    }

    fn drag(&mut self, from: Pos2, to: Pos2) {
        self.harness.hover_at(from);
        self.harness.step();
        self.pointer(from, PointerButton::Primary, true);
        for step in 1..=4 {
            self.harness.hover_at(from + (to - from) * (step as f32 / 4.0));
            self.harness.step();
        }
        self.pointer(to, PointerButton::Primary, false);
        self.settle();
    }

    fn wheel(&mut self, plane: Plane, notches: f32, modifiers: Modifiers) {
        let pos = self.screen(plane, BALLS[0]);
        self.harness.hover_at(pos);
        self.harness.step();
        let (unit, source) = (MouseWheelUnit::Line, MouseWheelSource::Unknown);
        let delta = vec2(0.0, notches);
        self.harness.event(Event::MouseWheel { unit, delta, phase: TouchPhase::Move, source, modifiers });
        self.settle();
    }

    /// Positions and kinds of the labels of the tomogram on the screen.
    fn labels(&self) -> Vec<([f64; 3], PointKind)> {
        let state = &self.harness.state().state;
        let labels = state.current.and_then(|id| state.document.annotations().labels(id));
        labels.into_iter().flat_map(|labels| labels.points.values()).map(|point| (point.position, point.kind)).collect()
    }

    fn regions(&self) -> usize {
        let state = &self.harness.state().state;
        let labels = state.current.and_then(|id| state.document.annotations().labels(id));
        labels.map_or(0, |labels| labels.regions.len())
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no test panics while holding it").clone()
    }

    /// Label all balls by clicks on their slices.
    fn label_balls(&mut self, count: usize) {
        for ball in &BALLS[..count] {
            self.go_to(*ball);
            self.click_at(Plane::Xy, *ball, PointerButton::Primary);
        }
    }

    fn go_to(&mut self, index: [f64; 3]) {
        self.harness.state_mut().state.move_crosshair(index);
        self.until("the slice is shown", |app| {
            let crosshair = app.state.crosshair;
            app.state.panes.iter().zip(Plane::ALL).all(|(pane, plane)| {
                pane.slice.as_ref().is_some_and(|(_, slice)| slice.request.depth == crosshair[plane.depth()])
            })
        });
    }

    fn train(&mut self) {
        self.click("Train");
        self.until("the live view is there", |app| !app.state.picks.is_empty() && app.state.training.progress.is_some());
    }
}

/// Whether something can draw; without it the tests run all the same, except that nothing is drawn.
fn has_adapter() -> bool {
    use std::sync::OnceLock;
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::PRIMARY | wgpu::Backends::GL,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut adapters = std::pin::pin!(instance.enumerate_adapters(wgpu::Backends::all()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        loop {
            if let std::task::Poll::Ready(adapters) = adapters.as_mut().poll(&mut context) {
                return !adapters.is_empty();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

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
    window.press(Modifiers::NONE, Key::K);
    window.press(Modifiers::NONE, Key::K);
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
    let rows = read_csv(&folder.join("particles.csv")).expect("what was written can be read");
    assert_eq!(rows.len(), 2);
    for (row, ball) in rows.iter().zip(BALLS) {
        assert_eq!((row.tomogram.as_deref(), row.class.as_str()), (Some("tomo"), "ball"));
        assert!(distance(row.voxel_zyx(SPACING), ball) < 0.1);
    }

    // The same folder again: refused, with the reason in the form.
    window.press(Modifiers::COMMAND, Key::E);
    window.click("Picks above the thresholds");
    window.click("Export 3 positions");
    assert!(window.has("exists already"));
    window.click("Replace files that exist");
    window.click("Export 3 positions");
    let rows = read_csv(&folder.join("particles.csv")).expect("readable");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.score.is_some()));

    window.press(Modifiers::COMMAND, Key::E);
    window.click("RELION 5 STAR");
    window.click("Export 3 positions");
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
    window.request(Action::LoadModel("a.model".into()));
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
    window.until("the table has been read", |app| app.state.tables_due.is_empty() && app.state.opening.is_empty());
    assert_eq!(window.labels().len(), 3, "rows without a tomogram's name belong to the one on the screen");
    window.press(Modifiers::COMMAND, Key::Z);
    window.harness.state_mut().state.show(first);
    window.settle();
    window.request(Action::ImportLabels(table));
    let labels = window.labels();
    assert_eq!(labels.len(), 3);
    assert!(distance(labels[0].0, BALLS[0]) < 1e-6, "{:?}", labels[0]);
    assert_eq!(labels[2].1, PointKind::Negative);
    assert!(window.has("there is no class \"rod\""), "what cannot be used is said");
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
