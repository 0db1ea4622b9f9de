//! Adam, the clipping of its gradients, and the running average of the weights, in one pass over each weight.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::model::update::{Factors, Moments, square_sums, update};
use crate::model::{Network, Weight, WeightsError, load_weights, named_weights, weight_names};

/// Largest norm of all gradients together.
const LARGEST_NORM: f64 = 1.0;
const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The network being trained, its running average, and what the optimiser remembers of each weight.
pub(super) struct Learner {
    /// Network and average; taken out only within [`Learner::step`].
    networks: Option<(Network, Network)>,
    moments: HashMap<ParamId, Moments>,
    steps: i32,
}

impl Learner {
    /// Starts with the network's weights as the average.
    pub fn new(network: Network) -> Self {
        let average = network.valid();
        Self { networks: Some((network, average)), moments: HashMap::new(), steps: 0 }
    }

    /// The network being trained, on an autodiff device.
    pub fn network(&self) -> &Network {
        &self.both().0
    }

    /// The average of its weights, on the plain device.
    pub fn average(&self) -> &Network {
        &self.both().1
    }

    fn both(&self) -> &(Network, Network) {
        self.networks.as_ref().expect("`step` puts the networks back before it returns")
    }

    /// One step of Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) with learning rate `rate`, after the gradients have been
    /// scaled so that their common norm is at most 1 (Pascanu et al., arXiv 1211.5063); then the average becomes
    /// `decay * average + (1 - decay) * weight`.
    pub fn step(&mut self, mut gradients: GradientsParams, rate: f64, decay: f64) {
        let Some((network, average)) = self.networks.take() else { return };
        self.steps = self.steps.saturating_add(1);
        let correction = (1.0 - BETA_1.powi(self.steps), 1.0 - BETA_2.powi(self.steps));
        let factors = Factors {
            clip: clip_factor(&gradients, &network),
            beta_1: BETA_1,
            beta_2: BETA_2,
            epsilon: EPSILON * correction.1.sqrt(),
            rate: rate * correction.1.sqrt() / correction.0,
            decay,
        };
        // The average shares the identities of the network's weights, since it began as a copy.
        let mut averages = Averages { tensors: GradientsParams::new() };
        let average = average.map(&mut averages);
        let mut pass = Pass {
            gradients: &mut gradients,
            averages: averages.tensors,
            averaged: GradientsParams::new(),
            moments: &mut self.moments,
            factors,
        };
        let network = network.map(&mut pass);
        let average = average.map(&mut PutBack { tensors: pass.averaged });
        self.networks = Some((network, average));
    }
}

/// What a learner has to remember to go on as if it had never stopped: by name, see [`Learner::memory`].
pub(super) type Memory = BTreeMap<String, Weight>;

