//! Thresholds: from labelled tomograms, and carried over to unlabelled ones.

use std::ops::ControlFlow;

use super::heatmap::{PredictOptions, predict};
use super::peaks::FLOOR;
use super::picker::{PickError, Picker};
use crate::geometry::VoxelBox;
use crate::model::{Marker, Supervision};
use crate::score::{ScoredRun, best_threshold, median_found_score};
use crate::train::{Detector, PreparedTomogram, TrainingData};

/// Radii round a label within which a pick counts for a threshold; as in the supervision.
const KNOWN_RADII: f64 = 1.5;
/// Voxels beyond the labelled part that are computed too, so that its border sees its surroundings.
const CONTEXT: usize = 16;
/// Share of the radius within which a pick finds a label.
const TOLERANCE: f64 = 0.5;

/// Beta of the second threshold, the CZII challenge's: recall counts far more than precision.
const RECALL_BETA: f64 = 4.0;
/// Labels of a class that must be held out for its thresholds to be chosen on them alone.
const ENOUGH_HELD_OUT: usize = 8;
/// Highest thresholds for F1 and for F-beta, as shares of the median score of taught positions, where nothing is complete. Measured in
/// `docs/results.md`, "Thresholds of positions alone".
const OF_TAUGHT: [f32; 2] = [0.8, 0.5];

/// How far the number of picks in unlabelled tomograms may be from that in complete regions of as many voxels before thresholds move: this
/// factor, times one standard deviation of the number counted. Measured in `docs/results.md`, "Tomograms taken differently".
const TOLERATED: f64 = 1.25;
/// The furthest that a threshold is moved, as a factor: classes that stand out from everything else keep theirs in effect.
const FURTHEST: f32 = 2.0;
/// Share of a tomogram's depth that a complete region needs for its density to be compared with that of unlabelled tomograms.
const DEEP: f64 = 0.9;
/// Most unlabelled tomograms that are counted in, and the voxels of all that are computed for it at most.
const COUNTED: usize = 8;
const COUNTED_VOXELS: usize = 64 << 20;

/// Thresholds chosen on labelled data, one a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Those that maximise F1 at half the radius; 0.5 where a class has no label, and no more than 0.8 of the median score at taught
    /// positions where nothing is complete.
    pub f1: Vec<f32>,
    /// Those that maximise F-beta with beta 4; in the last case no more than 0.5 of the median score.
    pub f4: Vec<f32>,
    /// F1 at the first; `None` where a class has no label.
    pub best_f1: Vec<Option<f64>>,
    /// Whether they come from labels that were not taught.
    pub held_out: Vec<bool>,
}

