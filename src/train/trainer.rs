//! One training run, step by step.

use std::ops::ControlFlow;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::augment::change_intensity;
use super::cotrain::{consistency_weight, drop_blocks};
use super::data::{DataError, TrainingData};
use super::protocol::{TrainConfig, TrainingSet};
use super::schedule::{average_decay, learning_rate};
use crate::model::{
    Checkpoint, DeviceError, ModelMetadata, Network, NetworkConfig, OUTPUT_STRIDE, Selected, blend, select,
    weighted_squared_error,
};
use crate::pick::{PickError, Picker, PredictOptions, mean_of_views, supervised_thresholds};
use crate::volume::VolumeError;

/// Largest norm of all gradients together.
const LARGEST_NORM: f64 = 1.0;
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

/// A run: the network being trained, its average, the optimiser and the data.
pub struct Trainer {
    config: TrainConfig,
    device: Selected,
    network: Network,
    average: Network,
    optimiser: ModuleOptimizer,
    data: TrainingData,
    metadata: ModelMetadata,
    step: usize,
}

impl Trainer {
    /// Checks the settings, prepares the data and draws fresh weights.
    ///
    /// # Errors
    /// When a setting or the data do not serve, or when the device is not there.
    pub fn new(config: TrainConfig, set: &TrainingSet) -> Result<Self, TrainError> {
        let network_config = NetworkConfig::preset(config.preset, set.classes.len());
        let multiple = network_config.total_stride();
        check(&config, multiple)?;
        let device = select(config.device)?;
        let data = TrainingData::new(set, None, None)?;
        let network = network_config.init(config.seed, &device.device.clone().autodiff());
        let average = network.valid();
        let metadata = ModelMetadata::new(network_config, data.classes().to_vec(), data.spacing_angstrom(), config.crop);
        let optimiser = AdamConfig::new().with_epsilon(1e-8).init();
        Ok(Self { config, device, network, average, optimiser, data, metadata, step: 0 })
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
        self.data = TrainingData::new(set, Some(self.data.spacing_angstrom()), Some(&self.data))?;
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
        let mut random = ChaCha8Rng::seed_from_u64(self.config.seed);
        random.set_stream(self.step as u64 + 1);
        let (voxels, heatmap, weight) = self.batch(&mut random)?;
        let prediction = self.network.forward(voxels);
        let mut loss = weighted_squared_error(prediction, heatmap, weight, self.config.alpha);
        let mut value = StepLoss { supervised: loss.clone().into_scalar::<f32>(), consistency: None };
        if let Some(into) = self.cotraining() {
            let weight = consistency_weight(into, RAMP, self.config.consistency);
            let consistency = self.consistency(&mut random)?;
            value.consistency = Some(consistency.clone().into_scalar::<f32>());
            loss = loss + consistency.mul_scalar(weight);
        }
        let worst = value.supervised.max(value.consistency.unwrap_or(0.0));
        if !(value.supervised + value.consistency.unwrap_or(0.0)).is_finite() {
            return Err(TrainError::Diverged { step: self.step, loss: worst });
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        let gradients = clip_norm(gradients, &self.network, LARGEST_NORM);
        let rate = learning_rate(self.step, self.steps_planned(), self.config.learning_rate);
        let network = self.network.clone();
        self.network = self.optimiser.step(rate, network, gradients);
        let decay = average_decay(self.step, self.config.ema);
        self.average = blend(self.average.clone(), &self.network, decay);
        self.step += 1;
        self.metadata.steps = self.step;
        Ok(value)
    }

    /// Steps into co-training, once it has begun.
    fn cotraining(&self) -> Option<usize> {
        self.step.checked_sub(self.config.steps).filter(|_| self.data.has_unlabelled())
    }

    /// The loss between the student on what it is shown of unlabelled crops and the teacher's maps of them.
    fn consistency(&self, random: &mut ChaCha8Rng) -> Result<Tensor<1>, VolumeError> {
        let (batch, edge, classes) = (self.config.batch, self.config.crop, self.data.classes().len());
        let plain = &self.device.device;
        let (mut seen, mut taught) = (Vec::new(), Vec::new());
        for _ in 0..batch {
            let padded = self.data.sample_unlabelled(edge, random)?;
            let mut shown = without_margin(&padded, edge);
            let teacher = match self.config.multi_view {
                true => mean_of_views(&self.average, plain, &padded, [edge; 3], true),
                false => mean_of_views(&self.average, plain, &shown, [edge; 3], false),
            };
            taught.extend(teacher.into_iter().map(|value| value.clamp(0.0, 1.0)));
            change_intensity(&mut shown, random);
            drop_blocks(&mut shown, edge, self.config.drop_block, random);
            seen.extend(shown);
        }
        let device = plain.clone().autodiff();
        let cells = edge.div_ceil(OUTPUT_STRIDE);
        let input = Tensor::<5>::from_data(TensorData::new(seen, [batch, 1, edge, edge, edge]), &device);
        let target = Tensor::from_data(TensorData::new(taught, [batch, classes, cells, cells, cells]), &device);
        let everywhere = Tensor::ones_like(&target);
        Ok(weighted_squared_error(self.network.forward(input), target, everywhere, self.config.alpha))
    }

    /// A batch: voxels `[n, 1, z, y, x]`, targets and weights `[n, classes, z/2, y/2, x/2]`.
    fn batch(&self, random: &mut ChaCha8Rng) -> Result<(Tensor<5>, Tensor<5>, Tensor<5>), VolumeError> {
        let device = self.device.device.clone().autodiff();
        let (batch, edge, classes) = (self.config.batch, self.config.crop, self.data.classes().len());
        let mut voxels = Vec::with_capacity(batch * edge.pow(3));
        let (mut heatmap, mut weight) = (Vec::new(), Vec::new());
        let mut cells = [0; 3];
        for _ in 0..batch {
            let sample = self.data.sample(edge, random)?;
            voxels.extend(sample.voxels);
            heatmap.extend(sample.target.heatmap);
            weight.extend(sample.target.weight);
            cells = sample.target.cells;
        }
        let output = [batch, classes, cells[0], cells[1], cells[2]];
        Ok((
            Tensor::from_data(TensorData::new(voxels, [batch, 1, edge, edge, edge]), &device),
            Tensor::from_data(TensorData::new(heatmap, output), &device),
            Tensor::from_data(TensorData::new(weight, output), &device),
        ))
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
        self.network.num_params()
    }

    /// The averaged network, which picks.
    pub fn picker(&self) -> Picker<'_> {
        Picker { metadata: &self.metadata, network: &self.average, device: &self.device.device }
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
        Checkpoint { metadata: self.metadata.clone(), network: self.average.clone() }
    }
}

