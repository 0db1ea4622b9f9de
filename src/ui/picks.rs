//! Picks, their thresholds, and how they become labels.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::UiState;
use crate::geometry::{VoxelBox, distance};
use crate::labels::{Annotations, Class, ClassId, Edit, Point, PointKind, TomogramId};
use crate::review::{Limits, PickClass, Standing, Verdict, shown, standings};
use crate::train::{Pick, PickSet};

#[cfg(test)]
mod tests;

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

/// What is known of a tomogram's picks beside the picks themselves.
#[derive(Clone, Debug)]
pub struct PickView {
    /// Whether each pick is shown: above its threshold, in the mask, and not too near to a better one.
    pub shown: Arc<Vec<bool>>,
    /// What the labels say of each pick.
    pub standings: Arc<Vec<Standing>>,
    /// How near a label must be to speak of a pick, in voxels, one entry a class of the set.
    pub near_voxels: Vec<f64>,
    /// Shown picks, one number a class of the set.
    pub counts: Vec<usize>,
    /// Shown picks of which nothing has been said.
    pub open: usize,
    /// What it was made from.
    shown_key: ShownKey,
    standing_key: StandingKey,
}

impl PickView {
    /// Whether a pick is shown and has not been rejected.
    pub fn is_wanted(&self, index: usize) -> bool {
        let rejected = self.standings.get(index).is_some_and(|standing| standing.verdict == Verdict::Rejected);
        self.shown.get(index).copied().unwrap_or(false) && !rejected
    }
}

/// What decides which picks are shown: address of the set, limits, mask.
type ShownKey = (usize, Vec<Limits>, Option<VoxelBox>);
/// What decides what the labels say: address of the set, classes, and the labels in a number.
type StandingKey = (usize, Vec<PickClass>, u64);

