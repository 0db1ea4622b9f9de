//! How good picks are, by the rules of the CZII challenge (CryoET object identification, 2024).
//!
//! Per tomogram and class, with a tolerance in the unit of the positions: true positives are the *distinct references* within
//! the tolerance (inclusive) of any candidate; false positives are the candidates beyond that number, never below zero; false
//! negatives are the other references. Counts are summed over the tomograms before any ratio is taken.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use rstar::RTree;

mod evaluate;
mod pairs;
#[cfg(test)]
mod tests;
mod thresholds;

pub use evaluate::{ClassScore, Evaluation, MeanScore, ScoreRegion, czii_score, evaluate};
pub use pairs::{Pair, Pairs, ScoreError, pairs_from_rows};
pub use thresholds::{FALLBACK_THRESHOLD, ScoredRun, best_threshold, median_found_score};

/// What matching has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Distinct references that a candidate has found.
    pub true_positive: usize,
    /// Candidates beyond the number of references found.
    pub false_positive: usize,
    /// References that no candidate has found.
    pub false_negative: usize,
}

impl Counts {
    /// TP / (TP + FP); 0 without candidates.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positive as f64, (self.true_positive + self.false_positive) as f64)
    }

    /// TP / (TP + FN); 0 without references.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positive as f64, (self.true_positive + self.false_negative) as f64)
    }

    /// F-beta, (1 + beta²) TP / ((1 + beta²) TP + beta² FN + FP); 0 when there are neither references nor candidates.
    pub fn f_beta(&self, beta: f64) -> f64 {
        let beta2 = beta * beta;
        let found = (1.0 + beta2) * self.true_positive as f64;
        ratio(found, found + beta2 * self.false_negative as f64 + self.false_positive as f64)
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            true_positive: self.true_positive + other.true_positive,
            false_positive: self.false_positive + other.false_positive,
            false_negative: self.false_negative + other.false_negative,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// Matches candidates with references; positions and `tolerance` in one unit. The count of the CZII challenge: see the module's
/// description. Positions that are not finite match nothing, and neither does anything within a tolerance that is negative or
/// not a number.
pub fn match_points(found: &[[f64; 3]], truth: &[[f64; 3]], tolerance: f64) -> Counts {
    let tree = tree(found);
    let true_positive = truth.iter().filter(|reference| is_near(&tree, **reference, tolerance)).count();
    Counts {
        true_positive,
        false_positive: found.len().saturating_sub(true_positive),
        false_negative: truth.len() - true_positive,
    }
}

/// The candidates that count: all but those within `tolerance` of a position in `ignored` that are not within `tolerance` of a
/// reference as well. Positions in `ignored` are doubtful: finding one is neither right nor wrong.
pub fn without_ignored(found: &[[f64; 3]], truth: &[[f64; 3]], ignored: &[[f64; 3]], tolerance: f64) -> Vec<[f64; 3]> {
    if ignored.is_empty() {
        return found.to_vec();
    }
    let (truth, ignored) = (tree(truth), tree(ignored));
    let counts = |candidate: &[f64; 3]| is_near(&truth, *candidate, tolerance) || !is_near(&ignored, *candidate, tolerance);
    found.iter().copied().filter(counts).collect()
}

fn tree(points: &[[f64; 3]]) -> RTree<[f64; 3]> {
    RTree::bulk_load(points.iter().copied().filter(|point| point.iter().all(|x| x.is_finite())).collect())
}

/// Whether the tree has a point within `tolerance` of `position`, inclusive.
fn is_near(tree: &RTree<[f64; 3]>, position: [f64; 3], tolerance: f64) -> bool {
    tolerance >= 0.0
        && position.iter().all(|x| x.is_finite())
        && tree.locate_within_distance(position, tolerance * tolerance).next().is_some()
}
