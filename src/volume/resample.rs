//! A volume at another spacing, computed where it is read.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::{Level, VolumeError, VolumeInfo, VolumeSource, check_region};
use crate::geometry::VoxelBox;

/// A box narrower than this, in source voxels, averages nothing.
const NARROWEST_BOX: f64 = 1e-3;
/// The most that a volume is shrunk or enlarged: beyond, one of the spacings is a mistake.
const LARGEST_RATIO: f64 = 100.0;
/// Voxels of the source held at a time, unless a single section of the region needs more.
const BLOCK_VOXELS: usize = 4 << 20;

/// A volume seen at another spacing. Nothing is computed before a region is read.
///
/// Voxel `i` lies at index `i * new / old` of the source along each axis, so the centre of voxel 0 stays where it is, and
/// there are `floor((n - 1) * old / new) + 1` voxels. Values are interpolated linearly along each axis. When the volume
/// shrinks by `r`, the interpolated values are averaged over a box of `sqrt(r^2 - 1)` source voxels, so that detail finer than
/// the new voxels does not fold into them. The width follows from variances: that of a box of `r` voxels, the footprint of a
/// new voxel, less that of the box of one which the source was sampled with. It grows from 0 at equal spacing (1.7 voxels for
/// `r = 2`), so two spacings that nearly agree give nearly the same voxels. Linear functions are kept, but for a border of half
/// a box, where the outermost voxels are repeated.
pub struct ResampledVolume {
    source: Arc<dyn VolumeSource>,
    info: VolumeInfo,
    levels: [Level; 1],
    /// Source voxels per voxel.
    ratio: f64,
}

impl ResampledVolume {
    /// `source`, whose voxels have an edge of `source_angstrom`, at voxels of `spacing_angstrom`. (The spacing is given
    /// because a file may not know it.)
    ///
    /// # Errors
    /// When a spacing is not positive or the two differ more than a hundredfold.
    pub fn new(source: Arc<dyn VolumeSource>, source_angstrom: f64, spacing_angstrom: f64) -> Result<Self, VolumeError> {
        let ratio = spacing_angstrom / source_angstrom;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !(positive(source_angstrom) && positive(spacing_angstrom) && (1.0 / LARGEST_RATIO..=LARGEST_RATIO).contains(&ratio)) {
            return Err(VolumeError::Spacing { spacing_angstrom, source_angstrom, path: source.info().path.clone() });
        }
        // A whole number of voxels must not be lost to rounding, as in 2.9999999 for 3.
        let shape = source.levels()[0].shape.map(|size| ((size.max(1) - 1) as f64 / ratio + 1e-6).floor() as usize + 1);
        let mut info = source.info().clone();
        info.shape = shape;
        info.spacing_angstrom = Some(spacing_angstrom);
        info.data_type = "float32".to_owned();
        Ok(Self { source, info, levels: [Level::full(shape)], ratio })
    }

    /// Source voxels per voxel along each axis: new spacing over old. A position here times this is one in the source.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }
}

