//! What a front end says to the training thread and what it hears back.
//!
//! The window and the command line use the same [`Command`]s and [`Event`]s. Heatmaps are large, so they never travel in the
//! queue: the newest lies in a latest-value slot, and an event says that it is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::labels::{Class, TomogramId, TomogramLabels};
use crate::model::NetworkConfig;
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

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// A real GPU when there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A real GPU; an error when there is none.
    Gpu,
}

/// The network and its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 1.5 million parameters; for CPUs and live training.
    #[default]
    Compact,
    /// The ResNet-34 encoder of the paper.
    #[value(name = "resnet34")]
    ResNet34,
    /// The V-Net at full resolution, in the size of its paper.
    #[value(name = "vnet")]
    VNet,
    /// A V-Net that a CPU can train.
    #[serde(rename = "vnet-compact")]
    #[value(name = "vnet-compact")]
    VNetCompact,
    /// The feature pyramid network over the ResNet-34 encoder.
    Fpn,
    /// A feature pyramid network over the encoder of `compact`.
    #[serde(rename = "fpn-compact")]
    FpnCompact,
}

impl Preset {
    /// All presets, in the order in which they are offered.
    pub const ALL: [Self; 6] = [Self::Compact, Self::ResNet34, Self::VNet, Self::VNetCompact, Self::Fpn, Self::FpnCompact];
}

/// What a run learns from, besides the labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Nothing: labelled crops alone.
    Supervised,
    /// Unlabelled crops through an averaged teacher that sees one view (Tarvainen and Valpola, arXiv 1703.01780).
    MeanTeacher,
    /// The same with multi-view pseudo-labels and DropBlock (arXiv 2510.22454).
    #[default]
    Semi,
}

/// Seconds between two checkpoints of a run; more where writing one would take more than a fiftieth of them.
pub const CHECKPOINT_EVERY_SECS: f64 = 120.0;

/// What the network's output means, and so how it is taught and how particles are found in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// A heatmap a class; its peaks are the picks (arXiv 2510.22454).
    #[default]
    Heatmap,
    /// A mask of all classes and the background; the centroids of its connected components are the picks (DeepFinder, Moebel et
    /// al. 2021).
    Segmentation,
}

/// The loss of [`Detector::Segmentation`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SegmentationLoss {
    /// Softmax cross-entropy; rare classes weigh more.
    #[default]
    CrossEntropy,
    /// Overlap of the masks; missed cells weigh more than superfluous ones.
    Tversky,
}

/// Settings of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainConfig {
    /// The network.
    pub preset: Preset,
    /// What is learnt besides the labels.
    pub method: Method,
    /// Voxels per output cell along each axis: `None` for the network's own; the U-Nets and pyramids have 2 (their own) and 4.
    #[serde(default)]
    pub output_stride: Option<usize>,
    /// What the network's output means.
    pub detector: Detector,
    /// The loss, with [`Detector::Segmentation`].
    pub segmentation_loss: SegmentationLoss,
    /// Optimiser steps on labelled crops alone: burn-in, when co-training follows.
    pub steps: usize,
    /// Further steps of co-training with unlabelled crops; none when nothing is unlabelled or the method is supervised.
    pub cotrain_steps: usize,
    /// Whether the teacher's map is the mean over the crop and its three flips; [`Method::Semi`] alone heeds it.
    pub multi_view: bool,
    /// Share of an unlabelled crop's voxels that the student does not see; [`Method::Semi`] alone heeds it.
    pub drop_block: f64,
    /// Whether thresholds are carried over from complete regions to the unlabelled tomograms, by whatever method.
    pub carry_thresholds: bool,
    /// Weight of the consistency loss beside the supervised one, cell by cell.
    pub consistency: f64,
    /// Where the teacher's map means a particle with less than this probability, the student is taught background; 0: it is taught
    /// the map as it is.
    pub background: f64,
    /// Steps of co-training over which that weight rises from nothing.
    pub ramp: usize,
    /// Edge of a cubic crop, in voxels; a multiple of the network's total stride.
    pub crop: usize,
    /// Crops per step.
    pub batch: usize,
    /// Peak learning rate of Adam.
    pub learning_rate: f64,
    /// Alpha of the reweighted squared error.
    pub alpha: f64,
    /// How far the classes' shares of the error are evened out: a class weighs as its Gaussian's volume to the power of minus this.
    /// 0: each cell counts alike, so that large particles dominate; 1: each particle does.
    pub balance: f64,
    /// How much more an answer at another class's particle counts than one in the background, in the second half of the run
    /// and not before step 600.
    pub rivals: f64,
    /// Decay of the exponential moving average of the weights, per step.
    pub ema: f64,
    /// Seed of everything random; the same seed on the same device gives the same run.
    pub seed: u64,
    /// Where to compute.
    pub device: DeviceChoice,
    /// The step after which the run ends though more are planned, to be resumed from its checkpoint later.
    pub stop_after: Option<usize>,
    /// Where a checkpoint of the run is written, about every [`CHECKPOINT_EVERY_SECS`] seconds and at its end.
    pub checkpoint: Option<PathBuf>,
    /// Seconds of training between two refreshes of the live view; `None`: no live view.
    pub live_view_secs: Option<f64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            preset: Preset::Compact,
            method: Method::Semi,
            output_stride: None,
            detector: Detector::Heatmap,
            segmentation_loss: SegmentationLoss::CrossEntropy,
            steps: 600,
            cotrain_steps: 0,
            multi_view: true,
            drop_block: 0.1,
            carry_thresholds: true,
            consistency: 1.0,
            background: 0.05,
            ramp: 50,
            crop: 64,
            batch: 2,
            learning_rate: 2e-3,
            alpha: 0.1,
            balance: 0.5,
            rivals: 0.3,
            ema: 0.99,
            seed: 0,
            device: DeviceChoice::Auto,
            stop_after: None,
            checkpoint: None,
            live_view_secs: None,
        }
    }
}

impl TrainConfig {
    /// Whether the teacher's map is the mean over views.
    pub fn has_views(&self) -> bool {
        self.method == Method::Semi && self.multi_view
    }

    /// Share of the voxels that DropBlock hides from the student.
    pub fn dropped(&self) -> f64 {
        if self.method == Method::Semi { self.drop_block } else { 0.0 }
    }

    /// Whether a step, counted from 0, learns from unlabelled crops too, where there are any.
    pub fn is_cotraining(&self, step: usize) -> bool {
        self.method != Method::Supervised && step >= self.steps
    }

    /// The network of the run for `classes` classes; `None` where it does not have the output stride asked for.
    pub fn network(&self, classes: usize) -> Option<NetworkConfig> {
        let network = NetworkConfig::preset(self.preset, classes);
        match self.output_stride {
            Some(stride) => network.with_output_stride(stride),
            None => Some(network),
        }
    }
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
