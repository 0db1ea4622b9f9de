//! Picks, their thresholds, and how they become labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::UiState;
use crate::geometry::distance;
use crate::labels::{Annotations, Class, ClassId, Edit, Point, PointKind, TomogramId};
use crate::train::{Pick, PickSet};

/// Bins of a distribution of scores.
pub const SCORE_BINS: usize = 60;

/// How the scores of one class are distributed in one tomogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scores {
    /// Number of picks.
    pub total: usize,
    /// Picks per bin; the bins share 0 to 1 evenly.
    pub bins: [u32; SCORE_BINS],
}

/// The distribution of each class's scores.
fn distributions(set: &PickSet) -> Vec<Scores> {
    let mut scores = vec![Scores { total: 0, bins: [0; SCORE_BINS] }; set.classes.len()];
    for pick in &set.picks {
        if let Some(scores) = scores.get_mut(pick.class) {
            scores.total += 1;
            let bin = (pick.score.clamp(0.0, 1.0) * SCORE_BINS as f32) as usize;
            scores.bins[bin.min(SCORE_BINS - 1)] += 1;
        }
    }
    scores
}

/// The picks of all tomograms.
#[derive(Debug, Default)]
pub struct PickState {
    sets: BTreeMap<TomogramId, Arc<PickSet>>,
    scores: BTreeMap<TomogramId, Arc<Vec<Scores>>>,
    /// Thresholds that the user has set; the others follow the suggestion.
    chosen: BTreeMap<ClassId, f32>,
    /// Picks above the thresholds per class, per tomogram; dropped when picks or thresholds change.
    counts: BTreeMap<TomogramId, Vec<usize>>,
    /// Picks above the threshold that accepting would add; dropped when labels change too.
    new: BTreeMap<TomogramId, usize>,
    /// The pick under review in the current tomogram, an index into its set.
    pub reviewed: Option<usize>,
}

impl PickState {
    /// Takes in newer picks of a tomogram.
    pub fn put(&mut self, set: Arc<PickSet>) {
        self.counts.remove(&set.tomogram);
        self.new.remove(&set.tomogram);
        self.scores.insert(set.tomogram, Arc::new(distributions(&set)));
        self.sets.insert(set.tomogram, set);
        self.reviewed = None;
    }

    /// The picks of a tomogram.
    pub fn set(&self, tomogram: TomogramId) -> Option<&Arc<PickSet>> {
        self.sets.get(&tomogram)
    }

    /// How the scores of a tomogram's picks are distributed, one entry a class of its set.
    pub fn scores(&self, tomogram: TomogramId) -> Option<Arc<Vec<Scores>>> {
        self.scores.get(&tomogram).cloned()
    }

