//! What the window knows of the training thread: it learns everything from events.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::state::{UiState, VolumeState};
use crate::labels::{Class, TomogramId};
use crate::train::{Event, Heatmap, LiveView, Progress, TrainConfig};

/// Where the run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No run.
    #[default]
    Idle,
    /// Asked for, not begun.
    Starting,
    /// Steps are being done.
    Running,
    /// Halted.
    Paused,
    /// The steps are done, the thresholds are being chosen.
    Finishing,
    /// Asked to end.
    Stopping,
}

/// The model in the training thread's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Its classes.
    pub classes: Vec<Class>,
    /// Where it comes from, for people.
    pub origin: String,
    /// Spacing in angstrom that it was trained at, when it was read from a file.
    pub spacing_angstrom: Option<f64>,
}

/// Heatmaps kept at once; they are large, and a newer one comes whenever a tomogram is shown.
const HEATMAPS: usize = 3;
/// Name of the checkpoint of a run in the project's folder.
const RUN_FILE: &str = "training.run";
/// Points of the loss curve; beyond that, every other one is dropped.
const CURVE: usize = 2000;

/// A loss over steps, thinned so that it stays small.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Step and loss.
    pub points: Vec<[f64; 2]>,
    /// Steps between two points.
    stride: usize,
}

impl Default for Curve {
    fn default() -> Self {
        Self { points: Vec::new(), stride: 1 }
    }
}

impl Curve {
    fn add(&mut self, step: usize, loss: f32) {
        if !loss.is_finite() || !step.is_multiple_of(self.stride) {
            return;
        }
        self.points.push([step as f64, f64::from(loss)]);
        if self.points.len() > CURVE {
            self.stride *= 2;
            let stride = self.stride;
            self.points.retain(|[step, _]| (*step as usize).is_multiple_of(stride));
        }
    }

    /// The curve smoothed by an exponential mean, because single steps are noisy.
    pub fn smoothed(&self) -> Vec<[f64; 2]> {
        // Divided by the weights' sum, so that the first steps do not hang on to the very first.
        let (mut sum, mut weights) = (0.0, 0.0);
        let smooth = |&[step, loss]: &[f64; 2]| {
            sum = 0.95 * sum + loss;
            weights = 0.95 * weights + 1.0;
            [step, sum / weights]
        };
        self.points.iter().map(smooth).collect()
    }
}

/// The run, its settings and its results.
#[derive(Debug)]
pub struct TrainingState {
    /// Settings of the next run.
    pub config: TrainConfig,
    /// Where the run stands.
    pub phase: Phase,
    /// The device's name.
    pub device: Option<String>,
    /// Trainable parameters.
    pub parameters: usize,
    /// Latest progress.
    pub progress: Option<Progress>,
    /// Share done of choosing the thresholds, at the end of a run.
    pub choosing: Option<f32>,
    /// Loss over steps.
    pub losses: Curve,
    /// Consistency loss over steps.
    pub consistency: Curve,
    /// F1 on held-out labels over steps.
    pub held_out: Vec<[f64; 2]>,
    /// The checkpoint of the project's latest run, where there is one.
    pub kept_run: Option<PathBuf>,
    /// How the last run ended, for people.
    pub outcome: Option<String>,
    /// The model in memory.
    pub model: Option<ModelInfo>,
    /// Classes of the run in progress.
    pub run_classes: Vec<Class>,
    /// Tomogram being picked and share done.
    pub picking: Option<(TomogramId, f32)>,
    /// Picks that have been asked for and have not come.
    pub picks_due: usize,
    heatmaps: Vec<Arc<Heatmap>>,
}

impl TrainingState {
    /// Nothing has been trained yet.
    pub fn new(config: TrainConfig) -> Self {
        Self {
            config,
            phase: Phase::Idle,
            device: None,
            parameters: 0,
            progress: None,
            choosing: None,
            losses: Curve::default(),
            consistency: Curve::default(),
            held_out: Vec::new(),
            kept_run: None,
            outcome: None,
            model: None,
            run_classes: Vec::new(),
            picking: None,
            picks_due: 0,
            heatmaps: Vec::new(),
        }
    }

