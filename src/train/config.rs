//! Settings of a run: the network, the method, and how it is trained.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::NetworkConfig;

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

/// Radius of the smallest class, in voxels, from which on a heatmap has [`COARSE`] voxels a cell: its Gaussian's deviation is then 0.69
/// cells, and picks are as good and sooner there. Measured in `docs/results.md`, "Output stride".
const COARSE_FROM: f64 = 5.5;
/// The coarser output stride.
const COARSE: usize = 4;

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
    /// Voxels per output cell along each axis; the U-Nets and pyramids have 2 and 4, the V-Nets 1. `None`: the network's own, or 4 where
    /// every class is large enough for it and the network has it, see [`TrainConfig::network`].
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

    /// The network of the run, with an output for each class, and the background's of [`Detector::Segmentation`]; `smallest_radius` is that
    /// of the smallest class in the model's voxels. `None` where it does not have the output stride asked for.
    pub fn network(&self, classes: usize, smallest_radius: f64) -> Option<NetworkConfig> {
        let network = NetworkConfig::preset(self.preset, self.detector.channels(classes));
        match self.output_stride {
            Some(stride) => network.with_output_stride(stride),
            None if self.detector == Detector::Heatmap && smallest_radius >= COARSE_FROM => {
                Some(network.clone().with_output_stride(COARSE).unwrap_or(network))
            }
            None => Some(network),
        }
    }
}
