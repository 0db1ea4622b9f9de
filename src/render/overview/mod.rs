//! Every label and pick of a tomogram at once, in three dimensions: an orthographic view that turns about the tomogram's middle.
//!
//! [`Orbit`] is where one looks from, [`Projection`] the map from voxels to the pane that follows from it; the shader computes the
//! same map from the same rows. Points are drawn by [`gpu`] with a depth test into a picture of their own, which is drawn anew only
//! when the points, the direction or the size change; while slices scroll it is only copied.

pub mod gpu;

use egui::{Pos2, Rect, Vec2, vec2};

/// One point, as the shader reads it.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct OverviewPoint {
    /// Continuous voxel index `(x, y, z)`, and the radius in voxels.
    pub place: [f32; 4],
    /// Colour in sRGB and opacity, 0 to 255, not premultiplied.
    pub colour: [u8; 4],
    /// An [`OverviewShape`], plus [`OverviewPoint::HOLLOW`] for a ring.
    pub shape: u32,
}

impl OverviewPoint {
    /// Added to the shape of points of which only the outline is drawn: picks.
    pub const HOLLOW: u32 = 16;
}

/// The outline of a point: the second cue besides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverviewShape {
    /// A shaded sphere.
    Sphere = 0,
    /// A square.
    Square = 1,
    /// A square on its corner.
    Diamond = 2,
    /// A triangle.
    Triangle = 3,
    /// A cross: "not a particle".
    Cross = 4,
}

impl OverviewShape {
    /// The shape of the class at `index`; repeats after four.
    pub fn of_class(index: usize) -> Self {
        [Self::Sphere, Self::Square, Self::Diamond, Self::Triangle][index % 4]
    }
}

/// Where one looks from. All angles in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orbit {
    /// Turn about the vertical of the screen.
    pub yaw: f64,
    /// Turn about the horizontal of the screen, between straight from above and from below.
    pub pitch: f64,
    /// Magnification; at 1 the tomogram fits whatever the direction.
    pub zoom: f64,
    /// Shift in screen points.
    pub pan: [f64; 2],
}

impl Default for Orbit {
    /// From a little above and aside, so that all three directions show.
    fn default() -> Self {
        Self { yaw: 0.5, pitch: -0.95, zoom: 1.0, pan: [0.0; 2] }
    }
}

/// Turn for a drag of one point.
const RADIANS_PER_POINT: f64 = 0.008;
/// Smallest and largest magnification.
const ZOOMS: std::ops::RangeInclusive<f64> = 0.3..=200.0;

impl Orbit {
    /// Turns by a drag on the screen: what is in front follows the pointer.
    pub fn turn(&mut self, delta: Vec2) {
        self.yaw = (self.yaw - f64::from(delta.x) * RADIANS_PER_POINT).rem_euclid(std::f64::consts::TAU);
        let quarter = std::f64::consts::FRAC_PI_2;
        self.pitch = (self.pitch + f64::from(delta.y) * RADIANS_PER_POINT).clamp(-quarter, quarter);
    }

    /// Shifts by a drag on the screen.
    pub fn shift(&mut self, delta: Vec2) {
        self.pan[0] += f64::from(delta.x);
        self.pan[1] += f64::from(delta.y);
    }

    /// Magnifies by `factor` and keeps what lies at `offset`, in points from the pane's middle, in place.
    pub fn zoom_at(&mut self, offset: Vec2, factor: f64) {
        let before = self.zoom;
        self.zoom = (self.zoom * factor).clamp(*ZOOMS.start(), *ZOOMS.end());
        let ratio = self.zoom / before;
        for axis in 0..2 {
            let at = f64::from(offset[axis]);
            self.pan[axis] = at - (at - self.pan[axis]) * ratio;
        }
    }

