//! Where the density near a place has its middle: what a click meant.

use super::{VolumeError, VolumeSource};
use crate::geometry::{VoxelBox, distance};

/// Which way particles differ from what surrounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Density {
    /// Whichever deviates more near the place.
    #[default]
    Automatic,
    /// Particles are darker: smaller values.
    Dark,
    /// Particles are brighter: larger values.
    Bright,
}

/// Cells per radius; voxels are averaged in blocks until a radius is no more.
const CELLS_PER_RADIUS: f64 = 10.0;
/// Standard deviation of the low-pass, as a share of the radius.
const LOW_PASS: f64 = 0.25;
/// Radius of the ball that moves, as a share of the radius: a little larger, so that the rim counts too.
const WINDOW: f64 = 1.1;
/// Share of the strongest density in the window that a cell must exceed to count.
const FLOOR: f64 = 0.3;
/// Steps of the search.
const STEPS: usize = 30;

/// A box of averaged and smoothed voxels.
struct Cells {
    values: Vec<f32>,
    shape: [usize; 3],
    start: [usize; 3],
    /// Voxels along the edge of a cell.
    block: usize,
}

impl Cells {
    /// The voxels within `reach` of `position`, in blocks of `block`; memory is a few blocks' rows and the cells.
    fn read(source: &dyn VolumeSource, position: [f64; 3], reach: f64, block: usize) -> Result<Option<Self>, VolumeError> {
        let whole = source.info().shape;
        let start: [usize; 3] = std::array::from_fn(|axis| (position[axis] - reach).floor().max(0.0) as usize);
        let end: [usize; 3] =
            std::array::from_fn(|axis| ((position[axis] + reach).ceil().max(0.0) as usize + 1).min(whole[axis]));
        if (0..3).any(|axis| start[axis] >= end[axis]) {
            return Ok(None);
        }
        let shape: [usize; 3] = std::array::from_fn(|axis| (end[axis] - start[axis]).div_ceil(block));
        let mut values = vec![0.0f32; shape.iter().product()];
        let mut voxels = Vec::new();
        for (z, plane) in values.chunks_exact_mut(shape[1] * shape[2]).enumerate() {
            let first = start[0] + z * block;
            let region = VoxelBox::new([first, start[1], start[2]], [(first + block).min(end[0]), end[1], end[2]]);
            voxels.resize(region.voxels(), 0.0);
            source.read_region(0, region, &mut voxels)?;
            let [_, height, width] = region.shape();
            for (row, line) in voxels.chunks_exact(width).enumerate() {
                let cells = &mut plane[(row % height) / block * shape[2]..][..shape[2]];
                for (cell, part) in cells.iter_mut().zip(line.chunks(block)) {
                    *cell += part.iter().sum::<f32>();
                }
            }
            let depth = region.shape()[0];
            for (index, cell) in plane.iter_mut().enumerate() {
                let side = |at: usize, length: usize| block.min(length - at * block);
                *cell /= (depth * side(index / shape[2], height) * side(index % shape[2], width)) as f32;
            }
        }
        Ok(Some(Self { values, shape, start, block }))
    }

    /// Voxel index `(z, y, x)` of a cell's middle.
    fn place(&self, index: usize) -> [f64; 3] {
        let [_, height, width] = self.shape;
        let cell = [index / (height * width), index / width % height, index % width];
        std::array::from_fn(|axis| self.start[axis] as f64 + (cell[axis] * self.block) as f64 + (self.block - 1) as f64 / 2.0)
    }

    /// Convolves with a Gaussian of `deviation` cells along each axis; weights outside the box are left out.
    fn smooth(&mut self, deviation: f64) {
        let reach = (3.0 * deviation).ceil() as usize;
        let kernel: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f64 / deviation).powi(2)).exp() as f32).collect();
        let strides = [self.shape[1] * self.shape[2], self.shape[2], 1];
        for (length, stride) in self.shape.into_iter().zip(strides) {
            let mut out = vec![0.0; self.values.len()];
            for (index, sum) in out.iter_mut().enumerate() {
                let at = index / stride % length;
                let (mut total, mut weights) = (0.0, 0.0);
                for other in at.saturating_sub(reach)..=(at + reach).min(length - 1) {
                    let weight = kernel[other.abs_diff(at)];
                    total += weight * self.values[index + other * stride - at * stride];
                    weights += weight;
                }
                *sum = total / weights;
            }
            self.values = out;
        }
    }
}

