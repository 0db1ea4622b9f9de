//! From a tilt series to a volume.

use rayon::prelude::*;

use super::tilt_series::{OVERSAMPLING, TiltSeries};

/// Slices that are worked on between two reports of progress.
const BATCH: usize = 8;

/// Smears the filtered images back along their beams into a volume of `shape` voxels `(z, y, x)`; `progress` hears fractions.
///
/// Every voxel sums the tilts in their order, so the result does not depend on the number of threads.
pub(super) fn back_project(series: &TiltSeries, shape: [usize; 3], mut progress: impl FnMut(f32)) -> Vec<f32> {
    let [depth, height, width] = shape;
    let mut volume = vec![0f32; depth * height * width];
    let batches = depth.div_ceil(BATCH);
    for (batch, slab) in volume.chunks_mut(BATCH * height * width).enumerate() {
        slab.par_chunks_mut(height * width)
            .enumerate()
            .for_each(|(index, slice)| back_project_slice(series, batch * BATCH + index, width, slice));
        progress((batch + 1) as f32 / batches as f32);
    }
    volume
}

fn back_project_slice(series: &TiltSeries, z: usize, width: usize, slice: &mut [f32]) {
    let geometry = &series.geometry;
    let row_length = OVERSAMPLING * geometry.size[0];
    let angle_step = if series.tilts.len() > 1 { series.tilts[1] - series.tilts[0] } else { 1.0 } as f32;
    let mut samples: Vec<(usize, f32)> = Vec::with_capacity(width);
    for (&tilt, image) in series.tilts.iter().zip(&series.images) {
        samples.clear();
        samples.extend((0..width).map(|x| {
            let [u, _] = geometry.project([x as f64, 0.0, z as f64], tilt);
            let fine = OVERSAMPLING as f64 * u;
            // Images are as wide as the volume's diagonal and more, so that a sample and the next always exist.
            let below = fine.floor().clamp(0.0, (row_length - 2) as f64);
            (below as usize, (fine - below) as f32)
        }));
        for (y, row) in slice.chunks_exact_mut(width).enumerate() {
            let start = (geometry.first_row + y) * row_length;
            let line = &image[start..start + row_length];
            for (voxel, &(below, part)) in row.iter_mut().zip(&samples) {
                let value = line[below] + part * (line[below + 1] - line[below]);
                *voxel += angle_step * value;
            }
        }
    }
}

/// Shifts and scales to mean 0 and standard deviation 1; a constant volume becomes 0.
pub(super) fn normalise(volume: &mut [f32]) {
    // Sums of blocks keep their order, so that bits do not depend on the number of threads.
    let sum = |f: &(dyn Fn(f32) -> f64 + Sync)| -> f64 {
        let blocks: Vec<f64> = volume.par_chunks(1 << 16).map(|block| block.iter().map(|&value| f(value)).sum()).collect();
        blocks.iter().sum()
    };
    let n = volume.len() as f64;
    let mean = sum(&f64::from) / n;
    let deviation = (sum(&|value| (f64::from(value) - mean).powi(2)) / n).sqrt();
    let scale = if deviation > 0.0 { deviation.recip() } else { 0.0 };
    volume.par_iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
}
