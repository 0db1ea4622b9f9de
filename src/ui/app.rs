//! The window: collects what the threads have to say, draws the panels, and carries out what they request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{CentralPanel, Context, Frame, Margin, Panel, ScrollArea, Ui};

use super::copick::CopickJobs;
use super::dialogs::{Answer, Dialogs};
use super::document::Document;
use super::files::{Done, FileJobs};
use super::frame_time::FrameTimes;
use super::jobs::{Jobs, Opened};
use super::keys::keys;
use super::loader::{Loaded, SliceLoader, Wanted};
use super::options::LiveRate;
use super::panels::{self, views};
use super::preferences::Preferences;
use super::review::{ReviewJobs, ThumbLoader, review_ui};
use super::snap::SnapJobs;
use super::state::{Action, OpenVolume, UiState, VolumeState};
use super::theme;
use super::training::file_name;
use crate::copick::Wishes;
use crate::geometry::VoxelBox;
use crate::labels::TomogramId;
use crate::render::overview::gpu::OverviewResources;
use crate::render::{PaneResources, Plane};
use crate::train::Session;
use crate::train::{Command, TrainConfig};

/// Shortest time between two messages to the training thread about the same thing.
const QUIET: Duration = Duration::from_millis(200);

/// Name under which the project keeps the contrast of its tomograms.
const CONTRAST_SETTING: &str = "contrast";

/// How the window starts.
#[derive(Clone, Debug)]
pub struct WindowOptions {
    /// Settings that training starts with.
    pub train: TrainConfig,
    /// Begin with the light theme.
    pub light: bool,
    /// Size in points.
    pub size: [f32; 2],
    /// What to take from copick projects, as far as it was said.
    pub copick: Wishes,
    /// Where the user's preferences are kept; `None` to begin without and keep none.
    pub preferences: Option<PathBuf>,
}

impl Default for WindowOptions {
    fn default() -> Self {
        let train = TrainConfig { live_view_secs: LiveRate::Live.secs(), ..TrainConfig::default() };
        Self { train, light: false, size: [1440.0, 860.0], copick: Wishes::default(), preferences: None }
    }
}

/// The window.
pub struct App {
    /// Everything that is shown.
    pub state: UiState,
    pub(super) session: Session,
    pub(super) loader: SliceLoader,
    pub(super) jobs: Jobs,
    pub(super) files: FileJobs,
    pub(super) copick: CopickJobs,
    pub(super) snaps: SnapJobs,
    pub(super) review: ReviewJobs,
    pub(super) thumbs: ThumbLoader,
    pub(super) dialogs: Dialogs,
    pub(super) ctx: Context,
    /// Contrast that the project remembers of its tomograms.
    kept_contrast: BTreeMap<TomogramId, [f32; 2]>,
    frames: FrameTimes,
    preferences: Option<PathBuf>,
    set_sent: Instant,
    focus_sent: Instant,
}

