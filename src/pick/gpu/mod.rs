//! Whole-tomogram inference on a GPU: windows go to the device in batches, their heatmaps are joined there, and only peaks come back.
//!
//! Every batch has the same shape, the last one filled up, so that kernels are chosen and compiled once. While the device computes a
//! batch, the next one is read.

mod kernels;
mod maps;
mod peaks;

pub(super) use maps::DeviceMaps;

use std::collections::VecDeque;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Waker};

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rayon::prelude::*;

use super::heatmap::{PredictOptions, flip_margin, flipped, gaussian_weights, views, without_blank_borders};
use super::windows::tile;
use crate::geometry::VoxelBox;
use crate::model::gpu::gpu;
use crate::model::{Network, NetworkConfig, in_precision};
use crate::volume::{NormalisedVolume, VolumeError};

/// Share of the device's memory that the activations of a batch may take.
const ACTIVATIONS: f64 = 0.3;
/// Share of the device's memory that the heatmaps and their scratch space may take.
const MAPS: f64 = 0.4;
/// Memory to count on where the driver does not say how much there is.
const UNKNOWN_MEMORY: u64 = 2 << 30;
/// Largest batch: beyond it a GPU is full and waiting for a batch only delays the first result.
const LARGEST_BATCH: usize = 16;
/// Batches under way at once: one that is computed and one that is read.
const UNDER_WAY: usize = 2;

/// The device has failed, by running out of memory or by a fault of its driver.
#[derive(Debug, thiserror::Error)]
#[error("the GPU has failed; start the program again, and choose `cpu` if it happens again: {0}")]
pub struct DeviceFault(String);

type Fence = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Whether the whole heatmaps of a volume fit on a device; always false for the CPU.
pub(super) fn suits(device: &Device, shape: [usize; 3], config: &NetworkConfig) -> bool {
    let Some(device) = gpu(device) else { return false };
    let client = device.client();
    let memory = &client.properties().memory;
    let cells: u64 = shape.map(|n| n.div_ceil(config.output_stride()) as u64).iter().product();
    // The classes, the weights, and two maps of scratch space for the peaks.
    let bytes = cells * 4 * (config.classes as u64 + 3);
    let available = memory.max_memory().unwrap_or(UNKNOWN_MEMORY) as f64 * MAPS;
    cells * 4 <= memory.max_page_size && cells <= u64::from(u32::MAX) && bytes as f64 <= available
}

