//! The six classes as clouds of Gaussian blobs, built on the symmetry, size and mass of the real particles.

use std::f64::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rotation::{Matrix, about, apply, group};

/// A spherical Gaussian density.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Blob {
    /// Centre `(x, y, z)` in angstrom.
    pub centre: [f64; 3],
    /// Standard deviation in angstrom.
    pub sigma: f64,
    /// Integral, in cubic angstrom of protein.
    pub mass: f64,
}

/// One class.
pub(super) struct Species {
    pub name: &'static str,
    pub radius_angstrom: f64,
    /// Fewest and most particles in a volume of the default size.
    pub crowding: [f64; 2],
    /// Volume of protein of equal contrast, in cubic angstrom: 1.21 A^3 per dalton of protein (Harpaz, Gerstein and Chothia,
    /// Structure 2, 1994), more where there is RNA or a glycan, and for beta-galactosidase, whose real interior has more texture.
    pub mass: f64,
    shape: fn() -> Vec<Blob>,
}

/// The classes, in alphabetical order.
pub(super) const SPECIES: [Species; 6] = [
    Species { name: "apo-ferritin", radius_angstrom: 60.0, crowding: [16.0, 46.0], mass: 5.8e5, shape: apo_ferritin },
    Species { name: "beta-galactosidase", radius_angstrom: 90.0, crowding: [10.0, 34.0], mass: 6.6e5, shape: beta_galactosidase },
    Species { name: "proteasome", radius_angstrom: 75.0, crowding: [12.0, 24.0], mass: 8.5e5, shape: proteasome },
    Species { name: "ribosome", radius_angstrom: 150.0, crowding: [13.0, 28.0], mass: 5.0e6, shape: ribosome },
    Species { name: "thyroglobulin", radius_angstrom: 130.0, crowding: [13.0, 30.0], mass: 8.4e5, shape: thyroglobulin },
    Species {
        name: "virus-like-particle",
        radius_angstrom: 135.0,
        crowding: [2.0, 12.0],
        mass: 4.1e6,
        shape: virus_like_particle,
    },
];

impl Species {
    /// The reference structure, its centre of mass at the origin and its masses adding up to [`Species::mass`].
    pub fn structure(&self) -> Vec<Blob> {
        let mut blobs = (self.shape)();
        finish(&mut blobs, self.mass);
        blobs
    }
}

/// Moves the centre of mass to the origin and scales the masses to add up to `mass`.
pub(super) fn finish(blobs: &mut [Blob], mass: f64) {
    let total: f64 = blobs.iter().map(|blob| blob.mass).sum();
    let centre: [f64; 3] =
        std::array::from_fn(|axis| blobs.iter().map(|blob| blob.mass * blob.centre[axis]).sum::<f64>() / total);
    for blob in blobs {
        blob.mass *= mass / total;
        blob.centre = std::array::from_fn(|axis| blob.centre[axis] - centre[axis]);
    }
}

/// An ellipsoid to be filled, centre and semi-axes `(x, y, z)` in angstrom.
pub(super) struct Ellipsoid {
    pub centre: [f64; 3],
    pub axes: [f64; 3],
    /// Mass of its blobs relative to the others.
    pub weight: f64,
}

impl Ellipsoid {
    pub const fn new(centre: [f64; 3], axes: [f64; 3], weight: f64) -> Self {
        Self { centre, axes, weight }
    }

    fn contains(&self, p: [f64; 3]) -> bool {
        (0..3).map(|axis| ((p[axis] - self.centre[axis]) / self.axes[axis]).powi(2)).sum::<f64>() <= 1.0
    }
}

/// Fills ellipsoids with blobs at random places, none nearer to another than `spacing` angstrom: the lumpy texture of protein
/// domains.
pub(super) fn fill(ellipsoids: &[Ellipsoid], spacing: f64, sigma: f64, rng: &mut ChaCha8Rng) -> Vec<Blob> {
    let mut blobs: Vec<Blob> = Vec::new();
    for ellipsoid in ellipsoids {
        let volume = TAU * 2.0 / 3.0 * ellipsoid.axes.iter().product::<f64>();
        // Thirty tries per place bring random packing close to saturation.
        let tries = (30.0 * volume / spacing.powi(3)).ceil() as usize + 30;
        for _ in 0..tries {
            let centre: [f64; 3] =
                std::array::from_fn(|axis| ellipsoid.centre[axis] + ellipsoid.axes[axis] * rng.random_range(-1.0..1.0));
            let free = |blob: &Blob| crate::geometry::distance(blob.centre, centre) >= spacing;
            if ellipsoid.contains(centre) && blobs.iter().all(free) {
                blobs.push(Blob { centre, sigma, mass: ellipsoid.weight });
            }
        }
    }
    blobs
}

fn replicate(unit: &[Blob], symmetry: &[Matrix]) -> Vec<Blob> {
    symmetry.iter().flat_map(|m| unit.iter().map(move |blob| Blob { centre: apply(m, blob.centre), ..*blob })).collect()
}

