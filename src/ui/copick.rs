//! copick projects in the window: reading one, asking what to take from it, and saving back. Whatever touches files happens on a
//! thread of its own, one job at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::app::App;
use super::document::Document;
use super::export::ExportWhat;
use super::state::UiState;
use crate::copick::{
    Choice, CopickError, CopickLink, CopickProject, Counted, Grid, LINK_SETTING, Plan, SaveRequest, Saved, Source, Suggestion,
    VoxelSpacing, Wishes, next_session, own_user, save,
};
use crate::project::{Project, ProjectState};

/// Unnamed projects that are looked into for work on the same copick project.
const LOOKED_INTO: usize = 16;

/// What to do.
enum Job {
    Look { config: PathBuf, wishes: Wishes },
    Plan { project: Arc<CopickProject>, choice: Choice },
    LookToSave { link: CopickLink },
    Save { link: CopickLink, request: Box<SaveRequest> },
}

/// What came of a job.
enum Done {
    Looked(Result<Box<OpenForm>, CopickError>),
    Planned(Result<Box<Plan>, CopickError>),
    LookedToSave(Result<Box<SaveForm>, CopickError>),
    Saved(Result<Box<Saved>, CopickError>),
}

/// The thread at work, if any.
pub struct CopickJobs {
    /// What was said on the command line.
    wishes: Wishes,
    wake: Arc<dyn Fn() + Send + Sync>,
    receiver: Option<Receiver<Done>>,
    /// A thread that writes; what only reads is not waited for.
    writing: Option<JoinHandle<()>>,
}

impl CopickJobs {
    /// `wake` is called when a job is done.
    pub fn new(wishes: Wishes, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { wishes, wake: Arc::new(wake), receiver: None, writing: None }
    }

    /// Begins a job; an earlier one that reads is forgotten.
    fn start(&mut self, job: Job) -> io::Result<()> {
        let (sender, receiver) = bounded(1);
        let wake = self.wake.clone();
        let writes = matches!(job, Job::Save { .. });
        let thread = std::thread::Builder::new().name("copick project".to_owned()).spawn(move || {
            // Fails only when nobody wants the answer any more.
            if sender.send(carry_out(job)).is_ok() {
                wake();
            }
        })?;
        self.receiver = Some(receiver);
        self.writing = writes.then_some(thread);
        Ok(())
    }

    fn poll(&mut self) -> Option<Done> {
        match self.receiver.as_ref()?.try_recv() {
            Ok(done) => {
                self.receiver = None;
                self.writing = None;
                Some(done)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                log::error!("the thread for copick projects panicked");
                self.receiver = None;
                self.writing = None;
                None
            }
        }
    }
}

impl Drop for CopickJobs {
    fn drop(&mut self) {
        // What was asked to be saved is saved.
        if let Some(thread) = self.writing.take()
            && thread.join().is_err()
        {
            log::error!("the thread for copick projects panicked");
        }
    }
}

fn carry_out(job: Job) -> Done {
    match job {
        Job::Look { config, wishes } => Done::Looked(OpenForm::read(&config, &wishes).map(Box::new)),
        Job::Plan { project, choice } => Done::Planned(project.plan(&choice).map(Box::new)),
        Job::LookToSave { link } => Done::LookedToSave(SaveForm::read(&link).map(Box::new)),
        Job::Save { link, request } => Done::Saved(save(&link, &request).map(Box::new)),
    }
}

/// What the forms hold.
#[derive(Default)]
pub struct CopickForms {
    /// What to take from a project.
    pub open: Option<Box<OpenForm>>,
    /// As whom to save.
    pub save: Option<Box<SaveForm>>,
    /// What is under way.
    pub busy: Option<&'static str>,
}

/// Asks what to take from a copick project.
pub struct OpenForm {
    /// The project.
    pub project: Arc<CopickProject>,
    /// Its kinds of tomograms.
    pub grids: Vec<Grid>,
    /// The voxel spacing that is chosen.
    pub spacing: VoxelSpacing,
    /// The type of tomogram that is chosen.
    pub tomo_type: String,
    /// Runs, and whether they are taken.
    pub runs: Vec<(String, bool)>,
    /// Who picked how much, and whether that becomes labels.
    pub sources: Vec<(Counted, bool)>,
    /// Unnamed projects that hold earlier work on this one.
    pub earlier: Vec<PathBuf>,
    /// There is something to ask.
    ask: bool,
}

