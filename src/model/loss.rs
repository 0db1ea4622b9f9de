//! The error that training lessens.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

/// The reweighted squared error `sum w (Y + alpha) (Yhat - Y)^2 / max(sum w, 1)`, a scalar `[1]`.
///
/// `prediction`, `target` and `weight` have the shape `[batch, classes, z, y, x]`. A weight of 0 marks a cell of which nothing is
/// known: it neither adds to the error nor to the count; one between 0 and 1 a cell that counts less. Where every weight is 1, this is the mean of
/// `(Y + alpha) (Yhat - Y)^2` (arXiv 2510.22454, equation 2).
pub fn weighted_squared_error(prediction: Tensor<5>, target: Tensor<5>, weight: Tensor<5>, alpha: f64) -> Tensor<1> {
    let factor = weight.clone() * target.clone().add_scalar(alpha);
    mean_square(prediction - target, factor, weight)
}

/// The error at particles of other classes, `sum w (max_k Y_k - Y) (Yhat - Y)^2 / max(sum w, 1)` with the maximum over the classes `k`, a
/// scalar `[1]`.
///
/// [`weighted_squared_error`] counts a class's answer at another's particle as background, `alpha`, while a miss counts
/// `1 + alpha`; so classes that look alike all answer at each other's particles for long. Added to it with a weight of `r`, this
/// counts such an answer as `r + alpha`. Shapes and weights as there.
pub fn rival_error(prediction: Tensor<5>, target: Tensor<5>, weight: Tensor<5>) -> Tensor<1> {
    let factor = weight.clone() * (target.clone().max_dim(1) - target.clone());
    mean_square(prediction - target, factor, weight)
}

/// [`weighted_squared_error`] against a map that is itself an estimate, a scalar `[1]`: its expectation when each cell of the target is 1 or 0 and
/// `map` is what this error teaches of that.
///
/// A network that minimises `(Y + alpha) (Yhat - Y)^2` over cells that are 1 with probability `p` learns
/// `m = (1 + alpha) p / (p + alpha)`, far more than `p` where `alpha` is small: 0.5 already means a probability of 0.08 for an
/// alpha of 0.1. The expectation of the error is `(p + alpha) (Yhat - m)^2` and a constant, with `p = alpha m / (1 + alpha - m)`. To put
/// the map `m` itself in the place of `Y` weighs its doubtful cells with `m + alpha` instead, several times too much, and holds a
/// student at the mistakes of its teacher. Shapes and `weight` as in [`weighted_squared_error`]; `map` is 0 to 1.
pub fn expected_squared_error(prediction: Tensor<5>, map: Tensor<5>, weight: Tensor<5>, alpha: f64) -> Tensor<1> {
    let probability = map.clone().mul_scalar(alpha) / (map.clone().neg().add_scalar(1.0 + alpha)).clamp_min(f32::MIN_POSITIVE);
    let factor = weight.clone() * probability.add_scalar(alpha);
    mean_square(prediction - map, factor, weight)
}

/// `sum factor difference^2 / max(sum weight, 1)`, a scalar `[1]`.
fn mean_square(difference: Tensor<5>, factor: Tensor<5>, weight: Tensor<5>) -> Tensor<1> {
    (factor * difference.clone() * difference).sum() / weight.sum().clamp_min(1.0)
}

/// Largest weight of a class in [`class_weights`].
const RAREST: f64 = 20.0;
/// Weight of a superfluous cell in the Tversky index.
const FALSE_POSITIVES: f64 = 0.3;
/// Weight of a missed cell in the Tversky index.
const FALSE_NEGATIVES: f64 = 0.7;
/// Cells that are added to both sides of the Tversky index's fraction: the index of a class that is neither there nor found is 1.
const SMOOTHING: f64 = 1.0;

/// The softmax cross-entropy `-sum w k_c log p_c / sum w k_c`, a scalar `[1]`, where `c` is a cell's class and `p` the softmax of
/// `logits` over the channels.
///
/// `logits` and `target`, in which the channel of a cell's class is 1 and the others are 0, have the shape
/// `[batch, channels, z, y, x]`, `weight` has `[batch, 1, z, y, x]` and `class_weights`, the `k`, `[channels]`. A weight of 0 marks a
/// cell of which nothing is known. With weights of 1 this is PyTorch's `cross_entropy(logits, classes, weight=class_weights)`.
pub fn weighted_cross_entropy(logits: Tensor<5>, target: Tensor<5>, weight: Tensor<5>, class_weights: Tensor<1>) -> Tensor<1> {
    let [channels] = class_weights.dims();
    let factor = target * weight * class_weights.reshape([1, channels, 1, 1, 1]);
    let known = factor.clone().sum().clamp_min(f32::MIN_POSITIVE);
    (factor * log_softmax(logits, 1)).sum().neg() / known
}