/// The cube of `edge` voxels behind the first layer of each axis of a cube of `edge + 1`.
fn without_margin(padded: &[f32], edge: usize) -> Vec<f32> {
    let outer = edge + 1;
    let rows = (1..outer).flat_map(|z| (1..outer).map(move |y| (z * outer + y) * outer + 1));
    rows.flat_map(|start| padded[start..start + edge].iter().copied()).collect()
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
        () => return Ok(()),
    };
    Err(TrainError::Setting(fault))
}

/// Scales all gradients so that their common norm is at most `largest` (Pascanu et al., arXiv 1211.5063).
fn clip_norm(gradients: GradientsParams, network: &Network, largest: f64) -> GradientsParams {
    struct Sum<'a> {
        gradients: &'a GradientsParams,
        squares: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let square = (gradient.clone() * gradient).sum();
                self.squares = Some(match self.squares.take() {
                    Some(squares) => squares + square,
                    None => square,
                });
            }
        }
    }
    struct Scale {
        from: GradientsParams,
        to: GradientsParams,
        factor: Tensor<1>,
    }
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.from.remove::<D>(param.id) {
                self.to.register(param.id, gradient * self.factor.clone().reshape([1; D]));
            }
        }
    }
    let mut sum = Sum { gradients: &gradients, squares: None };
    network.visit(&mut sum);
    let Some(squares) = sum.squares else { return gradients };
    let factor = (squares.sqrt().add_scalar(1e-6).recip() * largest).clamp_max(1.0);
    let mut scale = Scale { from: gradients, to: GradientsParams::new(), factor };
    network.visit(&mut scale);
    scale.to
}