/// The labels of a tomogram in a number that changes with them.
pub fn labels_number(annotations: &Annotations, tomogram: TomogramId) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(labels) = annotations.labels(tomogram) {
        for point in labels.points.values() {
            (point.id, point.kind, point.position.map(f64::to_bits)).hash(&mut hasher);
        }
        for region in labels.regions.values() {
            region.voxels.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The picks of all tomograms.
#[derive(Debug, Default)]
pub struct PickState {
    sets: BTreeMap<TomogramId, Arc<PickSet>>,
    scores: BTreeMap<TomogramId, Arc<Vec<Scores>>>,
    /// Thresholds that the user has set; the others follow the suggestion.
    chosen: BTreeMap<ClassId, f32>,
    /// Least distances of two picks of a class in angstrom, where the user has set one.
    distances: BTreeMap<ClassId, f64>,
    /// Boxes outside which picks are hidden.
    masks: BTreeMap<TomogramId, VoxelBox>,
    views: BTreeMap<TomogramId, PickView>,
    /// Something may have changed since [`PickState::refresh`] looked last.
    stale: bool,
    revision: u64,
    /// The pick under review, an index into the set of its tomogram.
    pub reviewed: Option<(TomogramId, usize)>,
}

impl PickState {
    /// Takes in newer picks of a tomogram. The pick under review stays under review when it is among them.
    pub fn put(&mut self, set: Arc<PickSet>) {
        let tomogram = set.tomogram;
        if let Some((under_review, index)) = self.reviewed
            && under_review == tomogram
        {
            self.reviewed = self.same_pick(tomogram, index, &set).map(|index| (tomogram, index));
        }
        self.scores.insert(tomogram, Arc::new(distributions(&set)));
        self.sets.insert(tomogram, set);
        self.stale = true;
    }

    /// The pick of newer picks that stands where one of the present picks does.
    fn same_pick(&self, tomogram: TomogramId, index: usize, newer: &PickSet) -> Option<usize> {
        let set = self.sets.get(&tomogram)?;
        let pick = set.picks.get(index)?;
        let name = &set.classes.get(pick.class)?.name;
        let near = self.views.get(&tomogram).and_then(|view| view.near_voxels.get(pick.class)).copied().unwrap_or(2.0);
        let class = newer.classes.iter().position(|class| class.name == *name)?;
        let candidates = newer.picks.iter().enumerate().filter(|(_, other)| other.class == class);
        let away = candidates.map(|(index, other)| (index, distance(other.position, pick.position)));
        away.filter(|(_, away)| *away < near).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
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
        self.views.remove(&tomogram);
        self.masks.remove(&tomogram);
        self.reviewed = self.reviewed.filter(|(under_review, _)| *under_review != tomogram);
        self.revision += 1;
    }

    /// Forgets all picks; what the user has set stays.
    pub fn clear(&mut self) {
        self.sets.clear();
        self.scores.clear();
        self.views.clear();
        self.reviewed = None;
        self.revision += 1;
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
        self.stale = true;
    }

    /// The least distance of two picks of a class in angstrom; 0 for none.
    pub fn least_distance(&self, class: ClassId) -> f64 {
        self.distances.get(&class).copied().unwrap_or(0.0)
    }

    /// Sets the least distance of two picks of a class in angstrom; 0 for none.
    pub fn set_least_distance(&mut self, class: ClassId, angstrom: f64) {
        if angstrom > 0.0 {
            self.distances.insert(class, angstrom);
        } else {
            self.distances.remove(&class);
        }
        self.stale = true;
    }

    /// The box outside which a tomogram's picks are hidden.
    pub fn mask(&self, tomogram: TomogramId) -> Option<VoxelBox> {
        self.masks.get(&tomogram).copied()
    }

    /// Sets the box outside which a tomogram's picks are hidden.
    pub fn set_mask(&mut self, tomogram: TomogramId, mask: Option<VoxelBox>) {
        match mask {
            Some(mask) => self.masks.insert(tomogram, mask),
            None => self.masks.remove(&tomogram),
        };
        self.stale = true;
    }

    /// Thresholds, distances and masks as the user has set them, for the project to keep.
    pub fn limits(&self) -> PickLimits {
        PickLimits { thresholds: self.chosen.clone(), distances_angstrom: self.distances.clone(), masks: self.masks.clone() }
    }

    /// Sets what a project has kept.
    pub fn set_limits(&mut self, limits: PickLimits) {
        self.chosen = limits.thresholds;
        self.distances = limits.distances_angstrom;
        self.masks = limits.masks;
        self.stale = true;
    }

    /// Labels, classes or spacings have changed.
    pub fn labels_changed(&mut self) {
        self.stale = true;
    }

    /// Whether a pick lies above its class's threshold.
    pub fn is_above(&self, set: &PickSet, pick: &Pick) -> bool {
        pick.score >= self.threshold(set, pick.class)
    }

    /// What is known of a tomogram's picks, as [`PickState::refresh`] left it.
    pub fn view(&self, tomogram: TomogramId) -> Option<&PickView> {
        self.views.get(&tomogram)
    }

    /// Changes whenever picks, what is shown of them, or what has been said of them changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether a pick is shown and has not been rejected.
    pub fn is_wanted(&self, set: &PickSet, index: usize) -> bool {
        match self.views.get(&set.tomogram) {
            Some(view) => view.is_wanted(index),
            None => set.picks.get(index).is_some_and(|pick| self.is_above(set, pick)),
        }
    }

    /// Brings up to date what is known of the picks; what has not changed is kept. `spacing_angstrom` gives the spacing of a tomogram.
    pub fn refresh(&mut self, annotations: &Annotations, spacing_angstrom: impl Fn(TomogramId) -> Option<f64>) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let mut changed = false;
        for (tomogram, set) in &self.sets {
            let spacing = spacing_angstrom(*tomogram).unwrap_or(10.0);
            let limits: Vec<Limits> = (0..set.classes.len())
                .map(|index| Limits {
                    threshold: self.threshold(set, index),
                    distance_voxels: set.classes.get(index).map_or(0.0, |class| self.least_distance(class.id)) / spacing,
                })
                .collect();
            let classes: Vec<PickClass> = set
                .classes
                .iter()
                .map(|class| PickClass {
                    own: project_class(annotations, class).map(|own| own.id),
                    near_voxels: class.radius_angstrom / spacing * 0.5,
                })
                .collect();
            let address = Arc::as_ptr(set) as usize;
            let shown_key = (address, limits, self.masks.get(tomogram).copied());
            let standing_key = (address, classes, labels_number(annotations, *tomogram));
            let before = self.views.get(tomogram);
            let same_shown = before.filter(|view| view.shown_key == shown_key).map(|view| view.shown.clone());
            let same_standings = before.filter(|view| view.standing_key == standing_key).map(|view| view.standings.clone());
            if same_shown.is_some() && same_standings.is_some() {
                continue;
            }
            changed = true;
            let shown = same_shown.unwrap_or_else(|| Arc::new(shown(&set.picks, &shown_key.1, shown_key.2.as_ref())));
            let standings =
                same_standings.unwrap_or_else(|| Arc::new(standings(&set.picks, &standing_key.1, annotations.labels(*tomogram))));
            let mut counts = vec![0; set.classes.len()];
            let mut open = 0;
            for ((pick, shown), standing) in set.picks.iter().zip(shown.iter()).zip(standings.iter()) {
                if *shown && let Some(count) = counts.get_mut(pick.class) {
                    *count += 1;
                    open += usize::from(standing.verdict == Verdict::Open);
                }
            }
            let near_voxels = standing_key.1.iter().map(|class| class.near_voxels).collect();
            self.views.insert(*tomogram, PickView { shown, standings, near_voxels, counts, open, shown_key, standing_key });
        }
        self.revision += u64::from(changed);
    }

    /// Shown picks, one number a class of the set; empty without picks.
    pub fn counts(&self, tomogram: TomogramId) -> &[usize] {
        self.views.get(&tomogram).map_or(&[], |view| &view.counts)
    }

    /// Picks that accepting would add as labels.
    pub fn open_count(&self, tomogram: TomogramId) -> usize {
        self.views.get(&tomogram).map_or(0, |view| view.open)
    }
}

/// What the user has set about picks, as a project keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PickLimits {
    /// Thresholds.
    pub thresholds: BTreeMap<ClassId, f32>,
    /// Least distances of two picks of a class, angstrom.
    pub distances_angstrom: BTreeMap<ClassId, f64>,
    /// Boxes outside which picks are hidden.
    pub masks: BTreeMap<TomogramId, VoxelBox>,
}

