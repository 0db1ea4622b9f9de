//! The window without a display, used through the names of its widgets: what the tests of the window share.
//!
//! A test binary takes it in by `#[path = "support/window.rs"] mod support;`.
#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egui::{Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, TouchPhase, Vec2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use semietpicker::geometry::distance;
use semietpicker::labels::{Class, ClassId, PointKind, TomogramId};
use semietpicker::project::Project;
use semietpicker::render::Plane;
use semietpicker::train::{
    Command, Event as TrainingEvent, Heatmap, LiveView, Pick, PickSet, Progress, Service, Session, SessionEnds, TrainingSet,
};
use semietpicker::ui::{Action, App, Document, WindowOptions};
use semietpicker::volume::{MrcMode, write_mrc};

/// Voxels `(z, y, x)` of the test tomogram: 240 by 160 by 80 angstrom at 5 angstrom.
pub const SHAPE: [usize; 3] = [16, 32, 48];
pub const SPACING: f64 = 5.0;
/// Centres `(z, y, x)` of the dark balls in it.
pub const BALLS: [[f64; 3]; 3] = [[8.0, 10.0, 12.0], [8.0, 20.0, 30.0], [5.0, 24.0, 40.0]];
pub const BALL_RADIUS: f64 = 4.0;

/// A tomogram with dark balls and a weak pattern that is the same everywhere.
pub fn write_tomogram(path: &Path, spacing: Option<f64>) {
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
pub type Heard = Arc<Mutex<Vec<String>>>;

/// Trains nothing: reports progress, shows a heatmap and picks at the balls and one place more, then waits for commands.
struct Pretend {
    heard: Heard,
}

pub fn pick_set(tomogram: TomogramId, classes: &[Class], step: usize) -> PickSet {
    let mut picks: Vec<Pick> =
        BALLS.iter().zip([0.9, 0.7, 0.55]).map(|(ball, score)| Pick { position: *ball, class: 0, score }).collect();
    picks.push(Pick { position: [12.0, 5.0, 40.0], class: 0, score: 0.2 });
    PickSet { tomogram, classes: classes.to_vec(), thresholds: vec![0.5; classes.len()], picks, step }
}

pub fn heatmap(tomogram: TomogramId, classes: &[Class], step: usize) -> Heatmap {
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

/// Steps planned of a pretended run that is choosing its thresholds until it is stopped.
pub const CHOOSES: usize = 14;

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
                steps_per_second: 4.0,
                remaining,
                ..Progress::default()
            }));
        }
        self.show(&set, ends);
        if steps == CHOOSES {
            ends.emit(TrainingEvent::ChoosingThresholds { fraction: 0.0 });
            ends.emit(TrainingEvent::ChoosingThresholds { fraction: 0.4 });
        }
        while let Some(command) = ends.wait_command() {
            match command {
                Command::Pause => ends.emit(TrainingEvent::Paused),
                Command::Resume => ends.emit(TrainingEvent::Resumed),
                Command::UpdateSet(set) => {
                    let labels: usize = set.tomograms.iter().map(|tomogram| tomogram.labels.points.len()).sum();
                    self.hear(format!("update with {labels} labels"));
                }
                Command::Focus { position, .. } => self.hear(format!("focus {position:?}")),
                Command::LiveViewEvery(secs) => self.hear(format!("live view every {secs:?}")),
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
                self.hear(format!("{:?}, {} and {} steps", config.method, config.steps, config.cotrain_steps));
                if config.steps == 13 {
                    anyhow::bail!("the device is not there: choose the CPU");
                }
                self.run(set, config.steps, ends);
            }
            Command::Continue { config, set, run } => {
                self.hear(format!("continue {}", run.display()));
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

pub fn ball_class() -> Class {
    Class { id: ClassId(77), name: "ball".to_owned(), radius_angstrom: 20.0, colour: [230, 159, 0] }
}

/// The window, its folder and what its training thread has heard.
pub struct Window {
    pub harness: Harness<'static, App>,
    pub heard: Heard,
    pub folder: tempfile::TempDir,
}

impl Window {
    /// An empty project in a folder of its own.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = Project::create(&folder.path().join("balls")).expect("the temporary folder is writable");
        Self::with(folder, Document::new(project))
    }

    pub fn with(folder: tempfile::TempDir, document: Document) -> Self {
        Self::of_size(folder, document, vec2(1280.0, 720.0), 1.0)
    }

    /// As [`Window::with_class`], of this size in points and with so many pixels per point.
    pub fn with_class_and_size(size: Vec2, pixels_per_point: f32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = Project::create(&folder.path().join("balls")).expect("the temporary folder is writable");
        let mut window = Self::of_size(folder, Document::new(project), size, pixels_per_point);
        window.open("tomo.mrc", Some(SPACING));
        window.add_class("ball", 20.0);
        window
    }

    pub fn of_size(folder: tempfile::TempDir, document: Document, size: Vec2, pixels_per_point: f32) -> Self {
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
        let mut builder = Harness::builder().with_size(size).with_pixels_per_point(pixels_per_point).with_max_steps(60);
        if has_adapter() {
            builder = builder.wgpu();
        }
        let harness = builder.build_eframe(build);
        Self { harness, heard, folder }
    }

    /// A project with one open tomogram.
    pub fn with_tomogram() -> Self {
        let mut window = Self::new();
        window.open("tomo.mrc", Some(SPACING));
        window
    }

    /// As [`Window::with_tomogram`], with a class of 20 angstrom.
    pub fn with_class() -> Self {
        let mut window = Self::with_tomogram();
        window.add_class("ball", 20.0);
        window
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn open(&mut self, name: &str, spacing: Option<f64>) {
        let path = self.path(name);
        write_tomogram(&path, spacing);
        self.request(Action::Open(vec![path.clone()]));
        self.until("the slices are there", |app| {
            let open = app.state.open_volume().is_some_and(|(_, volume)| volume.source.info().path == path);
            let current = app.state.current;
            open && app.state.panes.iter().all(|pane| pane.slice.as_ref().is_some_and(|(id, _)| Some(*id) == current))
        });
    }

    pub fn request(&mut self, action: Action) {
        self.harness.state_mut().state.request(action);
        self.harness.run_steps(2);
    }

    /// Runs frames until something is so.
    pub fn until(&mut self, what: &str, done: impl Fn(&App) -> bool) {
        let start = Instant::now();
        while !done(self.harness.state()) {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
            self.harness.step();
            std::thread::sleep(Duration::from_millis(5));
        }
        self.settle();
    }

    /// A few frames, so that what was changed is drawn.
    pub fn settle(&mut self) {
        self.harness.run_steps(4);
    }

    pub fn click(&mut self, name: &str) {
        self.harness.get_by_label(name).scroll_to_me();
        self.settle();
        self.harness.get_by_label(name).click();
        self.settle();
    }

    /// Chooses an entry of a combo box.
    pub fn choose(&mut self, combo: &str, entry: &str) {
        self.harness.get_by_role_and_label(egui::accesskit::Role::ComboBox, combo).click();
        self.settle();
        // The open list is drawn on top of everything else, so it comes last.
        let entries = self.harness.query_all_by_role_and_label(egui::accesskit::Role::Button, entry);
        let entry_found = entries.last();
        assert!(entry_found.is_some(), "no entry {entry:?} in {combo:?}");
        if let Some(found) = entry_found {
            found.click();
        }
        self.settle();
    }

    pub fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.settle();
    }

    pub fn has(&self, text: &str) -> bool {
        self.harness.query_all_by_label_contains(text).next().is_some()
    }

    pub fn add_class(&mut self, name: &str, radius: f64) {
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
    pub fn screen(&self, plane: Plane, index: [f64; 3]) -> Pos2 {
        let rect = self.harness.get_by_label(&format!("{} view", plane.name())).rect();
        let view = self.harness.state().state.panes[plane.index()].view.expect("drawn");
        view.screen_from_image(rect, plane.image_from_index(index))
    }

    pub fn pointer(&mut self, pos: Pos2, button: PointerButton, pressed: bool) {
        self.harness.event(Event::PointerButton { pos, button, pressed, modifiers: Modifiers::NONE });
        self.harness.step();
    }

    pub fn click_at(&mut self, plane: Plane, index: [f64; 3], button: PointerButton) {
        let pos = self.screen(plane, index);
        self.harness.hover_at(pos);
        self.harness.step();
        self.pointer(pos, button, true);
        self.pointer(pos, button, false);
        self.settle();
    }

    pub fn drag(&mut self, from: Pos2, to: Pos2) {
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

    pub fn wheel(&mut self, plane: Plane, notches: f32, modifiers: Modifiers) {
        let pos = self.screen(plane, BALLS[0]);
        self.harness.hover_at(pos);
        self.harness.step();
        let (unit, source) = (MouseWheelUnit::Line, MouseWheelSource::Unknown);
        let delta = vec2(0.0, notches);
        self.harness.event(Event::MouseWheel { unit, delta, phase: TouchPhase::Move, source, modifiers });
        self.settle();
    }

    /// Positions and kinds of the labels of the tomogram on the screen.
    pub fn labels(&self) -> Vec<([f64; 3], PointKind)> {
        let state = &self.harness.state().state;
        let labels = state.current.and_then(|id| state.document.annotations().labels(id));
        labels.into_iter().flat_map(|labels| labels.points.values()).map(|point| (point.position, point.kind)).collect()
    }

    pub fn regions(&self) -> usize {
        let state = &self.harness.state().state;
        let labels = state.current.and_then(|id| state.document.annotations().labels(id));
        labels.map_or(0, |labels| labels.regions.len())
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no test panics while holding it").clone()
    }

    /// Label all balls by clicks on their slices.
    pub fn label_balls(&mut self, count: usize) {
        for ball in &BALLS[..count] {
            self.go_to(*ball);
            self.click_at(Plane::Xy, *ball, PointerButton::Primary);
        }
    }

    pub fn go_to(&mut self, index: [f64; 3]) {
        self.harness.state_mut().state.move_crosshair(index);
        self.until("the slice is shown", |app| {
            let crosshair = app.state.crosshair;
            app.state.panes.iter().zip(Plane::ALL).all(|(pane, plane)| {
                pane.slice.as_ref().is_some_and(|(_, slice)| slice.request.depth == crosshair[plane.depth()])
            })
        });
    }

    pub fn train(&mut self) {
        self.click("Train");
        self.until("the live view is there", |app| !app.state.picks.is_empty() && app.state.training.progress.is_some());
    }
}

/// Whether something can draw; without it the tests run all the same, except that nothing is drawn.
pub fn has_adapter() -> bool {
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