impl Learner {
    /// Everything that is learnt: `student.` and `average.` with the networks' weights, `first.` and `second.` with the moments
    /// of the gradients that each weight has had.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory::new();
        let mut add = |part: &str, weights: Memory| {
            memory.extend(weights.into_iter().map(|(name, weight)| (format!("{part}.{name}"), weight)));
        };
        add("student", named_weights(self.network()));
        add("average", named_weights(self.average()));
        let names = weight_names(self.network());
        for (part, pick) in [("first", (|m| &m.first) as fn(&Moments) -> &Tensor<1>), ("second", |m| &m.second)] {
            let values = |moments: &Moments| pick(moments).to_data().iter::<f32>().collect::<Vec<_>>();
            let weight = |moments: &Moments| {
                let values = values(moments);
                (vec![values.len()], values)
            };
            add(part, self.moments.iter().filter_map(|(id, m)| Some((names.get(id)?.clone(), weight(m)))).collect());
        }
        memory
    }

    /// A learner that goes on from `memory` after `steps` steps; `network` gives the shape, `device` is without autodiff.
    ///
    /// # Errors
    /// When a weight is missing, has another shape, or has no place.
    pub fn recall(network: Network, memory: Memory, steps: usize, device: &Device) -> Result<Self, WeightsError> {
        let mut parts: BTreeMap<String, Memory> = BTreeMap::new();
        for (name, weight) in memory {
            match name.split_once('.') {
                Some((part, rest)) => parts.entry(part.to_owned()).or_default().insert(rest.to_owned(), weight),
                None => return Err(WeightsError::Unknown(name)),
            };
        }
        let mut take = |part: &str| parts.remove(part).unwrap_or_default();
        let network = load_weights(network, take("student"))?;
        let average = load_weights(network.valid(), take("average"))?;
        let (mut first, mut second) = (take("first"), take("second"));
        let lengths: HashMap<String, usize> =
            named_weights(&average).into_iter().map(|(name, weight)| (name, weight.1.len())).collect();
        let mut moments = HashMap::new();
        for (id, name) in weight_names(&network) {
            let (Some(one), Some(two)) = (first.remove(&name), second.remove(&name)) else { continue };
            let length = |weight: &Weight| weight.1.len();
            let needed = *lengths.get(&name).unwrap_or(&0);
            if length(&one) != needed || length(&two) != needed {
                return Err(WeightsError::Shape { name, found: one.0, needed: vec![needed] });
            }
            let tensor = |weight: Weight| Tensor::from_data(TensorData::new(weight.1, weight.0), device);
            moments.insert(id, Moments { first: tensor(one), second: tensor(two) });
        }
        if let Some(name) = first.into_keys().chain(second.into_keys()).chain(parts.into_keys()).next() {
            return Err(WeightsError::Unknown(name));
        }
        Ok(Self { networks: Some((network, average)), moments, steps: i32::try_from(steps).unwrap_or(i32::MAX) })
    }
}

/// The factor that brings the common norm of all gradients down to the largest allowed, 1 or less; one value on the device.
fn clip_factor(gradients: &GradientsParams, network: &Network) -> Tensor<1> {
    struct Sum<'a> {
        gradients: &'a GradientsParams,
        squares: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let square = square_sums(gradient);
                self.squares = Some(match self.squares.take() {
                    Some(squares) => squares + square,
                    None => square,
                });
            }
        }
    }
    let mut sum = Sum { gradients, squares: None };
    network.visit(&mut sum);
    match sum.squares {
        Some(squares) => (squares.sum().sqrt().add_scalar(1e-6).recip() * LARGEST_NORM).clamp_max(1.0),
        // Without gradients there is nothing to scale.
        None => Tensor::from_data(TensorData::from([1.0f32]), &burn::tensor::Device::default()),
    }
}

/// Takes the averaged weights out, so that each is held once and can be changed in place.
struct Averages {
    tensors: GradientsParams,
}

impl ModuleMapper for Averages {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        param.map(|average| {
            let device = average.device();
            self.tensors.register(id, average);
            // Stands in until `PutBack`.
            Tensor::empty([0; D], &device)
        })
    }
}

struct PutBack {
    tensors: GradientsParams,
}

impl ModuleMapper for PutBack {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.tensors.remove::<D>(param.id) {
            Some(average) => param.map(|_| average),
            None => param,
        }
    }
}

/// Updates each weight, its moments and its average.
struct Pass<'a> {
    gradients: &'a mut GradientsParams,
    averages: GradientsParams,
    averaged: GradientsParams,
    moments: &'a mut HashMap<ParamId, Moments>,
    factors: Factors,
}

impl ModuleMapper for Pass<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(average) = self.averages.remove::<D>(id) else { return param };
        let Some(gradient) = self.gradients.remove::<D>(id) else {
            self.averaged.register(id, average);
            return param;
        };
        let moments = self.moments.remove(&id);
        param.map(|weight| {
            let keep = weight.is_require_grad();
            let updated = update(weight.without_autodiff(), gradient.without_autodiff(), average, moments, &self.factors);
            self.averaged.register(id, updated.average);
            self.moments.insert(id, updated.moments);
            let weight = updated.weight.autodiff();
            if keep { weight.require_grad() } else { weight }
        })
    }
}
