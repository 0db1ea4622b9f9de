//! The network against PyTorch, gradients against finite differences, model files against mishaps.

use std::collections::BTreeMap;

use burn::module::{Module as _, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

use super::weights::Weight;
use super::*;
use crate::labels::{Class, ClassId};
use crate::train::Preset;

fn small() -> NetworkConfig {
    NetworkConfig::unet(3, &[4, 8, 16], &[1, 2, 2])
}

/// A small network of each kind, of each output stride.
fn of_each_kind() -> [NetworkConfig; 5] {
    let fpn = |output_stride| Architecture::Fpn { output_stride, width: 4 };
    let make = |architecture, widths: &[usize], blocks: &[usize]| NetworkConfig {
        architecture,
        ..NetworkConfig::unet(3, widths, blocks)
    };
    [
        make(Architecture::UNet { output_stride: 2 }, &[4, 8, 16], &[1, 2, 1]),
        make(Architecture::UNet { output_stride: 4 }, &[2, 4, 8], &[1, 1, 1]),
        make(Architecture::VNet, &[1, 2, 4], &[1, 2, 3]),
        make(fpn(2), &[2, 4, 8], &[1, 2, 1]),
        make(fpn(4), &[2, 4, 8], &[1, 1, 2]),
    ]
}

fn fixture(bytes: &[u8]) -> BTreeMap<String, Weight> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    tensors
        .iter()
        .map(|(name, view)| {
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            (name.to_owned(), (view.shape().to_vec(), values))
        })
        .collect()
}

fn tensor<const D: usize>((shape, values): &Weight, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.clone(), shape.clone()), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Gradients of every weight by name.
fn named_gradients(network: &Network, gradients: Gradients) -> BTreeMap<String, Vec<f32>> {
    struct Collect {
        path: Vec<String>,
        gradients: GradientsParams,
        named: BTreeMap<String, Vec<f32>>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, container: &str) {
            if weights::is_named(container) {
                self.path.push(name.to_owned());
            }
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            if weights::is_named(container) {
                self.path.pop();
            }
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.gradients.remove::<D>(param.id).expect("every weight has a gradient");
            self.named.insert(self.path.join("."), values(gradient));
        }
    }
    let gradients = GradientsParams::from_grads(gradients, network);
    let mut collect = Collect { path: vec![], gradients, named: BTreeMap::new() };
    network.visit(&mut collect);
    collect.named
}

fn agrees_with_pytorch(config: &NetworkConfig, bytes: &[u8], input: [usize; 3]) {
    let device = Device::flex().autodiff();
    let fixture = fixture(bytes);
    let part = |prefix: &str| -> BTreeMap<String, Weight> {
        let strip = |(name, weight): (&String, &Weight)| Some((name.strip_prefix(prefix)?.to_owned(), weight.clone()));
        fixture.iter().filter_map(strip).collect()
    };
    let network = load_weights(config.init(0, &device), part("parameter.")).unwrap();
    let output = network.forward(tensor(&fixture["input"], &device));
    let [z, y, x] = input.map(|n| n / config.output_stride());
    assert_eq!(output.dims(), [2, 3, z, y, x]);
    let difference = largest_difference(&values(output.clone()), &fixture["output"].1);
    assert!(difference < 1e-4, "{config:?}: output differs by {difference}");

    let loss = weighted_squared_error(output, tensor(&fixture["target"], &device), tensor(&fixture["weight"], &device), 0.25);
    assert!((values(loss.clone())[0] - fixture["loss"].1[0]).abs() < 1e-5);
    let gradients = named_gradients(&network, loss.backward());
    for (name, (_, expected)) in part("gradient.") {
        let scale = expected.iter().fold(0.0f32, |a, b| a.max(b.abs())).max(1e-4);
        let difference = largest_difference(&gradients[&name], &expected) / scale;
        assert!(difference < 2e-3, "{config:?}: gradient of {name} differs by {difference} of its largest");
    }
    assert_eq!(gradients.len(), part("gradient.").len());
}

#[test]
fn forward_and_backward_agree_with_pytorch() {
    let [_, unet4, vnet, fpn, _] = of_each_kind();
    agrees_with_pytorch(&small(), include_bytes!("../../tests/fixtures/pytorch_forward.safetensors"), [16, 24, 8]);
    agrees_with_pytorch(&unet4, include_bytes!("../../tests/fixtures/pytorch_unet4.safetensors"), [16, 24, 8]);
    agrees_with_pytorch(&vnet, include_bytes!("../../tests/fixtures/pytorch_vnet.safetensors"), [8, 12, 4]);
    agrees_with_pytorch(&fpn, include_bytes!("../../tests/fixtures/pytorch_fpn.safetensors"), [16, 24, 8]);
}