/// Chooses the thresholds of each class on the labels that were held out of training when there are at least eight of the class, else
/// on all. Only peaks in supervised places count: elsewhere an unlabelled particle would pass for a mistake. `progress` hears the share
/// done, 0 to 1, and may end it: `None`, or the thresholds as they suit the labelled tomograms when these were through.
///
/// Without a complete region hardly a mistake is seen, and the best threshold lies just below the lowest score of the labels. Those that
/// were taught score higher than particles that were not, the more so the longer the run, so that the threshold is kept
/// below a share of their median.
///
/// With `carry`, thresholds that were chosen in complete regions are carried over to the unlabelled tomograms. There a network's scores
/// may be on another scale: these tomograms were taken differently, or co-training has lowered what it is unsure of. A threshold that
/// keeps many more or fewer picks there than in complete regions of as many voxels (those as deep as their tomogram) is moved until
/// the number is within what chance explains.
///
/// # Errors
/// When a tomogram cannot be read.
pub fn supervised_thresholds(
    picker: &Picker<'_>,
    data: &TrainingData,
    options: &PredictOptions,
    carry: bool,
    mut progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Thresholds>, PickError> {
    let held_out: Vec<bool> = data.held_out_per_class().iter().map(|count| *count >= ENOUGH_HELD_OUT).collect();
    // Without a class that needs them, the taught parts are not computed.
    let all = !held_out.iter().all(|held| *held);
    let carry = carry && picker.metadata.detector == Detector::Heatmap && data.has_complete_region();
    let first = if carry { share_of_labelled(data) } else { 1.0 };
    let Some((runs, complete)) = scored_runs(picker, data, options, all, |share| progress(first * share))? else {
        return Ok(None);
    };
    let mut chosen = Thresholds { f1: Vec::new(), f4: Vec::new(), best_f1: Vec::new(), held_out };
    for (class, [taught, held]) in runs.into_iter().enumerate() {
        let runs: Vec<ScoredRun> = if chosen.held_out[class] { held } else { taught.into_iter().chain(held).collect() };
        let radius = data.radii_voxels()[class];
        let (f1, best) = best_threshold(&runs, radius, TOLERANCE, 1.0);
        let (f4, _) = best_threshold(&runs, radius, TOLERANCE, RECALL_BETA);
        let sees_mistakes = data.has_complete_region() || picker.metadata.detector != Detector::Heatmap;
        let taught = match sees_mistakes || chosen.held_out[class] {
            true => None,
            false => median_found_score(&runs, radius, TOLERANCE),
        };
        chosen.f1.push(below_taught(f1, OF_TAUGHT[0], taught));
        chosen.f4.push(below_taught(f4, OF_TAUGHT[1], taught));
        chosen.best_f1.push(runs.iter().any(|run| !run.truth.is_empty()).then_some(best));
    }
    if carry && complete.voxels > 0.0 {
        let rest = |share| progress(first + (1.0 - first) * share);
        let Some(unlabelled) = unlabelled_census(picker, data, options, rest)? else { return Ok(Some(chosen)) };
        for class in 0..chosen.f1.len() {
            let factor = carried(chosen.f1[class], &complete, &unlabelled, class);
            chosen.f1[class] *= factor;
            chosen.f4[class] *= factor;
        }
    }
    Ok(Some(chosen))
}

/// Scores of all peaks of some volume.
struct Census {
    /// Of each class, by descending score.
    scores: Vec<Vec<f32>>,
    voxels: f64,
}

impl Census {
    fn count(&self, class: usize, threshold: f32) -> usize {
        self.scores[class].iter().filter(|score| **score >= threshold).count()
    }
}

/// What a threshold of complete regions is multiplied by for unlabelled tomograms; 1 where the numbers of picks agree within the tolerance,
/// where the furthest move would not bring half of the change that is wanted (there are fewer particles then, or more, and their scores are
/// no other), or nothing was counted.
fn carried(threshold: f32, complete: &Census, unlabelled: &Census, class: usize) -> f32 {
    let known = complete.count(class, threshold) as f64;
    if known == 0.0 || unlabelled.voxels == 0.0 || threshold <= 0.0 {
        return 1.0;
    }
    let expected = known * unlabelled.voxels / complete.voxels;
    let tolerance = TOLERATED * known.sqrt().recip().exp();
    let (fewest, most) = ((expected / tolerance) as usize, (expected * tolerance).ceil() as usize);
    let scores = &unlabelled.scores[class];
    let count = unlabelled.count(class, threshold);
    let (moved, wanted) = if count < fewest {
        // The score of the last pick that is wanted; with fewer peaks than that, all are.
        (scores.get(fewest - 1).copied().unwrap_or(FLOOR), fewest)
    } else if count > most {
        // Between the last that is wanted and the first that is not.
        ((scores[most - 1] + scores[most]) / 2.0, most)
    } else {
        return 1.0;
    };
    let factor = (moved / threshold).clamp(FURTHEST.recip(), FURTHEST);
    let change = unlabelled.count(class, threshold * factor).abs_diff(count);
    if 2 * change < wanted.abs_diff(count) { 1.0 } else { factor }
}

/// The unlabelled tomograms that are counted in, and of each the part.
fn counted(data: &TrainingData) -> Vec<(&PreparedTomogram, VoxelBox)> {
    let tomograms: Vec<_> = data.unlabelled().take(COUNTED).collect();
    let voxels = COUNTED_VOXELS / tomograms.len().max(1);
    tomograms.into_iter().map(|tomogram| (tomogram, middle(tomogram.volume.shape(), voxels))).collect()
}

/// Share of the labelled tomograms in the voxels that are computed, for the progress: an estimate, as only their known parts are.
fn share_of_labelled(data: &TrainingData) -> f32 {
    let labelled: usize = data.labelled().map(|(tomogram, _)| tomogram.volume.shape().iter().product::<usize>()).sum();
    let counted: usize = counted(data).iter().map(|(_, region)| region.voxels()).sum();
    labelled as f32 / (labelled + counted).max(1) as f32
}

/// The peaks of unlabelled tomograms: of the middle of each where they are large.
fn unlabelled_census(
    picker: &Picker<'_>,
    data: &TrainingData,
    options: &PredictOptions,
    mut progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Census>, PickError> {
    let parts = counted(data);
    let mut census = Census { scores: vec![Vec::new(); data.classes().len()], voxels: 0.0 };
    let count = parts.len();
    for (index, (tomogram, region)) in parts.into_iter().enumerate() {
        let options = PredictOptions { region: Some(region), detector: picker.metadata.detector, ..options.clone() };
        let (network, device) = (&picker.metadata.network, picker.device);
        let share = |share| progress((index as f32 + share) / count as f32);
        let Some(heatmaps) = predict(picker.network, network, device, &tomogram.volume, &options, share)? else {
            return Ok(None);
        };
        for (scores, peaks) in census.scores.iter_mut().zip(picker.peaks(&heatmaps)) {
            scores.extend(peaks.into_iter().map(|peak| peak.score));
        }
        census.voxels += region.voxels() as f64;
    }
    census.scores.iter_mut().for_each(|scores| scores.sort_by(|a, b| b.total_cmp(a)));
    Ok(Some(census))
}

/// The middle of a volume, of its whole depth and about `voxels` voxels at most.
fn middle(shape: [usize; 3], voxels: usize) -> VoxelBox {
    let whole: usize = shape.iter().product();
    let share = (voxels as f64 / whole.max(1) as f64).sqrt().min(1.0);
    let edges = [shape[0], (shape[1] as f64 * share).round() as usize, (shape[2] as f64 * share).round() as usize];
    let start: [usize; 3] = std::array::from_fn(|axis| (shape[axis] - edges[axis]) / 2);
    VoxelBox::new(start, std::array::from_fn(|axis| start[axis] + edges[axis]))
}

/// A threshold no higher than `share` of the median score at taught positions. Where most of them are not found, that says nothing.
fn below_taught(threshold: f32, share: f32, median: Option<f32>) -> f32 {
    match median {
        Some(median) if median > 0.0 => threshold.min((share * median).max(FLOOR)),
        _ => threshold,
    }
}

/// Best F1 of each class on the labels that are held out of training; `None` for a class with fewer than eight of them, and altogether when
/// no class has more or `progress` ended it.
///
/// # Errors
/// When a tomogram cannot be read.
pub fn held_out_f1(
    picker: &Picker<'_>,
    data: &TrainingData,
    options: &PredictOptions,
    progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Vec<Option<f64>>>, PickError> {
    let counts = data.held_out_per_class();
    if counts.iter().all(|count| *count < ENOUGH_HELD_OUT) {
        return Ok(None);
    }
    let Some((runs, _)) = scored_runs(picker, data, options, false, progress)? else { return Ok(None) };
    let best = |(class, [_, held]): (usize, [Vec<ScoredRun>; 2])| {
        (counts[class] >= ENOUGH_HELD_OUT).then(|| best_threshold(&held, data.radii_voxels()[class], TOLERANCE, 1.0).1)
    };
    Ok(Some(runs.into_iter().enumerate().map(best).collect()))
}

/// A box: first and last coordinate along `(z, y, x)`.
type Extent = ([f64; 3], [f64; 3]);

/// Picks and labels of a class: in the taught parts of the tomograms, and in those held out.
type ClassRuns = [Vec<ScoredRun>; 2];

/// Picks and labels of each class, the taught ones when they are asked for, and the peaks in the complete boxes of these parts.
fn scored_runs(
    picker: &Picker<'_>,
    data: &TrainingData,
    options: &PredictOptions,
    taught: bool,
    mut progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<(Vec<ClassRuns>, Census)>, PickError> {
    let radii = data.radii_voxels();
    let mut runs: Vec<ClassRuns> = vec![[Vec::new(), Vec::new()]; radii.len()];
    let mut complete = Census { scores: vec![Vec::new(); radii.len()], voxels: 0.0 };
    let labelled: Vec<_> = data.labelled().collect();
    let count = labelled.len().max(1) as f32;
    for (index, (tomogram, parts)) in labelled.iter().enumerate() {
        let wanted = if taught { &parts[..] } else { &parts[1..] };
        let Some(region) = supervised_box(wanted, radii, tomogram.volume.shape()) else { continue };
        let options = PredictOptions { region: Some(region), detector: picker.metadata.detector, ..options.clone() };
        let Some(heatmaps) =
            predict(picker.network, &picker.metadata.network, picker.device, &tomogram.volume, &options, |share| {
                progress((index as f32 + share) / count)
            })?
        else {
            return Ok(None);
        };
        // A shallow box is drawn where the particles are, and its density says nothing of whole tomograms.
        let depth = tomogram.volume.shape()[0] as f64;
        let is_deep = |extent: &&Extent| extent.1[0] - extent.0[0] + 1.0 >= DEEP * depth;
        let boxes = || wanted.iter().flat_map(|part| &part.complete).filter(is_deep);
        complete.voxels +=
            boxes().map(|(first, last)| (0..3).map(|axis| last[axis] - first[axis] + 1.0).product::<f64>()).sum::<f64>();
        let stride = heatmaps.stride as f64;
        for (class, peaks) in picker.peaks(&heatmaps).into_iter().enumerate() {
            let picks: Vec<([f64; 3], f32)> =
                peaks.into_iter().map(|peak| (peak.position.map(|p| p * stride), peak.score)).collect();
            complete.scores[class]
                .extend(picks.iter().filter(|(p, _)| boxes().any(|extent| is_within(extent, *p))).map(|(_, score)| *score));
            for (runs, supervision) in runs[class].iter_mut().zip(parts) {
                let is_known = |(position, _): &&([f64; 3], f32)| is_known(supervision, radii, class, *position);
                let truth = supervision.markers.iter().filter(|(_, marker)| *marker == Marker::Particle(class));
                runs.push(ScoredRun {
                    picks: picks.iter().filter(is_known).copied().collect(),
                    truth: truth.map(|(position, _)| *position).collect(),
                });
            }
        }
    }
    complete.scores.iter_mut().for_each(|scores| scores.sort_by(|a, b| b.total_cmp(a)));
    Ok(Some((runs, complete)))
}

/// Whether a box holds `position`, to half a voxel.
fn is_within((first, last): &Extent, position: [f64; 3]) -> bool {
    (0..3).all(|axis| position[axis] >= first[axis] - 0.5 && position[axis] <= last[axis] + 0.5)
}

/// Whether the supervision covers `position` for `class`.
fn is_known(supervision: &Supervision, radii: &[f64], class: usize, position: [f64; 3]) -> bool {
    let in_box = supervision.complete.iter().any(|extent| is_within(extent, position));
    in_box
        || supervision.markers.iter().any(|(centre, marker)| {
            let radius = match marker {
                Marker::Particle(own) => radii[*own],
                Marker::Negative => radii[class],
                Marker::HeldOut(_) => return false,
            };
            crate::geometry::distance(*centre, position) <= KNOWN_RADII * radius
        })
}

/// The smallest box that holds everything supervised, with some context; `None` when nothing is.
fn supervised_box(parts: &[Supervision], radii: &[f64], shape: [usize; 3]) -> Option<VoxelBox> {
    let largest = radii.iter().fold(0.0f64, |a, b| a.max(*b)) * KNOWN_RADII;
    let mut low = [f64::MAX; 3];
    let mut high = [f64::MIN; 3];
    let markers = parts.iter().flat_map(|part| &part.markers).filter(|(_, marker)| !matches!(marker, Marker::HeldOut(_)));
    let balls = markers.map(|(p, _)| (p.map(|v| v - largest), p.map(|v| v + largest)));
    for (first, last) in parts.iter().flat_map(|part| &part.complete).copied().chain(balls) {
        for axis in 0..3 {
            low[axis] = low[axis].min(first[axis]);
            high[axis] = high[axis].max(last[axis]);
        }
    }
    if low[0] > high[0] {
        return None;
    }
    let start = std::array::from_fn(|axis| (low[axis].max(0.0) as usize).saturating_sub(CONTEXT).min(shape[axis]));
    let end = std::array::from_fn(|axis| ((high[axis].max(0.0) as usize).saturating_add(1 + CONTEXT)).min(shape[axis]));
    Some(VoxelBox::new(start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_measured_mistakes_a_threshold_stays_below_what_was_taught() {
        assert_eq!(below_taught(0.9, 0.8, Some(0.5)), 0.4);
        assert_eq!(below_taught(0.3, 0.8, Some(0.5)), 0.3);
        // No lower than picks are kept, and unchanged where nothing is known of the taught positions or they are not found.
        assert_eq!(below_taught(0.9, 0.8, Some(0.01)), FLOOR);
        assert_eq!([Some(0.0), None].map(|median| below_taught(0.5, 0.8, median)), [0.5; 2]);
    }

    #[test]
    fn a_threshold_moves_until_unlabelled_tomograms_have_as_many_picks_as_expected() {
        let census = |scores: Vec<f32>, voxels| Census { scores: vec![scores], voxels };
        // A hundred particles at 0.9 above the background's 0.1.
        let background = vec![0.1; 1000];
        let complete = census([vec![0.9; 100], background.clone()].concat(), 1e6);
        let factor = |particles: Vec<f32>| carried(0.6, &complete, &census([particles, background.clone()].concat(), 2e6), 0);
        let fading = |count: usize, top: f32| (0..count).map(|i| top - 0.001 * i as f32).collect::<Vec<f32>>();
        // Twice the volume: 200 expected, of which 200 / (1.25 exp(0.1)) = 144 are the fewest.
        assert_eq!(factor(vec![0.9; 200]), 1.0);
        assert_eq!(factor(fading(250, 0.85)), 1.0, "a number by chance");
        let lowered = factor(fading(200, 0.64));
        assert!((lowered - (0.64 - 0.143) / 0.6).abs() < 1e-3, "{lowered}");
        let raised = factor([vec![0.9; 200], fading(200, 0.85)].concat());
        assert!(raised > 1.0 && raised < 0.9 / 0.6, "{raised}");
        // Fewer particles of the same scores: what lies lower is something else.
        assert_eq!(factor(vec![0.9; 20]), 1.0);
        assert_eq!(factor([vec![0.9; 20], vec![0.35; 3]].concat()), 1.0);
        // More of them, of the highest scores.
        assert_eq!(factor(vec![1.3; 600]), 1.0);
        // Without anything to count it stays.
        assert_eq!(carried(0.95, &complete, &census(vec![0.9; 10], 1e6), 0), 1.0);
        assert_eq!(carried(0.6, &complete, &census(Vec::new(), 0.0), 0), 1.0);
    }

    #[test]
    fn of_large_tomograms_the_middle_is_counted() {
        assert_eq!(middle([10, 20, 30], 10_000), VoxelBox::whole([10, 20, 30]));
        let part = middle([10, 200, 400], 200_000);
        assert_eq!(part.shape(), [10, 100, 200]);
        assert_eq!(part.start, [0, 50, 100]);
        assert_eq!(middle([0, 0, 0], 100).voxels(), 0);
    }
}
