//! What a click or a form does to the labels.

use super::{Action, UiState, VolumeState};
use crate::geometry::VoxelBox;
use crate::labels::{Edit, PointKind, Region, TomogramId};
use crate::ui::options::Snap;
use crate::ui::snap::Click;
use crate::ui::tally::Tally;

impl UiState {
    /// Applies an edit, keeps it, and tells the training thread at the next occasion.
    pub fn perform(&mut self, edit: Edit) -> bool {
        if edit.is_empty() {
            return false;
        }
        let done = match self.document.perform(edit) {
            Ok(()) => true,
            Err(error) => {
                self.fail("The label was not changed", &error);
                false
            }
        };
        self.after_edit();
        done
    }

    /// What must follow any change of labels or classes.
    pub fn after_edit(&mut self) {
        self.set_changed = true;
        self.labels_revision += 1;
        self.tally = Tally::of(self.document.annotations());
        self.prune_selection();
        self.picks.labels_changed();
        self.review.edits += 1;
        self.keep_choices_valid();
    }

    /// The current kind must name a class that exists.
    pub(super) fn keep_choices_valid(&mut self) {
        let classes = &self.document.annotations().classes;
        let valid = match self.kind {
            Some(PointKind::Particle(id)) => classes.iter().any(|class| class.id == id),
            Some(PointKind::Negative) => true,
            None => false,
        };
        if !valid {
            self.kind = classes.first().map(|class| PointKind::Particle(class.id));
        }
    }

    /// How near a click must come to a point to mean it, in voxels, given the pane's magnification.
    pub fn grab_distance(&self, tomogram: TomogramId, points_per_voxel: f64) -> f64 {
        let radius = match self.kind {
            Some(PointKind::Particle(id)) => self.document.annotations().class(id).map(|class| class.radius_angstrom),
            _ => None,
        };
        let radius = radius.map_or(0.0, |radius| self.radius_voxels(tomogram, radius));
        radius.max(10.0 / points_per_voxel)
    }

    /// Adds a point of the current kind and moves the crosshair there; near a label of the same kind it only moves there.
    pub fn add_point(&mut self, position: [f64; 3]) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        self.move_crosshair(position);
        let Some(kind) = self.kind else {
            self.toasts.add("Add a class first, on the right: its name and radius");
            return;
        };
        if self.has_label_at(tomogram, position, kind) {
            self.toasts.add("A label is already here");
            return;
        }
        let click = Click { tomogram, position, kind };
        if self.snap != Snap::Off && matches!(kind, PointKind::Particle(_)) {
            self.request(Action::Snap(click));
        } else {
            self.place_point(click, position);
        }
    }

    /// Whether a label of this kind is so near to a voxel index `(z, y, x)` that another one would say nothing new.
    pub fn has_label_at(&self, tomogram: TomogramId, position: [f64; 3], kind: PointKind) -> bool {
        let annotations = self.document.annotations();
        let close = match kind {
            PointKind::Particle(id) => annotations.class(id).map_or(0.0, |class| class.radius_angstrom),
            PointKind::Negative => 0.0,
        };
        let close = (self.radius_voxels(tomogram, close) * 0.25).max(1.0);
        annotations.nearest_point(tomogram, position, close).is_some_and(|point| point.kind == kind)
    }

    /// Removes the nearest point within `distance` voxels.
    pub fn remove_nearest(&mut self, position: [f64; 3], distance: f64) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        match self.document.annotations().nearest_point(tomogram, position, distance).copied() {
            Some(point) => {
                self.perform(Edit::RemovePoint { tomogram, point });
            }
            None => self.toasts.add("No label near enough to remove"),
        }
    }

    /// Marks a box of the current tomogram as complete.
    pub fn add_region(&mut self, voxels: VoxelBox) {
        if let Some((tomogram, _)) = self.open_volume() {
            self.add_region_to(tomogram, voxels);
        }
    }

    /// Marks a box of an open tomogram as complete.
    pub fn add_region_to(&mut self, tomogram: TomogramId, voxels: VoxelBox) {
        let Some(VolumeState::Open(volume)) = self.volumes.get(&tomogram) else {
            return;
        };
        let voxels = voxels.intersection(&VoxelBox::whole(volume.shape()));
        if voxels.is_empty() || self.take_mask(voxels) {
            return;
        }
        let id = self.document.new_id();
        self.perform(Edit::AddRegion { tomogram, region: Region { id, voxels } });
    }

    /// First and last slice of a new region in a tomogram of `depth` slices, both included.
    pub fn region_slices(&self, depth: usize) -> [usize; 2] {
        let last = depth.saturating_sub(1);
        let [first, end] = self.region_depth.unwrap_or([0, last]);
        [first.min(last), end.clamp(first.min(last), last)]
    }
}