/// Values and gradients (by the inputs and the parameters) of an operation whose output is weighed by fixed numbers.
fn with_gradients(
    inputs: &[TensorData],
    run: impl Fn(&[Tensor<5>], &[Tensor<1>]) -> Tensor<5>,
    parameters: &[TensorData],
) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let inputs: Vec<Tensor<5>> = inputs.iter().map(|d| Tensor::from_data(d.clone(), &device).require_grad()).collect();
    let parameters: Vec<Tensor<1>> = parameters.iter().map(|d| Tensor::from_data(d.clone(), &device).require_grad()).collect();
    let out = run(&inputs, &parameters);
    let count = out.shape().num_elements();
    let weights: Vec<f32> = (0..count).map(|i| ((i * 31) % 17) as f32 / 8.0 - 1.0).collect();
    let weights = Tensor::<5>::from_data(TensorData::new(weights, out.shape()), &device);
    let gradients = (out.clone() * weights).sum().backward();
    let mut all = vec![values(out)];
    all.extend(inputs.iter().map(|t| values(t.grad(&gradients).expect("tracked"))));
    all.extend(parameters.iter().map(|t| values(t.grad(&gradients).expect("tracked"))));
    all
}

#[test]
fn our_cpu_operations_agree_with_the_plain_ones_forward_and_backward() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut draw = |shape: &[usize]| {
        let count = shape.iter().product();
        TensorData::new((0..count).map(|_| random.random_range(-1.0..1.0f32)).collect::<Vec<_>>(), shape.to_vec())
    };
    let compare = |what: &str, ours: Vec<Vec<f32>>, plain: Vec<Vec<f32>>| {
        for (index, (ours, plain)) in ours.iter().zip(&plain).enumerate() {
            let scale = plain.iter().fold(1.0f32, |a, b| a.max(b.abs()));
            let difference = largest_difference(ours, plain) / scale;
            assert!(difference < 2e-5, "{what}, part {index}: {difference}");
        }
    };
    for (batch, channels_in, channels_out, size, kernel, stride) in
        [(2, 3, 5, [7, 6, 9], 3, 1), (1, 1, 8, [8, 9, 10], 3, 2), (2, 4, 6, [5, 8, 7], 1, 2), (1, 6, 3, [4, 5, 6], 1, 1)]
    {
        let x = draw(&[batch, channels_in, size[0], size[1], size[2]]);
        let weight = draw(&[channels_out, channels_in, kernel, kernel, kernel]);
        let inputs = [x, weight];
        let ours = with_gradients(&inputs, |t, _| ops::conv3d(t[0].clone(), t[1].clone(), stride), &[]);
        let plain = with_gradients(&inputs, |t, _| ops::plain_conv3d(t[0].clone(), t[1].clone(), stride), &[]);
        compare(&format!("convolution {kernel} by {stride}"), ours, plain);
    }
    for (batch, channels_in, channels_out, size, kernel, stride) in [
        (2, 3, 9, [7, 6, 9], 5, 1),
        (1, 1, 8, [8, 5, 10], 5, 1),
        (1, 16, 16, [6, 7, 5], 5, 1),
        (2, 3, 5, [4, 6, 8], 2, 2),
        (1, 8, 16, [5, 6, 7], 2, 2),
    ] {
        let x = draw(&[batch, channels_in, size[0], size[1], size[2]]);
        let inputs = [x, draw(&[channels_out, channels_in, kernel, kernel, kernel])];
        let ours = with_gradients(&inputs, |t, _| ops::conv3d(t[0].clone(), t[1].clone(), stride), &[]);
        let plain = with_gradients(&inputs, |t, _| ops::plain_conv3d(t[0].clone(), t[1].clone(), stride), &[]);
        compare(&format!("convolution {kernel} by {stride}"), ours, plain);
    }
    for (channels_in, channels_out) in [(3, 5), (16, 8)] {
        let inputs = [draw(&[2, channels_in, 3, 4, 5]), draw(&[channels_in, channels_out, 2, 2, 2])];
        let ours = with_gradients(&inputs, |t, _| ops::doubling_conv3d(t[0].clone(), t[1].clone()), &[]);
        let plain = with_gradients(&inputs, |t, _| ops::plain_doubling_conv3d(t[0].clone(), t[1].clone()), &[]);
        assert_eq!(ours[0].len(), 2 * channels_out * 6 * 8 * 10);
        compare("transposed convolution", ours, plain);
    }
    let x = draw(&[2, 8, 5, 6, 7]);
    let added = draw(&[2, 8, 5, 6, 7]);
    let parameters = [draw(&[8]), draw(&[8])];
    let prelu = |plain: bool| {
        let run = move |t: &[Tensor<5>], p: &[Tensor<1>]| match plain {
            true => burn::tensor::activation::prelu(t[0].clone(), p[0].clone()),
            false => ops::prelu(t[0].clone(), p[0].clone()),
        };
        with_gradients(std::slice::from_ref(&x), run, &parameters[..1])
    };
    compare("rectifier with slopes", prelu(false), prelu(true));
    for groups in [1, 4, 8] {
        let norm = |residual: bool, relu: bool, plain: bool| {
            let run = move |t: &[Tensor<5>], p: &[Tensor<1>]| {
                let residual = residual.then(|| t[1].clone());
                let (x, scale, shift) = (t[0].clone(), p[0].clone(), p[1].clone());
                match (plain, relu) {
                    (true, true) => ops::plain_group_norm_relu(x, scale, shift, groups, residual),
                    (false, true) => ops::group_norm_relu(x, scale, shift, groups, residual),
                    (true, false) => ops::plain_group_norm(x, scale, shift, groups, residual),
                    (false, false) => ops::group_norm(x, scale, shift, groups, residual),
                }
            };
            let inputs = [x.clone(), added.clone()];
            with_gradients(&inputs[..1 + usize::from(residual)], run, &parameters)
        };
        for relu in [true, false] {
            compare("normalisation", norm(false, relu, false), norm(false, relu, true));
            compare("normalisation with a residual", norm(true, relu, false), norm(true, relu, true));
        }
    }
    let (coarse, skip) = (draw(&[2, 3, 2, 3, 4]), draw(&[2, 5, 4, 6, 8]));
    let inputs = [coarse, skip];
    let ours = with_gradients(&inputs, |t, _| ops::upsample_concat(t[0].clone(), t[1].clone()), &[]);
    let plain = with_gradients(&inputs, |t, _| ops::plain_upsample_concat(t[0].clone(), t[1].clone()), &[]);
    compare("upsampling", ours, plain);
    let inputs = [draw(&[2, 3, 2, 3, 4]), draw(&[2, 3, 4, 6, 8])];
    let ours = with_gradients(&inputs, |t, _| ops::upsample_add(t[0].clone(), t[1].clone()), &[]);
    let plain = with_gradients(&inputs, |t, _| ops::plain_upsample(t[0].clone()) + t[1].clone(), &[]);
    compare("upsampled sum", ours, plain);
}

