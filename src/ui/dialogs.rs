//! File dialogs, each on a thread of its own: a desktop portal may take its time, or never answer.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use rfd::FileDialog;

use super::import::POSITION_ENDINGS;
use super::state::Action;
use crate::labels::TomogramId;

/// Endings of tomogram files, for the dialog's filter; content decides when opening.
const TOMOGRAM_ENDINGS: [&str; 13] = ["mrc", "rec", "map", "st", "ali", "gz", "bz2", "tif", "tiff", "MRC", "REC", "TIF", "TIFF"];
/// Ending of model files.
pub const MODEL_ENDING: &str = "model";

/// What the dialog is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tomograms to add.
    Tomograms,
    /// A project folder to open.
    OpenProject,
    /// The file of a tomogram that is no longer where it was.
    Relink(TomogramId),
    /// A folder to keep the project in.
    SaveProject,
    /// A model to read.
    LoadModel,
    /// A model file to write.
    SaveModel,
    /// The folder for an export.
    ExportFolder,
    /// A table of positions to read.
    ImportLabels,
    /// A table of positions to compare with.
    Compare,
}

/// What came of a dialog.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// Something was chosen.
    Do(Action),
    /// The folder for an export.
    ExportFolder(PathBuf),
    /// Nothing was chosen, or no dialog could be shown: these look the same.
    Nothing(Purpose),
}

/// The dialog on the screen, if any.
#[derive(Debug, Default)]
pub struct Dialogs {
    open: Option<(Purpose, Receiver<Option<Vec<PathBuf>>>)>,
}

impl Dialogs {
    /// Shows a dialog unless one is open; `wake` is called when it is closed.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn show(&mut self, purpose: Purpose, wake: impl Fn() + Send + 'static) -> std::io::Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        let (sender, receiver) = bounded(1);
        // Not joined: a dialog that is still open must not keep the window from closing.
        std::thread::Builder::new().name("file dialog".to_owned()).spawn(move || {
            let dialog = FileDialog::new();
            let one = |path: Option<PathBuf>| path.map(|path| vec![path]);
            let answer = match purpose {
                Purpose::Tomograms => dialog
                    .set_title("Open tomograms")
                    .add_filter("Tomograms", &TOMOGRAM_ENDINGS)
                    .add_filter("All files", &["*"])
                    .pick_files(),
                Purpose::Relink(_) => one(dialog
                    .set_title("Where is this tomogram now?")
                    .add_filter("Tomograms", &TOMOGRAM_ENDINGS)
                    .add_filter("All files", &["*"])
                    .pick_file()),
                Purpose::OpenProject => one(dialog.set_title("Open a project folder").pick_folder()),
                Purpose::SaveProject => one(dialog.set_title("Save the project as").set_file_name("picking.semiet").save_file()),
                Purpose::LoadModel => one(dialog.set_title("Load a model").add_filter("Models", &[MODEL_ENDING]).pick_file()),
                Purpose::SaveModel => {
                    let name = format!("model.{MODEL_ENDING}");
                    one(dialog.set_title("Save the model").set_file_name(name).save_file())
                }
                Purpose::ImportLabels => one(dialog
                    .set_title("Import labels")
                    .add_filter("Positions", &[&POSITION_ENDINGS[..], &["json"]].concat())
                    .add_filter("All files", &["*"])
                    .pick_file()),
                Purpose::Compare => one(dialog
                    .set_title("Compare with positions")
                    .add_filter("Positions", &[&POSITION_ENDINGS[..], &["json"]].concat())
                    .add_filter("All files", &["*"])
                    .pick_file()),
                Purpose::ExportFolder => one(dialog.set_title("Export into a folder").pick_folder()),
            };
            // Fails only when the window is gone.
            if sender.send(answer).is_ok() {
                wake();
            }
        })?;
        self.open = Some((purpose, receiver));
        Ok(())
    }

    /// The answer, once, when the dialog has been closed.
    pub fn poll(&mut self) -> Option<Answer> {
        let (purpose, receiver) = self.open.as_ref()?;
        let purpose = *purpose;
        let paths = match receiver.try_recv() {
            Ok(paths) => paths.unwrap_or_default(),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Vec::new(),
        };
        self.open = None;
        let Some(first) = paths.first().cloned() else {
            return Some(Answer::Nothing(purpose));
        };
        Some(match purpose {
            Purpose::Tomograms => Answer::Do(Action::Open(paths)),
            Purpose::Relink(id) => Answer::Do(Action::Relink(id, first)),
            Purpose::OpenProject => Answer::Do(Action::Open(vec![first])),
            Purpose::SaveProject => Answer::Do(Action::SaveAs(first)),
            Purpose::LoadModel => Answer::Do(Action::LoadModel(first)),
            Purpose::SaveModel => Answer::Do(Action::SaveModel(first)),
            Purpose::ImportLabels => Answer::Do(Action::ImportLabels(first)),
            Purpose::Compare => Answer::Do(Action::CompareWith(first)),
            Purpose::ExportFolder => Answer::ExportFolder(first),
        })
    }
}
