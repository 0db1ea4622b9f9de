//! Nearest upsampling and concatenation on a GPU, in one pass.

use burn_cubecl::tensor::CubeTensor;

use super::kernels::upsample as kernels;
use super::{channels_last, channels_second, elem_type, empty, grid, vector_size};

/// Doubles `x [n, c, z, y, x]` along each axis by repetition and appends the channels of `skip [n, d, 2z, 2y, 2x]`.
pub(super) fn concatenated(x: CubeTensor, skip: CubeTensor) -> CubeTensor {
    let (x, skip) = (channels_last(x), channels_last(skip));
    let (client, device, dtype) = (x.client.clone(), x.device.clone(), x.dtype);
    let (channels, size) = (x.meta.shape()[4], skip.meta.shape());
    let [batch, depth, height, width, skip_channels] = std::array::from_fn(|axis| size[axis]);
    let vector = vector_size(&[channels, skip_channels]);
    let shape = [batch, depth, height, width, channels + skip_channels];
    let total = shape.iter().product::<usize>() / vector;
    let (count, dim) = grid(&client, total);
    let out = empty(&client, &device, &shape, dtype);
    kernels::upsample::launch(
        &client,
        count,
        dim,
        vector,
        x.into_tensor_arg(),
        skip.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        total,
        height,
        width,
        channels / vector,
        skip_channels / vector,
        elem_type(dtype),
    );
    channels_second(out)
}

/// Gradients of [`concatenated`]'s arguments from that of its result; `channels` are those of `x`. In single precision only.
pub(super) fn gradients(gradient: CubeTensor, channels: usize) -> [CubeTensor; 2] {
    let gradient = channels_last(gradient);
    let (client, device, dtype) = (gradient.client.clone(), gradient.device.clone(), gradient.dtype);
    let [batch, depth, height, width, both] = std::array::from_fn(|axis| gradient.meta.shape()[axis]);
    let vector = vector_size(&[channels, both]);
    let coarse = [batch, depth / 2, height / 2, width / 2, channels];
    let to_x = empty(&client, &device, &coarse, dtype);
    let total = coarse.iter().product::<usize>() / vector;
    let (count, dim) = grid(&client, total);
    kernels::upsample_slopes::launch(
        &client,
        count,
        dim,
        vector,
        gradient.clone().into_tensor_arg(),
        to_x.clone().into_tensor_arg(),
        total,
        height / 2,
        width / 2,
        channels / vector,
        both / vector,
    );
    let fine = [batch, depth, height, width, both - channels];
    let to_skip = empty(&client, &device, &fine, dtype);
    let total = fine.iter().product::<usize>() / vector;
    let (count, dim) = grid(&client, total);
    kernels::last_channels::launch(
        &client,
        count,
        dim,
        vector,
        gradient.into_tensor_arg(),
        to_skip.clone().into_tensor_arg(),
        total,
        (both - channels) / vector,
        both / vector,
    );
    [channels_second(to_x), channels_second(to_skip)]
}
