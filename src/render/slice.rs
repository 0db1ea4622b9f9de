//! What a view shows, read from a volume: one slice or the mean of a slab of slices, and the heatmap's slice at the same place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::low_pass::low_pass;
use super::view::Plane;
use crate::geometry::VoxelBox;
use crate::train::Heatmap;
use crate::volume::{Level, VolumeError, VolumeSource};

/// The slices to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliceRequest {
    /// The plane.
    pub plane: Plane,
    /// Voxel index of the middle slice along the plane's depth, at full resolution.
    pub depth: usize,
    /// Number of full-resolution slices to average, odd; 1 for a single slice. The mean is for the eye only.
    pub slab: usize,
    /// Largest width and height of a texture.
    pub max_side: usize,
    /// Level of detail to read, from [`level_for`]; a coarser one where that is too wide for a texture.
    pub level: usize,
    /// Voxels of that level along each side that are averaged to a texel, from [`block_for`]; 1 for none.
    pub block: usize,
    /// Standard deviation of a Gaussian low-pass within the plane, in full-resolution voxels; 0 for none. For the eye only.
    pub low_pass_voxels: f64,
}

/// A slice ready for the screen.
#[derive(Clone, Debug)]
pub struct SliceImage {
    /// What it shows.
    pub request: SliceRequest,
    /// Width and height in full-resolution voxels.
    pub image_size: [usize; 2],
    /// Width and height in texels; smaller than the image where it was reduced.
    pub texels: [usize; 2],
    /// Full-resolution voxels per texel along both sides: texel `i` covers image positions `i * v .. (i + 1) * v`. The last one
    /// may reach beyond the image, or fall short of its edge, where the sizes do not divide.
    pub voxels_per_texel: [f64; 2],
    /// Values, row by row.
    pub values: Arc<Vec<f32>>,
    /// Different for each slice ever read, so that a pane knows whether it has it already.
    pub serial: u64,
}

impl SliceImage {
    /// The value shown at an image position, when it lies inside.
    pub fn value_at(&self, image: [f64; 2]) -> Option<f32> {
        let mut texel = [0; 2];
        for axis in 0..2 {
            let size = self.image_size[axis] as f64;
            if !(0.0..size).contains(&image[axis]) {
                return None;
            }
            texel[axis] = ((image[axis] / self.voxels_per_texel[axis]) as usize).min(self.texels[axis] - 1);
        }
        self.values.get(texel[1] * self.texels[0] + texel[0]).copied()
    }
}

fn next_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// Voxels of a level that must fall on a screen pixel for it to be read: with factors of 2, a coarser level takes over where the
/// finer one has 1.5 voxels a pixel, and is then enlarged by a third.
const LEAST_VOXELS_PER_PIXEL: f64 = 0.75;

/// The level of detail to show where a screen pixel is `voxels_per_pixel` full-resolution voxels wide: the coarsest that still
/// has about a voxel for every pixel, along both sides of the plane.
pub fn level_for(levels: &[Level], plane: Plane, voxels_per_pixel: f64) -> usize {
    let coarsest = voxels_per_pixel / LEAST_VOXELS_PER_PIXEL;
    let fine_enough = |level: &Level| [plane.horizontal(), plane.vertical()].iter().all(|&axis| level.factor[axis] <= coarsest);
    levels.iter().rposition(fine_enough).unwrap_or(0)
}

/// Texels of a slice above which fewer are made where the screen shows fewer: reading, converting and uploading more takes time.
const LARGE_SLICE: usize = 1 << 21;

/// How many voxels of a level along each side of the plane to average to a texel where a screen pixel is `voxels_per_pixel`
/// full-resolution voxels wide: a power of 2 that leaves about a texel for every pixel, and 1 for slices of up to two million voxels.
pub fn block_for(level: &Level, plane: Plane, voxels_per_pixel: f64) -> usize {
    let [width, height] = plane.image_size(level.shape);
    let factor = [plane.horizontal(), plane.vertical()].iter().map(|&axis| level.factor[axis]).fold(1.0, f64::max);
    let spare = voxels_per_pixel / LEAST_VOXELS_PER_PIXEL / factor;
    if width.saturating_mul(height) <= LARGE_SLICE || spare.is_nan() || spare < 2.0 {
        return 1;
    }
    1 << (spare.log2() as u32).min(16)
}