impl OpenForm {
    fn read(config: &Path, wishes: &Wishes) -> Result<Self, CopickError> {
        let project = CopickProject::open(config)?;
        let Suggestion { choice, open_questions } = project.suggest(wishes)?;
        let earlier = earlier_work(&project.config().path);
        let ask = !open_questions.is_empty() || !earlier.is_empty();
        let sources = if ask { project.counts() } else { Vec::new() };
        let chosen = |counted: &Counted| choice.sources.contains(&counted.source);
        let sources = sources.into_iter().map(|counted| {
            let chosen = chosen(&counted);
            (counted, chosen)
        });
        let mut form = Self {
            grids: project.grids(),
            spacing: choice.spacing_angstrom,
            tomo_type: choice.tomo_type.clone(),
            runs: project.runs().iter().map(|run| (run.name.clone(), true)).collect(),
            sources: sources.collect(),
            earlier,
            ask,
            project: Arc::new(project),
        };
        if !ask {
            // Nothing is shown, and what is chosen need not be counted.
            let fresh = |source: Source| Counted { source, runs: 0, files: 0, positions: Default::default(), uncounted: 0 };
            form.sources = choice.sources.into_iter().map(|source| (fresh(source), true)).collect();
        }
        Ok(form)
    }

    /// Whether there are tomograms of the spacing and type chosen.
    pub fn is_possible(&self) -> bool {
        self.grids.iter().any(|grid| grid.spacing_angstrom == self.spacing && grid.tomo_type == self.tomo_type)
            && self.runs.iter().any(|(_, taken)| *taken)
    }

    fn choice(&self) -> Choice {
        let all = self.runs.iter().all(|(_, taken)| *taken);
        let runs = self.runs.iter().filter(|(_, taken)| *taken).map(|(name, _)| name.clone());
        Choice {
            spacing_angstrom: self.spacing,
            tomo_type: self.tomo_type.clone(),
            runs: if all { None } else { Some(runs.collect()) },
            sources: self.sources.iter().filter(|(_, taken)| *taken).map(|(counted, _)| counted.source.clone()).collect(),
        }
    }
}

/// Unnamed projects that came from this configuration, the newest first.
fn earlier_work(config: &Path) -> Vec<PathBuf> {
    let of_config = |folder: &PathBuf| {
        let Ok((state, _)) = ProjectState::read(folder) else {
            return false;
        };
        let link = state.settings.get(LINK_SETTING).cloned();
        link.and_then(|link| serde_json::from_value::<CopickLink>(link).ok()).is_some_and(|link| link.config == config)
    };
    Project::left_behind().into_iter().take(LOOKED_INTO).filter(of_config).collect()
}

/// Asks as whom labels or picks are saved into a copick project.
pub struct SaveForm {
    /// The project's name.
    pub title: String,
    /// Labels or picks.
    pub what: ExportWhat,
    /// Under whose name.
    pub user: String,
    /// In which session labels go, and picks.
    pub sessions: [String; 2],
    /// Replace files of this user and session.
    pub replace: bool,
    /// Writing is under way.
    pub running: bool,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl SaveForm {
    fn read(link: &CopickLink) -> Result<Self, CopickError> {
        let project = CopickProject::open(&link.config)?;
        let user = own_user(project.config()).to_owned();
        // Where this project was saved before, it probably goes again.
        let session = |prefix: &str| {
            let before = link.saved.iter().rev().find(|source| source.user == user && source.session.starts_with(prefix));
            before.map_or_else(|| next_session(&project, &user, prefix), |source| source.session.clone())
        };
        let sessions = [session("labels"), session("picks")];
        let title = project.config().title();
        Ok(Self { title, what: ExportWhat::Labels, user, sessions, replace: false, running: false, error: None })
    }

    /// The session that is meant.
    pub fn session(&mut self) -> &mut String {
        match self.what {
            ExportWhat::Labels => &mut self.sessions[0],
            ExportWhat::Picks => &mut self.sessions[1],
        }
    }
}

impl UiState {
    /// Where this project came from, if it was a copick project.
    pub fn copick_link(&self) -> Option<CopickLink> {
        self.document.setting(LINK_SETTING)
    }
}

impl App {
    /// Opens a copick project; asks what to take from it where there is a choice.
    pub(super) fn open_copick(&mut self, config: PathBuf) {
        // Said of the first project, not of every one that is opened later.
        let wishes = std::mem::take(&mut self.copick.wishes);
        self.begin_copick("Reading the copick project…", Job::Look { config, wishes });
    }