    /// Whether a run is in progress.
    pub fn is_active(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// The newest heatmap of a tomogram.
    pub fn heatmap(&self, tomogram: TomogramId) -> Option<&Arc<Heatmap>> {
        self.heatmaps.iter().find(|heatmap| heatmap.tomogram == tomogram)
    }

    fn keep_heatmap(&mut self, heatmap: Arc<Heatmap>) {
        self.heatmaps.retain(|other| other.tomogram != heatmap.tomogram);
        self.heatmaps.insert(0, heatmap);
        self.heatmaps.truncate(HEATMAPS);
    }

    fn add_losses(&mut self, progress: &Progress) {
        self.losses.add(progress.step, progress.loss);
        if let Some(loss) = progress.consistency_loss {
            self.consistency.add(progress.step, loss);
        }
        if let Some(f1) = progress.held_out_f1 {
            self.held_out.push([progress.step as f64, f64::from(f1)]);
        }
    }

    /// Ready for a new run.
    pub fn begin(&mut self, classes: Vec<Class>) {
        self.phase = Phase::Starting;
        self.run_classes = classes;
        self.progress = None;
        self.choosing = None;
        self.losses = Curve::default();
        self.consistency = Curve::default();
        self.held_out.clear();
        self.outcome = None;
    }
}

/// Something that stands in the way of training, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Whether training cannot begin.
    pub blocks: bool,
}

fn problem(blocks: bool, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { what: what.into(), remedy: remedy.into(), blocks }
}

/// What is wrong with what there is to learn from; said before the start.
pub fn problems(state: &UiState) -> Vec<Problem> {
    let annotations = state.document.annotations();
    let tomograms = state.document.tomograms();
    let mut problems = Vec::new();
    if tomograms.is_empty() {
        problems.push(problem(true, "No tomogram", "Open one"));
        return problems;
    }
    if annotations.classes.is_empty() {
        problems.push(problem(true, "No class", "Add one under Classes: its name and its radius"));
        return problems;
    }
    let total = state.tally.all().total_particles();
    if total == 0 {
        problems.push(problem(true, "No labels", "Click on a few particles in the XY view"));
    } else {
        let counts = annotations.classes.iter().zip(&state.tally.all().particles);
        for (class, _) in counts.filter(|(_, count)| **count == 0) {
            problems.push(problem(
                false,
                format!("{} has no label", class.name),
                "Label some, or remove the class: it would learn that there are none",
            ));
        }
    }
    if tomograms.len() == 1 && total > 0 {
        problems.push(problem(
            false,
            "There is one tomogram only",
            "Open others of the sample too: they show how well it picks what it was not taught",
        ));
    }
    let opening = tomograms.iter().filter(|tomogram| matches!(state.volumes.get(&tomogram.id), Some(VolumeState::Opening)));
    let opening = opening.count();
    if opening > 0 {
        let what = if opening == 1 { "A tomogram is".to_owned() } else { format!("{opening} tomograms are") };
        problems.push(problem(total > 0, format!("{what} still being opened"), "Wait a moment"));
    }
    for tomogram in tomograms {
        let labelled = annotations.labels(tomogram.id).is_some();
        match state.volumes.get(&tomogram.id) {
            Some(VolumeState::Open(_)) if state.spacing(tomogram.id).is_none() => problems.push(problem(
                labelled,
                format!("The spacing of {} is not known", tomogram.name),
                if labelled { "Type it above the views" } else { "It is left out until you type it above its views" },
            )),
            Some(VolumeState::Failed(_)) if labelled => problems.push(problem(
                false,
                format!("{} cannot be read", tomogram.name),
                "Its labels are kept but not used: see the list of tomograms",
            )),
            _ => {}
        }
    }
    problems
}

