//! One weight's step of Adam and of its running average: in place on the CPU, by a kernel of its own on a GPU.

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::gpu::update as on_gpu;
use super::ops::is_cpu;

/// Values in one task.
const TASK: usize = 1 << 14;

/// The numbers of a step: `first = beta_1 first + (1 - beta_1) g`, `second = beta_2 second + (1 - beta_2) g^2` with `g` the gradient
/// times `clip`, `weight -= rate first / (sqrt(second) + epsilon)`, `average = decay average + (1 - decay) weight`. The corrections
/// for the first steps are in `rate` and `epsilon` (Kingma and Ba, arXiv 1412.6980, end of section 2).
#[derive(Clone, Debug)]
pub(crate) struct Factors {
    /// Scale of the gradient, one value on the device.
    pub clip: Tensor<1>,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Learning rate with its correction.
    pub rate: f64,
    /// Decay of the average.
    pub decay: f64,
}

/// First and second moment of a weight's gradient, flat, each as long as the weight.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Running mean of the gradient.
    pub first: Tensor<1>,
    /// Running mean of its square.
    pub second: Tensor<1>,
}

/// A weight after a step.
pub(crate) struct Updated<const D: usize> {
    pub weight: Tensor<D>,
    pub average: Tensor<D>,
    pub moments: Moments,
}

/// Values whose sum is that of the squares of a tensor's values: as many for every tensor of a device.
pub(crate) fn square_sums<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let tensor = tensor.without_autodiff();
    let device = tensor.device();
    if is_cpu(&device)
        && let Ok(values) = tensor.clone().try_into_primitive::<Flex>()
        && let Some(values) = values.as_slice::<f32>()
    {
        let sum: f64 = values.par_chunks(TASK).map(lanes_square_sum).collect::<Vec<_>>().iter().sum();
        return Tensor::from_data(TensorData::from([sum as f32]), &device);
    }
    on_gpu::square_sums(&tensor).unwrap_or_else(|| (tensor.clone() * tensor).sum())
}

/// In lanes, which the compiler turns into vectors, and few enough values that f32 holds their sum.
fn lanes_square_sum(values: &[f32]) -> f64 {
    let mut lanes = [0.0f32; 16];
    let whole = values.chunks_exact(16);
    let rest: f32 = whole.remainder().iter().map(|value| value * value).sum();
    for part in whole {
        lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane += value * value);
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>() + f64::from(rest)
}

/// One step of a weight; none of the tensors is on an autodiff device. `None` moments are zeros.
pub(crate) fn update<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    average: Tensor<D>,
    moments: Option<Moments>,
    factors: &Factors,
) -> Updated<D> {
    let device = weight.device();
    let moments = moments.unwrap_or_else(|| {
        let zeros = Tensor::zeros([weight.shape().num_elements()], &device);
        Moments { first: zeros.clone(), second: zeros }
    });
    if is_cpu(&device) {
        return in_place(weight, gradient, average, moments, factors);
    }
    on_gpu::step(&weight, &gradient, &average, &moments, factors)
        .unwrap_or_else(|| plain(weight, gradient, average, moments, factors))
}

/// By burn's operations, on devices that have neither of the others, and to compare with.
fn plain<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    average: Tensor<D>,
    Moments { first, second }: Moments,
    factors: &Factors,
) -> Updated<D> {
    let shape = weight.shape();
    let gradient = gradient.reshape([shape.num_elements()]) * factors.clip.clone();
    let first = first.mul_scalar(factors.beta_1) + gradient.clone().mul_scalar(1.0 - factors.beta_1);
    let second = second.mul_scalar(factors.beta_2) + (gradient.clone() * gradient).mul_scalar(1.0 - factors.beta_2);
    let change = first.clone().mul_scalar(factors.rate) / second.clone().sqrt().add_scalar(factors.epsilon);
    let weight = weight - change.reshape(shape);
    let average = average.mul_scalar(factors.decay) + weight.clone().mul_scalar(1.0 - factors.decay);
    Updated { weight, average, moments: Moments { first, second } }
}

/// In one pass over memory; a tensor that nobody else holds is changed where it lies.
fn in_place<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    average: Tensor<D>,
    moments: Moments,
    factors: &Factors,
) -> Updated<D> {
    let mut w = flex(weight);
    let g = flex(gradient);
    let mut a = flex(average);
    let (mut m, mut v) = (flex(moments.first), flex(moments.second));
    let clip = factors.clip.clone().into_scalar::<f32>();
    let [b1, b2, epsilon, rate, decay] =
        [factors.beta_1, factors.beta_2, factors.epsilon, factors.rate, factors.decay].map(|factor| factor as f32);
    let (c1, c2, share) = ((1.0 - factors.beta_1) as f32, (1.0 - factors.beta_2) as f32, (1.0 - factors.decay) as f32);
    let values = g.as_slice::<f32>().expect("made contiguous by `flex`, and gradients are f32");
    w.storage_mut::<f32>()
        .par_chunks_mut(TASK)
        .zip(a.storage_mut::<f32>().par_chunks_mut(TASK))
        .zip(m.storage_mut::<f32>().par_chunks_mut(TASK).zip(v.storage_mut::<f32>().par_chunks_mut(TASK)))
        .zip(values.par_chunks(TASK))
        .for_each(|(((w, a), (m, v)), g)| {
            for ((((w, a), m), v), g) in w.iter_mut().zip(a).zip(m).zip(v).zip(g) {
                let g = g * clip;
                *m = b1 * *m + c1 * g;
                *v = b2 * *v + c2 * g * g;
                *w -= rate * *m / (v.sqrt() + epsilon);
                *a = decay * *a + share * *w;
            }
        });
    Updated {
        weight: Tensor::from_primitive::<Flex>(w),
        average: Tensor::from_primitive::<Flex>(a),
        moments: Moments { first: Tensor::from_primitive::<Flex>(m), second: Tensor::from_primitive::<Flex>(v) },
    }
}

