//! Doubling a volume and joining it with what was skipped, and its gradients.

use cubecl::prelude::*;

/// `x [n, z, y, x, c]` doubled along z, y and x by repetition, then the channels of `skip [n, 2z, 2y, 2x, d]`. Channels count
/// vectors; `height` and `width` are those of the result.
#[cube(launch)]
pub fn upsample<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    skip: &Tensor<Vector<F, N>>,
    out: &mut Tensor<Vector<F, N>>,
    total: usize,
    height: usize,
    width: usize,
    channels: usize,
    skip_channels: usize,
    #[define(F)] _dtype: ElemType,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let both = channels + skip_channels;
    let channel = i % both;
    let position = i / both;
    if channel < channels {
        let column = position % width;
        let row = position / width;
        let line = row % height;
        // Planes are counted through the batch: depths are even, so halving them is the same for each element of it.
        let plane = row / height;
        let from = ((plane / 2) * (height / 2) + line / 2) * (width / 2) + column / 2;
        out[i] = x[from * channels + channel];
    } else {
        out[i] = skip[position * skip_channels + channel - channels];
    }
}

/// The gradient of what [`upsample`] doubles: sums over each 2 x 2 x 2 positions. `height` and `width` are those of the sums.
#[cube(launch)]
pub fn upsample_slopes<N: Size>(
    gradient: &Tensor<Vector<f32, N>>,
    out: &mut Tensor<Vector<f32, N>>,
    total: usize,
    height: usize,
    width: usize,
    channels: usize,
    both: usize,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = i % channels;
    let position = i / channels;
    let column = position % width;
    let row = position / width;
    let line = row % height;
    let plane = row / height;
    let mut sum = Vector::<f32, N>::new(f32::new(0.0));
    for corner in 0..8usize {
        let z = 2 * plane + corner / 4;
        let y = 2 * line + (corner / 2) % 2;
        let x = 2 * column + corner % 2;
        sum += gradient[((z * (2 * height) + y) * (2 * width) + x) * both + channel];
    }
    out[i] = sum;
}

/// The last `channels` of `both` channels of each position; counted in vectors.
#[cube(launch)]
pub fn last_channels<N: Size>(
    from: &Tensor<Vector<f32, N>>,
    to: &mut Tensor<Vector<f32, N>>,
    total: usize,
    channels: usize,
    both: usize,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    to[i] = from[(i / channels) * both + both - channels + i % channels];
}