    /// All picks.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<PickSet>> {
        self.sets.values()
    }

    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Forgets a tomogram.
    pub fn remove(&mut self, tomogram: TomogramId) {
        self.sets.remove(&tomogram);
        self.scores.remove(&tomogram);
        self.counts.remove(&tomogram);
        self.new.remove(&tomogram);
    }

    /// The threshold of the class at `index` among the set's classes: the user's, else the suggested one.
    pub fn threshold(&self, set: &PickSet, index: usize) -> f32 {
        let chosen = set.classes.get(index).and_then(|class| self.chosen.get(&class.id));
        chosen.or_else(|| set.thresholds.get(index)).copied().unwrap_or(0.5)
    }

    /// Whether the user has set the threshold of a class.
    pub fn is_chosen(&self, class: ClassId) -> bool {
        self.chosen.contains_key(&class)
    }

    /// Sets the threshold of a class, or `None` to follow the suggestion again.
    pub fn choose_threshold(&mut self, class: ClassId, threshold: Option<f32>) {
        match threshold {
            Some(threshold) => self.chosen.insert(class, threshold),
            None => self.chosen.remove(&class),
        };
        self.counts.clear();
        self.new.clear();
        self.reviewed = None;
    }

    /// Labels have changed.
    pub fn labels_changed(&mut self) {
        self.new.clear();
    }

    /// Whether a pick lies above its class's threshold.
    pub fn is_above(&self, set: &PickSet, pick: &Pick) -> bool {
        pick.score >= self.threshold(set, pick.class)
    }

    /// Picks above the thresholds, one number a class of the set; empty without picks.
    pub fn counts(&mut self, tomogram: TomogramId) -> &[usize] {
        if !self.counts.contains_key(&tomogram) {
            let counts = self.sets.get(&tomogram).map_or_else(Vec::new, |set| {
                let mut counts = vec![0; set.classes.len()];
                for pick in set.picks.iter().filter(|pick| self.is_above(set, pick)) {
                    if let Some(count) = counts.get_mut(pick.class) {
                        *count += 1;
                    }
                }
                counts
            });
            self.counts.insert(tomogram, counts);
        }
        self.counts.get(&tomogram).map_or(&[], Vec::as_slice)
    }

    /// Picks that accepting would add as labels.
    pub fn new_count(&mut self, tomogram: TomogramId, annotations: &Annotations, spacing_angstrom: Option<f64>) -> usize {
        if let Some(count) = self.new.get(&tomogram) {
            return *count;
        }
        let count = self.acceptable(tomogram, annotations, spacing_angstrom).len();
        self.new.insert(tomogram, count);
        count
    }

    /// Picks above the thresholds that no label says anything about yet: farther than half a radius from every label of the
    /// same class and from every "not a particle".
    fn acceptable(&self, tomogram: TomogramId, annotations: &Annotations, spacing_angstrom: Option<f64>) -> Vec<Pick> {
        let Some(set) = self.sets.get(&tomogram) else {
            return Vec::new();
        };
        let points = annotations.labels(tomogram).map(|labels| &labels.points);
        // Per class the places that are spoken for, sorted along z, so that only those near a pick are looked at.
        let taken = |class: &Class| {
            let target = project_class(annotations, class).map(|class| class.id);
            let speaks = |kind: PointKind| match kind {
                PointKind::Particle(id) => Some(id) == target,
                PointKind::Negative => true,
            };
            let points = points.into_iter().flat_map(|points| points.values());
            let mut places: Vec<[f64; 3]> = points.filter(|point| speaks(point.kind)).map(|point| point.position).collect();
            places.sort_by(|a, b| a[0].total_cmp(&b[0]));
            (places, class.radius_angstrom / spacing_angstrom.unwrap_or(10.0) * 0.5)
        };
        let taken: Vec<(Vec<[f64; 3]>, f64)> = set.classes.iter().map(taken).collect();
        let is_new = |pick: &&Pick| {
            let Some((places, near)) = taken.get(pick.class) else {
                return false;
            };
            let first = places.partition_point(|place| place[0] < pick.position[0] - near);
            let reachable = places[first..].iter().take_while(|place| place[0] <= pick.position[0] + near);
            !reachable.into_iter().any(|place| distance(*place, pick.position) < *near)
        };
        set.picks.iter().filter(|pick| self.is_above(set, pick)).filter(is_new).copied().collect()
    }
}

/// The class of the project that a model's class stands for: the same identity and name, else the same name.
pub fn project_class<'a>(annotations: &'a Annotations, class: &Class) -> Option<&'a Class> {
    annotations.class(class.id).filter(|own| own.name == class.name).or_else(|| annotations.class_named(&class.name))
}

impl UiState {
    /// Turns the picks above the thresholds of these tomograms into labels, as one edit that can be undone; classes that the
    /// project does not have are added. Returns how many labels were added.
    pub fn accept_picks(&mut self, tomograms: &[TomogramId]) -> usize {
        let mut edits = Vec::new();
        let mut ids: BTreeMap<String, ClassId> = BTreeMap::new();
        let mut labels = 0;
        for &tomogram in tomograms {
            let spacing = self.spacing(tomogram);
            let picks = self.picks.acceptable(tomogram, self.document.annotations(), spacing);
            let Some(set) = self.picks.set(tomogram).cloned() else {
                continue;
            };
            for pick in picks {
                let Some(class) = set.classes.get(pick.class) else {
                    continue;
                };
                let known = project_class(self.document.annotations(), class).map(|class| class.id);
                let class_id = match known.or_else(|| ids.get(&class.name).copied()) {
                    Some(id) => id,
                    None => {
                        let id = self.document.new_class_id();
                        let index = self.document.annotations().classes.len() + ids.len();
                        edits.push(Edit::AddClass { index, class: Class { id, ..class.clone() } });
                        ids.insert(class.name.clone(), id);
                        id
                    }
                };
                let point = Point { id: self.document.new_id(), position: pick.position, kind: PointKind::Particle(class_id) };
                edits.push(Edit::AddPoint { tomogram, point });
                labels += 1;
            }
        }
        let name = format!("accept {labels} {}", if labels == 1 { "pick" } else { "picks" });
        if labels > 0 && self.perform(Edit::Batch { name, edits }) { labels } else { 0 }
    }

