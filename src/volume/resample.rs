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
///
/// Where the source has levels of detail, the coarsest whose voxels are half as large as the new ones, or smaller, is read in place
/// of the finest, if they are averages of those below: voxel `j` of a level with factor `f` is centred on index
/// `(j + 1/2) f - 1/2`, and `r / f` takes the place of `r`. (The interpolation between voxels blurs by up to a quarter of a squared
/// voxel, so from a level nearly as coarse as the new voxels detail would be lost.) A level that was made by leaving voxels out has
/// their full noise, which would reach the network; a sample from the middle of the volume tells the two apart.
pub struct ResampledVolume {
    source: Arc<dyn VolumeSource>,
    info: VolumeInfo,
    levels: [Level; 1],
    /// Source voxels per voxel, at full resolution.
    ratio: f64,
    /// The source's level that is read.
    level: usize,
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
        let level = coarsest_average(source.as_ref(), ratio);
        Ok(Self { source, info, levels: [Level::full(shape)], ratio, level })
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
        let Level { shape: source_shape, factor } = self.source.levels()[self.level];
        let [z_taps, y_taps, x_taps] = std::array::from_fn(|axis| {
            let shift = 0.5 / factor[axis] - 0.5;
            Taps::new(region.start[axis]..region.end[axis], self.ratio / factor[axis], shift, source_shape[axis])
        });
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
            self.source.read_region(self.level, source_box, &mut block)?;
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
    /// Voxel `i` lies at index `i * ratio + shift` of the source, which has `size` voxels. `range` is not empty.
    fn new(range: Range<usize>, ratio: f64, shift: f64, size: usize) -> Self {
        let width = (ratio * ratio - 1.0).max(0.0).sqrt();
        let half_width = 1.0 + width / 2.0;
        let last_voxel = (size - 1) as f64;
        let each: Vec<Tap> = range
            .map(|index| {
                // The last voxel may lie past the source's last by rounding.
                let position = (index as f64 * ratio + shift).min(last_voxel);
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

/// Edge, in voxels of the finest level, of the sample that tells averages from single voxels.
const SAMPLE_EDGE: usize = 64;
/// Voxels of a level along the sample's edge, at most.
const SAMPLE_VOXELS: usize = 16;

/// New voxels must be so many times larger than those of a level for it to be read.
const LEAST_RATIO: f64 = 2.0;

/// The coarsest level that may stand for the finest at voxels of `ratio` full-resolution ones; 0 if there is none.
fn coarsest_average(source: &dyn VolumeSource, ratio: f64) -> usize {
    // A spacing of the metadata rarely divides another to the last digit.
    let most = ratio / LEAST_RATIO * (1.0 + 1e-3);
    let candidates = source.levels().iter().enumerate().skip(1).rev();
    let mut fine_enough = candidates.filter(|(_, level)| level.factor.iter().all(|&factor| factor <= most));
    fine_enough.find(|(level, _)| is_average(source, *level)).map_or(0, |(level, _)| level)
}

/// Whether the voxels of `level` are close to the means of the voxels that they cover, in the middle of the volume. Of white
/// noise the mean of `n` voxels has a variance of `s^2 / n`, from which a single voxel differs by `s^2 (1 - 1/n)`: seven times
/// as much for a factor of 2. The limit of a half leaves room for other smoothing filters and for rounding.
fn is_average(source: &dyn VolumeSource, level: usize) -> bool {
    let (full, Level { shape, factor }) = (source.levels()[0].shape, source.levels()[level]);
    let blocks = factor.map(|factor| factor.round() as usize);
    let edges: [usize; 3] =
        std::array::from_fn(|axis| (SAMPLE_EDGE / blocks[axis].max(1)).clamp(1, SAMPLE_VOXELS).min(shape[axis]));
    let start: [usize; 3] = std::array::from_fn(|axis| (shape[axis] - edges[axis]) / 2);
    let coarse_box = VoxelBox::new(start, std::array::from_fn(|axis| start[axis] + edges[axis]));
    let fine_box = VoxelBox::new(
        std::array::from_fn(|axis| start[axis] * blocks[axis]),
        std::array::from_fn(|axis| (start[axis] + edges[axis]) * blocks[axis]),
    );
    let whole_blocks = (0..3).all(|axis| blocks[axis] as f64 == factor[axis] && blocks[axis] > 0);
    if !whole_blocks || !fine_box.fits_in(full) {
        return false;
    }
    let (mut coarse, mut fine) = (vec![0.0; coarse_box.voxels()], vec![0.0; fine_box.voxels()]);
    if source.read_region(level, coarse_box, &mut coarse).is_err() || source.read_region(0, fine_box, &mut fine).is_err() {
        return false;
    }
    let mut means = vec![0.0_f64; coarse.len()];
    let [_, fine_rows, fine_columns] = fine_box.shape();
    for (row, values) in fine.chunks_exact(fine_columns).enumerate() {
        let (z, y) = (row / fine_rows / blocks[0], row % fine_rows / blocks[1]);
        let line = &mut means[(z * edges[1] + y) * edges[2]..][..edges[2]];
        for (mean, block) in line.iter_mut().zip(values.chunks_exact(blocks[2])) {
            *mean += block.iter().map(|value| f64::from(*value)).sum::<f64>();
        }
    }
    let scale = 1.0 / blocks.iter().product::<usize>() as f64;
    means.iter_mut().for_each(|mean| *mean *= scale);
    let count = means.len() as f64;
    let centre = means.iter().sum::<f64>() / count;
    let variance = means.iter().map(|mean| (mean - centre).powi(2)).sum::<f64>() / count;
    let difference = means.iter().zip(&coarse).map(|(mean, value)| (mean - f64::from(*value)).powi(2)).sum::<f64>() / count;
    // Whole numbers are off by up to one where they were cut and not rounded.
    let rounding = if source.info().data_type.contains("int") { 1.0 } else { 0.0 };
    difference <= variance / 2.0 + rounding
}

/// The area below the triangle `1 - |t|` from -1 to `t`.
fn triangle_area(t: f64) -> f64 {
    let t = t.clamp(-1.0, 1.0);
    if t < 0.0 { (t + 1.0).powi(2) / 2.0 } else { 1.0 - (1.0 - t).powi(2) / 2.0 }
}
