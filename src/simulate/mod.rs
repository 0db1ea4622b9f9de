//! Tomograms made from nothing: particles of six classes at known positions, other things that nobody labels, and the optics of
//! a tilt series, so that demonstrations, tests and benchmarks have a truth to compare with.
//!
//! A tomogram is made as a microscope makes one. Each particle is a cloud of Gaussian blobs with the symmetry, size and mass
//! of the real one. A spherical Gaussian projects to the same round spot from every side, so the projections are exact
//! and need no volume on a fine grid. Each projection gets the contrast transfer function, radiation damage and noise of its
//! exposure, and weighted back-projection turns the tilt series into a volume with a true missing wedge in which protein is dark.
//!
//! ```no_run
//! use semietpicker::simulate::{SimulationConfig, simulate};
//!
//! let simulation = simulate(&SimulationConfig { shape: [48, 160, 160], seed: 7, ..Default::default() }, |_| ())?;
//! assert_eq!(simulation.volume.len(), 48 * 160 * 160);
//! # Ok::<(), semietpicker::simulate::SimulationError>(())
//! ```
//!
//! What is left out: the defocus does not change across an image, the specimen ends at the volume's sides, tilt series are
//! perfectly aligned, and ice and detector noise are white and Gaussian.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::labels::{Class, ClassId};

mod clutter;
mod optics;
mod placement;
mod reconstruction;
mod rotation;
mod shapes;
mod specimen;
#[cfg(test)]
mod tests;
mod tilt_series;

use shapes::SPECIES;

/// Number of classes that a simulation knows.
pub const CLASS_COUNT: usize = SPECIES.len();

/// Largest volume that is made, in voxels: 4 GiB of `f32`.
pub const MAX_VOXELS: usize = 1 << 30;

/// What to make. The default resembles a crowded, purified sample: 72 x 208 x 208 voxels of 10 A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulationConfig {
    /// Voxels `(z, y, x)`. The beam is along z at zero tilt and the tilt axis is y.
    pub shape: [usize; 3],
    /// Edge of a voxel in angstrom, 1 to 50.
    pub spacing_angstrom: f64,
    /// Everything random follows from it: an equal configuration gives equal bits, whatever the number of threads.
    pub seed: u64,
    /// Standard deviation of the noise relative to a realistic exposure: 1 is realistic, 0 is none.
    pub noise: f64,
    /// How many particles of each class, in the order of [`classes`]; `None` draws numbers in proportion to the volume, as crowded
    /// as a purified sample.
    pub particles_per_class: Option<[usize; CLASS_COUNT]>,
    /// What else lies in the ice, without a label.
    pub clutter: ClutterConfig,
    /// How it is imaged.
    pub imaging: ImagingConfig,
}

impl Default for SimulationConfig {
    fn default() -> Self {
        Self {
            shape: [72, 208, 208],
            spacing_angstrom: 10.0,
            seed: 0,
            noise: 1.0,
            particles_per_class: None,
            clutter: ClutterConfig::default(),
            imaging: ImagingConfig::default(),
        }
    }
}

/// Things that nobody labels. Each is placed where there is room and left out where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClutterConfig {
    /// Proteins of 30 to 60 A radius, each of its own shape; `None` gives a number in proportion to the volume.
    pub proteins: Option<usize>,
    /// Actin-like filaments; `None` gives a number in proportion to the volume, two in one of the default size.
    pub filaments: Option<usize>,
    /// Curved pieces of lipid bilayer.
    pub membranes: usize,
    /// Gold beads of 100 A diameter. Their contrast is many times that of protein and dominates the normalisation.
    pub fiducials: usize,
}

impl ClutterConfig {
    /// Nothing but the labelled particles.
    pub fn none() -> Self {
        Self { proteins: Some(0), filaments: Some(0), membranes: 0, fiducials: 0 }
    }
}

