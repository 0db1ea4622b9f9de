//! Sums and peaks on a device against those on the CPU.

use std::ops::ControlFlow;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::peaks::find_within;
use super::*;
use crate::model::{Precision, any_gpu_for_tests};
use crate::pick::heatmap::Heatmaps;
use crate::pick::{FLOOR, WindowLimits, find_peaks, predict as predict_anywhere};
use crate::train::Detector;
use crate::volume::MemoryVolume;

/// Bumps, noise, plateaus and border values; multiples of 1/64 so that equal heights are common.
fn rough_map(cells: [usize; 3], seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut map: Vec<f32> = (0..cells.iter().product()).map(|_| random.random_range(-8i32..40) as f32 / 64.0).collect();
    let count = map.len();
    for _ in 0..count / 200 {
        let at = random.random_range(0..count);
        map[at] = 0.9;
        map[(at + 1) % count] = 0.9;
    }
    map[0] = 0.95;
    map[count - 1] = 0.95;
    map
}

#[test]
fn peaks_are_those_of_the_cpu_to_the_last_bit() {
    let Some(device) = any_gpu_for_tests() else { return };
    for cells in [[9, 20, 31], [1, 1, 40], [3, 17, 2], [16, 16, 16]] {
        let radii = [1.5, 4.0, 7.3, 14.0];
        let heatmaps = Heatmaps { cells, stride: 2, classes: (0..4).map(|class| rough_map(cells, class)).collect() };
        let maps = DeviceMaps::of(&device, &heatmaps);
        // With room for all, and with so little that the device must be asked again.
        for capacity in [8192, 3] {
            let found = find_within(&maps, &radii, FLOOR, capacity).unwrap();
            for (class, radius) in radii.iter().enumerate() {
                assert_eq!(found[class], find_peaks(&heatmaps.classes[class], cells, *radius, FLOOR), "{cells:?} {class}");
                assert!(!found[class].is_empty());
            }
        }
    }
}

#[test]
fn nothing_is_a_peak_beside_what_is_not_a_number() {
    let Some(device) = any_gpu_for_tests() else { return };
    let cells = [6, 7, 8];
    let mut map = rough_map(cells, 5);
    map[100] = f32::NAN;
    map[101] = 0.99;
    let heatmaps = Heatmaps { cells, stride: 2, classes: vec![map.clone(), vec![f32::NAN; 336], vec![0.0; 336]] };
    let found = DeviceMaps::of(&device, &heatmaps).peaks(&[3.0; 3], FLOOR).unwrap();
    assert_eq!(found[0], find_peaks(&map, cells, 3.0, FLOOR));
    assert!(found[0].iter().all(|peak| peak.score < 0.99) && found[1].is_empty() && found[2].is_empty());
}

fn volume(shape: [usize; 3]) -> NormalisedVolume {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut data: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-1.0f32..1.0)).collect();
    // A blank part, which no window needs to compute.
    let plane = shape[1] * shape[2];
    data[..plane * (shape[0] / 3)].fill(0.25);
    NormalisedVolume::new(Arc::new(MemoryVolume::new(data, shape, 10.0).unwrap())).unwrap()
}

#[test]
fn heatmaps_joined_on_the_device_are_those_joined_on_the_host() {
    let Some(device) = any_gpu_for_tests() else { return };
    let config = NetworkConfig::unet(3, &[4, 8], &[1, 1]);
    let cpu = Device::flex();
    let volume = volume([27, 20, 42]);
    for (flips, detector) in [(false, Detector::Heatmap), (true, Detector::Heatmap), (true, Detector::Segmentation)] {
        let windows = WindowLimits { edge: 16, voxels: 16usize.pow(3), overlap: 4 };
        let options = PredictOptions { windows, flips, detector, precision: Precision::F32, ..PredictOptions::default() };
        let go_on = |_| ControlFlow::Continue(());
        let host = predict_anywhere(&config.init(1, &cpu), &config, &cpu, &volume, &options, go_on).unwrap().unwrap();
        let mut shares = Vec::new();
        let maps = predict(&config.init(1, &device), &config, &device, &volume, &options, &mut |share| {
            shares.push(share);
            ControlFlow::Continue(())
        });
        let ours = maps.unwrap().unwrap().download();
        assert!(shares.windows(2).all(|pair| pair[0] < pair[1]) && shares.last() == Some(&1.0));
        assert_eq!((ours.cells, ours.classes.len()), (host.cells, detector.classes(3)));
        for (ours, host) in ours.classes.iter().flatten().zip(host.classes.iter().flatten()) {
            assert!((ours - host).abs() < 1e-4, "{ours} {host}");
            assert_eq!(*ours == 0.0, *host == 0.0);
        }
    }
}

#[test]
fn the_work_ends_when_asked() {
    let Some(device) = any_gpu_for_tests() else { return };
    let config = NetworkConfig::unet(1, &[4, 8], &[1, 1]);
    let network = config.init(1, &device);
    let ended =
        predict(&network, &config, &device, &volume([20, 20, 20]), &PredictOptions::default(), &mut |_| ControlFlow::Break(()));
    assert!(ended.unwrap().is_none());
    assert!(suits(&device, [64, 64, 64], &config) && !suits(&Device::flex(), [64, 64, 64], &config));
    assert!(!suits(&device, [1 << 16, 1 << 16, 1 << 12], &config));
}