/// Computes the heatmaps of a volume on the device of `network` and leaves them there. `progress` is told the share done after each
/// batch and may end the work, which then returns `None`.
///
/// Ask [`suits`] before.
///
/// # Errors
/// When the volume cannot be read.
pub(super) fn predict(
    network: &Network,
    config: &NetworkConfig,
    device: &Device,
    volume: &NormalisedVolume,
    options: &PredictOptions,
    progress: &mut impl FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<DeviceMaps>, VolumeError> {
    let network = in_precision(network, device, options.precision);
    let shape = volume.shape();
    let stride = config.output_stride();
    let classes = options.detector.classes(config.classes);
    let mut maps = DeviceMaps::new(device, shape.map(|n| n.div_ceil(stride)), stride, classes);
    let region = options.region.unwrap_or(VoxelBox::whole(shape));
    let Some(region) = without_blank_borders(volume.source.as_ref(), region)? else {
        return Ok(progress(1.0).is_continue().then_some(maps));
    };
    let element = network.dtype().size() as u64;
    let mut limits = options.windows;
    limits.voxels = limits.voxels.min(most_voxels(device, config, element));
    let tiling = tile(region, limits, config.total_stride(), stride);
    let window = tiling.window;
    let window_cells = window.map(|n| n / stride);
    maps.set_window(&gaussian_weights(window_cells), window_cells);
    let margin = flip_margin(&network, options.flips);
    let origins = tiling.origins();
    let batch =
        (most_voxels(device, config, element) / window.iter().product::<usize>()).clamp(1, LARGEST_BATCH).min(origins.len());

    let mut under_way: VecDeque<(Fence, f32)> = VecDeque::new();
    let mut waiting: Vec<([i64; 3], Vec<f32>)> = Vec::with_capacity(batch);
    // As many windows are read at a time as a batch holds; blank ones drop out, so that batches straddle the groups.
    let groups: Vec<&[[i64; 3]]> = origins.chunks(batch).collect();
    for (done, group) in groups.iter().enumerate() {
        let read: Vec<_> = group.par_iter().map(|origin| read(volume, *origin, window, margin)).collect();
        for (origin, voxels) in group.iter().zip(read) {
            waiting.extend(voxels?.map(|voxels| (*origin, voxels)));
        }
        let is_last = done + 1 == groups.len();
        while waiting.len() >= batch || (is_last && !waiting.is_empty()) {
            let rest = waiting.split_off(waiting.len().min(batch));
            compute(&network, device, &mut maps, &waiting, window, batch, options);
            waiting = rest;
        }
        under_way.push_back((maps.fence(), (done + 1) as f32 / groups.len() as f32));
        while under_way.len() >= if is_last { 1 } else { UNDER_WAY } {
            let Some((fence, share)) = under_way.pop_front() else { break };
            pollster::block_on(fence);
            if progress(share).is_break() {
                return Ok(None);
            }
        }
    }
    maps.finish();
    Ok(Some(maps))
}

/// Voxels that a batch may have in all.
fn most_voxels(device: &Device, config: &NetworkConfig, element: u64) -> usize {
    let Some(device) = gpu(device) else { return usize::MAX };
    let client = device.client();
    let memory = &client.properties().memory;
    let bytes_per_voxel = element as f64 * config.live_values_per_voxel();
    let largest_tensor_per_voxel = element as f64 * config.largest_values_per_voxel();
    let memory_bytes = memory.max_memory().unwrap_or(UNKNOWN_MEMORY) as f64;
    let by_memory = memory_bytes * ACTIVATIONS / bytes_per_voxel;
    let by_tensor = memory.max_page_size as f64 / largest_tensor_per_voxel;
    by_memory.min(by_tensor) as usize
}

/// A window's normalised voxels, with `margin` layers more at the start of each axis for flipped views; `None` where it has no
/// contrast.
fn read(volume: &NormalisedVolume, origin: [i64; 3], window: [usize; 3], margin: usize) -> Result<Option<Vec<f32>>, VolumeError> {
    let voxels = volume.read(origin.map(|o| o - margin as i64), window.map(|n| n + margin))?;
    let first = voxels.first().copied().unwrap_or(0.0);
    Ok(voxels.iter().any(|v| *v != first).then_some(voxels))
}

/// Sends windows to the device, computes their heatmaps in every view and adds them to the maps.
fn compute(
    network: &Network,
    device: &Device,
    maps: &mut DeviceMaps,
    windows: &[([i64; 3], Vec<f32>)],
    window: [usize; 3],
    batch: usize,
    options: &PredictOptions,
) {
    let flips = options.flips;
    let margin = flip_margin(network, flips);
    let [depth, height, width] = window.map(|n| n + margin);
    let mut voxels = Vec::with_capacity(batch * depth * height * width);
    windows.iter().for_each(|(_, values)| voxels.extend_from_slice(values));
    voxels.resize(batch * depth * height * width, 0.0);
    let padded = Tensor::<5>::from_data(TensorData::new(voxels, [batch, 1, depth, height, width]), device);
    let padded = padded.cast(FloatDType::from(network.dtype()));
    let views = views(flips);
    let share = 1.0 / views.len() as f32;
    for (view, flip) in views.iter().enumerate() {
        let input = if flips { flipped(&padded, margin, *flip) } else { padded.clone() };
        // The background of a segmentation comes last, where the maps have no room for it.
        let values = options.detector.activate(network.forward(input));
        for (index, (origin, _)) in windows.iter().enumerate() {
            maps.add(&values, index, *origin, *flip, share, view == 0);
        }
    }
}

/// Registers a future with the device now, so that it marks this moment and not the one at which somebody waits for it.
fn started(mut fence: Fence) -> Fence {
    let mut context = Context::from_waker(Waker::noop());
    match fence.as_mut().poll(&mut context) {
        std::task::Poll::Ready(done) => Box::pin(std::future::ready(done)),
        std::task::Poll::Pending => fence,
    }
}

#[cfg(test)]
mod tests;