/// One weight of each kind of layer, moved up and down.
fn gradients_are_finite_differences(config: &NetworkConfig, names: &[&str]) {
    let device = Device::flex().autodiff();
    let network = config.init(3, &device);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0f32)).collect() };
    let x = TensorData::new(draw(8 * 8 * 12), [1, 1, 8, 8, 12]);
    let cells = [8, 8, 12].map(|n| n / config.output_stride());
    let count = config.classes * cells.iter().product::<usize>();
    let y = draw(count).iter().map(|v| v.abs()).collect::<Vec<_>>();
    let y = TensorData::new(y, [1, config.classes, cells[0], cells[1], cells[2]]);
    let loss = |network: &Network, device: &Device| {
        let prediction = network.forward(Tensor::from_data(x.clone(), device));
        let target = Tensor::<5>::from_data(y.clone(), device);
        let weight = target.ones_like();
        weighted_squared_error(prediction, target, weight, 0.25)
    };
    let gradients = named_gradients(&network, loss(&network, &device).backward());
    let weights = named_weights(&network);
    let plain = Device::flex();
    let at = |name: &str, index: usize, step: f32| -> f64 {
        let mut moved = weights.clone();
        moved.get_mut(name).unwrap().1[index] += step;
        let network = load_weights(config.init(3, &plain), moved).unwrap();
        f64::from(values(loss(&network, &plain))[0])
    };
    for name in names.iter().copied() {
        let gradient = &gradients[name];
        // The entry with the largest gradient: rounding matters least there.
        let index = (0..gradient.len()).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs())).unwrap();
        let step = 3e-4;
        let numeric = (at(name, index, step) - at(name, index, -step)) / f64::from(2.0 * step);
        let analytic = f64::from(gradient[index]);
        // A ReLU that switches within the step bends the curve a little.
        assert!((numeric - analytic).abs() < 0.05 * analytic.abs() + 1e-4, "{name}: {numeric} against {analytic}");
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let names = [
        "stem.0.conv.weight",
        "stem.1.norm.scale",
        "encoder.0.0.conv2.weight",
        "encoder.1.0.shortcut.weight",
        "encoder.1.0.norm2.shift",
        "decoder.0.0.conv.weight",
        "decoder.0.1.norm.shift",
        "head.weight",
        "head.bias",
    ];
    gradients_are_finite_differences(&NetworkConfig::unet(2, &[8, 16], &[1, 1]), &names);
    let vnet = NetworkConfig { architecture: Architecture::VNet, ..NetworkConfig::unet(2, &[4, 8], &[1, 2]) };
    let names = [
        "left.0.conv.0.weight",
        "left.1.activation.1.slope",
        "left.1.conv.1.weight",
        "down.0.conv.weight",
        "down.0.activation.norm.scale",
        "up.0.weight",
        "up.0.activation.slope",
        "right.0.conv.0.weight",
        "right.0.activation.0.norm.shift",
        "head.weight",
    ];
    gradients_are_finite_differences(&vnet, &names);
    let architecture = Architecture::Fpn { output_stride: 2, width: 8 };
    let fpn = NetworkConfig { architecture, ..NetworkConfig::unet(2, &[8, 16], &[1, 1]) };
    let names = ["stem.0.conv.weight", "lateral.0.weight", "lateral.1.weight", "smoothing.conv.weight", "smoothing.norm.scale"];
    gradients_are_finite_differences(&fpn, &names);
}

