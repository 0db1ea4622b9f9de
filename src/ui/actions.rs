//! What the panels request, carried out.

use std::path::{Path, PathBuf};

use super::app::App;
use super::dialogs::{MODEL_ENDING, Purpose};
use super::document::Document;
use super::import::holds_positions;
use super::review::Job;
use super::state::{Action, UiState, VolumeState};
use super::training::{Phase, problems};
use crate::copick;
use crate::files::absolute;
use crate::labels::{Class, Edit, TomogramId};
use crate::train::{Command, Method};

/// Name under which the project keeps the settings of training.
const TRAIN_SETTING: &str = "train";

impl App {
    /// Carries out a request.
    pub fn handle(&mut self, action: Action) {
        match action {
            Action::OpenDialog => self.dialog(Purpose::Tomograms),
            Action::OpenProjectDialog => self.dialog(Purpose::OpenProject),
            Action::SaveAsDialog => self.dialog(Purpose::SaveProject),
            Action::LoadModelDialog => self.dialog(Purpose::LoadModel),
            Action::SaveModelDialog => self.dialog(Purpose::SaveModel),
            Action::ExportFolderDialog => self.dialog(Purpose::ExportFolder),
            Action::Open(paths) => self.open(paths),
            Action::NewProject => match Document::untitled() {
                Ok((document, elsewhere)) => {
                    self.replace_document(document);
                    if let Some(error) = elsewhere {
                        self.state.fail("The project is kept in the folder for temporary files: save it elsewhere", &error);
                    }
                }
                Err(error) => self.state.fail("A new project cannot be made", &error),
            },
            Action::SaveAs(folder) => self.save_as(&folder),
            Action::Save => match self.state.document.save() {
                Ok(()) => self.state.toasts.add("Saved"),
                Err(error) => self.state.fail("The project was not saved", &error),
            },
            Action::RemoveTomogram(id) => self.remove_tomogram(id),
            Action::RetryTomogram(id) => {
                self.state.review.thumbs.retry();
                if let Some(path) = self.state.document.path(id) {
                    self.state.volumes.insert(id, VolumeState::Opening);
                    self.jobs.open(Some(id), path);
                }
            }
            Action::RelinkDialog(id) => self.dialog(Purpose::Relink(id)),
            Action::Relink(id, path) => {
                self.state.relinking.insert(id, path.clone());
                self.state.volumes.insert(id, VolumeState::Opening);
                self.jobs.open(Some(id), path);
            }
            Action::Undo => self.undo(),
            Action::Redo => self.redo(),
            Action::Snap(click) => self.snap(click),
            Action::LiveViewEvery(secs) => {
                self.send(Command::LiveViewEvery(secs));
            }
            Action::Train => self.train(None),
            Action::ContinueRun => {
                self.state.look_for_a_run();
                match self.state.training.kept_run.clone() {
                    Some(run) => self.train(Some(run)),
                    None => {
                        self.state.fail_text("The run cannot go on", "its checkpoint is no longer there; train anew".to_owned());
                    }
                }
            }
            // Shown at once: the step at hand may take seconds, and a second press meanwhile means the opposite.
            Action::Pause => {
                if self.send(Command::Pause) {
                    self.state.training.phase = Phase::Paused;
                }
            }
            Action::Resume => {
                if self.send(Command::Resume) {
                    self.state.training.phase = Phase::Running;
                }
            }
            Action::StopTraining => {
                if self.send(Command::Stop) {
                    self.state.training.phase = Phase::Stopping;
                }
            }
            Action::Pick(ids) => {
                let tomograms: Vec<_> = ids.iter().filter_map(|id| self.state.training_tomogram(*id)).collect();
                let count = tomograms.len();
                if count > 0 && self.send(Command::Pick { tomograms, flips: true }) {
                    self.state.training.picks_due += count;
                }
            }
            Action::AcceptPicks(which) => {
                let all = || self.state.document.tomograms().iter().map(|entry| entry.id).collect();
                let ids: Vec<TomogramId> = which.map_or_else(all, |id| vec![id]);
                let labels = self.state.accept_picks(&ids);
                self.state.toasts.add(format!("{labels} picks became labels"));
            }
            Action::LoadModel(path) => {
                let device = self.state.training.config.device;
                self.send(Command::LoadModel { path, device });
            }
            Action::SaveModel(mut path) => {
                if path.extension().is_none() {
                    path.set_extension(MODEL_ENDING);
                }
                self.send(Command::SaveModel(path));
            }
            Action::ImportLabelsDialog => self.dialog(Purpose::ImportLabels),
            Action::ImportLabels(path) => {
                let current = self.state.current;
                self.files.read(path, current);
            }
            Action::CompareDialog => self.dialog(Purpose::Compare),
            Action::CompareWith(path) => self.review.add(Job::Positions(path)),
            Action::Export => {
                if let Some(job) = self.state.begin_export() {
                    self.files.export(job);
                }
            }
            Action::TakeCopick => self.take_copick(),
            Action::SaveCopickForm => self.ask_to_save_copick(),
            Action::SaveCopick => self.save_copick(),
            Action::Quit => self.ctx.send_viewport_cmd(egui::ViewportCommand::Close),
        }
    }

