use rayon::ThreadPoolBuilder;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

use super::*;
use crate::geometry::distance;

fn small(seed: u64) -> SimulationConfig {
    SimulationConfig { shape: [32, 72, 64], seed, ..Default::default() }
}

fn run(config: &SimulationConfig) -> Simulation {
    simulate(config, |_| ()).expect("a valid configuration")
}

fn lone(class: &str, shape: [usize; 3], seed: u64) -> SimulationConfig {
    let mut counts = [0; CLASS_COUNT];
    counts[classes().iter().position(|c| c.name == class).expect("a class of the list")] = 1;
    SimulationConfig {
        shape,
        seed,
        noise: 0.0,
        particles_per_class: Some(counts),
        clutter: ClutterConfig::none(),
        ..Default::default()
    }
}

/// Mean density of the voxels between two distances, in angstrom, from a particle.
fn shell_mean(simulation: &Simulation, particle: &SimulatedParticle, inner: f64, outer: f64) -> f64 {
    let [_, height, width] = simulation.shape;
    let (mut sum, mut count) = (0.0, 0);
    for (index, &value) in simulation.volume.iter().enumerate() {
        let voxel = [index / (height * width), index / width % height, index % width].map(|i| i as f64);
        let r = distance(voxel, particle.position) * simulation.spacing_angstrom;
        if r >= inner && r < outer {
            sum += f64::from(value);
            count += 1;
        }
    }
    sum / f64::from(count)
}

#[test]
fn equal_configurations_give_equal_bits_on_any_number_of_threads() {
    let on_threads = |threads: usize, seed: u64| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| run(&small(seed)))
    };
    let one = on_threads(1, 5);
    assert_eq!(one, on_threads(1, 5));
    for threads in [2, 3] {
        let many = on_threads(threads, 5);
        assert!(one.volume.iter().zip(&many.volume).all(|(a, b)| a.to_bits() == b.to_bits()), "{threads} threads");
    }
    let other = on_threads(2, 6);
    assert_ne!(one.volume, other.volume);
    assert_ne!(one.positions, other.positions);
}

#[test]
fn the_volume_is_normalised_and_progress_runs_from_zero_to_one() {
    let mut heard = Vec::new();
    let simulation = simulate(&small(1), |part| heard.push(part)).expect("a valid configuration");
    let n = simulation.volume.len() as f64;
    let mean = simulation.volume.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = simulation.volume.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
    assert_eq!((heard.first(), heard.last()), (Some(&0.0), Some(&1.0)));
    assert!(heard.is_sorted() && heard.len() > 8, "{heard:?}");
}

