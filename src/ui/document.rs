//! The project as the window sees it: a [`Project`], and what to tell the user about whether it is on the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::copick::Plan;
use crate::files::{absolute, fingerprint};
use crate::labels::{Annotations, ClassId, Edit, ItemId, PointKind, TomogramId};
use crate::project::{Project, ProjectError, ProjectTomogram};
use crate::volume::tomogram_name;

/// How often writing is tried again after it failed.
const RETRY: Duration = Duration::from_secs(5);

/// Unnamed projects that are offered at most.
const LEFT_BEHIND: usize = 8;

/// Whether everything is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveState {
    /// All of it.
    Saved,
    /// These many changes are in memory alone.
    Failing {
        /// Their number.
        changes: usize,
        /// Why.
        reason: String,
    },
}

/// Labels, tomograms and where they are kept.
pub struct Document {
    /// There until [`Document::close`].
    project: Option<Project>,
    /// Why the latest change could not be written, and when that was last tried.
    failure: Option<(String, Instant)>,
}

impl Document {
    /// A document over an open project.
    pub fn new(project: Project) -> Self {
        Self { project: Some(project), failure: None }
    }

    /// An empty project in the folder for unnamed ones, or if there is none in the folder for temporary files, which the second
    /// value then says.
    ///
    /// # Errors
    /// When neither folder can be written.
    pub fn untitled() -> Result<(Self, Option<ProjectError>), ProjectError> {
        match Project::untitled() {
            Ok(project) => Ok((Self::new(project), None)),
            Err(error) => {
                let folder = std::env::temp_dir().join(format!("semietpicker-{}", std::process::id()));
                Project::create(&folder).map(|project| (Self::new(project), Some(error)))
            }
        }
    }

    /// An unnamed project with the content of a copick project; the second value as with [`Document::untitled`].
    ///
    /// # Errors
    /// When no folder can be written, or the content breaks a rule of projects.
    pub fn of_plan(plan: &Plan) -> Result<(Self, Option<ProjectError>), ProjectError> {
        let (mut document, elsewhere) = Self::untitled()?;
        let filled = plan.fill(document.project_mut());
        document.kept(filled, ())?;
        Ok((document, elsewhere))
    }

