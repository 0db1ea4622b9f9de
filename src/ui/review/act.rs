//! Going from pick to pick, and deciding about them.

use std::collections::BTreeMap;

use crate::geometry::distance;
use crate::labels::{Edit, ItemId, Point, PointKind, TomogramId};
use crate::review::{Decision, Row, Verdict, now, user};
use crate::train::{Pick, PickSet};
use crate::ui::picks::project_class;
use crate::ui::state::{UiState, VolumeState};

impl UiState {
    /// Moves the views to a pick, in its tomogram, and puts it under review.
    pub fn review_go_to(&mut self, tomogram: TomogramId, index: usize) {
        let Some(pick) = self.picks.set(tomogram).and_then(|set| set.picks.get(index)).copied() else {
            return;
        };
        self.go_to_position(tomogram, pick.position);
        self.picks.reviewed = Some((tomogram, index));
        self.review.follow = true;
    }

    /// Moves the views to a voxel index `(z, y, x)` of a tomogram, as soon as that is open.
    pub fn go_to_position(&mut self, tomogram: TomogramId, position: [f64; 3]) {
        self.show(tomogram);
        self.review.go_to = Some((tomogram, position));
        self.finish_going();
    }

    /// Arrives where the views were to go, when the tomogram is open.
    pub fn finish_going(&mut self) {
        let Some((tomogram, position)) = self.review.go_to else {
            return;
        };
        if self.current != Some(tomogram) {
            self.review.go_to = None;
        } else if matches!(self.volumes.get(&tomogram), Some(VolumeState::Open(_))) {
            self.review.go_to = None;
            self.move_crosshair(position);
        }
    }

    /// Moves to the next (or previous) pick of the list.
    pub fn review_step(&mut self, forward: bool) {
        if self.open_volume().is_none() {
            return;
        }
        if self.picks.is_empty() {
            self.toasts.add("No picks yet: train, or pick a tomogram with a model");
            return;
        }
        let list = self.review_list();
        let at = self.picks.reviewed.and_then(|reviewed| position(&list.rows, reviewed));
        let next = match (at, forward) {
            (None, true) => list.rows.first(),
            (None, false) => None,
            (Some(at), true) => list.rows.get(at + 1),
            (Some(at), false) => at.checked_sub(1).and_then(|at| list.rows.get(at)),
        };
        match next {
            Some(row) => self.review_go_to(row.tomogram, row.index as usize),
            None if list.rows.is_empty() => self.toasts.add("No pick is above the threshold and passes the filters"),
            None => self.toasts.add(if forward { "That was the last pick" } else { "That was the first pick" }),
        }
    }

    /// Turns the pick under review into a label, into "not a particle", or neither, and goes on to the next open one.
    pub fn review_decide(&mut self, verdict: Verdict) {
        let Some((tomogram, index)) = self.picks.reviewed else {
            return;
        };
        let list = self.review_list();
        let at = position(&list.rows, (tomogram, index));
        let later = at.map_or(&[][..], |at| &list.rows[at + 1..]);
        let next = later.iter().find(|row| row.verdict == Verdict::Open).copied();
        if !self.decide(tomogram, index, verdict) || verdict == Verdict::Open {
            return;
        }
        match next {
            Some(row) => self.review_go_to(row.tomogram, row.index as usize),
            None if list.progress[0] <= 1 => self.toasts.add("Every pick of the list has been decided"),
            None => self.toasts.add("That was the last open pick of the list from here on"),
        }
    }

    /// Decides about a pick; whether it is as decided now.
    fn decide(&mut self, tomogram: TomogramId, index: usize, verdict: Verdict) -> bool {
        let Some(set) = self.picks.set(tomogram).cloned() else {
            return false;
        };
        let Some(pick) = set.picks.get(index).copied() else {
            return false;
        };
        if !matches!(self.volumes.get(&tomogram), Some(VolumeState::Open(_))) {
            self.toasts.add("Wait until the tomogram is open");
            return false;
        }
        let Some((edits, label)) = self.decision_edits(tomogram, &set, &pick, verdict) else {
            return false;
        };
        if edits.is_empty() {
            return true;
        }
        let class = set.classes.get(pick.class).map_or("", |class| class.name.as_str());
        let name = match verdict {
            Verdict::Accepted => format!("accept {class} pick"),
            Verdict::Rejected => format!("reject {class} pick"),
            Verdict::Open => format!("take back the decision on a {class} pick"),
        };
        if !self.perform(Edit::Batch { name, edits }) {
            return false;
        }
        self.note_decisions(verdict, &[(tomogram, label, pick)]);
        self.refresh_picks();
        true
    }

