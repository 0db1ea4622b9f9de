//! The review area: a gallery and a table of picks, comparing two sets, and counts.
//!
//! What a pick's state is and in which order picks come is decided in [`crate::review`]; here it is kept between frames, drawn,
//! and acted on. Sections are read by one thread, sets of picks are read and written by another.

mod act;
mod area;
mod compare;
mod compare_ui;
mod counts;
mod gallery;
mod jobs;
mod keep;
mod mask;
mod rows;
mod table;
mod thumbs;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::Color32;
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::picks::{PickLimits, PickState};
use super::state::UiState;
use crate::labels::TomogramId;
use crate::review::{Column, DecisionLog, KeptPicks, ModelRecord, Order, PickRecord, Row, Verdict, list_kept};

pub use area::review_ui;
pub use compare::{CompareState, Side};
pub use counts::{CountsForm, Plotted};
pub(in crate::ui) use jobs::Job;
pub use jobs::{Done, ReviewJobs};
pub use mask::mask_ui;
pub use thumbs::{ThumbCache, ThumbLoader};

/// Name under which the project keeps what has been set.
const SETTING: &str = "review";
/// Changes of settings are kept when there has been none for this long.
const QUIET: Duration = Duration::from_millis(600);
/// The longest queue of uncertain picks.
pub const QUEUE: usize = 200;

/// What the area shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tab {
    /// Sections of the picks.
    #[default]
    Gallery,
    /// The picks in a table.
    Table,
    /// Two sets side by side.
    Compare,
    /// Counts and densities.
    Counts,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Gallery, Self::Table, Self::Compare, Self::Counts];

    fn name(self) -> &'static str {
        match self {
            Self::Gallery => "Gallery",
            Self::Table => "Table",
            Self::Compare => "Compare",
            Self::Counts => "Counts",
        }
    }
}

/// What of the area is kept with the project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReviewForm {
    /// What is shown.
    pub tab: Tab,
    /// Picks of all tomograms, not only of the one on the screen.
    pub all: bool,
    /// Only picks of the class of this name.
    pub class: Option<String>,
    /// Only picks in this state.
    pub verdict: Option<VerdictName>,
    /// The order of the picks.
    pub order: Order,
    /// The most uncertain picks instead, in their own order.
    pub uncertain: bool,
    /// Width of a section in points.
    pub size: f32,
    /// Slices that a section averages.
    pub slab: usize,
    /// Thresholds, distances and masks.
    pub limits: PickLimits,
    /// The kept set whose picks are shown.
    pub set: Option<u32>,
}

impl Default for ReviewForm {
    fn default() -> Self {
        Self {
            tab: Tab::Gallery,
            all: false,
            class: None,
            verdict: None,
            order: Order { by: Column::Score, descending: true },
            uncertain: false,
            size: 72.0,
            slab: 5,
            limits: PickLimits::default(),
            set: None,
        }
    }
}

/// [`Verdict`] as a project keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as Verdict")]
pub enum VerdictName {
    Open,
    Accepted,
    Rejected,
}

impl From<VerdictName> for Verdict {
    fn from(name: VerdictName) -> Self {
        match name {
            VerdictName::Open => Self::Open,
            VerdictName::Accepted => Self::Accepted,
            VerdictName::Rejected => Self::Rejected,
        }
    }
}

/// How a class is drawn in lists.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassLook {
    /// Its name.
    pub name: String,
    /// Its colour.
    pub colour: Color32,
    /// Its letter, the second cue; `None` for a class that the project does not have.
    pub letter: Option<char>,
    /// Its radius in angstrom.
    pub radius_angstrom: f64,
}

/// The picks in the order in which they are looked at.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The picks.
    pub rows: Arc<Vec<Row>>,
    /// Their classes.
    pub classes: Arc<Vec<ClassLook>>,
    /// Open, accepted and rejected picks in what was asked for, whatever the filter of states says.
    pub progress: [usize; 3],
}

/// What a list was made from.
#[derive(Clone, Debug, PartialEq)]
struct ListKey {
    revision: u64,
    edits: u64,
    scope: Option<TomogramId>,
    class: Option<String>,
    verdict: Option<VerdictName>,
    order: Order,
    uncertain: bool,
}

