//! A model at work on whole tomograms.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::Device;

use super::gpu;
use super::heatmap::{Heatmaps, PredictOptions, predict};
use super::peaks::{FLOOR, Peak, find_peaks};
use super::segments::find_segments;
use crate::geometry::VoxelBox;
use crate::labels::TomogramId;
use crate::model::{Marker, ModelMetadata, Network, Supervision};
use crate::score::{ScoredRun, best_threshold, median_found_score};
use crate::train::{DataError, Detector, Heatmap, Pick, PickSet, PreparedTomogram, TrainingData, TrainingTomogram};
use crate::volume::VolumeError;

/// Radii round a label within which a pick counts for a threshold; as in the supervision.
const KNOWN_RADII: f64 = 1.5;
/// Voxels beyond the labelled part that are computed too, so that its border sees its surroundings.
const CONTEXT: usize = 16;
/// Share of the radius within which a pick finds a label.
const TOLERANCE: f64 = 0.5;

/// Why picking failed.
#[derive(Debug, thiserror::Error)]
pub enum PickError {
    /// The tomogram cannot be prepared.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The tomogram cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The GPU has failed.
    #[error(transparent)]
    Device(#[from] gpu::DeviceFault),
}

/// What picking a tomogram gives.
pub struct Picked {
    /// The picks, in voxels of the file.
    pub picks: PickSet,
    /// The heatmaps, at the model's spacing; `None` where they were not asked for.
    pub heatmaps: Option<Heatmaps>,
    /// Voxels at the model's spacing per voxel of the file; 1 where the tomogram was not resampled.
    pub scale: f64,
    /// Voxels at the model's spacing per cell of the heatmaps: the network's output stride.
    pub stride: usize,
}

impl Picked {
    /// Spacing of the heatmaps' cells in angstrom, for a tomogram of `spacing_angstrom`.
    pub fn cell_angstrom(&self, spacing_angstrom: f64) -> f64 {
        spacing_angstrom / self.scale * self.stride as f64
    }
}

/// A network with its description, ready to pick.
pub struct Picker<'a> {
    /// The description.
    pub metadata: &'a ModelMetadata,
    /// The network, on `device`, without autodiff.
    pub network: &'a Network,
    /// The device.
    pub device: &'a Device,
}

impl Picker<'_> {
    /// Picks a whole tomogram, resampled to the model's spacing where its own differs. `None` when `progress` ended it.
    ///
    /// # Errors
    /// When the spacing is unknown, the file cannot be read, or a GPU fails.
    pub fn pick(
        &self,
        tomogram: &TrainingTomogram,
        options: &PredictOptions,
        mut progress: impl FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Option<Picked>, PickError> {
        let prepared = PreparedTomogram::new(tomogram, self.metadata.spacing_angstrom)?;
        let (config, volume, scale) = (&self.metadata.network, &prepared.volume, prepared.scale);
        let stride = config.output_stride();
        let options = &PredictOptions { detector: self.metadata.detector, ..options.clone() };
        // Peaks are found on the GPU, segments here.
        let has_peaks = self.metadata.detector == Detector::Heatmap;
        if has_peaks && gpu::suits(self.device, volume.shape(), config) {
            let maps = gpu::predict(self.network, config, self.device, volume, options, &mut progress)?;
            let Some(maps) = maps else { return Ok(None) };
            let picks = self.placed(&prepared, maps.peaks(&self.radii_cells(), FLOOR)?);
            return Ok(Some(Picked { picks, heatmaps: options.heatmaps.then(|| maps.download()), scale, stride }));
        }
        let heatmaps = predict(self.network, config, self.device, volume, options, progress)?;
        Ok(heatmaps.map(|heatmaps| {
            let picks = self.picks(&prepared, &heatmaps);
            Picked { picks, heatmaps: options.heatmaps.then_some(heatmaps), scale, stride }
        }))
    }

    /// Radius of each class in cells.
    fn radii_cells(&self) -> Vec<f64> {
        let cell_angstrom = self.metadata.spacing_angstrom * self.metadata.network.output_stride() as f64;
        self.metadata.classes.iter().map(|class| class.radius_angstrom / cell_angstrom).collect()
    }

    /// The picks of heatmaps, in voxels of the file.
    pub fn picks(&self, tomogram: &PreparedTomogram, heatmaps: &Heatmaps) -> PickSet {
        self.placed(tomogram, self.peaks(heatmaps))
    }

    /// What the detector finds in heatmaps, class by class, by descending score: peaks, or segments.
    fn peaks(&self, heatmaps: &Heatmaps) -> Vec<Vec<Peak>> {
        let radii = self.radii_cells();
        let find = |(heatmap, radius): (&Vec<f32>, &f64)| find_peaks(heatmap, heatmaps.cells, *radius, FLOOR);
        match self.metadata.detector {
            Detector::Heatmap => heatmaps.classes.iter().zip(&radii).map(find).collect(),
            Detector::Segmentation => find_segments(&heatmaps.classes, heatmaps.cells, &radii, FLOOR),
        }
    }

    /// The picks at the peaks of each class.
    fn placed(&self, tomogram: &PreparedTomogram, peaks: Vec<Vec<Peak>>) -> PickSet {
        let metadata = self.metadata;
        let stride = metadata.network.output_stride() as f64;
        let last = tomogram.file_shape.map(|n| n as f64 - 1.0);
        let mut picks: Vec<Pick> = Vec::new();
        for (class, peaks) in peaks.into_iter().enumerate() {
            picks.extend(peaks.into_iter().map(|peak| {
                let voxel = peak.position.map(|p| p * stride / tomogram.scale);
                // A volume may end on a cell's centre; half a cell beyond is outside.
                let position = std::array::from_fn(|axis| voxel[axis].clamp(0.0, last[axis]));
                Pick { position, class, score: peak.score }
            }));
        }
        picks.sort_by(|a, b| b.score.total_cmp(&a.score));
        PickSet {
            tomogram: tomogram.id,
            classes: metadata.classes.clone(),
            thresholds: metadata.thresholds.clone(),
            picks,
            step: metadata.steps,
        }
    }
}

