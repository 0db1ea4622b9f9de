//! How much has been labelled, counted once after each change instead of in each frame.

use std::collections::BTreeMap;

use crate::labels::{Annotations, LabelCounts, TomogramId};

/// The counts of a project.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    all: LabelCounts,
    each: BTreeMap<TomogramId, LabelCounts>,
}

impl Tally {
    /// Counts everything.
    pub fn of(annotations: &Annotations) -> Self {
        let none = LabelCounts { particles: vec![0; annotations.classes.len()], ..LabelCounts::default() };
        let mut all = none;
        let mut each = BTreeMap::new();
        for id in annotations.tomograms.keys() {
            let counts = annotations.counts(Some(*id));
            all.particles.iter_mut().zip(&counts.particles).for_each(|(sum, count)| *sum += count);
            all.negatives += counts.negatives;
            all.regions += counts.regions;
            each.insert(*id, counts);
        }
        Self { all, each }
    }

    /// In all tomograms.
    pub fn all(&self) -> &LabelCounts {
        &self.all
    }

    /// In one tomogram; empty where nothing has been said.
    pub fn of_tomogram(&self, tomogram: TomogramId) -> LabelCounts {
        self.each.get(&tomogram).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{Class, ClassId, Edit, ItemId, Point, PointKind};

    #[test]
    fn the_sum_of_the_tomograms_is_the_whole() {
        let mut annotations = Annotations::default();
        let class = |id: u32, name: &str| Class { id: ClassId(id), name: name.to_owned(), radius_angstrom: 9.0, colour: [0; 3] };
        for (index, class) in [class(1, "a"), class(2, "b")].into_iter().enumerate() {
            annotations.apply(&Edit::AddClass { index, class }).unwrap();
        }
        for (id, tomogram, kind) in [
            (10, 1, PointKind::Particle(ClassId(1))),
            (11, 1, PointKind::Negative),
            (12, 2, PointKind::Particle(ClassId(1))),
            (13, 2, PointKind::Particle(ClassId(2))),
        ] {
            let point = Point { id: ItemId(id), position: [1.0; 3], kind };
            annotations.apply(&Edit::AddPoint { tomogram: TomogramId(tomogram), point }).unwrap();
        }
        let tally = Tally::of(&annotations);
        assert_eq!(*tally.all(), annotations.counts(None));
        assert_eq!(tally.of_tomogram(TomogramId(2)), annotations.counts(Some(TomogramId(2))));
        assert_eq!(tally.of_tomogram(TomogramId(9)).total_particles(), 0);
    }
}
