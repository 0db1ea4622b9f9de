//! The one mapping between the screen and voxels.
//!
//! Three spaces: *screen* positions in egui points; *image* positions in full-resolution voxels, where voxel `i` spans
//! `i .. i + 1`; and continuous voxel *indices*, where an integer is a voxel's centre: `index = image position - 0.5`.

use egui::{Pos2, Rect, Vec2, pos2, vec2};

/// A plane through a tomogram, parallel to two of its axes. Down on the screen is the direction of growing indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// x to the right, y downwards; seen along z.
    Xy,
    /// x to the right, z downwards; seen along y.
    Xz,
    /// y to the right, z downwards; seen along x.
    Yz,
}

impl Plane {
    /// All planes, the main one first.
    pub const ALL: [Self; 3] = [Self::Xy, Self::Xz, Self::Yz];

    /// The axis to the right, an index into `(z, y, x)`.
    pub fn horizontal(self) -> usize {
        match self {
            Self::Xy | Self::Xz => 2,
            Self::Yz => 1,
        }
    }

    /// The axis downwards, an index into `(z, y, x)`.
    pub fn vertical(self) -> usize {
        match self {
            Self::Xy => 1,
            Self::Xz | Self::Yz => 0,
        }
    }

    /// The axis along which one looks, an index into `(z, y, x)`.
    pub fn depth(self) -> usize {
        match self {
            Self::Xy => 0,
            Self::Xz => 1,
            Self::Yz => 2,
        }
    }

    /// Position in [`Plane::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Xy => 0,
            Self::Xz => 1,
            Self::Yz => 2,
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xy => "XY",
            Self::Xz => "XZ",
            Self::Yz => "YZ",
        }
    }

    /// Width and height in voxels of the image that it shows of a volume of `shape` `(z, y, x)`.
    pub fn image_size(self, shape: [usize; 3]) -> [usize; 2] {
        [shape[self.horizontal()], shape[self.vertical()]]
    }

    /// Image position `(right, down)` of a continuous voxel index `(z, y, x)`.
    pub fn image_from_index(self, index: [f64; 3]) -> [f64; 2] {
        [index[self.horizontal()] + 0.5, index[self.vertical()] + 0.5]
    }

    /// Continuous voxel index `(z, y, x)` of an image position on the slice at `depth`.
    pub fn index_from_image(self, image: [f64; 2], depth: usize) -> [f64; 3] {
        let mut index = [0.0; 3];
        index[self.horizontal()] = image[0] - 0.5;
        index[self.vertical()] = image[1] - 0.5;
        index[self.depth()] = depth as f64;
        index
    }
}

/// The axes' names in the order `(z, y, x)`.
pub const AXIS_NAMES: [&str; 3] = ["z", "y", "x"];

/// What a pane shows: the image position at its centre and its magnification.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Image position at the pane's centre.
    pub centre: [f64; 2],
    /// Magnification, screen points per voxel.
    pub points_per_voxel: f64,
}

/// Largest magnification, screen points per voxel.
const MAX_POINTS_PER_VOXEL: f64 = 64.0;

impl View {
    /// Shows an image of `size` voxels whole, with a small margin.
    pub fn fit(size: [usize; 2], pane: Vec2) -> Self {
        let scale = (0..2).map(|axis| f64::from(pane[axis].max(1.0)) / (size[axis].max(1) as f64)).fold(f64::INFINITY, f64::min);
        Self { centre: size.map(|n| n as f64 / 2.0), points_per_voxel: (scale * 0.98).min(MAX_POINTS_PER_VOXEL) }
    }

    /// Image position under a screen position.
    pub fn image_from_screen(&self, pane: Rect, screen: Pos2) -> [f64; 2] {
        let offset = screen - pane.center();
        [
            self.centre[0] + f64::from(offset.x) / self.points_per_voxel,
            self.centre[1] + f64::from(offset.y) / self.points_per_voxel,
        ]
    }

    /// Screen position of an image position.
    pub fn screen_from_image(&self, pane: Rect, image: [f64; 2]) -> Pos2 {
        let centre = pane.center();
        pos2(
            centre.x + ((image[0] - self.centre[0]) * self.points_per_voxel) as f32,
            centre.y + ((image[1] - self.centre[1]) * self.points_per_voxel) as f32,
        )
    }

