//! What the window knows, apart from how it is drawn: panels read and change this and leave requests behind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::boxes::Sides;
use super::document::Document;
use super::options::{OverviewPlace, ScoreCue, Snap};
use super::picks::PickState;
use super::review::ReviewState;
use super::snap::Click;
use super::spots::Spots;
use super::tally::Tally;
use super::toasts::Toasts;
use super::training::TrainingState;
use crate::causes::with_causes;
use crate::geometry::VoxelBox;
use crate::labels::{ClassId, Edit, ItemId, Point, PointKind, Region, TomogramId};
use crate::project::ProjectError;
use crate::render::overview::Orbit;
use crate::render::{HeatSlice, Plane, SliceImage, SliceRequest, View, WIDTH_PER_DEVIATION};
use crate::train::{TrainConfig, TrainingSet, TrainingTomogram};
use crate::volume::{ContrastLimits, VolumeSource};

/// What a click in a view does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    /// Moves the crosshair only.
    Look,
    /// Adds a point of the current kind.
    #[default]
    Label,
    /// A drag draws a complete region, or moves the edge of one.
    Region,
}

/// A tomogram that has been opened.
#[derive(Clone)]
pub struct OpenVolume {
    /// Its voxels.
    pub source: Arc<dyn VolumeSource>,
    /// The limits computed from its voxels, and their distribution.
    pub limits: Arc<ContrastLimits>,
    /// Values shown black and white.
    pub contrast: [f32; 2],
}

impl OpenVolume {
    /// Voxels `(z, y, x)`.
    pub fn shape(&self) -> [usize; 3] {
        self.source.info().shape
    }
}

/// How far opening a tomogram has come.
#[derive(Clone)]
pub enum VolumeState {
    /// On its way.
    Opening,
    /// There.
    Open(OpenVolume),
    /// Not readable, with the reason.
    Failed(String),
}

/// How slices are shown; for the eye only, training never sees any of it.
#[derive(Clone, Debug)]
pub struct Display {
    /// Dark for bright.
    pub invert: bool,
    /// Slices averaged, odd.
    pub slab: usize,
    /// Interpolate between voxels.
    pub smooth: bool,
    /// Show the crosshair.
    pub crosshair: bool,
    /// Show labels.
    pub labels: bool,
    /// Show picks.
    pub picks: bool,
    /// Show the heatmap.
    pub heatmap: bool,
    /// Opacity of the heatmap, 0 to 1.
    pub heat_opacity: f32,
    /// Index of the class whose heatmap is shown, among the model's classes.
    pub heat_class: usize,
    /// Full width at half height of a Gaussian low-pass in the plane of each view, in angstrom; 0 for none.
    pub low_pass_angstrom: f64,
    /// How the score of a pick shows.
    pub score_cue: ScoreCue,
    /// Where the overview in three dimensions is.
    pub overview: OverviewPlace,
}

/// Widest slab, in slices.
pub const MAX_SLAB: usize = 51;

impl Default for Display {
    fn default() -> Self {
        Self {
            invert: false,
            slab: 1,
            smooth: true,
            crosshair: true,
            labels: true,
            picks: true,
            heatmap: true,
            heat_opacity: 0.6,
            heat_class: 0,
            low_pass_angstrom: 0.0,
            score_cue: ScoreCue::default(),
            overview: OverviewPlace::default(),
        }
    }
}

/// What a pane holds between frames.
#[derive(Default)]
pub struct PaneData {
    /// Where it looks; `None` until it is first drawn, and to fit the image anew.
    pub view: Option<View>,
    /// Magnification at which the image fits.
    pub fit: f64,
    /// The last good slice and its tomogram.
    pub slice: Option<(TomogramId, Arc<SliceImage>)>,
    /// Level of detail that suits its magnification.
    pub level: usize,
    /// Voxels of that level that suit a texel.
    pub block: usize,
    /// What was last asked of the loader.
    pub requested: Option<(TomogramId, SliceRequest)>,
    /// The heatmap's slice and what it was cut from.
    pub heat: Option<(HeatKey, Arc<HeatSlice>)>,
    /// Wheel movement that is not yet a whole slice.
    pub wheel: f32,
    /// What a drag moves.
    pub drag: Option<Drag>,
    /// Its size in points when last drawn.
    pub size: egui::Vec2,
}

/// What a heatmap's slice was cut from: step and address of the heatmap, channel, and depth.
pub type HeatKey = (usize, usize, usize, usize);

