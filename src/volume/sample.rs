//! What a part of the voxels tells about all of them: normalisation and contrast, quickly even for a 20 GB volume.

use serde::{Deserialize, Serialize};

use super::statistics::{Moments, slabs};
use super::{VolumeError, VolumeSource};
use crate::geometry::VoxelBox;

/// Voxels in a sample, at most (a few more where rows do not divide evenly).
const SAMPLE_VOXELS: usize = 4 << 20;
/// Sections that a sample of a large volume is spread over, when they have voxels enough.
const SAMPLE_SECTIONS: usize = 64;
/// The share of voxels clipped at either end before the mean and deviation are formed.
const CLIPPED_SHARE: f64 = 0.001;
/// The share of voxels outside the contrast limits at either end.
const CONTRAST_SHARE: f64 = 0.005;
/// Bins of a [`Histogram`].
pub const HISTOGRAM_BINS: usize = 256;

/// Finite voxels spread evenly over a volume, without constant borders.
#[derive(Clone, Debug)]
pub struct VoxelSample {
    values: Vec<f32>,
}

/// A sampled row: its section, its row, and where its voxels begin in the buffer.
struct SampledRow {
    z: usize,
    y: usize,
    start: usize,
}

impl VoxelSample {
    /// Samples about four million voxels of `source` at full resolution, all when it has not more: whole rows at an even
    /// stride in 64 evenly spread sections, or as many as it takes. Borders filled with one value, as programs pad with, are left out.
    ///
    /// # Errors
    /// When reading fails.
    pub fn of(source: &dyn VolumeSource) -> Result<Self, VolumeError> {
        let shape @ [z_size, y_size, x_size] = source.levels()[0].shape;
        let mut values = Vec::new();
        let mut rows = Vec::new();
        if shape.iter().product::<usize>() <= SAMPLE_VOXELS {
            for slab in slabs(shape, SAMPLE_VOXELS) {
                values.resize(slab.voxels(), 0.0);
                source.read_region_as_stored(0, slab, &mut values)?;
            }
            let row = |index: usize| SampledRow { z: index / y_size, y: index % y_size, start: index * x_size };
            rows.extend((0..z_size * y_size).map(row));
        } else {
            // Small sections are sampled in greater number; of wide volumes, fewer rather than less than a row of each.
            let enough = SAMPLE_SECTIONS.max(SAMPLE_VOXELS / (y_size * x_size));
            let sections = z_size.min(enough).min((SAMPLE_VOXELS / x_size).max(1));
            let per_section = (SAMPLE_VOXELS / (sections * x_size)).clamp(1, y_size);
            for section in 0..sections {
                let z = spread(section, sections, z_size);
                for row in 0..per_section {
                    // Each section's rows lie between those of the one before.
                    let y = (spread(row, per_section, y_size) + section * y_size / (sections * per_section)) % y_size;
                    let start = values.len();
                    values.resize(start + x_size, 0.0);
                    source.read_region_as_stored(0, VoxelBox::new([z, y, 0], [z + 1, y + 1, x_size]), &mut values[start..])?;
                    rows.push(SampledRow { z, y, start });
                }
            }
        }
        Ok(Self { values: without_borders(values, &rows, x_size) })
    }

    /// The sampled values, in no order that matters.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The robust mean and deviation; see [`Normalisation`].
    pub fn normalisation(&mut self) -> Normalisation {
        let (low, high) = self.quantiles(CLIPPED_SHARE);
        let clipped: Vec<f32> = self.values.iter().map(|value| value.clamp(low, high)).collect();
        let mut statistics = Moments::of_all(&clipped).statistics();
        if statistics.std <= 0.0 {
            // Nearly constant: the few voxels that differ were clipped.
            statistics = Moments::of_all(&self.values).statistics();
        }
        let mean = if statistics.mean.is_finite() { statistics.mean as f32 } else { 0.0 };
        let deviation = statistics.std as f32;
        Normalisation { mean, deviation: if deviation.is_normal() && deviation > 0.0 { deviation } else { 1.0 } }
    }

    /// The contrast limits and the histogram; see [`ContrastLimits`].
    pub fn contrast_limits(&mut self) -> ContrastLimits {
        let (mut low, mut high) = self.quantiles(CONTRAST_SHARE);
        let (mut least, mut most) = self.quantiles(0.0);
        if low >= high {
            (low, high) = if least < most { (least, most) } else { (low - 0.5, high + 0.5) };
            // Half a unit is lost beside a large constant.
            if low >= high {
                (low, high) = (low.next_down(), high.next_up());
            }
        }
        let margin = (high - low) / 2.0;
        (least, most) = (least.max(low - margin).min(low), most.min(high + margin).max(high));
        let mut counts = vec![0; HISTOGRAM_BINS];
        let bins_per_unit = HISTOGRAM_BINS as f64 / (f64::from(most) - f64::from(least));
        for value in self.values.iter().filter(|value| (least..=most).contains(*value)) {
            let bin = (f64::from(*value) - f64::from(least)) * bins_per_unit;
            counts[(bin as usize).min(HISTOGRAM_BINS - 1)] += 1;
        }
        ContrastLimits { low, high, histogram: Histogram { low: least, high: most, counts } }
    }

