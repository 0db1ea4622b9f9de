//! Rotations of `(x, y, z)` vectors.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// A rotation matrix, rows first.
pub(super) type Matrix = [[f64; 3]; 3];

pub(super) const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

pub(super) fn apply(m: &Matrix, v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|row| m[row][0] * v[0] + m[row][1] * v[1] + m[row][2] * v[2])
}

fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| (0..3).map(|k| a[row][k] * b[k][column]).sum()))
}

/// The rotation by `angle` radians about `axis`, which need not have unit length (Rodrigues' formula, as a quaternion).
pub(super) fn about(axis: [f64; 3], angle: f64) -> Matrix {
    let length = axis.iter().map(|a| a * a).sum::<f64>().sqrt();
    let scale = (angle / 2.0).sin() / length;
    matrix([axis[0] * scale, axis[1] * scale, axis[2] * scale, (angle / 2.0).cos()])
}

/// The matrix of a unit quaternion `(x, y, z, w)`.
pub(super) fn matrix([x, y, z, w]: [f64; 4]) -> Matrix {
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
        [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
        [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

/// A uniformly distributed unit quaternion `(x, y, z, w)` (Shoemake, Graphics Gems III, 1992).
pub(super) fn random_quaternion(rng: &mut ChaCha8Rng) -> [f64; 4] {
    let (u, a, b): (f64, f64, f64) = (rng.random(), TAU * rng.random::<f64>(), TAU * rng.random::<f64>());
    let (p, q) = ((1.0 - u).sqrt(), u.sqrt());
    [p * a.sin(), p * a.cos(), q * b.sin(), q * b.cos()]
}

/// A uniformly distributed unit vector (Archimedes: the height on a sphere is uniform).
pub(super) fn random_direction(rng: &mut ChaCha8Rng) -> [f64; 3] {
    let (z, azimuth): (f64, f64) = (rng.random_range(-1.0..1.0), TAU * rng.random::<f64>());
    let r = (1.0 - z * z).sqrt();
    [r * azimuth.cos(), r * azimuth.sin(), z]
}

/// The finite group of rotations that `generators` span.
pub(super) fn group(generators: &[Matrix]) -> Vec<Matrix> {
    let mut elements = vec![IDENTITY];
    let mut next = 0;
    while next < elements.len() {
        for generator in generators {
            let product = multiply(generator, &elements[next]);
            let known = |m: &Matrix| m.iter().flatten().zip(product.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6);
            if !elements.iter().any(known) {
                elements.push(product);
            }
        }
        next += 1;
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn point_groups_have_their_order() {
        let golden = (1.0 + 5f64.sqrt()) / 2.0;
        assert_eq!(group(&[about([0.0, 0.0, 1.0], TAU / 7.0), about([1.0, 0.0, 0.0], TAU / 2.0)]).len(), 14);
        assert_eq!(group(&[about([0.0, 0.0, 1.0], TAU / 4.0), about([1.0, 1.0, 1.0], TAU / 3.0)]).len(), 24);
        assert_eq!(group(&[about([0.0, 1.0, golden], TAU / 5.0), about([1.0, 1.0, 1.0], TAU / 3.0)]).len(), 60);
    }

    #[test]
    fn a_quarter_turn_about_z_takes_x_to_y() {
        let turned = apply(&about([0.0, 0.0, 2.0], TAU / 4.0), [1.0, 0.0, 0.0]);
        assert!((turned[0]).abs() < 1e-12 && (turned[1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn orientations_are_uniform() {
        // The image of any axis is uniform on the sphere: mean 0 and mean square 1/3 in every coordinate.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (n, mut mean, mut square) = (20_000, [0.0; 3], [0.0; 3]);
        for _ in 0..n {
            let quaternion = random_quaternion(&mut rng);
            assert!((quaternion.iter().map(|q| q * q).sum::<f64>() - 1.0).abs() < 1e-12);
            let v = apply(&matrix(quaternion), [1.0, 0.0, 0.0]);
            for axis in 0..3 {
                mean[axis] += v[axis] / n as f64;
                square[axis] += v[axis] * v[axis] / n as f64;
            }
        }
        for axis in 0..3 {
            assert!(mean[axis].abs() < 0.015, "{mean:?}");
            assert!((square[axis] - 1.0 / 3.0).abs() < 0.01, "{square:?}");
        }
    }
}
