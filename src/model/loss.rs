//! The error that training lessens.

use burn::tensor::Tensor;

/// The reweighted squared error `sum w (Y + alpha) (Yhat - Y)^2 / max(sum w, 1)`, a scalar `[1]`.
///
/// `prediction`, `target` and `weight` have the shape `[batch, classes, z, y, x]`. A weight of 0 marks a cell of which nothing is
/// known: it neither adds to the error nor to the count. Where every weight is 1, this is the mean of
/// `(Y + alpha) (Yhat - Y)^2` (arXiv 2510.22454, equation 2).
pub fn weighted_squared_error(prediction: Tensor<5>, target: Tensor<5>, weight: Tensor<5>, alpha: f64) -> Tensor<1> {
    let factor = weight.clone() * target.clone().add_scalar(alpha);
    let difference = prediction - target;
    (factor * difference.clone() * difference).sum() / weight.sum().clamp_min(1.0)
}