/// Reads what `request` asks for. The finest level of detail from the one asked for that a texture can hold is used; where even the
/// coarsest is too wide, whole blocks of voxels are averaged. A slab that reaches beyond the volume is cut off at its border.
///
/// # Errors
/// When the volume cannot be read.
pub fn read_slice(source: &dyn VolumeSource, request: SliceRequest) -> Result<SliceImage, VolumeError> {
    let SliceRequest { plane, depth, slab, max_side, level, block, low_pass_voxels } = request;
    let max_side = max_side.max(1);
    let levels = source.levels();
    let fits = |shape: [usize; 3]| plane.image_size(shape).into_iter().all(|n| n <= max_side);
    let coarsest = levels.len().saturating_sub(1);
    let level = (level.min(coarsest)..levels.len()).find(|&level| fits(levels[level].shape)).unwrap_or(coarsest);
    let info = source.info();
    let (shape, factor) = levels.get(level).map_or((info.shape, [1.0; 3]), |level| (level.shape, level.factor));
    let deep = plane.depth();

    // The slab in slices of this level: from the first to the last full-resolution slice, both included.
    let half = slab.max(1) / 2;
    let to_level = |index: usize| (((index as f64 + 0.5) / factor[deep]) as usize).min(shape[deep].saturating_sub(1));
    let first = to_level(depth.saturating_sub(half));
    let last = to_level((depth + half).min(info.shape[deep].saturating_sub(1)));

    let [width, height] = plane.image_size(shape);
    let mut sum = vec![0.0f32; width * height];
    let slices = last + 1 - first;
    let mut region = VoxelBox::whole(shape);
    if deep == 2 {
        // Slices along x lie scattered through the file: one pass over it reads them all.
        region.start[2] = first;
        region.end[2] = last + 1;
        let mut voxels = vec![0.0; region.voxels()];
        source.read_region(level, region, &mut voxels)?;
        for (sum, row) in sum.iter_mut().zip(voxels.chunks_exact(slices)) {
            *sum = row.iter().sum();
        }
    } else {
        let mut voxels = vec![0.0; width * height];
        for slice in first..=last {
            region.start[deep] = slice;
            region.end[deep] = slice + 1;
            source.read_region(level, region, &mut voxels)?;
            sum.iter_mut().zip(&voxels).for_each(|(sum, voxel)| *sum += voxel);
        }
    }
    let scale = 1.0 / slices as f32;
    sum.iter_mut().for_each(|value| *value *= scale);

    let (texels, block, mut values) = reduce([width, height], sum, max_side, block);
    let sides = [plane.horizontal(), plane.vertical()];
    low_pass(texels, &mut values, [0, 1].map(|side| low_pass_voxels / (factor[sides[side]] * block[side] as f64)));
    Ok(SliceImage {
        request,
        image_size: plane.image_size(info.shape),
        texels,
        voxels_per_texel: [0, 1].map(|side| factor[sides[side]] * block[side] as f64),
        values: Arc::new(values),
        serial: next_serial(),
    })
}

/// Averages blocks of at least `least` values a side, and more where both sides do not fit otherwise; gives the new size, the size of a block, and the values.
fn reduce(size: [usize; 2], values: Vec<f32>, max_side: usize, least: usize) -> ([usize; 2], [usize; 2], Vec<f32>) {
    let block = size.map(|n| n.div_ceil(max_side).max(least).max(1));
    if block == [1, 1] {
        return (size, block, values);
    }
    let reduced = [size[0].div_ceil(block[0]), size[1].div_ceil(block[1])];
    let mut out = Vec::with_capacity(reduced[0] * reduced[1]);
    for row in 0..reduced[1] {
        for column in 0..reduced[0] {
            let rows = row * block[1]..((row + 1) * block[1]).min(size[1]);
            let columns = column * block[0]..((column + 1) * block[0]).min(size[0]);
            let count = (rows.len() * columns.len()) as f32;
            let sum: f32 = rows.flat_map(|y| &values[y * size[0] + columns.start..y * size[0] + columns.end]).sum();
            out.push(sum / count);
        }
    }
    (reduced, block, out)
}

/// A class's heatmap on one slice.
#[derive(Clone, Debug)]
pub struct HeatSlice {
    /// Width and height in cells.
    pub cells: [usize; 2],
    /// Full-resolution voxels per cell along both sides; cell `o` is centred on voxel index `o * voxels_per_cell`.
    pub voxels_per_cell: [f64; 2],
    /// Values row by row, 0 to 255 for 0 to 1.
    pub values: Arc<Vec<u8>>,
    /// Different for each slice ever made.
    pub serial: u64,
}

