//! Requests that need threads, files or the session.

use std::path::PathBuf;

use crate::labels::TomogramId;
use crate::ui::snap::Click;

/// A request that needs threads, files or the session; handled after the frame is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Choose tomograms in a dialog.
    OpenDialog,
    /// Choose a project folder in a dialog.
    OpenProjectDialog,
    /// Choose where to keep the project in a dialog.
    SaveAsDialog,
    /// Open tomograms or a project folder.
    Open(Vec<PathBuf>),
    /// Begin an empty project.
    NewProject,
    /// Keep the project in this folder.
    SaveAs(PathBuf),
    /// Make sure that everything is on the disk.
    Save,
    /// Take a tomogram out of the project.
    RemoveTomogram(TomogramId),
    /// Try once more to open a tomogram.
    RetryTomogram(TomogramId),
    /// Choose in a dialog where a tomogram's file is now.
    RelinkDialog(TomogramId),
    /// Take this file for a tomogram whose own is gone.
    Relink(TomogramId, PathBuf),
    /// Take the latest edit back.
    Undo,
    /// Perform it again.
    Redo,
    /// Add a point at the middle of the density near a click.
    Snap(Click),
    /// How often a run in progress refreshes the live view, in seconds; `None` for never.
    LiveViewEvery(Option<f64>),
    /// Start training.
    Train,
    /// Go on with the project's latest run from its checkpoint.
    ContinueRun,
    /// Halt.
    Pause,
    /// Go on.
    Resume,
    /// End early.
    StopTraining,
    /// Pick tomograms with the model.
    Pick(Vec<TomogramId>),
    /// Turn the picks above the thresholds into labels; `None` for all tomograms.
    AcceptPicks(Option<TomogramId>),
    /// Choose a model file in a dialog.
    LoadModelDialog,
    /// Choose where to write the model in a dialog.
    SaveModelDialog,
    /// Read a model.
    LoadModel(PathBuf),
    /// Write the model.
    SaveModel(PathBuf),
    /// Choose a table of positions in a dialog.
    ImportLabelsDialog,
    /// Add the positions of a table as labels.
    ImportLabels(PathBuf),
    /// Choose a file to compare positions with in a dialog.
    CompareDialog,
    /// Read positions to compare with.
    CompareWith(PathBuf),
    /// Choose the folder for an export in a dialog.
    ExportFolderDialog,
    /// Write coordinates as the export form says.
    Export,
    /// Take from a copick project what its form says.
    TakeCopick,
    /// Ask as whom to save to the copick project.
    SaveCopickForm,
    /// Save to the copick project as its form says.
    SaveCopick,
    /// Close the window.
    Quit,
}