/// A drag in a view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drag {
    /// The image.
    Pan,
    /// A point, from where it was.
    Point(Point),
    /// The crosshair.
    Crosshair,
    /// A region, from this image position.
    Region([f64; 2]),
    /// Edges of a region, from where they were.
    Edges(Region, Sides),
    /// A rectangle that chooses labels, from this image position.
    Select([f64; 2]),
}

/// What lies under the cursor, for the status line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hover {
    /// The pane.
    pub plane: Plane,
    /// Continuous voxel index `(z, y, x)`.
    pub index: [f64; 3],
    /// The value shown there.
    pub value: f32,
    /// Whether an edge of a complete region is under the cursor that the tool at hand would move.
    pub on_edge: bool,
}

/// A lasting message of what failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Banner {
    /// What failed.
    pub title: String,
    /// Causes and remedies, one a line.
    pub detail: String,
}

/// A request that needs threads, files or the session; handled after the frame is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Choose tomograms in a dialog.
    OpenDialog,
    /// Choose a project folder in a dialog.
    OpenProjectDialog,
    /// Choose where to keep the project in a dialog.
    SaveAsDialog,
    /// Open tomograms or a project folder.
    Open(Vec<PathBuf>),
    /// Begin an empty project.
    NewProject,
    /// Keep the project in this folder.
    SaveAs(PathBuf),
    /// Make sure that everything is on the disk.
    Save,
    /// Take a tomogram out of the project.
    RemoveTomogram(TomogramId),
    /// Try once more to open a tomogram.
    RetryTomogram(TomogramId),
    /// Choose in a dialog where a tomogram's file is now.
    RelinkDialog(TomogramId),
    /// Take this file for a tomogram whose own is gone.
    Relink(TomogramId, PathBuf),
    /// Take the latest edit back.
    Undo,
    /// Perform it again.
    Redo,
    /// Add a point at the middle of the density near a click.
    Snap(Click),
    /// How often a run in progress refreshes the live view, in seconds; `None` for never.
    LiveViewEvery(Option<f64>),
    /// Start training.
    Train,
    /// Go on with the project's latest run from its checkpoint.
    ContinueRun,
    /// Halt.
    Pause,
    /// Go on.
    Resume,
    /// End early.
    StopTraining,
    /// Pick tomograms with the model.
    Pick(Vec<TomogramId>),
    /// Turn the picks above the thresholds into labels; `None` for all tomograms.
    AcceptPicks(Option<TomogramId>),
    /// Choose a model file in a dialog.
    LoadModelDialog,
    /// Choose where to write the model in a dialog.
    SaveModelDialog,
    /// Read a model.
    LoadModel(PathBuf),
    /// Write the model.
    SaveModel(PathBuf),
    /// Choose a table of positions in a dialog.
    ImportLabelsDialog,
    /// Add the positions of a table as labels.
    ImportLabels(PathBuf),
    /// Choose a file to compare positions with in a dialog.
    CompareDialog,
    /// Read positions to compare with.
    CompareWith(PathBuf),
    /// Choose the folder for an export in a dialog.
    ExportFolderDialog,
    /// Write coordinates as the export form says.
    Export,
    /// Take from a copick project what its form says.
    TakeCopick,
    /// Ask as whom to save to the copick project.
    SaveCopickForm,
    /// Save to the copick project as its form says.
    SaveCopick,
    /// Close the window.
    Quit,
}

/// Which floating form is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    /// The key map.
    pub help: bool,
    /// The first steps.
    pub first_steps: bool,
    /// The export form.
    pub export: bool,
    /// The name of a class that is to be removed with its labels.
    pub remove_class: Option<ClassId>,
}

/// Panels that are shown.
#[derive(Clone, Copy, Debug)]
pub struct Panels {
    /// Tomograms, on the left.
    pub left: bool,
    /// Classes to picks, on the right.
    pub right: bool,
    /// XZ and YZ.
    pub side_views: bool,
}

