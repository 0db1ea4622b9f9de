//! Volumes at another spacing.

use std::sync::{Arc, Mutex};

use super::super::{Level, MemoryVolume, ResampledVolume, VolumeError, VolumeInfo, VolumeSource};
use super::{noise, read, read_all, voxels_of};
use crate::geometry::VoxelBox;

fn resampled(data: Vec<f32>, shape: [usize; 3], from: f64, to: f64) -> ResampledVolume {
    ResampledVolume::new(Arc::new(MemoryVolume::new(data, shape, None).unwrap()), from, to).unwrap()
}

/// A volume whose value is a linear function of the voxel.
fn ramp(shape: [usize; 3]) -> Vec<f32> {
    voxels_of(VoxelBox::whole(shape)).map(|[z, y, x]| linear([z as f64, y as f64, x as f64]) as f32).collect()
}

fn linear([z, y, x]: [f64; 3]) -> f64 {
    3.0 + 2.0 * z - 0.5 * y + 0.25 * x
}

#[test]
fn the_same_spacing_gives_the_same_voxels() {
    let data = noise(9 * 10 * 11, 1);
    let volume = resampled(data.clone(), [9, 10, 11], 7.84, 7.84);
    assert_eq!(volume.info().shape, [9, 10, 11]);
    assert_eq!(read_all(&volume), data);
}

#[test]
fn the_size_covers_the_old_centres() {
    let shape = |size: usize, from: f64, to: f64| resampled(vec![0.0; size * size * size], [size; 3], from, to).info().shape[0];
    assert_eq!(shape(10, 10.0, 20.0), 5);
    assert_eq!(shape(11, 10.0, 20.0), 6);
    assert_eq!(shape(10, 10.0, 5.0), 19);
    assert_eq!(shape(10, 7.84, 10.0), 8);
    assert_eq!(shape(1, 7.84, 10.0), 1);
    // 9 * 0.1 / 0.3 is 2.9999999999999996 in binary.
    assert_eq!(shape(10, 0.1, 0.3), 4);
}

#[test]
fn linear_functions_stay_where_they_are() {
    let shape = [16, 17, 18];
    for (from, to) in [(10.0, 5.0), (10.0, 7.3), (10.0, 12.5), (10.0, 20.0), (7.84, 13.48), (10.0, 33.0)] {
        let volume = resampled(ramp(shape), shape, from, to);
        let ratio: f64 = to / from;
        assert!((volume.ratio() - ratio).abs() < 1e-12);
        // At the border the box reaches out of the volume.
        let margin = (ratio * ratio - 1.0).max(0.0).sqrt() / 2.0;
        let region = VoxelBox::whole(volume.info().shape);
        let values = read_all(&volume);
        let mut inner = 0;
        for (voxel, value) in voxels_of(region).zip(values) {
            let position = voxel.map(|index| index as f64 * ratio);
            let is_inner = (0..3).all(|axis| position[axis] >= margin && position[axis] <= (shape[axis] - 1) as f64 - margin);
            if is_inner {
                inner += 1;
                assert!((f64::from(value) - linear(position)).abs() < 1e-4, "{from} to {to} at {voxel:?}: {value}");
            }
        }
        assert!(inner >= 8, "{from} to {to}: {inner}");
    }
}

#[test]
fn constants_stay_constant_up_to_the_border() {
    for to in [3.0, 10.0, 12.9, 13.1, 20.0, 47.0, 900.0] {
        let volume = resampled(vec![2.5; 12 * 13 * 14], [12, 13, 14], 10.0, to);
        assert!(read_all(&volume).iter().all(|value| (value - 2.5).abs() < 1e-5), "to {to}");
    }
}

#[test]
fn detail_finer_than_the_new_voxels_is_averaged_away() {
    // A checkerboard at every third voxel: plain sampling by 3 would give full-contrast stripes.
    let shape = [24, 24, 24];
    let board: Vec<f32> =
        voxels_of(VoxelBox::whole(shape)).map(|[z, y, x]| if (z + y + x) % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let volume = resampled(board, shape, 10.0, 30.0);
    let inner = read(&volume, VoxelBox::new([1, 1, 1], [7, 7, 7]));
    assert!(inner.iter().all(|value| value.abs() < 0.01), "{inner:?}");
}

#[test]
fn a_region_is_the_same_part_of_the_whole() {
    let shape = [20, 21, 22];
    for to in [6.0, 12.0, 25.0] {
        let volume = resampled(noise(20 * 21 * 22, 2), shape, 10.0, to);
        let size = volume.info().shape;
        let whole = read_all(&volume);
        let region = VoxelBox::new(size.map(|n| n / 4), size.map(|n| n - 1));
        let expected: Vec<f32> = voxels_of(region).map(|[z, y, x]| whole[(z * size[1] + y) * size[2] + x]).collect();
        let found = read(&volume, region);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "to {to}");
    }
}

/// Counts the largest region asked for.
struct Watched {
    inner: MemoryVolume,
    largest: std::sync::atomic::AtomicUsize,
    total: std::sync::atomic::AtomicUsize,
}

impl VolumeSource for Watched {
    fn info(&self) -> &super::super::VolumeInfo {
        self.inner.info()
    }
    fn levels(&self) -> &[super::super::Level] {
        self.inner.levels()
    }
    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        self.largest.fetch_max(out.len(), std::sync::atomic::Ordering::Relaxed);
        self.total.fetch_add(out.len(), std::sync::atomic::Ordering::Relaxed);
        self.inner.read_region(level, region, out)
    }
}

