//! Whole-volume prediction: windows must not show.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::geometry::{VoxelBox, distance};
use crate::labels::{Class, ClassId, TomogramId, TomogramLabels};
use crate::model::{
    Architecture, Marker, ModelMetadata, Network, NetworkConfig, Supervision, load_weights, named_weights, render_target,
};
use crate::train::Detector;
use crate::train::{PreparedTomogram, TrainingTomogram};
use crate::volume::{MemoryVolume, NormalisedVolume};

fn volume(shape: [usize; 3], value: impl Fn(usize) -> f32) -> NormalisedVolume {
    let data = (0..shape.iter().product()).map(value).collect();
    NormalisedVolume::new(Arc::new(MemoryVolume::new(data, shape, 10.0).unwrap())).unwrap()
}

fn network() -> (NetworkConfig, Device) {
    (NetworkConfig::unet(2, &[4, 8], &[1, 1]), Device::flex())
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

/// Small networks of output stride 1, 2 and 4 without anything deeper than their output.
fn of_each_stride() -> [NetworkConfig; 3] {
    [
        NetworkConfig { architecture: Architecture::VNet, ..NetworkConfig::unet(1, &[4, 8], &[1, 1]) },
        NetworkConfig::unet(1, &[4], &[1]),
        NetworkConfig { architecture: Architecture::UNet { output_stride: 4 }, ..NetworkConfig::unet(1, &[4, 8], &[1, 1]) },
    ]
}

#[test]
fn picks_of_noise_free_targets_are_where_the_particles_are_at_every_stride() {
    let shape = [49, 50, 64];
    let radius = 9.0;
    let centres = [[12.3, 14.0, 13.7], [35.5, 14.2, 40.1], [13.0, 36.9, 40.6], [34.0, 35.0, 12.25]];
    let source = Arc::new(MemoryVolume::new(vec![0.0; shape.iter().product()], shape, 10.0).unwrap());
    let labels = TomogramLabels::default();
    let tomogram = TrainingTomogram { id: TomogramId(1), name: "t".to_owned(), source, spacing_angstrom: 10.0, labels };
    let prepared = PreparedTomogram::new(&tomogram, 10.0).unwrap();
    let supervision = Supervision {
        markers: centres.iter().map(|centre| (*centre, Marker::Particle(0))).collect(),
        complete: vec![],
        inside: ([0.0; 3], shape.map(|n| n as f64 - 1.0)),
    };
    let device = Device::flex();
    for config in of_each_stride() {
        let stride = config.output_stride();
        let classes = vec![Class { id: ClassId(1), name: "c".to_owned(), radius_angstrom: 10.0 * radius, colour: [0; 3] }];
        let metadata = ModelMetadata::new(config.clone(), classes, 10.0, 32);
        let picker = Picker { metadata: &metadata, network: &config.init(0, &device), device: &device };
        let target = render_target(shape, &[radius], &supervision, stride);
        let heatmaps = Heatmaps { cells: target.cells, stride, classes: vec![target.heatmap] };
        let picks = picker.picks(&prepared, &heatmaps).picks;
        assert_eq!(picks.len(), centres.len(), "stride {stride}");
        for centre in centres {
            let nearest = picks.iter().map(|pick| distance(pick.position, centre)).fold(f64::MAX, f64::min);
            assert!(nearest < 0.02, "stride {stride}: {nearest} voxels beside {centre:?}");
        }
        assert_eq!(view_of(TomogramId(1), 1.0, &heatmaps, 0).voxels_per_cell, [stride as f64; 3]);
    }
}

/// The network with kernels that look the same from both ends of each axis.
fn symmetric(config: &NetworkConfig, device: &Device) -> Network {
    let network = config.init(5, device);
    let mut weights = named_weights(&network);
    for (shape, values) in weights.values_mut().filter(|(shape, _)| shape.len() == 5) {
        let tensor = Tensor::<5>::from_data(TensorData::new(values.clone(), shape.clone()), device);
        let mean = (2..5).fold(tensor, |t, axis| (t.clone() + t.flip([axis])).mul_scalar(0.5));
        *values = mean.into_data().iter::<f32>().collect();
    }
    load_weights(network, weights).unwrap()
}

#[test]
fn flipped_views_agree_at_every_stride() {
    let device = Device::flex();
    for config in of_each_stride() {
        let stride = config.output_stride();
        let network = symmetric(&config, &device);
        // Noise in the middle, so that the borders, which no flip about the cell grid keeps, play no part.
        let padded = 48 + stride - 1;
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let mut voxels = vec![0.0f32; padded * padded * padded];
        for z in 14..34 {
            for y in 14..34 {
                (14..34).for_each(|x| voxels[(z * padded + y) * padded + x] = random.random_range(-3.0..3.0));
            }
        }
        let rows = (stride - 1..padded).flat_map(|z| (stride - 1..padded).map(move |y| (z * padded + y) * padded + stride - 1));
        let plain: Vec<f32> = rows.flat_map(|start| voxels[start..start + 48].to_vec()).collect();
        let maps = |voxels: &[f32], flips: bool, at_once: usize| -> Vec<f32> {
            let edge = (voxels.len() as f64).cbrt().round() as usize;
            let input = Tensor::<5>::from_data(TensorData::new(voxels.to_vec(), [1, 1, edge, edge, edge]), &device);
            mean_of_views(&network, &input, flips, Detector::Heatmap, at_once).into_data().iter::<f32>().collect()
        };
        let straight = maps(&plain, false, 1);
        let views = maps(&voxels, true, 1);
        // Views that go through the network together come to the same.
        let together = maps(&voxels, true, 3);
        assert!(views.iter().zip(&together).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(views.len(), straight.len());
        let n = 48 / stride;
        // A map against another one, shifted along x by a cell where asked, where the noise is.
        let apart = |shift: usize| -> f64 {
            let (mut squares, mut power) = (0.0, 0.0);
            let mean = straight.iter().map(|v| f64::from(*v)).sum::<f64>() / straight.len() as f64;
            for (z, y) in (n / 3..2 * n / 3).flat_map(|z| (n / 3..2 * n / 3).map(move |y| (z, y))) {
                for x in n / 3..2 * n / 3 {
                    let at = (z * n + y) * n + x;
                    squares += f64::from(views[at + shift] - straight[at]).powi(2);
                    power += (f64::from(straight[at]) - mean).powi(2);
                }
            }
            (squares / power).sqrt()
        };
        println!("stride {stride}: apart {:.4}, shifted by a cell {:.4}", apart(0), apart(1));
        assert!(apart(0) < 0.05 && apart(1) > 0.5, "stride {stride}: {} and {}", apart(0), apart(1));
    }
}

#[test]
fn windows_of_every_stride_cover_every_cell() {
    let device = Device::flex();
    for config in of_each_stride() {
        let stride = config.output_stride();
        let shape = [9, 21, 34];
        let volume = volume(shape, |i| ((i * 7919) % 1013) as f32);
        for flips in [false, true] {
            let options = PredictOptions { windows: small(), flips, ..PredictOptions::default() };
            let go_on = |_| ControlFlow::Continue(());
            let heatmaps = predict(&config.init(1, &device), &config, &device, &volume, &options, go_on).unwrap().unwrap();
            assert_eq!((heatmaps.cells, heatmaps.stride), (shape.map(|n| n.div_ceil(stride)), stride));
            assert!(heatmaps.classes.iter().flatten().all(|v| v.is_finite() && *v != 0.0), "stride {stride}");
        }
    }
}

#[test]
fn the_maps_of_a_segmentation_are_probabilities_without_the_background() {
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
