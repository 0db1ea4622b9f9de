//! This program's half of `scripts/compare_with_pytorch.py`: does what a line on standard input says, answers with seconds.
//!
//! ```text
//! conv OP BATCH CHANNELS_IN CHANNELS_OUT EDGE KERNEL STRIDE     OP: forward, input or weight
//! step CROP BATCH                                               one training step; prepared at the first
//! pick Z Y X MODEL                                              a whole tomogram of noise, windows of the default sizes
//! save MODEL FOLDER                                             a network's weights, an input and its output, as raw f32
//! peak THREADS                                                  operations a second of a plain loop of multiply-adds
//! copy THREADS                                                  bytes a second that are copied from memory to memory
//! ```

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use semietpicker::model::kernels::{
    Conv3dShape, conv3d_backward_input, conv3d_backward_weight, conv3d_forward, multiply_add_rate,
};
use semietpicker::model::{ModelMetadata, Network, NetworkConfig, named_weights, select};
use semietpicker::pick::{Picker, PredictOptions};
use semietpicker::train::{DeviceChoice, Preset, Trainer, TrainingTomogram};

mod support;

#[derive(Default)]
struct State {
    trainers: HashMap<[usize; 2], Trainer>,
    tomograms: HashMap<[usize; 3], TrainingTomogram>,
}

fn network(preset: &str) -> (NetworkConfig, Network) {
    let preset = if preset == "resnet34" { Preset::ResNet34 } else { Preset::Compact };
    let config = NetworkConfig::preset(preset, 6);
    let device = select(DeviceChoice::Cpu).expect("there is always a CPU");
    let network = config.init(0, &device.device);
    (config, network)
}

fn numbers<const N: usize>(words: &[&str]) -> [usize; N] {
    std::array::from_fn(|i| words[i].parse().expect("the script sends whole numbers"))
}

fn conv(operation: &str, [batch, channels_in, channels_out, edge, kernel, stride]: [usize; 6]) -> f64 {
    let shape = Conv3dShape { batch, channels_in, channels_out, input: [edge; 3], kernel, stride };
    let (x, weight, gradient) =
        (support::noise(shape.input_len()), support::noise(shape.weight_len()), support::noise(shape.output_len()));
    let mut run: Box<dyn FnMut()> = match operation {
        "forward" => {
            let mut out = vec![0.0; shape.output_len()];
            Box::new(move || conv3d_forward(&shape, &x, &weight, None, &mut out))
        }
        "input" => {
            let mut out = vec![0.0; shape.input_len()];
            Box::new(move || conv3d_backward_input(&shape, &weight, &gradient, &mut out))
        }
        _ => {
            let mut out = vec![0.0; shape.weight_len()];
            Box::new(move || conv3d_backward_weight(&shape, &x, &gradient, &mut out))
        }
    };
    run();
    (0..3)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min)
}

fn write(path: String, values: impl IntoIterator<Item = f32>) {
    let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    std::fs::write(path, bytes).expect("the script gives a folder that can be written");
}

fn save(preset: &str, folder: &str) -> f64 {
    let (_, network) = network(preset);
    for (name, (_, values)) in named_weights(&network) {
        write(format!("{folder}/{name}.f32"), values);
    }
    let device = select(DeviceChoice::Cpu).expect("there is always a CPU").device;
    let input = support::noise(2 * 32 * 48 * 64);
    let tensor = Tensor::<5>::from_data(TensorData::new(input.clone(), [2, 1, 32, 48, 64]), &device);
    write(format!("{folder}/input.f32"), input);
    write(format!("{folder}/output.f32"), network.forward(tensor).into_data().iter::<f32>());
    0.0
}

/// Bytes copied a second by all threads together, best of several; the source is read and the target written.
fn copy_rate() -> f64 {
    let from = support::noise(16 << 20);
    let mut to = vec![0.0f32; from.len()];
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            to.par_chunks_mut(1 << 18).zip(from.par_chunks(1 << 18)).for_each(|(to, from)| to.copy_from_slice(from));
            start.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min);
    size_of_val(from.as_slice()) as f64 / best
}

fn answer(state: &mut State, words: &[&str]) -> f64 {
    match words[0] {
        "conv" => conv(words[1], numbers(&words[2..])),
        "step" => {
            let size: [usize; 2] = numbers(&words[1..]);
            let trainer = state.trainers.entry(size).or_insert_with(|| {
                let set = support::training_set([72, 208, 208]);
                let mut trainer = Trainer::new(support::config(size[0], size[1], 1000), &set).expect("the set has labels");
                trainer.step().expect("the volume lies in memory");
                trainer
            });
            let start = Instant::now();
            trainer.step().expect("the volume lies in memory");
            start.elapsed().as_secs_f64()
        }
        "pick" => {
            let shape: [usize; 3] = numbers(&words[1..]);
            let tomogram = state.tomograms.entry(shape).or_insert_with(|| support::tomogram(shape));
            let device = select(DeviceChoice::Cpu).expect("there is always a CPU");
            let (config, network) = network(words[4]);
            let metadata = ModelMetadata::new(config, support::classes(), support::SPACING, 64);
            let picker = Picker { metadata: &metadata, network: &network, device: &device.device };
            let start = Instant::now();
            picker.pick(tomogram, &PredictOptions::default(), |_| ControlFlow::Continue(())).expect("the volume lies in memory");
            start.elapsed().as_secs_f64()
        }
        "save" => save(words[1], words[2]),
        "peak" => multiply_add_rate(words[1].parse().expect("the script sends whole numbers")),
        "copy" => copy_rate(),
        other => unreachable!("the script asks for {other:?}, which is none of the above"),
    }
}

fn main() {
    semietpicker::train::compute_in_background();
    let mut state = State::default();
    // Cargo's own arguments, such as --bench, mean nothing here.
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        println!("{:.9e}", answer(&mut state, &words));
        std::io::stdout().flush().expect("the script reads this");
    }
}
