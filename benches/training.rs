//! A training step with everything that belongs to it: `cargo bench --profile dev --bench training`.

use divan::Bencher;
use semietpicker::train::Trainer;

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