    /// Takes what the form says.
    pub(super) fn take_copick(&mut self) {
        if let Some(form) = self.state.copick.open.take() {
            let choice = form.choice();
            self.begin_copick("Reading headers and picks…", Job::Plan { project: form.project.clone(), choice });
        }
    }

    /// Asks as whom to save.
    pub(super) fn ask_to_save_copick(&mut self) {
        if let Some(link) = self.state.copick_link() {
            self.begin_copick("Reading the copick project…", Job::LookToSave { link });
        }
    }

    /// Saves as the form says.
    pub(super) fn save_copick(&mut self) {
        let Some(link) = self.state.copick_link() else {
            return;
        };
        let Some(mut form) = self.state.copick.save.take() else {
            return;
        };
        let (classes, tomograms) = self.state.positions_of_all(form.what);
        let request = SaveRequest {
            user: form.user.trim().to_owned(),
            session: form.session().trim().to_owned(),
            replace: form.replace,
            classes,
            tomograms,
        };
        form.error = None;
        form.running = self.begin_copick("Saving to the copick project…", Job::Save { link, request: Box::new(request) });
        self.state.copick.save = Some(form);
    }

    fn begin_copick(&mut self, what: &'static str, job: Job) -> bool {
        if self.copick.writing.is_some() {
            self.state.toasts.add("Picks are being saved to a copick project; try again when that is done");
            return false;
        }
        match self.copick.start(job) {
            Ok(()) => {
                self.state.copick.busy = Some(what);
                true
            }
            Err(error) => {
                self.state.fail("A copick project needs a thread", &error);
                false
            }
        }
    }

    /// Takes in what came of a job.
    pub(super) fn collect_copick(&mut self) {
        let Some(done) = self.copick.poll() else {
            return;
        };
        self.state.copick.busy = None;
        match done {
            Done::Looked(Ok(form)) => {
                let ask = form.ask;
                self.state.copick.open = Some(form);
                if !ask {
                    self.take_copick();
                }
            }
            Done::Planned(Ok(plan)) => self.show_copick(&plan),
            Done::LookedToSave(Ok(form)) => self.state.copick.save = Some(form),
            Done::Looked(Err(error)) | Done::Planned(Err(error)) | Done::LookedToSave(Err(error)) => {
                self.state.fail("The copick project cannot be opened", &error);
            }
            Done::Saved(result) => self.on_saved_copick(result),
        }
    }

    fn show_copick(&mut self, plan: &Plan) {
        match Document::of_plan(plan) {
            Ok((document, elsewhere)) => {
                self.replace_document(document);
                if let Some(error) = elsewhere {
                    self.state.fail("The project is kept in the folder for temporary files: save it elsewhere", &error);
                }
            }
            Err(error) => {
                self.state.fail("The copick project cannot be opened", &error);
                return;
            }
        }
        if !plan.notes.is_empty() {
            self.state.fail_text("The copick project was opened, but", plan.notes.join("\n"));
        }
        let (tomograms, labels) = (plan.tomograms.len(), plan.labels());
        self.state.toasts.add(format!("{tomograms} tomograms and {labels} labels from {}", plan.name));
    }

    fn on_saved_copick(&mut self, result: Result<Box<Saved>, CopickError>) {
        // Another project may have been opened meanwhile; its forms are new.
        let running = self.state.copick.save.as_ref().is_some_and(|form| form.running);
        match result {
            Ok(saved) => {
                if running {
                    self.state.copick.save = None;
                    if let Err(error) = self.state.document.set_setting(LINK_SETTING, &saved.link) {
                        self.state.fail("The session was not kept", &error);
                    }
                }
                let source = saved.link.saved.last().map(Source::to_string).unwrap_or_default();
                let (positions, files) = (saved.positions, saved.files.len());
                self.state.toasts.add(format!("{positions} positions in {files} files of {source}"));
                if !saved.notes.is_empty() {
                    self.state.fail_text("Saved to the copick project, but", saved.notes.join("\n"));
                }
            }
            Err(error) => match self.state.copick.save.as_mut().filter(|form| form.running) {
                Some(form) => {
                    form.running = false;
                    form.error = Some(error.to_string());
                }
                None => self.state.fail("Nothing was saved to the copick project", &error),
            },
        }
    }
}