    /// Fills an empty project for a demonstration.
    pub(super) fn begin_demo(&mut self, tomograms: &[PathBuf], classes: &[Class]) {
        for class in classes {
            let id = self.state.document.new_class_id();
            let index = self.state.document.annotations().classes.len();
            self.state.perform(Edit::AddClass { index, class: Class { id, ..class.clone() } });
        }
        self.open(tomograms.to_vec());
        let labelled = &tomograms[..tomograms.len().saturating_sub(1)];
        let due = labelled.iter().filter_map(|path| {
            let table = path.with_extension("csv");
            let path = absolute(path);
            (table.exists() && self.state.document.tomogram_at(&path).is_none()).then_some((path, table))
        });
        self.state.imports_due = due.collect();
    }

    fn dialog(&mut self, purpose: Purpose) {
        let ctx = self.ctx.clone();
        if let Err(error) = self.dialogs.show(purpose, move || ctx.request_repaint()) {
            self.state.fail("A dialog cannot be shown; type a path instead", &error);
        }
    }

    fn send(&mut self, command: Command) -> bool {
        match self.session.send(command) {
            Ok(()) => true,
            Err(error) => {
                self.state.fail("The training thread did not take the request", &error);
                false
            }
        }
    }

    fn open(&mut self, paths: Vec<PathBuf>) {
        if let Some(config) = paths.iter().find_map(|path| copick::config_at(path)) {
            if paths.len() > 1 {
                self.state.toasts.add("A copick project is opened alone; open the other files after it");
            }
            self.open_copick(config);
            return;
        }
        let (tables, paths): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| holds_positions(path));
        let is_model = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(MODEL_ENDING));
        let (models, paths): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_model);
        let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| Document::is_project(path));
        if let Some(folder) = folders.first() {
            match Document::open(folder) {
                Ok(document) => self.replace_document(document),
                Err(error) => self.state.fail("The project cannot be opened", &error),
            }
        }
        if let Some(model) = models.into_iter().next() {
            if self.state.training.is_active() {
                self.state.toasts.add("A model is loaded when no training runs; stop it first");
            } else {
                self.handle(Action::LoadModel(absolute(&model)));
            }
        }
        let mut first = None;
        for path in files {
            let path = absolute(&path);
            match self.state.document.tomogram_at(&path) {
                Some(id) => {
                    if matches!(self.state.volumes.get(&id), Some(VolumeState::Failed(_)) | None) {
                        self.handle(Action::RetryTomogram(id));
                    }
                    self.state.show(id);
                }
                None if self.state.opening.contains(&path) => {}
                None => {
                    first.get_or_insert_with(|| path.clone());
                    self.state.opening.push(path.clone());
                    self.jobs.open(None, path);
                }
            }
        }
        self.state.show_when_open = first.or(self.state.show_when_open.take());
        self.state.tables_due.extend(tables);
        self.state.import_due_tables();
    }

    pub(super) fn replace_document(&mut self, document: Document) {
        if self.state.training.is_active() {
            self.send(Command::Stop);
        }
        self.keep_contrast();
        if let Err(error) = self.state.document.save() {
            self.state.fail("The project at hand cannot be saved, so it stays open", &error);
            return;
        }
        self.jobs.forget();
        self.files.forget_reading();
        self.hand_over_review_jobs();
        self.review.forget();
        self.state.keep_review_form(true);
        let config = document.setting(TRAIN_SETTING).unwrap_or_else(|| self.state.training.config.clone());
        let mut state = UiState::new(document, config);
        state.display = self.state.display.clone();
        state.snap = self.state.snap;
        state.orbit = self.state.orbit;
        state.panels = self.state.panels;
        state.training.model = self.state.training.model.take();
        state.review.model = self.state.review.model.take();
        state.review.open = self.state.review.open;
        state.training.device = self.state.training.device.take();
        let mut old = std::mem::replace(&mut self.state, state);
        if let Err(error) = old.document.close() {
            self.state.fail("The project before was not saved", &error);
        }
        self.open_all_tomograms();
    }

    fn remove_tomogram(&mut self, id: TomogramId) {
        let name = self.state.document.name(id);
        match self.state.document.remove_tomogram(id) {
            Ok(()) => {
                self.state.volumes.remove(&id);
                self.state.picks.remove(id);
                self.state.after_edit();
                if self.state.current == Some(id) {
                    self.state.current = None;
                    self.state.panes.iter_mut().for_each(|pane| pane.slice = None);
                    if let Some(next) = self.state.document.tomograms().first().map(|entry| entry.id) {
                        self.state.show(next);
                    }
                }
                self.state.toasts.add(format!("{name} was removed from the project; its file stays"));
            }
            Err(error) => self.state.fail(format!("{name} was not removed"), &error),
        }
    }

    fn save_as(&mut self, folder: &Path) {
        // Read before the project moves: the folder of an unnamed one goes.
        let run = self.state.training.kept_run.as_ref().map(std::fs::read);
        if let Err(error) = self.state.document.save_as(folder) {
            self.state.fail("The project was not saved there", &error);
            return;
        }
        let file = self.state.run_file();
        if self.state.training.is_active() {
            self.send(Command::KeepRunAt(file));
        } else if let Some(Err(error)) = run.map(|bytes| std::fs::write(&file, bytes?)) {
            self.state.fail("The checkpoint of the last run did not come along", &error);
        }
        self.state.review.log.move_to(self.state.document.folder());
        self.state.look_for_a_run();
        self.state.toasts.add(format!("The project is kept in {}", folder.display()));
    }

    fn undo(&mut self) {
        let name = self.state.document.undo_name();
        match self.state.document.undo() {
            Ok(true) => {
                self.state.after_edit();
                self.state.toasts.add(format!("Undid {}", name.unwrap_or_default()));
            }
            Ok(false) => self.state.toasts.add("Nothing to undo"),
            Err(error) => self.state.fail("Undo failed", &error),
        }
    }

    fn redo(&mut self) {
        let name = self.state.document.redo_name();
        match self.state.document.redo() {
            Ok(true) => {
                self.state.after_edit();
                self.state.toasts.add(format!("Redid {}", name.unwrap_or_default()));
            }
            Ok(false) => self.state.toasts.add("Nothing to redo"),
            Err(error) => self.state.fail("Redo failed", &error),
        }
    }

    fn train(&mut self, run: Option<PathBuf>) {
        if problems(&self.state).iter().any(|problem| problem.blocks) || self.state.training.is_active() {
            return;
        }
        let set = self.state.training_set();
        let classes = set.classes.clone();
        let mut config = self.state.training.config.clone();
        config.cotrain_steps = if config.method == Method::Supervised { 0 } else { config.steps };
        config.checkpoint = Some(self.state.run_file());
        if let Err(error) = self.state.document.set_setting(TRAIN_SETTING, &config) {
            self.state.fail("The settings were not kept", &error);
        }
        let command = match run {
            Some(run) => Command::Continue { config, set, run },
            None => Command::Train { config, set },
        };
        if self.send(command) {
            self.state.training.begin(classes);
            self.state.set_changed = false;
            self.state.focus_changed = true;
        }
    }
}
