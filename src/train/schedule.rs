//! Learning rate and averaging over the course of a run.

use std::f64::consts::PI;

/// Share of the run that warms up.
const WARM_UP: f64 = 0.1;
/// The first learning rate is this part of the peak.
const FIRST: f64 = 1.0 / 25.0;
/// The last learning rate is this part of the first.
const LAST: f64 = 1e-4;

/// Learning rate at `step` of `steps`: from `peak / 25` up to `peak` in a tenth of the run, then down to nearly nothing, both along a
/// cosine (Smith and Topin, arXiv 1708.07120, with cosine annealing).
pub(super) fn learning_rate(step: usize, steps: usize, peak: f64) -> f64 {
    let cosine = |from: f64, to: f64, at: f64| to + (from - to) * 0.5 * (1.0 + (PI * at.clamp(0.0, 1.0)).cos());
    let warm = (WARM_UP * steps as f64 - 1.0).max(1.0);
    let at = step as f64;
    if at < warm {
        cosine(peak * FIRST, peak, at / warm)
    } else {
        cosine(peak, peak * FIRST * LAST, (at - warm) / (steps as f64 - 1.0 - warm).max(1.0))
    }
}

/// Steps before which rivals have no weight, however short the run: particles are told from the background first.
const RIVALS_FROM: usize = 600;

/// Weight of the error at other classes' particles at `step` of `steps`: `weight` in the second half of the run, but not before
/// step 600. Earlier it delays that particles are found at all (`docs/results.md`).
pub(super) fn rivals_weight(step: usize, steps: usize, weight: f64) -> f64 {
    if step < (steps / 2).max(RIVALS_FROM) { 0.0 } else { weight }
}

/// Decay of the averaged weights after `step` steps: rises to `decay`, so that the first weights are soon forgotten.
pub(super) fn average_decay(step: usize, decay: f64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls() {
        let rates: Vec<f64> = (0..300).map(|step| learning_rate(step, 300, 1e-3)).collect();
        assert!((rates[0] - 4e-5).abs() < 1e-9);
        assert!((rates[29] - 1e-3).abs() < 1e-9);
        assert!(rates[299] < 1e-6);
        assert!(rates[..30].windows(2).all(|w| w[0] < w[1]) && rates[29..].windows(2).all(|w| w[0] > w[1]));
    }

    #[test]
    fn a_run_of_one_step_has_a_rate() {
        assert!(learning_rate(0, 1, 1e-3) > 0.0);
    }

    #[test]
    fn rivals_come_in_the_second_half() {
        assert_eq!([0, 599, 600, 1199].map(|step| rivals_weight(step, 1200, 0.3)), [0.0, 0.0, 0.3, 0.3]);
        assert_eq!([999, 1000].map(|step| rivals_weight(step, 2000, 0.3)), [0.0, 0.3]);
        // A short run never gets that far.
        assert!((0..600).all(|step| rivals_weight(step, 600, 0.3) == 0.0));
    }

    #[test]
    fn young_averages_forget() {
        assert_eq!(average_decay(0, 0.99), 0.1);
        assert_eq!(average_decay(10_000, 0.99), 0.99);
    }
}
