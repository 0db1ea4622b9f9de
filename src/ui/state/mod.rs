//! What the window knows, apart from how it is drawn: panels read and change this and leave requests behind.

mod action;
mod labels;
mod tomograms;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

pub use action::Action;
pub use tomograms::{OpenVolume, VolumeState};
pub use views::{Display, Drag, HeatKey, Hover, MAX_SLAB, PaneData, Tool};

use super::document::Document;
use super::options::Snap;
use super::picks::PickState;
use super::review::ReviewState;
use super::snap::Click;
use super::spots::Spots;
use super::tally::Tally;
use super::toasts::Toasts;
use super::training::TrainingState;
use crate::causes::with_causes;
use crate::labels::{ClassId, ItemId, PointKind, TomogramId};
use crate::render::Plane;
use crate::render::overview::Orbit;
use crate::train::TrainConfig;

/// A lasting message of what failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Banner {
    /// What failed.
    pub title: String,
    /// Causes and remedies, one a line.
    pub detail: String,
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
}