/// Microscope and tilt series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagingConfig {
    /// Tilts run from minus to plus this angle, more than 0 and at most 80 degrees.
    pub max_tilt_degrees: f64,
    /// Angle between neighbouring tilts, at least 0.1 degrees; zero tilt is always among them.
    pub tilt_step_degrees: f64,
    /// Acceleration voltage in kilovolt, 60 to 1000.
    pub voltage_kilovolt: f64,
    /// Mean underfocus in angstrom, positive, at most 200,000.
    pub defocus_angstrom: f64,
    /// The defocus of a tomogram is drawn uniformly within this many angstrom around the mean; at most the mean.
    pub defocus_spread_angstrom: f64,
    /// Spherical aberration of the objective lens in millimetre, 0 to 10.
    pub spherical_aberration_millimetre: f64,
    /// Part of the contrast that is amplitude contrast, 0 to 1.
    pub amplitude_contrast: f64,
    /// Damping envelope exp(-B k^2 / 4), in square angstrom, 0 to 10,000.
    pub b_factor_square_angstrom: f64,
    /// Electrons per square angstrom and tilt, more than 0 and at most 1000. Tilts are taken in a dose-symmetric order.
    pub dose_per_tilt: f64,
}

impl Default for ImagingConfig {
    fn default() -> Self {
        Self {
            max_tilt_degrees: 60.0,
            tilt_step_degrees: 3.0,
            voltage_kilovolt: 300.0,
            defocus_angstrom: 30_000.0,
            defocus_spread_angstrom: 5_000.0,
            spherical_aberration_millimetre: 2.7,
            amplitude_contrast: 0.07,
            b_factor_square_angstrom: 400.0,
            dose_per_tilt: 3.0,
        }
    }
}

/// A tomogram and the truth about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// Density, x fastest, of mean 0 and standard deviation 1; protein is negative.
    pub volume: Vec<f32>,
    /// Voxels `(z, y, x)`.
    pub shape: [usize; 3],
    /// Edge of a voxel in angstrom.
    pub spacing_angstrom: f64,
    /// The classes, as [`classes`] gives them.
    pub classes: Vec<Class>,
    /// Every labelled particle, sorted by class; none is missing.
    pub positions: Vec<SimulatedParticle>,
}

/// Where a particle is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimulatedParticle {
    /// Index into [`Simulation::classes`].
    pub class: usize,
    /// Its centre of mass as a continuous voxel index `(z, y, x)`; an integer is a voxel's centre.
    pub position: [f64; 3],
    /// Unit quaternion `(x, y, z, w)` that turns the class's reference structure, in `(x, y, z)`, into this particle.
    pub quaternion: [f64; 4],
}

/// Why a tomogram cannot be simulated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimulationError {
    /// No particle fits.
    #[error(
        "a volume of {shape:?} voxels (z, y, x) of {spacing_angstrom} A is too small for a particle: \
         every axis needs at least {minimum} voxels"
    )]
    TooSmall {
        /// Voxels `(z, y, x)`.
        shape: [usize; 3],
        /// Edge of a voxel in angstrom.
        spacing_angstrom: f64,
        /// Voxels that an axis needs.
        minimum: usize,
    },
    /// More voxels than [`MAX_VOXELS`].
    #[error("a volume of {shape:?} voxels (z, y, x) is too large: at most {MAX_VOXELS} voxels can be simulated")]
    TooLarge {
        /// Voxels `(z, y, x)`.
        shape: [usize; 3],
    },
    /// A setting is out of its range.
    #[error("{name} is {value}; it must be {expected}")]
    InvalidSetting {
        /// The field of the configuration.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// The particles asked for do not fit without overlap, or clutter leaves no room for any.
    #[error(
        "only {placed} of {wanted} particles of class {class} fit without overlap: ask for fewer, for less clutter or for a larger volume"
    )]
    TooCrowded {
        /// Name of the class.
        class: &'static str,
        /// How many were asked for.
        wanted: usize,
        /// How many found a place.
        placed: usize,
    },
}

/// The simulated classes, with the radius and the default colour of each; identities count from 0.
pub fn classes() -> Vec<Class> {
    SPECIES
        .iter()
        .enumerate()
        .map(|(index, species)| Class {
            id: ClassId(index as u32),
            name: species.name.to_owned(),
            radius_angstrom: species.radius_angstrom,
            colour: crate::labels::default_colour(index),
        })
        .collect()
}

