//! Undo and redo.

use std::collections::VecDeque;

use super::{Annotations, Edit, EditError};

/// Edits that can be undone; older ones are forgotten.
pub const MAX_HISTORY: usize = 1000;

/// An edit as it was performed, and its name for the menu, fixed while the classes that it names still exist.
#[derive(Clone, Debug)]
struct Entry {
    edit: Edit,
    name: String,
}

/// What can be undone and redone. It belongs to one sitting: a reopened project starts with an empty one.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Oldest first.
    done: VecDeque<Entry>,
    /// The next to redo last.
    undone: Vec<Entry>,
}

impl History {
    /// Applies `edit` and remembers it; what had been undone can no longer be redone.
    ///
    /// # Errors
    /// As [`Annotations::apply`]; nothing has changed then.
    pub fn perform(&mut self, annotations: &mut Annotations, edit: Edit) -> Result<(), EditError> {
        let name = edit.describe(annotations);
        annotations.apply(&edit)?;
        if edit.is_empty() {
            return Ok(());
        }
        self.undone.clear();
        self.done.push_back(Entry { edit, name });
        if self.done.len() > MAX_HISTORY {
            self.done.pop_front();
        }
        Ok(())
    }

    /// Takes the latest edit back. Returns the edit that was applied, which is its inverse, so that it can be journalled;
    /// `None` when there is nothing to undo.
    ///
    /// # Errors
    /// When the labels were changed behind the history's back so that the inverse no longer applies; nothing has changed then.
    pub fn undo(&mut self, annotations: &mut Annotations) -> Result<Option<Edit>, EditError> {
        let Some(entry) = self.done.back() else { return Ok(None) };
        let inverse = entry.edit.inverse();
        annotations.apply(&inverse)?;
        self.undone.extend(self.done.pop_back());
        Ok(Some(inverse))
    }

    /// Performs the edit undone last once more. Returns it, so that it can be journalled; `None` when there is nothing to redo.
    ///
    /// # Errors
    /// As [`History::undo`].
    pub fn redo(&mut self, annotations: &mut Annotations) -> Result<Option<Edit>, EditError> {
        let Some(entry) = self.undone.last() else { return Ok(None) };
        let edit = entry.edit.clone();
        annotations.apply(&edit)?;
        self.done.extend(self.undone.pop());
        Ok(Some(edit))
    }

    /// What [`History::undo`] would take back, such as `add ribosome`.
    pub fn undo_name(&self) -> Option<&str> {
        self.done.back().map(|entry| entry.name.as_str())
    }

    /// What [`History::redo`] would perform.
    pub fn redo_name(&self) -> Option<&str> {
        self.undone.last().map(|entry| entry.name.as_str())
    }
}