#[test]
fn cells_of_weight_zero_do_not_count() {
    let device = Device::flex();
    let make = |v: &[f32]| Tensor::<5>::from_data(TensorData::new(v.to_vec(), [1, 1, 1, 1, v.len()]), &device);
    let loss = |p: &[f32], y: &[f32], w: &[f32]| values(weighted_squared_error(make(p), make(y), make(w), 0.25))[0];
    // (0.25 + 1) 0.5^2 and (0.25 + 0) 1^2 by hand.
    assert!((loss(&[0.5, 1.0], &[1.0, 0.0], &[1.0, 1.0]) - (0.3125 + 0.25) / 2.0).abs() < 1e-6);
    assert!((loss(&[0.5, 9.0], &[1.0, 0.0], &[1.0, 0.0]) - 0.3125).abs() < 1e-6);
    assert_eq!(loss(&[0.5, 9.0], &[1.0, 0.0], &[0.0, 0.0]), 0.0);
}

#[test]
fn presets_have_the_stated_sizes() {
    let device = Device::flex();
    // The numbers of the same networks in PyTorch: tests/fixtures/make_pytorch_forward.py --sizes.
    for (preset, parameters, stride, total_stride) in [
        (Preset::Compact, 1_470_126, 2, 8),
        (Preset::ResNet34, 72_960_966, 2, 16),
        (Preset::VNet, 65_178_902, 1, 16),
        (Preset::VNetCompact, 460_990, 1, 4),
        (Preset::Fpn, 65_686_342, 2, 16),
        (Preset::FpnCompact, 1_229_310, 2, 8),
    ] {
        let config = NetworkConfig::preset(preset, 6);
        assert_eq!(config.parameters(), parameters, "{preset:?}");
        assert_eq!((config.output_stride(), config.total_stride()), (stride, total_stride), "{preset:?}");
        assert_eq!(config.fault(), None);
        if parameters < 10_000_000 {
            assert_eq!(config.init(0, &device).num_params(), parameters, "{preset:?}");
        }
        assert_eq!(config.clone().with_output_stride(4).map(|c| c.output_stride()), (stride == 2).then_some(4));
        assert_eq!(config.with_output_stride(1).map(|c| c.output_stride()), (stride == 1).then_some(1));
    }
    assert!(Preset::ALL.iter().all(|preset| NetworkConfig::preset(*preset, 1).fault().is_none()));
    let four = NetworkConfig::preset(Preset::Compact, 6).with_output_stride(4).unwrap();
    assert_eq!(four.parameters(), 1_407_966);
    assert_eq!(small().init(0, &device).num_params(), small().parameters());
}