/// What the area knows.
pub struct ReviewState {
    /// Whether it is shown.
    pub open: bool,
    /// What it shows, and what the project keeps.
    pub form: ReviewForm,
    /// Counts edits of labels and changes of tomograms, so that what depends on them is made anew.
    pub edits: u64,
    /// Who decided what.
    pub log: DecisionLog,
    /// Records of the sets that the project keeps.
    pub kept: Vec<PickRecord>,
    /// Those whose picks have been read.
    pub loaded: BTreeMap<u32, Arc<KeptPicks>>,
    /// The model that picks.
    pub model: Option<ModelRecord>,
    /// The run that trains now.
    run: Option<ModelRecord>,
    /// Picked tomograms that wait to be kept, and the steps of their model.
    to_keep: BTreeSet<TomogramId>,
    /// Tomograms with picks of the live view of this run.
    live: BTreeSet<TomogramId>,
    /// Sets that are being read, or could not be.
    reading: BTreeSet<u32>,
    /// A place to go to as soon as its tomogram is open.
    go_to: Option<(TomogramId, [f64; 3])>,
    /// The list must show the pick under review.
    follow: bool,
    /// First visible point and height of the list.
    scroll: (f32, f32),
    /// The next box that is drawn becomes the mask.
    pub drawing_mask: bool,
    /// The kept set that is to be removed, after one more click.
    pub removing: Option<u32>,
    /// The sections that have been read.
    pub thumbs: ThumbCache,
    /// The comparison.
    pub compare: CompareState,
    /// What counts are shown.
    pub counts: CountsForm,
    list: Option<(ListKey, List)>,
    kept_form: ReviewForm,
    changed: Option<Instant>,
    /// Requests for the thread that reads and writes sets.
    pub(super) jobs: Vec<jobs::Job>,
}

impl ReviewState {
    /// The state for a project; settings go into `picks`. The second value says what could not be read.
    pub fn of(document: &Document, picks: &mut PickState) -> (Self, Vec<(String, String)>) {
        let form: ReviewForm = document.setting(SETTING).unwrap_or_default();
        picks.set_limits(form.limits.clone());
        let folder = document.folder();
        let mut problems = Vec::new();
        let log = DecisionLog::open(folder).unwrap_or_else(|error| {
            problems.push(("The log of decisions cannot be read".to_owned(), error.to_string()));
            let mut log = DecisionLog::default();
            log.move_to(folder);
            log
        });
        let (kept, errors) = list_kept(folder);
        problems.extend(errors.into_iter().map(|error| ("A set of picks cannot be read".to_owned(), error.to_string())));
        let shown = form.set.filter(|id| kept.iter().any(|record| record.id == *id));
        let mut state = Self {
            open: false,
            kept_form: form.clone(),
            form,
            edits: 0,
            log,
            kept,
            loaded: BTreeMap::new(),
            model: None,
            run: None,
            to_keep: BTreeSet::new(),
            live: BTreeSet::new(),
            reading: BTreeSet::new(),
            go_to: None,
            follow: false,
            scroll: (0.0, 0.0),
            drawing_mask: false,
            removing: None,
            thumbs: ThumbCache::new(),
            compare: CompareState::default(),
            counts: CountsForm::default(),
            list: None,
            changed: None,
            jobs: Vec::new(),
        };
        if let Some(id) = shown {
            state.jobs.push(jobs::Job::Read { folder: folder.to_owned(), id, show: true });
        }
        (state, problems)
    }

    /// The record of the set whose picks are shown.
    pub fn shown_record(&self) -> Option<&PickRecord> {
        let id = self.form.set?;
        self.kept.iter().find(|record| record.id == id)
    }
}

impl UiState {
    /// Keeps the area's settings with the project when they have changed and rest; `now` keeps them at once.
    pub fn keep_review_form(&mut self, now: bool) {
        self.review.form.limits = self.picks.limits();
        if self.review.form == self.review.kept_form {
            self.review.changed = None;
            return;
        }
        let since = *self.review.changed.get_or_insert_with(Instant::now);
        if !now && since.elapsed() < QUIET {
            return;
        }
        self.review.changed = None;
        self.review.kept_form = self.review.form.clone();
        if let Err(error) = self.document.set_setting(SETTING, &self.review.form) {
            self.fail("The settings of the review were not kept", &error);
        }
    }

    /// When [`UiState::keep_review_form`] should be called again.
    pub fn review_form_due(&self) -> Option<Duration> {
        self.review.changed.map(|since| QUIET.saturating_sub(since.elapsed()))
    }
}
