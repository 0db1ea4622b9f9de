//! What an electron microscope makes of a projection.

use std::f64::consts::PI;

use super::ImagingConfig;

/// Mean inner potential of protein above that of vitreous ice, in volt (protein about 7, ice about 4.5).
const PROTEIN_ABOVE_ICE_VOLT: f64 = 2.5;
/// Mean free path of inelastic scattering in ice at 300 kV, in angstrom: what it takes away, an energy filter removes.
const MEAN_FREE_PATH_ANGSTROM: f64 = 3000.0;
/// Part of the electrons' information that reaches the tomogram. It counts the detector's efficiency and all that noise stands in for
/// here: motion, structure of the ice, misalignment. It is set so that particles are as hard to see at noise 1 as in tomograms of
/// purified proteins.
const EFFICIENCY: f64 = 0.19;
/// The noise power falls with the frequency k in cycles per pixel as a / (k + b), because ice and small molecules add most to
/// the low frequencies; behind the ramp filter this makes it nearly white, as tomograms are.
const NOISE_COLOUR: [f64; 2] = [0.26, 0.03];

/// The optics of one tomogram.
#[derive(Clone, Debug)]
pub(super) struct Optics {
    wavelength: f64,
    defocus: f64,
    spherical_aberration: f64,
    amplitude_contrast: f64,
    b_factor: f64,
    /// Phase that a thickness of one angstrom of protein adds, in radians per angstrom.
    phase_per_angstrom: f64,
    dose_per_tilt: f64,
}

impl Optics {
    /// Optics of a tomogram that was taken at `defocus_angstrom` of underfocus.
    pub fn new(config: &ImagingConfig, defocus_angstrom: f64) -> Self {
        let wavelength = wavelength(config.voltage_kilovolt);
        Self {
            wavelength,
            defocus: defocus_angstrom,
            spherical_aberration: config.spherical_aberration_millimetre * 1e7,
            amplitude_contrast: config.amplitude_contrast,
            b_factor: config.b_factor_square_angstrom,
            phase_per_angstrom: PROTEIN_ABOVE_ICE_VOLT * interaction_parameter(config.voltage_kilovolt, wavelength),
            dose_per_tilt: config.dose_per_tilt,
        }
    }

    /// The contrast transfer function at `k` cycles per angstrom; negative at low frequencies, where protein is dark:
    /// -(sqrt(1 - A^2) sin chi + A cos chi) with chi = pi lambda dz k^2 - pi/2 Cs lambda^3 k^4 for underfocus dz
    /// (Rohou and Grigorieff, J. Struct. Biol. 192, 2015).
    pub fn contrast_transfer(&self, k: f64) -> f64 {
        let chi = PI * self.wavelength * self.defocus * k * k
            - PI / 2.0 * self.spherical_aberration * self.wavelength.powi(3) * k.powi(4);
        let a = self.amplitude_contrast;
        -((1.0 - a * a).sqrt() * chi.sin() + a * chi.cos())
    }

    /// Contrast relative to the mean intensity per angstrom of projected protein, for a weak phase object at `k` cycles per
    /// angstrom, after `dose` electrons per square angstrom.
    pub fn transfer(&self, k: f64, dose: f64) -> f64 {
        let envelope = (-self.b_factor * k * k / 4.0).exp() * dose_filter(k, dose);
        2.0 * self.phase_per_angstrom * self.contrast_transfer(k) * envelope
    }

    /// Amplitude of the noise at `k` cycles per pixel, relative to white noise of [`Self::noise_deviation`].
    pub fn noise_colour(k: f64) -> f64 {
        (NOISE_COLOUR[0] / (k + NOISE_COLOUR[1])).sqrt()
    }

    /// Standard deviation of the noise of a pixel of `pixel` angstrom, relative to the mean intensity, behind ice of `thickness`
    /// angstrom at `tilt` radians. The counts fall with the path through the ice, exp(-t / (L cos tilt)).
    pub fn noise_deviation(&self, pixel: f64, thickness: f64, tilt: f64) -> f64 {
        let transmitted = (-thickness / (MEAN_FREE_PATH_ANGSTROM * tilt.cos())).exp();
        (EFFICIENCY * self.dose_per_tilt * pixel * pixel * transmitted).sqrt().recip()
    }
}

/// Part of the signal at `k` cycles per angstrom that is left after `dose` electrons per square angstrom at 300 kV:
/// exp(-N / (2 Nc)) with Nc = 0.245 k^-1.665 + 2.81 (Grant and Grigorieff, eLife 4, 2015).
fn dose_filter(k: f64, dose: f64) -> f64 {
    if k <= 0.0 {
        return 1.0;
    }
    (-dose / (2.0 * (0.245 * k.powf(-1.665) + 2.81))).exp()
}

/// Relativistic wavelength in angstrom: h / sqrt(2 m e V (1 + e V / (2 m c^2))).
fn wavelength(voltage_kilovolt: f64) -> f64 {
    let volt = voltage_kilovolt * 1e3;
    12.2643 / (volt + 0.978_45e-6 * volt * volt).sqrt()
}

/// Phase per volt and angstrom: 2 pi / (lambda V) (m c^2 + e V) / (2 m c^2 + e V)
/// (Kirkland, Advanced Computing in Electron Microscopy, 2010, equation 5.6).
fn interaction_parameter(voltage_kilovolt: f64, wavelength: f64) -> f64 {
    const REST_ENERGY_KILOVOLT: f64 = 510.999;
    2.0 * PI / (wavelength * voltage_kilovolt * 1e3) * (REST_ENERGY_KILOVOLT + voltage_kilovolt)
        / (2.0 * REST_ENERGY_KILOVOLT + voltage_kilovolt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_constants() {
        assert!((wavelength(300.0) - 0.019687).abs() < 1e-5);
        assert!((wavelength(200.0) - 0.025079).abs() < 1e-5);
        assert!((interaction_parameter(300.0, wavelength(300.0)) - 6.526e-4).abs() < 2e-6);
    }

    #[test]
    fn the_first_zero_lies_where_the_defocus_puts_it() {
        let config = ImagingConfig { amplitude_contrast: 0.0, spherical_aberration_millimetre: 0.0, ..Default::default() };
        let optics = Optics::new(&config, 30_000.0);
        let zero = (wavelength(300.0) * 30_000.0).sqrt().recip();
        assert!(optics.contrast_transfer(zero).abs() < 1e-9);
        assert!(optics.contrast_transfer(0.7 * zero) < -0.9);
        assert!(optics.contrast_transfer(1.2 * zero) > 0.9);
    }

    #[test]
    fn amplitude_contrast_alone_remains_at_frequency_zero() {
        let optics = Optics::new(&ImagingConfig::default(), 30_000.0);
        assert!((optics.contrast_transfer(0.0) + 0.07).abs() < 1e-12);
    }

    #[test]
    fn damage_and_thick_ice_hurt() {
        let optics = Optics::new(&ImagingConfig::default(), 30_000.0);
        assert!(dose_filter(0.05, 60.0) < 0.6 && dose_filter(0.01, 60.0) > 0.9);
        let (flat, tilted) = (optics.noise_deviation(10.0, 1000.0, 0.0), optics.noise_deviation(10.0, 1000.0, PI / 3.0));
        // At 60 degrees the path is twice as long: exp(t / 2L) more deviation.
        assert!((tilted / flat - (1000.0f64 / 6000.0).exp()).abs() < 1e-9);
    }
}
