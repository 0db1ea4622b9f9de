//! One training run, step by step.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use super::cotrain::consistency_weight;
use super::crops::{Batch, Drawer, Unlabelled, without_margin};
use super::data::{DataError, TrainingData};
use super::optimiser::Learner;
use super::protocol::{Detector, SegmentationLoss, TrainConfig, TrainingSet};
use super::schedule::{average_decay, learning_rate};
use crate::model::{
    Checkpoint, DeviceError, ModelMetadata, NetworkConfig, OUTPUT_STRIDE, Selected, class_weights, select, tversky,
    weighted_cross_entropy, weighted_squared_error,
};
use crate::pick::{PickError, Picker, PredictOptions, mean_of_views, supervised_thresholds};
use crate::volume::VolumeError;

/// Steps over which the consistency loss comes in.
const RAMP: usize = 50;

/// The losses of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoss {
    /// On labelled crops.
    pub supervised: f32,
    /// Between student and teacher on unlabelled crops, before its weight; `None` during burn-in.
    pub consistency: Option<f32>,
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
        let network_config = NetworkConfig::preset(config.preset, config.detector.channels(set.classes.len()));
        let multiple = network_config.total_stride();
        check(&config, multiple)?;
        let device = select(config.device)?;
        let data = TrainingData::new(set, None, None)?;
        let network = network_config.init(config.seed, &device.device.clone().autodiff());
        let metadata = ModelMetadata::new(network_config, data.classes().to_vec(), data.spacing_angstrom(), config.crop);
        let metadata = ModelMetadata { detector: config.detector, ..metadata };
        let drawer = Drawer::start(&config);
        Ok(Self { config, device, learner: Learner::new(network), drawer, data: Arc::new(data), metadata, step: 0 })
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
        let ahead = self.step + 1 < self.steps_planned();
        let mut batch = self.drawer.batch(&self.data, self.step, ahead)?;
        let [voxels, heatmap, weight] = self.tensors(&mut batch);
        let prediction = self.learner.network().forward(voxels);
        let mut loss = self.supervised_loss(prediction, heatmap, weight);
        let mut value = StepLoss { supervised: loss.clone().into_scalar::<f32>(), consistency: None };
        if let Some(crops) = batch.unlabelled {
            let into = self.step.saturating_sub(self.config.steps);
            let weight = consistency_weight(into, RAMP, self.config.consistency);
            let consistency = self.consistency(crops);
            value.consistency = Some(consistency.clone().into_scalar::<f32>());
            loss = loss + consistency.mul_scalar(weight);
        }
        let worst = value.supervised.max(value.consistency.unwrap_or(0.0));
        if !(value.supervised + value.consistency.unwrap_or(0.0)).is_finite() {
            return Err(TrainError::Diverged { step: self.step, loss: worst });
        }
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
            (Detector::Heatmap, _) => weighted_squared_error(prediction, target, weight, self.config.alpha),
            (Detector::Segmentation, SegmentationLoss::CrossEntropy) => {
                let rarity = class_weights(target.clone(), weight.clone());
                weighted_cross_entropy(prediction, target, weight, rarity)
            }
            (Detector::Segmentation, SegmentationLoss::Tversky) => tversky(prediction, target, weight),
        }
    }

    /// The loss between the student on what it is shown of unlabelled crops and the teacher's maps of them.
    fn consistency(&self, crops: Unlabelled) -> Tensor<1> {
        let (batch, edge, classes) = (self.config.batch, self.config.crop, self.data.classes().len());
        let plain = &self.device.device;
        let mut taught = Vec::new();
        for padded in &crops.padded {
            let teacher = match self.config.multi_view {
                true => mean_of_views(self.learner.average(), plain, padded, [edge; 3], true, self.config.detector),
                false => {
                    let crop = without_margin(padded, edge);
                    mean_of_views(self.learner.average(), plain, &crop, [edge; 3], false, self.config.detector)
                }
            };
            taught.extend(teacher.into_iter().map(|value| value.clamp(0.0, 1.0)));
        }
        let device = plain.clone().autodiff();
        let cells = edge.div_ceil(OUTPUT_STRIDE);
        let input = Tensor::<5>::from_data(TensorData::new(crops.shown, [batch, 1, edge, edge, edge]), &device);
        let target = Tensor::from_data(TensorData::new(taught, [batch, classes, cells, cells, cells]), &device);
        let everywhere = Tensor::ones_like(&target);
        weighted_squared_error(self.learner.network().forward(input), target, everywhere, self.config.alpha)
    }

    /// A batch on the device: voxels `[n, 1, z, y, x]`, targets and weights `[n, channels, z/2, y/2, x/2]`, with as many channels as
    /// the detector teaches.
    fn tensors(&self, batch: &mut Batch) -> [Tensor<5>; 3] {
        let device = self.device.device.clone().autodiff();
        let (count, edge, [z, y, x]) = (self.config.batch, self.config.crop, batch.cells);
        let tensor = |values: &mut Vec<f32>, [z, y, x]: [usize; 3]| {
            let channels = values.len() / (count * z * y * x);
            Tensor::from_data(TensorData::new(std::mem::take(values), [count, channels, z, y, x]), &device)
        };
        [tensor(&mut batch.voxels, [edge; 3]), tensor(&mut batch.heatmap, [z, y, x]), tensor(&mut batch.weight, [z, y, x])]
    }

    /// Steps planned: burn-in, and co-training where there is something unlabelled.
    pub fn steps_planned(&self) -> usize {
        let cotrain = if self.data.has_unlabelled() { self.config.cotrain_steps } else { 0 };
        self.config.steps + cotrain
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
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

    /// Chooses the thresholds on the labelled data. Returns whether it was carried through (`progress` may end it).
    ///
    /// # Errors
    /// When a tomogram cannot be read.
    pub fn choose_thresholds(&mut self, progress: impl FnMut(f32) -> ControlFlow<()>) -> Result<bool, TrainError> {
        let options = PredictOptions::default();
        match supervised_thresholds(&self.picker(), &self.data, &options, progress)? {
            Some(thresholds) => {
                self.metadata.thresholds = thresholds;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The model as it stands: the averaged weights.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { metadata: self.metadata.clone(), network: self.learner.average().clone() }
    }
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