/// The values of a tensor on the CPU, in order and from the start of their storage.
fn flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let tensor = tensor.try_into_primitive::<Flex>().expect("the device is the CPU, and there is no autodiff on it");
    // A view must not be written through to what it views.
    if tensor.is_contiguous()
        && tensor.layout().start_offset() == 0
        && tensor.storage::<f32>().len() == tensor.layout().num_elements()
    {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, Param};
    use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[derive(Module, Debug)]
    struct Two {
        a: Param<Tensor<3>>,
        b: Param<Tensor<1>>,
    }

    fn close(a: &TensorData, b: &TensorData, tolerance: f32) {
        for (x, y) in a.iter::<f32>().zip(b.iter::<f32>()) {
            assert!((x - y).abs() <= tolerance * (1.0 + x.abs()), "{x} {y}");
        }
    }

    #[test]
    fn both_ways_agree_with_burns_adam_over_several_steps() {
        let device: Device = burn::backend::flex::FlexDevice.into();
        let auto = device.clone().autodiff();
        let mut module = Two {
            a: Param::from_tensor(Tensor::random([7, 5, 3], Distribution::Normal(0.0, 1.0), &auto)),
            b: Param::from_tensor(Tensor::random([33], Distribution::Normal(0.0, 1.0), &auto)),
        };
        let start = module.a.val().without_autodiff();
        let (mut fast, mut slow) = ((start.clone(), start.clone(), None), (start.clone(), start, None));
        let mut adam: ModuleOptimizer = AdamConfig::new().with_epsilon(1e-8).init();
        for step in 1..=5 {
            let loss = (module.a.val().powi_scalar(2).sum() * 0.3) + module.b.val().sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &module);
            let gradient: Tensor<3> = gradients.get(module.a.id).unwrap();
            let (c1, c2) = (1.0 - 0.9f64.powi(step), 1.0 - 0.999f64.powi(step));
            let factors = Factors {
                clip: Tensor::from_data(TensorData::from([1.0f32]), &device),
                beta_1: 0.9,
                beta_2: 0.999,
                epsilon: 1e-8 * c2.sqrt(),
                rate: 0.01 * c2.sqrt() / c1,
                decay: 0.7,
            };
            let zeros = Moments { first: Tensor::zeros([105], &device), second: Tensor::zeros([105], &device) };
            let u = update(fast.0, gradient.clone(), fast.1, fast.2.take(), &factors);
            fast = (u.weight, u.average, Some(u.moments));
            let u = plain(slow.0, gradient, slow.1, slow.2.take().unwrap_or(zeros), &factors);
            slow = (u.weight, u.average, Some(u.moments));
            module = adam.step(0.01, module, gradients);
            close(&module.a.val().without_autodiff().into_data(), &fast.0.clone().into_data(), 2e-6);
            close(&slow.0.clone().into_data(), &fast.0.clone().into_data(), 2e-6);
            close(&slow.1.clone().into_data(), &fast.1.clone().into_data(), 2e-6);
        }
    }

    #[test]
    fn a_gpu_steps_as_the_plain_way() {
        let Some(device) = crate::model::any_gpu_for_tests() else { return };
        let random = |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &*device);
        let shape = [7, 50, 3];
        let [weight, gradient, average] = [(); 3].map(|()| random(shape));
        let flat = || random(shape).reshape([1050]);
        let moments = Moments { first: flat(), second: flat().powi_scalar(2) };
        let factors = Factors {
            clip: Tensor::from_data(TensorData::from([0.3f32]), &*device),
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            rate: 0.01,
            decay: 0.7,
        };
        let slow = plain(weight.clone(), gradient.clone(), average.clone(), moments.clone(), &factors);
        let fast = on_gpu::step(&weight, &gradient, &average, &moments, &factors).unwrap();
        let data = |u: Updated<3>| {
            [u.weight.into_data(), u.average.into_data(), u.moments.first.into_data(), u.moments.second.into_data()]
        };
        for (a, b) in data(slow).iter().zip(&data(fast)) {
            close(a, b, 2e-6);
        }
        let sum = f64::from(square_sums(gradient.clone()).sum().into_scalar::<f32>());
        let plain = f64::from((gradient.clone() * gradient).sum().into_scalar::<f32>());
        assert!((sum / plain - 1.0).abs() < 1e-5, "{sum} {plain}");
    }

    #[test]
    fn a_tensor_that_somebody_else_holds_is_not_changed() {
        let device: Device = burn::backend::flex::FlexDevice.into();
        let weight = Tensor::<1>::ones([40], &device);
        let held = weight.clone();
        let factors = Factors {
            clip: Tensor::from_data(TensorData::from([0.5f32]), &device),
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            rate: 0.1,
            decay: 0.5,
        };
        let updated = update(weight.clone(), Tensor::ones([40], &device), weight, None, &factors);
        assert!(held.into_data().iter::<f32>().all(|value| value == 1.0));
        assert!(updated.weight.into_data().iter::<f32>().all(|value| value < 0.9));
    }

    #[test]
    fn the_sum_of_squares_is_the_plain_one() {
        let device: Device = burn::backend::flex::FlexDevice.into();
        let tensor = Tensor::<2>::random([301, 257], Distribution::Normal(0.0, 1.0), &device);
        let plain: f64 = tensor.clone().into_data().iter::<f32>().map(|value| f64::from(value).powi(2)).sum();
        let ours = f64::from(square_sums(tensor).into_scalar::<f32>());
        assert!((ours / plain - 1.0).abs() < 1e-6, "{ours} {plain}");
    }
}