    /// The values below and above which `share` of the sample lies; zeros when it is empty.
    fn quantiles(&mut self, share: f64) -> (f32, f32) {
        if self.values.is_empty() {
            return (0.0, 0.0);
        }
        let last = self.values.len() - 1;
        let rank = (share * last as f64).round() as usize;
        let low = *self.values.select_nth_unstable_by(rank, f32::total_cmp).1;
        (low, *self.values.select_nth_unstable_by(last - rank, f32::total_cmp).1)
    }
}

/// The `index`-th of `count` positions spread evenly over `0..size`.
fn spread(index: usize, count: usize, size: usize) -> usize {
    (index * size + size / 2) / count
}

/// The finite voxels inside the smallest box of sampled rows and of columns outside of which every voxel has the value of
/// the first or of the last voxel. Noise rarely repeats a value, so data without padding lose next to nothing.
fn without_borders(values: Vec<f32>, rows: &[SampledRow], x_size: usize) -> Vec<f32> {
    let (Some(first), Some(last)) = (values.first().copied(), values.last().copied()) else { return values };
    let is_padding = |value: &f32| *value == first || *value == last;
    let mut inside: Option<VoxelBox> = None;
    for row in rows {
        let voxels = &values[row.start..row.start + x_size];
        let Some(x_first) = voxels.iter().position(|value| !is_padding(value)) else { continue };
        let x_end = x_size - voxels.iter().rev().position(|value| !is_padding(value)).unwrap_or(0);
        let found = VoxelBox::new([row.z, row.y, x_first], [row.z + 1, row.y + 1, x_end]);
        inside = Some(inside.map_or(found, |inside| {
            let start = std::array::from_fn(|axis| inside.start[axis].min(found.start[axis]));
            VoxelBox::new(start, std::array::from_fn(|axis| inside.end[axis].max(found.end[axis])))
        }));
    }
    let Some(VoxelBox { start, end }) = inside else {
        // All padding, which is then the data.
        return values.into_iter().filter(|value| value.is_finite()).collect();
    };
    let is_inside = |row: &&SampledRow| (start[0]..end[0]).contains(&row.z) && (start[1]..end[1]).contains(&row.y);
    rows.iter()
        .filter(is_inside)
        .flat_map(|row| &values[row.start + start[2]..row.start + end[2]])
        .copied()
        .filter(|value| value.is_finite())
        .collect()
}

/// The normalisation `(value - mean) / deviation` of a whole tomogram.
///
/// Both are formed from voxels clipped to the range between the 0.1 and 99.9 percentiles, so that gold beads and hot pixels
/// do not count for more than they are; without such, they are within a percent of the plain mean and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// The mean, in the volume's units.
    pub mean: f32,
    /// The standard deviation, in the volume's units; 1 for a constant volume, never 0.
    pub deviation: f32,
}

impl Normalisation {
    /// Estimates the normalisation of `source` from about four million of its voxels.
    ///
    /// # Errors
    /// When reading fails.
    pub fn of(source: &dyn VolumeSource) -> Result<Self, VolumeError> {
        Ok(VoxelSample::of(source)?.normalisation())
    }

    /// Normalises `voxels` in place.
    pub fn apply(&self, voxels: &mut [f32]) {
        let scale = 1.0 / self.deviation;
        voxels.iter_mut().for_each(|value| *value = (*value - self.mean) * scale);
    }
}

/// The grey values shown as black and white at first, and how the voxels are distributed about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContrastLimits {
    /// The 0.5 percentile, in the volume's units.
    pub low: f32,
    /// The 99.5 percentile; always above `low`.
    pub high: f32,
    /// The distribution.
    pub histogram: Histogram,
}

impl ContrastLimits {
    /// Estimates the limits for `source` from about four million of its voxels.
    ///
    /// # Errors
    /// When reading fails.
    pub fn of(source: &dyn VolumeSource) -> Result<Self, VolumeError> {
        Ok(VoxelSample::of(source)?.contrast_limits())
    }
}

/// Counts of sampled voxels in [`HISTOGRAM_BINS`] equal bins from `low` to `high`. The range goes beyond the contrast limits
/// by half their distance where voxels reach that far; voxels still farther out are not counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Start of the first bin, in the volume's units.
    pub low: f32,
    /// End of the last bin.
    pub high: f32,
    /// Voxels in each bin.
    pub counts: Vec<u32>,
}
