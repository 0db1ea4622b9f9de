//! The live view: heatmap and picks of the tomogram on the screen, kept fresh window by window between training steps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::data::{DataError, PreparedTomogram};
use super::protocol::{LiveView, TrainingTomogram};
use crate::labels::TomogramId;
use crate::pick::{Heatmaps, Picker, Tiling, WindowLimits, predict_window, tile, view_of};
use crate::volume::VolumeError;

/// Share of the time that the live view may take from training.
const SHARE: f64 = 0.25;
/// A window this many window edges away from the crosshair is as urgent as one at it that is one round older.
const DISTANCE_PER_ROUND: f64 = 1.0;

/// The tomogram in focus, its windows and what has been computed of them.
pub(super) struct Live {
    tomogram: PreparedTomogram,
    tiling: Tiling,
    origins: Vec<[i64; 3]>,
    computed_at: Vec<Option<usize>>,
    heatmaps: Heatmaps,
    focus: [usize; 3],
    owed: Duration,
    published: Instant,
    is_newer: bool,
}

impl Live {
    /// Prepares the view of a tomogram for a model of `spacing_angstrom` with windows of `window` voxels.
    pub(super) fn new(
        tomogram: &TrainingTomogram,
        picker: &Picker<'_>,
        window: usize,
        focus: [usize; 3],
    ) -> Result<Self, DataError> {
        let tomogram = PreparedTomogram::new(tomogram, picker.metadata.spacing_angstrom)?;
        let shape = tomogram.volume.shape();
        let whole = crate::geometry::VoxelBox::whole(shape);
        let limits = WindowLimits { edge: window, voxels: window.pow(3), overlap: window / 4 };
        let tiling = tile(whole, limits, picker.metadata.network.total_stride(), picker.metadata.network.output_stride());
        let origins = tiling.origins();
        let stride = picker.metadata.network.output_stride();
        let cells = shape.map(|n| n.div_ceil(stride));
        let classes = vec![vec![0.0; cells.iter().product()]; picker.metadata.classes.len()];
        let heatmaps = Heatmaps { cells, stride, classes };
        Ok(Self {
            tomogram,
            computed_at: vec![None; origins.len()],
            origins,
            tiling,
            heatmaps,
            focus,
            owed: Duration::ZERO,
            published: Instant::now(),
            is_newer: false,
        })
    }

    pub(super) fn tomogram(&self) -> TomogramId {
        self.tomogram.id
    }

    /// Moves the crosshair, in voxels of the file.
    pub(super) fn set_focus(&mut self, focus: [usize; 3]) {
        self.focus = focus;
    }

    /// After a training step that took `spent`: computes windows for the view's share of the time. Returns a view when at least
    /// `interval` has passed since the last one and something is newer.
    pub(super) fn refresh(
        &mut self,
        picker: &Picker<'_>,
        spent: Duration,
        interval: Duration,
    ) -> Result<Option<LiveView>, VolumeError> {
        let step = picker.metadata.steps;
        self.owed = (self.owed + spent.mul_f64(SHARE / (1.0 - SHARE))).min(interval.mul_f64(SHARE) + spent);
        while self.owed > Duration::ZERO {
            let Some(next) = self.most_urgent(step) else { break };
            let start = Instant::now();
            self.compute(next, picker, step)?;
            self.owed = self.owed.saturating_sub(start.elapsed());
            if start.elapsed() > interval {
                break;
            }
        }
        if self.is_newer && self.published.elapsed() >= interval {
            return Ok(Some(self.publish(picker)));
        }
        Ok(None)
    }

    /// The view as it stands.
    pub(super) fn publish(&mut self, picker: &Picker<'_>) -> LiveView {
        self.published = Instant::now();
        self.is_newer = false;
        let heatmap = view_of(self.tomogram.id, self.tomogram.scale, &self.heatmaps, picker.metadata.steps);
        LiveView { heatmap: Arc::new(heatmap), picks: Arc::new(picker.picks(&self.tomogram, &self.heatmaps)) }
    }

    /// Old windows first, near ones before far ones; `None` when all are of this step.
    fn most_urgent(&self, step: usize) -> Option<usize> {
        let round = self.origins.len() as f64;
        let urgency = |index: usize| -> f64 {
            let age = match self.computed_at[index] {
                Some(at) => (step - at.min(step)) as f64 / round.max(1.0),
                None => 1e6,
            };
            let distance = (0..3)
                .map(|axis| {
                    let edge = self.tiling.window[axis] as f64;
                    let centre = self.origins[index][axis] as f64 + edge / 2.0;
                    ((self.focus[axis] as f64 * self.tomogram.scale - centre).abs() / edge - 0.5).max(0.0)
                })
                .fold(0.0, f64::max);
            age - distance / DISTANCE_PER_ROUND
        };
        (0..self.origins.len())
            .filter(|index| self.computed_at[*index] != Some(step))
            .max_by(|a, b| urgency(*a).total_cmp(&urgency(*b)))
    }

    fn compute(&mut self, index: usize, picker: &Picker<'_>, step: usize) -> Result<(), VolumeError> {
        let window = self.tiling.window;
        let origin = self.origins[index];
        let detector = picker.metadata.detector;
        let values = predict_window(picker.network, picker.device, &self.tomogram.volume, origin, window, false, detector)?;
        self.computed_at[index] = Some(step);
        self.is_newer = true;
        let Some(values) = values else { return Ok(()) };
        let cells = self.heatmaps.cells;
        let stride = self.heatmaps.stride;
        let size = window.map(|n| n / stride);
        let range: [std::ops::Range<usize>; 3] = std::array::from_fn(|axis| self.core(axis, origin[axis]));
        let per_class: usize = size.iter().product();
        for (class, heatmap) in self.heatmaps.classes.iter_mut().enumerate() {
            let values = &values[class * per_class..][..per_class];
            for z in range[0].clone() {
                for y in range[1].clone() {
                    let first = [origin[0], origin[1], origin[2]].map(|o| o as usize / stride);
                    let from = ((z - first[0]) * size[1] + y - first[1]) * size[2] + range[2].start - first[2];
                    let to = (z * cells[1] + y) * cells[2];
                    heatmap[to + range[2].start..to + range[2].end].copy_from_slice(&values[from..from + range[2].len()]);
                }
            }
        }
        Ok(())
    }

    /// The cells along an axis that a window answers for: half of each overlap goes to either neighbour.
    fn core(&self, axis: usize, origin: i64) -> std::ops::Range<usize> {
        let starts = &self.tiling.starts[axis];
        let edge = self.tiling.window[axis] as i64;
        let (limit, stride) = (self.heatmaps.cells[axis], self.heatmaps.stride);
        let place = starts.iter().position(|start| *start == origin).unwrap_or(0);
        let middle = |left: i64, right: i64| ((left + edge + right) / 2 / stride as i64) as usize;
        let start = match place.checked_sub(1) {
            Some(before) => middle(starts[before], origin),
            None => origin as usize / stride,
        };
        let end = match starts.get(place + 1) {
            Some(after) => middle(origin, *after),
            None => limit,
        };
        start..end.min(limit)
    }
}
