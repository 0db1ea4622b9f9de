//! Heatmaps of a whole tomogram by a sliding window.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::gpu;
use super::windows::{WindowLimits, tile};
use crate::geometry::VoxelBox;
use crate::model::{Network, NetworkConfig, Precision};
use crate::train::Detector;
use crate::volume::{NormalisedVolume, VolumeError, VolumeSource};

/// Deviation of the Gaussian that weighs a window's cells, as a share of half the window.
const WEIGHT_DEVIATION: f64 = 0.25;
/// Smallest weight of a cell, so that every cell has one.
const SMALLEST_WEIGHT: f64 = 1e-3;

/// Memory that the activations of a window may take on the CPU, in bytes: 2 GiB, which the default window of the widest network of
/// stride 2 keeps within and one at full resolution would not.
const ACTIVATION_BYTES: f64 = 2_147_483_648.0;

/// How to cut and average.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictOptions {
    /// Sizes of the windows.
    pub windows: WindowLimits,
    /// Average each window over itself and its flips along x, y and z.
    pub flips: bool,
    /// The part of the volume to compute; the rest stays 0. `None`: all.
    pub region: Option<VoxelBox>,
    /// In which precision a GPU computes; the CPU always computes in single precision.
    pub precision: Precision,
    /// What the network's output means; [`Picker`](super::Picker) takes it from the model.
    pub detector: Detector,
    /// Whether [`Picker::pick`](super::Picker::pick) hands the heatmaps on; without them, only peaks leave a GPU.
    pub heatmaps: bool,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self {
            windows: WindowLimits { edge: 192, voxels: 4 << 20, overlap: 24 },
            flips: false,
            region: None,
            precision: Precision::Auto,
            detector: Detector::Heatmap,
            heatmaps: true,
        }
    }
}

/// One heatmap a class. Cell `o` is centred on voxel index `stride * o` of the volume that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmaps {
    /// Cells `(z, y, x)`.
    pub cells: [usize; 3],
    /// Voxels per cell along each axis: the network's output stride.
    pub stride: usize,
    /// Values of each class, `(z, y, x)` row-major, about 0 to 1: heatmaps, or the probabilities of a segmentation, whose background
    /// is what they leave of 1.
    pub classes: Vec<Vec<f32>>,
}

