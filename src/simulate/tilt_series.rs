//! Projections along the tilts, with optics and noise, filtered for back-projection.

use std::sync::Arc;

use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::optics::Optics;
use super::shapes::Blob;
use super::{ImagingConfig, SimulationConfig, Stream};

/// Pixels around the specimen, so that blurred edges do not come back on the other side.
const PADDING: usize = 16;
/// The ramp filter falls off as a Gaussian beyond this frequency, in cycles per pixel, with this deviation.
const CUT_OFF: f64 = 0.36;
const CUT_OFF_WIDTH: f64 = 0.1;
/// Filtered images are sampled this much finer across the tilt axis, so that linear interpolation neither blurs nor aliases.
pub(super) const OVERSAMPLING: usize = 2;
/// Tilts that are worked on between two reports of progress.
const BATCH: usize = 8;

/// Size of the images, and where the tilt axis lies in them.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    /// Pixels across the tilt axis (u) and along it (v).
    pub size: [usize; 2],
    /// Middle of the volume as a continuous voxel index `(x, y, z)`, through which the tilt axis runs along y.
    pub middle: [f64; 3],
    /// The same point in an image `(u, v)`, in pixels.
    pub axis: [f64; 2],
    /// Row v of an image in which the volume's row y = 0 lies.
    pub first_row: usize,
    pub spacing: f64,
}

impl Geometry {
    /// Images in which a volume of `shape` voxels `(z, y, x)` of `spacing` angstrom stays visible at every tilt.
    pub fn new(shape: [usize; 3], spacing: f64) -> Self {
        let [depth, height, width] = shape;
        let diagonal = ((width * width + depth * depth) as f64).sqrt().ceil() as usize;
        let size = [fast_size(diagonal + 2 * PADDING), fast_size(height + 2 * PADDING)];
        let middle = [width, height, depth].map(|n| (n - 1) as f64 / 2.0);
        Self { size, middle, axis: [(size[0] - 1) as f64 / 2.0, middle[1] + PADDING as f64], first_row: PADDING, spacing }
    }

    /// Place `(u, v)` in the image at `tilt` radians of the position `(x, y, z)`, given as a continuous voxel index.
    pub fn project(&self, position: [f64; 3], tilt: f64) -> [f64; 2] {
        let [x, y, z] = std::array::from_fn(|axis| position[axis] - self.middle[axis]);
        [self.axis[0] + x * tilt.cos() + z * tilt.sin(), self.axis[1] + y]
    }
}

/// The least even number of the form 2^a 3^b 5^c that is not below `n`, for which a Fourier transform is fast.
fn fast_size(n: usize) -> usize {
    let smooth = |mut m: usize| {
        for factor in [2, 3, 5] {
            while m.is_multiple_of(factor) {
                m /= factor;
            }
        }
        m == 1
    };
    (n.max(2)..).find(|&m| m.is_multiple_of(2) && smooth(m)).unwrap_or(n)
}

/// Angles in radians, ascending, zero among them.
pub(super) fn tilt_angles(config: &ImagingConfig) -> Vec<f64> {
    let side = (config.max_tilt_degrees / config.tilt_step_degrees + 1e-9).floor() as i32;
    (-side..=side).map(|index| (f64::from(index) * config.tilt_step_degrees).to_radians()).collect()
}

/// Exposures before each tilt when tilts are taken in a dose-symmetric order: from zero tilt outwards, side by side
/// (Hagen, Wan and Briggs, J. Struct. Biol. 197, 2017).
fn exposures_before(tilts: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tilts.len()).collect();
    order.sort_by(|&a, &b| tilts[a].abs().total_cmp(&tilts[b].abs()).then(tilts[b].total_cmp(&tilts[a])));
    let mut before = vec![0; tilts.len()];
    for (rank, &tilt) in order.iter().enumerate() {
        before[tilt] = rank;
    }
    before
}

/// The thickness of protein along the beam at `tilt` radians, in angstrom: rows v of pixels u.
///
/// Exact but for the pixels' box, which is taken as a Gaussian of equal variance.
pub(super) fn project(blobs: &[Blob], geometry: &Geometry, tilt: f64) -> Vec<f32> {
    let [width, height] = geometry.size;
    let mut image = vec![0f32; width * height];
    let mut weights = [Vec::new(), Vec::new()];
    for blob in blobs {
        // Narrower Gaussians would not be resolved by the pixels.
        let sigma = ((blob.sigma / geometry.spacing).powi(2) + 1.0 / 12.0).sqrt().max(0.55);
        let place = geometry.project(blob.centre.map(|c| c / geometry.spacing), tilt);
        let mut first = [0; 2];
        for axis in 0..2 {
            let low = (place[axis] - 4.5 * sigma).ceil().max(0.0);
            let high = (place[axis] + 4.5 * sigma).floor().min(geometry.size[axis] as f64 - 1.0);
            first[axis] = low as usize;
            weights[axis].clear();
            if high >= low {
                let offsets = (low as usize..=high as usize).map(|i| (i as f64 - place[axis]) / sigma);
                weights[axis].extend(offsets.map(|offset| (-0.5 * offset * offset).exp()));
            }
        }
        let scale = blob.mass / (geometry.spacing.powi(2) * std::f64::consts::TAU * sigma * sigma);
        let [across, along] = &weights;
        for (row, weight) in along.iter().enumerate() {
            let start = (first[1] + row) * width + first[0];
            for (pixel, w) in image[start..start + across.len()].iter_mut().zip(across) {
                *pixel += (scale * weight * w) as f32;
            }
        }
    }
    image
}

