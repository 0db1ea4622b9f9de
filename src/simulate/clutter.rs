//! Things in the ice that nobody labels.

use std::f64::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::ClutterConfig;
use super::placement::Placement;
use super::rotation::{about, apply, matrix, random_direction, random_quaternion};
use super::shapes::{Blob, Ellipsoid, fill, finish, perpendicular, unit};

/// Unlabelled proteins in a volume of the default size.
const PROTEINS: f64 = 60.0;
/// Filaments in a volume of the default size.
const FILAMENTS: f64 = 2.0;
/// Tries before a filament or a membrane is given up.
const TRIES: usize = 60;
/// Mean inner potential of gold above ice over that of protein above ice.
const GOLD_PER_PROTEIN: f64 = 9.0;

/// Large clutter, to be placed before the particles while there is room; `size_ratio` is the volume over that of the default size.
pub(super) fn place_large(config: &ClutterConfig, size_ratio: f64, placement: &mut Placement, rng: &mut ChaCha8Rng) -> Vec<Blob> {
    let mut blobs = Vec::new();
    for _ in 0..config.membranes {
        blobs.extend((0..TRIES).find_map(|_| try_chain(membrane(placement, rng), 30.0, placement)).unwrap_or_default());
    }
    for _ in 0..config.filaments.unwrap_or_else(|| (FILAMENTS * size_ratio).round() as usize) {
        blobs.extend((0..TRIES).find_map(|_| try_chain(filament(placement, rng), 45.0, placement)).unwrap_or_default());
    }
    for _ in 0..config.fiducials {
        if let Some(place) = placement.place(50.0, rng) {
            let mut bead = fill(&[Ellipsoid::new([0.0; 3], [45.0; 3], 1.0)], 12.0, 6.0, rng);
            finish(&mut bead, 4.0 / 3.0 * PI * 50f64.powi(3) * GOLD_PER_PROTEIN);
            blobs.extend(moved(&bead, place));
        }
    }
    blobs
}

/// Small proteins, to be placed in what room the particles leave; `size_ratio` as in [`place_large`].
pub(super) fn place_proteins(
    config: &ClutterConfig,
    size_ratio: f64,
    placement: &mut Placement,
    rng: &mut ChaCha8Rng,
) -> Vec<Blob> {
    let wanted = config.proteins.unwrap_or_else(|| (PROTEINS * size_ratio).round() as usize);
    let mut blobs = Vec::new();
    for _ in 0..wanted {
        let radius = rng.random_range(30.0..60.0);
        let Some(place) = placement.place(radius, rng) else { break };
        blobs.extend(moved(&protein(radius, rng), place));
    }
    blobs
}

fn moved(blobs: &[Blob], to: [f64; 3]) -> impl Iterator<Item = Blob> + '_ {
    blobs.iter().map(move |blob| Blob { centre: std::array::from_fn(|axis| blob.centre[axis] + to[axis]), ..*blob })
}

/// A compact protein of its own shape: two or three domains within `radius` angstrom.
fn protein(radius: f64, rng: &mut ChaCha8Rng) -> Vec<Blob> {
    let domains = 2 + usize::from(rng.random_bool(0.5));
    let parts: Vec<Ellipsoid> = (0..domains)
        .map(|_| {
            let axes: [f64; 3] = std::array::from_fn(|_| radius * rng.random_range(0.35..0.6));
            let reach = radius - axes.iter().fold(0.0, |a: f64, &b| a.max(b));
            Ellipsoid::new(random_direction(rng).map(|v| v * reach), axes, rng.random_range(0.8..1.2))
        })
        .collect();
    let mut blobs = fill(&parts, 13.0, 6.5, rng);
    // A blob stands for a cube of its spacing, filled as densely as random packing fills it.
    let mass = 1.3e3 * blobs.len() as f64;
    finish(&mut blobs, mass);
    let turn = matrix(random_quaternion(rng));
    blobs.iter().map(|blob| Blob { centre: apply(&turn, blob.centre), ..*blob }).collect()
}

/// Blobs, and the centres of the spheres that they occupy.
struct Chain {
    blobs: Vec<Blob>,
    spheres: Vec<[f64; 3]>,
}

