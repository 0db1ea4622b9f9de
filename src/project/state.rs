//! What a project holds, and its changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ProjectError;
use crate::files::{fingerprint, is_url};
use crate::labels::{Annotations, Edit, MAX_COORDINATE, TomogramId, rounded};

/// A tomogram of a project: a reference to a file, never its voxels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectTomogram {
    /// Its identity, from [`super::Project::new_tomogram_id`].
    pub id: TomogramId,
    /// Its name on the screen and in exports.
    pub name: String,
    /// The file, or the folder of an OME-Zarr, absolute; or the address of one on the web.
    pub path: PathBuf,
    /// The same, seen from the project's folder, for projects that are moved together with their data; kept up to date by the
    /// project.
    #[serde(default)]
    pub relative_path: Option<PathBuf>,
    /// Voxels `(z, y, x)` when it was added.
    pub shape: [usize; 3],
    /// Edge of a voxel in angstrom as the user has set it, positive, kept to a millionth; `None`: as the file says.
    pub spacing_angstrom: Option<f64>,
    /// Size of the file in bytes when it was added; `None` for a folder. Tells a file from another of the same name.
    pub size_bytes: Option<u64>,
    /// Checksum of the start of the file when it was added, which tells it from others of its size; `None` where it was not taken.
    #[serde(default)]
    pub fingerprint: Option<u32>,
}

impl ProjectTomogram {
    /// Whether the file at `path` is the one that was added, as far as size and fingerprint tell.
    pub fn is_at(&self, path: &Path) -> bool {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|metadata| self.size_bytes.is_none_or(|size| metadata.len() == size))
            && self.fingerprint.is_none_or(|known| fingerprint(path) == Some(known))
    }

    /// Where the file is now, seen from the project in `project_dir`: where it was, or else at the same place relative to the
    /// project; of two candidates the one of the right content. `None` when it is in neither place and must be found by the user.
    pub fn locate(&self, project_dir: &Path) -> Option<PathBuf> {
        if is_url(&self.path) {
            // Whether it answers shows when it is opened.
            return Some(self.path.clone());
        }
        let relative = self.relative_path.as_ref().map(|relative| project_dir.join(relative));
        let there: Vec<PathBuf> =
            [Some(self.path.clone()), relative].into_iter().flatten().filter(|path| path.exists()).collect();
        match there.as_slice() {
            // Without a choice nothing is read: the disk may be slow.
            [] | [_] => there.first().cloned(),
            _ => there.iter().find(|path| self.is_at(path)).or(there.first()).cloned(),
        }
    }
}

/// Everything in a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectState {
    /// Its name on the screen.
    pub name: String,
    /// Its tomograms in the order in which they are shown.
    pub tomograms: Vec<ProjectTomogram>,
    /// The next identity of a tomogram to hand out, greater than any that was in use.
    pub next_tomogram: u32,
    /// Classes and labels.
    pub annotations: Annotations,
    /// Settings by name, such as those of training; JSON, so that each part of the program keeps its own.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
}

/// A change of a project, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    Edit(Edit),
    AddTomogram(ProjectTomogram),
    /// Replaces the tomogram of the same identity: relinked, renamed, or with another spacing.
    SetTomogram(ProjectTomogram),
    /// Together with its labels.
    RemoveTomogram(TomogramId),
    SetSetting {
        key: String,
        /// `null` removes the setting.
        value: serde_json::Value,
    },
    Rename(String),
}

impl ProjectState {
    /// Applies a change, or leaves everything as it was.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), ProjectError> {
        let place =
            |id: TomogramId| self.tomograms.iter().position(|tomogram| tomogram.id == id).ok_or(ProjectError::NoTomogram(id));
        match change {
            Change::Edit(edit) => self.annotations.apply(edit)?,
            Change::AddTomogram(tomogram) => {
                if place(tomogram.id).is_ok() || tomogram.id.0 == u32::MAX {
                    return Err(ProjectError::TomogramId(tomogram.id));
                }
                let tomogram = sound(tomogram)?;
                self.next_tomogram = self.next_tomogram.max(tomogram.id.0 + 1);
                self.tomograms.push(tomogram);
            }
            Change::SetTomogram(tomogram) => {
                let place = place(tomogram.id)?;
                self.tomograms[place] = sound(tomogram)?;
            }
            Change::RemoveTomogram(id) => {
                let place = place(*id)?;
                self.tomograms.remove(place);
                self.annotations.tomograms.remove(id);
            }
            Change::SetSetting { key, value } if value.is_null() => {
                self.settings.remove(key);
            }
            Change::SetSetting { key, value } => {
                self.settings.insert(key.clone(), value.clone());
            }
            Change::Rename(name) => self.name.clone_from(name),
        }
        Ok(())
    }

    /// The same state after every rule has been checked, for one that comes from a file.
    pub(super) fn checked(mut self) -> Result<Self, ProjectError> {
        self.annotations = self.annotations.checked()?;
        let mut ids = BTreeSet::new();
        for tomogram in &mut self.tomograms {
            *tomogram = sound(tomogram)?;
            if !ids.insert(tomogram.id) || tomogram.id.0 == u32::MAX {
                return Err(ProjectError::TomogramId(tomogram.id));
            }
            self.next_tomogram = self.next_tomogram.max(tomogram.id.0 + 1);
        }
        Ok(self)
    }

    /// Sets every tomogram's relative path for a project in `dir`.
    pub(super) fn relate_to(&mut self, dir: &Path) {
        for tomogram in &mut self.tomograms {
            tomogram.relative_path = relative(&tomogram.path, dir);
        }
    }
}

/// The tomogram as it is kept, its spacing to a millionth of an angstrom.
fn sound(tomogram: &ProjectTomogram) -> Result<ProjectTomogram, ProjectError> {
    let spacing_angstrom = tomogram.spacing_angstrom.map(rounded);
    match spacing_angstrom {
        Some(spacing) if !(spacing > 0.0 && spacing <= MAX_COORDINATE) => {
            Err(ProjectError::Spacing { tomogram: tomogram.name.clone(), spacing_angstrom: spacing })
        }
        _ => Ok(ProjectTomogram { spacing_angstrom, ..tomogram.clone() }),
    }
}

/// `path` seen from the folder `from`, both absolute; `None` when there is no such way.
pub(super) fn relative(path: &Path, from: &Path) -> Option<PathBuf> {
    if !path.is_absolute() || !from.is_absolute() || path.components().chain(from.components()).any(|c| c == Component::ParentDir)
    {
        return None;
    }
    let common = path.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    // Different drives of Windows have nothing in common.
    if common == 0 {
        return None;
    }
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    Some(up.chain(path.components().skip(common)).collect())
}
