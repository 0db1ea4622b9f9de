//! A model at work on whole tomograms.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::Device;

use super::gpu;
use super::heatmap::{Heatmaps, PredictOptions, predict};
use super::peaks::{FLOOR, Peak, find_peaks};
use super::segments::find_segments;
use crate::labels::TomogramId;
use crate::model::{ModelMetadata, Network};
use crate::train::{DataError, Detector, Heatmap, Pick, PickSet, PreparedTomogram, TrainingTomogram};
use crate::volume::VolumeError;

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
    pub(super) fn peaks(&self, heatmaps: &Heatmaps) -> Vec<Vec<Peak>> {
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