/// Computes the heatmaps of a volume; borders and windows without contrast stay 0. `progress` is told the share done after each window and may end the work, which then returns
/// `None`. Memory: one window's activations, the heatmaps and one further channel.
///
/// # Errors
/// When the volume cannot be read.
pub fn predict(
    network: &Network,
    config: &NetworkConfig,
    device: &Device,
    volume: &NormalisedVolume,
    options: &PredictOptions,
    mut progress: impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Heatmaps>, VolumeError> {
    let shape = volume.shape();
    let classes = options.detector.classes(config.classes);
    if gpu::suits(device, shape, config) {
        let maps = gpu::predict(network, config, device, volume, options, &mut progress)?;
        return Ok(maps.map(gpu::DeviceMaps::download));
    }
    let stride = config.output_stride();
    let cells = shape.map(|n| n.div_ceil(stride));
    let per_class: usize = cells.iter().product();
    let Some(region) = without_blank_borders(volume.source.as_ref(), options.region.unwrap_or(VoxelBox::whole(shape)))? else {
        let classes = vec![vec![0.0; per_class]; classes];
        return Ok(progress(1.0).is_continue().then_some(Heatmaps { cells, stride, classes }));
    };
    let mut limits = options.windows;
    limits.voxels = limits.voxels.min((ACTIVATION_BYTES / (4.0 * config.live_values_per_voxel())) as usize);
    let tiling = tile(region, limits, config.total_stride(), stride);
    let kernel = gaussian_weights(tiling.window.map(|n| n / stride));
    let mut sums = vec![vec![0.0f32; per_class]; classes];
    let mut weights = vec![0.0f32; per_class];
    let origins = tiling.origins();
    let total = origins.len().max(1) as f32;
    for (done, origin) in origins.into_iter().enumerate() {
        let (window, flips) = (tiling.window, options.flips);
        if let Some(values) = predict_window(network, device, volume, origin, window, flips, options.detector)? {
            let place = Placement::new(origin, tiling.window, cells, stride);
            place.add(&mut weights, &kernel, None);
            let size = kernel.len();
            sums.par_iter_mut()
                .enumerate()
                .for_each(|(class, sum)| place.add(sum, &values[class * size..][..size], Some(&kernel)));
        }
        if progress((done + 1) as f32 / total).is_break() {
            return Ok(None);
        }
    }
    for sum in &mut sums {
        sum.par_iter_mut().zip(&weights).for_each(|(value, weight)| {
            if *weight > 0.0 {
                *value /= weight;
            }
        });
    }
    Ok(Some(Heatmaps { cells, stride, classes: sums }))
}

/// The smallest box in `region` outside which all voxels have one value, such as the border that a reconstruction leaves empty;
/// `None` when all of them have it. Only the border itself and one plane more a side are read.
///
/// # Errors
/// When the volume cannot be read.
pub(super) fn without_blank_borders(source: &dyn VolumeSource, region: VoxelBox) -> Result<Option<VoxelBox>, VolumeError> {
    let mut kept = region;
    let mut corner = [0.0];
    source.read_region(0, VoxelBox::new(region.start, region.start.map(|i| i + 1)), &mut corner)?;
    let mut plane = Vec::new();
    for axis in 0..3 {
        for from_end in [false, true] {
            loop {
                if kept.is_empty() {
                    return Ok(None);
                }
                let mut side = kept;
                match from_end {
                    false => side.end[axis] = side.start[axis] + 1,
                    true => side.start[axis] = side.end[axis] - 1,
                }
                plane.resize(side.voxels(), 0.0);
                source.read_region(0, side, &mut plane)?;
                if plane.iter().any(|value| *value != corner[0]) {
                    break;
                }
                match from_end {
                    false => kept.start[axis] += 1,
                    true => kept.end[axis] -= 1,
                }
            }
        }
    }
    Ok(Some(kept))
}

/// The heatmaps of one window, `[class][z][y][x]`; `None` for a window without contrast, such as a blank border.
pub(crate) fn predict_window(
    network: &Network,
    device: &Device,
    volume: &NormalisedVolume,
    origin: [i64; 3],
    window: [usize; 3],
    flips: bool,
    detector: Detector,
) -> Result<Option<Vec<f32>>, VolumeError> {
    let margin = flip_margin(network, flips);
    let padded = window.map(|n| n + margin);
    let voxels = volume.read(origin.map(|o| o - margin as i64), padded)?;
    let first = voxels.first().copied().unwrap_or(0.0);
    if voxels.iter().all(|v| *v == first) {
        return Ok(None);
    }
    let [z, y, x] = padded;
    let input = Tensor::<5>::from_data(TensorData::new(voxels, [1, 1, z, y, x]), device);
    // One view after the other, since a window may be as large as memory allows.
    Ok(Some(mean_of_views(network, &input, flips, detector, 1).into_data().iter::<f32>().collect()))
}

/// Voxels before a window that its flips about the cell grid need. With output stride `s`, cell `o`, centred on voxel `s o`, becomes cell
/// `n/s - 1 - o` only if voxel `i` becomes voxel `n - s - i`, which reaches `s - 1` voxels before the window.
pub(super) fn flip_margin(network: &Network, flips: bool) -> usize {
    if flips { network.output_stride() - 1 } else { 0 }
}

/// Along which axes `(z, y, x)` each view is flipped.
pub(super) fn views(flips: bool) -> &'static [[bool; 3]] {
    const VIEWS: [[bool; 3]; 4] = [[false, false, false], [true, false, false], [false, true, false], [false, false, true]];
    if flips { &VIEWS } else { &VIEWS[..1] }
}

/// The heatmaps `[n, class, z/s, y/s, x/s]` of windows, or their mean over the windows and their flips along z, y and x, each flipped
/// back; `s` is the output stride. As many views as `at_once` says go through the network together.
///
/// With `flips`, `padded [n, 1, z, y, x]` has more than the window at the start of each axis, as many voxels as [`flip_margin`] says.
/// The maps of a segmentation are the probabilities of the classes.
pub(crate) fn mean_of_views(network: &Network, padded: &Tensor<5>, flips: bool, detector: Detector, at_once: usize) -> Tensor<5> {
    let margin = flip_margin(network, flips);
    let views = views(flips);
    let count = padded.dims()[0];
    let mut sum: Option<Tensor<5>> = None;
    for together in views.chunks(at_once.max(1)) {
        let input = Tensor::cat(together.iter().map(|flip| flipped(padded, margin, *flip)).collect(), 0);
        let output = detector.activate(network.forward(input));
        let classes = detector.classes(output.dims()[1]);
        for (place, flip) in together.iter().enumerate() {
            let map = flipped_back(output.clone().narrow(0, place * count, count).narrow(1, 0, classes), *flip);
            sum = Some(match sum.take() {
                Some(sum) => sum + map,
                None => map,
            });
        }
    }
    let sum = sum.expect("there is a view at least");
    if views.len() > 1 { sum.mul_scalar(1.0 / views.len() as f64) } else { sum }
}