/// Two unit vectors that are perpendicular to `v` and to each other.
pub(super) fn perpendicular(v: [f64; 3]) -> ([f64; 3], [f64; 3]) {
    let helper = if v[2].abs() < 0.8 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] };
    let a = unit(cross(v, helper));
    (a, unit(cross(v, a)))
}

pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = v.iter().map(|a| a * a).sum::<f64>().sqrt();
    v.map(|a| a / length)
}

fn add(a: [f64; 3], b: [f64; 3], scale: f64) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] + scale * b[axis])
}

/// Symmetry O: 24 four-helix bundles as a hollow shell of outer radius 60 A, arranged as the corners of a snub cube.
fn apo_ferritin() -> Vec<Blob> {
    // The tribonacci constant gives the corners of the snub cube.
    const T: f64 = 1.839_286_755_214_161;
    let outward = unit([1.0, 1.0 / T, T]);
    let (a, b) = perpendicular(outward);
    let along = add(a.map(|v| 0.6 * v), b, 0.8);
    let mut bundle = Vec::new();
    for step in -2..=2 {
        let centre = add(outward.map(|v| 50.0 * v), along, 9.0 * f64::from(step));
        // Bend the bundle along the shell.
        bundle.push(Blob { centre: unit(centre).map(|v| 50.0 * v), sigma: 6.5, mass: 1.0 });
    }
    replicate(&bundle, &group(&[about([0.0, 0.0, 1.0], TAU / 4.0), about([1.0, 1.0, 1.0], TAU / 3.0)]))
}

/// Symmetry D7: the 20S core, four stacked rings of seven, 150 A long and 115 A wide with a hollow axis.
fn proteasome() -> Vec<Blob> {
    let mut unit_cell = Vec::new();
    for (height, ring_radius, turn) in [(55.0, 36.0, 0.0), (19.0, 40.0, TAU / 28.0)] {
        // A globular subunit of about 40 A: a centre and six corners.
        let corners =
            [[11.0, 0.0, 0.0], [-9.0, 0.0, 0.0], [0.0, 11.0, 0.0], [0.0, -11.0, 0.0], [0.0, 0.0, 11.0], [0.0, 0.0, -11.0]];
        for offset in [[0.0; 3]].iter().chain(&corners) {
            let placed = [ring_radius + offset[0], offset[1], height + offset[2]];
            unit_cell.push(Blob { centre: apply(&about([0.0, 0.0, 1.0], turn), placed), sigma: 6.5, mass: 1.0 });
        }
    }
    replicate(&unit_cell, &group(&[about([0.0, 0.0, 1.0], TAU / 7.0), about([1.0, 0.0, 0.0], TAU / 2.0)]))
}

/// Symmetry I: a T = 4 capsid, 12 pentamers on the icosahedron's corners and 30 hexamers on its edges make 240 subunits.
fn virus_like_particle() -> Vec<Blob> {
    let golden = (1.0 + 5f64.sqrt()) / 2.0;
    let icosahedral = group(&[about([0.0, 1.0, golden], TAU / 5.0), about([1.0, 1.0, 1.0], TAU / 3.0)]);
    let pentamer = unit([0.0, 1.0, golden]);
    let hexamer = [0.0, 0.0, 1.0];
    // Neighbouring capsomers are 32 to 36 degrees apart; a subunit stands a bit less than half way.
    let subunit = |capsomer: [f64; 3], azimuth: f64, tilt: f64| {
        let (a, _) = perpendicular(capsomer);
        apply(&about(capsomer, azimuth), apply(&about(a, tilt), capsomer))
    };
    let mut directions = vec![subunit(pentamer, 0.3, 11f64.to_radians())];
    for third in 0..3 {
        // A hexamer sits on a two-fold axis, which makes the other three of its six.
        directions.push(subunit(hexamer, 0.3 + TAU / 6.0 * f64::from(third), 12f64.to_radians()));
    }
    let unit_cell: Vec<Blob> = directions
        .iter()
        .flat_map(|direction| [122.0, 134.0].map(|radius| Blob { centre: direction.map(|v| radius * v), sigma: 6.5, mass: 1.0 }))
        .collect();
    replicate(&unit_cell, &icosahedral)
}

/// Symmetry D2: four domains, 175 x 135 x 90 A.
fn beta_galactosidase() -> Vec<Blob> {
    let domain =
        [Ellipsoid::new([29.0, 24.0, 7.0], [25.0, 24.0, 24.0], 2.1), Ellipsoid::new([62.0, 34.0, 10.0], [20.0, 20.0, 20.0], 1.0)];
    let unit_cell = fill(&domain, 13.0, 6.0, &mut ChaCha8Rng::seed_from_u64(0x6761_6c61));
    replicate(&unit_cell, &group(&[about([0.0, 0.0, 1.0], TAU / 2.0), about([1.0, 0.0, 0.0], TAU / 2.0)]))
}

