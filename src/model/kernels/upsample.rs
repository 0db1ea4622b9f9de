//! Nearest-neighbour upsampling by two, joined with the encoder's features of that level.

use rayon::prelude::*;

/// Shape of the two inputs: `x` `[batch, channels, z, y, x]` and `skip` `[batch, skip_channels, 2z, 2y, 2x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpsampleShape {
    /// Samples.
    pub batch: usize,
    /// Channels of the coarse input.
    pub channels: usize,
    /// Channels of the fine input.
    pub skip_channels: usize,
    /// Voxels of the coarse input along z, y and x.
    pub size: [usize; 3],
}

impl UpsampleShape {
    fn coarse(&self) -> usize {
        self.size.iter().product()
    }

    fn check(&self, x: usize, skip: usize, out: usize) {
        let fine = 8 * self.coarse();
        assert!(self.batch * self.channels * fine > 0, "upsampling needs at least one value: {self:?}");
        assert_eq!(x, self.batch * self.channels * self.coarse(), "upsampling: length of the coarse tensor");
        assert_eq!(skip, self.batch * self.skip_channels * fine, "upsampling: length of the fine tensor");
        assert_eq!(out, self.batch * (self.channels + self.skip_channels) * fine, "upsampling: length of the joined tensor");
    }
}

/// Repeats every voxel of `x` along all axes and puts `skip` behind it:
/// `out` `[batch, channels + skip_channels, 2z, 2y, 2x]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn upsample_concat_forward(shape: &UpsampleShape, x: &[f32], skip: &[f32], out: &mut [f32]) {
    shape.check(x.len(), skip.len(), out.len());
    let [_, height, width] = shape.size;
    let (coarse, fine) = (shape.coarse(), 8 * shape.coarse());
    let joined = shape.channels + shape.skip_channels;
    out.par_chunks_exact_mut(fine).enumerate().for_each(|(index, out)| {
        let (n, channel) = (index / joined, index % joined);
        if channel >= shape.channels {
            let from = n * shape.skip_channels + channel - shape.channels;
            out.copy_from_slice(&skip[from * fine..][..fine]);
            return;
        }
        let x = &x[(n * shape.channels + channel) * coarse..][..coarse];
        for (slice, x) in out.chunks_exact_mut(8 * height * width).zip(x.chunks_exact(height * width)) {
            let (first, second) = slice.split_at_mut(4 * height * width);
            for (rows, x) in first.chunks_exact_mut(4 * width).zip(x.chunks_exact(width)) {
                let (upper, lower) = rows.split_at_mut(2 * width);
                for (pair, &value) in upper.chunks_exact_mut(2).zip(x) {
                    pair[0] = value;
                    pair[1] = value;
                }
                lower.copy_from_slice(upper);
            }
            second.copy_from_slice(first);
        }
    });
}

/// Repeats every voxel of `x` along all axes and adds `fine` `[batch, channels, 2z, 2y, 2x]`: `out` has the shape of `fine`.
/// `shape.skip_channels` is 0. The gradient by `fine` is that of `out`; that by `x` is [`upsample_concat_backward`]'s.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn upsample_add_forward(shape: &UpsampleShape, x: &[f32], fine: &[f32], out: &mut [f32]) {
    assert_eq!(shape.skip_channels, 0, "upsampling: nothing is appended to a sum");
    assert_eq!(fine.len(), out.len(), "upsampling: length of the fine tensor");
    shape.check(x.len(), 0, out.len());
    let [_, height, width] = shape.size;
    let (coarse, volume) = (shape.coarse(), 8 * shape.coarse());
    let volumes = out.par_chunks_exact_mut(volume).zip(fine.par_chunks_exact(volume)).zip(x.par_chunks_exact(coarse));
    volumes.for_each(|((out, fine), x)| {
        let rows = out.chunks_exact_mut(2 * width).zip(fine.chunks_exact(2 * width));
        for (row, (out, fine)) in rows.enumerate() {
            let (z, y) = (row / (2 * height) / 2, row % (2 * height) / 2);
            let x = &x[(z * height + y) * width..][..width];
            let pairs = out.chunks_exact_mut(2).zip(fine.chunks_exact(2));
            for ((out, fine), value) in pairs.zip(x) {
                out[0] = fine[0] + value;
                out[1] = fine[1] + value;
            }
        }
    });
}

/// Gradients of [`upsample_concat_forward`]: each coarse voxel collects its eight copies.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn upsample_concat_backward(shape: &UpsampleShape, grad_out: &[f32], grad_x: &mut [f32], grad_skip: &mut [f32]) {
    shape.check(grad_x.len(), grad_skip.len(), grad_out.len());
    let [_, height, width] = shape.size;
    let (coarse, fine) = (shape.coarse(), 8 * shape.coarse());
    let joined = shape.channels + shape.skip_channels;
    grad_x.par_chunks_exact_mut(coarse).enumerate().for_each(|(index, grad_x)| {
        let (n, channel) = (index / shape.channels, index % shape.channels);
        let from = &grad_out[(n * joined + channel) * fine..][..fine];
        for (to, slice) in grad_x.chunks_exact_mut(height * width).zip(from.chunks_exact(8 * height * width)) {
            let (first, second) = slice.split_at(4 * height * width);
            let rows = first.chunks_exact(4 * width).zip(second.chunks_exact(4 * width));
            for (to, (first, second)) in to.chunks_exact_mut(width).zip(rows) {
                for (x, sum) in to.iter_mut().enumerate() {
                    let quarter = |rows: &[f32], y: usize| rows[2 * width * y + 2 * x] + rows[2 * width * y + 2 * x + 1];
                    *sum = quarter(first, 0) + quarter(first, 1) + (quarter(second, 0) + quarter(second, 1));
                }
            }
        }
    });
    grad_skip.par_chunks_exact_mut(fine).enumerate().for_each(|(index, grad_skip)| {
        let (n, channel) = (index / shape.skip_channels, index % shape.skip_channels);
        grad_skip.copy_from_slice(&grad_out[(n * joined + shape.channels + channel) * fine..][..fine]);
    });
}