/// The weights of the classes in [`weighted_cross_entropy`], `[channels]`, against the majority of the last channel, the background:
/// `sqrt(n_background / n_c)` over the known cells of the batch, 1 to 20, and 1 for the background.
///
/// Without them the background, nearly all of a tomogram, is learnt first and alone for long; with the full ratio masks grow far
/// beyond the particles. `target` and `weight` are those of the loss.
pub fn class_weights(target: Tensor<5>, weight: Tensor<5>) -> Tensor<1> {
    let [_, channels, ..] = target.dims();
    let counts = per_channel(target * weight);
    let background = counts.clone().narrow(0, channels - 1, 1);
    (background / counts.clamp_min(1.0)).sqrt().clamp(1.0, RAREST)
}

/// The Tversky loss `1 - mean_c (t_c + 1) / (t_c + 0.3 f_c + 0.7 m_c + 1)`, a scalar `[1]` (Salehi et al. 2017, arXiv 1706.05721).
///
/// The mean is over the classes without the background, the last channel. With the softmax `p` of `logits` over the channels and
/// the target `g`, over the cells of the batch: `t = sum w p g` are found, `f = sum w p (1 - g)` superfluous and
/// `m = sum w (1 - p) g` missed. Missed cells weigh more, since a particle that is not found costs more than a false one. Shapes as
/// in [`weighted_cross_entropy`].
pub fn tversky(logits: Tensor<5>, target: Tensor<5>, weight: Tensor<5>) -> Tensor<1> {
    let probability = softmax(logits, 1);
    let known = target * weight.clone();
    let found = per_channel(probability.clone() * known.clone());
    let superfluous = per_channel(probability * weight) - found.clone();
    let missed = per_channel(known) - found.clone();
    let classes = found.dims()[0] - 1;
    let smoothed = found.add_scalar(SMOOTHING);
    let all = smoothed.clone() + superfluous.mul_scalar(FALSE_POSITIVES) + missed.mul_scalar(FALSE_NEGATIVES);
    (smoothed / all).narrow(0, 0, classes).mean().neg().add_scalar(1.0)
}

