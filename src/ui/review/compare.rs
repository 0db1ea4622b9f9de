//! Two sets of positions side by side: kept sets, the picks on the screen, labels, or a file.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::coordinates::{CoordinateError, PlaceOptions, Positions, Target, place};
use crate::geometry::VoxelBox;
use crate::labels::{PointKind, TomogramId};
use crate::review::{Finding, Spot, TomogramComparison, compare, total};
use crate::score::Counts;
use crate::ui::picks::{labels_number, project_class};
use crate::ui::state::{UiState, VolumeState};
use crate::ui::training::file_name;

/// Share of the radius within which two positions are the same particle, as in the scores.
const TOLERANCE: f64 = 0.5;

/// One of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The labels.
    Labels,
    /// The picks on the screen, as far as they are shown and not rejected.
    Picks,
    /// A set that the project keeps.
    Kept(u32),
    /// Positions of a file.
    File,
}

/// A class of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedClass {
    /// Its name.
    pub name: String,
    /// Its radius in angstrom.
    pub radius_angstrom: f64,
}

/// Positions of a file, in the tomograms of the project.
#[derive(Clone, Debug, Default)]
pub struct FilePositions {
    /// The file.
    pub path: PathBuf,
    /// Class names and positions by tomogram.
    pub by_tomogram: BTreeMap<TomogramId, Vec<(String, [f64; 3])>>,
    /// What could not be used, for people.
    pub left_out: Vec<String>,
}

/// A row of the list of differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The tomogram.
    pub tomogram: TomogramId,
    /// What was found.
    pub spot: Spot,
}

/// What a tomogram's comparison was made from.
type Key = (u64, u64, u64);

/// The comparison.
pub struct CompareState {
    /// What is taken for right.
    pub reference: Side,
    /// What is judged.
    pub candidates: Side,
    /// Only in complete regions.
    pub only_complete: bool,
    /// Draw the findings in the views instead of picks and labels.
    pub in_views: bool,
    /// Findings that are listed.
    pub listed: Finding,
    /// The file's positions.
    pub file: Option<FilePositions>,
    /// A path being typed.
    pub path_field: String,
    /// Classes.
    pub classes: Vec<ComparedClass>,
    /// The tomograms of which both sets speak.
    results: BTreeMap<TomogramId, (Key, Arc<TomogramComparison>)>,
    /// Names of the tomograms of which only one set speaks.
    pub left_out: Vec<String>,
    /// Sums over the tomograms, one entry a class.
    pub totals: Vec<Counts>,
    /// The differences that are listed.
    pub rows: Arc<Vec<Difference>>,
    made_for: Option<(u64, u64, Side, Side, bool, Finding)>,
}

impl Default for CompareState {
    fn default() -> Self {
        Self {
            reference: Side::Labels,
            candidates: Side::Picks,
            only_complete: true,
            in_views: false,
            listed: Finding::Missed,
            file: None,
            path_field: String::new(),
            classes: Vec::new(),
            results: BTreeMap::new(),
            left_out: Vec::new(),
            totals: Vec::new(),
            rows: Arc::new(Vec::new()),
            made_for: None,
        }
    }
}

impl CompareState {
    /// The findings in a tomogram.
    pub fn spots(&self, tomogram: TomogramId) -> &[Spot] {
        self.results.get(&tomogram).map_or(&[], |(_, comparison)| &comparison.spots)
    }

    /// The comparisons of the tomograms of which both sets speak.
    pub fn results(&self) -> impl Iterator<Item = (TomogramId, &TomogramComparison)> {
        self.results.iter().map(|(id, (_, comparison))| (*id, comparison.as_ref()))
    }
}

/// Positions by class name.
type Named = Vec<(String, [f64; 3])>;

impl UiState {
    /// The sets that can be compared, and their names.
    pub fn sides(&self) -> Vec<(Side, String)> {
        let mut sides = vec![(Side::Labels, "Labels".to_owned()), (Side::Picks, "Picks on the screen".to_owned())];
        sides.extend(self.review.kept.iter().map(|record| (Side::Kept(record.id), format!("Set {}", record.title()))));
        if let Some(file) = &self.review.compare.file {
            sides.push((Side::File, file_name(&file.path)));
        }
        sides
    }

