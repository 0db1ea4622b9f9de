//! Where to compute: a real GPU when there is one, else the CPU.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind};

use super::gpu::keep_kernels;
use crate::causes::with_causes;
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
    /// A GPU is there and cannot be used.
    #[error("the GPU {name} cannot be used; choose `cpu`, or update the graphics driver: {cause}")]
    Start {
        /// Its name.
        name: String,
        /// What its driver said.
        cause: String,
    },
}

/// Chooses a device: of GPUs, CUDA's where the program was built for it, else the first that is no software.
///
/// A software rasteriser (llvmpipe, SwiftShader, WARP) shows up as an adapter of type CPU. It draws a window well enough but takes
/// hundreds of times longer than the CPU kernels for a training step, so it is never chosen.
///
/// # Errors
/// When a GPU was asked for and none is there, or when one is there and cannot be used.
pub fn select(choice: DeviceChoice) -> Result<Selected, DeviceError> {
    if choice == DeviceChoice::Cpu {
        return Ok(cpu());
    }
    keep_kernels();
    if let Some(selected) = cuda() {
        return Ok(selected);
    }
    let adapters = adapters();
    match best_gpu(&adapters) {
        Some((kind, name)) => match start(kind) {
            Ok(device) => Ok(Selected { device, name, is_gpu: true }),
            Err(cause) if choice == DeviceChoice::Auto => {
                log::warn!("computing on the CPU, for the GPU {name} cannot be used: {cause}");
                Ok(cpu())
            }
            Err(cause) => Err(DeviceError::Start { name, cause }),
        },
        None if choice == DeviceChoice::Auto => Ok(cpu()),
        None => {
            let names: Vec<&str> = adapters.iter().map(|adapter| adapter.info.name.as_str()).collect();
            let found = match names.is_empty() {
                true => String::new(),
                false => format!(" (software renderers and drivers that are too old do not serve: {})", names.join(", ")),
            };
            Err(DeviceError::NoGpu { found })
        }
    }
}

/// Opens a wgpu device once for the whole program, with all the limits and features that its adapter has (the library asks for them
/// itself) and one queue.
fn start(kind: DeviceKind) -> Result<Device, String> {
    static STARTED: OnceLock<Result<Device, String>> = OnceLock::new();
    let open = || Device::wgpu_options().device_kind(kind).init().map_err(|error| with_causes(&error, ": "));
    STARTED.get_or_init(open).clone()
}

/// The first CUDA device, in a program built for CUDA, where NVIDIA's driver and compiler are installed.
#[cfg(feature = "cuda")]
fn cuda() -> Option<Selected> {
    // Loading the compiler's library panics where it is missing.
    let found = std::panic::catch_unwind(|| {
        let device = cubecl::Device::cuda(0).ok()?;
        Some(device.client().properties().identity.name.clone())
    });
    let name = found.ok().flatten()?;
    Some(Selected { device: Device::cuda(0), name: format!("{name} (CUDA)"), is_gpu: true })
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Selected> {
    None
}

/// A GPU for tests: a real one, else OpenGL's software renderer, which the program itself never computes on. `None`, said on the
/// standard output, where there is neither.
///
/// Vulkan's software renderer (lavapipe) does not serve: it lacks what the library's kernels need to share memory among units.
#[doc(hidden)]
pub fn any_gpu_for_tests() -> Option<GpuForTests> {
    static TAKEN: Mutex<()> = Mutex::new(());
    // A test that failed while it had the device says nothing about the next one.
    let turn = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    keep_kernels();
    let device = match best_gpu(&adapters()) {
        Some((kind, _)) => start(kind).ok(),
        None => start_software().ok(),
    };
    if device.is_none() {
        println!("skipped: no GPU and no OpenGL renderer");
    }
    Some(GpuForTests { device: device?, _turn: turn })
}

/// A device for one test at a time. OpenGL has one context for all threads, and wgpu takes a wait of more than six seconds for it to be a
/// deadlock: a slow kernel of one test, on a busy machine, would fail another.
#[doc(hidden)]
pub struct GpuForTests {
    device: Device,
    _turn: MutexGuard<'static, ()>,
}

impl std::ops::Deref for GpuForTests {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

fn start_software() -> Result<Device, String> {
    static STARTED: OnceLock<Result<Device, String>> = OnceLock::new();
    let open = || Device::wgpu_options().graphics_api(WgpuBackend::Gl).init().map_err(|error| with_causes(&error, ": "));
    STARTED.get_or_init(open).clone()
}

fn cpu() -> Selected {
    let threads = rayon::current_num_threads();
    Selected { device: Device::flex(), name: format!("CPU ({threads} threads)"), is_gpu: false }
}

/// An adapter and whether the library's kernels run on it.
struct Found {
    info: wgpu::AdapterInfo,
    serves: bool,
}

impl Found {
    fn is_gpu(&self) -> bool {
        matches!(
            self.info.device_type,
            wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::VirtualGpu
        )
    }
}

/// The adapters of the first graphics interface that has a GPU, as the library looks for them itself; all others' where none has.
fn adapters() -> Vec<Found> {
    let interfaces: &[wgpu::Backends] = match cfg!(target_os = "macos") {
        true => &[wgpu::Backends::METAL],
        false => &[wgpu::Backends::VULKAN, wgpu::Backends::DX12],
    };
    let mut others = Vec::new();
    for interface in interfaces {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = *interface;
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(*interface));
        let found: Vec<Found> =
            adapters.iter().map(|adapter| Found { info: adapter.get_info(), serves: shares_memory(adapter) }).collect();
        if found.iter().any(Found::is_gpu) {
            return found;
        }
        others.extend(found);
    }
    others
}

/// Whether units of a kernel can share memory. Where a Vulkan driver lacks an explicit layout of it, cubecl 0.11 makes shaders on which
/// drivers crash.
#[cfg(not(target_vendor = "apple"))]
#[allow(unsafe_code, reason = "the library offers no other way to ask for an extension")]
fn shares_memory(adapter: &wgpu::Adapter) -> bool {
    // SAFETY: the handle is only asked for the list of extensions, while `adapter` keeps it alive.
    let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() };
    vulkan
        .is_none_or(|vulkan| vulkan.physical_device_capabilities().supports_extension(c"VK_KHR_workgroup_memory_explicit_layout"))
}

#[cfg(target_vendor = "apple")]
fn shares_memory(_adapter: &wgpu::Adapter) -> bool {
    true
}

/// The first discrete GPU that serves, else the first integrated one, else a virtual one. Indices count within a type, as the library
/// does.
fn best_gpu(adapters: &[Found]) -> Option<(DeviceKind, String)> {
    type Make = fn(usize) -> DeviceKind;
    let kinds: [(wgpu::DeviceType, Make); 3] = [
        (wgpu::DeviceType::DiscreteGpu, DeviceKind::DiscreteGpu),
        (wgpu::DeviceType::IntegratedGpu, DeviceKind::IntegratedGpu),
        (wgpu::DeviceType::VirtualGpu, DeviceKind::VirtualGpu),
    ];
    kinds.iter().find_map(|(device_type, make)| {
        let of_type = adapters.iter().filter(|adapter| adapter.info.device_type == *device_type);
        of_type.enumerate().find(|(_, adapter)| adapter.serves).map(|(index, adapter)| (make(index), adapter.info.name.clone()))
    })
}