/// Makes a tomogram; `progress` hears fractions from 0 to 1, in order, on the calling thread.
///
/// Work is spread over rayon's current thread pool.
///
/// # Errors
/// [`SimulationError`] when a setting is out of range, when no particle fits into the volume, when the volume is too large, when
/// the numbers in [`SimulationConfig::particles_per_class`] do not fit without overlap, or when clutter leaves no room.
pub fn simulate(config: &SimulationConfig, mut progress: impl FnMut(f32)) -> Result<Simulation, SimulationError> {
    config.validate()?;
    progress(0.0);
    let specimen = specimen::Specimen::new(config)?;
    progress(0.05);
    let series = tilt_series::TiltSeries::acquire(config, &specimen.blobs, |part| progress(0.05 + 0.55 * part));
    let mut volume = reconstruction::back_project(&series, config.shape, |part| progress(0.6 + 0.38 * part));
    reconstruction::normalise(&mut volume);
    progress(1.0);
    Ok(Simulation {
        volume,
        shape: config.shape,
        spacing_angstrom: config.spacing_angstrom,
        classes: classes(),
        positions: specimen.positions,
    })
}

impl SimulationConfig {
    fn validate(&self) -> Result<(), SimulationError> {
        let imaging = &self.imaging;
        let settings = [
            ("spacing_angstrom", self.spacing_angstrom, (1.0..=50.0).contains(&self.spacing_angstrom), "from 1 to 50"),
            ("noise", self.noise, (0.0..=1000.0).contains(&self.noise), "from 0 to 1000"),
            (
                "max_tilt_degrees",
                imaging.max_tilt_degrees,
                imaging.max_tilt_degrees > 0.0 && imaging.max_tilt_degrees <= 80.0,
                "more than 0 and at most 80",
            ),
            (
                "tilt_step_degrees",
                imaging.tilt_step_degrees,
                imaging.tilt_step_degrees >= 0.1 && imaging.tilt_step_degrees <= imaging.max_tilt_degrees,
                "at least 0.1 and at most max_tilt_degrees",
            ),
            (
                "voltage_kilovolt",
                imaging.voltage_kilovolt,
                (60.0..=1000.0).contains(&imaging.voltage_kilovolt),
                "from 60 to 1000",
            ),
            (
                "defocus_angstrom",
                imaging.defocus_angstrom,
                imaging.defocus_angstrom > 0.0 && imaging.defocus_angstrom <= 200_000.0,
                "more than 0 and at most 200000",
            ),
            (
                "defocus_spread_angstrom",
                imaging.defocus_spread_angstrom,
                (0.0..=imaging.defocus_angstrom).contains(&imaging.defocus_spread_angstrom),
                "from 0 to defocus_angstrom",
            ),
            (
                "spherical_aberration_millimetre",
                imaging.spherical_aberration_millimetre,
                (0.0..=10.0).contains(&imaging.spherical_aberration_millimetre),
                "from 0 to 10",
            ),
            ("amplitude_contrast", imaging.amplitude_contrast, (0.0..=1.0).contains(&imaging.amplitude_contrast), "from 0 to 1"),
            (
                "b_factor_square_angstrom",
                imaging.b_factor_square_angstrom,
                (0.0..=10_000.0).contains(&imaging.b_factor_square_angstrom),
                "from 0 to 10000",
            ),
            (
                "dose_per_tilt",
                imaging.dose_per_tilt,
                imaging.dose_per_tilt > 0.0 && imaging.dose_per_tilt <= 1000.0,
                "more than 0 and at most 1000",
            ),
        ];
        for (name, value, valid, expected) in settings {
            if !valid {
                return Err(SimulationError::InvalidSetting { name, value, expected });
            }
        }
        let minimum = placement::minimum_extent(self.spacing_angstrom);
        if self.shape.iter().any(|&n| n < minimum) {
            return Err(SimulationError::TooSmall { shape: self.shape, spacing_angstrom: self.spacing_angstrom, minimum });
        }
        let voxels = self.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        if voxels.is_none_or(|n| n > MAX_VOXELS) {
            return Err(SimulationError::TooLarge { shape: self.shape });
        }
        Ok(())
    }
}

/// Independent sequences of random numbers, so that one part of a simulation does not depend on how much another draws.
#[derive(Clone, Copy)]
enum Stream {
    Counts,
    Placement,
    Clutter,
    Defocus,
    Noise { tilt: usize },
}

impl Stream {
    fn rng(self, seed: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(match self {
            Self::Counts => 0,
            Self::Placement => 1,
            Self::Clutter => 2,
            Self::Defocus => 3,
            Self::Noise { tilt } => 16 + tilt as u64,
        });
        rng
    }
}
