//! The three views: what they show, how, and what the mouse does there.

use std::sync::Arc;

use super::UiState;
use crate::labels::{Point, Region, TomogramId};
use crate::render::{HeatSlice, Plane, SliceImage, SliceRequest, View, WIDTH_PER_DEVIATION};
use crate::ui::boxes::Sides;
use crate::ui::options::{OverviewPlace, ScoreCue};

/// What a click in a view does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    /// Moves the crosshair only.
    Look,
    /// Adds a point of the current kind.
    #[default]
    Label,
    /// A drag draws a complete region, or moves the edge of one.
    Region,
}

/// How slices are shown; for the eye only, training never sees any of it.
#[derive(Clone, Debug)]
pub struct Display {
    /// Dark for bright.
    pub invert: bool,
    /// Slices averaged, odd.
    pub slab: usize,
    /// Interpolate between voxels.
    pub smooth: bool,
    /// Show the crosshair.
    pub crosshair: bool,
    /// Show labels.
    pub labels: bool,
    /// Show picks.
    pub picks: bool,
    /// Show the heatmap.
    pub heatmap: bool,
    /// Opacity of the heatmap, 0 to 1.
    pub heat_opacity: f32,
    /// Index of the class whose heatmap is shown, among the model's classes.
    pub heat_class: usize,
    /// Full width at half height of a Gaussian low-pass in the plane of each view, in angstrom; 0 for none.
    pub low_pass_angstrom: f64,
    /// How the score of a pick shows.
    pub score_cue: ScoreCue,
    /// Where the overview in three dimensions is.
    pub overview: OverviewPlace,
}

/// Widest slab, in slices.
pub const MAX_SLAB: usize = 51;

impl Default for Display {
    fn default() -> Self {
        Self {
            invert: false,
            slab: 1,
            smooth: true,
            crosshair: true,
            labels: true,
            picks: true,
            heatmap: true,
            heat_opacity: 0.6,
            heat_class: 0,
            low_pass_angstrom: 0.0,
            score_cue: ScoreCue::default(),
            overview: OverviewPlace::default(),
        }
    }
}

/// What a pane holds between frames.
#[derive(Default)]
pub struct PaneData {
    /// Where it looks; `None` until it is first drawn, and to fit the image anew.
    pub view: Option<View>,
    /// Magnification at which the image fits.
    pub fit: f64,
    /// The last good slice and its tomogram.
    pub slice: Option<(TomogramId, Arc<SliceImage>)>,
    /// Level of detail that suits its magnification.
    pub level: usize,
    /// Voxels of that level that suit a texel.
    pub block: usize,
    /// What was last asked of the loader.
    pub requested: Option<(TomogramId, SliceRequest)>,
    /// The heatmap's slice and what it was cut from.
    pub heat: Option<(HeatKey, Arc<HeatSlice>)>,
    /// Wheel movement that is not yet a whole slice.
    pub wheel: f32,
    /// What a drag moves.
    pub drag: Option<Drag>,
    /// Its size in points when last drawn.
    pub size: egui::Vec2,
}

/// What a heatmap's slice was cut from: step and address of the heatmap, channel, and depth.
pub type HeatKey = (usize, usize, usize, usize);

/// A drag in a view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drag {
    /// The image.
    Pan,
    /// A point, from where it was.
    Point(Point),
    /// The crosshair.
    Crosshair,
    /// A region, from this image position.
    Region([f64; 2]),
    /// Edges of a region, from where they were.
    Edges(Region, Sides),
    /// A rectangle that chooses labels, from this image position.
    Select([f64; 2]),
}

/// What lies under the cursor, for the status line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hover {
    /// The pane.
    pub plane: Plane,
    /// Continuous voxel index `(z, y, x)`.
    pub index: [f64; 3],
    /// The value shown there.
    pub value: f32,
    /// Whether an edge of a complete region is under the cursor that the tool at hand would move.
    pub on_edge: bool,
}

impl UiState {
    /// Moves the crosshair to a voxel index `(z, y, x)`, kept inside the tomogram. Panes that do not show it move there.
    pub fn move_crosshair(&mut self, index: [f64; 3]) {
        let Some((_, volume)) = self.open_volume() else {
            return;
        };
        let shape = volume.shape();
        let position = std::array::from_fn(|axis| (index[axis].round().max(0.0) as usize).min(shape[axis].saturating_sub(1)));
        if position != self.crosshair {
            self.crosshair = position;
            self.focus_changed = true;
        }
        for (pane, plane) in self.panes.iter_mut().zip(Plane::ALL) {
            let size = pane.size;
            if let Some(view) = &mut pane.view {
                view.reveal(size, plane.image_from_index(position.map(|n| n as f64)));
            }
        }
    }

    /// Moves along a plane's depth.
    pub fn step_slice(&mut self, plane: Plane, steps: isize) {
        let Some((_, volume)) = self.open_volume() else {
            return;
        };
        let axis = plane.depth();
        let last = volume.shape()[axis].saturating_sub(1);
        let to = self.crosshair[axis].saturating_add_signed(steps).min(last);
        if to != self.crosshair[axis] {
            self.crosshair[axis] = to;
            self.focus_changed = true;
        }
    }

    /// Standard deviation in voxels of the low-pass for the eye; 0 where the spacing is unknown.
    pub fn low_pass_voxels(&self, tomogram: TomogramId) -> f64 {
        self.spacing(tomogram).map_or(0.0, |spacing| self.display.low_pass_angstrom / WIDTH_PER_DEVIATION / spacing)
    }

    /// Makes the slab thicker or thinner by two slices, so that it stays symmetric about its middle one.
    pub fn change_slab(&mut self, thicker: bool) {
        let slab = self.display.slab;
        self.display.slab = if thicker { (slab + 2).min(MAX_SLAB) } else { slab.saturating_sub(2).max(1) };
    }
}