/// The view of windows with `margin` layers more at the start of each axis that is flipped along some axes about the cell grid; see
/// [`flip_margin`].
pub(super) fn flipped(padded: &Tensor<5>, margin: usize, flip: [bool; 3]) -> Tensor<5> {
    let [batch, channels, size @ ..] = padded.dims();
    let range = |axis: usize| if flip[axis] { 0..size[axis] - margin } else { margin..size[axis] };
    let view = padded.clone().slice([0..batch, 0..channels, range(0), range(1), range(2)]);
    flipped_back(view, flip)
}

/// Maps of a flipped view as those of the view itself, by `o -> n - 1 - o` along each axis that was flipped.
fn flipped_back(maps: Tensor<5>, flip: [bool; 3]) -> Tensor<5> {
    (0..3).filter(|axis| flip[*axis]).fold(maps, |maps, axis| maps.flip([axis + 2]))
}

/// A Gaussian of each window cell, `(z, y, x)`, that favours its middle.
pub(super) fn gaussian_weights(cells: [usize; 3]) -> Vec<f32> {
    let axis = |n: usize| -> Vec<f64> {
        let (middle, deviation) = ((n as f64 - 1.0) / 2.0, n as f64 * WEIGHT_DEVIATION);
        (0..n).map(|i| (-0.5 * ((i as f64 - middle) / deviation).powi(2)).exp()).collect()
    };
    let (zs, ys, xs) = (axis(cells[0]), axis(cells[1]), axis(cells[2]));
    let mut out = Vec::with_capacity(cells.iter().product());
    for z in &zs {
        for y in &ys {
            out.extend(xs.iter().map(|x| (z * y * x).max(SMALLEST_WEIGHT) as f32));
        }
    }
    out
}

/// Where a window's cells lie among the volume's.
struct Placement {
    first: [usize; 3],
    window: [usize; 3],
    inside: [usize; 3],
    cells: [usize; 3],
}

impl Placement {
    fn new(origin: [i64; 3], window: [usize; 3], cells: [usize; 3], stride: usize) -> Self {
        // Windows start inside the volume, at multiples of the stride; they may leave it only at the far end.
        let first = origin.map(|o| o.max(0) as usize / stride);
        let window = window.map(|n| n / stride);
        let inside = std::array::from_fn(|axis| window[axis].min(cells[axis].saturating_sub(first[axis])));
        Self { first, window, inside, cells }
    }

    /// Adds `values [* factor]` over the window to `sum` over the volume.
    fn add(&self, sum: &mut [f32], values: &[f32], factor: Option<&[f32]>) {
        for z in 0..self.inside[0] {
            for y in 0..self.inside[1] {
                let to = ((self.first[0] + z) * self.cells[1] + self.first[1] + y) * self.cells[2] + self.first[2];
                let from = (z * self.window[1] + y) * self.window[2];
                let sum = &mut sum[to..][..self.inside[2]];
                let values = &values[from..];
                match factor {
                    Some(factor) => sum
                        .iter_mut()
                        .zip(values.iter().zip(&factor[from..]))
                        .for_each(|(sum, (value, factor))| *sum += value * factor),
                    None => sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_flipped_there_and_back_lands_on_its_cells() {
        // A network that takes the voxel at each cell's centre must see the same cells in every view.
        for stride in [1, 2, 4] {
            let margin = stride - 1;
            let padded = [4, 8, 12].map(|n| n + margin);
            let voxels: Vec<f32> = (0..padded.iter().product()).map(|i| i as f32).collect();
            let [z, y, x] = padded;
            let padded = Tensor::<5>::from_data(TensorData::new(voxels, [1, 1, z, y, x]), &Device::flex());
            let pick = |view: Tensor<5>| {
                let [z, y, x] = [2, 3, 4].map(|axis| view.dims()[axis] / stride);
                let blocks: Tensor<8> = view.reshape([1, 1, z, stride, y, stride, x, stride]);
                let first = blocks.narrow(3, 0, 1).narrow(5, 0, 1).narrow(7, 0, 1);
                first.reshape([1, 1, z, y, x])
            };
            let values = |maps: Tensor<5>| maps.into_data().iter::<f32>().collect::<Vec<_>>();
            let straight = values(pick(flipped(&padded, margin, [false; 3])));
            for flip in [[true, false, false], [false, true, false], [false, false, true], [true; 3]] {
                let back = values(flipped_back(pick(flipped(&padded, margin, flip)), flip));
                assert_eq!(back, straight, "{flip:?} at stride {stride}");
            }
        }
    }

    #[test]
    fn the_weight_is_largest_in_the_middle_and_never_zero() {
        let weights = gaussian_weights([4, 6, 8]);
        assert_eq!(weights.len(), 192);
        assert!(weights.iter().all(|w| *w >= 1e-3 && *w <= 1.0));
        assert!(weights[(6 + 2) * 8 + 3] > weights[0]);
    }
}
