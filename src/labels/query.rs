//! Looking things up in the labels, and building the larger edits.

use super::{Annotations, Class, ClassId, Edit, ItemId, Point, PointKind, TomogramId, TomogramLabels};
use crate::geometry::distance;

/// How much has been labelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelCounts {
    /// Particles per class, in the order of [`Annotations::classes`].
    pub particles: Vec<usize>,
    /// Points that say that nothing is there.
    pub negatives: usize,
    /// Complete regions.
    pub regions: usize,
}

impl LabelCounts {
    /// Particles of all classes.
    pub fn total_particles(&self) -> usize {
        self.particles.iter().sum()
    }
}

impl Annotations {
    /// A fresh identity for a point or a region; handed out once, whether it is then used or not.
    pub fn new_id(&mut self) -> ItemId {
        let id = ItemId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// A fresh identity for a class; handed out once, whether it is then used or not.
    pub fn new_class_id(&mut self) -> ClassId {
        // One counter serves all identities: a class removed and forgotten by the undo history never gives its number away.
        let id = self.new_id().0;
        u32::try_from(id).map(ClassId).unwrap_or_else(|_| {
            let used: std::collections::BTreeSet<u32> = self.classes.iter().map(|class| class.id.0).collect();
            ClassId((0..u32::MAX).find(|number| !used.contains(number)).unwrap_or(u32::MAX))
        })
    }

    /// The class `id`.
    pub fn class(&self, id: ClassId) -> Option<&Class> {
        self.classes.iter().find(|class| class.id == id)
    }

    /// Where the class `id` stands in [`Annotations::classes`].
    pub fn class_index(&self, id: ClassId) -> Option<usize> {
        self.classes.iter().position(|class| class.id == id)
    }

    /// The class of this exact name.
    pub fn class_named(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// The labels of a tomogram; `None` when it has none.
    pub fn labels(&self, tomogram: TomogramId) -> Option<&TomogramLabels> {
        self.tomograms.get(&tomogram)
    }

    /// The point nearest to `position`, a voxel index `(z, y, x)`, at most `max_distance_voxels` away in three dimensions.
    /// Of points equally near, the newest.
    pub fn nearest_point(&self, tomogram: TomogramId, position: [f64; 3], max_distance_voxels: f64) -> Option<&Point> {
        let mut nearest: Option<(f64, &Point)> = None;
        for point in self.tomograms.get(&tomogram)?.points.values() {
            let away = distance(point.position, position);
            if away <= max_distance_voxels && nearest.is_none_or(|(best, _)| away <= best) {
                nearest = Some((away, point));
            }
        }
        nearest.map(|(_, point)| point)
    }

    /// How much has been labelled in one tomogram, or in all for `None`.
    pub fn counts(&self, tomogram: Option<TomogramId>) -> LabelCounts {
        let mut counts = LabelCounts { particles: vec![0; self.classes.len()], ..LabelCounts::default() };
        for (id, labels) in &self.tomograms {
            if tomogram.is_some_and(|wanted| wanted != *id) {
                continue;
            }
            counts.regions += labels.regions.len();
            for point in labels.points.values() {
                match point.kind {
                    PointKind::Negative => counts.negatives += 1,
                    PointKind::Particle(class) => {
                        if let Some(index) = self.class_index(class) {
                            counts.particles[index] += 1;
                        }
                    }
                }
            }
        }
        counts
    }

    /// Particles of one class in all tomograms.
    pub fn count(&self, class: ClassId) -> usize {
        self.tomograms.values().map(|labels| labels.particles(class).count()).sum()
    }

    /// The edit that adds many points at once, under fresh identities; `points` are voxel indices `(z, y, x)` with what they say.
    /// It is named `N labels imported`.
    pub fn import_edit(&mut self, tomogram: TomogramId, points: impl IntoIterator<Item = ([f64; 3], PointKind)>) -> Edit {
        let edits: Vec<Edit> = points
            .into_iter()
            .map(|(position, kind)| Edit::AddPoint { tomogram, point: Point { id: self.new_id(), position, kind } })
            .collect();
        let name = format!("{} {} imported", edits.len(), if edits.len() == 1 { "label" } else { "labels" });
        Edit::Batch { name, edits }
    }

    /// The edit that removes a class together with its points; `None` when there is no such class.
    pub fn remove_class_edit(&self, class: ClassId) -> Option<Edit> {
        let index = self.class_index(class)?;
        let class = self.classes[index].clone();
        let mut edits = Vec::new();
        for (tomogram, labels) in &self.tomograms {
            for point in labels.points.values().filter(|point| point.kind == PointKind::Particle(class.id)) {
                edits.push(Edit::RemovePoint { tomogram: *tomogram, point: *point });
            }
        }
        let name = format!("remove class {}", class.name);
        edits.push(Edit::RemoveClass { index, class });
        Some(Edit::Batch { name, edits })
    }

    /// The edit that removes every label of a tomogram; an empty batch when it has none.
    pub fn clear_tomogram_edit(&self, tomogram: TomogramId) -> Edit {
        let mut edits = Vec::new();
        if let Some(labels) = self.tomograms.get(&tomogram) {
            edits.extend(labels.points.values().map(|point| Edit::RemovePoint { tomogram, point: *point }));
            edits.extend(labels.regions.values().map(|region| Edit::RemoveRegion { tomogram, region: *region }));
        }
        Edit::Batch { name: "remove all labels of the tomogram".to_owned(), edits }
    }
}