/// Sums `[channels]` of values `[batch, channels, z, y, x]`.
fn per_channel(values: Tensor<5>) -> Tensor<1> {
    let [_, channels, ..] = values.dims();
    values.swap_dims(0, 1).flatten::<2>(1, 4).sum_dim(1).reshape([channels])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// Two crops, three channels, 1 x 1 x 2 cells; the last cell of the second crop is unknown.
    const LOGITS: [f32; 12] = [0.5, -1.0, 0.25, 2.0, -0.75, 0.1, 1.5, 0.3, -0.2, 0.8, 0.4, -1.2];
    /// Classes 1, 2 and 0; of the unknown cell, 1.
    const TARGET: [f32; 12] = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    const WEIGHT: [f32; 4] = [1.0, 1.0, 1.0, 0.0];

    fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    }

    fn losses(logits: &[f32], device: &Device) -> [f32; 2] {
        let logits = tensor(logits, [2, 3, 1, 1, 2], device);
        let (target, weight) = (tensor(&TARGET, [2, 3, 1, 1, 2], device), tensor(&WEIGHT, [2, 1, 1, 1, 2], device));
        let rarity = tensor(&[2.0, 3.0, 0.5], [3], device);
        let entropy = weighted_cross_entropy(logits.clone(), target.clone(), weight.clone(), rarity);
        [entropy.into_scalar(), tversky(logits, target, weight).into_scalar()]
    }

    #[test]
    fn segmentation_losses_agree_with_pytorch() {
        let [entropy, overlap] = losses(&LOGITS, &Device::flex());
        assert!((entropy - 0.872_416_26).abs() < 1e-5, "{entropy}");
        assert!((overlap - 0.268_310_8).abs() < 1e-5, "{overlap}");
        // What is not known has no part in it.
        let mut changed = LOGITS;
        [7, 9, 11].iter().for_each(|index| changed[*index] = 9.0);
        assert_eq!(losses(&changed, &Device::flex()), [entropy, overlap]);
    }

    #[test]
    fn gradients_of_the_segmentation_losses_agree_with_finite_differences() {
        let device = Device::flex().autodiff();
        let (target, weight) = (tensor(&TARGET, [2, 3, 1, 1, 2], &device), tensor(&WEIGHT, [2, 1, 1, 1, 2], &device));
        for kind in 0..2 {
            let logits = tensor(&LOGITS, [2, 3, 1, 1, 2], &device).require_grad();
            let rarity = tensor(&[2.0, 3.0, 0.5], [3], &device);
            let loss = match kind {
                0 => weighted_cross_entropy(logits.clone(), target.clone(), weight.clone(), rarity),
                _ => tversky(logits.clone(), target.clone(), weight.clone()),
            };
            let gradient: Vec<f32> = logits.grad(&loss.backward()).expect("tracked").into_data().iter::<f32>().collect();
            for index in 0..LOGITS.len() {
                let at = |step: f32| {
                    let mut moved = LOGITS;
                    moved[index] += step;
                    losses(&moved, &Device::flex())[kind]
                };
                let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((numeric - gradient[index]).abs() < 2e-4, "{kind}, {index}: {numeric} against {}", gradient[index]);
            }
        }
    }

    #[test]
    fn rivals_count_where_another_class_has_its_particle() {
        let device = Device::flex();
        // Two classes, two cells: the first is a particle of class 0, the second background.
        let shape = [1, 2, 1, 1, 2];
        let error = |prediction: [f32; 4], weight: [f32; 4]| {
            let target = tensor(&[1.0, 0.0, 0.0, 0.0], shape, &device);
            rival_error(tensor(&prediction, shape, &device), target, tensor(&weight, shape, &device)).into_scalar::<f32>()
        };
        // Class 1 answers 0.6 at the particle; neither the miss of class 0 nor what stands in the background adds to it.
        assert!((error([0.2, 0.9, 0.6, 0.7], [1.0; 4]) - 0.36 / 4.0).abs() < 1e-6);
        // Where class 1 is not known, it costs nothing.
        assert_eq!(error([0.2, 0.9, 0.6, 0.7], [1.0, 1.0, 0.0, 0.0]), 0.0);
    }

    #[test]
    fn the_error_against_an_estimate_is_the_expected_error() {
        let device = Device::flex();
        let one = |value: f64| tensor(&[value as f32], [1, 1, 1, 1, 1], &device);
        for (alpha, probability) in [(0.1, 0.08), (0.1, 0.5), (0.25, 0.9), (1.0, 0.3)] {
            let map = (1.0 + alpha) * probability / (probability + alpha);
            let against = |prediction: f64| {
                f64::from(expected_squared_error(one(prediction), one(map), one(1.0), alpha).into_scalar::<f32>())
            };
            let labels = |prediction: f64| {
                let of =
                    |truth| f64::from(weighted_squared_error(one(prediction), one(truth), one(1.0), alpha).into_scalar::<f32>());
                probability * of(1.0) + (1.0 - probability) * of(0.0)
            };
            // A constant apart, and least at the map.
            for prediction in [-0.2, 0.1, 0.4, 0.7, 1.1] {
                let (a, b) = (against(prediction) - against(map), labels(prediction) - labels(map));
                assert!((a - b).abs() < 1e-5 && a >= 0.0, "{alpha} {probability} {prediction}: {a} against {b}");
            }
        }
        // Where it is certain it is the error against labels.
        let pair = |values: [f32; 2]| tensor(&values, [1, 2, 1, 1, 1], &device);
        let (prediction, map, weight) = (pair([0.3, 0.8]), pair([0.0, 1.0]), pair([1.0, 0.5]));
        let expected = expected_squared_error(prediction.clone(), map.clone(), weight.clone(), 0.1).into_scalar::<f32>();
        let labelled = weighted_squared_error(prediction, map, weight, 0.1).into_scalar::<f32>();
        assert!((expected - labelled).abs() < 1e-6);
    }

    #[test]
    fn a_perfect_mask_costs_nothing_and_an_unknown_crop_neither() {
        let device = Device::flex();
        let sure: Vec<f32> = TARGET.iter().map(|target| 40.0 * target - 20.0).collect();
        let [entropy, overlap] = losses(&sure, &device);
        assert!(entropy.abs() < 1e-6 && overlap.abs() < 1e-6, "{entropy} {overlap}");
        let (logits, target) = (tensor(&LOGITS, [2, 3, 1, 1, 2], &device), tensor(&TARGET, [2, 3, 1, 1, 2], &device));
        let nothing = Tensor::zeros([2, 1, 1, 1, 2], &device);
        let rarity = class_weights(target.clone(), nothing.clone());
        assert_eq!(weighted_cross_entropy(logits.clone(), target.clone(), nothing.clone(), rarity).into_scalar::<f32>(), 0.0);
        assert_eq!(tversky(logits, target, nothing).into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn two_cells_of_half_the_weight_count_as_one() {
        let device = Device::flex();
        // Two channels, four cells of which the last two are alike.
        let logits = tensor(&[1.0, -0.5, 0.3, 0.3, 0.0, 0.4, -1.0, -1.0], [1, 2, 1, 1, 4], &device);
        let target = tensor(&[1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0], [1, 2, 1, 1, 4], &device);
        let losses = |weight: [f32; 4]| {
            let weight = tensor(&weight, [1, 1, 1, 1, 4], &device);
            let both = Tensor::cat(vec![weight.clone(), weight.clone()], 1);
            let (logits, target) = (logits.clone(), target.clone());
            let rarity = class_weights(target.clone(), weight.clone());
            [
                weighted_squared_error(logits.clone(), target.clone(), both.clone(), 0.1),
                rival_error(logits.clone(), target.clone(), both.clone()),
                expected_squared_error(logits.clone(), target.clone(), both, 0.1),
                weighted_cross_entropy(logits.clone(), target.clone(), weight.clone(), rarity),
                tversky(logits, target, weight),
            ]
            .map(|loss| loss.into_scalar::<f32>())
        };
        for (half, whole) in losses([1.0, 1.0, 0.5, 0.5]).into_iter().zip(losses([1.0, 1.0, 1.0, 0.0])) {
            assert!(whole > 0.0 && (half - whole).abs() < 1e-6, "{half} {whole}");
        }
    }

    #[test]
    fn a_missed_cell_costs_more_than_a_superfluous_one() {
        // One class beside the background, four cells of which the first two are the particle's.
        let cost = |found: [bool; 4]| {
            let device = Device::flex();
            let logits = [found.map(|f| if f { 20.0 } else { -20.0 }), [0.0; 4]].concat();
            let target = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
            let weight = tensor(&[1.0; 4], [1, 1, 1, 1, 4], &device);
            tversky(tensor(&logits, [1, 2, 1, 1, 4], &device), tensor(&target, [1, 2, 1, 1, 4], &device), weight)
                .into_scalar::<f32>()
        };
        // By hand; the background has no say.
        assert!((cost([true, false, false, false]) - (1.0 - 2.0 / 2.7)).abs() < 1e-5);
        assert!((cost([true, true, true, false]) - (1.0 - 3.0 / 3.3)).abs() < 1e-5);
    }

    #[test]
    fn rare_classes_weigh_more_within_bounds() {
        let device = Device::flex();
        // Of 1000 known cells 90 are of class 0, one of class 1, none of class 2; unknown ones do not count.
        let cells = 1200;
        let mut target = vec![0.0; 4 * cells];
        (0..cells).for_each(|cell| target[[0, 1, 3][usize::from(cell >= 90) + usize::from(cell >= 91)] * cells + cell] = 1.0);
        let weight: Vec<f32> = (0..cells).map(|cell| if cell < 1000 { 1.0 } else { 0.0 }).collect();
        let weights = class_weights(tensor(&target, [1, 4, 1, 1, cells], &device), tensor(&weight, [1, 1, 1, 1, cells], &device));
        let weights: Vec<f32> = weights.into_data().iter::<f32>().collect();
        assert!((weights[0] - (909.0f32 / 90.0).sqrt()).abs() < 1e-4, "{weights:?}");
        assert_eq!(weights[1..], [20.0, 20.0, 1.0]);
    }
}