/// The centre of mass of the density around `position`, a continuous voxel index `(z, y, x)`, found within `radius_voxels` of it.
///
/// The voxels within two radii are smoothed by a Gaussian of 0.25 radii, so that noise does not count; their median is taken for the
/// background. From `position` on, a ball of 1.1 radii moves to the centre of mass of what deviates from the background in the way
/// that `density` says, until it rests (mean shift: Fukunaga and Hostetler, IEEE Trans. Inf. Theory 21, 1975, 32). Where nothing
/// deviates, the place stays as it is. Hollow particles much wider than their shells, such as empty capsids, draw it to the shell.
///
/// # Errors
/// When the voxels cannot be read.
pub fn local_centre(
    source: &dyn VolumeSource,
    position: [f64; 3],
    radius_voxels: f64,
    density: Density,
) -> Result<[f64; 3], VolumeError> {
    if !radius_voxels.is_finite() || position.iter().any(|coordinate| !coordinate.is_finite()) {
        return Ok(position);
    }
    let radius = radius_voxels.max(1.5);
    let block = (radius / CELLS_PER_RADIUS).ceil().max(1.0) as usize;
    let Some(mut cells) = Cells::read(source, position, 2.0 * radius, block)? else {
        return Ok(position);
    };
    cells.smooth((LOW_PASS * radius / block as f64).max(0.5));

    let mut sorted = cells.values.clone();
    let middle = sorted.len() / 2;
    let background = *sorted.select_nth_unstable_by(middle, f32::total_cmp).1;
    let places: Vec<([f64; 3], f32)> = (0..cells.values.len()).map(|index| (cells.place(index), cells.values[index])).collect();
    let near = |at: [f64; 3]| places.iter().filter(move |(place, _)| distance(*place, at) <= WINDOW * radius);
    let (low, high) = near(position)
        .fold((0.0f32, 0.0f32), |(low, high), (_, value)| (low.min(value - background), high.max(value - background)));
    let sign = match density {
        Density::Dark => -1.0,
        Density::Bright => 1.0,
        Density::Automatic => {
            if -low >= high {
                -1.0
            } else {
                1.0
            }
        }
    };
    let strength = |value: f32| f64::from((value - background) * sign);

    let mut centre = position;
    for _ in 0..STEPS {
        let peak = near(centre).map(|(_, value)| strength(*value)).fold(0.0, f64::max);
        let (mut sum, mut total) = ([0.0; 3], 0.0);
        for (place, value) in near(centre) {
            let weight = (strength(*value) - FLOOR * peak).max(0.0);
            (0..3).for_each(|axis| sum[axis] += weight * place[axis]);
            total += weight;
        }
        if total <= 0.0 {
            break;
        }
        let mut next = sum.map(|sum| sum / total);
        let away = distance(next, position);
        if away > radius {
            // No farther than what was clicked on can reach.
            next = std::array::from_fn(|axis| position[axis] + (next[axis] - position[axis]) * radius / away);
        }
        let moved = distance(next, centre);
        centre = next;
        if moved < 0.01 * radius {
            break;
        }
    }
    Ok(centre)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::simulate::{ClutterConfig, SimulationConfig, simulate};
    use crate::volume::MemoryVolume;

    /// A ball of one density in noise as strong.
    fn ball(shape: [usize; 3], centre: [f64; 3], radius: f64, density: f32) -> MemoryVolume {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let mut voxels = Vec::with_capacity(shape.iter().product());
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let noise = rng.random_range(-1.0..1.0f32);
                    let inside = distance([z as f64, y as f64, x as f64], centre) < radius;
                    voxels.push(10.0 + noise + if inside { density } else { 0.0 });
                }
            }
        }
        MemoryVolume::new(voxels, shape, 10.0).expect("as many voxels as the shape says")
    }

    #[test]
    fn a_ball_is_found_from_within_its_radius_dark_or_bright() {
        let centre = [18.3, 21.7, 25.1];
        for (density, asked) in
            [(-1.0, Density::Automatic), (1.0, Density::Automatic), (-1.0, Density::Dark), (1.0, Density::Bright)]
        {
            let volume = ball([40, 44, 48], centre, 6.0, density);
            for click in [[18.0, 22.0, 25.0], [15.0, 24.0, 22.0], [20.0, 18.0, 28.0], [18.0, 26.5, 25.0]] {
                let found = local_centre(&volume, click, 6.0, asked).unwrap();
                assert!(distance(found, centre) < 0.6, "{density} {asked:?}: {click:?} led to {found:?}");
            }
        }
    }

    #[test]
    fn large_particles_are_found_through_blocks_of_voxels_and_at_the_border() {
        let centre = [2.0, 40.0, 50.0];
        let volume = ball([60, 90, 110], centre, 25.0, -1.0);
        let found = local_centre(&volume, [5.0, 48.0, 44.0], 25.0, Density::Automatic).unwrap();
        // Half the ball is cut off along z, so its middle there is that of what is left.
        assert!(distance([0.0, found[1], found[2]], [0.0, centre[1], centre[2]]) < 1.5, "{found:?}");
        assert!((0.0..25.0).contains(&found[0]));
    }

    #[test]
    fn it_stays_within_a_radius_and_inside_flat_volumes_where_it_is() {
        let volume = ball([40, 44, 48], [20.0; 3], 6.0, -2.0);
        let click = [20.0, 20.0, 33.0];
        assert!(distance(local_centre(&volume, click, 5.0, Density::Automatic).unwrap(), click) <= 5.0 + 1e-9);
        let flat = MemoryVolume::new(vec![4.0; 729], [9, 9, 9], None).unwrap();
        assert_eq!(local_centre(&flat, [4.2, 4.0, 3.9], 3.0, Density::Automatic).unwrap(), [4.2, 4.0, 3.9]);
        assert_eq!(local_centre(&flat, [400.0; 3], 3.0, Density::Automatic).unwrap(), [400.0; 3]);
        let nowhere = local_centre(&flat, [f64::NAN; 3], 3.0, Density::Automatic).unwrap();
        assert!(nowhere[0].is_nan());
    }

    /// What the option is for: clicks that a hand places about half a radius off, in a tomogram with missing wedge and noise.
    #[test]
    fn clicks_in_a_simulated_tomogram_land_nearer_to_the_particles() {
        let config = SimulationConfig {
            shape: [48, 112, 112],
            seed: 11,
            particles_per_class: Some([0, 3, 0, 2, 0, 0]),
            clutter: ClutterConfig::none(),
            ..SimulationConfig::default()
        };
        let simulation = simulate(&config, |_| ()).unwrap();
        let radii: Vec<f64> =
            simulation.classes.iter().map(|class| class.radius_angstrom / simulation.spacing_angstrom).collect();
        let volume = MemoryVolume::new(simulation.volume, simulation.shape, simulation.spacing_angstrom).unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let (mut before, mut after, mut clicks) = (0.0, 0.0, 0.0);
        for particle in &simulation.positions {
            let radius = radii[particle.class];
            for _ in 0..6 {
                let click: [f64; 3] = particle.position.map(|coordinate| coordinate + rng.random_range(-0.45..0.45) * radius);
                let found = local_centre(&volume, click, radius, Density::Automatic).unwrap();
                before += distance(click, particle.position) / radius;
                after += distance(found, particle.position) / radius;
                clicks += 1.0;
            }
        }
        assert!(after < 0.5 * before, "mean distance {} radii before, {} after", before / clicks, after / clicks);
    }
}
