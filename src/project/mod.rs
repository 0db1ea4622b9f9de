//! A project: a folder that holds which tomograms belong together and what has been said about them, and that loses none of it.
//!
//! - `project.json`: a snapshot of everything; three older ones beside it.
//! - `journal.jsonl`: every change since the snapshot, one line each, on the disk before the call that makes it returns.
//! - `lock`: held while a window has the project open.
//! - `picks/` and `decisions.jsonl`: sets of picks and the log of decisions about them, of [`crate::review`]; the project only takes
//!   them along.
//!
//! Opening reads the snapshot and repeats the journal. A program that is killed in the middle of a write loses at most the
//! change it was writing. When the disk is full a change stays in memory, the caller hears [`ProjectError::Unsaved`], and the
//! change is written with the next one that finds room. The cost of a change does not depend on how much has been labelled.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::labels::{Annotations, ClassId, Edit, History, ItemId, PointKind, TomogramId};

mod error;
mod journal;
mod lock;
mod read;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod untitled;

pub use error::ProjectError;
pub use state::{ProjectState, ProjectTomogram};
pub use untitled::data_folder;
pub(crate) use untitled::date_time;

use journal::Journal;
use lock::Lock;
use state::Change;

const JOURNAL: &str = "journal.jsonl";
/// Kept beside the project by other parts of the program.
const PICKS: &str = "picks";
const DECISIONS: &str = "decisions.jsonl";

/// Lines of the journal after which a snapshot is taken, so that opening stays quick.
const LINES_PER_SNAPSHOT: usize = 2000;

/// An open project.
pub struct Project {
    dir: PathBuf,
    state: ProjectState,
    history: History,
    /// Number of the latest change.
    sequence: u64,
    journal: Journal,
    /// Lines of the journal at which the next snapshot is due.
    snapshot_at: usize,
    notes: Vec<String>,
    untitled: bool,
    _lock: Lock,
}

