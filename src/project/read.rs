//! Looking into a project without taking it: for other tasks while a window has it open.

use std::fs;
use std::io;
use std::path::Path;

use super::state::{Change, ProjectState};
use super::{JOURNAL, ProjectError, journal, snapshot};

impl ProjectState {
    /// Reads the project in the folder `dir` as it is on the disk, without its lock and without changing or repairing anything;
    /// another program may have it open. The second value says what could not be read, one sentence each.
    ///
    /// # Errors
    /// When there is no project, when a newer program has written it, or when neither the snapshot nor a backup can be read.
    pub fn read(dir: &Path) -> Result<(Self, Vec<String>), ProjectError> {
        let path = dir.join(JOURNAL);
        // The journal first: a snapshot taken meanwhile holds all of it, whereas a journal read after the snapshot may have been
        // emptied into a newer one.
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(ProjectError::io("read the journal", &path)(error)),
        };
        let snapshot::Found { mut state, mut sequence, mut notes } = snapshot::look(dir)?;
        let contents = journal::read(&bytes);
        let damaged = contents.damaged + repeat(&mut state, &mut sequence, &contents.records);
        if damaged > 0 {
            notes.push(format!("{damaged} changes in the journal are damaged and left out"));
        }
        Ok((state, notes))
    }
}

/// Repeats the changes after number `sequence` and counts those that cannot be.
pub(super) fn repeat(state: &mut ProjectState, sequence: &mut u64, records: &[(u64, &str)]) -> usize {
    let mut failed = 0;
    for (number, change) in records {
        if *number <= *sequence {
            continue;
        }
        *sequence = *number;
        let change: Result<Change, _> = serde_json::from_str(change);
        if !change.is_ok_and(|change| state.apply(&change).is_ok()) {
            failed += 1;
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{Class, Edit};
    use crate::project::Project;

    #[test]
    fn an_open_project_can_be_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let mut project = Project::create(folder.path()).unwrap();
        let id = project.new_class_id();
        let class = Class { id, name: "a".to_owned(), radius_angstrom: 50.0, colour: [0; 3] };
        project.perform(Edit::AddClass { index: 0, class }).unwrap();
        let before: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let (state, notes) = ProjectState::read(folder.path()).unwrap();
        assert_eq!((&state, notes.len()), (project.state(), 0));
        project.compact().unwrap();
        assert_eq!(ProjectState::read(folder.path()).unwrap().0, *project.state());

        // A damaged snapshot is passed over and left where it is.
        project.perform(Edit::Batch { name: "nothing".to_owned(), edits: Vec::new() }).unwrap();
        fs::write(folder.path().join("project.json"), "{").unwrap();
        let (_, notes) = ProjectState::read(folder.path()).unwrap();
        assert!(notes[0].contains("backup"), "{notes:?}");
        assert!(before.iter().all(|path| path.exists()));
        assert!(matches!(ProjectState::read(&folder.path().join("none")), Err(ProjectError::NotAProject(_))));
    }
}
