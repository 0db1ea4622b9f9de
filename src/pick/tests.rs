//! Whole-volume prediction: windows must not show.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::Device;

use super::*;
use crate::geometry::VoxelBox;
use crate::model::NetworkConfig;
use crate::volume::{MemoryVolume, NormalisedVolume};

fn volume(shape: [usize; 3], value: impl Fn(usize) -> f32) -> NormalisedVolume {
    let data = (0..shape.iter().product()).map(value).collect();
    NormalisedVolume::new(Arc::new(MemoryVolume::new(data, shape, 10.0).unwrap())).unwrap()
}

fn network() -> (NetworkConfig, Device) {
    (NetworkConfig { classes: 2, widths: vec![4, 8], blocks: vec![1, 1] }, Device::flex())
}

fn small() -> WindowLimits {
    WindowLimits { edge: 16, voxels: 16 * 16 * 16, overlap: 4 }
}

#[test]
fn every_cell_is_computed_whatever_the_size() {
    let (config, device) = network();
    let network = config.init(1, &device);
    for shape in [[9, 17, 33], [16, 16, 16], [5, 40, 6]] {
        let volume = volume(shape, |i| ((i * 7919) % 1013) as f32);
        let mut shares = Vec::new();
        let options = PredictOptions { windows: small(), ..PredictOptions::default() };
        let heatmaps = predict(&network, &config, &device, &volume, &options, |share| {
            shares.push(share);
            ControlFlow::Continue(())
        })
        .unwrap()
        .unwrap();
        assert_eq!(heatmaps.cells, shape.map(|n| n.div_ceil(2)));
        assert!(heatmaps.classes.iter().flatten().all(|v| v.is_finite()));
        assert!(heatmaps.classes.iter().flatten().all(|v| *v != 0.0), "a cell was left out");
        assert_eq!(shares.last(), Some(&1.0));
        assert!(shares.windows(2).all(|w| w[0] < w[1]));
    }
}

#[test]
fn a_region_a_blank_volume_and_an_end_on_request() {
    let (config, device) = network();
    let network = config.init(1, &device);
    let go_on = |_| ControlFlow::Continue(());
    let textured = volume([16, 16, 64], |i| ((i * 7919) % 1013) as f32);
    let region = Some(VoxelBox::new([0, 0, 40], [16, 16, 56]));
    let options = PredictOptions { windows: small(), region, ..PredictOptions::default() };
    let part = predict(&network, &config, &device, &textured, &options, go_on).unwrap().unwrap();
    let row = &part.classes[0][..32];
    assert!(row[..20].iter().chain(&row[28..]).all(|v| *v == 0.0) && row[20..28].iter().all(|v| *v != 0.0));

    let blank = volume([16; 3], |_| 3.0);
    let options = PredictOptions::default();
    let nothing = predict(&network, &config, &device, &blank, &options, go_on).unwrap().unwrap();
    assert!(nothing.classes.iter().flatten().all(|v| *v == 0.0));

    let ended = predict(&network, &config, &device, &textured, &options, |_| ControlFlow::Break(())).unwrap();
    assert!(ended.is_none());
}

#[test]
fn blank_borders_cost_nothing_and_change_nothing() {
    let (config, device) = network();
    let network = config.init(1, &device);
    // Texture in a box, zeros around it, as a reconstruction leaves them.
    let inside = |i: usize| {
        let (z, y, x) = (i / (64 * 64), i / 64 % 64, i % 64);
        ((8..24).contains(&z) && (20..36).contains(&y) && (3..64).contains(&x)).then_some(((i * 7919) % 1013) as f32)
    };
    let bordered = volume([32, 64, 64], |i| inside(i).unwrap_or(0.0));
    let mut windows = 0;
    let options = PredictOptions { windows: small(), ..PredictOptions::default() };
    let heatmaps = predict(&network, &config, &device, &bordered, &options, |_| {
        windows += 1;
        ControlFlow::Continue(())
    })
    .unwrap()
    .unwrap();
    assert!(windows <= 6, "{windows} windows for a box of 16 x 16 x 61 voxels");
    let (cells, map) = (heatmaps.cells, &heatmaps.classes[0]);
    assert_eq!(cells, [16, 32, 32]);
    let at = |z: usize, y: usize, x: usize| map[(z * cells[1] + y) * cells[2] + x];
    assert!(at(8, 14, 16) != 0.0 && at(4, 10, 2) != 0.0 && at(11, 17, 31) != 0.0);
    assert!(at(2, 14, 16) == 0.0 && at(8, 5, 16) == 0.0 && at(14, 14, 16) == 0.0);
}

#[test]
fn the_maps_of_a_segmentation_are_probabilities_without_the_background() {
    use crate::train::Detector;

    let (mut config, device) = network();
    config.classes = Detector::Segmentation.channels(2);
    let network = config.init(1, &device);
    let volume = volume([9, 17, 33], |i| if i < 17 * 33 { 5.0 } else { ((i * 7919) % 1013) as f32 });
    let go_on = |_| ControlFlow::Continue(());
    let maps = |detector, flips| {
        let options = PredictOptions { windows: small(), flips, detector, ..PredictOptions::default() };
        predict(&network, &config, &device, &volume, &options, go_on).unwrap().unwrap()
    };
    for flips in [false, true] {
        let maps = maps(Detector::Segmentation, flips);
        assert_eq!((maps.classes.len(), maps.cells), (2, [5, 9, 17]));
        assert!(maps.classes.iter().flatten().all(|p| *p > 0.0 && *p < 1.0));
        assert!(maps.classes[0].iter().zip(&maps.classes[1]).all(|(a, b)| a + b < 1.0));
    }
    // In one window, the probabilities are the softmax of the output.
    let whole = PredictOptions { detector: Detector::Heatmap, ..PredictOptions::default() };
    let raw = predict(&network, &config, &device, &volume, &whole, go_on).unwrap().unwrap();
    let ours = PredictOptions { detector: Detector::Segmentation, ..whole };
    let ours = predict(&network, &config, &device, &volume, &ours, go_on).unwrap().unwrap();
    for cell in 0..5 * 9 * 17 {
        let sum: f32 = raw.classes.iter().map(|map| map[cell].exp()).sum();
        let expected = raw.classes[1][cell].exp() / sum;
        assert!((ours.classes[1][cell] - expected).abs() < 1e-5);
    }
}