/// Symmetry C2: two irregular lobes of a core, an arm and a foot each, 250 A long.
fn thyroglobulin() -> Vec<Blob> {
    let lobe = [
        Ellipsoid::new([36.0, 14.0, 4.0], [25.0, 32.0, 32.0], 1.6),
        Ellipsoid::new([86.0, -18.0, 10.0], [36.0, 20.0, 18.0], 0.8),
        Ellipsoid::new([14.0, 44.0, -22.0], [24.0, 22.0, 22.0], 1.4),
    ];
    let unit_cell = fill(&lobe, 13.0, 6.0, &mut ChaCha8Rng::seed_from_u64(0x7468_7972));
    replicate(&unit_cell, &group(&[about([0.0, 0.0, 1.0], TAU / 2.0)]))
}

/// No symmetry: a large subunit with central protuberance and two stalks, a cleft, and a small subunit with body, platform, head
/// and beak; 290 A across. The cores are RNA and denser than the rest.
fn ribosome() -> Vec<Blob> {
    let parts = [
        Ellipsoid::new([0.0, 0.0, 46.0], [74.0, 66.0, 44.0], 1.2),
        Ellipsoid::new([0.0, 0.0, 44.0], [114.0, 102.0, 66.0], 1.0),
        Ellipsoid::new([10.0, 98.0, 32.0], [28.0, 34.0, 28.0], 1.0),
        Ellipsoid::new([116.0, 30.0, 26.0], [32.0, 17.0, 17.0], 1.0),
        Ellipsoid::new([-110.0, 38.0, 28.0], [34.0, 24.0, 22.0], 1.0),
        Ellipsoid::new([-8.0, -34.0, -76.0], [62.0, 68.0, 38.0], 1.2),
        Ellipsoid::new([44.0, -4.0, -70.0], [38.0, 38.0, 30.0], 1.0),
        Ellipsoid::new([-4.0, 68.0, -78.0], [50.0, 38.0, 36.0], 1.2),
        Ellipsoid::new([-58.0, 62.0, -72.0], [30.0, 15.0, 15.0], 1.0),
    ];
    fill(&parts, 18.0, 7.5, &mut ChaCha8Rng::seed_from_u64(0x7269_626f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::distance;

    fn species(name: &str) -> &'static Species {
        SPECIES.iter().find(|species| species.name == name).expect("a class of the list")
    }

    #[test]
    fn structures_are_centred_and_reach_their_radius() {
        for species in &SPECIES {
            let blobs = species.structure();
            let mass: f64 = blobs.iter().map(|blob| blob.mass).sum();
            assert!((mass / species.mass - 1.0).abs() < 1e-9, "{}", species.name);
            for axis in 0..3 {
                let moment: f64 = blobs.iter().map(|blob| blob.mass * blob.centre[axis]).sum();
                assert!((moment / mass).abs() < 1e-6, "{}", species.name);
            }
            // The surface is about one deviation beyond a blob's centre. The radius of the proteasome is half its length.
            let reach = blobs.iter().map(|blob| distance(blob.centre, [0.0; 3]) + blob.sigma).fold(0.0, f64::max);
            let ratio = reach / species.radius_angstrom;
            assert!((0.9..1.1).contains(&ratio), "{}: {ratio}", species.name);
        }
    }

    #[test]
    fn capsid_and_ferritin_are_hollow_shells_of_the_right_number_of_subunits() {
        for (name, blobs_per_subunit, subunits, hollow) in [("virus-like-particle", 2, 240, 110.0), ("apo-ferritin", 5, 24, 45.0)]
        {
            let blobs = species(name).structure();
            assert_eq!(blobs.len(), blobs_per_subunit * subunits);
            assert!(blobs.iter().all(|blob| distance(blob.centre, [0.0; 3]) > hollow), "{name}");
        }
        // No two subunits of the capsid coincide, which a wrong asymmetric unit would cause.
        let capsid = species("virus-like-particle").structure();
        let closest = (0..capsid.len())
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| distance(capsid[i].centre, capsid[j].centre))
            .fold(f64::MAX, f64::min);
        assert!(closest > 10.0, "{closest}");
    }

    #[test]
    fn symmetric_particles_look_the_same_after_their_rotations() {
        for (name, axis, fold) in [
            ("apo-ferritin", [1.0, 1.0, 1.0], 3.0),
            ("proteasome", [0.0, 0.0, 1.0], 7.0),
            ("beta-galactosidase", [0.0, 1.0, 0.0], 2.0),
        ] {
            let blobs = species(name).structure();
            let turn = about(axis, TAU / fold);
            for blob in &blobs {
                let image = apply(&turn, blob.centre);
                assert!(blobs.iter().any(|other| distance(other.centre, image) < 1e-6), "{name}");
            }
        }
    }
}
