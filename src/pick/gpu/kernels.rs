//! The kernels. A unit of cubecl is a GPU's thread.

// The macro generates undocumented modules and casts whose types depend on the kernel's address type.
#![allow(missing_docs, clippy::useless_conversion, clippy::too_many_arguments)]

use cubecl::prelude::*;

/// `z, y, x` of a flat index into a box of `height` by `width`.
#[cube]
fn split(i: usize, height: usize, width: usize) -> (usize, usize, usize) {
    let row = i / width;
    (row / height, row % height, i % width)
}

/// Where a cell that is at `i` of `n` after a flip back was before it.
#[cube]
fn before_flip(i: usize, n: usize, flip: u32) -> usize {
    select(flip == 1, n - 1 - i, i)
}

/// Adds `share * weight * value` of a window's cells to the sums of a group of classes, and the weights to `totals` where `count`.
/// A unit does one cell in all classes: launches for different windows follow one another, so that no two write to one place.
///
/// `values [batch, classes, z, y, x]` in any order in memory; `weights [z, y, x]` of the window; `sums [classes of the group, z, y,
/// x]` and `totals [z, y, x]` of the volume.
#[cube(launch)]
pub fn add_window<F: Float>(
    values: &Tensor<F>,
    weights: &Tensor<f32>,
    sums: &mut Tensor<f32>,
    totals: &mut Tensor<f32>,
    window_index: usize,
    class_first: usize,
    class_count: usize,
    inside_z: usize,
    inside_y: usize,
    inside_x: usize,
    first_z: usize,
    first_y: usize,
    first_x: usize,
    cells_z: usize,
    cells_y: usize,
    cells_x: usize,
    size_z: usize,
    size_y: usize,
    size_x: usize,
    flip_z: u32,
    flip_y: u32,
    flip_x: u32,
    share: f32,
    #[comptime] count: bool,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= inside_z * inside_y * inside_x {
        terminate!();
    }
    let (z, y, x) = split(ABSOLUTE_POS, inside_y, inside_x);
    let weight = weights[(z * size_y + y) * size_x + x];
    let to = ((first_z + z) * cells_y + first_y + y) * cells_x + first_x + x;
    let per_class = cells_z * cells_y * cells_x;
    let from = window_index * values.stride(0)
        + before_flip(z, size_z, flip_z) * values.stride(2)
        + before_flip(y, size_y, flip_y) * values.stride(3)
        + before_flip(x, size_x, flip_x) * values.stride(4);
    for class in 0..class_count {
        let value = f32::cast_from(values[from + (class_first + class) * values.stride(1)]);
        sums[class * per_class + to] += share * weight * value;
    }
    if count {
        totals[to] += weight;
    }
}

/// Divides sums by their weights; a cell without weight stays as it is.
#[cube(launch)]
pub fn divide(sums: &mut Tensor<f32>, totals: &Tensor<f32>, total: usize, per_class: usize) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let weight = totals[ABSOLUTE_POS % per_class];
    if weight > 0.0 {
        sums[ABSOLUTE_POS] /= weight;
    }
}

/// The largest value within `reach` cells along one axis, whose cells lie `stride` apart and number `length`. What is not a number
/// counts as larger than any number, so that nothing beside it is a peak.
///
/// Three such passes are a maximum over a cube: `from [z, y, x]` at `offset`, `to [z, y, x]`.
#[cube(launch)]
pub fn largest_along(
    from: &Tensor<f32>,
    to: &mut Tensor<f32>,
    offset: usize,
    total: usize,
    stride: usize,
    length: usize,
    reach: usize,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    to[ABSOLUTE_POS] = largest(from, offset, ABSOLUTE_POS, stride, length, reach);
}

#[cube]
fn largest(from: &Tensor<f32>, offset: usize, i: usize, stride: usize, length: usize, reach: usize) -> f32 {
    let at = (i / stride) % length;
    let before = min(at, reach);
    let after = min(length - 1 - at, reach);
    let start = offset + i - before * stride;
    let mut top = f32::new(-3.0e38);
    for step in 0..before + after + 1 {
        let value = from[start + step * stride];
        top = max(top, select(value.is_nan(), f32::new(3.0e38), value));
    }
    top
}

/// Writes the cells that exceed `floor` and equal the largest value round them: the last of the three passes, along z, with the
/// comparison.
///
/// `map [z, y, x]` at `offset`; `rows` what two passes along x and y have made of it. Each peak takes a place by an atomic count;
/// those beyond `capacity` are counted only. `found [classes, capacity]` cells; `values [classes, capacity, 7]` the cell's value, and
/// those before and after it along z, y and x (0 beyond the border).
#[cube(launch)]
pub fn gather_peaks(
    map: &Tensor<f32>,
    rows: &Tensor<f32>,
    counts: &mut Tensor<Atomic<u32>>,
    found: &mut Tensor<u32>,
    values: &mut Tensor<f32>,
    offset: usize,
    class: usize,
    cells_z: usize,
    cells_y: usize,
    cells_x: usize,
    reach: usize,
    capacity: usize,
    floor: f32,
) {
    let plane = cells_y * cells_x;
    if ABSOLUTE_POS >= cells_z * plane {
        terminate!();
    }
    let here = offset + ABSOLUTE_POS;
    let score = map[here];
    if score > floor && score >= largest(rows, 0, ABSOLUTE_POS, plane, cells_z, reach) {
        let place = counts[class].fetch_add(1u32) as usize;
        if place < capacity {
            let (z, y, x) = split(ABSOLUTE_POS, cells_y, cells_x);
            let slot = class * capacity + place;
            found[slot] = ABSOLUTE_POS as u32;
            values[slot * 7] = score;
            values[slot * 7 + 1] = neighbour(map, here, z, cells_z, plane, false);
            values[slot * 7 + 2] = neighbour(map, here, z, cells_z, plane, true);
            values[slot * 7 + 3] = neighbour(map, here, y, cells_y, cells_x, false);
            values[slot * 7 + 4] = neighbour(map, here, y, cells_y, cells_x, true);
            values[slot * 7 + 5] = neighbour(map, here, x, cells_x, 1, false);
            values[slot * 7 + 6] = neighbour(map, here, x, cells_x, 1, true);
        }
    }
}

#[cube]
fn neighbour(map: &Tensor<f32>, here: usize, at: usize, length: usize, stride: usize, #[comptime] after: bool) -> f32 {
    let mut value = f32::new(0.0);
    if after {
        if at + 1 < length {
            value = map[here + stride];
        }
    } else if at > 0 {
        value = map[here - stride];
    }
    value
}
