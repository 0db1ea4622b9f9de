//! What a front end says to the training thread and what it hears back.
//!
//! The window and the command line use the same [`Command`]s and [`Event`]s. Heatmaps are large, so they never travel in the
//! queue: the newest lies in a latest-value slot, and an event says that it is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// The size of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 1.5 million parameters; for CPUs and live training.
    #[default]
    Compact,
    /// The ResNet-34 encoder of the paper.
    #[value(name = "resnet34")]
    ResNet34,
}

/// Settings of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// The network.
    pub preset: Preset,
    /// Optimiser steps on labelled crops alone: burn-in, when co-training follows.
    pub steps: usize,
    /// Further steps of co-training with unlabelled crops; none when there is nothing unlabelled.
    pub cotrain_steps: usize,
    /// Whether the teacher's map is the mean over the crop and its three flips.
    pub multi_view: bool,
    /// Share of an unlabelled crop's voxels that the student does not see.
    pub drop_block: f64,
    /// Weight of the consistency loss beside the supervised one.
    pub consistency: f64,
    /// Edge of a cubic crop, in voxels; a multiple of the network's total stride.
    pub crop: usize,
    /// Crops per step.
    pub batch: usize,
    /// Peak learning rate of Adam.
    pub learning_rate: f64,
    /// Alpha of the reweighted squared error.
    pub alpha: f64,
    /// Decay of the exponential moving average of the weights, per step.
    pub ema: f64,
    /// Seed of everything random; the same seed on the same device gives the same run.
    pub seed: u64,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Seconds of training between two refreshes of the live view; `None`: no live view.
    pub live_view_secs: Option<f64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            preset: Preset::Compact,
            steps: 600,
            cotrain_steps: 0,
            multi_view: true,
            drop_block: 0.1,
            consistency: 1.0,
            crop: 64,
            batch: 2,
            learning_rate: 1e-3,
            alpha: 0.25,
            ema: 0.99,
            seed: 0,
            device: DeviceChoice::Auto,
            live_view_secs: None,
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
    /// Labels, regions or tomograms have changed; a run in progress continues with them from its next step. The classes'
    /// number must stay as it was: otherwise the run fails with a message.
    UpdateSet(TrainingSet),
    /// Halt after the current step.
    Pause,
    /// Go on after a pause.
    Resume,
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

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps planned, burn-in and co-training together.
    pub steps: usize,
    /// Supervised loss of the latest step.
    pub loss: f32,
    /// Consistency loss of the latest step; `None` during burn-in.
    pub consistency_loss: Option<f32>,
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
    /// Peak height of the heatmap, about 0 to 1.
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
