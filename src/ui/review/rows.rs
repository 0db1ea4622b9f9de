//! The list of picks, made anew only when something that it depends on has changed.

use std::sync::Arc;

use super::{ClassLook, List, ListKey, QUEUE};
use crate::labels::{TomogramId, cue};
use crate::review::{Candidate, Row, Verdict, local_spread, most_uncertain, sort};
use crate::ui::picks::project_class;
use crate::ui::state::UiState;
use crate::ui::theme;

impl UiState {
    /// The classes of all picks, those of the project first, as lists draw them.
    pub fn review_classes(&self) -> Vec<ClassLook> {
        let annotations = self.document.annotations();
        let mut looks: Vec<ClassLook> = annotations
            .classes
            .iter()
            .enumerate()
            .map(|(index, class)| ClassLook {
                name: class.name.clone(),
                colour: theme::class_colour(class.colour),
                letter: Some(cue(index)),
                radius_angstrom: class.radius_angstrom,
            })
            .collect();
        for class in self.picks.sets().flat_map(|set| &set.classes) {
            if project_class(annotations, class).is_none() && looks.iter().all(|look| look.name != class.name) {
                let colour = theme::class_colour(class.colour);
                looks.push(ClassLook { name: class.name.clone(), colour, letter: None, radius_angstrom: class.radius_angstrom });
            }
        }
        looks
    }

    /// The picks in the order in which they are looked at.
    pub fn review_list(&mut self) -> List {
        self.refresh_picks();
        let form = &self.review.form;
        let key = ListKey {
            revision: self.picks.revision(),
            edits: self.review.edits,
            scope: if form.all { None } else { Some(self.current.unwrap_or(TomogramId(u32::MAX))) },
            class: form.class.clone(),
            verdict: form.verdict,
            order: form.order,
            uncertain: form.uncertain,
        };
        if let Some((present, list)) = &self.review.list
            && *present == key
        {
            return list.clone();
        }
        let list = self.make_list(&key);
        self.review.list = Some((key, list.clone()));
        list
    }

    fn make_list(&self, key: &ListKey) -> List {
        let classes = self.review_classes();
        let wanted: Option<Verdict> = key.verdict.map(Verdict::from);
        let mut progress = [0; 3];
        let mut rows: Vec<Row> = Vec::new();
        let mut candidates: Vec<Vec<Candidate>> = Vec::new();
        let mut candidate_rows: Vec<Vec<Row>> = Vec::new();
        for (place, entry) in self.document.tomograms().iter().enumerate() {
            if key.scope.is_some_and(|scope| scope != entry.id) {
                continue;
            }
            let (Some(set), Some(view)) = (self.picks.set(entry.id), self.picks.view(entry.id)) else { continue };
            let annotations = self.document.annotations();
            let own = |class| project_class(annotations, class).unwrap_or(class);
            let looks: Vec<Option<u16>> = set
                .classes
                .iter()
                .map(|class| {
                    let name = &own(class).name;
                    let filtered = key.class.as_ref().is_some_and(|wanted| wanted != name);
                    let place = classes.iter().position(|look| look.name == *name);
                    place.filter(|_| !filtered).and_then(|place| u16::try_from(place).ok())
                })
                .collect();
            let row = |index: usize, class: u16| Row {
                tomogram: entry.id,
                place: place as u32,
                index: index as u32,
                class,
                score: set.picks[index].score,
                verdict: view.standings[index].verdict,
            };
            let mask = self.picks.mask(entry.id);
            let thresholds: Vec<f32> = (0..set.classes.len()).map(|class| self.picks.threshold(set, class)).collect();
            let spreads: Vec<f32> = if key.uncertain {
                let scores = |class: usize| set.picks.iter().filter(move |pick| pick.class == class).map(|pick| pick.score);
                thresholds.iter().enumerate().map(|(class, threshold)| local_spread(scores(class), *threshold)).collect()
            } else {
                Vec::new()
            };
            let (mut here, mut here_rows) = (Vec::new(), Vec::new());
            for (index, pick) in set.picks.iter().enumerate() {
                let Some(Some(class)) = looks.get(pick.class).copied() else { continue };
                let row = row(index, class);
                if view.shown[index] {
                    progress[row.verdict as usize] += 1;
                    if !key.uncertain && wanted.is_none_or(|wanted| wanted == row.verdict) {
                        rows.push(row);
                    }
                }
                // Picks just below a threshold are as doubtful as those just above.
                if key.uncertain && row.verdict == Verdict::Open && mask.is_none_or(|mask| mask.contains(pick.position)) {
                    let doubt = (pick.score - thresholds[pick.class]).abs() / spreads[pick.class];
                    let radius_voxels = 2.0 * view.near_voxels[pick.class];
                    here.push(Candidate { index: index as u32, position: pick.position, radius_voxels, doubt });
                    here_rows.push(row);
                }
            }
            candidates.push(here);
            candidate_rows.push(here_rows);
        }
        if key.uncertain {
            let queue = most_uncertain(&candidates, QUEUE);
            rows = queue.into_iter().map(|(tomogram, place)| candidate_rows[tomogram][place]).collect();
        } else {
            sort(&mut rows, key.order);
        }
        List { rows: Arc::new(rows), classes: Arc::new(classes), progress }
    }
}
