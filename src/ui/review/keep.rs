//! Keeping sets of picks with a record of what made them.

use std::path::Path;
use std::sync::Arc;

use super::ReviewState;
use super::jobs::{Done, Job};
use crate::labels::TomogramId;
use crate::review::{KeptPicks, KeptTomogram, ModelRecord, PickRecord, now, user};
use crate::train::PickSet;
use crate::ui::state::UiState;
use crate::ui::training::file_name;

/// Picked tomograms that wait at most while others are still being picked.
const WAITING: usize = 16;

impl ReviewState {
    /// A model has been read.
    pub(in crate::ui) fn note_model(&mut self, path: &Path) {
        self.model = Some(ModelRecord { name: file_name(path), path: Some(path.to_owned()), ..ModelRecord::default() });
        self.jobs.push(Job::Fingerprint(path.to_owned()));
    }
}

impl UiState {
    /// A run begins.
    pub(in crate::ui) fn note_run(&mut self) {
        self.review.run = Some(ModelRecord { name: "trained here".to_owned(), trained: Some(now()), ..ModelRecord::default() });
        self.review.live.clear();
    }

    /// The run has ended: its model is the one that picks now, and the picks of its last live view are kept.
    pub(in crate::ui) fn note_run_end(&mut self, steps: usize) {
        if let Some(run) = self.review.run.take() {
            self.review.model = Some(ModelRecord { steps, ..run });
            let live = std::mem::take(&mut self.review.live);
            self.review.to_keep.extend(live);
        }
    }

    /// A tomogram has been picked whole.
    pub(in crate::ui) fn note_picked(&mut self, tomogram: TomogramId) {
        self.review.to_keep.insert(tomogram);
    }

    /// The live view has newer picks of a tomogram.
    pub(in crate::ui) fn note_live(&mut self, tomogram: TomogramId) {
        if self.review.run.is_some() {
            self.review.live.insert(tomogram);
        }
    }

    /// What made the picks on the screen, for the log.
    pub(in crate::ui) fn picks_made_by(&self, step: usize) -> String {
        let record = self.review.run.as_ref().or(self.review.model.as_ref());
        let record = record.or_else(|| self.review.shown_record().map(|record| &record.model));
        record.map_or_else(
            || format!("unknown model, {step} steps"),
            |model| ModelRecord { steps: if model.steps > 0 { model.steps } else { step }, ..model.clone() }.title(),
        )
    }

    /// Hands what has been picked to the thread that keeps it; while tomograms are still being picked, not every one by itself.
    pub fn keep_picks(&mut self) {
        let waiting = self.review.to_keep.len();
        if waiting == 0 || (self.training.picks_due > 0 && waiting < WAITING) {
            return;
        }
        let ids = std::mem::take(&mut self.review.to_keep);
        let sets: Vec<Arc<PickSet>> = ids.iter().filter_map(|id| self.picks.set(*id).cloned()).collect();
        // Sets of one model only: a live view may have left older ones behind.
        let Some(latest) = sets.iter().map(|set| set.step).max() else { return };
        let mut kept: Option<KeptPicks> = None;
        for set in sets.into_iter().filter(|set| set.step == latest) {
            let kept = kept.get_or_insert_with(|| KeptPicks { record: self.new_record(&set), sets: Vec::new() });
            let tomogram = KeptTomogram {
                id: set.tomogram,
                name: self.document.name(set.tomogram),
                spacing_angstrom: self.spacing(set.tomogram),
                picked: now(),
                picks: set.picks.len(),
            };
            kept.put(tomogram, set);
        }
        if let Some(kept) = kept {
            self.review.jobs.push(Job::Keep { folder: self.document.folder().to_owned(), kept: Box::new(kept) });
        }
    }

    fn new_record(&self, set: &PickSet) -> PickRecord {
        let unknown = || ModelRecord { name: "unknown model".to_owned(), ..ModelRecord::default() };
        let model = self.review.model.clone().unwrap_or_else(unknown);
        PickRecord {
            version: 0,
            id: 0,
            model: ModelRecord { steps: set.step, ..model },
            program: String::new(),
            written: now(),
            who: user(),
            classes: set.classes.clone(),
            suggested: set.thresholds.clone(),
            thresholds: (0..set.classes.len()).map(|class| self.picks.threshold(set, class)).collect(),
            tomograms: Vec::new(),
            picks: 0,
            crc32: 0,
        }
    }

    /// Reads a kept set, unless it is there; with `show` its picks become those on the screen.
    pub fn read_kept(&mut self, id: u32, show: bool) {
        match self.review.loaded.get(&id).cloned() {
            Some(kept) if show => self.show_kept(&kept),
            Some(_) => {}
            None => {
                // Asked for once; what cannot be read has been said.
                if self.review.reading.insert(id) || show {
                    let folder = self.document.folder().to_owned();
                    self.review.jobs.push(Job::Read { folder, id, show });
                }
            }
        }
    }

    fn show_kept(&mut self, kept: &KeptPicks) {
        let known: Vec<TomogramId> = self.document.tomograms().iter().map(|entry| entry.id).collect();
        self.picks.clear();
        for set in kept.sets.iter().filter(|set| known.contains(&set.tomogram)) {
            self.picks.put(set.clone());
        }
        self.review.form.set = Some(kept.record.id);
    }

    /// Takes in what the thread for sets has done.
    pub fn on_review_done(&mut self, done: Done) {
        match done {
            Done::Kept(Ok(kept)) => {
                let record = kept.record.clone();
                self.review.form.set = Some(record.id);
                match self.review.kept.iter().position(|other| other.id == record.id) {
                    Some(place) => self.review.kept[place] = record,
                    None => self.review.kept.push(record),
                }
                self.review.loaded.insert(kept.record.id, Arc::new(*kept));
                self.review.edits += 1;
            }
            Done::Kept(Err(error)) => self.fail("The picks are on the screen but not kept with the project", &error),
            Done::Read { result: Ok(kept), show } => {
                let kept = Arc::new(*kept);
                self.review.reading.remove(&kept.record.id);
                self.review.loaded.insert(kept.record.id, kept.clone());
                self.review.edits += 1;
                if show {
                    self.show_kept(&kept);
                }
            }
            Done::Read { result: Err(error), .. } => self.fail("The picks cannot be read", &error),
            Done::Removed { id, result: Ok(()) } => {
                self.review.kept.retain(|record| record.id != id);
                self.review.loaded.remove(&id);
                if self.review.form.set == Some(id) {
                    self.review.form.set = None;
                }
                self.review.edits += 1;
            }
            Done::Removed { result: Err(error), .. } => self.fail("The set of picks was not removed", &error),
            Done::Positions { path, result } => self.on_compare_file(path, result),
        }
    }
}
