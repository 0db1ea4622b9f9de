//! Voxels as the network wants them: normalised, and mirrored beyond the borders.

use std::sync::Arc;

use super::{Normalisation, VolumeError, VolumeSource};
use crate::geometry::VoxelBox;

/// A volume with its robust z-normalisation.
#[derive(Clone)]
pub struct NormalisedVolume {
    /// The voxels.
    pub source: Arc<dyn VolumeSource>,
    /// Mean and deviation of the whole volume.
    pub normalisation: Normalisation,
}

impl NormalisedVolume {
    /// Measures the normalisation of a volume.
    ///
    /// # Errors
    /// When the volume cannot be read.
    pub fn new(source: Arc<dyn VolumeSource>) -> Result<Self, VolumeError> {
        let normalisation = Normalisation::of(source.as_ref())?;
        Ok(Self { source, normalisation })
    }

    /// Voxels `(z, y, x)` of the volume.
    pub fn shape(&self) -> [usize; 3] {
        self.source.info().shape
    }

    /// Reads `shape` voxels `(z, y, x)` from `origin` on, which may lie partly or wholly outside; what lies outside is mirrored at
    /// the border voxels.
    ///
    /// # Errors
    /// When the volume cannot be read.
    pub fn read(&self, origin: [i64; 3], shape: [usize; 3]) -> Result<Vec<f32>, VolumeError> {
        let mut out = vec![0.0; shape.iter().product()];
        let size = self.shape();
        let index: [Vec<usize>; 3] =
            std::array::from_fn(|axis| (0..shape[axis]).map(|i| mirror(origin[axis] + i as i64, size[axis])).collect());
        let bounds = |axis: usize| {
            let low = index[axis].iter().copied().min().unwrap_or(0);
            (low, index[axis].iter().copied().max().map_or(low, |high| high + 1))
        };
        let (z, y, x) = (bounds(0), bounds(1), bounds(2));
        let region = VoxelBox::new([z.0, y.0, x.0], [z.1, y.1, x.1]);
        let [_, height, width] = region.shape();
        let (mean, scale) = (self.normalisation.mean, 1.0 / self.normalisation.deviation);
        if region.shape() == shape {
            // Wholly inside: no gathering.
            self.source.read_region(0, region, &mut out)?;
            out.iter_mut().for_each(|v| *v = (*v - mean) * scale);
            return Ok(out);
        }
        let mut inside = vec![0.0; region.voxels()];
        self.source.read_region(0, region, &mut inside)?;
        let rows = index[0].iter().flat_map(|iz| index[1].iter().map(move |iy| (*iz, *iy)));
        for (row, (iz, iy)) in out.chunks_exact_mut(shape[2].max(1)).zip(rows) {
            let start = ((iz - z.0) * height + (iy - y.0)) * width;
            for (value, ix) in row.iter_mut().zip(&index[2]) {
                *value = (inside[start + ix - x.0] - mean) * scale;
            }
        }
        Ok(out)
    }
}

/// Index into `0..n` of the voxel that a mirror at the border voxels shows at `i`.
fn mirror(i: i64, n: usize) -> usize {
    let last = n as i64 - 1;
    if last <= 0 {
        return 0;
    }
    let folded = i.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::MemoryVolume;

    #[test]
    fn a_mirror_does_not_repeat_the_border() {
        let seen: Vec<usize> = (-5..9).map(|i| mirror(i, 4)).collect();
        assert_eq!(seen, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(mirror(-7, 1), 0);
    }

    #[test]
    fn inside_and_outside_agree() {
        let shape = [4, 5, 6];
        let data: Vec<f32> = (0..120).map(|i| ((i * 37) % 101) as f32).collect();
        let volume = NormalisedVolume::new(Arc::new(MemoryVolume::new(data.clone(), shape, 10.0).unwrap())).unwrap();
        let whole = volume.read([0; 3], shape).unwrap();
        let padded = volume.read([-2, -1, -3], [8, 8, 12]).unwrap();
        for z in 0..4 {
            for y in 0..5 {
                for x in 0..6 {
                    assert_eq!(padded[((z + 2) * 8 + y + 1) * 12 + x + 3], whole[(z * 5 + y) * 6 + x]);
                }
            }
        }
        assert_eq!(padded[(2 * 8 + 1) * 12 + 2], whole[1], "one voxel before the border shows the one after it");
        let mean: f32 = whole.iter().sum::<f32>() / 120.0;
        assert!(mean.abs() < 0.05, "{mean}");
    }
}