/// Everything that the window shows.
pub struct UiState {
    /// Classes, labels, tomograms and where they are kept.
    pub document: Document,
    /// Tomograms that are open, on their way, or not readable.
    pub volumes: BTreeMap<TomogramId, VolumeState>,
    /// The tomogram on the screen.
    pub current: Option<TomogramId>,
    /// Voxel index `(z, y, x)` at which the three views meet.
    pub crosshair: [usize; 3],
    /// What a click does.
    pub tool: Tool,
    /// What a new point says; `None` while there is no class.
    pub kind: Option<PointKind>,
    /// How slices are shown.
    pub display: Display,
    /// Panes in the order of [`Plane::ALL`].
    pub panes: [PaneData; 3],
    /// What lies under the cursor.
    pub hover: Option<Hover>,
    /// The view that has the keyboard's focus.
    pub focused_plane: Option<Plane>,
    /// Where the overview is looked at from.
    pub orbit: Orbit,
    /// Whether the cursor is over the overview.
    pub over_overview: bool,
    /// Chosen labels of the tomogram on the screen.
    pub selection: BTreeSet<ItemId>,
    /// Whether a click goes to the density near it.
    pub snap: Snap,
    /// Clicks whose points have not found their places yet.
    pub snapping: Vec<Click>,
    /// Grows with every change of labels, classes or spacings.
    pub labels_revision: u64,
    /// How much has been labelled.
    pub tally: Tally,
    /// The labels and picks as they are drawn, kept until something about them changes.
    pub(super) spots_at_hand: Option<Arc<Spots>>,
    /// First and last slice of a new region; `None` for the whole depth.
    pub region_depth: Option<[usize; 2]>,
    /// The training run.
    pub training: TrainingState,
    /// Picks.
    pub picks: PickState,
    /// The review area.
    pub review: ReviewState,
    /// The export form.
    pub export: super::export::ExportForm,
    /// Files of positions that wait for answers; the first one's form is on the screen.
    pub imports: VecDeque<super::import::ImportForm>,
    /// The forms for copick projects.
    pub copick: super::copick::CopickForms,
    /// A path being typed.
    pub path_field: String,
    /// A class being added: name and radius in angstrom.
    pub new_class: (String, f64),
    /// A class being renamed.
    pub class_name_field: Option<(ClassId, String)>,
    /// Spacings being typed, angstrom.
    pub spacing_fields: BTreeMap<TomogramId, f64>,
    /// Lasting messages.
    pub banners: Vec<Banner>,
    /// Messages that go away.
    pub toasts: Toasts,
    /// Open forms.
    pub forms: Forms,
    /// Shown panels.
    pub panels: Panels,
    /// Requests of this frame.
    pub actions: Vec<Action>,
    /// Labels or tomograms have changed since the training thread last heard of them.
    pub set_changed: bool,
    /// The crosshair or the tomogram has changed since the training thread last heard of it.
    pub focus_changed: bool,
    /// Tables to import as soon as a file is open; a tomogram that gets its labels this way is complete.
    pub imports_due: BTreeMap<PathBuf, PathBuf>,
    /// Tables to import as soon as every file is open.
    pub tables_due: Vec<PathBuf>,
    /// Files that may take the place of a tomogram's own, which is gone.
    pub relinking: BTreeMap<TomogramId, PathBuf>,
    /// Files that are being opened and are not in the project yet.
    pub opening: Vec<PathBuf>,
    /// The file that is to be shown when it is open.
    pub show_when_open: Option<PathBuf>,
    /// Unnamed projects of earlier sessions.
    pub left_behind: Vec<PathBuf>,
    /// Mean processor time of a frame, in seconds.
    pub frame_secs: Option<f32>,
}

impl UiState {
    /// The state of a window that shows `document`; no tomogram is open yet.
    pub fn new(document: Document, config: TrainConfig) -> Self {
        let export = super::export::ExportForm::of(&document);
        let mut picks = PickState::default();
        let (review, problems) = ReviewState::of(&document, &mut picks);
        let mut state = Self {
            document,
            volumes: BTreeMap::new(),
            current: None,
            crosshair: [0; 3],
            tool: Tool::Label,
            kind: None,
            display: Display::default(),
            panes: Default::default(),
            hover: None,
            focused_plane: None,
            orbit: Orbit::default(),
            over_overview: false,
            selection: BTreeSet::new(),
            snap: Snap::default(),
            snapping: Vec::new(),
            labels_revision: 0,
            tally: Tally::default(),
            spots_at_hand: None,
            region_depth: None,
            training: TrainingState::new(config),
            picks,
            review,
            export,
            imports: VecDeque::new(),
            copick: super::copick::CopickForms::default(),
            path_field: String::new(),
            new_class: (String::new(), 60.0),
            class_name_field: None,
            spacing_fields: BTreeMap::new(),
            banners: Vec::new(),
            toasts: Toasts::default(),
            forms: Forms::default(),
            panels: Panels { left: true, right: true, side_views: true },
            actions: Vec::new(),
            set_changed: false,
            focus_changed: false,
            imports_due: BTreeMap::new(),
            tables_due: Vec::new(),
            relinking: BTreeMap::new(),
            opening: Vec::new(),
            show_when_open: None,
            left_behind: Vec::new(),
            frame_secs: None,
        };
        state.tally = Tally::of(state.document.annotations());
        state.keep_choices_valid();
        state.look_for_a_run();
        for (title, detail) in problems {
            state.fail_text(title, detail);
        }
        state
    }

