//! Single or half precision for inference on a GPU.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use cubecl::ir::{ElemType, FloatKind};

use super::gpu;
use super::product::half_is_right;
use crate::model::Network;

/// The precision in which a network computes while it picks. Sums of windows and statistics are always kept in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Half where the device multiplies half-precision matrices into single-precision sums, and does so rightly, else single.
    #[default]
    Auto,
    /// Single precision.
    F32,
    /// Half precision where the device computes in it, else single.
    F16,
}

/// Whether a device stores and computes in half precision. A CPU is said not to: its kernels are in single precision.
pub fn supports_half(device: &Device) -> bool {
    gpu(device).is_some() && device.clone().inner().supports_dtype(DType::F16)
}

/// The network in the precision asked for, as far as its device has it. Scales and shifts of normalisations stay single.
pub fn in_precision(network: &Network, device: &Device, precision: Precision) -> Network {
    struct Halve {
        path: Vec<String>,
    }
    impl ModuleMapper for Halve {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.path.last().map(String::as_str) {
                Some("scale" | "shift") => param,
                _ => param.map(|weight| weight.cast(FloatDType::F16)),
            }
        }
    }
    let is_half = match precision {
        Precision::Auto => supports_half(device) && has_matrix_units(device) && half_is_right(&device.clone().inner()),
        Precision::F32 => false,
        Precision::F16 => supports_half(device),
    };
    if is_half { network.clone().map(&mut Halve { path: Vec::new() }) } else { network.clone() }
}

/// Whether the device multiplies half-precision matrices into single-precision sums. Without that, convolutions would also add up in
/// half precision, which costs accuracy, and gain little.
fn has_matrix_units(device: &Device) -> bool {
    let half = ElemType::Float(FloatKind::F16);
    let single = ElemType::Float(FloatKind::F32);
    gpu(device).is_some_and(|device| {
        let client = device.client();
        client.features().matmul.cmma.iter().any(|unit| unit.a_type == half && unit.b_type == half && unit.cd_type == single)
    })
}
