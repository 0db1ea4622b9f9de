//! Heatmaps of a whole volume on a device.

use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use burn_cubecl::CubeDevice;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;

use super::peaks::find;
use super::{DeviceFault, Fence, kernels, started};
use crate::model::gpu::{elem_type, empty, gpu, grid, primitive, tensor};
use crate::pick::heatmap::Heatmaps;
use crate::pick::peaks::Peak;

/// Classes whose maps lie in one buffer.
pub(super) struct Group {
    pub(super) first: usize,
    pub(super) count: usize,
    /// `[count, z, y, x]`, flat.
    pub(super) sums: CubeTensor,
}

/// One heatmap a class on a device: weighted sums over windows until [`Self::finish`], then their means.
pub(in crate::pick) struct DeviceMaps {
    pub(super) client: Client,
    pub(super) device: CubeDevice,
    burn_device: Device,
    pub(super) cells: [usize; 3],
    stride: usize,
    classes: usize,
    pub(super) groups: Vec<Group>,
    weights: CubeTensor,
    window: Option<(CubeTensor, [usize; 3])>,
}

impl DeviceMaps {
    /// Maps of zeros, `cells (z, y, x)` of `stride` voxels, on a GPU.
    pub(super) fn new(burn_device: &Device, cells: [usize; 3], stride: usize, classes: usize) -> Self {
        let device = gpu(burn_device).expect("`suits` said that the device is a GPU");
        let client = device.client();
        let per_class: usize = cells.iter().product();
        // As many classes share a buffer as the device lets a kernel see at once.
        let together =
            (client.properties().memory.max_page_size / (4 * per_class as u64).max(1)).clamp(1, classes as u64) as usize;
        let zeros = |count: usize| {
            let zeros = Tensor::<1>::zeros([count], (burn_device, DType::F32));
            primitive(zeros).unwrap_or_else(|| unreachable!("made on a GPU without gradients"))
        };
        let groups = (0..classes)
            .step_by(together)
            .map(|first| {
                let count = together.min(classes - first);
                Group { first, count, sums: zeros(count * per_class) }
            })
            .collect();
        let weights = zeros(per_class);
        Self { client, device, burn_device: burn_device.clone(), cells, stride, classes, groups, weights, window: None }
    }

    /// Sets the weight of each cell of a window of `size (z, y, x)` cells.
    pub(super) fn set_window(&mut self, weights: &[f32], size: [usize; 3]) {
        let weights = Tensor::<1>::from_data(TensorData::new(weights.to_vec(), [weights.len()]), &self.burn_device);
        self.window = primitive(weights).map(|weights| (weights, size));
    }

    /// Adds `share` of the heatmaps of the window `index` of a batch `values [batch, classes, z, y, x]`, whose first voxel is
    /// `origin`, flipped back along some axes; `count` says whether to count its weights too.
    pub(super) fn add(&mut self, values: &Tensor<5>, index: usize, origin: [i64; 3], flip: [bool; 3], share: f32, count: bool) {
        let Some((window_weights, window)) = &self.window else { return };
        let Some(values) = primitive(values.clone()) else { return };
        // Windows start inside the volume, at multiples of the stride; they may leave it only at the far end.
        let first = origin.map(|o| o.max(0) as usize / self.stride);
        let inside: [usize; 3] = std::array::from_fn(|axis| window[axis].min(self.cells[axis].saturating_sub(first[axis])));
        let total: usize = inside.iter().product();
        if total == 0 {
            return;
        }
        let (cubes, dim) = grid(&self.client, total);
        for (place, group) in self.groups.iter().enumerate() {
            kernels::add_window::launch(
                &self.client,
                cubes.clone(),
                dim,
                values.clone().into_tensor_arg(),
                window_weights.clone().into_tensor_arg(),
                group.sums.clone().into_tensor_arg(),
                self.weights.clone().into_tensor_arg(),
                index,
                group.first,
                group.count,
                inside[0],
                inside[1],
                inside[2],
                first[0],
                first[1],
                first[2],
                self.cells[0],
                self.cells[1],
                self.cells[2],
                window[0],
                window[1],
                window[2],
                u32::from(flip[0]),
                u32::from(flip[1]),
                u32::from(flip[2]),
                share,
                count && place == 0,
                elem_type(values.dtype),
            );
        }
    }

    /// Divides the sums by the weights; a cell without weight stays 0.
    pub(super) fn finish(&mut self) {
        let per_class: usize = self.cells.iter().product();
        for group in &self.groups {
            let total = group.count * per_class;
            let (cubes, dim) = grid(&self.client, total);
            kernels::divide::launch(
                &self.client,
                cubes,
                dim,
                group.sums.clone().into_tensor_arg(),
                self.weights.clone().into_tensor_arg(),
                total,
                per_class,
            );
        }
    }

    /// Ready once everything asked of the device so far is done.
    pub(super) fn fence(&self) -> Fence {
        let done = self.client.sync();
        // A fault shows when results are read.
        started(Box::pin(async move { done.await.is_ok() }))
    }

    /// The peaks of each class, whose radius in cells is given, above `floor`; as [`crate::pick::find_peaks`] finds them.
    ///
    /// # Errors
    /// When the device has failed.
    pub(in crate::pick) fn peaks(&self, radii: &[f64], floor: f32) -> Result<Vec<Vec<Peak>>, DeviceFault> {
        find(self, radii, floor)
    }

    /// Brings the heatmaps to the host.
    pub(in crate::pick) fn download(self) -> Heatmaps {
        let per_class: usize = self.cells.iter().product();
        let mut classes = Vec::with_capacity(self.classes);
        for group in self.groups {
            let values: Vec<f32> = tensor::<1>(group.sums).into_data().iter::<f32>().collect();
            classes.extend(values.chunks_exact(per_class.max(1)).map(<[f32]>::to_vec));
        }
        Heatmaps { cells: self.cells, stride: self.stride, classes }
    }

    /// A count of 0 for each class.
    pub(super) fn zero_counts(&self, classes: usize) -> CubeTensor {
        let zeros = self.client.create_from_slice(&vec![0; classes * 4]);
        CubeTensor::new_contiguous(self.client.clone(), self.device.clone(), Shape::from([classes]), zeros, DType::U32)
    }

    /// An uninitialised buffer.
    pub(super) fn empty(&self, elements: usize, dtype: DType) -> CubeTensor {
        empty(&self.client, &self.device, &[elements], dtype)
    }
}

#[cfg(test)]
impl DeviceMaps {
    /// Finished maps with given values.
    pub(super) fn of(device: &Device, heatmaps: &Heatmaps) -> Self {
        let mut maps = Self::new(device, heatmaps.cells, heatmaps.stride, heatmaps.classes.len());
        for group in &mut maps.groups {
            let values = heatmaps.classes[group.first..][..group.count].concat();
            let count = values.len();
            group.sums = primitive(Tensor::<1>::from_data(TensorData::new(values, [count]), device)).unwrap();
        }
        maps
    }
}
