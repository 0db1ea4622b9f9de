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
use crate::model::{Marker, ModelMetadata, Network, OUTPUT_STRIDE, Supervision};
use crate::score::{ScoredRun, best_threshold};
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
}

impl Picked {
    /// Spacing of the heatmaps' cells in angstrom, for a tomogram of `spacing_angstrom`.
    pub fn cell_angstrom(&self, spacing_angstrom: f64) -> f64 {
        spacing_angstrom / self.scale * OUTPUT_STRIDE as f64
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
        let options = &PredictOptions { detector: self.metadata.detector, ..options.clone() };
        // Peaks are found on the GPU, segments here.
        let has_peaks = self.metadata.detector == Detector::Heatmap;
        if has_peaks && gpu::suits(self.device, volume.shape(), config.classes) {
            let maps = gpu::predict(self.network, config, self.device, volume, options, &mut progress)?;
            let Some(maps) = maps else { return Ok(None) };
            let picks = self.placed(&prepared, maps.peaks(&self.radii_cells(), FLOOR)?);
            return Ok(Some(Picked { picks, heatmaps: options.heatmaps.then(|| maps.download()), scale }));
        }
        let heatmaps = predict(self.network, config, self.device, volume, options, progress)?;
        Ok(heatmaps.map(|heatmaps| {
            let picks = self.picks(&prepared, &heatmaps);
            Picked { picks, heatmaps: options.heatmaps.then_some(heatmaps), scale }
        }))
    }

    /// Radius of each class in cells.
    fn radii_cells(&self) -> Vec<f64> {
        let cell_angstrom = self.metadata.spacing_angstrom * OUTPUT_STRIDE as f64;
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
        let last = tomogram.file_shape.map(|n| n as f64 - 1.0);
        let mut picks: Vec<Pick> = Vec::new();
        for (class, peaks) in peaks.into_iter().enumerate() {
            picks.extend(peaks.into_iter().map(|peak| {
                let voxel = peak.position.map(|p| p * OUTPUT_STRIDE as f64 / tomogram.scale);
                // A volume of odd size ends on a cell's centre; half a cell beyond is outside.
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
        voxels_per_cell: [OUTPUT_STRIDE as f64 / scale; 3],
        channels: heatmaps.classes.iter().map(|values| Arc::new(values.iter().map(|v| quantise(*v)).collect())).collect(),
        step,
    }
}

/// 0 to 1 as 0 to 255.
pub(crate) fn quantise(value: f32) -> u8 {
    // A float that is not a number converts to 0.
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// The threshold of each class that maximises F1 at half the radius on the labelled parts of the training data; 0.5 where a class
/// has no label. Only peaks in supervised places count: elsewhere an unlabelled particle would pass for a mistake.
///
/// # Errors
/// When a tomogram cannot be read.
pub fn supervised_thresholds(
    picker: &Picker<'_>,
    data: &TrainingData,
    options: &PredictOptions,
    mut progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Vec<f32>>, PickError> {
    let classes = data.classes().len();
    let mut runs: Vec<Vec<ScoredRun>> = vec![Vec::new(); classes];
    let labelled: Vec<_> = data.labelled().collect();
    let count = labelled.len().max(1) as f32;
    for (index, (tomogram, supervision)) in labelled.iter().enumerate() {
        let region = supervised_box(supervision, data.radii_voxels(), tomogram.volume.shape());
        let options = PredictOptions { region: Some(region), detector: picker.metadata.detector, ..options.clone() };
        let Some(heatmaps) =
            predict(picker.network, &picker.metadata.network, picker.device, &tomogram.volume, &options, |share| {
                progress((index as f32 + share) / count)
            })?
        else {
            return Ok(None);
        };
        for (class, peaks) in picker.peaks(&heatmaps).into_iter().enumerate() {
            let picks = peaks
                .into_iter()
                .map(|peak| (peak.position.map(|p| p * OUTPUT_STRIDE as f64), peak.score))
                .filter(|(position, _)| is_known(supervision, data.radii_voxels(), class, *position))
                .collect();
            let truth = supervision
                .markers
                .iter()
                .filter(|(_, marker)| *marker == Marker::Particle(class))
                .map(|(position, _)| *position)
                .collect();
            runs[class].push(ScoredRun { picks, truth });
        }
    }
    let thresholds =
        runs.iter().zip(data.radii_voxels()).map(|(runs, radius)| best_threshold(runs, *radius, TOLERANCE, 1.0).0).collect();
    Ok(Some(thresholds))
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
            };
            crate::geometry::distance(*centre, position) <= KNOWN_RADII * radius
        })
}

/// The smallest box that holds everything supervised, with some context.
fn supervised_box(supervision: &Supervision, radii: &[f64], shape: [usize; 3]) -> VoxelBox {
    let largest = radii.iter().fold(0.0f64, |a, b| a.max(*b)) * KNOWN_RADII;
    let mut low = [f64::MAX; 3];
    let mut high = [f64::MIN; 3];
    let balls = supervision.markers.iter().map(|(p, _)| (p.map(|v| v - largest), p.map(|v| v + largest)));
    for (first, last) in supervision.complete.iter().copied().chain(balls) {
        for axis in 0..3 {
            low[axis] = low[axis].min(first[axis]);
            high[axis] = high[axis].max(last[axis]);
        }
    }
    let start = std::array::from_fn(|axis| (low[axis].max(0.0) as usize).saturating_sub(CONTEXT).min(shape[axis]));
    let end = std::array::from_fn(|axis| ((high[axis].max(0.0) as usize).saturating_add(1 + CONTEXT)).min(shape[axis]));
    VoxelBox::new(start, end)
}