#[test]
fn particles_lie_inside_apart_and_sorted() {
    let config = SimulationConfig { shape: [60, 150, 140], seed: 4, ..Default::default() };
    let specimen = specimen::Specimen::new(&config).expect("room for particles");
    let (positions, classes) = (&specimen.positions, classes());
    assert!(positions.len() > 25, "{}", positions.len());
    assert!(positions.is_sorted_by_key(|particle| particle.class));
    for (i, a) in positions.iter().enumerate() {
        assert!((0..3).all(|axis| a.position[axis] >= 5.5 && a.position[axis] <= config.shape[axis] as f64 - 6.5));
        for b in &positions[..i] {
            let radii = classes[a.class].radius_angstrom + classes[b.class].radius_angstrom;
            let apart = distance(a.position, b.position) * config.spacing_angstrom;
            assert!(apart >= placement::CLOSENESS * radii - 1e-6, "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_default_tomogram_is_as_crowded_as_a_purified_sample() {
    for seed in 0..3 {
        let specimen = specimen::Specimen::new(&SimulationConfig { seed, ..Default::default() }).expect("room");
        let count = |class: usize| specimen.positions.iter().filter(|particle| particle.class == class).count() as f64;
        for (class, species) in SPECIES.iter().enumerate() {
            let [low, high] = species.crowding;
            assert!(count(class) >= (0.7 * low).floor() && count(class) <= high, "{}: {}", species.name, count(class));
        }
    }
}

/// Whether the only particle lies in the volume with all of its body.
fn whole_particle(config: &SimulationConfig) -> bool {
    let particle = specimen::Specimen::new(config).expect("room for a particle").positions[0];
    let reach = (SPECIES[particle.class].radius_angstrom + 20.0) / config.spacing_angstrom;
    (0..3).all(|axis| {
        let position = particle.position[axis];
        position >= reach && position <= (config.shape[axis] - 1) as f64 - reach
    })
}

/// Pins the rule for coordinates, that an integer index is a voxel's centre, on even and odd sizes: half a voxel of error in the
/// projection, the back-projection or the stated position would show.
#[test]
fn the_centre_of_a_lone_particle_is_where_the_truth_says() {
    for (class, shape) in [
        ("apo-ferritin", [32, 40, 48]),
        ("apo-ferritin", [33, 41, 47]),
        ("proteasome", [36, 45, 44]),
        ("virus-like-particle", [49, 54, 55]),
        ("virus-like-particle", [48, 55, 54]),
    ] {
        // A particle that sticks out of the volume has its centre of mass elsewhere.
        let config = (0..).map(|seed| lone(class, shape, seed)).find(whole_particle).expect("some seed");
        let simulation = run(&config);
        let truth = simulation.positions[0].position;
        let darkest = simulation.volume.iter().copied().fold(0.0, f32::min);
        let (mut total, mut moment) = (0.0, [0.0; 3]);
        for (index, &value) in simulation.volume.iter().enumerate() {
            // Only what is clearly protein: streaks of the missing wedge run out of the volume on one side first.
            let weight = f64::from((0.35 * darkest - value).max(0.0));
            let voxel = [index / (shape[1] * shape[2]), index / shape[2] % shape[1], index % shape[2]];
            total += weight;
            for axis in 0..3 {
                moment[axis] += weight * voxel[axis] as f64;
            }
        }
        let error = moment.map(|m| m / total);
        for axis in 0..3 {
            assert!((error[axis] - truth[axis]).abs() < 0.3, "{class} in {shape:?}: {error:?} instead of {truth:?}");
        }
    }
}

#[test]
fn protein_is_dark() {
    // Shells of the hollow particles, the whole of the compact ones.
    for (class, inner, outer) in [
        ("apo-ferritin", 40.0, 60.0),
        ("beta-galactosidase", 0.0, 60.0),
        ("proteasome", 25.0, 60.0),
        ("ribosome", 0.0, 110.0),
        ("thyroglobulin", 10.0, 70.0),
        ("virus-like-particle", 115.0, 140.0),
    ] {
        let simulation = run(&lone(class, [48, 60, 60], 9));
        let particle = simulation.positions[0];
        let inside = shell_mean(&simulation, &particle, inner, outer);
        let radius = simulation.classes[particle.class].radius_angstrom;
        let outside = shell_mean(&simulation, &particle, radius + 60.0, radius + 120.0);
        assert!(inside < outside - 0.5, "{class}: {inside} inside, {outside} outside");
    }
}

#[test]
fn noise_hides_particles() {
    let contrast = |noise: f64| {
        let simulation = run(&SimulationConfig { noise, ..lone("apo-ferritin", [32, 48, 48], 3) });
        -shell_mean(&simulation, &simulation.positions[0], 40.0, 60.0)
    };
    let (none, realistic, strong) = (contrast(0.0), contrast(1.0), contrast(4.0));
    assert!(none > 2.0 * realistic && realistic > 2.0 * strong, "{none} {realistic} {strong}");
    assert!((0.3..1.0).contains(&realistic), "{realistic}");
}

/// Power per voxel of the spectrum, inside the missing wedge and outside of it.
fn wedge_powers(simulation: &Simulation, half_gap_degrees: f64) -> [f64; 2] {
    let [depth, height, width] = simulation.shape;
    let hann = |i: usize, n: usize| 0.5 - 0.5 * (std::f64::consts::TAU * (i as f64 + 0.5) / n as f64).cos();
    let mut planner = FftPlanner::new();
    let (across, through) = (planner.plan_fft_forward(width), planner.plan_fft_forward(depth));
    let (mut power, mut count) = ([0.0; 2], [0; 2]);
    // The wedge does not depend on y, so a few xz planes show it.
    for y in (0..height).step_by(3) {
        let mut plane: Vec<Complex32> = (0..depth * width)
            .map(|i| {
                let (z, x) = (i / width, i % width);
                let window = hann(z, depth) * hann(x, width);
                Complex32::new(simulation.volume[(z * height + y) * width + x] * window as f32, 0.0)
            })
            .collect();
        across.process(&mut plane);
        for x in 0..width {
            let mut column: Vec<Complex32> = (0..depth).map(|z| plane[z * width + x]).collect();
            through.process(&mut column);
            for (z, value) in column.iter().enumerate() {
                let (kx, kz) = (tilt_series::frequency(x, width), tilt_series::frequency(z, depth));
                let (k, angle) = (kx.hypot(kz), kz.abs().atan2(kx.abs()).to_degrees());
                // Far enough from the origin that the window does not smear one region into the other.
                if !(0.18..0.32).contains(&k) {
                    continue;
                }
                let region = if angle > 60.0 + half_gap_degrees {
                    0
                } else if angle < 60.0 - half_gap_degrees {
                    1
                } else {
                    continue;
                };
                power[region] += f64::from(value.norm_sqr());
                count[region] += 1;
            }
        }
    }
    std::array::from_fn(|region| power[region] / f64::from(count[region]))
}

#[test]
fn the_missing_wedge_is_empty_and_the_rest_is_full() {
    let simulation = run(&SimulationConfig { shape: [64, 40, 64], seed: 2, ..Default::default() });
    let [wedge, measured] = wedge_powers(&simulation, 10.0);
    assert!(wedge < 0.01 * measured, "{wedge} against {measured}");
    // With tilts to 80 degrees nearly all of the same region is measured.
    let mut config = SimulationConfig { shape: [64, 40, 64], seed: 2, ..Default::default() };
    config.imaging.max_tilt_degrees = 80.0;
    let [wedge, measured] = wedge_powers(&run(&config), 10.0);
    assert!(wedge > 0.1 * measured, "{wedge} against {measured}");
}

/// Summing a reconstruction along the beam gives the filtered projection at zero tilt back: with tilts 20 degrees apart no other
/// tilt has spectrum in the plane kz = 0, but for the lowest frequencies.
#[test]
fn the_reconstruction_projects_back_onto_its_images() {
    let mut config = SimulationConfig { shape: [64, 72, 64], seed: 3, noise: 0.0, ..Default::default() };
    config.imaging.tilt_step_degrees = 20.0;
    let specimen = specimen::Specimen::new(&config).expect("room");
    let series = tilt_series::TiltSeries::acquire(&config, &specimen.blobs, |_| ());
    let volume = reconstruction::back_project(&series, config.shape, |_| ());
    let [depth, height, width] = config.shape;
    let middle = series.tilts.iter().position(|&tilt| tilt == 0.0).expect("zero tilt");
    let row_length = tilt_series::OVERSAMPLING * series.geometry.size[0];
    let offset = (series.geometry.axis[0] - series.geometry.middle[0]) * tilt_series::OVERSAMPLING as f64;
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for y in 0..height {
        for x in 0..width {
            let projected: f64 = (0..depth).map(|z| f64::from(volume[(z * height + y) * width + x])).sum();
            let fine = offset + (tilt_series::OVERSAMPLING * x) as f64;
            let line = &series.images[middle][(series.geometry.first_row + y) * row_length..];
            let (below, part) = (fine.floor() as usize, fine.fract() as f32);
            let image = f64::from(line[below] + part * (line[below + 1] - line[below]));
            (xy, xx, yy) = (xy + projected * image, xx + projected * projected, yy + image * image);
        }
    }
    let correlation = xy / (xx * yy).sqrt();
    assert!(correlation > 0.95, "{correlation}");
}

#[test]
fn clutter_is_added_without_labels_and_apart_from_particles() {
    let shape = [40, 110, 110];
    let large = ClutterConfig { proteins: Some(0), filaments: Some(1), membranes: 1, fiducials: 2 };
    let config = SimulationConfig { shape, seed: 8, clutter: large, ..Default::default() };
    let place = |config: &SimulationConfig| specimen::Specimen::new(config).expect("room");
    let full = place(&config);
    let clutter = place(&SimulationConfig { particles_per_class: Some([0; CLASS_COUNT]), ..config.clone() }).blobs;
    assert!(clutter.len() > 500 && full.blobs.len() > clutter.len() && full.positions.len() > 5);
    // Large clutter comes first and is the same with and without particles.
    assert_eq!(full.blobs[..clutter.len()], clutter);
    for particle in &full.positions {
        let [z, y, x] = particle.position.map(|p| p * config.spacing_angstrom);
        let nearest = clutter.iter().map(|blob| distance(blob.centre, [x, y, z])).fold(f64::MAX, f64::min);
        assert!(nearest > 0.6 * SPECIES[particle.class].radius_angstrom, "{particle:?}: {nearest}");
    }
    for only in [
        ClutterConfig { proteins: Some(3), ..ClutterConfig::none() },
        ClutterConfig { filaments: Some(1), ..ClutterConfig::none() },
        ClutterConfig { membranes: 1, ..ClutterConfig::none() },
        ClutterConfig { fiducials: 1, ..ClutterConfig::none() },
    ] {
        let config =
            SimulationConfig { shape, clutter: only.clone(), particles_per_class: Some([0; CLASS_COUNT]), ..Default::default() };
        let specimen = place(&config);
        assert!(specimen.blobs.len() > 20 && specimen.positions.is_empty(), "{only:?}");
    }
}

#[test]
fn no_particles_and_no_noise_give_an_empty_volume() {
    let config = SimulationConfig {
        shape: [16, 20, 20],
        noise: 0.0,
        particles_per_class: Some([0; CLASS_COUNT]),
        clutter: ClutterConfig::none(),
        ..Default::default()
    };
    let simulation = run(&config);
    assert!(simulation.positions.is_empty() && simulation.volume.iter().all(|&value| value == 0.0));
}

#[test]
fn the_smallest_volume_holds_a_particle_and_a_smaller_one_is_refused() {
    let config = SimulationConfig { shape: [13; 3], ..Default::default() };
    let simulation = run(&config);
    assert_eq!(simulation.positions.len(), 1);
    assert!(simulation.volume.iter().all(|value| value.is_finite()));
    let full = ClutterConfig { membranes: 1, filaments: Some(3), fiducials: 3, ..ClutterConfig::none() };
    match simulate(&SimulationConfig { shape: [13; 3], clutter: full, ..Default::default() }, |_| ()) {
        Ok(simulation) => assert_eq!(simulation.positions.len(), 1),
        Err(error) => assert!(matches!(error, SimulationError::TooCrowded { placed: 0, .. }), "{error}"),
    }
    for shape in [[12, 13, 13], [64, 0, 64], [1, 1, 1]] {
        let error = simulate(&SimulationConfig { shape, ..Default::default() }, |_| ()).expect_err("too small");
        assert!(matches!(error, SimulationError::TooSmall { minimum: 13, .. }), "{error}");
    }
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let too_large = [usize::MAX, usize::MAX, usize::MAX];
    for shape in [too_large, [4096, 4096, 4096]] {
        let error = simulate(&SimulationConfig { shape, ..Default::default() }, |_| ()).expect_err("too large");
        assert_eq!(error, SimulationError::TooLarge { shape });
    }
    let mut counts = [0; CLASS_COUNT];
    counts[0] = usize::MAX;
    let crowded = SimulationConfig { shape: [32; 3], particles_per_class: Some(counts), ..Default::default() };
    let error = simulate(&crowded, |_| ()).expect_err("too crowded");
    assert!(matches!(error, SimulationError::TooCrowded { class: "apo-ferritin", placed: 1.., .. }), "{error}");

    let refused = |change: &dyn Fn(&mut SimulationConfig)| {
        let mut config = small(0);
        change(&mut config);
        match simulate(&config, |_| ()) {
            Err(SimulationError::InvalidSetting { name, .. }) => name,
            other => panic!("accepted: {:?}", other.map(|simulation| simulation.shape)),
        }
    };
    assert_eq!(refused(&|c| c.spacing_angstrom = f64::NAN), "spacing_angstrom");
    assert_eq!(refused(&|c| c.spacing_angstrom = 0.0), "spacing_angstrom");
    assert_eq!(refused(&|c| c.noise = -1.0), "noise");
    assert_eq!(refused(&|c| c.noise = f64::INFINITY), "noise");
    assert_eq!(refused(&|c| c.imaging.max_tilt_degrees = 90.0), "max_tilt_degrees");
    assert_eq!(refused(&|c| c.imaging.tilt_step_degrees = 0.0), "tilt_step_degrees");
    assert_eq!(refused(&|c| c.imaging.voltage_kilovolt = 0.0), "voltage_kilovolt");
    assert_eq!(refused(&|c| c.imaging.defocus_angstrom = -1.0), "defocus_angstrom");
    assert_eq!(refused(&|c| c.imaging.defocus_spread_angstrom = 1e9), "defocus_spread_angstrom");
    assert_eq!(refused(&|c| c.imaging.dose_per_tilt = 0.0), "dose_per_tilt");
}
