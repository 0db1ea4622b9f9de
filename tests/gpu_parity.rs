//! The network and the picks on a GPU against those on the CPU. Any Vulkan adapter serves, a software renderer too; the test is skipped
//! where there is none.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use semietpicker::labels::{Class, ClassId, TomogramId, TomogramLabels};
use semietpicker::model::{ModelMetadata, Network, NetworkConfig, Precision, any_gpu_for_tests, weighted_squared_error};
use semietpicker::pick::{Picker, PredictOptions, WindowLimits};
use semietpicker::train::{Pick, Preset, TrainingTomogram};
use semietpicker::volume::MemoryVolume;

/// How far numbers may lie apart.
const TOLERANCE: f32 = 1e-4;

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

fn tensor(shape: [usize; 5], seed: u32, device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(noise(shape.iter().product(), seed), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Largest difference, as a share of the largest of all values (1 at least).
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|v| v.is_finite()));
    let scale = a.iter().fold(1.0f32, |largest, v| largest.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale
}

/// The gradients of a training step's loss, weight by weight.
fn gradients(network: &Network, device: &Device) -> (f32, Vec<Vec<f32>>) {
    struct Collect<'a>(&'a GradientsParams, Vec<Vec<f32>>);
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(param.id).expect("every weight has a gradient");
            self.1.push(values(gradient));
        }
    }
    let device = device.clone().autodiff();
    let prediction = network.forward(tensor([1, 1, 16, 16, 16], 7, &device));
    let shape = prediction.dims();
    let (target, weight) = (tensor(shape, 8, &device).add_scalar(0.5), tensor(shape, 9, &device).add_scalar(0.5));
    let loss = weighted_squared_error(prediction, target, weight, 0.1);
    let value = loss.clone().into_scalar::<f32>();
    let gradients = GradientsParams::from_grads(loss.backward(), network);
    let mut collect = Collect(&gradients, Vec::new());
    network.visit(&mut collect);
    (value, collect.1)
}

#[test]
fn a_gpu_computes_what_the_cpu_computes() {
    let Some(gpu) = any_gpu_for_tests() else { return };
    let cpu = Device::flex();
    let config = NetworkConfig::preset(Preset::Compact, 2);

    // Inference: our kernels on either side.
    let forward = |device: &Device| values(config.init(5, device).forward(tensor([1, 1, 16, 16, 16], 3, device)));
    let error = apart(&forward(&cpu), &forward(&gpu));
    println!("forward: {error:.1e}");
    assert!(error < TOLERANCE);

    // Training: our kernels on either side.
    let (loss, of_cpu) = gradients(&config.init(5, &cpu.clone().autodiff()), &cpu);
    let (loss_gpu, of_gpu) = gradients(&config.init(5, &gpu.clone().autodiff()), &gpu);
    assert!((loss - loss_gpu).abs() < TOLERANCE * loss);
    for (index, (a, b)) in of_cpu.iter().zip(&of_gpu).enumerate() {
        let error = apart(a, b);
        assert!(error < TOLERANCE, "the gradient of weight {index} differs by {error}");
    }

    // Picks of a whole tomogram, cut into windows; by a small network, for kernels are compiled for each further size of a layer.
    let config = NetworkConfig::unet(2, &[4, 8], &[1, 1]);
    let shape = [24, 24, 40];
    let source = Arc::new(MemoryVolume::new(noise(shape.iter().product(), 11), shape, 10.0).expect("sizes agree"));
    let tomogram = TrainingTomogram {
        id: TomogramId(1),
        name: "noise".to_owned(),
        source,
        spacing_angstrom: 10.0,
        labels: TomogramLabels::default(),
    };
    let class =
        |id: u32, radius_angstrom: f64| Class { id: ClassId(id), name: format!("class {id}"), radius_angstrom, colour: [0; 3] };
    let classes = vec![class(1, 60.0), class(2, 120.0)];
    let pick = |device: &Device| {
        let network = config.init(5, device);
        let metadata = ModelMetadata::new(config.clone(), classes.clone(), 10.0, 16);
        let picker = Picker { metadata: &metadata, network: &network, device };
        let windows = WindowLimits { edge: 24, voxels: 24usize.pow(3), overlap: 8 };
        let options = PredictOptions { windows, precision: Precision::F32, ..PredictOptions::default() };
        picker.pick(&tomogram, &options, |_| ControlFlow::Continue(())).expect("in memory").expect("not ended").picks
    };
    let (of_cpu, of_gpu) = (pick(&cpu), pick(&gpu));
    assert!(of_cpu.picks.len() > 10);
    assert_eq!(of_cpu.picks.len(), of_gpu.picks.len());
    for pick in &of_cpu.picks {
        // The top of a flat peak moves further than its height changes.
        let is_same = |other: &&Pick| (0..3).all(|axis| (other.position[axis] - pick.position[axis]).abs() < 0.05);
        let other = of_gpu.picks.iter().filter(|other| other.class == pick.class).find(is_same).expect("the same pick");
        assert!((other.score - pick.score).abs() < TOLERANCE, "{pick:?} {other:?}");
    }
}