    /// Opens a project's folder; an unnamed one stays unnamed.
    ///
    /// # Errors
    /// As [`Project::open`].
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        let folder = if folder.is_file() { folder.parent().unwrap_or(folder) } else { folder };
        Project::open_left_behind(folder).map(Self::new)
    }

    /// Folders of unnamed projects that hold something, the newest first; those that hold nothing are removed.
    pub fn left_behind() -> Vec<PathBuf> {
        let holds_something = |folder: &PathBuf| match Self::open(folder) {
            Ok(mut document) => {
                let empty = document.tomograms().is_empty() && *document.annotations() == Annotations::default();
                if let Err(error) = document.close() {
                    log::warn!("{error}");
                }
                !empty
            }
            // It may be damaged: opening it says what is wrong.
            Err(_) => true,
        };
        Project::left_behind().into_iter().take(LEFT_BEHIND).filter(holds_something).collect()
    }

    /// Whether a path is that of a project, or of a folder that must be meant as one.
    pub fn is_project(path: &Path) -> bool {
        let zarr = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zarr"));
        path.file_name().is_some_and(|name| name == "project.json") || (path.is_dir() && !zarr)
    }

    /// Classes and labels.
    pub fn annotations(&self) -> &Annotations {
        self.project().annotations()
    }

    /// A fresh identity for a point or a region.
    pub fn new_id(&mut self) -> ItemId {
        self.project_mut().new_id()
    }

    /// A fresh identity for a class.
    pub fn new_class_id(&mut self) -> ClassId {
        self.project_mut().new_class_id()
    }

    /// The edit that adds many points at once.
    pub fn import_edit(&mut self, tomogram: TomogramId, points: Vec<([f64; 3], PointKind)>) -> Edit {
        self.project_mut().import_edit(tomogram, points)
    }

    /// A change that is made but could not be written is no failure here: [`Document::save_state`] says so until it is.
    fn kept<T>(&mut self, result: Result<T, ProjectError>, otherwise: T) -> Result<T, ProjectError> {
        match result {
            Err(error @ ProjectError::Unsaved { .. }) => {
                self.failure = Some((reason(&error), Instant::now()));
                Ok(otherwise)
            }
            other => other,
        }
    }

    /// Applies an edit and keeps it.
    ///
    /// # Errors
    /// When the labels do not allow it; nothing has changed then.
    pub fn perform(&mut self, edit: Edit) -> Result<(), ProjectError> {
        let result = self.project_mut().perform(edit);
        self.kept(result, ())
    }

    /// Takes the latest edit back; `false` when there is none.
    ///
    /// # Errors
    /// When it cannot be taken back; nothing has changed then.
    pub fn undo(&mut self) -> Result<bool, ProjectError> {
        let result = self.project_mut().undo().map(|edit| edit.is_some());
        self.kept(result, true)
    }

    /// Performs the edit undone last once more; `false` when there is none.
    ///
    /// # Errors
    /// As [`Document::undo`].
    pub fn redo(&mut self) -> Result<bool, ProjectError> {
        let result = self.project_mut().redo().map(|edit| edit.is_some());
        self.kept(result, true)
    }

    /// What undo would take back.
    pub fn undo_name(&self) -> Option<String> {
        self.project().history().undo_name().map(str::to_owned)
    }

    /// What redo would perform.
    pub fn redo_name(&self) -> Option<String> {
        self.project().history().redo_name().map(str::to_owned)
    }

    /// The tomograms in the order of the list.
    pub fn tomograms(&self) -> &[ProjectTomogram] {
        self.project().tomograms()
    }

    /// The name of a tomogram.
    pub fn name(&self, id: TomogramId) -> String {
        self.project().tomogram(id).map_or_else(|| format!("tomogram {}", id.0), |tomogram| tomogram.name.clone())
    }

    /// Where a tomogram's file is now, or where it was last. A file that is gone is also looked for beside the other tomograms: data
    /// move by the folder.
    pub fn path(&self, id: TomogramId) -> Option<PathBuf> {
        let tomogram = self.project().tomogram(id)?;
        let found = tomogram.locate(self.project().dir()).or_else(|| {
            let name = tomogram.path.file_name()?;
            let others = self.tomograms().iter().filter(|other| other.id != id);
            let folders: BTreeSet<PathBuf> = others.filter_map(|other| Some(other.path.parent()?.to_owned())).collect();
            folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists() && tomogram.is_at(path))
        });
        Some(found.unwrap_or_else(|| tomogram.path.clone()))
    }

    /// The tomogram of this file.
    pub fn tomogram_at(&self, path: &Path) -> Option<TomogramId> {
        let path = absolute(path);
        self.tomograms().iter().find(|tomogram| tomogram.path == path).map(|tomogram| tomogram.id)
    }

    /// The spacing in angstrom that the user has given.
    pub fn spacing_override(&self, id: TomogramId) -> Option<f64> {
        self.project().tomogram(id)?.spacing_angstrom
    }

    /// Adds a tomogram that has been opened; `shape` is `(z, y, x)` in voxels. Its name comes from the file's, made unique.
    ///
    /// # Errors
    /// When it cannot be added.
    pub fn add_tomogram(&mut self, path: &Path, shape: [usize; 3]) -> Result<TomogramId, ProjectError> {
        let path = absolute(path);
        let id = self.project_mut().new_tomogram_id();
        let taken: Vec<&str> = self.tomograms().iter().map(|tomogram| tomogram.name.as_str()).collect();
        let name = unique_name(&path, &taken);
        let size_bytes = std::fs::metadata(&path).ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
        let fingerprint = fingerprint(&path);
        let relative_path = None;
        let tomogram = ProjectTomogram { id, name, path, relative_path, shape, spacing_angstrom: None, size_bytes, fingerprint };
        let result = self.project_mut().add_tomogram(tomogram);
        self.kept(result, ())?;
        Ok(id)
    }

    /// Says where a tomogram's file is now.
    ///
    /// # Errors
    /// When the project does not have it.
    pub fn relink(&mut self, id: TomogramId, path: &Path) -> Result<(), ProjectError> {
        let path = absolute(path);
        let size_bytes = std::fs::metadata(&path).ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
        let fingerprint = fingerprint(&path);
        self.change_tomogram(id, |tomogram| {
            tomogram.path = path;
            tomogram.size_bytes = size_bytes;
            tomogram.fingerprint = fingerprint;
        })
    }

    /// Whether a file is the one that was added as this tomogram, as far as size and fingerprint tell.
    pub fn is_at(&self, id: TomogramId, path: &Path) -> bool {
        self.project().tomogram(id).is_some_and(|tomogram| tomogram.is_at(path))
    }

    /// Takes a tomogram and its labels out of the project.
    ///
    /// # Errors
    /// When the project does not have it.
    pub fn remove_tomogram(&mut self, id: TomogramId) -> Result<(), ProjectError> {
        let result = self.project_mut().remove_tomogram(id);
        self.kept(result, ())
    }

    /// Sets the spacing of a tomogram in angstrom.
    ///
    /// # Errors
    /// When the project does not have it.
    pub fn set_spacing(&mut self, id: TomogramId, spacing_angstrom: f64) -> Result<(), ProjectError> {
        self.change_tomogram(id, |tomogram| tomogram.spacing_angstrom = Some(spacing_angstrom))
    }

    fn change_tomogram(&mut self, id: TomogramId, change: impl FnOnce(&mut ProjectTomogram)) -> Result<(), ProjectError> {
        let mut tomogram = self.project().tomogram(id).cloned().ok_or(ProjectError::NoTomogram(id))?;
        change(&mut tomogram);
        let result = self.project_mut().set_tomogram(tomogram);
        self.kept(result, ())
    }

    /// A setting kept with the project.
    pub fn setting<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.project().setting(key)
    }

    /// Keeps a setting with the project.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn set_setting<T: serde::Serialize>(&mut self, key: &str, value: &T) -> Result<(), ProjectError> {
        let result = self.project_mut().set_setting(key, value);
        self.kept(result, ())
    }

    /// What had to be repaired when the project was opened.
    pub fn notes(&self) -> &[String] {
        self.project().notes()
    }

    /// Whether everything is on the disk.
    pub fn save_state(&self) -> SaveState {
        match (self.project().unsaved(), &self.failure) {
            (0, _) => SaveState::Saved,
            (changes, failure) => {
                let reason = failure.as_ref().map_or_else(|| "writing failed".to_owned(), |(reason, _)| reason.clone());
                SaveState::Failing { changes, reason }
            }
        }
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        self.project().dir()
    }

    /// Whether it still lies in the folder for unnamed projects.
    pub fn is_untitled(&self) -> bool {
        self.project().is_untitled()
    }

    /// The project's name on the screen.
    pub fn title(&self) -> String {
        if self.is_untitled() { "untitled project".to_owned() } else { self.project().name().to_owned() }
    }

    /// Makes sure that everything is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self) -> Result<(), ProjectError> {
        let result = self.project_mut().flush();
        self.failure = result.as_ref().err().map(|error| (reason(error), Instant::now()));
        result
    }

    /// Goes on in another folder.
    ///
    /// # Errors
    /// When that cannot be written or holds a project already.
    pub fn save_as(&mut self, folder: &Path) -> Result<(), ProjectError> {
        self.project_mut().save_as(folder)?;
        self.failure = None;
        Ok(())
    }

    /// Tries once more, now and then, to write what could not be written. Returns when to come again.
    pub fn poll(&mut self) -> Option<Duration> {
        if self.project().unsaved() == 0 {
            return None;
        }
        if self.failure.as_ref().is_none_or(|(_, tried)| tried.elapsed() >= RETRY) {
            // The outcome is what save_state says.
            drop(self.save());
        }
        (self.project().unsaved() > 0).then_some(RETRY)
    }

    /// Closes the project; an unnamed one without content vanishes. Nothing else may be asked of the document after that.
    ///
    /// # Errors
    /// When changes would be lost; the project then stays open.
    pub fn close(&mut self) -> Result<(), ProjectError> {
        match self.project.take().map(Project::close) {
            Some(Err((project, error))) => {
                self.project = Some(project);
                Err(error)
            }
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn project(&self) -> &Project {
        self.project.as_ref().expect("the project is there until the window has closed it")
    }

    fn project_mut(&mut self) -> &mut Project {
        self.project.as_mut().expect("the project is there until the window has closed it")
    }
}

/// The system's reason alone, which is short enough for the top bar.
fn reason(error: &ProjectError) -> String {
    match error {
        ProjectError::Unsaved { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// A name for a file that no other tomogram has: its own without the ending, with its folder's before it or a number after it.
fn unique_name(path: &Path, taken: &[&str]) -> String {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().trim().to_owned()).unwrap_or_default();
    let mut own = tomogram_name(path).trim().to_owned();
    if own.is_empty() {
        own = "tomogram".to_owned();
    }
    let folder = text(path.parent().and_then(Path::file_name));
    let with_folder = if folder.is_empty() { own.clone() } else { format!("{folder}_{own}") };
    let numbered = (2..).map(|number| format!("{own}-{number}"));
    [own.clone(), with_folder].into_iter().chain(numbered).find(|name| !taken.contains(&name.as_str())).unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_unique() {
        let path = Path::new("/data/TS_004/rec.mrc.gz");
        assert_eq!(unique_name(path, &[]), "rec");
        assert_eq!(unique_name(path, &["rec"]), "TS_004_rec");
        assert_eq!(unique_name(path, &["rec", "TS_004_rec", "rec-2"]), "rec-3");
        assert_eq!(unique_name(Path::new("/x/a.b.MRC"), &[]), "a.b");
        assert_eq!(unique_name(Path::new("/x/.mrc"), &[]), ".mrc");
    }

    #[test]
    fn folders_are_projects_unless_they_are_volumes() {
        let folder = tempfile::tempdir().unwrap();
        let zarr = folder.path().join("volume.zarr");
        std::fs::create_dir(&zarr).unwrap();
        assert!(Document::is_project(folder.path()));
        assert!(!Document::is_project(&zarr));
        assert!(Document::is_project(Path::new("/somewhere/project.json")));
        assert!(!Document::is_project(Path::new("/somewhere/tomogram.mrc")));
    }
}
