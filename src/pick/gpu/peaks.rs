//! Peaks of heatmaps that lie on a device. Only they leave it.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::maps::DeviceMaps;
use super::{DeviceFault, kernels};
use crate::model::gpu::grid;
use crate::pick::peaks::{Candidate, Peak, choose, reach_cells};

/// Peaks of a class that the first pass has room for.
const CAPACITY: usize = 8192;

/// The peaks of each class above `floor`; `radii` in cells.
pub(super) fn find(maps: &DeviceMaps, radii: &[f64], floor: f32) -> Result<Vec<Vec<Peak>>, DeviceFault> {
    find_within(maps, radii, floor, CAPACITY)
}

/// The same with room for `capacity` peaks a class at first. Where that does not do, the device is asked again with enough.
pub(super) fn find_within(maps: &DeviceMaps, radii: &[f64], floor: f32, capacity: usize) -> Result<Vec<Vec<Peak>>, DeviceFault> {
    let mut capacity = capacity.max(1);
    loop {
        match gather(maps, radii, floor, capacity)? {
            Gathered::All(candidates) => {
                let chosen = candidates.into_iter().zip(radii).map(|(all, radius)| choose(all, maps.cells, *radius));
                return Ok(chosen.collect());
            }
            Gathered::Needs(needed) => capacity = needed,
        }
    }
}

enum Gathered {
    /// The local maxima of each class in the order of their cells.
    All(Vec<Vec<Candidate>>),
    /// How many a class has at most, where that was more than there was room for.
    Needs(usize),
}

fn gather(maps: &DeviceMaps, radii: &[f64], floor: f32, capacity: usize) -> Result<Gathered, DeviceFault> {
    let [depth, height, width] = maps.cells;
    let total = depth * height * width;
    let classes = radii.len();
    let client = &maps.client;
    let (cubes, dim) = grid(client, total);
    let (along_x, along_y) = (maps.empty(total, DType::F32), maps.empty(total, DType::F32));
    let counts = maps.zero_counts(classes);
    let found = maps.empty(classes * capacity, DType::U32);
    let values = maps.empty(classes * capacity * 7, DType::F32);
    for group in &maps.groups {
        for (class, radius) in radii.iter().enumerate().skip(group.first).take(group.count) {
            let offset = (class - group.first) * total;
            let reach = reach_cells(*radius);
            let pass = |from: &CubeTensor, to: &CubeTensor, offset: usize, stride: usize, length: usize| {
                kernels::largest_along::launch(
                    client,
                    cubes.clone(),
                    dim,
                    from.clone().into_tensor_arg(),
                    to.clone().into_tensor_arg(),
                    offset,
                    total,
                    stride,
                    length,
                    reach,
                );
            };
            pass(&group.sums, &along_x, offset, 1, width);
            pass(&along_x, &along_y, 0, width, height);
            kernels::gather_peaks::launch(
                client,
                cubes.clone(),
                dim,
                group.sums.clone().into_tensor_arg(),
                along_y.clone().into_tensor_arg(),
                counts.clone().into_tensor_arg(),
                found.clone().into_tensor_arg(),
                values.clone().into_tensor_arg(),
                offset,
                class,
                depth,
                height,
                width,
                reach,
                capacity,
                floor,
            );
        }
    }
    let read = client.read(vec![counts.handle, found.handle, values.handle]).map_err(|fault| DeviceFault(fault.to_string()))?;
    let [counts, found, values] = read.as_slice() else { return Err(DeviceFault("results are missing".to_owned())) };
    let counts: Vec<usize> = words(counts).map(|word| u32::from_le_bytes(word) as usize).take(classes).collect();
    let found: Vec<usize> = words(found).map(|word| u32::from_le_bytes(word) as usize).collect();
    let values: Vec<f32> = words(values).map(f32::from_le_bytes).collect();
    let needed = counts.iter().copied().max().unwrap_or(0);
    if needed > capacity {
        return Ok(Gathered::Needs(needed));
    }
    let candidates = counts.iter().enumerate().map(|(class, count)| {
        let slots = class * capacity..class * capacity + count;
        let mut candidates: Vec<Candidate> = slots
            .map(|slot| {
                let value = |k: usize| values[slot * 7 + k];
                let around = [[value(1), value(2)], [value(3), value(4)], [value(5), value(6)]];
                Candidate { cell: found[slot], score: value(0), around }
            })
            .collect();
        // Units finish in any order.
        candidates.sort_unstable_by_key(|candidate| candidate.cell);
        candidates
    });
    Ok(Gathered::All(candidates.collect()))
}

/// Words of four bytes.
fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.as_chunks::<4>().0.iter().copied()
}
