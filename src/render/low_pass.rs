//! A Gaussian low-pass of one picture, for the eye.

/// Full width of a Gaussian at half its height over its standard deviation: `2 sqrt(2 ln 2)`.
pub const WIDTH_PER_DEVIATION: f64 = 2.354_820_045_030_949_3;

/// Deviations, in texels, below which nothing would change visibly.
const LEAST_DEVIATION: f64 = 0.25;
/// Largest half-width of a kernel in texels: wider ones would take seconds.
const MOST_TAPS: usize = 96;

/// Half of a symmetric kernel of standard deviation `deviation` texels, the middle first, cut at three deviations; its weights over
/// both sides add up to 1.
fn half_kernel(deviation: f64) -> Vec<f32> {
    let reach = ((3.0 * deviation).ceil() as usize).clamp(1, MOST_TAPS);
    let weights: Vec<f64> = (0..=reach).map(|i| (-0.5 * (i as f64 / deviation).powi(2)).exp()).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

/// Convolves a picture of `size` (width, height) texels, row by row in `values`, with a Gaussian of these standard deviations along
/// both sides, in texels. At the border the outermost texel goes on. A deviation that is not a number or below a quarter of a texel
/// leaves its side as it is.
pub fn low_pass(size: [usize; 2], values: &mut Vec<f32>, deviations: [f64; 2]) {
    let [width, height] = size;
    if values.is_empty() || values.len() != width * height {
        return;
    }
    if deviations[0] >= LEAST_DEVIATION {
        let kernel = half_kernel(deviations[0]);
        let reach = kernel.len() - 1;
        let mut padded = vec![0.0; width + 2 * reach];
        for row in values.chunks_exact_mut(width) {
            padded[..reach].fill(row[0]);
            padded[reach..reach + width].copy_from_slice(row);
            padded[reach + width..].fill(row[width - 1]);
            row.iter_mut().for_each(|value| *value *= kernel[0]);
            for (offset, weight) in kernel.iter().enumerate().skip(1) {
                let (left, right) = (&padded[reach - offset..], &padded[reach + offset..]);
                for ((value, left), right) in row.iter_mut().zip(left).zip(right) {
                    *value += weight * (left + right);
                }
            }
        }
    }
    if deviations[1] >= LEAST_DEVIATION {
        let kernel = half_kernel(deviations[1]);
        let mut out = vec![0.0; values.len()];
        for (y, row) in out.chunks_exact_mut(width).enumerate() {
            let source = |y: usize| &values[y * width..(y + 1) * width];
            row.iter_mut().zip(source(y)).for_each(|(sum, value)| *sum = kernel[0] * value);
            for (offset, weight) in kernel.iter().enumerate().skip(1) {
                let (above, below) = (source(y.saturating_sub(offset)), source((y + offset).min(height - 1)));
                for ((sum, above), below) in row.iter_mut().zip(above).zip(below) {
                    *sum += weight * (above + below);
                }
            }
        }
        *values = out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_becomes_a_gaussian_of_the_given_width() {
        let size = [41, 31];
        let mut values = vec![0.0; 41 * 31];
        values[15 * 41 + 20] = 1.0;
        let deviation = 2.5;
        low_pass(size, &mut values, [deviation; 2]);
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        let middle = values[15 * 41 + 20];
        // Half its height lies half the full width away.
        let half = deviation * WIDTH_PER_DEVIATION / 2.0;
        let value = |x: usize, y: usize| f64::from(values[y * 41 + x] / middle);
        let at_half =
            value(20 + half.floor() as usize, 15) * (half.ceil() - half) + value(20 + half.ceil() as usize, 15) * half.fract();
        assert!((at_half - 0.5).abs() < 0.02, "{at_half}");
        assert!((value(25, 15) - value(20, 20)).abs() < 1e-5, "round");
        assert!((value(23, 15) - (-0.5f64 * (3.0f64 / 2.5).powi(2)).exp()).abs() < 1e-3);
    }

    #[test]
    fn a_constant_stays_itself_up_to_the_border_and_nothing_stays_nothing() {
        let mut values = vec![7.0; 12 * 9];
        low_pass([12, 9], &mut values, [4.0, 50.0]);
        assert!(values.iter().all(|value| (value - 7.0).abs() < 1e-4));
        let before: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut after = before.clone();
        low_pass([4, 3], &mut after, [0.1, f64::NAN]);
        assert_eq!(before, after);
        let mut single = vec![3.0];
        low_pass([1, 1], &mut single, [9.0; 2]);
        assert!((single[0] - 3.0).abs() < 1e-6);
    }

    #[test]
    fn each_side_has_a_deviation_of_its_own() {
        let mut values = vec![0.0; 21 * 21];
        values[10 * 21 + 10] = 1.0;
        low_pass([21, 21], &mut values, [3.0, 0.0]);
        assert!(values[10 * 21 + 13] > 0.05);
        assert_eq!(values[13 * 21 + 10], 0.0);
    }
}