    /// Leaves a request.
    pub fn request(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Shows a failure until it is dismissed.
    pub fn fail(&mut self, title: impl Into<String>, error: &dyn std::error::Error) {
        self.fail_text(title, with_causes(error, "\nbecause "));
    }

    /// Shows a failure until it is dismissed.
    pub fn fail_text(&mut self, title: impl Into<String>, detail: impl Into<String>) {
        let banner = Banner { title: title.into(), detail: detail.into() };
        if !self.banners.contains(&banner) {
            self.banners.push(banner);
        }
    }

    /// The tomogram on the screen, when it is open.
    pub fn open_volume(&self) -> Option<(TomogramId, &OpenVolume)> {
        let id = self.current?;
        match self.volumes.get(&id) {
            Some(VolumeState::Open(volume)) => Some((id, volume)),
            _ => None,
        }
    }

    /// The spacing of a tomogram in angstrom: what the user said, else what the file says.
    pub fn spacing(&self, id: TomogramId) -> Option<f64> {
        self.document.spacing_override(id).or_else(|| match self.volumes.get(&id) {
            Some(VolumeState::Open(volume)) => volume.source.info().spacing_angstrom,
            _ => None,
        })
    }

    /// The radius of a class in voxels of a tomogram; a guess of 100 angstrom per ten voxels while its spacing is unknown.
    pub fn radius_voxels(&self, tomogram: TomogramId, radius_angstrom: f64) -> f64 {
        radius_angstrom / self.spacing(tomogram).unwrap_or(10.0)
    }

    /// Applies an edit, keeps it, and tells the training thread at the next occasion.
    pub fn perform(&mut self, edit: Edit) -> bool {
        if edit.is_empty() {
            return false;
        }
        let done = match self.document.perform(edit) {
            Ok(()) => true,
            Err(error) => {
                self.fail("The label was not changed", &error);
                false
            }
        };
        self.after_edit();
        done
    }

    /// What must follow any change of labels or classes.
    pub fn after_edit(&mut self) {
        self.set_changed = true;
        self.labels_revision += 1;
        self.tally = Tally::of(self.document.annotations());
        self.prune_selection();
        self.picks.labels_changed();
        self.review.edits += 1;
        self.keep_choices_valid();
    }

    /// The current kind must name a class that exists.
    fn keep_choices_valid(&mut self) {
        let classes = &self.document.annotations().classes;
        let valid = match self.kind {
            Some(PointKind::Particle(id)) => classes.iter().any(|class| class.id == id),
            Some(PointKind::Negative) => true,
            None => false,
        };
        if !valid {
            self.kind = classes.first().map(|class| PointKind::Particle(class.id));
        }
    }

    /// Shows another tomogram.
    pub fn show(&mut self, id: TomogramId) {
        if self.current == Some(id) {
            return;
        }
        self.current = Some(id);
        self.focus_changed = true;
        self.selection.clear();
        self.picks.reviewed = None;
        for pane in &mut self.panes {
            pane.view = None;
            pane.drag = None;
        }
        if let Some((_, volume)) = self.open_volume() {
            self.crosshair = volume.shape().map(|n| n / 2);
        }
    }

    /// Shows the tomogram `steps` further in the list, around its ends.
    pub fn step_tomogram(&mut self, steps: isize) {
        let ids: Vec<TomogramId> = self.document.tomograms().iter().map(|tomogram| tomogram.id).collect();
        if ids.is_empty() {
            return;
        }
        let at = self.current.and_then(|id| ids.iter().position(|other| *other == id)).unwrap_or(0) as isize;
        self.show(ids[(at + steps).rem_euclid(ids.len() as isize) as usize]);
    }

    /// The tomogram of a file that has been opened: the one that the project lacks and that this must be, or a new one.
    ///
    /// # Errors
    /// When it cannot be added to the project.
    pub fn adopt(&mut self, path: &Path, shape: [usize; 3]) -> Result<TomogramId, ProjectError> {
        if let Some(id) = self.document.tomogram_at(path) {
            return Ok(id);
        }
        let missing = self.document.tomograms().iter().find(|tomogram| {
            matches!(self.volumes.get(&tomogram.id), Some(VolumeState::Failed(_)))
                && tomogram.shape == shape
                && tomogram.path.file_name() == path.file_name()
        });
        match missing.map(|tomogram| tomogram.id) {
            Some(id) => self.document.relink(id, path).map(|()| id),
            None => self.document.add_tomogram(path, shape),
        }
    }

    /// Takes a file that the user has chosen for a tomogram whose own is gone, and looks for other missing ones beside it. Returns whether
    /// it can be that tomogram: labels belong to voxels, so the sizes must be equal.
    pub fn take_for(&mut self, id: TomogramId, path: &Path, shape: [usize; 3]) -> bool {
        let Some(known) = self.document.tomograms().iter().find(|tomogram| tomogram.id == id) else { return false };
        let (name, expected) = (known.name.clone(), known.shape);
        if expected != shape {
            let text = |[z, y, x]: [usize; 3]| format!("{x} × {y} × {z}");
            let detail = format!(
                "it has {} voxels (x, y, z) where the labels belong to {}: {}",
                text(shape),
                text(expected),
                path.display()
            );
            self.volumes.insert(id, VolumeState::Failed(detail.clone()));
            self.fail_text(format!("This file is not {name}"), detail);
            return false;
        }
        if !self.document.is_at(id, path) {
            self.toasts.add(format!("{name}: this file is of the same size, but not the one that was labelled"));
        }
        if let Err(error) = self.document.relink(id, path) {
            self.fail(format!("{name} was not found again"), &error);
            return false;
        }
        let missing = |state: &Option<&VolumeState>| matches!(state, Some(VolumeState::Failed(_)));
        let others = self.document.tomograms().iter().map(|tomogram| tomogram.id);
        let others: Vec<_> = others.filter(|other| *other != id && missing(&self.volumes.get(other))).collect();
        self.actions.extend(others.into_iter().map(Action::RetryTomogram));
        true
    }

    /// Moves the crosshair to a voxel index `(z, y, x)`, kept inside the tomogram. Panes that do not show it move there.
    pub fn move_crosshair(&mut self, index: [f64; 3]) {
        let Some((_, volume)) = self.open_volume() else {
            return;
        };
        let shape = volume.shape();
        let position = std::array::from_fn(|axis| (index[axis].round().max(0.0) as usize).min(shape[axis].saturating_sub(1)));
        if position != self.crosshair {
            self.crosshair = position;
            self.focus_changed = true;
        }
        for (pane, plane) in self.panes.iter_mut().zip(Plane::ALL) {
            let size = pane.size;
            if let Some(view) = &mut pane.view {
                view.reveal(size, plane.image_from_index(position.map(|n| n as f64)));
            }
        }
    }

    /// Moves along a plane's depth.
    pub fn step_slice(&mut self, plane: Plane, steps: isize) {
        let Some((_, volume)) = self.open_volume() else {
            return;
        };
        let axis = plane.depth();
        let last = volume.shape()[axis].saturating_sub(1);
        let to = self.crosshair[axis].saturating_add_signed(steps).min(last);
        if to != self.crosshair[axis] {
            self.crosshair[axis] = to;
            self.focus_changed = true;
        }
    }

    /// Standard deviation in voxels of the low-pass for the eye; 0 where the spacing is unknown.
    pub fn low_pass_voxels(&self, tomogram: TomogramId) -> f64 {
        self.spacing(tomogram).map_or(0.0, |spacing| self.display.low_pass_angstrom / WIDTH_PER_DEVIATION / spacing)
    }

    /// Makes the slab thicker or thinner by two slices, so that it stays symmetric about its middle one.
    pub fn change_slab(&mut self, thicker: bool) {
        let slab = self.display.slab;
        self.display.slab = if thicker { (slab + 2).min(MAX_SLAB) } else { slab.saturating_sub(2).max(1) };
    }

    /// How near a click must come to a point to mean it, in voxels, given the pane's magnification.
    pub fn grab_distance(&self, tomogram: TomogramId, points_per_voxel: f64) -> f64 {
        let radius = match self.kind {
            Some(PointKind::Particle(id)) => self.document.annotations().class(id).map(|class| class.radius_angstrom),
            _ => None,
        };
        let radius = radius.map_or(0.0, |radius| self.radius_voxels(tomogram, radius));
        radius.max(10.0 / points_per_voxel)
    }

    /// Adds a point of the current kind and moves the crosshair there; near a label of the same kind it only moves there.
    pub fn add_point(&mut self, position: [f64; 3]) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        self.move_crosshair(position);
        let Some(kind) = self.kind else {
            self.toasts.add("Add a class first, on the right: its name and radius");
            return;
        };
        if self.has_label_at(tomogram, position, kind) {
            self.toasts.add("A label is already here");
            return;
        }
        let click = Click { tomogram, position, kind };
        if self.snap != Snap::Off && matches!(kind, PointKind::Particle(_)) {
            self.request(Action::Snap(click));
        } else {
            self.place_point(click, position);
        }
    }