#[test]
fn every_kind_of_network_has_its_stride_and_size() {
    let device = Device::flex();
    for config in of_each_kind() {
        let network = config.init(1, &device);
        assert_eq!(network.num_params(), config.parameters(), "{config:?}");
        assert_eq!(network.output_stride(), config.output_stride(), "{config:?}");
        let total = config.total_stride();
        let input = Tensor::<5>::ones([1, 1, total, 2 * total, 3 * total], &device);
        let output = network.forward(input);
        let cells = [total, 2 * total, 3 * total].map(|n| n / config.output_stride());
        assert_eq!(output.dims(), [1, 3, cells[0], cells[1], cells[2]], "{config:?}");
        assert!(values(output).iter().all(|value| value.is_finite()));
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<NetworkConfig>(&text).unwrap(), config);
    }
}

#[test]
fn the_same_seed_draws_the_same_weights() {
    let device = Device::flex();
    assert_eq!(named_weights(&small().init(4, &device)), named_weights(&small().init(4, &device)));
    assert_ne!(named_weights(&small().init(4, &device)), named_weights(&small().init(5, &device)));
}

fn checkpoint(device: &Device) -> Checkpoint {
    let classes =
        (0..3).map(|i| Class { id: ClassId(i), name: format!("class {i}"), radius_angstrom: 60.0, colour: [1, 2, 3] }).collect();
    let mut metadata = ModelMetadata::new(small(), classes, 10.0, 32);
    metadata.thresholds = vec![0.25, 0.5, 0.75];
    Checkpoint { metadata, network: small().init(9, device) }
}

#[test]
fn a_model_file_gives_back_the_model() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.model");
    let original = checkpoint(&device);
    original.save(&path).unwrap();
    original.save(&path).unwrap();
    let loaded = Checkpoint::load(&path, &device).unwrap();
    assert_eq!(loaded.metadata, original.metadata);
    assert_eq!(named_weights(&loaded.network), named_weights(&original.network));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
}

#[test]
fn every_kind_of_network_comes_back_from_its_file() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.model");
    for network in of_each_kind() {
        let mut model = checkpoint(&device);
        model.metadata = ModelMetadata::new(network.clone(), model.metadata.classes, 10.0, 32);
        model.network = network.init(4, &device);
        model.save(&path).unwrap();
        let loaded = Checkpoint::load(&path, &device).unwrap();
        assert_eq!(loaded.metadata, model.metadata);
        assert_eq!(loaded.metadata.network.architecture, network.architecture);
        assert_eq!(named_weights(&loaded.network), named_weights(&model.network));
        // Programs from before there were other networks must say that it is too new, not that it is damaged.
        let is_first = network.architecture == Architecture::default();
        assert_eq!(loaded.metadata.version, if is_first { 1 } else { 2 });
    }
}

#[test]
fn a_file_from_before_there_were_other_networks_is_a_u_net() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.model");
    let model = checkpoint(&device);
    model.save(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let field = b"\\\"architecture\\\":{\\\"unet\\\":{\\\"output_stride\\\":2}},";
    let at = bytes.windows(field.len()).position(|w| w == field).expect("the description says the architecture");
    bytes[at..at + field.len()].fill(b' ');
    std::fs::write(&path, bytes).unwrap();
    let loaded = Checkpoint::load(&path, &device).unwrap();
    assert_eq!(loaded.metadata, model.metadata);
    assert_eq!(named_weights(&loaded.network), named_weights(&model.network));
}

