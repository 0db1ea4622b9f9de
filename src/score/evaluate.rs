//! The table of scores of a set of tomograms.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Counts, Pair, ScoreError, match_points, without_ignored};
use crate::geometry::VoxelBox;
use crate::labels::Class;

/// Weights of the CZII challenge.
const CZII_WEIGHTS: [(&str, f64); 6] = [
    ("apo-ferritin", 1.0),
    ("beta-amylase", 0.0),
    ("beta-galactosidase", 2.0),
    ("ribosome", 1.0),
    ("thyroglobulin", 2.0),
    ("virus-like-particle", 1.0),
];

/// Beta of the CZII challenge: recall counts far more than precision.
const CZII_BETA: f64 = 4.0;

/// The scores of one class. Fractions are of the class's radius.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// F1 with half the radius as tolerance.
    #[serde(rename = "f1@0.5")]
    pub f1_half: f64,
    /// F1 with three quarters of the radius as tolerance.
    #[serde(rename = "f1@0.75")]
    pub f1_three_quarters: f64,
    /// Precision with half the radius as tolerance.
    #[serde(rename = "precision@0.5")]
    pub precision_half: f64,
    /// Recall with half the radius as tolerance.
    #[serde(rename = "recall@0.5")]
    pub recall_half: f64,
    /// F-beta of beta 4 with half the radius as tolerance.
    #[serde(rename = "f4@0.5")]
    pub f4_half: f64,
    /// References.
    #[serde(rename = "true")]
    pub truth: usize,
    /// Candidates, without those that only found an ignored position at half the radius.
    pub found: usize,
}

/// Unweighted means over the classes that have at least one reference; `None`, in JSON `null`, when none has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MeanScore {
    /// Mean F1 with half the radius as tolerance.
    #[serde(rename = "f1@0.5")]
    pub f1_half: Option<f64>,
    /// Mean F1 with three quarters of the radius as tolerance.
    #[serde(rename = "f1@0.75")]
    pub f1_three_quarters: Option<f64>,
}

/// Scores of a set of tomograms. As JSON:
/// `{"classes": {NAME: {"f1@0.5", "f1@0.75", "precision@0.5", "recall@0.5", "f4@0.5", "true", "found"}},
/// "mean": {"f1@0.5", "f1@0.75"}, "czii": NUMBER or null}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Scores by class name, in the order of the classes.
    #[serde(serialize_with = "serialize_as_map")]
    pub classes: Vec<(String, ClassScore)>,
    /// Means over the classes.
    pub mean: MeanScore,
    /// The challenge's score, [`czii_score`]; `None` when a class is not one of the challenge's, or all weigh nothing.
    pub czii: Option<f64>,
}

/// A table for people.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("class".len());
        let heads = ["F1@0.5", "F1@0.75", "precision", "recall", "F4@0.5"];
        write!(f, "{:width$}", "class")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>10}"))?;
        writeln!(f, "{:>8}{:>8}", "true", "found")?;
        for (name, score) in &self.classes {
            write!(f, "{name:width$}")?;
            let ratios = [score.f1_half, score.f1_three_quarters, score.precision_half, score.recall_half, score.f4_half];
            ratios.iter().try_for_each(|ratio| write!(f, "{ratio:>10.3}"))?;
            writeln!(f, "{:>8}{:>8}", score.truth, score.found)?;
        }
        write!(f, "{:width$}", "mean")?;
        for mean in [self.mean.f1_half, self.mean.f1_three_quarters] {
            match mean {
                Some(mean) => write!(f, "{mean:>10.3}")?,
                None => write!(f, "{:>10}", "-")?,
            }
        }
        match self.czii {
            Some(score) => write!(f, "\nCZII score {score:.3}"),
            None => Ok(()),
        }
    }
}

fn serialize_as_map<S: Serializer>(classes: &[(String, ClassScore)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(classes.len()))?;
    for (name, score) in classes {
        map.serialize_entry(name, score)?;
    }
    map.end()
}

/// The part of a tomogram that is scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRegion {
    /// Half-open box of voxels.
    pub voxels: VoxelBox,
    /// Edge of a voxel in angstrom.
    pub spacing_angstrom: f64,
}

impl ScoreRegion {
    /// Whether a position in angstrom `(z, y, x)` lies in a voxel of the region ([`VoxelBox::contains`]).
    pub fn contains(&self, position_angstrom: [f64; 3]) -> bool {
        self.voxels.contains(position_angstrom.map(|coordinate| coordinate / self.spacing_angstrom))
    }
}

/// Scores picks against truth; counts are summed over `pairs` before any ratio is taken.
///
/// With a `region`, references, candidates and ignored positions outside it are left out before matching. A reference just
/// inside whose candidate lies just outside is then a miss, and the reverse a false positive: choose a region whose border
/// cuts few particles.
pub fn evaluate(pairs: &[Pair], classes: &[Class], region: Option<&ScoreRegion>) -> Evaluation {
    let mut scores = Vec::with_capacity(classes.len());
    let mut czii_counts = Vec::with_capacity(classes.len());
    for (index, class) in classes.iter().enumerate() {
        let mut half = Counts::default();
        let mut three_quarters = Counts::default();
        let (mut truth_count, mut found_count) = (0, 0);
        for pair in pairs {
            let inside = |points: &[Vec<[f64; 3]>]| -> Vec<[f64; 3]> {
                let points = points.get(index).map(Vec::as_slice).unwrap_or_default();
                points.iter().copied().filter(|point| region.is_none_or(|region| region.contains(*point))).collect()
            };
            let (found, truth, ignored) = (inside(&pair.found), inside(&pair.truth), inside(&pair.ignored));
            let count = |fraction: f64| {
                let tolerance = fraction * class.radius_angstrom;
                let kept = without_ignored(&found, &truth, &ignored, tolerance);
                (match_points(&kept, &truth, tolerance), kept.len())
            };
            let (counts, kept) = count(0.5);
            half += counts;
            three_quarters += count(0.75).0;
            truth_count += truth.len();
            found_count += kept;
        }
        czii_counts.push((class.name.as_str(), half));
        let score = ClassScore {
            f1_half: half.f_beta(1.0),
            f1_three_quarters: three_quarters.f_beta(1.0),
            precision_half: half.precision(),
            recall_half: half.recall(),
            f4_half: half.f_beta(CZII_BETA),
            truth: truth_count,
            found: found_count,
        };
        scores.push((class.name.clone(), score));
    }
    let mean = |value: fn(&ClassScore) -> f64| {
        let values: Vec<f64> = scores.iter().filter(|(_, score)| score.truth > 0).map(|(_, score)| value(score)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let mean = MeanScore { f1_half: mean(|score| score.f1_half), f1_three_quarters: mean(|score| score.f1_three_quarters) };
    Evaluation { classes: scores, mean, czii: czii_score(&czii_counts).ok().flatten() }
}

/// The CZII challenge's score of counts by class name at half the radius: the mean of F-beta (beta 4) with the challenge's
/// weights, divided by the sum of the weights of the classes given. `None` when these weigh nothing.
///
/// # Errors
/// When a class is not one of the challenge's six.
pub fn czii_score(counts: &[(&str, Counts)]) -> Result<Option<f64>, ScoreError> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (name, counts) in counts {
        let known = CZII_WEIGHTS.iter().find(|(known, _)| known == name);
        let (_, weight) = known.ok_or_else(|| ScoreError::NotCzii((*name).to_owned()))?;
        sum += weight * counts.f_beta(CZII_BETA);
        weights += weight;
    }
    Ok((weights > 0.0).then(|| sum / weights))
}