impl HeatSlice {
    /// Cuts the heatmap of `channel` at voxel index `depth`, interpolating between the two nearest planes of cells. Where the
    /// heatmap is wider than `max_side` cells, cells are left out. `None` when there is no such channel or it has no cells.
    pub fn cut(heatmap: &Heatmap, channel: usize, plane: Plane, depth: usize, max_side: usize) -> Option<Self> {
        let cells = heatmap.channels.get(channel)?;
        let shape = heatmap.shape;
        if shape.contains(&0) || cells.len() != shape.iter().product::<usize>() {
            return None;
        }
        let deep = plane.depth();
        let position = (depth as f64 / heatmap.voxels_per_cell[deep]).clamp(0.0, (shape[deep] - 1) as f64);
        let low = position.floor() as usize;
        let high = (low + 1).min(shape[deep] - 1);
        let part = ((position - low as f64) * 256.0) as u32;
        let stride = [shape[1] * shape[2], shape[2], 1];
        let (across, down) = (plane.horizontal(), plane.vertical());
        let skip = [across, down].map(|axis| shape[axis].div_ceil(max_side.max(1)));
        let size = [shape[across].div_ceil(skip[0]), shape[down].div_ceil(skip[1])];
        let mut values = Vec::with_capacity(size[0] * size[1]);
        for row in 0..size[1] {
            for column in 0..size[0] {
                let start = row * skip[1] * stride[down] + column * skip[0] * stride[across];
                let a = u32::from(cells[start + low * stride[deep]]);
                let b = u32::from(cells[start + high * stride[deep]]);
                values.push(((a * (256 - part) + b * part) / 256) as u8);
            }
        }
        Some(Self {
            cells: size,
            voxels_per_cell: [heatmap.voxels_per_cell[across] * skip[0] as f64, heatmap.voxels_per_cell[down] * skip[1] as f64],
            values: Arc::new(values),
            serial: next_serial(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::TomogramId;
    use crate::volume::VolumeInfo;

    /// A volume whose voxel at `(z, y, x)` is `100 z + 10 y + x`.
    struct Digits {
        info: VolumeInfo,
        levels: Vec<Level>,
    }

    impl Digits {
        fn new(shape: [usize; 3]) -> Self {
            let info = VolumeInfo {
                path: "digits.mrc".into(),
                shape,
                spacing_angstrom: Some(10.0),
                data_type: "float32".to_owned(),
                warnings: Vec::new(),
                facts: Vec::new(),
            };
            Self { info, levels: vec![Level { shape, factor: [1.0; 3] }] }
        }
    }

    impl VolumeSource for Digits {
        fn info(&self) -> &VolumeInfo {
            &self.info
        }

        fn levels(&self) -> &[Level] {
            &self.levels
        }

        fn read_region(&self, _level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
            let mut out = out.iter_mut();
            for z in region.start[0]..region.end[0] {
                for y in region.start[1]..region.end[1] {
                    for x in region.start[2]..region.end[2] {
                        *out.next().expect("sized by the caller") = (100 * z + 10 * y + x) as f32;
                    }
                }
            }
            Ok(())
        }
    }

    fn request(plane: Plane, depth: usize, slab: usize, max_side: usize) -> SliceRequest {
        SliceRequest { plane, depth, slab, max_side, level: 0, block: 1, low_pass_voxels: 0.0 }
    }

    #[test]
    fn each_plane_shows_its_axes() {
        let volume = Digits::new([4, 3, 5]);
        for (plane, depth, size, at, value) in [
            (Plane::Xy, 2, [5, 3], [4.5, 1.5], 214.0),
            (Plane::Xz, 1, [5, 4], [4.5, 3.5], 314.0),
            (Plane::Yz, 3, [3, 4], [2.5, 0.5], 23.0),
        ] {
            let slice = read_slice(&volume, request(plane, depth, 1, 2048)).unwrap();
            assert_eq!(slice.image_size, size);
            assert_eq!(slice.value_at(at), Some(value), "{plane:?}");
            assert_eq!(slice.value_at([size[0] as f64, 0.0]), None);
            assert_eq!(slice.value_at([-0.01, 0.0]), None);
        }
    }

    #[test]
    fn a_slab_is_the_mean_of_its_slices_and_is_cut_at_the_border() {
        let volume = Digits::new([6, 3, 5]);
        for plane in Plane::ALL {
            let single = read_slice(&volume, request(plane, 1, 1, 64)).unwrap();
            let slab = read_slice(&volume, request(plane, 1, 3, 64)).unwrap();
            assert_eq!(single.values, slab.values, "{plane:?}: the mean over a symmetric slab of a linear ramp is its middle");
        }
        let edge = read_slice(&volume, request(Plane::Xy, 0, 3, 64)).unwrap();
        assert_eq!(edge.value_at([0.5, 0.5]), Some(50.0));
    }

    #[test]
    fn a_low_pass_is_as_wide_at_every_level_of_detail() {
        // A ramp stays a ramp away from its ends, whatever the width; a checkerboard vanishes.
        let volume = Pyramid::new([8, 64, 64], &[[1.0; 3], [2.0; 3]]);
        let at = |level, low_pass_voxels| {
            let request = SliceRequest { level, low_pass_voxels, ..request(Plane::Xy, 3, 1, 64) };
            read_slice(&volume, request).unwrap()
        };
        for level in [0, 1] {
            let (plain, smooth) = (at(level, 0.0), at(level, 4.0));
            assert_eq!(plain.texels, smooth.texels);
            let middle = [32.5, 32.5];
            let (plain_value, smooth_value) = (plain.value_at(middle).unwrap(), smooth.value_at(middle).unwrap());
            assert!((plain_value - smooth_value).abs() < 0.05, "{level}: {plain_value} {smooth_value}");
            // At the border of the ramp the mean of what goes on beyond it raises the value by deviation / sqrt(2 pi) * slope.
            let (edge, smooth_edge) = (plain.value_at([0.5, 32.5]).unwrap(), smooth.value_at([0.5, 32.5]).unwrap());
            let raised = f64::from(smooth_edge - edge);
            assert!((raised - 4.0 / (2.0 * std::f64::consts::PI).sqrt()).abs() < 0.6, "{level}: {raised}");
        }
    }

    #[test]
    fn a_large_slice_is_averaged_to_what_the_screen_shows() {
        let volume = Digits::new([1, 5, 9]);
        let slice = read_slice(&volume, SliceRequest { block: 2, ..request(Plane::Xy, 0, 1, 64) }).unwrap();
        assert_eq!((slice.texels, slice.image_size, slice.voxels_per_texel), ([5, 3], [9, 5], [2.0, 2.0]));
        assert_eq!(slice.value_at([0.1, 0.1]), Some((0.0 + 1.0 + 10.0 + 11.0) / 4.0));
        assert_eq!(slice.value_at([8.9, 4.9]), Some(48.0));

        let level = |side: usize, factor: f64| Level { shape: [100, side, side], factor: [factor; 3] };
        let block = |side, factor, voxels_per_pixel| block_for(&level(side, factor), Plane::Xy, voxels_per_pixel);
        assert_eq!(block(4000, 1.0, 7.0), 8, "9.3 to spare");
        assert_eq!(block(4000, 1.0, 1.0), 1, "a voxel for each pixel");
        assert_eq!(block(1000, 1.0, 7.0), 1, "a small slice");
        assert_eq!(block(4000, 4.0, 7.0), 2, "a coarse level has done part of it");
        assert_eq!(block(4000, 1.0, f64::NAN), 1);
    }

    #[test]
    fn what_is_wider_than_a_texture_is_averaged() {
        let volume = Digits::new([1, 5, 9]);
        let slice = read_slice(&volume, request(Plane::Xy, 0, 1, 4)).unwrap();
        assert_eq!(slice.texels, [3, 3]);
        assert_eq!(slice.image_size, [9, 5]);
        assert_eq!(slice.value_at([0.1, 0.1]), Some((0.0 + 1.0 + 2.0 + 10.0 + 11.0 + 12.0) / 6.0));
        assert_eq!(slice.value_at([8.9, 4.9]), Some(47.0));
    }

    /// `Digits` with coarser levels whose voxels are the mean of those that they cover, which for a ramp is its value at their
    /// centre.
    struct Pyramid {
        digits: Digits,
        levels: Vec<Level>,
    }

    impl Pyramid {
        fn new(shape: [usize; 3], factors: &[[f64; 3]]) -> Self {
            let level = |factor: &[f64; 3]| Level {
                shape: [0, 1, 2].map(|axis| (shape[axis] as f64 / factor[axis]).ceil() as usize),
                factor: *factor,
            };
            Self { digits: Digits::new(shape), levels: factors.iter().map(level).collect() }
        }
    }

    impl VolumeSource for Pyramid {
        fn info(&self) -> &VolumeInfo {
            self.digits.info()
        }

        fn levels(&self) -> &[Level] {
            &self.levels
        }

        fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
            let factor = self.levels[level].factor;
            let centre = |axis: usize, index: usize| (index as f64 + 0.5) * factor[axis] - 0.5;
            let mut out = out.iter_mut();
            for z in region.start[0]..region.end[0] {
                for y in region.start[1]..region.end[1] {
                    for x in region.start[2]..region.end[2] {
                        let value = 100.0 * centre(0, z) + 10.0 * centre(1, y) + centre(2, x);
                        *out.next().expect("sized by the caller") = value as f32;
                    }
                }
            }
            Ok(())
        }
    }

    #[test]
    fn a_coarser_level_is_shown_from_one_and_a_half_voxels_a_pixel() {
        let levels = Pyramid::new([64; 3], &[[1.0; 3], [1.0, 2.0, 2.0], [4.0; 3]]).levels;
        let at = |plane, voxels_per_pixel| level_for(&levels, plane, voxels_per_pixel);
        assert_eq!([0.1, 1.0, 1.49, 1.51, 2.9, 3.1, 100.0].map(|zoom| at(Plane::Xy, zoom)), [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!([1.49, 1.51].map(|zoom| at(Plane::Xz, zoom)), [0, 1]);
        assert_eq!(level_for(&levels[..1], Plane::Xy, 100.0), 0);
    }

    #[test]
    fn a_coarser_level_lies_where_the_finest_does() {
        let volume = Pyramid::new([8, 9, 8], &[[1.0; 3], [2.0; 3], [4.0; 3]]);
        for plane in Plane::ALL {
            for (level, half) in [(1, 0.5), (2, 1.5)] {
                let fine = read_slice(&volume, request(plane, 5, 1, 64)).unwrap();
                let coarse = read_slice(&volume, SliceRequest { level, ..request(plane, 5, 1, 64) }).unwrap();
                assert_eq!(coarse.image_size, fine.image_size);
                let size = (1 << level) as f64;
                assert_eq!(coarse.voxels_per_texel, [size; 2]);
                // In the middle of a coarse voxel the ramp has the same value in both, but for the slice's depth.
                let centre = [size / 2.0; 2];
                let [across, down] = [plane.horizontal(), plane.vertical()].map(|axis| [100.0, 10.0, 1.0][axis]);
                let deep = [100.0, 10.0, 1.0][plane.depth()];
                let middle = (5 / (1 << level) * (1 << level)) as f32 + half;
                assert_eq!(coarse.value_at(centre), Some(half * (across + down) + middle * deep), "{plane:?} {level}");
                // The image's far edge lies within the last texel.
                let [right, bottom] = fine.image_size.map(|n| n as f64 - 0.01);
                assert!(coarse.value_at([right, bottom]).is_some());
            }
        }
        // Nine voxels under textures of two: from the level asked for on, the first that fits; none does, so blocks of it.
        let small = read_slice(&volume, request(Plane::Xy, 0, 1, 2)).unwrap();
        assert_eq!((small.texels, small.voxels_per_texel), ([2, 2], [4.0, 8.0]));
        let missing = read_slice(&volume, SliceRequest { level: 99, ..request(Plane::Xy, 0, 1, 64) }).unwrap();
        assert_eq!(missing.voxels_per_texel, [4.0, 4.0]);
    }

    #[test]
    fn a_heatmap_is_cut_where_its_cells_are() {
        let heatmap = Heatmap {
            tomogram: TomogramId(0),
            shape: [2, 2, 3],
            voxels_per_cell: [4.0, 2.0, 2.0],
            channels: vec![Arc::new((0..12).map(|cell| cell * 20).collect())],
            step: 0,
        };
        let first = HeatSlice::cut(&heatmap, 0, Plane::Xy, 0, 64).unwrap();
        assert_eq!((first.cells, first.values[5]), ([3, 2], 100));
        let between = HeatSlice::cut(&heatmap, 0, Plane::Xy, 2, 64).unwrap();
        assert_eq!(between.values[0], 60);
        let beyond = HeatSlice::cut(&heatmap, 0, Plane::Xy, 99, 64).unwrap();
        assert_eq!(beyond.values[0], 120);
        let side = HeatSlice::cut(&heatmap, 0, Plane::Yz, 4, 64).unwrap();
        assert_eq!((side.cells, side.voxels_per_cell, side.values.as_slice()), ([2, 2], [2.0, 4.0], &[40, 100, 160, 220][..]));
        assert!(HeatSlice::cut(&heatmap, 1, Plane::Xy, 0, 64).is_none());
    }
}