    /// Magnifies by `factor`, keeping what lies under `screen` in place; stays between half of `fit` and the largest magnification.
    pub fn zoom_at(&mut self, pane: Rect, screen: Pos2, factor: f64, fit: f64) {
        let fixed = self.image_from_screen(pane, screen);
        let lowest = (fit * 0.5).min(MAX_POINTS_PER_VOXEL);
        self.points_per_voxel = (self.points_per_voxel * factor).clamp(lowest, MAX_POINTS_PER_VOXEL);
        let moved = self.image_from_screen(pane, screen);
        self.centre = [self.centre[0] + fixed[0] - moved[0], self.centre[1] + fixed[1] - moved[1]];
    }

    /// Moves the image by a distance on the screen.
    pub fn pan(&mut self, delta: Vec2) {
        self.centre[0] -= f64::from(delta.x) / self.points_per_voxel;
        self.centre[1] -= f64::from(delta.y) / self.points_per_voxel;
    }

    /// Centres on an image position unless the pane shows it already.
    pub fn reveal(&mut self, pane: Vec2, image: [f64; 2]) {
        let half = vec2(pane.x, pane.y) * 0.5;
        for axis in 0..2 {
            if (image[axis] - self.centre[axis]).abs() * self.points_per_voxel > f64::from(half[axis]) {
                self.centre[axis] = image[axis];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANE: Rect = Rect { min: Pos2 { x: 37.0, y: 91.0 }, max: Pos2 { x: 737.0, y: 491.0 } };

    #[test]
    fn screen_and_voxel_round_trip_in_every_plane_at_every_zoom() {
        for plane in Plane::ALL {
            for zoom in [0.3, 1.0, 7.7, 64.0] {
                let view = View { centre: [101.3, 57.9], points_per_voxel: zoom };
                let index = [12.0, 33.25, 71.75];
                let depth = index[plane.depth()] as usize;
                let mut expected = index;
                expected[plane.depth()] = depth as f64;
                let screen = view.screen_from_image(PANE, plane.image_from_index(index));
                let back = plane.index_from_image(view.image_from_screen(PANE, screen), depth);
                for axis in 0..3 {
                    assert!((back[axis] - expected[axis]).abs() < 1e-3, "{plane:?} {zoom} {back:?}");
                }
            }
        }
    }

    #[test]
    fn a_click_in_the_middle_of_a_voxel_gives_its_index_and_its_edges_belong_to_it() {
        let view = View { centre: [4.0, 4.0], points_per_voxel: 10.0 };
        // Voxel (x 6, y 2) spans image positions 6..7 and 2..3, so it lies 20 to 30 points right of and 20 to 10 above the centre.
        let middle = PANE.center() + vec2(25.0, -15.0);
        assert_eq!(Plane::Xy.index_from_image(view.image_from_screen(PANE, middle), 9), [9.0, 2.0, 6.0]);
        for corner in [vec2(20.1, -19.9), vec2(29.9, -10.1)] {
            let index = Plane::Xy.index_from_image(view.image_from_screen(PANE, PANE.center() + corner), 9);
            assert_eq!(index.map(|i| i.round() as usize), [9, 2, 6], "{corner:?}");
        }
    }

    #[test]
    fn zooming_keeps_the_place_under_the_cursor() {
        let mut view = View::fit([400, 300], PANE.size());
        let fit = view.points_per_voxel;
        let cursor = pos2(300.0, 400.0);
        let before = view.image_from_screen(PANE, cursor);
        view.zoom_at(PANE, cursor, 3.0, fit);
        let after = view.image_from_screen(PANE, cursor);
        assert!((before[0] - after[0]).abs() < 1e-6 && (before[1] - after[1]).abs() < 1e-6);
        assert!((view.points_per_voxel / fit - 3.0).abs() < 1e-9);
        view.zoom_at(PANE, cursor, 1e-9, fit);
        assert!((view.points_per_voxel / fit - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_fitted_image_lies_inside_the_pane_and_touches_it_nearly() {
        for size in [[500, 100], [100, 500], [1, 1], [8000, 8000]] {
            let view = View::fit(size, PANE.size());
            let low = view.screen_from_image(PANE, [0.0, 0.0]);
            let high = view.screen_from_image(PANE, size.map(|n| n as f64));
            assert!(PANE.contains(low) && PANE.contains(high), "{size:?}");
        }
    }

    #[test]
    fn revealing_moves_only_what_is_out_of_sight() {
        let mut view = View { centre: [50.0, 50.0], points_per_voxel: 10.0 };
        view.reveal(vec2(200.0, 200.0), [55.0, 45.0]);
        assert_eq!(view.centre, [50.0, 50.0]);
        view.reveal(vec2(200.0, 200.0), [90.0, 45.0]);
        assert_eq!(view.centre, [90.0, 50.0]);
    }
}