    /// Whether a label of this kind is so near to a voxel index `(z, y, x)` that another one would say nothing new.
    pub fn has_label_at(&self, tomogram: TomogramId, position: [f64; 3], kind: PointKind) -> bool {
        let annotations = self.document.annotations();
        let close = match kind {
            PointKind::Particle(id) => annotations.class(id).map_or(0.0, |class| class.radius_angstrom),
            PointKind::Negative => 0.0,
        };
        let close = (self.radius_voxels(tomogram, close) * 0.25).max(1.0);
        annotations.nearest_point(tomogram, position, close).is_some_and(|point| point.kind == kind)
    }

    /// Removes the nearest point within `distance` voxels.
    pub fn remove_nearest(&mut self, position: [f64; 3], distance: f64) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        match self.document.annotations().nearest_point(tomogram, position, distance).copied() {
            Some(point) => {
                self.perform(Edit::RemovePoint { tomogram, point });
            }
            None => self.toasts.add("No label near enough to remove"),
        }
    }

    /// Marks a box of the current tomogram as complete.
    pub fn add_region(&mut self, voxels: VoxelBox) {
        if let Some((tomogram, _)) = self.open_volume() {
            self.add_region_to(tomogram, voxels);
        }
    }

    /// Marks a box of an open tomogram as complete.
    pub fn add_region_to(&mut self, tomogram: TomogramId, voxels: VoxelBox) {
        let Some(VolumeState::Open(volume)) = self.volumes.get(&tomogram) else {
            return;
        };
        let voxels = voxels.intersection(&VoxelBox::whole(volume.shape()));
        if voxels.is_empty() || self.take_mask(voxels) {
            return;
        }
        let id = self.document.new_id();
        self.perform(Edit::AddRegion { tomogram, region: Region { id, voxels } });
    }

    /// First and last slice of a new region in a tomogram of `depth` slices, both included.
    pub fn region_slices(&self, depth: usize) -> [usize; 2] {
        let last = depth.saturating_sub(1);
        let [first, end] = self.region_depth.unwrap_or([0, last]);
        [first.min(last), end.clamp(first.min(last), last)]
    }

    /// Gives tomograms a spacing in angstrom that their files do not say.
    pub fn set_spacing(&mut self, ids: &[TomogramId], spacing_angstrom: f64) {
        for id in ids {
            if let Err(error) = self.document.set_spacing(*id, spacing_angstrom) {
                self.fail("The spacing was not kept", &error);
            }
        }
        self.after_edit();
    }

    /// Classes and tomograms for training. Tomograms that are not open or whose spacing is unknown are left out.
    pub fn training_set(&self) -> TrainingSet {
        let annotations = self.document.annotations();
        let ids = self.document.tomograms().iter().map(|tomogram| tomogram.id);
        TrainingSet { classes: annotations.classes.clone(), tomograms: ids.filter_map(|id| self.training_tomogram(id)).collect() }
    }

    /// A tomogram as the training thread sees it; `None` when it is not open or its spacing is unknown.
    pub fn training_tomogram(&self, id: TomogramId) -> Option<TrainingTomogram> {
        let Some(VolumeState::Open(volume)) = self.volumes.get(&id) else {
            return None;
        };
        Some(TrainingTomogram {
            id,
            name: self.document.name(id),
            source: volume.source.clone(),
            spacing_angstrom: self.spacing(id)?,
            labels: self.document.annotations().labels(id).cloned().unwrap_or_default(),
        })
    }
}