    /// The edits that make a pick accepted, rejected or open, and the label that says so; none when it is so already. `None` when
    /// it cannot be done, which has been said.
    fn decision_edits(
        &mut self,
        tomogram: TomogramId,
        set: &PickSet,
        pick: &Pick,
        verdict: Verdict,
    ) -> Option<(Vec<Edit>, ItemId)> {
        let class = set.classes.get(pick.class)?.clone();
        let near = class.radius_angstrom / self.spacing(tomogram).unwrap_or(10.0) * 0.5;
        let own = project_class(self.document.annotations(), &class).map(|class| class.id);
        let labels = self.document.annotations().labels(tomogram);
        let points = labels.into_iter().flat_map(|labels| labels.points.values());
        let mut here: Vec<Point> = points.filter(|point| distance(point.position, pick.position) < near).copied().collect();
        here.sort_by(|a, b| distance(a.position, pick.position).total_cmp(&distance(b.position, pick.position)));
        let particle = |point: &&Point| own.is_some_and(|own| point.kind == PointKind::Particle(own));
        let negative = |point: &&Point| point.kind == PointKind::Negative;
        let other = here.iter().find(|point| !particle(point) && !negative(point));
        if verdict == Verdict::Rejected
            && let Some(other) = other
        {
            let name = match other.kind {
                PointKind::Particle(id) => {
                    self.document.annotations().class(id).map_or("a particle", |class| class.name.as_str())
                }
                PointKind::Negative => "a particle",
            };
            let text = format!("A label of {name} is here, which “not a particle” would contradict: remove or move it first");
            self.toasts.add(text);
            return None;
        }
        let (for_it, against): (Vec<Point>, Vec<Point>) = {
            let particles = here.iter().filter(particle).copied().collect();
            let negatives = here.iter().filter(negative).copied().collect();
            if verdict == Verdict::Rejected { (negatives, particles) } else { (particles, negatives) }
        };
        let remove =
            |points: &[Point]| points.iter().map(|point| Edit::RemovePoint { tomogram, point: *point }).collect::<Vec<Edit>>();
        let mut edits = Vec::new();
        if verdict == Verdict::Open {
            let label = for_it.first().or(against.first()).map_or(ItemId(0), |point| point.id);
            edits.extend(remove(&for_it));
            edits.extend(remove(&against));
            return Some((edits, label));
        }
        let kind = if verdict == Verdict::Accepted {
            PointKind::Particle(self.class_for_picks(&class, &mut BTreeMap::new(), &mut edits))
        } else {
            PointKind::Negative
        };
        let label = match (for_it.first(), against.first()) {
            (Some(present), _) => {
                edits.extend(remove(&against));
                present.id
            }
            (None, Some(turned)) => {
                edits.push(Edit::SetKind { tomogram, id: turned.id, from: turned.kind, to: kind });
                edits.extend(remove(&against[1..]));
                turned.id
            }
            (None, None) => {
                let id = self.document.new_id();
                edits.push(Edit::AddPoint { tomogram, point: Point { id, position: pick.position, kind } });
                id
            }
        };
        Some((edits, label))
    }

    /// Writes a decision into the log: who, when, what had made the picks, and the thresholds in force.
    pub(in crate::ui) fn note_decisions(&mut self, verdict: Verdict, decided: &[(TomogramId, ItemId, Pick)]) {
        let mut classes: Vec<String> = Vec::new();
        let mut thresholds = Vec::new();
        let mut picks = Vec::with_capacity(decided.len());
        let mut places: BTreeMap<(TomogramId, usize), u16> = BTreeMap::new();
        for (tomogram, label, pick) in decided {
            let place = *places.entry((*tomogram, pick.class)).or_insert_with(|| {
                let set = self.picks.set(*tomogram);
                let name = set.and_then(|set| set.classes.get(pick.class)).map_or_else(String::new, |class| class.name.clone());
                let place = classes.iter().position(|class| *class == name).unwrap_or_else(|| {
                    thresholds.push(set.map_or(0.5, |set| self.picks.threshold(set, pick.class)));
                    classes.push(name);
                    classes.len() - 1
                });
                u16::try_from(place).unwrap_or(u16::MAX)
            });
            picks.push((label.0, place, pick.score));
        }
        let step = decided.first().and_then(|(tomogram, _, _)| self.picks.set(*tomogram)).map_or(0, |set| set.step);
        let model = self.picks_made_by(step);
        // While a run shows its live view, the picks are of no kept set yet.
        let set = if self.review.run.is_some() { None } else { self.review.form.set };
        let (verdict, who, when) = (Decision::word(verdict), user(), now());
        let decision = Decision { verdict, who, when, model, set, classes, thresholds, picks };
        if let Err(error) = self.review.log.add(decision) {
            self.fail("The label is kept, but not who decided it", &error);
        }
    }
}

fn position(rows: &[Row], (tomogram, index): (TomogramId, usize)) -> Option<usize> {
    rows.iter().position(|row| row.tomogram == tomogram && row.index as usize == index)
}
