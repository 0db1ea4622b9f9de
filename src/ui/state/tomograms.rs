//! The tomograms of the project: open or not, the one on the screen, and what training sees of them.

use std::path::Path;
use std::sync::Arc;

use super::{Action, UiState};
use crate::labels::TomogramId;
use crate::project::ProjectError;
use crate::train::{TrainingSet, TrainingTomogram};
use crate::volume::{ContrastLimits, VolumeSource};

/// A tomogram that has been opened.
#[derive(Clone)]
pub struct OpenVolume {
    /// Its voxels.
    pub source: Arc<dyn VolumeSource>,
    /// The limits computed from its voxels, and their distribution.
    pub limits: Arc<ContrastLimits>,
    /// Values shown black and white.
    pub contrast: [f32; 2],
}

impl OpenVolume {
    /// Voxels `(z, y, x)`.
    pub fn shape(&self) -> [usize; 3] {
        self.source.info().shape
    }
}

/// How far opening a tomogram has come.
#[derive(Clone)]
pub enum VolumeState {
    /// On its way.
    Opening,
    /// There.
    Open(OpenVolume),
    /// Not readable, with the reason.
    Failed(String),
}

impl UiState {
    /// The tomogram on the screen, when it is open.
    pub fn open_volume(&self) -> Option<(TomogramId, &OpenVolume)> {
        let id = self.current?;
        match self.volumes.get(&id) {
            Some(VolumeState::Open(volume)) => Some((id, volume)),
            _ => None,
        }
    }

    /// The spacing of a tomogram in angstrom: what the user said, else what the file says.
    pub fn spacing(&self, id: TomogramId) -> Option<f64> {
        self.document.spacing_override(id).or_else(|| match self.volumes.get(&id) {
            Some(VolumeState::Open(volume)) => volume.source.info().spacing_angstrom,
            _ => None,
        })
    }

    /// The radius of a class in voxels of a tomogram; a guess of 100 angstrom per ten voxels while its spacing is unknown.
    pub fn radius_voxels(&self, tomogram: TomogramId, radius_angstrom: f64) -> f64 {
        radius_angstrom / self.spacing(tomogram).unwrap_or(10.0)
    }

    /// Gives tomograms a spacing in angstrom that their files do not say.
    pub fn set_spacing(&mut self, ids: &[TomogramId], spacing_angstrom: f64) {
        for id in ids {
            if let Err(error) = self.document.set_spacing(*id, spacing_angstrom) {
                self.fail("The spacing was not kept", &error);
            }
        }
        self.after_edit();
    }

    /// Shows another tomogram.
    pub fn show(&mut self, id: TomogramId) {
        if self.current == Some(id) {
            return;
        }
        self.current = Some(id);
        self.focus_changed = true;
        self.selection.clear();
        self.picks.reviewed = None;
        for pane in &mut self.panes {
            pane.view = None;
            pane.drag = None;
        }
        if let Some((_, volume)) = self.open_volume() {
            self.crosshair = volume.shape().map(|n| n / 2);
        }
    }

    /// Shows the tomogram `steps` further in the list, around its ends.
    pub fn step_tomogram(&mut self, steps: isize) {
        let ids: Vec<TomogramId> = self.document.tomograms().iter().map(|tomogram| tomogram.id).collect();
        if ids.is_empty() {
            return;
        }
        let at = self.current.and_then(|id| ids.iter().position(|other| *other == id)).unwrap_or(0) as isize;
        self.show(ids[(at + steps).rem_euclid(ids.len() as isize) as usize]);
    }

    /// The tomogram of a file that has been opened: the one that the project lacks and that this must be, or a new one.
    ///
    /// # Errors
    /// When it cannot be added to the project.
    pub fn adopt(&mut self, path: &Path, shape: [usize; 3]) -> Result<TomogramId, ProjectError> {
        if let Some(id) = self.document.tomogram_at(path) {
            return Ok(id);
        }
        let missing = self.document.tomograms().iter().find(|tomogram| {
            matches!(self.volumes.get(&tomogram.id), Some(VolumeState::Failed(_)))
                && tomogram.shape == shape
                && tomogram.path.file_name() == path.file_name()
        });
        match missing.map(|tomogram| tomogram.id) {
            Some(id) => self.document.relink(id, path).map(|()| id),
            None => self.document.add_tomogram(path, shape),
        }
    }

    /// Takes a file that the user has chosen for a tomogram whose own is gone, and looks for other missing ones beside it. Returns whether
    /// it can be that tomogram: labels belong to voxels, so the sizes must be equal.
    pub fn take_for(&mut self, id: TomogramId, path: &Path, shape: [usize; 3]) -> bool {
        let Some(known) = self.document.tomograms().iter().find(|tomogram| tomogram.id == id) else { return false };
        let (name, expected) = (known.name.clone(), known.shape);
        if expected != shape {
            let text = |[z, y, x]: [usize; 3]| format!("{x} × {y} × {z}");
            let detail = format!(
                "it has {} voxels (x, y, z) where the labels belong to {}: {}",
                text(shape),
                text(expected),
                path.display()
            );
            self.volumes.insert(id, VolumeState::Failed(detail.clone()));
            self.fail_text(format!("This file is not {name}"), detail);
            return false;
        }
        if !self.document.is_at(id, path) {
            self.toasts.add(format!("{name}: this file is of the same size, but not the one that was labelled"));
        }
        if let Err(error) = self.document.relink(id, path) {
            self.fail(format!("{name} was not found again"), &error);
            return false;
        }
        let missing = |state: &Option<&VolumeState>| matches!(state, Some(VolumeState::Failed(_)));
        let others = self.document.tomograms().iter().map(|tomogram| tomogram.id);
        let others: Vec<_> = others.filter(|other| *other != id && missing(&self.volumes.get(other))).collect();
        self.actions.extend(others.into_iter().map(Action::RetryTomogram));
        true
    }

    /// Classes and tomograms for training. Tomograms that are not open or whose spacing is unknown are left out.
    pub fn training_set(&self) -> TrainingSet {
        let annotations = self.document.annotations();
        let ids = self.document.tomograms().iter().map(|tomogram| tomogram.id);
        TrainingSet { classes: annotations.classes.clone(), tomograms: ids.filter_map(|id| self.training_tomogram(id)).collect() }
    }

    /// A tomogram as the training thread sees it; `None` when it is not open or its spacing is unknown.
    pub fn training_tomogram(&self, id: TomogramId) -> Option<TrainingTomogram> {
        let Some(VolumeState::Open(volume)) = self.volumes.get(&id) else {
            return None;
        };
        Some(TrainingTomogram {
            id,
            name: self.document.name(id),
            source: volume.source.clone(),
            spacing_angstrom: self.spacing(id)?,
            labels: self.document.annotations().labels(id).cloned().unwrap_or_default(),
        })
    }
}
