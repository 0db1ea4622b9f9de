//! What a front end says to the training thread and what it hears back.
//!
//! The window and the command line use the same [`Command`]s and [`Event`]s. Heatmaps are large, so they never travel in the
//! queue: the newest lies in a latest-value slot, and an event says that it is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::{DeviceChoice, TrainConfig};
use crate::labels::{Class, TomogramId, TomogramLabels};
use crate::volume::VolumeSource;

/// A tomogram as the training thread sees it.
#[derive(Clone)]
pub struct TrainingTomogram {
    /// Its identity in the project.
    pub id: TomogramId,
    /// Its name, for messages.
    pub name: String,
    /// Its voxels.
    pub source: Arc<dyn VolumeSource>,
    /// Spacing in angstrom, from the file or from the user.
    pub spacing_angstrom: f64,
    /// What has been labelled; empty for an unlabelled tomogram.
    pub labels: TomogramLabels,
}

/// The classes and tomograms of a run.
#[derive(Clone, Default)]
pub struct TrainingSet {
    /// Classes, one output channel each, in this order.
    pub classes: Vec<Class>,
    /// Labelled and unlabelled tomograms.
    pub tomograms: Vec<TrainingTomogram>,
}

/// A request to the training thread. Requests are handled in order, between two training steps.
pub enum Command {
    /// Start training from fresh weights on this set; replaces a run in progress.
    Train {
        /// Settings of the run.
        config: TrainConfig,
        /// What to learn from.
        set: TrainingSet,
    },
    /// Go on with a run from its checkpoint; replaces a run in progress. The settings that describe the network and its crops are
    /// those of the checkpoint.
    Continue {
        /// Settings of the run.
        config: TrainConfig,
        /// What to learn from.
        set: TrainingSet,
        /// The checkpoint, see [`TrainConfig::checkpoint`].
        run: PathBuf,
    },
    /// Labels, regions or tomograms have changed; a run in progress continues with them from its next step. The classes'
    /// number must stay as it was: otherwise the run fails with a message.
    UpdateSet(TrainingSet),
    /// Halt after the current step.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Write the checkpoints of the run in progress to this file from now on, see [`TrainConfig::checkpoint`].
    KeepRunAt(PathBuf),
    /// End the run early; the model stays and can pick and be saved.
    Stop,
    /// The tomogram and the slice that the live view should serve first: `position` is a voxel index `(z, y, x)`.
    Focus {
        /// Tomogram on the screen.
        tomogram: TomogramId,
        /// The crosshair.
        position: [usize; 3],
    },
    /// Refresh the live view of a run in progress every so many seconds, or never; see [`TrainConfig::live_view_secs`].
    LiveViewEvery(Option<f64>),
    /// Pick these tomograms whole with the current model; one [`Event::Picked`] each.
    Pick {
        /// What to pick.
        tomograms: Vec<TrainingTomogram>,
        /// Average over flips at test time.
        flips: bool,
    },
    /// Read a model file; answered by [`Event::ModelLoaded`] or [`Event::Failed`].
    LoadModel {
        /// The file.
        path: PathBuf,
        /// Where to compute with it.
        device: DeviceChoice,
    },
    /// Write the current model to a file; answered by [`Event::ModelSaved`] or [`Event::Failed`].
    SaveModel(PathBuf),
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Learning from labelled crops, with no other stage to follow.
    #[default]
    Supervised,
    /// Learning from labelled crops, before co-training.
    BurnIn,
    /// Learning from labelled and unlabelled crops.
    CoTraining,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Supervised => "training",
            Self::BurnIn => "burn-in",
            Self::CoTraining => "co-training",
        })
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Stage of the latest step.
    pub stage: Stage,
    /// Steps done.
    pub step: usize,
    /// Steps planned, burn-in and co-training together.
    pub steps: usize,
    /// Supervised loss of the latest step.
    pub loss: f32,
    /// Consistency loss of the latest step; `None` during burn-in.
    pub consistency_loss: Option<f32>,
    /// Root mean square of the difference between the student's and the teacher's maps of unlabelled crops; `None` during burn-in.
    pub difference: Option<f32>,
    /// Mean over the classes of the best F1 on labels held out of training, when it was measured after this step.
    pub held_out_f1: Option<f32>,
    /// Recent speed.
    pub steps_per_second: f32,
    /// Expected time left.
    pub remaining: Duration,
}