/// A tilt series, ready to be smeared back into the volume.
pub(super) struct TiltSeries {
    pub geometry: Geometry,
    /// Angles in radians.
    pub tilts: Vec<f64>,
    /// Filtered images, rows v of [`OVERSAMPLING`] samples per pixel u.
    pub images: Vec<Vec<f32>>,
}

impl TiltSeries {
    /// Takes the images of `blobs`, whose centres are in angstrom; `progress` hears fractions.
    pub fn acquire(config: &SimulationConfig, blobs: &[Blob], mut progress: impl FnMut(f32)) -> Self {
        let imaging = &config.imaging;
        let geometry = Geometry::new(config.shape, config.spacing_angstrom);
        let tilts = tilt_angles(imaging);
        let before = exposures_before(&tilts);
        let spread: f64 = Stream::Defocus.rng(config.seed).random_range(-1.0..=1.0);
        // A defocus of zero would leave no contrast at all.
        let defocus = (imaging.defocus_angstrom + spread * imaging.defocus_spread_angstrom).max(1.0);
        let optics = Optics::new(imaging, defocus);
        let thickness = config.shape[0] as f64 * config.spacing_angstrom;
        let filter = ImageFilter::new(&geometry);

        let indices: Vec<usize> = (0..tilts.len()).collect();
        let mut images = Vec::with_capacity(tilts.len());
        for batch in indices.chunks(BATCH) {
            let finished: Vec<Vec<f32>> = batch
                .par_iter()
                .map(|&index| {
                    let image = project(blobs, &geometry, tilts[index]);
                    let dose = (before[index] as f64 + 0.5) * imaging.dose_per_tilt;
                    let deviation = config.noise * optics.noise_deviation(geometry.spacing, thickness, tilts[index]);
                    let noise = (deviation > 0.0).then(|| {
                        let mut rng = Stream::Noise { tilt: index }.rng(config.seed);
                        (0..image.len()).map(|_| deviation as f32 * rng.sample::<f32, _>(StandardNormal)).collect()
                    });
                    filter.apply(&image, noise, |k| optics.transfer(k / geometry.spacing, dose))
                })
                .collect();
            images.extend(finished);
            progress(images.len() as f32 / tilts.len() as f32);
        }
        Self { geometry, tilts, images }
    }
}

/// Applies optics and the weighting of back-projection in Fourier space.
pub(super) struct ImageFilter {
    size: [usize; 2],
    across: Arc<dyn Fft<f32>>,
    along: Arc<dyn Fft<f32>>,
    along_inverse: Arc<dyn Fft<f32>>,
    across_inverse: Arc<dyn Fft<f32>>,
}

impl ImageFilter {
    pub fn new(geometry: &Geometry) -> Self {
        let mut planner = FftPlanner::new();
        let [width, height] = geometry.size;
        Self {
            size: geometry.size,
            across: planner.plan_fft_forward(width),
            along: planner.plan_fft_forward(height),
            along_inverse: planner.plan_fft_inverse(height),
            across_inverse: planner.plan_fft_inverse(OVERSAMPLING * width),
        }
    }

    /// (image x transfer + noise x its colour) x ramp, rows v of [`OVERSAMPLING`] samples per pixel u. `transfer` is a function of the
    /// frequency in cycles per pixel; images are rows v of pixels u.
    pub fn apply(&self, image: &[f32], noise: Option<Vec<f32>>, transfer: impl Fn(f64) -> f64) -> Vec<f32> {
        let [width, height] = self.size;
        let spectrum = self.forward(image);
        let noise = noise.map(|noise| self.forward(&noise));
        let mut filtered = spectrum;
        for u in 0..width {
            let ku = frequency(u, width);
            let ramp = ramp(ku, width);
            for v in 0..height {
                let k = ku.hypot(frequency(v, height));
                let value = &mut filtered[u * height + v];
                *value *= transfer(k) as f32;
                if let Some(noise) = &noise {
                    *value += noise[u * height + v] * Optics::noise_colour(k) as f32;
                }
                *value *= (ramp * cut_off(k)) as f32;
            }
        }
        self.along_inverse.process(&mut filtered);
        // The row of the highest frequency is its own mirror image and has no place in the finer sampling.
        filtered[width / 2 * height..(width / 2 + 1) * height].fill(Complex32::ZERO);
        let fine_width = OVERSAMPLING * width;
        let mut rows = vec![Complex32::ZERO; fine_width * height];
        for u in 0..width {
            let fine_u = if u < width / 2 { u } else { u + fine_width - width };
            for v in 0..height {
                rows[v * fine_width + fine_u] = filtered[u * height + v];
            }
        }
        self.across_inverse.process(&mut rows);
        let scale = 1.0 / (width * height) as f32;
        rows.iter().map(|value| value.re * scale).collect()
    }

