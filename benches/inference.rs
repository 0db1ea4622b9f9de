//! Whole tomograms and their peaks: `cargo bench --profile dev --bench inference`.

use std::ops::ControlFlow;

use divan::{Bencher, black_box};
use semietpicker::model::{ModelMetadata, NetworkConfig, select};
use semietpicker::pick::{FLOOR, Picker, PredictOptions, find_peaks};
use semietpicker::train::{DeviceChoice, Preset};

mod support;

fn pick(bencher: Bencher<'_, '_>, config: &NetworkConfig, shape: [usize; 3]) {
    let device = select(DeviceChoice::Cpu).expect("there is always a CPU");
    let network = config.init(0, &device.device);
    let metadata = ModelMetadata::new(config.clone(), support::classes(), support::SPACING, 64);
    let tomogram = support::tomogram(shape);
    let picker = Picker { metadata: &metadata, network: &network, device: &device.device };
    let voxels: usize = shape.iter().product();
    bencher.counter(divan::counter::ItemsCount::new(voxels)).bench_local(|| {
        picker.pick(&tomogram, &PredictOptions::default(), |_| ControlFlow::Continue(())).expect("the volume lies in memory")
    });
}

#[divan::bench(args = [[72, 208, 208], [144, 208, 208], [144, 416, 208]], sample_count = 3, sample_size = 1)]
fn compact_tomogram(bencher: Bencher<'_, '_>, shape: [usize; 3]) {
    pick(bencher, &NetworkConfig::preset(Preset::Compact, 6), shape);
}

/// 72 x 208 x 208 voxels; those in the sizes of their papers take minutes.
#[divan::bench(args = ["compact-stride-4", "vnet-compact", "fpn-compact", "resnet34", "vnet", "fpn"], sample_count = 1, sample_size = 1)]
fn tomogram_of_each_network(bencher: Bencher<'_, '_>, name: &str) {
    let preset = match name {
        "vnet-compact" => Preset::VNetCompact,
        "fpn-compact" => Preset::FpnCompact,
        "resnet34" => Preset::ResNet34,
        "vnet" => Preset::VNet,
        "fpn" => Preset::Fpn,
        _ => Preset::Compact,
    };
    let config = NetworkConfig::preset(preset, 6);
    let config = match name {
        "compact-stride-4" => config.with_output_stride(4).expect("a U-Net has this stride"),
        _ => config,
    };
    pick(bencher, &config, [72, 208, 208]);
}

#[divan::bench(args = [3.0, 7.5])]
fn peaks_of_a_noisy_heatmap(bencher: Bencher<'_, '_>, radius_cells: f64) {
    let cells = [92, 315, 315];
    let heatmap: Vec<f32> = support::noise(cells.iter().product()).into_iter().map(|value| (0.1 * value).max(0.0)).collect();
    bencher
        .counter(divan::counter::ItemsCount::new(heatmap.len()))
        .bench_local(|| find_peaks(black_box(&heatmap), cells, radius_cells, FLOOR));
}

fn main() {
    divan::main();
}