/// Heatmaps in the compact form of the view.
pub(crate) fn view_of(tomogram: TomogramId, scale: f64, heatmaps: &Heatmaps, step: usize) -> Heatmap {
    Heatmap {
        tomogram,
        shape: heatmaps.cells,
        voxels_per_cell: [heatmaps.stride as f64 / scale; 3],
        channels: heatmaps.classes.iter().map(|values| Arc::new(values.iter().map(|v| quantise(*v)).collect())).collect(),
        step,
    }
}

/// 0 to 1 as 0 to 255.
pub(crate) fn quantise(value: f32) -> u8 {
    // A float that is not a number converts to 0.
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Beta of the second threshold, the CZII challenge's: recall counts far more than precision.
const RECALL_BETA: f64 = 4.0;
/// Labels of a class that must be held out for its thresholds to be chosen on them alone.
const ENOUGH_HELD_OUT: usize = 8;
/// Highest thresholds for F1 and for F-beta, as shares of the median score of taught positions, where nothing is complete. Measured in
/// `docs/results.md`, "Thresholds of positions alone".
const OF_TAUGHT: [f32; 2] = [0.8, 0.5];

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
/// on all. Only peaks in supervised places count: elsewhere an unlabelled particle would pass for a mistake. `None` when `progress`
/// ended it.
///
/// Without a complete region hardly a mistake is seen, and the best threshold lies just below the lowest score of the labels. Those that
/// were taught score higher than particles that were not, the more so the longer the run, so that the threshold is kept
/// below a share of their median.
///
/// # Errors
/// When a tomogram cannot be read.
pub fn supervised_thresholds(
    picker: &Picker<'_>,
    data: &TrainingData,
    options: &PredictOptions,
    progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Thresholds>, PickError> {
    let held_out: Vec<bool> = data.held_out_per_class().iter().map(|count| *count >= ENOUGH_HELD_OUT).collect();
    // Without a class that needs them, the taught parts are not computed.
    let all = !held_out.iter().all(|held| *held);
    let Some(runs) = scored_runs(picker, data, options, all, progress)? else { return Ok(None) };
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
    Ok(Some(chosen))
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
    let Some(runs) = scored_runs(picker, data, options, false, progress)? else { return Ok(None) };
    let best = |(class, [_, held]): (usize, [Vec<ScoredRun>; 2])| {
        (counts[class] >= ENOUGH_HELD_OUT).then(|| best_threshold(&held, data.radii_voxels()[class], TOLERANCE, 1.0).1)
    };
    Ok(Some(runs.into_iter().enumerate().map(best).collect()))
}

/// Picks and labels of each class: in the taught parts, when these are asked for, and in those held out.
fn scored_runs(
    picker: &Picker<'_>,
    data: &TrainingData,
    options: &PredictOptions,
    taught: bool,
    mut progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Vec<[Vec<ScoredRun>; 2]>>, PickError> {
    let radii = data.radii_voxels();
    let mut runs: Vec<[Vec<ScoredRun>; 2]> = vec![[Vec::new(), Vec::new()]; radii.len()];
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
        let stride = heatmaps.stride as f64;
        for (class, peaks) in picker.peaks(&heatmaps).into_iter().enumerate() {
            let picks: Vec<([f64; 3], f32)> =
                peaks.into_iter().map(|peak| (peak.position.map(|p| p * stride), peak.score)).collect();
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
    Ok(Some(runs))
}

/// Whether the supervision covers `position` for `class`.
fn is_known(supervision: &Supervision, radii: &[f64], class: usize, position: [f64; 3]) -> bool {
    let in_box = supervision
        .complete
        .iter()
        .any(|(first, last)| (0..3).all(|axis| position[axis] >= first[axis] - 0.5 && position[axis] <= last[axis] + 0.5));
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
}
