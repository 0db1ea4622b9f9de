//! The detector: its network, what it is taught, how its error is measured, and how it is kept in a file.
//!
//! Everything here is pure burn over a [`Device`](burn::tensor::Device) chosen at run time, but for the convolutions and the
//! normalisation on the CPU, which are our own ([`kernels`]).

mod checkpoint;
#[allow(
    clippy::disallowed_macros,
    reason = "burn's macro writes `unimplemented!` for devices that this extension is never called on"
)]
mod cpu;
mod device;
#[allow(
    clippy::disallowed_macros,
    reason = "burn's macro writes `unimplemented!` for devices that this extension is never called on"
)]
pub(crate) mod gpu;
mod initial;
#[allow(unsafe_code, reason = "vector code and uninitialised buffers; each use states its invariant")]
pub mod kernels;
mod loss;
mod mask;
mod network;
mod ops;
mod target;
pub(crate) mod update;
mod weights;

pub use checkpoint::{Checkpoint, CheckpointError, ModelMetadata};
pub(crate) use checkpoint::{RUN_KEY, read_tensors, write_tensors};
pub use device::{DeviceError, Selected, any_gpu_for_tests, select};
pub use gpu::{Precision, cache_folder, in_precision, supports_half};
pub use loss::{class_weights, expected_squared_error, rival_error, tversky, weighted_cross_entropy, weighted_squared_error};
pub use mask::{mask_radius_cells, render_mask};
pub use network::{Architecture, Network, NetworkConfig};
pub use target::{Marker, Supervision, Target, render_target};
pub(crate) use weights::weight_names;
pub use weights::{Weight, WeightsError, load_weights, named_weights};

#[cfg(test)]
mod tests;