impl VolumeSource for ResampledVolume {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        check_region(&self.levels, level, region, out.len(), &self.info.path)?;
        if out.is_empty() {
            return Ok(());
        }
        let source_shape = self.source.levels()[0].shape;
        let [z_taps, y_taps, x_taps] =
            std::array::from_fn(|axis| Taps::new(region.start[axis]..region.end[axis], self.ratio, source_shape[axis]));
        let [_, rows, columns] = region.shape();
        let section = rows * columns;
        let source_section = y_taps.source.len() * x_taps.source.len();
        let per_block = (BLOCK_VOXELS / source_section).max(1);
        out.fill(0.0);
        let (mut block, mut narrowed, mut reduced) = (Vec::new(), Vec::new(), Vec::new());
        // Each section of the source is read once, narrowed along x and y, and added to the sections that it is part of.
        for z in z_taps.source.clone().step_by(per_block) {
            let z_end = (z + per_block).min(z_taps.source.end);
            let start = [z, y_taps.source.start, x_taps.source.start];
            let source_box = VoxelBox::new(start, [z_end, y_taps.source.end, x_taps.source.end]);
            block.resize(source_box.voxels(), 0.0);
            self.source.read_region(0, source_box, &mut block)?;
            let source_rows = y_taps.source.len();
            narrowed.resize((z_end - z) * source_rows * columns, 0.0);
            narrowed.par_chunks_exact_mut(columns).zip(block.par_chunks_exact(x_taps.source.len())).with_min_len(64).for_each(
                |(narrow, row)| {
                    for (value, taps) in narrow.iter_mut().zip(&x_taps.each) {
                        let first = taps.first - x_taps.source.start;
                        let weighted = taps.weights.iter().zip(&row[first..first + taps.weights.len()]);
                        *value = weighted.map(|(weight, voxel)| weight * voxel).sum();
                    }
                },
            );
            reduced.resize((z_end - z) * section, 0.0);
            reduced.par_chunks_exact_mut(columns).enumerate().with_min_len(64).for_each(|(index, row): (usize, &mut [f32])| {
                let (taps, source_z) = (&y_taps.each[index % rows], index / rows);
                let first = source_z * source_rows + taps.first - y_taps.source.start;
                row.fill(0.0);
                for (k, weight) in taps.weights.iter().enumerate() {
                    add_weighted(row, *weight, &narrowed[(first + k) * columns..(first + k + 1) * columns]);
                }
            });
            out.par_chunks_exact_mut(section).zip(&z_taps.each).for_each(|(out, taps)| {
                for (source_z, weight) in (taps.first..).zip(&taps.weights) {
                    if (z..z_end).contains(&source_z) {
                        add_weighted(out, *weight, &reduced[(source_z - z) * section..(source_z - z + 1) * section]);
                    }
                }
            });
        }
        Ok(())
    }
}

fn add_weighted(out: &mut [f32], weight: f32, values: &[f32]) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out += weight * value);
}

/// The source voxels that one voxel is a weighted mean of, along one axis.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of a range of voxels, and the range of the source that they cover.
struct Taps {
    each: Vec<Tap>,
    source: Range<usize>,
}

impl Taps {
    /// `range` is not empty; `size` is the source's.
    fn new(range: Range<usize>, ratio: f64, size: usize) -> Self {
        let width = (ratio * ratio - 1.0).max(0.0).sqrt();
        let half_width = 1.0 + width / 2.0;
        let last_voxel = (size - 1) as f64;
        let each: Vec<Tap> = range
            .map(|index| {
                // The last voxel may lie past the source's last by rounding.
                let position = (index as f64 * ratio).min(last_voxel);
                let weight = |voxel: f64| {
                    let distance = position - voxel;
                    if width < NARROWEST_BOX {
                        (1.0 - distance.abs()).max(0.0)
                    } else {
                        (triangle_area(distance + width / 2.0) - triangle_area(distance - width / 2.0)) / width
                    }
                };
                let (lowest, highest) = ((position - half_width).floor() + 1.0, (position + half_width).ceil() - 1.0);
                let first = lowest.max(0.0) as usize;
                let mut weights = vec![0.0; highest.min(last_voxel) as usize - first + 1];
                let mut voxel = lowest;
                while voxel <= highest {
                    // Voxels outside are copies of the outermost one.
                    weights[voxel.clamp(0.0, last_voxel) as usize - first] += weight(voxel);
                    voxel += 1.0;
                }
                let sum: f64 = weights.iter().sum();
                Tap { first, weights: weights.into_iter().map(|weight| (weight / sum) as f32).collect() }
            })
            .collect();
        let start = each.iter().map(|tap| tap.first).min().unwrap_or(0);
        let end = each.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(start);
        Self { each, source: start..end }
    }
}

/// The area below the triangle `1 - |t|` from -1 to `t`.
fn triangle_area(t: f64) -> f64 {
    let t = t.clamp(-1.0, 1.0);
    if t < 0.0 { (t + 1.0).powi(2) / 2.0 } else { 1.0 - (1.0 - t).powi(2) / 2.0 }
}