    /// The map for a tomogram of `shape` `(z, y, x)` voxels in a pane of `size` points.
    ///
    /// With `c` the tomogram's middle, a voxel index `p` (x, y, z) is turned as `Rx(pitch) Ry(yaw) (p - c)`: x runs to the right,
    /// y down and z away from the viewer, as in the XY view where both angles are 0.
    pub fn projection(&self, shape: [usize; 3], size: Vec2) -> Projection {
        let extent = [shape[2], shape[1], shape[0]].map(|n| n.max(1) as f64);
        let centre = extent.map(|n| (n - 1.0) / 2.0);
        let diagonal = extent.iter().map(|n| n * n).sum::<f64>().sqrt();
        let points_per_voxel = 0.94 * f64::from(size.x.min(size.y).max(1.0)) / diagonal * self.zoom;
        let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (self.yaw.sin_cos(), self.pitch.sin_cos());
        let turn = [
            [cos_yaw, 0.0, sin_yaw],
            [sin_pitch * sin_yaw, cos_pitch, -sin_pitch * cos_yaw],
            [-cos_pitch * sin_yaw, sin_pitch, cos_pitch * cos_yaw],
        ];
        // Depth runs from 0 at the nearest to 1 at the farthest corner in any direction.
        let scales = [points_per_voxel, points_per_voxel, 1.0 / diagonal];
        let shifts = [self.pan[0], self.pan[1], 0.5];
        let rows = [0, 1, 2].map(|row: usize| {
            let [x, y, z] = turn[row].map(|weight| weight * scales[row]);
            [x, y, z, shifts[row] - x * centre[0] - y * centre[1] - z * centre[2]]
        });
        Projection { rows, points_per_voxel }
    }
}

/// A map from voxel indices to a pane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// Each row times `(x, y, z, 1)` gives: points to the right of the pane's middle, points below it, depth from 0 (near) to 1.
    pub rows: [[f64; 4]; 3],
    /// Magnification, the same for every depth.
    pub points_per_voxel: f64,
}

impl Projection {
    /// Offset in points from the pane's middle, and depth, of a continuous voxel index `(z, y, x)`.
    pub fn project(&self, [z, y, x]: [f64; 3]) -> (Vec2, f64) {
        let [right, down, depth] = self.rows.map(|row| row[0] * x + row[1] * y + row[2] * z + row[3]);
        (vec2(right as f32, down as f32), depth)
    }

    /// Screen position of a voxel index in a pane.
    pub fn screen(&self, pane: Rect, index: [f64; 3]) -> Pos2 {
        pane.center() + self.project(index).0
    }

    /// The radius in points at which a point of `radius_voxels` is drawn, never too small to see.
    pub fn radius(&self, radius_voxels: f64) -> f64 {
        (radius_voxels * self.points_per_voxel).max(LEAST_RADIUS)
    }

    /// Of the points whose picture lies under `offset`, the one in front; points within a few screen points count as well when there
    /// is none. Returns its place in the list.
    pub fn hit(&self, points: &[OverviewPoint], offset: Vec2) -> Option<usize> {
        let mut inside: Option<(f64, usize)> = None;
        let mut near: Option<(f64, usize)> = None;
        for (index, point) in points.iter().enumerate() {
            let [x, y, z, radius] = point.place.map(f64::from);
            let (at, depth) = self.project([z, y, x]);
            let away = f64::from((at - offset).length());
            if away <= self.radius(radius) && inside.is_none_or(|(best, _)| depth < best) {
                inside = Some((depth, index));
            }
            if away <= REACH && near.is_none_or(|(best, _)| away < best) {
                near = Some((away, index));
            }
        }
        inside.or(near).map(|(_, index)| index)
    }
}

/// Smallest radius of a point on the screen, in points; the shader keeps to it too.
pub const LEAST_RADIUS: f64 = 1.75;
/// How far from a point a click may be, in points.
const REACH: f64 = 7.0;