    /// A number that changes with what a side says of a tomogram; `None` when it says nothing of it.
    fn side_number(&self, side: Side, tomogram: TomogramId) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        side.hash(&mut hasher);
        match side {
            Side::Labels => {
                self.document.annotations().labels(tomogram)?;
                labels_number(self.document.annotations(), tomogram).hash(&mut hasher);
            }
            Side::Picks => {
                let set = self.picks.set(tomogram)?;
                (Arc::as_ptr(set) as usize).hash(&mut hasher);
                let view = self.picks.view(tomogram)?;
                (Arc::as_ptr(&view.shown) as usize, Arc::as_ptr(&view.standings) as usize).hash(&mut hasher);
            }
            Side::Kept(id) => {
                let set = self.review.loaded.get(&id)?.set(tomogram)?;
                (Arc::as_ptr(set) as usize).hash(&mut hasher);
            }
            Side::File => {
                let file = self.review.compare.file.as_ref()?;
                let positions = file.by_tomogram.get(&tomogram)?;
                (positions.as_ptr() as usize, positions.len()).hash(&mut hasher);
            }
        }
        Some(hasher.finish())
    }

    /// What a side says of a tomogram.
    fn side_positions(&self, side: Side, tomogram: TomogramId) -> Named {
        let annotations = self.document.annotations();
        let set_positions = |set: &crate::train::PickSet, wanted: &dyn Fn(usize) -> bool| -> Named {
            let names: Vec<&String> =
                set.classes.iter().map(|class| &project_class(annotations, class).unwrap_or(class).name).collect();
            let picks = set.picks.iter().enumerate().filter(|(index, _)| wanted(*index));
            picks.filter_map(|(_, pick)| Some(((*names.get(pick.class)?).clone(), pick.position))).collect()
        };
        match side {
            Side::Labels => {
                let points = annotations.labels(tomogram).into_iter().flat_map(|labels| labels.points.values());
                let named = points.filter_map(|point| match point.kind {
                    PointKind::Particle(id) => annotations.class(id).map(|class| (class.name.clone(), point.position)),
                    PointKind::Negative => None,
                });
                named.collect()
            }
            Side::Picks => match self.picks.set(tomogram) {
                Some(set) => set_positions(set, &|index| self.picks.is_wanted(set, index)),
                None => Vec::new(),
            },
            Side::Kept(id) => {
                let Some(kept) = self.review.loaded.get(&id) else { return Vec::new() };
                let Some(set) = kept.set(tomogram) else { return Vec::new() };
                let thresholds = &kept.record.thresholds;
                let above = |index: usize| {
                    set.picks.get(index).is_some_and(|pick| thresholds.get(pick.class).is_some_and(|least| pick.score >= *least))
                };
                set_positions(set, &above)
            }
            Side::File => {
                let file = self.review.compare.file.as_ref();
                file.and_then(|file| file.by_tomogram.get(&tomogram)).cloned().unwrap_or_default()
            }
        }
    }

    /// Brings the comparison up to date; tomograms of which nothing has changed are not compared anew.
    pub fn refresh_comparison(&mut self) {
        self.refresh_picks();
        for side in [self.review.compare.reference, self.review.compare.candidates] {
            if let Side::Kept(id) = side {
                self.read_kept(id, false);
            }
        }
        let state = &self.review.compare;
        let made_for =
            (self.picks.revision(), self.review.edits, state.reference, state.candidates, state.only_complete, state.listed);
        if state.made_for == Some(made_for) {
            return;
        }
        let classes = self.compared_classes();
        let mut class_hasher = DefaultHasher::new();
        for class in &classes {
            (&class.name, class.radius_angstrom.to_bits()).hash(&mut class_hasher);
        }
        state.only_complete.hash(&mut class_hasher);
        let class_number = class_hasher.finish();
        let (reference, candidates) = (state.reference, state.candidates);
        let mut results = BTreeMap::new();
        let mut left_out = Vec::new();
        for entry in self.document.tomograms() {
            let id = entry.id;
            let numbers = (self.side_number(reference, id), self.side_number(candidates, id));
            let (first, second) = match numbers {
                (Some(first), Some(second)) => (first, second),
                (None, None) => continue,
                _ => {
                    left_out.push(entry.name.clone());
                    continue;
                }
            };
            let regions = self.complete_boxes(id);
            if state.only_complete && self.limits_to_complete() && regions.is_empty() {
                left_out.push(entry.name.clone());
                continue;
            }
            let mut hasher = DefaultHasher::new();
            (class_number, self.spacing(id).map(f64::to_bits)).hash(&mut hasher);
            regions.hash(&mut hasher);
            let key = (first, second, hasher.finish());
            let result = match state.results.get(&id) {
                Some((present, comparison)) if *present == key => comparison.clone(),
                _ => Arc::new(self.compare_tomogram(id, &classes, &regions)),
            };
            results.insert(id, (key, result));
        }
        let totals = total(results.values().map(|(_, comparison)| comparison.as_ref()), classes.len());
        let listed = state.listed;
        let rows = results.iter().flat_map(|(tomogram, (_, comparison))| {
            let spots = comparison.spots.iter().filter(move |spot| spot.finding == listed);
            spots.map(|spot| Difference { tomogram: *tomogram, spot: *spot })
        });
        let rows = Arc::new(rows.collect::<Vec<Difference>>());
        let state = &mut self.review.compare;
        (state.classes, state.results, state.left_out, state.totals, state.rows) = (classes, results, left_out, totals, rows);
        state.made_for = Some(made_for);
    }

    /// Whether the comparison is one in which complete regions matter: labels say nothing outside them.
    pub fn limits_to_complete(&self) -> bool {
        [self.review.compare.reference, self.review.compare.candidates].contains(&Side::Labels)
            && self.document.tomograms().iter().any(|entry| !self.complete_boxes(entry.id).is_empty())
    }

    fn complete_boxes(&self, tomogram: TomogramId) -> Vec<VoxelBox> {
        let labels = self.document.annotations().labels(tomogram);
        labels.into_iter().flat_map(|labels| labels.regions.values()).map(|region| region.voxels).collect()
    }

    /// The project's classes, and those that only a side knows.
    fn compared_classes(&self) -> Vec<ComparedClass> {
        let annotations = self.document.annotations();
        let own =
            |class: &crate::labels::Class| ComparedClass { name: class.name.clone(), radius_angstrom: class.radius_angstrom };
        let mut classes: Vec<ComparedClass> = annotations.classes.iter().map(own).collect();
        for side in [self.review.compare.reference, self.review.compare.candidates] {
            let of_sets: Vec<ComparedClass> = match side {
                Side::Picks => self.picks.sets().flat_map(|set| &set.classes).map(own).collect(),
                Side::Kept(id) => {
                    self.review.loaded.get(&id).into_iter().flat_map(|kept| &kept.record.classes).map(own).collect()
                }
                // Their radius is not known: that of the class at hand serves.
                Side::File => {
                    let radius_angstrom = annotations.classes.first().map_or(50.0, |class| class.radius_angstrom);
                    let rows = self.review.compare.file.iter().flat_map(|file| file.by_tomogram.values().flatten());
                    rows.map(|(name, _)| ComparedClass { name: name.clone(), radius_angstrom }).collect()
                }
                Side::Labels => Vec::new(),
            };
            for class in of_sets {
                if classes.iter().all(|other| other.name != class.name) {
                    classes.push(class);
                }
            }
        }
        classes
    }

    fn compare_tomogram(&self, tomogram: TomogramId, classes: &[ComparedClass], regions: &[VoxelBox]) -> TomogramComparison {
        let state = &self.review.compare;
        let limited = state.only_complete && self.limits_to_complete();
        let spacing = self.spacing(tomogram).unwrap_or(10.0);
        let side = |side: Side| {
            let mut by_class = vec![Vec::new(); classes.len()];
            for (name, position) in self.side_positions(side, tomogram) {
                let inside = !limited || regions.iter().any(|region| region.contains(position));
                if inside && let Some(class) = classes.iter().position(|class| class.name == name) {
                    by_class[class].push(position);
                }
            }
            by_class
        };
        let tolerances: Vec<f64> = classes.iter().map(|class| TOLERANCE * class.radius_angstrom / spacing).collect();
        compare(&side(state.reference), &side(state.candidates), &tolerances)
    }

    /// Takes in a file to compare with.
    pub(super) fn on_compare_file(&mut self, path: PathBuf, result: Result<Positions, CoordinateError>) {
        let positions = match result {
            Ok(positions) if positions.rows.is_empty() => {
                self.fail_text(
                    "The file cannot be compared with",
                    format!("there is no position in the file: {}", path.display()),
                );
                return;
            }
            Ok(positions) => positions,
            Err(error) => {
                self.fail("The file cannot be compared with", &error);
                return;
            }
        };
        let entries: Vec<_> = self.document.tomograms().to_vec();
        let targets: Vec<Target> = entries
            .iter()
            .map(|entry| Target {
                name: entry.name.clone(),
                shape: Some(match self.volumes.get(&entry.id) {
                    Some(VolumeState::Open(volume)) => volume.shape(),
                    _ => entry.shape,
                }),
                spacing_angstrom: self.spacing(entry.id),
            })
            .collect();
        let unnamed = self.current.and_then(|current| entries.iter().position(|entry| entry.id == current));
        let placement = place(&positions.rows, &targets, &PlaceOptions { unnamed, ..PlaceOptions::default() });
        let mut file = FilePositions { path, ..FilePositions::default() };
        for placed in &placement.placed {
            let name = positions.rows[placed.row].class.clone();
            file.by_tomogram.entry(entries[placed.target].id).or_default().push((name, placed.position));
        }
        if !placement.outside.is_empty() {
            file.left_out.push(format!("{} lie outside their tomogram", placement.outside.len()));
        }
        for (tomogram, count) in &placement.elsewhere {
            file.left_out.push(format!("{count} of {tomogram}, which the project does not have"));
        }
        for ((missing, _), count) in &placement.missing {
            file.left_out.push(format!("{count}: {missing}"));
        }
        if file.by_tomogram.is_empty() {
            let reason = format!("none of its positions lies in a tomogram of the project: {}", file.left_out.join("; "));
            self.fail_text("The file cannot be compared with", reason);
            return;
        }
        self.review.compare.file = Some(file);
        self.review.compare.reference = Side::File;
        self.review.edits += 1;
    }
}