    /// The spectrum, columns u of frequencies v.
    fn forward(&self, image: &[f32]) -> Vec<Complex32> {
        let [width, height] = self.size;
        let mut rows: Vec<Complex32> = image.iter().map(|&value| Complex32::new(value, 0.0)).collect();
        self.across.process(&mut rows);
        let mut columns = vec![Complex32::ZERO; rows.len()];
        for v in 0..height {
            for u in 0..width {
                columns[u * height + v] = rows[v * width + u];
            }
        }
        self.along.process(&mut columns);
        columns
    }
}

/// Frequency of a bin in cycles per pixel.
pub(super) fn frequency(bin: usize, size: usize) -> f64 {
    (if bin <= size / 2 { bin as f64 } else { bin as f64 - size as f64 }) / size as f64
}

/// The weight |k| of back-projection; around zero its mean over the bin, so that large-scale contrast survives.
fn ramp(ku: f64, width: usize) -> f64 {
    if ku == 0.0 { 0.25 / width as f64 } else { ku.abs() }
}

fn cut_off(k: f64) -> f64 {
    if k <= CUT_OFF { 1.0 } else { (-0.5 * ((k - CUT_OFF) / CUT_OFF_WIDTH).powi(2)).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tilts_are_symmetric_and_taken_from_the_middle_outwards() {
        let tilts = tilt_angles(&ImagingConfig { max_tilt_degrees: 7.0, tilt_step_degrees: 3.0, ..Default::default() });
        assert_eq!(tilts.len(), 5);
        assert_eq!(exposures_before(&tilts), [4, 2, 0, 1, 3]);
        assert_eq!(tilt_angles(&ImagingConfig::default()).len(), 41);
    }

    #[test]
    fn fast_sizes() {
        assert_eq!([2, 7, 13, 97, 252].map(fast_size), [2, 8, 16, 100, 256]);
    }

    /// Projection-slice theorem: the spectrum of a projection is the plane through the spectrum of the density that is
    /// perpendicular to the beam.
    #[test]
    fn a_projection_is_a_slice_of_the_spectrum() {
        let spacing = 10.0;
        let geometry = Geometry::new([40, 50, 61], spacing);
        let blobs = [
            Blob { centre: [310.0, 180.0, 120.0], sigma: 14.0, mass: 4000.0 },
            Blob { centre: [222.0, 293.0, 251.0], sigma: 22.0, mass: 9000.0 },
            Blob { centre: [401.0, 250.0, 195.0], sigma: 11.0, mass: 2500.0 },
        ];
        let filter = ImageFilter::new(&geometry);
        let [width, height] = geometry.size;
        for tilt in [-50f64, 0.0, 33.0] {
            let tilt = tilt.to_radians();
            let spectrum = filter.forward(&project(&blobs, &geometry, tilt));
            let total: f64 = blobs.iter().map(|blob| blob.mass).sum::<f64>() / (spacing * spacing);
            for (u, v) in [(0, 0), (3, 0), (0, 5), (7, 4), (width - 6, 9), (12, height - 3)] {
                let k = [frequency(u, width), frequency(v, height)];
                // Cycles per voxel along x, y, z: the image's u axis is (cos, 0, sin) in the volume.
                let q = [k[0] * tilt.cos(), k[1], k[0] * tilt.sin()];
                let mut expected = rustfft::num_complex::Complex64::ZERO;
                for blob in &blobs {
                    let sigma2 = (blob.sigma / spacing).powi(2) + 1.0 / 12.0;
                    let damping = (-2.0 * std::f64::consts::PI.powi(2) * sigma2 * (k[0] * k[0] + k[1] * k[1])).exp();
                    let offset: f64 = (0..3).map(|axis| q[axis] * (blob.centre[axis] / spacing - geometry.middle[axis])).sum();
                    let phase = -std::f64::consts::TAU * (offset + k[0] * geometry.axis[0] + k[1] * geometry.axis[1]);
                    expected += rustfft::num_complex::Complex64::from_polar(blob.mass / (spacing * spacing) * damping, phase);
                }
                let found = spectrum[u * height + v];
                let error = (f64::from(found.re) - expected.re).hypot(f64::from(found.im) - expected.im);
                assert!(error < 2e-4 * total, "tilt {tilt}, bin ({u}, {v}): {found} instead of {expected}");
            }
        }
    }
}