    /// Moves to the next (or previous) pick above its threshold, by descending score.
    pub fn review_step(&mut self, forward: bool) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        let Some(set) = self.picks.set(tomogram).cloned() else {
            self.toasts.add("No picks in this tomogram yet");
            return;
        };
        let from = self.picks.reviewed;
        let above = |index: &usize| set.picks.get(*index).is_some_and(|pick| self.picks.is_above(&set, pick));
        let next = match (from, forward) {
            (None, true) => (0..set.picks.len()).find(above),
            (Some(at), true) => (at + 1..set.picks.len()).find(above),
            (Some(at), false) => (0..at).rev().find(above),
            (None, false) => None,
        };
        match next {
            Some(index) => {
                self.picks.reviewed = Some(index);
                self.move_crosshair(set.picks[index].position);
            }
            None => self.toasts.add(if forward { "That was the last pick" } else { "That was the first pick" }),
        }
    }

    /// Turns the pick under review into a label, or into "not a particle", and goes on to the next.
    pub fn review_decide(&mut self, accept: bool) {
        let (Some((tomogram, _)), Some(index)) = (self.open_volume(), self.picks.reviewed) else {
            return;
        };
        let Some(set) = self.picks.set(tomogram).cloned() else {
            return;
        };
        let Some(pick) = set.picks.get(index).copied() else {
            return;
        };
        let class = set.classes.get(pick.class).and_then(|class| project_class(self.document.annotations(), class));
        let kind = match (accept, class) {
            (false, _) => PointKind::Negative,
            (true, Some(class)) => PointKind::Particle(class.id),
            (true, None) => {
                self.toasts.add("The project has no class of this name: add it first");
                return;
            }
        };
        let id = self.document.new_id();
        if self.perform(Edit::AddPoint { tomogram, point: Point { id, position: pick.position, kind } }) {
            self.picks.reviewed = Some(index);
            self.review_step(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::TomogramLabels;

    const HERE: TomogramId = TomogramId(3);

    fn class(id: u32, name: &str) -> Class {
        Class { id: ClassId(id), name: name.to_owned(), radius_angstrom: 40.0, colour: [0; 3] }
    }

    fn picks(state: &mut PickState, positions: &[([f64; 3], usize, f32)]) {
        let pick = |&(position, class, score): &([f64; 3], usize, f32)| Pick { position, class, score };
        let classes = vec![class(1, "a"), class(2, "b")];
        let picks = positions.iter().map(pick).collect();
        state.put(Arc::new(PickSet { tomogram: HERE, classes, thresholds: vec![0.5, 0.3], picks, step: 1 }));
    }

    fn labels(points: &[([f64; 3], PointKind)]) -> Annotations {
        let mut annotations = Annotations { classes: vec![class(1, "a"), class(9, "b")], ..Annotations::default() };
        let mut labels = TomogramLabels::default();
        for &(position, kind) in points {
            let id = annotations.new_id();
            labels.points.insert(id, Point { id, position, kind });
        }
        annotations.tomograms.insert(HERE, labels);
        annotations
    }

    #[test]
    fn thresholds_follow_the_suggestion_until_they_are_chosen() {
        let mut state = PickState::default();
        picks(&mut state, &[([0.0; 3], 0, 0.9), ([0.0; 3], 0, 0.4), ([0.0; 3], 1, 0.4)]);
        assert_eq!(state.counts(HERE), [1, 1]);
        state.choose_threshold(ClassId(1), Some(0.35));
        assert_eq!(state.counts(HERE), [2, 1]);
        state.choose_threshold(ClassId(1), None);
        assert_eq!(state.counts(HERE), [1, 1]);
        assert_eq!(state.scores(HERE).unwrap()[0].total, 2);
        assert_eq!(state.counts(TomogramId(8)), [0; 0]);
    }

    #[test]
    fn picks_are_new_beyond_half_a_radius_of_labels_of_their_class_and_of_negatives() {
        let mut state = PickState::default();
        // A radius of 40 angstrom is 4 voxels at 10 angstrom, so 2 voxels count as near.
        picks(
            &mut state,
            &[([0.0, 0.0, 0.0], 0, 0.9), ([0.0, 0.0, 10.0], 0, 0.9), ([20.0, 0.0, 0.0], 0, 0.9), ([5.0; 3], 1, 0.9)],
        );
        let spacing = Some(10.0);
        let count = |points: &[([f64; 3], PointKind)]| state.acceptable(HERE, &labels(points), spacing).len();
        assert_eq!(count(&[]), 4);
        assert_eq!(count(&[([1.9, 0.0, 0.0], PointKind::Particle(ClassId(1)))]), 3);
        assert_eq!(count(&[([2.1, 0.0, 0.0], PointKind::Particle(ClassId(1)))]), 4);
        assert_eq!(count(&[([0.0, 0.0, 0.0], PointKind::Particle(ClassId(9)))]), 4, "another class says nothing about it");
        assert_eq!(count(&[([5.0, 5.0, 4.0], PointKind::Particle(ClassId(9)))]), 3, "the class of the same name is meant");
        assert_eq!(count(&[([20.0, 1.0, 1.0], PointKind::Negative), ([5.0; 3], PointKind::Negative)]), 2);
    }
}