#[test]
fn descriptions_that_make_no_sense_are_faults() {
    let unet = |widths: &[usize], blocks: &[usize]| NetworkConfig::unet(3, widths, blocks);
    let with = |architecture, config: NetworkConfig| NetworkConfig { architecture, ..config };
    let fpn = |output_stride, width| Architecture::Fpn { output_stride, width };
    for config in [
        unet(&[], &[]),
        unet(&[8, 16], &[1]),
        unet(&[8, 0], &[1, 1]),
        unet(&[8, 1 << 20], &[1, 1]),
        unet(&[8, 16], &[1, 0]),
        unet(&[8; 9], &[1; 9]),
        unet(&[8, 12], &[1, 1]),
        with(Architecture::UNet { output_stride: 0 }, small()),
        with(Architecture::UNet { output_stride: 1 }, small()),
        with(Architecture::UNet { output_stride: 3 }, small()),
        with(Architecture::UNet { output_stride: 4 }, unet(&[8], &[1])),
        with(Architecture::UNet { output_stride: usize::MAX }, small()),
        with(Architecture::VNet, unet(&[6, 16], &[1, 1])),
        with(fpn(8, 16), small()),
        with(fpn(2, 0), small()),
        with(fpn(2, 12), small()),
        with(fpn(2, 1 << 30), small()),
    ] {
        assert!(config.fault().is_some_and(|fault| fault.contains("makes no sense")), "{config:?}");
    }
    for config in of_each_kind() {
        assert_eq!(config.fault(), None);
    }
}

#[test]
fn a_model_file_says_what_its_output_means() {
    use crate::train::Detector;

    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.model");
    // A file of before there was a choice: the name of the detector is one that nobody knows.
    checkpoint(&device).save(&path).unwrap();
    let mut old = std::fs::read(&path).unwrap();
    let key = b"\\\"detector\\\"";
    let at = old.windows(key.len()).position(|window| window == key).expect("present");
    old[at + 2] = b'x';
    std::fs::write(&path, old).unwrap();
    assert_eq!(Checkpoint::load(&path, &device).unwrap().metadata, checkpoint(&device).metadata);

    // A segmentation has a channel more than classes.
    let mut segmentation = checkpoint(&device);
    segmentation.metadata.detector = Detector::Segmentation;
    segmentation.save(&path).unwrap();
    let refusal = Checkpoint::load(&path, &device).unwrap_err().to_string();
    assert!(refusal.contains("3 output channels where there should be 4"), "{refusal}");
    let network = NetworkConfig { classes: 4, ..small() };
    let segmentation =
        Checkpoint { network: network.init(9, &device), metadata: ModelMetadata { network, ..segmentation.metadata } };
    segmentation.save(&path).unwrap();
    let loaded = Checkpoint::load(&path, &device).unwrap();
    assert_eq!(loaded.metadata, segmentation.metadata);
    assert_eq!(named_weights(&loaded.network), named_weights(&segmentation.network));
}

#[test]
fn what_is_no_model_is_refused_with_the_reason() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.model");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::load(&path, &device).unwrap_err().to_string()
    };
    assert!(load(b"").contains("not a SemiETPicker model"));
    assert!(load(b"MAP something else entirely").contains("not a SemiETPicker model"));
    checkpoint(&device).save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    for cut in [1, 7, 9, 100, good.len() / 2, good.len() - 1] {
        let message = load(&good[..cut]);
        assert!(message.contains("a.model"), "{message}");
    }
    let text = |from: &str, to: &str| {
        // Same length, so that the header's own length stays true.
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).expect("present");
        let mut changed = good.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        changed
    };
    assert!(load(&text("\\\"version\\\":1", "\\\"version\\\":9")).contains("later version"));
    assert!(load(&text("[4,8,16]", "[4,4,16]")).contains("weights are stored"));
    assert!(load(&text("[4,8,16]", "[4,0,16]")).contains("makes no sense"));
    assert!(load(&text("stride\\\":2", "stride\\\":4")).contains("weights are stored"));
    assert!(load(&text("stride\\\":2", "stride\\\":8")).contains("makes no sense"));
    assert!(load(&text("robust-z", "robust-q")).contains("robust-q"));
    assert!(load(&text("head.bias", "head.bios")).contains("head.bias"));
    assert!(Checkpoint::load(&folder.path().join("none"), &device).unwrap_err().to_string().contains("none"));
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_former_one() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let error = checkpoint(&device).save(&folder.path().join("missing/a.model")).unwrap_err();
    assert!(error.to_string().contains("cannot write"));
}

#[test]
fn the_cpu_is_always_there_and_a_software_renderer_is_no_gpu() {
    use crate::train::DeviceChoice;
    let cpu = select(DeviceChoice::Cpu).unwrap();
    assert!(!cpu.is_gpu && cpu.name.starts_with("CPU"));
    match select(DeviceChoice::Gpu) {
        Ok(gpu) => assert!(gpu.is_gpu),
        Err(error) => assert!(error.to_string().contains("no usable GPU")),
    }
    assert!(select(DeviceChoice::Auto).is_ok());
}