/// A pick: a position that the network proposes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Continuous voxel index `(z, y, x)` at full resolution.
    pub position: [f64; 3],
    /// Index into the classes of the set that it belongs to.
    pub class: usize,
    /// Peak height of the heatmap, or the segment's score: about 0 to 1.
    pub score: f32,
}

/// Picks of one tomogram, by descending score, including those below the thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct PickSet {
    /// The tomogram.
    pub tomogram: TomogramId,
    /// The model's classes.
    pub classes: Vec<Class>,
    /// Suggested threshold of each class, chosen on labelled data (by F1).
    pub thresholds: Vec<f32>,
    /// The picks, by descending score.
    pub picks: Vec<Pick>,
    /// Training step of the model that made them.
    pub step: usize,
}

impl PickSet {
    /// The picks that reach their class's suggested threshold, by descending score.
    pub fn above_thresholds(&self) -> impl Iterator<Item = &Pick> {
        self.picks.iter().filter(|pick| pick.score >= self.thresholds[pick.class])
    }
}

/// Heatmaps of one tomogram, one channel a class.
#[derive(Clone, Debug)]
pub struct Heatmap {
    /// The tomogram.
    pub tomogram: TomogramId,
    /// Cells `(z, y, x)`.
    pub shape: [usize; 3],
    /// Voxels of the full-resolution tomogram per cell, along each axis; cell `o` is centred on voxel index `o * voxels_per_cell`.
    pub voxels_per_cell: [f64; 3],
    /// One vector a class, `(z, y, x)` row-major, 0 to 255 for 0 to 1.
    pub channels: Vec<Arc<Vec<u8>>>,
    /// Training step of the weights that computed its newest part; in a live view other parts may be older, or still 0.
    pub step: usize,
}

/// A newer view of the tomogram in focus.
#[derive(Clone, Debug)]
pub struct LiveView {
    /// Its heatmaps.
    pub heatmap: Arc<Heatmap>,
    /// Its picks.
    pub picks: Arc<PickSet>,
}

/// What happens on the training thread.
#[derive(Clone, Debug)]
pub enum Event {
    /// A run begins.
    Started {
        /// The device's name, for people.
        device: String,
        /// Number of trainable parameters.
        parameters: usize,
    },
    /// A step is done.
    Progress(Progress),
    /// The slot holds a newer [`LiveView`].
    LiveView,
    /// The steps are done and the thresholds are being chosen.
    ChoosingThresholds {
        /// Share done, 0 to 1.
        fraction: f32,
    },
    /// The run is paused.
    Paused,
    /// The run goes on.
    Resumed,
    /// The run has ended; the model stays.
    Finished {
        /// Steps done.
        steps: usize,
        /// Whether it ended before its planned steps, by [`Command::Stop`].
        stopped: bool,
        /// Wall time of the run.
        elapsed: Duration,
    },
    /// How far picking has come, 0 to 1.
    Picking {
        /// The tomogram.
        tomogram: TomogramId,
        /// Share done.
        fraction: f32,
    },
    /// A tomogram has been picked.
    Picked(Arc<PickSet>),
    /// A model file has been read.
    ModelLoaded {
        /// The file.
        path: PathBuf,
        /// Its classes.
        classes: Vec<Class>,
        /// Spacing that it was trained at.
        spacing_angstrom: f64,
    },
    /// The model has been written.
    ModelSaved(PathBuf),
    /// Something that the user should know, though nothing failed.
    Note(String),
    /// A request or a run failed; the thread is alive again and the labels are untouched.
    Failed(String),
}