impl Project {
    /// Creates an empty project in the folder `dir`, which is created when it is missing; its name is the folder's.
    ///
    /// # Errors
    /// When there is a project already, or when the folder cannot be written.
    pub fn create(dir: &Path) -> Result<Self, ProjectError> {
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| "project".to_owned());
        Self::create_with(dir, ProjectState { name, ..ProjectState::default() }, 0)
    }

    fn create_with(dir: &Path, mut state: ProjectState, sequence: u64) -> Result<Self, ProjectError> {
        let dir = std::path::absolute(dir).map_err(ProjectError::io("find the folder", dir))?;
        fs::create_dir_all(&dir).map_err(ProjectError::io("create the folder", &dir))?;
        if snapshot::files(&dir).iter().any(|file| file.exists()) {
            return Err(ProjectError::Exists(dir));
        }
        let (lock, note) = Lock::take(&dir)?;
        state.relate_to(&dir);
        // A journal without a snapshot belongs to nothing that could be opened; it must not be repeated on top of this project.
        let journal = open_journal(&dir, 0, 0)?;
        let mut project = Self {
            dir,
            state,
            history: History::default(),
            sequence,
            journal,
            snapshot_at: LINES_PER_SNAPSHOT,
            notes: note.into_iter().collect(),
            untitled: false,
            _lock: lock,
        };
        project.journal.clear();
        project.compact()?;
        Ok(project)
    }

    /// Opens the project in the folder `dir`. What had to be repaired is in [`Project::notes`].
    ///
    /// # Errors
    /// When there is no project, when another window has it open, when a newer program has written it, or when neither the
    /// snapshot nor a backup can be read.
    pub fn open(dir: &Path) -> Result<Self, ProjectError> {
        let dir = std::path::absolute(dir).map_err(ProjectError::io("find the folder", dir))?;
        if !snapshot::files(&dir).iter().any(|file| file.exists()) {
            return Err(ProjectError::NotAProject(dir));
        }
        let (lock, note) = Lock::take(&dir)?;
        let snapshot::Found { mut state, mut sequence, mut notes } = snapshot::read(&dir)?;
        notes.extend(note);
        let damaged_snapshot = !notes.is_empty() && !dir.join(snapshot::SNAPSHOT).exists();

        let path = dir.join(JOURNAL);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(ProjectError::io("read the journal", &path)(error)),
        };
        let contents = journal::read(&bytes);
        let failed = read::repeat(&mut state, &mut sequence, &contents.records);
        if contents.torn {
            notes.push("the last change was being written when the program ended and is left out".to_owned());
        }
        let damaged = contents.damaged + failed;
        if damaged > 0 {
            // What cannot be repeated is kept for whoever wants to look; the snapshot below empties the journal.
            let kept = keep_damaged(&dir, &bytes)?;
            notes.push(format!(
                "{damaged} changes in the journal are damaged and left out; all others were recovered, and the journal was kept: {}",
                kept.display()
            ));
        }
        let journal = open_journal(&dir, contents.whole, contents.records.len())?;
        let mut project = Self {
            dir,
            state,
            history: History::default(),
            sequence,
            journal,
            snapshot_at: LINES_PER_SNAPSHOT,
            notes,
            untitled: false,
            _lock: lock,
        };
        if damaged > 0 || damaged_snapshot || project.journal.lines() >= LINES_PER_SNAPSHOT {
            project.compact_or_warn();
        }
        Ok(project)
    }

    /// The project's folder, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything in the project.
    pub fn state(&self) -> &ProjectState {
        &self.state
    }

    /// The name on the screen.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Classes and labels.
    pub fn annotations(&self) -> &Annotations {
        &self.state.annotations
    }

    /// The tomograms in the order in which they are shown.
    pub fn tomograms(&self) -> &[ProjectTomogram] {
        &self.state.tomograms
    }

    /// The tomogram `id`.
    pub fn tomogram(&self, id: TomogramId) -> Option<&ProjectTomogram> {
        self.state.tomograms.iter().find(|tomogram| tomogram.id == id)
    }

    /// What can be undone and redone by [`Project::undo`] and [`Project::redo`].
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What had to be repaired when the project was opened, one sentence each, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Changes that are not on the disk yet, because writing them failed.
    pub fn unsaved(&self) -> usize {
        self.journal.queued()
    }

    /// A fresh identity for a point or a region.
    pub fn new_id(&mut self) -> ItemId {
        self.state.annotations.new_id()
    }

    /// A fresh identity for a class.
    pub fn new_class_id(&mut self) -> ClassId {
        self.state.annotations.new_class_id()
    }

    /// A fresh identity for a tomogram.
    pub fn new_tomogram_id(&mut self) -> TomogramId {
        let id = TomogramId(self.state.next_tomogram);
        self.state.next_tomogram = self.state.next_tomogram.saturating_add(1);
        id
    }

    /// The edit that adds many points at once; see [`Annotations::import_edit`].
    pub fn import_edit(&mut self, tomogram: TomogramId, points: impl IntoIterator<Item = ([f64; 3], PointKind)>) -> Edit {
        self.state.annotations.import_edit(tomogram, points)
    }

    /// Applies an edit to the labels, remembers it for undo, and writes it to the journal.
    ///
    /// # Errors
    /// [`ProjectError::Edit`] when the labels do not allow it: nothing has changed. [`ProjectError::Unsaved`] when it could not
    /// be written: the edit is made and kept in memory. So it is with every method that changes the project.
    pub fn perform(&mut self, edit: Edit) -> Result<(), ProjectError> {
        self.history.perform(&mut self.state.annotations, edit.clone())?;
        if edit.is_empty() { Ok(()) } else { self.write(&Change::Edit(edit)) }
    }

    /// Takes the latest edit back. Returns the edit that was applied; `None` when there is nothing to undo.
    ///
    /// # Errors
    /// As [`Project::perform`].
    pub fn undo(&mut self) -> Result<Option<Edit>, ProjectError> {
        let applied = self.history.undo(&mut self.state.annotations)?;
        self.write_if_any(applied)
    }

    /// Performs the edit undone last once more. Returns it; `None` when there is nothing to redo.
    ///
    /// # Errors
    /// As [`Project::perform`].
    pub fn redo(&mut self) -> Result<Option<Edit>, ProjectError> {
        let applied = self.history.redo(&mut self.state.annotations)?;
        self.write_if_any(applied)
    }

    fn write_if_any(&mut self, applied: Option<Edit>) -> Result<Option<Edit>, ProjectError> {
        if let Some(edit) = &applied {
            self.write(&Change::Edit(edit.clone()))?;
        }
        Ok(applied)
    }

    /// Applies an edit to the project's labels and writes it to the journal, without remembering it for undo: for a caller that
    /// has its own [`History`], and its own annotations, on which it has performed the edit already.
    ///
    /// # Errors
    /// As [`Project::perform`].
    pub fn record(&mut self, edit: &Edit) -> Result<(), ProjectError> {
        self.change(Change::Edit(edit.clone()))
    }

    /// Adds a tomogram at the end; its relative path is set here.
    ///
    /// # Errors
    /// When its identity is in use; else as [`Project::perform`].
    pub fn add_tomogram(&mut self, tomogram: ProjectTomogram) -> Result<(), ProjectError> {
        let relative_path = state::relative(&tomogram.path, &self.dir);
        self.change(Change::AddTomogram(ProjectTomogram { relative_path, ..tomogram }))
    }

    /// Replaces the tomogram of the same identity: found elsewhere, renamed, or with another spacing.
    ///
    /// # Errors
    /// When there is none; else as [`Project::perform`].
    pub fn set_tomogram(&mut self, tomogram: ProjectTomogram) -> Result<(), ProjectError> {
        let relative_path = state::relative(&tomogram.path, &self.dir);
        self.change(Change::SetTomogram(ProjectTomogram { relative_path, ..tomogram }))
    }

    /// Removes a tomogram from the project together with its labels; its file stays. This cannot be undone and empties
    /// the history, in which edits of its labels may stand; a caller with a history of its own must empty that as well.
    ///
    /// # Errors
    /// When there is none; else as [`Project::perform`].
    pub fn remove_tomogram(&mut self, id: TomogramId) -> Result<(), ProjectError> {
        if self.tomogram(id).is_some() {
            self.history = History::default();
        }
        self.change(Change::RemoveTomogram(id))
    }

    /// The setting `key`; `None` when it was never set or is not such a value.
    pub fn setting<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.state.settings.get(key).and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// Sets the setting `key`; a value that is `null` in JSON removes it. Nothing is written when nothing changes.
    ///
    /// # Errors
    /// As [`Project::perform`].
    pub fn set_setting<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), ProjectError> {
        let value = serde_json::to_value(value).map_err(|error| ProjectError::Unwritable(error.to_string()))?;
        if self.state.settings.get(key).unwrap_or(&serde_json::Value::Null) == &value {
            return Ok(());
        }
        self.change(Change::SetSetting { key: key.to_owned(), value })
    }

    /// Gives the project another name on the screen; the folder keeps its own.
    ///
    /// # Errors
    /// As [`Project::perform`].
    pub fn rename(&mut self, name: &str) -> Result<(), ProjectError> {
        self.change(Change::Rename(name.to_owned()))
    }

    /// Writes changes that could not be written before.
    ///
    /// # Errors
    /// [`ProjectError::Unsaved`] when it still fails.
    pub fn flush(&mut self) -> Result<(), ProjectError> {
        self.journal.flush().map_err(|source| self.unsaved_error(source))
    }

    /// Takes a snapshot and empties the journal; changes that were waiting are saved with it. Happens by itself now and then.
    ///
    /// # Errors
    /// When writing fails; the snapshot before and the journal are as they were.
    pub fn compact(&mut self) -> Result<(), ProjectError> {
        snapshot::write(&self.dir, &self.state, self.sequence)?;
        self.journal.clear();
        self.snapshot_at = LINES_PER_SNAPSHOT;
        Ok(())
    }

    /// Writes everything to a new project in the folder `dir` and goes on there. An unnamed project's old folder is removed, any
    /// other stays as it was last saved.
    ///
    /// # Errors
    /// When there is a project already or the folder cannot be written; the project then goes on where it was.
    pub fn save_as(&mut self, dir: &Path) -> Result<(), ProjectError> {
        let mut state = self.state.clone();
        if let Some(name) = dir.file_name() {
            state.name = name.to_string_lossy().into_owned();
        }
        let mut saved = Self::create_with(dir, state, self.sequence)?;
        if let Err(error) = copy_companions(&self.dir, &saved.dir) {
            saved.remove_files();
            return Err(error);
        }
        saved.history = std::mem::take(&mut self.history);
        let old = std::mem::replace(self, saved);
        if old.untitled {
            old.remove_files();
        }
        Ok(())
    }

    /// Whether the project lies in the place for unnamed ones, from [`Project::untitled`].
    pub fn is_untitled(&self) -> bool {
        self.untitled
    }

    /// Applies a change and writes it.
    fn change(&mut self, change: Change) -> Result<(), ProjectError> {
        // Written as text first: what cannot be written must not be applied.
        let text = text_of(&change)?;
        self.state.apply(&change)?;
        self.append(&text)
    }

    /// Writes a change that has been applied.
    fn write(&mut self, change: &Change) -> Result<(), ProjectError> {
        let text = text_of(change)?;
        self.append(&text)
    }

    fn append(&mut self, text: &str) -> Result<(), ProjectError> {
        self.sequence += 1;
        self.journal.append(self.sequence, text).map_err(|source| self.unsaved_error(source))?;
        if self.journal.lines() >= self.snapshot_at {
            self.compact_or_warn();
        }
        Ok(())
    }

    /// A snapshot that is due but cannot be taken costs nothing but time at the next start: the journal has everything.
    fn compact_or_warn(&mut self) {
        if let Err(error) = self.compact() {
            log::warn!("cannot take a snapshot of the project now: {error}");
            self.snapshot_at = self.journal.lines() + LINES_PER_SNAPSHOT;
        }
    }

    fn unsaved_error(&self, source: io::Error) -> ProjectError {
        ProjectError::Unsaved { records: self.journal.queued(), path: self.dir.join(JOURNAL), source }
    }

    /// Removes the project's own files, and its folder when nothing else is in it.
    fn remove_files(self) {
        let own = snapshot::files(&self.dir).into_iter().chain([self.dir.join(JOURNAL), self.dir.join("lock")]);
        for file in own {
            // A file that stays behind is a copy of what has been saved elsewhere.
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_file(self.dir.join(DECISIONS));
        for entry in fs::read_dir(self.dir.join(PICKS)).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
        let _ = fs::remove_dir(self.dir.join(PICKS));
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Copies what lies beside a project to another's folder.
fn copy_companions(from: &Path, to: &Path) -> Result<(), ProjectError> {
    let copy = |name: &Path| {
        let (source, target) = (from.join(name), to.join(name));
        fs::copy(&source, &target).map(drop).map_err(ProjectError::io("copy the picks of the project", &source))
    };
    if from.join(DECISIONS).exists() {
        copy(Path::new(DECISIONS))?;
    }
    if !from.join(PICKS).exists() {
        return Ok(());
    }
    let folder = to.join(PICKS);
    fs::create_dir_all(&folder).map_err(ProjectError::io("create the folder", &folder))?;
    let entries = fs::read_dir(from.join(PICKS)).map_err(ProjectError::io("read the folder", from))?;
    entries.flatten().filter(|entry| entry.path().is_file()).try_for_each(|entry| copy(&Path::new(PICKS).join(entry.file_name())))
}

fn text_of(change: &Change) -> Result<String, ProjectError> {
    serde_json::to_string(change).map_err(|error| ProjectError::Unwritable(error.to_string()))
}

fn open_journal(dir: &Path, whole: u64, lines: usize) -> Result<Journal, ProjectError> {
    let path = dir.join(JOURNAL);
    let new = !path.exists();
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(ProjectError::io("open the journal", &path))?;
    if new {
        crate::files::sync_folder(dir).map_err(ProjectError::io("open the journal", &path))?;
    }
    Ok(Journal::new(Box::new(file), whole, lines))
}

/// Keeps a journal that could not be read whole under a new name.
fn keep_damaged(dir: &Path, bytes: &[u8]) -> Result<PathBuf, ProjectError> {
    let mut number = 1;
    loop {
        let path = dir.join(format!("journal.damaged-{number}.jsonl"));
        match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(bytes)
                    .and_then(|()| file.sync_all())
                    .map_err(ProjectError::io("keep the damaged journal", &path))?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(ProjectError::io("keep the damaged journal", &path)(error)),
        }
    }
}