/// The class of the project that a model's class stands for: the same identity and name, else the same name.
pub fn project_class<'a>(annotations: &'a Annotations, class: &Class) -> Option<&'a Class> {
    annotations.class(class.id).filter(|own| own.name == class.name).or_else(|| annotations.class_named(&class.name))
}

impl UiState {
    /// Brings up to date what is known of the picks.
    pub fn refresh_picks(&mut self) {
        let ids: Vec<TomogramId> = self.picks.sets().map(|set| set.tomogram).collect();
        let spacings: BTreeMap<TomogramId, Option<f64>> = ids.into_iter().map(|id| (id, self.spacing(id))).collect();
        self.picks.refresh(self.document.annotations(), |id| spacings.get(&id).copied().flatten());
    }

    /// The project's class that a model's class stands for, or an edit that adds it, with the identity in `added` by name.
    pub(super) fn class_for_picks(
        &mut self,
        class: &Class,
        added: &mut BTreeMap<String, ClassId>,
        edits: &mut Vec<Edit>,
    ) -> ClassId {
        let known = project_class(self.document.annotations(), class).map(|class| class.id);
        if let Some(id) = known.or_else(|| added.get(&class.name).copied()) {
            return id;
        }
        let id = self.document.new_class_id();
        let index = self.document.annotations().classes.len() + added.len();
        edits.push(Edit::AddClass { index, class: Class { id, ..class.clone() } });
        added.insert(class.name.clone(), id);
        id
    }

    /// Turns the shown picks of these tomograms of which nothing has been said into labels, as one edit that can be undone; classes
    /// that the project does not have are added. Returns how many labels were added.
    pub fn accept_picks(&mut self, tomograms: &[TomogramId]) -> usize {
        self.refresh_picks();
        let mut edits = Vec::new();
        let mut ids: BTreeMap<String, ClassId> = BTreeMap::new();
        let mut decided = Vec::new();
        for &tomogram in tomograms {
            let (Some(set), Some(view)) = (self.picks.set(tomogram).cloned(), self.picks.view(tomogram).cloned()) else {
                continue;
            };
            for (index, pick) in set.picks.iter().enumerate() {
                if !view.shown[index] || view.standings[index].verdict != Verdict::Open {
                    continue;
                }
                let Some(class) = set.classes.get(pick.class) else {
                    continue;
                };
                let class_id = self.class_for_picks(class, &mut ids, &mut edits);
                let point = Point { id: self.document.new_id(), position: pick.position, kind: PointKind::Particle(class_id) };
                edits.push(Edit::AddPoint { tomogram, point });
                decided.push((tomogram, point.id, *pick));
            }
        }
        let labels = decided.len();
        let name = format!("accept {labels} {}", if labels == 1 { "pick" } else { "picks" });
        if labels > 0 && self.perform(Edit::Batch { name, edits }) {
            self.note_decisions(Verdict::Accepted, &decided);
            labels
        } else {
            0
        }
    }
}
