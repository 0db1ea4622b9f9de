//! A training step with everything that belongs to it: `cargo bench --profile dev --bench training`.

use divan::Bencher;
use semietpicker::train::{Preset, TrainConfig, Trainer};

mod support;

/// Crop and batch.
const SIZES: [[usize; 2]; 4] = [[48, 2], [64, 1], [64, 2], [96, 1]];

#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn compact_step(bencher: Bencher<'_, '_>, [crop, batch]: [usize; 2]) {
    let set = support::training_set([72, 208, 208]);
    let mut trainer = Trainer::new(support::config(crop, batch, 1000), &set).expect("the set has labels");
    trainer.step().expect("the volume lies in memory");
    bencher.bench_local(|| trainer.step().expect("the volume lies in memory"));
}

/// The other networks that two cores can train, and the U-Net with output stride 4; crop 48, batch 2.
#[divan::bench(args = ["compact", "compact-stride-4", "vnet-compact", "fpn-compact"], sample_count = 5, sample_size = 1)]
fn step_of_each_network(bencher: Bencher<'_, '_>, name: &str) {
    let (preset, output_stride) = match name {
        "vnet-compact" => (Preset::VNetCompact, None),
        "fpn-compact" => (Preset::FpnCompact, None),
        "compact-stride-4" => (Preset::Compact, Some(4)),
        _ => (Preset::Compact, None),
    };
    let set = support::training_set([72, 208, 208]);
    let config = TrainConfig { preset, output_stride, ..support::config(48, 2, 1000) };
    let mut trainer = Trainer::new(config, &set).expect("the set has labels");
    trainer.step().expect("the volume lies in memory");
    bencher.bench_local(|| trainer.step().expect("the volume lies in memory"));
}

/// The same of the networks in the sizes of their papers: minutes.
#[divan::bench(args = ["resnet34", "vnet", "fpn"], sample_count = 1, sample_size = 1)]
fn step_of_each_large_network(bencher: Bencher<'_, '_>, name: &str) {
    let preset = match name {
        "vnet" => Preset::VNet,
        "fpn" => Preset::Fpn,
        _ => Preset::ResNet34,
    };
    let set = support::training_set([72, 208, 208]);
    let config = TrainConfig { preset, ..support::config(48, 2, 1000) };
    let mut trainer = Trainer::new(config, &set).expect("the set has labels");
    bencher.bench_local(|| trainer.step().expect("the volume lies in memory"));
}

/// Everything between the command and the end of the first step.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn first_step_with_preparation(bencher: Bencher<'_, '_>) {
    let set = support::training_set([72, 208, 208]);
    bencher.bench_local(|| {
        let mut trainer = Trainer::new(support::config(64, 2, 1000), &set).expect("the set has labels");
        trainer.step().expect("the volume lies in memory")
    });
}

fn main() {
    divan::main();
}
