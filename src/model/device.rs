//! Where to compute: a real GPU when there is one, else the CPU.

use burn::tensor::{Device, DeviceKind};

use crate::train::DeviceChoice;

/// A device with a name for people.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The device, without autodiff.
    pub device: Device,
    /// Its name, such as `NVIDIA A30` or `CPU (8 threads)`.
    pub name: String,
    /// Whether it is a GPU.
    pub is_gpu: bool,
}

/// Why no device could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A GPU was asked for and none is there.
    #[error(
        "no usable GPU was found{found}; choose `cpu`, or install the graphics driver with Vulkan support and check it with `vulkaninfo --summary`"
    )]
    NoGpu {
        /// The adapters that were found, if any.
        found: String,
    },
}

/// Chooses a device.
///
/// A software rasteriser (llvmpipe, SwiftShader, WARP) shows up as an adapter of type CPU. It draws a window well enough but takes
/// hundreds of times longer than the CPU kernels for a training step, so it is never chosen.
///
/// # Errors
/// [`DeviceError::NoGpu`] when a GPU was asked for and none is there.
pub fn select(choice: DeviceChoice) -> Result<Selected, DeviceError> {
    if choice == DeviceChoice::Cpu {
        return Ok(cpu());
    }
    let adapters = adapters();
    match best_gpu(&adapters) {
        Some((kind, name)) => Ok(Selected { device: Device::wgpu(kind), name, is_gpu: true }),
        None if choice == DeviceChoice::Auto => Ok(cpu()),
        None => {
            let names: Vec<&str> = adapters.iter().map(|adapter| adapter.name.as_str()).collect();
            let found = match names.is_empty() {
                true => String::new(),
                false => format!(" (only software renderers: {})", names.join(", ")),
            };
            Err(DeviceError::NoGpu { found })
        }
    }
}

fn cpu() -> Selected {
    let threads = rayon::current_num_threads();
    Selected { device: Device::flex(), name: format!("CPU ({threads} threads)"), is_gpu: false }
}

/// The adapters of the graphics interface that the network computes with.
fn adapters() -> Vec<wgpu::AdapterInfo> {
    let backends = if cfg!(target_os = "macos") { wgpu::Backends::METAL } else { wgpu::Backends::VULKAN | wgpu::Backends::DX12 };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(backends)).iter().map(wgpu::Adapter::get_info).collect()
}

/// The first discrete GPU, else the first integrated one, else a virtual one. Indices count within a type, as burn does.
fn best_gpu(adapters: &[wgpu::AdapterInfo]) -> Option<(DeviceKind, String)> {
    type Make = fn(usize) -> DeviceKind;
    let kinds: [(wgpu::DeviceType, Make); 3] = [
        (wgpu::DeviceType::DiscreteGpu, DeviceKind::DiscreteGpu),
        (wgpu::DeviceType::IntegratedGpu, DeviceKind::IntegratedGpu),
        (wgpu::DeviceType::VirtualGpu, DeviceKind::VirtualGpu),
    ];
    kinds.iter().find_map(|(device_type, make)| {
        adapters.iter().find(|adapter| adapter.device_type == *device_type).map(|adapter| (make(0), adapter.name.clone()))
    })
}