/// The twelve edges of a box of voxels as pairs of corners, voxel indices `(z, y, x)` of the voxels' outer faces.
pub fn box_edges(start: [usize; 3], end: [usize; 3]) -> [[[f64; 3]; 2]; 12] {
    let corner = |bits: usize| -> [f64; 3] {
        std::array::from_fn(|axis| if bits >> axis & 1 == 0 { start[axis] as f64 - 0.5 } else { end[axis] as f64 - 0.5 })
    };
    let mut edges = [[[0.0; 3]; 2]; 12];
    let mut count = 0;
    for bits in 0..8 {
        for axis in 0..3 {
            if bits >> axis & 1 == 0 {
                edges[count] = [corner(bits), corner(bits | 1 << axis)];
                count += 1;
            }
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use egui::pos2;

    use super::*;

    const SHAPE: [usize; 3] = [100, 200, 300];

    fn straight() -> Orbit {
        Orbit { yaw: 0.0, pitch: 0.0, ..Orbit::default() }
    }

    #[test]
    fn without_a_turn_it_is_the_xy_view() {
        let projection = straight().projection(SHAPE, vec2(400.0, 300.0));
        let middle = [49.5, 99.5, 149.5];
        assert!(projection.project(middle).0.length() < 1e-4);
        assert!((projection.project(middle).1 - 0.5).abs() < 1e-9);
        let scale = projection.points_per_voxel as f32;
        let (right, _) = projection.project([49.5, 99.5, 159.5]);
        assert!((right - vec2(10.0 * scale, 0.0)).length() < 1e-3);
        let (down, _) = projection.project([49.5, 109.5, 149.5]);
        assert!((down - vec2(0.0, 10.0 * scale)).length() < 1e-3);
        let (same, farther) = projection.project([90.0, 99.5, 149.5]);
        assert!(same.length() < 1e-3 && farther > 0.5, "z runs away from the viewer");
    }

    #[test]
    fn the_whole_box_fits_from_every_side_and_its_depth_is_between_0_and_1() {
        let size = vec2(320.0, 240.0);
        for yaw in 0..12 {
            for pitch in -3..=3 {
                let orbit = Orbit { yaw: f64::from(yaw) * 0.6, pitch: f64::from(pitch) * 0.5, ..Orbit::default() };
                let projection = orbit.projection(SHAPE, size);
                for [from, to] in box_edges([0; 3], SHAPE) {
                    for corner in [from, to] {
                        let (at, depth) = projection.project(corner);
                        assert!(at.x.abs() <= 160.0 && at.y.abs() <= 120.0, "{orbit:?} {at:?}");
                        assert!((0.0..=1.0).contains(&depth));
                    }
                }
            }
        }
    }

    #[test]
    fn turning_keeps_distances_and_what_is_in_front_follows_the_pointer() {
        let mut orbit = straight();
        orbit.turn(vec2(50.0, 30.0));
        let projection = orbit.projection(SHAPE, vec2(400.0, 300.0));
        // Rows are orthogonal and of one length.
        let [right, down, _] = projection.rows;
        let dot: f64 = (0..3).map(|axis| right[axis] * down[axis]).sum();
        assert!(dot.abs() < 1e-9);
        for row in [right, down] {
            let length = (0..3).map(|axis| row[axis] * row[axis]).sum::<f64>().sqrt();
            assert!((length - projection.points_per_voxel).abs() < 1e-9);
        }
        let near = projection.project([0.0, 99.5, 149.5]).0;
        assert!(near.x > 0.0 && near.y > 0.0, "the near face moved with the drag: {near:?}");
        orbit.turn(vec2(0.0, 1e6));
        assert!(orbit.pitch.abs() <= std::f64::consts::FRAC_PI_2);
    }

    #[test]
    fn zooming_keeps_what_is_under_the_pointer() {
        let mut orbit = Orbit::default();
        let size = vec2(400.0, 300.0);
        let index = [30.0, 150.0, 80.0];
        let before = orbit.projection(SHAPE, size).project(index).0;
        orbit.zoom_at(before, 2.5);
        let after = orbit.projection(SHAPE, size).project(index).0;
        assert!((before - after).length() < 1e-2, "{before:?} {after:?}");
        orbit.shift(vec2(5.0, -7.0));
        let pane = Rect::from_min_size(pos2(10.0, 20.0), size);
        let moved = orbit.projection(SHAPE, size).screen(pane, index) - pane.center();
        assert!((moved - before - vec2(5.0, -7.0)).length() < 1e-2);
        orbit.zoom_at(Vec2::ZERO, 1e12);
        assert!(orbit.zoom <= 200.0);
    }

    #[test]
    fn a_click_takes_the_point_in_front_and_reaches_a_little_beyond_small_ones() {
        let point = |z: f32, x: f32, radius: f32| OverviewPoint { place: [x, 99.5, z, radius], colour: [255; 4], shape: 0 };
        let points = [point(80.0, 149.5, 8.0), point(10.0, 149.5, 8.0), point(49.5, 220.0, 1.0)];
        let projection = straight().projection(SHAPE, vec2(400.0, 300.0));
        assert_eq!(projection.hit(&points, vec2(1.0, 1.0)), Some(1));
        let small = projection.project([49.5, 99.5, 220.0]).0;
        assert_eq!(projection.hit(&points, small + vec2(5.0, 0.0)), Some(2));
        assert_eq!(projection.hit(&points, small + vec2(30.0, 0.0)), None);
    }

    #[test]
    fn a_box_has_twelve_edges_along_the_axes() {
        let edges = box_edges([1, 2, 3], [4, 6, 8]);
        for [from, to] in edges {
            let differing: Vec<f64> = (0..3).map(|axis| (to[axis] - from[axis]).abs()).filter(|length| *length > 0.0).collect();
            assert_eq!(differing.len(), 1);
            assert!([3.0, 4.0, 5.0].contains(&differing[0]));
        }
    }
}