/// Takes the chain's spheres when all of them are free.
fn try_chain(chain: Chain, radius: f64, placement: &mut Placement) -> Option<Vec<Blob>> {
    if chain.spheres.is_empty() || !chain.spheres.iter().all(|&sphere| placement.is_free(sphere, radius)) {
        return None;
    }
    for sphere in chain.spheres {
        placement.take(sphere, radius);
    }
    Some(chain.blobs)
}

fn inside(placement: &Placement, position: [f64; 3]) -> bool {
    position.iter().zip(placement.extent()).all(|(&p, length)| (0.0..=length).contains(&p))
}

/// A straight filament with the helix of F-actin: a subunit of 42 kDa every 27.5 A, turned by -166.7 degrees.
fn filament(placement: &Placement, rng: &mut ChaCha8Rng) -> Chain {
    let middle = placement.random(rng);
    // Filaments lie in the ice rather than across it.
    let azimuth = rng.random_range(0.0..TAU);
    let axis = unit([azimuth.cos(), azimuth.sin(), rng.random_range(-0.15..0.15)]);
    let (side, _) = perpendicular(axis);
    let subunits: i32 = rng.random_range(24..=55);
    let mut chain = Chain { blobs: Vec::new(), spheres: Vec::new() };
    for index in 0..subunits {
        let along = 27.5 * (f64::from(index) - 0.5 * f64::from(subunits - 1));
        let on_axis: [f64; 3] = std::array::from_fn(|k| middle[k] + along * axis[k]);
        if !inside(placement, on_axis) {
            continue;
        }
        chain.spheres.push(on_axis);
        let outward = apply(&about(axis, -166.7f64.to_radians() * f64::from(index)), side);
        for (out, up) in [(12.0, 0.0), (24.0, 0.0), (18.0, 11.0), (18.0, -11.0)] {
            let centre = std::array::from_fn(|k| on_axis[k] + out * outward[k] + up * axis[k]);
            chain.blobs.push(Blob { centre, sigma: 7.0, mass: 51e3 / 4.0 });
        }
    }
    chain
}

/// A cap of a vesicle: two leaflets of lipid heads 38 A apart.
fn membrane(placement: &Placement, rng: &mut ChaCha8Rng) -> Chain {
    const SPACING: f64 = 13.0;
    let radius: f64 = rng.random_range(350.0..700.0);
    let half_width: f64 = rng.random_range(200.0..350.0);
    let top = placement.random(rng);
    let azimuth = rng.random_range(0.0..TAU);
    // Mostly upright, where the missing wedge leaves a membrane visible.
    let outward = unit([azimuth.cos(), azimuth.sin(), rng.random_range(-0.5..0.5)]);
    let (a, b) = perpendicular(outward);
    let lowest = (half_width / radius).cos();
    let mut chain = Chain { blobs: Vec::new(), spheres: Vec::new() };
    for (shell, with_spheres) in [(radius - 19.0, true), (radius + 19.0, false)] {
        let points = (TAU * shell * shell * (1.0 - lowest) / (SPACING * SPACING)).ceil() as usize;
        for index in 0..points {
            // A Fibonacci lattice spreads points evenly over a cap.
            let height = 1.0 - (1.0 - lowest) * (index as f64 + 0.5) / points as f64;
            let turn = PI * (3.0 - 5f64.sqrt()) * index as f64;
            let ring = (1.0 - height * height).sqrt();
            let direction: [f64; 3] =
                std::array::from_fn(|k| height * outward[k] + ring * (turn.cos() * a[k] + turn.sin() * b[k]));
            let at = |r: f64| std::array::from_fn(|k| top[k] - radius * outward[k] + r * direction[k]);
            let centre = at(shell);
            if !inside(placement, centre) {
                continue;
            }
            // Heads are 10 A thick and somewhat denser than protein.
            chain.blobs.push(Blob { centre, sigma: 5.5, mass: SPACING * SPACING * 10.0 * 1.3 });
            if with_spheres && index % 6 == 0 {
                chain.spheres.push(at(radius));
            }
        }
    }
    chain
}
