//! Which particles there are, where, and the density that they make.

use rand::RngExt;

use super::placement::Placement;
use super::rotation::{apply, matrix, random_quaternion};
use super::shapes::{Blob, SPECIES};
use super::{CLASS_COUNT, SimulatedParticle, SimulationConfig, SimulationError, Stream, clutter};

/// Volume of the default tomogram in cubic angstrom, to which numbers of particles refer.
const REFERENCE_VOLUME: f64 = 720.0 * 2080.0 * 2080.0;

/// What lies in the ice.
pub(super) struct Specimen {
    /// All density, centres `(x, y, z)` in angstrom from the first voxel's centre.
    pub blobs: Vec<Blob>,
    /// The labelled particles, sorted by class.
    pub positions: Vec<SimulatedParticle>,
}

impl Specimen {
    /// Places everything.
    ///
    /// # Errors
    /// [`SimulationError::TooCrowded`] when numbers that were asked for do not fit, or when not one particle fits beside clutter.
    pub fn new(config: &SimulationConfig) -> Result<Self, SimulationError> {
        let size_ratio = config.shape.iter().map(|&n| n as f64 * config.spacing_angstrom).product::<f64>() / REFERENCE_VOLUME;
        let counts = config.particles_per_class.unwrap_or_else(|| draw_counts(size_ratio, config.seed));
        let mut placement = Placement::new(config.shape, config.spacing_angstrom);
        let mut clutter_rng = Stream::Clutter.rng(config.seed);
        let mut rng = Stream::Placement.rng(config.seed);

        let mut blobs = clutter::place_large(&config.clutter, size_ratio, &mut placement, &mut clutter_rng);
        let mut positions = Vec::new();
        // The largest first: they find no room once the small ones are everywhere.
        let mut order: [usize; CLASS_COUNT] = std::array::from_fn(|class| class);
        order.sort_by(|&a, &b| SPECIES[b].radius_angstrom.total_cmp(&SPECIES[a].radius_angstrom));
        for class in order {
            let (species, wanted) = (&SPECIES[class], counts[class]);
            let structure = if wanted > 0 { species.structure() } else { Vec::new() };
            for placed in 0..wanted {
                let Some(centre) = placement.place(species.radius_angstrom, &mut rng) else {
                    if config.particles_per_class.is_some() {
                        return Err(SimulationError::TooCrowded { class: species.name, wanted, placed });
                    }
                    break;
                };
                let quaternion = random_quaternion(&mut rng);
                let turn = matrix(quaternion);
                blobs.extend(structure.iter().map(|blob| {
                    let turned = apply(&turn, blob.centre);
                    Blob { centre: std::array::from_fn(|axis| centre[axis] + turned[axis]), ..*blob }
                }));
                let [x, y, z] = centre.map(|c| c / config.spacing_angstrom);
                positions.push(SimulatedParticle { class, position: [z, y, x], quaternion });
            }
        }
        if positions.is_empty() && config.particles_per_class.is_none() {
            return Err(SimulationError::TooCrowded { class: SPECIES[0].name, wanted: counts[0].max(1), placed: 0 });
        }
        positions.sort_by_key(|particle| particle.class);
        blobs.extend(clutter::place_proteins(&config.clutter, size_ratio, &mut placement, &mut clutter_rng));
        Ok(Self { blobs, positions })
    }
}

/// Numbers in proportion to the volume; at least one particle in all, an apo-ferritin.
fn draw_counts(size_ratio: f64, seed: u64) -> [usize; CLASS_COUNT] {
    let mut rng = Stream::Counts.rng(seed);
    let mut counts = SPECIES.map(|species| {
        let [low, high] = species.crowding;
        (size_ratio * rng.random_range(low..high)).round() as usize
    });
    if counts.iter().all(|&count| count == 0) {
        counts[0] = 1;
    }
    counts
}
