//! Several labels at once: chosen by a rectangle, then changed or removed as one edit.

use std::collections::BTreeSet;

use super::state::UiState;
use crate::labels::{Edit, ItemId, Point, PointKind, TomogramId};
use crate::render::Plane;

/// Whether a point lies in a rectangle of image positions and is seen on the slice at `depth`: its sphere of `radius` voxels reaches
/// it, or its centre lies in the slab of `slab` slices about it.
pub fn is_in_rectangle(
    position: [f64; 3],
    radius: f64,
    plane: Plane,
    (depth, slab): (usize, usize),
    corners: [[f64; 2]; 2],
) -> bool {
    let image = plane.image_from_index(position);
    let inside = (0..2).all(|axis| {
        let (low, high) = (corners[0][axis].min(corners[1][axis]), corners[0][axis].max(corners[1][axis]));
        (low..=high).contains(&image[axis])
    });
    let away = (position[plane.depth()] - depth as f64).abs();
    inside && (away < radius || away <= slab as f64 / 2.0)
}

fn labels(count: usize) -> String {
    if count == 1 { "1 label".to_owned() } else { format!("{count} labels") }
}

impl UiState {
    /// The chosen labels that exist, with their tomogram.
    fn selected_points(&self) -> Option<(TomogramId, Vec<Point>)> {
        let tomogram = self.current?;
        let labels = self.document.annotations().labels(tomogram)?;
        let points: Vec<Point> = self.selection.iter().filter_map(|id| labels.points.get(id)).copied().collect();
        (!points.is_empty()).then_some((tomogram, points))
    }

    /// Chooses the labels in a rectangle between two image positions, as [`is_in_rectangle`] says, instead of those chosen before.
    pub fn select_rectangle(&mut self, plane: Plane, depth: usize, corners: [[f64; 2]; 2]) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        let slab = self.display.slab;
        let annotations = self.document.annotations();
        let negative = self.negative_radius(tomogram);
        let radii: Vec<_> = annotations
            .classes
            .iter()
            .map(|class| (PointKind::Particle(class.id), self.radius_voxels(tomogram, class.radius_angstrom)))
            .collect();
        let radius = |kind: PointKind| radii.iter().find(|entry| entry.0 == kind).map_or(negative, |entry| entry.1);
        let points = annotations.labels(tomogram).into_iter().flat_map(|labels| labels.points.values());
        let chosen: BTreeSet<ItemId> = points
            .filter(|point| is_in_rectangle(point.position, radius(point.kind), plane, (depth, slab), corners))
            .map(|point| point.id)
            .collect();
        if chosen.is_empty() {
            self.toasts.add("No label in the rectangle on this slice");
        }
        self.selection = chosen;
    }

    /// Adds the nearest label within `distance` voxels to the chosen ones, or takes it out of them.
    pub fn toggle_selected(&mut self, position: [f64; 3], distance: f64) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        match self.document.annotations().nearest_point(tomogram, position, distance) {
            Some(point) => {
                let id = point.id;
                if !self.selection.remove(&id) {
                    self.selection.insert(id);
                }
            }
            None => self.toasts.add("No label near enough to choose"),
        }
    }

    /// Makes the chosen labels say `kind`, as one edit; they stay chosen.
    pub fn change_selected(&mut self, kind: PointKind) {
        let Some((tomogram, points)) = self.selected_points() else {
            self.toasts.add("No label is chosen: drag a rectangle with Shift");
            return;
        };
        let edits: Vec<Edit> = points
            .iter()
            .filter(|point| point.kind != kind)
            .map(|point| Edit::SetKind { tomogram, id: point.id, from: point.kind, to: kind })
            .collect();
        if edits.is_empty() {
            self.toasts.add("The chosen labels say that already");
            return;
        }
        let name = format!("change {} to {}", labels(edits.len()), self.kind_name(kind));
        self.perform(Edit::Batch { name, edits });
    }

    /// Removes the chosen labels, as one edit.
    pub fn remove_selected(&mut self) {
        let Some((tomogram, points)) = self.selected_points() else {
            return;
        };
        let name = format!("remove {}", labels(points.len()));
        let edits = points.into_iter().map(|point| Edit::RemovePoint { tomogram, point }).collect();
        self.perform(Edit::Batch { name, edits });
    }

    /// Forgets the chosen labels that are gone.
    pub(super) fn prune_selection(&mut self) {
        if self.selection.is_empty() {
            return;
        }
        let labels = self.current.and_then(|id| self.document.annotations().labels(id));
        let Self { selection, .. } = self;
        match labels {
            Some(labels) => selection.retain(|id| labels.points.contains_key(id)),
            None => selection.clear(),
        }
    }

    /// A kind of point in words.
    pub fn kind_name(&self, kind: PointKind) -> String {
        match kind {
            PointKind::Negative => "“not a particle”".to_owned(),
            PointKind::Particle(id) => {
                self.document.annotations().class(id).map_or_else(|| "label".to_owned(), |class| class.name.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_takes_what_is_seen_in_it() {
        let corners = [[30.0, 8.0], [10.0, 20.0]];
        let takes = |position, slab| is_in_rectangle(position, 3.0, Plane::Xy, (12, slab), corners);
        assert!(takes([12.0, 10.0, 15.0], 1));
        assert!(takes([14.9, 10.0, 15.0], 1), "its sphere reaches the slice");
        assert!(!takes([15.1, 10.0, 15.0], 1));
        assert!(takes([15.1, 10.0, 15.0], 7), "the slab reaches it");
        assert!(!takes([12.0, 7.0, 15.0], 1));
        assert!(!takes([12.0, 10.0, 31.0], 1));
        let side = |position| is_in_rectangle(position, 3.0, Plane::Yz, (12, 1), corners);
        assert!(side([10.0, 15.0, 12.0]), "y to the right, z down, x the depth");
        assert!(!side([15.0, 40.0, 12.0]));
    }
}