#[test]
fn the_source_is_read_in_bounded_parts_and_only_once() {
    let shape = [150, 200, 300];
    let inner = MemoryVolume::new(vec![1.0; 150 * 200 * 300], shape, 10.0).unwrap();
    let watched = Arc::new(Watched { inner, largest: 0.into(), total: 0.into() });
    let volume = ResampledVolume::new(watched.clone(), 10.0, 25.0).unwrap();
    assert!(read_all(&volume).iter().all(|value| (value - 1.0).abs() < 1e-5));
    assert!(watched.largest.load(std::sync::atomic::Ordering::Relaxed) <= 4 << 20);
    assert!(watched.total.load(std::sync::atomic::Ordering::Relaxed) <= 150 * 200 * 300);
}

#[test]
fn spacings_that_make_no_sense_are_refused() {
    let source: Arc<dyn VolumeSource> = Arc::new(MemoryVolume::new(vec![0.0; 8], [2, 2, 2], None).unwrap());
    for (from, to) in [(0.0, 10.0), (10.0, 0.0), (-1.0, -1.0), (f64::NAN, 10.0), (10.0, f64::INFINITY), (1.0, 1000.0)] {
        assert!(matches!(ResampledVolume::new(source.clone(), from, to), Err(VolumeError::Spacing { .. })), "{from} to {to}");
    }
}

/// A volume with coarser levels: averages of the voxels below, or single ones of them.
struct Pyramid {
    info: VolumeInfo,
    levels: Vec<Level>,
    data: Vec<Vec<f32>>,
    reads: Mutex<Vec<usize>>,
}

impl Pyramid {
    fn new(fine: Vec<f32>, shape: [usize; 3], factors: &[[usize; 3]], averaged: bool) -> Self {
        let index = |[z, y, x]: [usize; 3]| (z * shape[1] + y) * shape[2] + x;
        let (mut levels, mut data) = (vec![Level::full(shape)], vec![fine.clone()]);
        for factor in factors {
            let size: [usize; 3] = std::array::from_fn(|axis| shape[axis] / factor[axis]);
            let value = |voxel: [usize; 3]| {
                let start = std::array::from_fn(|axis| voxel[axis] * factor[axis]);
                let end = std::array::from_fn(|axis| if averaged { start[axis] + factor[axis] } else { start[axis] + 1 });
                let block: Vec<f32> = voxels_of(VoxelBox::new(start, end)).map(|voxel| fine[index(voxel)]).collect();
                block.iter().sum::<f32>() / block.len() as f32
            };
            data.push(voxels_of(VoxelBox::whole(size)).map(value).collect());
            levels.push(Level { shape: size, factor: factor.map(|factor| factor as f64) });
        }
        let info = MemoryVolume::new(vec![0.0], [1; 3], Some(10.0)).unwrap().info().clone();
        Self { info: VolumeInfo { shape, ..info }, levels, data, reads: Mutex::default() }
    }
}

impl VolumeSource for Pyramid {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        self.reads.lock().unwrap().push(level);
        let [_, rows, columns] = self.levels[level].shape;
        for (out, [z, y, x]) in out.iter_mut().zip(voxels_of(region)) {
            *out = self.data[level][(z * rows + y) * columns + x];
        }
        Ok(())
    }
}

#[test]
fn a_coarser_level_takes_the_place_of_the_finest_and_keeps_linear_functions() {
    let shape = [48, 52, 56];
    for (to, factors, level) in [
        (20.0, vec![[2; 3], [4; 3]], 0),
        (39.0, vec![[2; 3], [4; 3]], 0),
        (40.0, vec![[2; 3], [4; 3]], 1),
        (53.0, vec![[2; 3], [4; 3]], 1),
        (80.0, vec![[2; 3], [4; 3]], 2),
        (80.0, vec![[1, 2, 2], [1, 4, 4]], 2),
    ] {
        let source = Arc::new(Pyramid::new(ramp(shape), shape, &factors, true));
        let volume = ResampledVolume::new(source.clone(), 10.0, to).unwrap();
        source.reads.lock().unwrap().clear();
        let values = read_all(&volume);
        assert!(source.reads.lock().unwrap().iter().all(|read| *read == level), "{to}: not from level {level}");
        let plain = resampled(ramp(shape), shape, 10.0, to);
        assert_eq!(volume.info().shape, plain.info().shape);
        let mut inner = 0;
        for (voxel, value) in voxels_of(VoxelBox::whole(volume.info().shape)).zip(values) {
            let position = voxel.map(|index| index as f64 * to / 10.0);
            if (0..3).all(|axis| position[axis] >= 6.0 && position[axis] <= shape[axis] as f64 - 7.0) {
                inner += 1;
                assert!((f64::from(value) - linear(position)).abs() < 1e-4, "{to} at {voxel:?}: {value}");
            }
        }
        assert!(inner >= 8, "{to}: {inner}");
    }
}

#[test]
fn a_level_of_single_voxels_is_not_used_for_a_coarser_spacing() {
    let shape = [48; 3];
    for (averaged, level) in [(true, 1), (false, 0)] {
        let source = Arc::new(Pyramid::new(noise(48 * 48 * 48, 5), shape, &[[2; 3]], averaged));
        let volume = ResampledVolume::new(source.clone(), 10.0, 40.0).unwrap();
        source.reads.lock().unwrap().clear();
        let values = read_all(&volume);
        assert!(source.reads.lock().unwrap().iter().all(|read| *read == level), "averaged: {averaged}");
        // Averages of 64 voxels of noise, or nearly so, either way.
        let deviation = (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt();
        assert!((0.08..0.16).contains(&deviation), "{deviation}");
    }
}