impl App {
    /// A window without a display of its own. `session` trains; in tests it may run a stand-in. `render_state` is eframe's, to
    /// which the pipelines are added; without it slices are not drawn but everything else works.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn new(
        ctx: &Context,
        render_state: Option<&egui_wgpu::RenderState>,
        session: Session,
        document: Document,
        options: &WindowOptions,
    ) -> std::io::Result<Self> {
        theme::install(ctx);
        if let Some(render_state) = render_state {
            let panes = PaneResources::new(&render_state.device, render_state.target_format);
            let overview = OverviewResources::new(&render_state.device, &render_state.queue, render_state.target_format);
            let resources = &mut render_state.renderer.write().callback_resources;
            resources.insert(panes);
            resources.insert(overview);
        }
        let wake = || {
            let ctx = ctx.clone();
            move || ctx.request_repaint()
        };
        let now = Instant::now();
        let long_ago = now.checked_sub(QUIET).unwrap_or(now);
        let mut app = Self {
            state: UiState::new(document, options.train.clone()),
            session,
            loader: SliceLoader::start(wake())?,
            jobs: Jobs::start(wake())?,
            files: FileJobs::start(wake())?,
            copick: CopickJobs::new(options.copick.clone(), wake()),
            snaps: SnapJobs::start(wake())?,
            review: ReviewJobs::start(wake())?,
            thumbs: ThumbLoader::start(wake())?,
            dialogs: Dialogs::default(),
            ctx: ctx.clone(),
            kept_contrast: BTreeMap::new(),
            frames: FrameTimes::from_environment(),
            preferences: options.preferences.clone(),
            set_sent: long_ago,
            focus_sent: long_ago,
        };
        if let Some(path) = &options.preferences {
            Preferences::read(path).apply(ctx, &mut app.state);
        }
        if options.light {
            ctx.set_theme(egui::ThemePreference::Light);
        }
        app.open_all_tomograms();
        Ok(app)
    }

    /// Opens what the project lists, the first one on the screen.
    pub(super) fn open_all_tomograms(&mut self) {
        self.kept_contrast = self.state.document.setting(CONTRAST_SETTING).unwrap_or_default();
        let ids: Vec<_> = self.state.document.tomograms().iter().map(|tomogram| tomogram.id).collect();
        for id in &ids {
            if let Some(path) = self.state.document.path(*id) {
                self.state.volumes.insert(*id, VolumeState::Opening);
                self.jobs.open(Some(*id), path);
            }
        }
        self.state.current = None;
        if let Some(id) = ids.first() {
            self.state.show(*id);
        }
        for note in self.state.document.notes().to_vec() {
            self.state.fail_text("The project was repaired", note);
        }
    }

    /// Takes in what threads have to say.
    fn collect(&mut self) {
        let events: Vec<_> = self.session.events().collect();
        for event in events {
            self.state.on_event(event);
        }
        if let Some(view) = self.session.take_live_view() {
            self.state.on_live_view(view);
        }
        while let Some(opened) = self.jobs.poll() {
            self.on_opened(opened);
            self.state.import_due_tables();
        }
        while let Some(done) = self.files.poll() {
            match done {
                Done::Exported { positions, folder, result } => self.state.on_exported(positions, &folder, result),
                Done::Read { path, otherwise, result } => self.state.on_positions_read(path, otherwise, result),
            }
        }
        self.collect_copick();
        self.collect_snapped();
        self.collect_review();
        for plane in Plane::ALL {
            let Some(Loaded { tomogram, slice }) = self.loader.take(plane.index()) else {
                continue;
            };
            match slice {
                Ok(slice) => self.state.panes[plane.index()].slice = Some((tomogram, slice)),
                Err(error) => self.state.fail("A slice cannot be read", &error),
            }
        }
        match self.dialogs.poll() {
            Some(Answer::Do(action)) => self.handle(action),
            Some(Answer::ExportFolder(folder)) => self.state.export.folder = folder.display().to_string(),
            Some(Answer::Nothing(_)) => {
                self.state.toasts.add("Nothing was chosen. If no dialog appeared, drop files onto the window or type a path");
            }
            None => {}
        }
        if let Some(again) = self.state.document.poll() {
            self.ctx.request_repaint_after(again);
        }
    }

    /// Keeps with the project which contrast the user has chosen for its tomograms.
    pub(super) fn keep_contrast(&mut self) {
        let mut chosen = self.kept_contrast.clone();
        for (id, volume) in &self.state.volumes {
            if let VolumeState::Open(volume) = volume {
                if volume.contrast == [volume.limits.low, volume.limits.high] {
                    chosen.remove(id);
                } else {
                    chosen.insert(*id, volume.contrast);
                }
            }
        }
        chosen.retain(|id, _| self.state.document.tomograms().iter().any(|tomogram| tomogram.id == *id));
        if chosen != self.kept_contrast
            && let Err(error) = self.state.document.set_setting(CONTRAST_SETTING, &chosen)
        {
            log::warn!("the contrast was not kept: {error}");
        }
        self.kept_contrast = chosen;
    }

    /// Takes in a tomogram that has been opened, or could not be.
    fn on_opened(&mut self, opened: Opened) {
        let Opened { tomogram, path, result } = opened;
        let state = &mut self.state;
        state.opening.retain(|other| *other != path);
        let (source, limits) = match result {
            Ok(opened) => opened,
            Err(error) => {
                tomogram.iter().for_each(|id| drop(state.relinking.remove(id)));
                match tomogram {
                    Some(id) if state.volumes.contains_key(&id) => {
                        state.volumes.insert(id, VolumeState::Failed(error.to_string()));
                        let title = format!("{} cannot be opened", state.document.name(id));
                        state.fail(title, &error);
                    }
                    // Removed from the project meanwhile.
                    Some(_) => {}
                    None => state.fail(format!("{} cannot be opened", file_name(&path)), &error),
                }
                return;
            }
        };
        let shape = source.info().shape;
        if let Some(id) = tomogram
            && state.relinking.remove(&id).is_some_and(|chosen| chosen == path)
            && !state.take_for(id, &path, shape)
        {
            return;
        }
        let id = match tomogram {
            Some(id) if state.volumes.contains_key(&id) => id,
            Some(_) => return,
            None => match state.adopt(&path, shape) {
                Ok(id) => id,
                Err(error) => {
                    state.fail(format!("{} cannot be added to the project", file_name(&path)), &error);
                    return;
                }
            },
        };
        for warning in &source.info().warnings {
            log::info!("{warning}: {}", path.display());
        }
        let contrast = self.kept_contrast.get(&id).copied().unwrap_or([limits.low, limits.high]);
        state.volumes.insert(id, VolumeState::Open(OpenVolume { source, limits: Arc::new(limits), contrast }));
        if state.current == Some(id) {
            state.crosshair = shape.map(|n| n / 2);
            state.focus_changed = true;
        }
        if state.current.is_none() || state.show_when_open.as_ref() == Some(&path) {
            state.show_when_open = None;
            state.show(id);
        }
        state.after_edit();
        if let Some(table) = state.imports_due.remove(&path) {
            self.files.read(table, Some(id));
            state.add_region_to(id, VoxelBox::whole(shape));
        }
    }

    /// Asks for the slices that the views should show.
    fn request_slices(&mut self, max_side: usize) {
        for plane in Plane::ALL {
            if plane != Plane::Xy && !self.state.panels.side_views {
                continue;
            }
            let wanted = views::wanted_slice(&self.state, plane, max_side);
            let Some((tomogram, request)) = wanted else {
                self.state.panes[plane.index()].requested = None;
                continue;
            };
            if self.state.panes[plane.index()].requested == wanted {
                continue;
            }
            if let Some((_, volume)) = self.state.open_volume() {
                let source = volume.source.clone();
                self.loader.request(plane.index(), Wanted { tomogram, source, request });
                self.state.panes[plane.index()].requested = wanted;
            }
        }
    }

    /// Tells the training thread what has changed, not more often than it can use.
    fn inform_training(&mut self) {
        if !self.state.training.is_active() {
            self.state.set_changed = false;
            self.state.focus_changed = false;
            return;
        }
        if self.state.set_changed {
            if self.set_sent.elapsed() < QUIET {
                self.ctx.request_repaint_after(QUIET);
            } else {
                let set = self.state.training_set();
                let same_classes = set.classes.len() == self.state.training.run_classes.len();
                if !same_classes {
                    self.state.set_changed = false;
                    self.state.toasts.add("The run goes on with the classes that it began with; train again to use the new ones");
                } else if self.session.send(Command::UpdateSet(set)).is_ok() {
                    self.state.set_changed = false;
                    self.set_sent = Instant::now();
                } else {
                    self.ctx.request_repaint_after(QUIET);
                }
            }
        }
        if self.state.focus_changed {
            if self.focus_sent.elapsed() < QUIET {
                self.ctx.request_repaint_after(QUIET);
            } else if let Some((tomogram, _)) = self.state.open_volume() {
                let position = self.state.crosshair;
                if self.session.send(Command::Focus { tomogram, position }).is_ok() {
                    self.state.focus_changed = false;
                    self.focus_sent = Instant::now();
                } else {
                    self.ctx.request_repaint_after(QUIET);
                }
            }
        }
    }

    fn draw(&mut self, ui: &mut Ui) {
        let state = &mut self.state;
        let visuals = ui.visuals().clone();
        let palette = theme::palette(&visuals);
        let bar = Frame::NONE.fill(palette.panel).inner_margin(Margin::symmetric(8, 3));
        let side = Frame::NONE.fill(palette.panel).inner_margin(Margin::symmetric(10, 8));
        let mut panels = state.panels;
        Panel::top("top bar").frame(bar).show(ui, |ui| panels::top_bar::top_bar_ui(ui, state));
        Panel::bottom("status").frame(bar).show(ui, |ui| panels::status::status_ui(ui, state));
        panels.left = state.panels.left;
        panels.right = state.panels.right;
        Panel::right("tools").frame(side).default_size(312.0).size_range(300.0..=480.0).show_collapsible(
            ui,
            &mut panels.right,
            |ui| {
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    panels::classes::classes_ui(ui, state);
                    panels::training::training_ui(ui, state);
                    panels::picks::picks_ui(ui, state);
                    panels::display::display_ui(ui, state);
                    panels::regions::regions_ui(ui, state);
                });
            },
        );
        state.panels.right = panels.right;
        let was_open = state.review.open;
        let mut open = was_open;
        let area = Frame::NONE.fill(palette.panel).inner_margin(Margin::symmetric(8, 4));
        let tallest = (ui.available_height() - 170.0).max(150.0);
        Panel::bottom("review").frame(area).resizable(true).default_size(236.0).size_range(140.0..=tallest).show_collapsible(
            ui,
            &mut open,
            |ui| review_ui(ui, state),
        );
        // Dragged open or shut; its own button has closed it already.
        if open != was_open {
            state.review.open = open;
        }
        Panel::left("tomograms").frame(side).default_size(210.0).size_range(150.0..=420.0).show_collapsible(
            ui,
            &mut panels.left,
            |ui| panels::tomograms::tomograms_ui(ui, state),
        );
        state.panels.left = panels.left;
        let centre = Frame::NONE.fill(palette.panel).inner_margin(Margin::symmetric(4, 4));
        let shown = CentralPanel::default().frame(centre).show(ui, |ui| {
            panels::banners::banners_ui(ui, state);
            if state.document.tomograms().is_empty() {
                panels::empty::empty_ui(ui, state);
                return;
            }
            panels::spacing::spacing_ui(ui, state);
            panels::tools::tools_ui(ui, state);
            ui.add_space(2.0);
            views::views_ui(ui, state);
        });
        panels::export::export_ui(ui, state);
        panels::import::import_ui(ui, state);
        panels::copick::copick_ui(ui, state);
        panels::help::help_ui(ui, state);
        panels::first_steps::first_steps_ui(ui, state);
        drop_hint(ui, palette);
        state.toasts.ui(ui.ctx(), shown.response.rect);
    }

    fn take_dropped(&mut self) {
        let dropped: Vec<PathBuf> =
            self.ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_path_buf()).collect());
        if !dropped.is_empty() {
            self.handle(Action::Open(dropped));
        }
    }

    /// One frame.
    pub fn frame(&mut self, ui: &mut Ui) {
        let start = Instant::now();
        self.collect();
        self.take_dropped();
        self.state.review.thumbs.begin_frame();
        keys(ui.ctx(), &mut self.state);
        self.state.refresh_picks();
        if self.state.review.compare.in_views {
            self.state.refresh_comparison();
        }
        self.draw(ui);
        let actions = std::mem::take(&mut self.state.actions);
        let acted = !actions.is_empty();
        for action in actions {
            self.handle(action);
        }
        let max_side = ui.input(|input| input.max_texture_side);
        self.request_slices(max_side);
        self.after_review();
        self.inform_training();
        if acted {
            // What a request changed is drawn in the next frame.
            self.ctx.request_repaint();
        }
        let own = start.elapsed().as_secs_f32();
        self.frames.add(own);
        self.state.frame_secs = self.frames.recent();
    }

    /// Adds what eframe did besides this window's own work to the latest frame.
    fn replace_frame_time(&mut self, frame: &eframe::Frame) {
        if let Some(seconds) = frame.info().cpu_usage {
            self.frames.replace_previous(seconds);
        }
    }
}

/// Says where dragged files may be dropped: anywhere.
fn drop_hint(ui: &Ui, palette: &theme::Palette) {
    if ui.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let rect = ui.ctx().content_rect();
    let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop hint")));
    painter.rect_filled(rect, 0.0, theme::faded(palette.canvas, 0.85));
    let font = egui::FontId::proportional(20.0);
    painter.text(rect.center(), egui::Align2::CENTER_CENTER, "Drop to open", font, palette.accent);
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        self.replace_frame_time(frame);
        self.frame(ui);
    }

    fn on_exit(&mut self) {
        self.frames.finish();
        if let Some(path) = &self.preferences
            && let Err(error) = Preferences::of(&self.ctx, &self.state).write(path)
        {
            log::warn!("the preferences were not kept ({error}): {}", path.display());
        }
        self.keep_contrast();
        self.state.training.picks_due = 0;
        self.state.keep_picks();
        self.hand_over_review_jobs();
        self.state.keep_review_form(true);
        if let Err(error) = self.state.document.close() {
            log::error!("the project was not saved: {error}");
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        theme::palette(visuals).panel.to_normalized_gamma_f32()
    }
}