impl UiState {
    /// Takes in what the training thread says.
    pub fn on_event(&mut self, event: Event) {
        let training = &mut self.training;
        match event {
            Event::Started { device, parameters } => {
                training.phase = Phase::Running;
                training.device = Some(device);
                training.parameters = parameters;
                self.focus_changed = true;
                self.note_run();
            }
            Event::Progress(progress) => {
                if training.phase == Phase::Starting {
                    training.phase = Phase::Running;
                }
                training.add_losses(&progress);
                training.progress = Some(progress);
            }
            // The view itself lies in the session's slot.
            Event::LiveView => {}
            Event::ChoosingThresholds { fraction } => {
                // Only the first: a Stop that came since is being heeded.
                if training.choosing.replace(fraction).is_none() {
                    training.phase = Phase::Finishing;
                }
            }
            Event::Paused => training.phase = Phase::Paused,
            Event::Resumed => training.phase = Phase::Running,
            Event::Finished { steps, stopped, elapsed } => {
                training.phase = Phase::Idle;
                training.choosing = None;
                let verb = if stopped { "Stopped" } else { "Finished" };
                let outcome = format!("{verb} after {steps} steps, {}", duration(elapsed));
                training.outcome = Some(outcome.clone());
                training.model = Some(ModelInfo {
                    classes: training.run_classes.clone(),
                    origin: format!("trained here, {steps} steps"),
                    spacing_angstrom: None,
                });
                self.toasts.add(format!("Training: {}", outcome.to_lowercase()));
                self.look_for_a_run();
                self.note_run_end(steps);
            }
            Event::Picking { tomogram, fraction } => training.picking = Some((tomogram, fraction)),
            Event::Picked(set) => {
                training.picking = None;
                training.picks_due = training.picks_due.saturating_sub(1);
                let all_there = training.picks_due == 0;
                let tomogram = set.tomogram;
                self.picks.put(set);
                self.note_picked(tomogram);
                self.refresh_picks();
                let above = self.picks.counts(tomogram).iter().sum::<usize>();
                if all_there {
                    self.toasts.add(format!("{}: {above} picks above the threshold", self.document.name(tomogram)));
                }
            }
            Event::ModelLoaded { path, classes, spacing_angstrom } => {
                let origin = file_name(&path);
                self.toasts.add(format!("Model {origin} is ready to pick"));
                self.review.note_model(&path);
                training.model = Some(ModelInfo { classes, origin, spacing_angstrom: Some(spacing_angstrom) });
            }
            Event::ModelSaved(path) => self.toasts.add(format!("Model written: {}", path.display())),
            Event::Note(text) => self.toasts.add(text),
            Event::Failed(text) => {
                let was_active = training.is_active();
                training.phase = Phase::Idle;
                training.choosing = None;
                training.picking = None;
                training.picks_due = 0;
                if was_active {
                    training.outcome = Some("Failed".to_owned());
                }
                self.fail_text(if was_active { "Training failed" } else { "The request failed" }, text);
            }
        }
    }

    /// Where the checkpoint of the project's run is kept.
    pub fn run_file(&self) -> PathBuf {
        self.document.folder().join(RUN_FILE)
    }

    /// Looks whether the project holds the checkpoint of a run.
    pub fn look_for_a_run(&mut self) {
        let file = self.run_file();
        self.training.kept_run = file.is_file().then_some(file);
    }

    /// Takes in the newest heatmap and picks.
    pub fn on_live_view(&mut self, view: LiveView) {
        if view.heatmap.channels.len() <= self.display.heat_class {
            self.display.heat_class = 0;
        }
        self.training.keep_heatmap(view.heatmap);
        self.note_live(view.picks.tomogram);
        self.picks.put(view.picks);
    }
}

/// The last part of a path, for people.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A duration for people.
pub fn duration(duration: std::time::Duration) -> String {
    let secs = duration.as_secs_f64();
    if secs < 10.0 {
        format!("{secs:.1} s")
    } else if secs < 90.0 {
        format!("{secs:.0} s")
    } else if secs < 5400.0 {
        format!("{:.0} min", secs / 60.0)
    } else {
        format!("{:.1} h", secs / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_loss_curve_stays_small_and_keeps_its_ends() {
        let mut curve = Curve::default();
        for step in 0..50_000 {
            curve.add(step, 1.0 / (step + 1) as f32);
        }
        assert!((CURVE / 2..=CURVE).contains(&curve.points.len()));
        assert_eq!(curve.points[0][0], 0.0);
        assert!(curve.points.last().unwrap()[0] > 49_900.0);
        assert!(curve.smoothed().windows(2).all(|pair| pair[1][1] <= pair[0][1]));
    }

    #[test]
    fn durations_read_well() {
        let text = |secs| duration(Duration::from_secs_f64(secs));
        assert_eq!([text(2.34), text(75.0), text(600.0), text(9000.0)], ["2.3 s", "75 s", "10 min", "2.5 h"]);
    }
}
