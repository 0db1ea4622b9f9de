//! One training run, step by step.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use super::config::{Detector, SegmentationLoss, TrainConfig};
use super::cotrain::{background_below, consistency_weight};
use super::crops::{Batch, Drawer, Unlabelled};
use super::data::{DataError, TrainingData};
use super::optimiser::Learner;
use super::protocol::{Stage, TrainingSet};
use super::run_file::RunFile;
use super::schedule::{average_decay, learning_rate, rivals_weight};
use crate::model::{
    Checkpoint, CheckpointError, DeviceError, ModelMetadata, Selected, class_weights, expected_squared_error, rival_error,
    select, tversky, weighted_cross_entropy, weighted_squared_error,
};
use crate::pick::{PickError, Picker, PredictOptions, held_out_f1, mean_of_views, supervised_thresholds};
use crate::volume::VolumeError;

/// Why an output stride is refused.
const NO_STRIDE: &str = "this network does not have that output stride; compact, resnet34, fpn and fpn-compact have 2 and 4, vnet and vnet-compact have 1";

/// Largest number of batches that are drawn ahead.
const MOST_AHEAD: usize = 6;
/// Views of the unlabelled crops that go through the teacher together.
const VIEWS_AT_ONCE: usize = 4;

/// The losses of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoss {
    /// On labelled crops.
    pub supervised: f32,
    /// Between student and teacher on unlabelled crops, before its weight; `None` during burn-in.
    pub consistency: Option<f32>,
    /// Root mean square of the difference between the student's and the teacher's maps of the unlabelled crops; `None` during
    /// burn-in.
    pub difference: Option<f32>,
}

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The data do not serve.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A tomogram cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The device is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
    /// The classes changed during the run.
    #[error("a class was added or removed: training starts anew with the classes as they are now when you press Train")]
    ClassesChanged,
    /// The loss is not a number any more.
    #[error(
        "training diverged at step {step} (the loss is {loss}); use a smaller learning rate, and check that the tomograms hold no extreme values"
    )]
    Diverged {
        /// The step.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// The checkpoint of a run cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of a run on other classes.
    #[error("this run learnt other classes, or in another order; resume it with its own classes: {0}")]
    OtherClasses(PathBuf),
    /// Thresholds could not be chosen.
    #[error(transparent)]
    Pick(#[from] PickError),
}

/// A run: the network being trained with its average and optimiser, and the data.
pub struct Trainer {
    config: TrainConfig,
    device: Selected,
    learner: Learner,
    drawer: Drawer,
    data: Arc<TrainingData>,
    metadata: ModelMetadata,
    step: usize,
}

impl Trainer {
    /// Checks the settings, prepares the data and draws fresh weights.
    ///
    /// # Errors
    /// When a setting or the data do not serve, or when the device is not there.
    pub fn new(config: TrainConfig, set: &TrainingSet) -> Result<Self, TrainError> {
        let network = |smallest_radius| {
            let network = config.network(set.classes.len(), smallest_radius);
            network.ok_or_else(|| TrainError::Setting(NO_STRIDE.to_owned()))
        };
        // Settings are checked before the data are read, which takes long; the output stride does not alter what a crop must be.
        check(&config, network(0.0)?.total_stride())?;
        let device = select(config.device)?;
        let data = TrainingData::new(set, None, None)?;
        let network_config = network(data.radii_voxels().iter().copied().fold(f64::INFINITY, f64::min))?;
        let network = network_config.init(config.seed, &device.device.clone().autodiff());
        let metadata = ModelMetadata::new(network_config, data.classes().to_vec(), data.spacing_angstrom(), config.crop);
        let metadata = ModelMetadata { detector: config.detector, ..metadata };
        let drawer = Drawer::start(&config, metadata.network.output_stride(), drawn_ahead(&device));
        Ok(Self { config, device, learner: Learner::new(network), drawer, data: Arc::new(data), metadata, step: 0 })
    }

    /// Goes on from the checkpoint of a run, with its step, optimiser, average and random state. `config` may change the length of
    /// the stages, the method and the weights of the losses; the network, its crops and the seed stay those of the run.
    ///
    /// # Errors
    /// When the file does not serve, when the classes are not those of the run, and as [`Trainer::new`].
    pub fn resume(path: &Path, config: TrainConfig, set: &TrainingSet) -> Result<Self, TrainError> {
        let run = RunFile::read(path)?;
        let same_names = run.metadata.classes.len() == set.classes.len()
            && run.metadata.classes.iter().zip(&set.classes).all(|(a, b)| a.name == b.name);
        if !same_names {
            return Err(TrainError::OtherClasses(path.to_owned()));
        }
        let config = TrainConfig {
            preset: run.config.preset,
            output_stride: run.config.output_stride,
            detector: run.config.detector,
            crop: run.config.crop,
            seed: run.config.seed,
            ..config
        };
        let network_config = run.metadata.network.clone();
        check(&config, network_config.total_stride())?;
        let device = select(config.device)?;
        let data = TrainingData::new(set, Some(run.metadata.spacing_angstrom), None)?;
        let network = network_config.init(config.seed, &device.device.clone().autodiff());
        let step = run.metadata.steps;
        let learner = Learner::recall(network, run.memory, step, &device.device)
            .map_err(|fault| CheckpointError::Weights { fault, path: path.to_owned() })?;
        let metadata = ModelMetadata { classes: data.classes().to_vec(), ..run.metadata };
        let drawer = Drawer::start(&config, metadata.network.output_stride(), drawn_ahead(&device));
        Ok(Self { config, device, learner, drawer, data: Arc::new(data), metadata, step })
    }

    /// Writes everything that [`Trainer::resume`] needs: whole or not at all.
    ///
    /// # Errors
    /// When the file system refuses; an existing file is then unchanged.
    pub fn save_run(&self, path: &Path) -> Result<(), CheckpointError> {
        RunFile { config: self.config.clone(), metadata: self.metadata.clone(), memory: self.learner.memory() }.write(path)
    }

    /// Takes over changed labels, regions and tomograms. The network, its optimiser and the step stay.
    ///
    /// # Errors
    /// [`TrainError::ClassesChanged`] when the classes are not those of the run, or when the new data do not serve; the run can
    /// go on with its former data.
    pub fn update(&mut self, set: &TrainingSet) -> Result<(), TrainError> {
        let ids = |classes: &[crate::labels::Class]| classes.iter().map(|class| class.id).collect::<Vec<_>>();
        if ids(&set.classes) != ids(self.data.classes()) {
            return Err(TrainError::ClassesChanged);
        }
        self.data = Arc::new(TrainingData::new(set, Some(self.data.spacing_angstrom()), Some(&self.data))?);
        self.metadata.classes = self.data.classes().to_vec();
        Ok(())
    }

    /// Trains one step and returns its losses.
    ///
    /// Burn-in learns from labelled crops alone. Co-training adds, with a weight that ramps up, the same loss between the student on
    /// a strongly augmented unlabelled crop and the map of the teacher, the averaged network, on the crop itself
    /// (arXiv 2510.22454, section 2). Everything random of step `n` comes from the seed and `n` alone.
    ///
    /// # Errors
    /// When a tomogram cannot be read, or when the loss is no number any more.
    pub fn step(&mut self) -> Result<StepLoss, TrainError> {
        let mut batch = self.drawer.batch(&self.data, self.step, self.last_step())?;
        let known = batch.known();
        let [voxels, heatmap, weight] = self.tensors(&mut batch);
        let prediction = self.learner.network().forward(voxels);
        let mut loss = self.supervised_loss(prediction, heatmap, weight);
        // What is reported is read at once, since a GPU must be waited for each time.
        let mut said = vec![loss.clone().without_autodiff()];
        if let Some(crops) = batch.unlabelled {
            let into = self.step.saturating_sub(self.config.steps);
            let weight = consistency_weight(into, self.config.ramp, self.config.consistency, known);
            let (consistency, difference) = self.consistency(crops);
            said.extend([consistency.clone().without_autodiff(), difference]);
            loss = loss + consistency.mul_scalar(weight);
        }
        let said: Vec<f32> = Tensor::cat(said, 0).into_data().iter::<f32>().collect();
        if let Some(loss) = said.iter().find(|value| !value.is_finite()) {
            return Err(TrainError::Diverged { step: self.step, loss: *loss });
        }
        let value = StepLoss {
            supervised: said[0],
            consistency: said.get(1).copied(),
            difference: said.get(2).map(|square| square.sqrt()),
        };
        let gradients = GradientsParams::from_grads(loss.backward(), self.learner.network());
        let rate = learning_rate(self.step, self.steps_planned(), self.config.learning_rate);
        self.learner.step(gradients, rate, average_decay(self.step, self.config.ema));
        self.step += 1;
        self.metadata.steps = self.step;
        Ok(value)
    }

    /// The loss of the detector's kind on labelled crops.
    fn supervised_loss(&self, prediction: Tensor<5>, target: Tensor<5>, weight: Tensor<5>) -> Tensor<1> {
        match (self.config.detector, self.config.segmentation_loss) {
            (Detector::Heatmap, _) => {
                let rivals = rivals_weight(self.step, self.steps_planned(), self.config.rivals);
                let error = weighted_squared_error(prediction.clone(), target.clone(), weight.clone(), self.config.alpha);
                if rivals > 0.0 { error + rival_error(prediction, target, weight).mul_scalar(rivals) } else { error }
            }
            (Detector::Segmentation, SegmentationLoss::CrossEntropy) => {
                let rarity = class_weights(target.clone(), weight.clone());
                weighted_cross_entropy(prediction, target, weight, rarity)
            }
            (Detector::Segmentation, SegmentationLoss::Tversky) => tversky(prediction, target, weight),
        }
    }

    /// The loss between the student on what it is shown of unlabelled crops and the teacher's maps of them, without their background,
    /// and the mean square of their difference.
    fn consistency(&self, crops: Unlabelled) -> (Tensor<1>, Tensor<1>) {
        let (batch, edge, classes) = (self.config.batch, self.config.crop, self.data.classes().len());
        let (plain, device) = (&self.device.device, self.device.device.clone().autodiff());
        let (views, margin) = (self.config.has_views(), self.metadata.network.output_stride() - 1);
        let outer = edge + margin;
        let mut seen = Tensor::<5>::from_data(TensorData::new(crops.padded, [batch, 1, outer, outer, outer]), plain);
        if !views {
            let inner = margin..outer;
            seen = seen.slice([0..batch, 0..1, inner.clone(), inner.clone(), inner]);
        }
        let teacher = mean_of_views(self.learner.average(), &seen, views, self.config.detector, VIEWS_AT_ONCE);
        let background = background_below(self.config.background, self.config.alpha);
        let is_background = teacher.clone().lower_scalar(background);
        let target = Tensor::from_inner(teacher.mask_fill(is_background, 0.0).clamp_max(1.0));
        let input = Tensor::<5>::from_data(TensorData::new(crops.shown, [batch, 1, edge, edge, edge]), &device);
        // Known everywhere, and the classes evened out as on the labels: it is the same loss.
        let shares = self.data.class_shares(self.config.balance);
        let shares = Tensor::<5>::from_data(TensorData::new(shares, [1, classes, 1, 1, 1]), &device);
        let everywhere = Tensor::ones_like(&target) * shares;
        let map = self.learner.network().forward(input);
        let apart = map.clone().inner() - target.clone().inner();
        (expected_squared_error(map, target, everywhere, self.config.alpha), (apart.clone() * apart).mean())
    }

    /// A batch on the device: voxels `[n, 1, z, y, x]`, targets and weights `[n, classes, z/s, y/s, x/s]`, `s` the output stride.
    fn tensors(&self, batch: &mut Batch) -> [Tensor<5>; 3] {
        let device = self.device.device.clone().autodiff();
        let (count, edge, [z, y, x]) = (self.config.batch, self.config.crop, batch.cells);
        let tensor = |values: &mut Vec<f32>, [z, y, x]: [usize; 3]| {
            let channels = values.len() / (count * z * y * x);
            Tensor::from_data(TensorData::new(std::mem::take(values), [count, channels, z, y, x]), &device)
        };
        [tensor(&mut batch.voxels, [edge; 3]), tensor(&mut batch.heatmap, [z, y, x]), tensor(&mut batch.weight, [z, y, x])]
    }

    /// The stage of the next step.
    pub fn stage(&self) -> Stage {
        let cotrains = self.steps_planned() > self.config.steps;
        match (cotrains, self.config.is_cotraining(self.step)) {
            (false, _) => Stage::Supervised,
            (true, false) => Stage::BurnIn,
            (true, true) => Stage::CoTraining,
        }
    }

    /// The step after which the run ends.
    pub fn last_step(&self) -> usize {
        self.steps_planned().min(self.config.stop_after.unwrap_or(usize::MAX))
    }

    /// Steps planned: burn-in, and co-training where there is something unlabelled.
    pub fn steps_planned(&self) -> usize {
        let cotrains = self.config.is_cotraining(self.config.steps) && self.data.has_unlabelled();
        self.config.steps + if cotrains { self.config.cotrain_steps } else { 0 }
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Changes where the run's checkpoint is written.
    pub fn keep_run_at(&mut self, path: PathBuf) {
        self.config.checkpoint = Some(path);
    }

    /// The device.
    pub fn device(&self) -> &Selected {
        &self.device
    }

    /// The data.
    pub fn data(&self) -> &TrainingData {
        &self.data
    }

    /// Number of trainable parameters.
    pub fn parameters(&self) -> usize {
        self.learner.network().num_params()
    }

    /// The averaged network, which picks.
    pub fn picker(&self) -> Picker<'_> {
        Picker { metadata: &self.metadata, network: self.learner.average(), device: &self.device.device }
    }

    /// Chooses the thresholds on the labelled data, and carries them over to the unlabelled tomograms.
    /// `progress` hears the share done and may end it. Returns whether thresholds were chosen: they stay as they were when it ended before
    /// the labelled tomograms were through, and suit these when it ended later.
    ///
    /// # Errors
    /// When a tomogram cannot be read.
    pub fn choose_thresholds(&mut self, progress: impl FnMut(f32) -> ControlFlow<()>) -> Result<bool, TrainError> {
        let options = PredictOptions::default();
        match supervised_thresholds(&self.picker(), &self.data, &options, self.config.carry_thresholds, progress)? {
            Some(chosen) => {
                self.metadata.thresholds = chosen.f1;
                self.metadata.recall_thresholds = chosen.f4;
                self.metadata.held_out = chosen.held_out;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Mean over the classes of the best F1 on the labels that are held out of training; `None` when there are too few of them, or
    /// `progress` ended it.
    ///
    /// # Errors
    /// When a tomogram cannot be read.
    pub fn held_out_f1(&self, progress: impl FnMut(f32) -> ControlFlow<()>) -> Result<Option<f32>, TrainError> {
        let scores = held_out_f1(&self.picker(), &self.data, &PredictOptions::default(), progress)?;
        let scores: Vec<f64> = scores.unwrap_or_default().into_iter().flatten().collect();
        Ok((!scores.is_empty()).then(|| (scores.iter().sum::<f64>() / scores.len() as f64) as f32))
    }

    /// The model as it stands: the averaged weights.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { metadata: self.metadata.clone(), network: self.learner.average().clone() }
    }
}

/// Batches to draw ahead: one where the network takes the processor itself, more where it waits for a GPU, which is faster than a thread
/// that draws.
fn drawn_ahead(device: &Selected) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if device.is_gpu { (cores / 2).clamp(1, MOST_AHEAD) } else { 1 }
}

fn check(config: &TrainConfig, multiple: usize) -> Result<(), TrainError> {
    let fault = match () {
        () if config.steps == 0 => "the number of steps must be at least 1".to_owned(),
        () if config.batch == 0 || config.batch > 64 => format!("a batch of {} does not serve; use 1 to 64", config.batch),
        () if config.crop == 0 || !config.crop.is_multiple_of(multiple) || config.crop > 512 => {
            format!("a crop of {} voxels does not serve; use a multiple of {multiple} up to 512", config.crop)
        }
        () if !(config.learning_rate.is_finite() && config.learning_rate > 0.0) => {
            format!("a learning rate of {} does not serve; use a positive number such as 0.001", config.learning_rate)
        }
        () if !(0.0..1.0).contains(&config.drop_block) => {
            format!("a dropped share of {} does not serve; use 0 to below 1", config.drop_block)
        }
        () if !(0.0..1.0).contains(&config.ema) => {
            format!("a decay of {} does not serve; use 0 to below 1, such as 0.99", config.ema)
        }
        () if !(config.alpha.is_finite() && config.alpha >= 0.0) => {
            format!("an alpha of {} does not serve; use 0 or more, such as 0.25", config.alpha)
        }
        () if !(config.rivals.is_finite() && config.rivals >= 0.0) => {
            format!("a weight of rivals of {} does not serve; use 0 or more, such as 0.3", config.rivals)
        }
        () if !(0.0..=2.0).contains(&config.balance) => {
            format!("a balance of {} does not serve; use 0 to 2", config.balance)
        }
        () if !(0.0..=0.5).contains(&config.background) => {
            format!("a background probability of {} does not serve; use 0 to 0.5, such as 0.05", config.background)
        }
        () if !(config.consistency.is_finite() && config.consistency >= 0.0) => {
            format!("a consistency weight of {} does not serve; use 0 or more", config.consistency)
        }
        () if config.detector == Detector::Segmentation && config.cotrain_steps > 0 => {
            "segmentation learns from labelled crops alone; set the steps of co-training to 0, or use the heatmap detector"
                .to_owned()
        }
        () => return Ok(()),
    };
    Err(TrainError::Setting(fault))
}
