//! What runs on the training thread: it owns the model, the optimiser and every tensor.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::config::{CHECKPOINT_EVERY_SECS, DeviceChoice};
use super::live::Live;
use super::protocol::{Command, Event, LiveView, Progress, Stage, TrainingTomogram};
use super::session::{Service, SessionEnds};
use super::trainer::{StepLoss, TrainError, Trainer};
use crate::labels::TomogramId;
use crate::model::kernels::release_memory;
use crate::model::{Checkpoint, Selected, select};
use crate::pick::{Picker, PredictOptions, view_of};

/// Steps over which speed is averaged.
const SPEED_WINDOW: usize = 20;
/// Share of the time that scoring the held-out labels may take.
const MEASURING_SHARE: f64 = 0.05;
/// Largest share of a run's time that may go into writing its checkpoints: those of large networks hold gigabytes.
const KEEPING_SHARE: f64 = 0.02;
/// Steps before which scoring them tells nothing.
const FIRST_MEASURED: usize = 50;

/// The real service of a session.
#[derive(Default)]
pub struct Worker {
    model: Option<(Checkpoint, Selected)>,
    focus: Option<(TomogramId, [usize; 3])>,
    /// Seconds between two refreshes of the live view of the run in progress; `None` for no live view.
    live_view_secs: Option<f64>,
    /// Commands that arrived during a run and belong after it.
    postponed: VecDeque<Command>,
}

/// What the commands that came in between two steps ask of a run.
enum Outcome {
    GoOn,
    Stop,
    /// The front end is gone: end without further work.
    Abandon,
}

impl Service for Worker {
    fn handle(&mut self, command: Command, ends: &SessionEnds) -> anyhow::Result<()> {
        let result = self.handle_all(command, ends);
        // Half a gigabyte that only the next run would use.
        release_memory();
        result
    }
}

impl Worker {
    fn handle_all(&mut self, command: Command, ends: &SessionEnds) -> anyhow::Result<()> {
        let result = self.handle_one(command, ends);
        if result.is_err() {
            self.postponed.clear();
        }
        result?;
        while let Some(next) = self.postponed.pop_front() {
            self.handle_one(next, ends)?;
        }
        Ok(())
    }

    fn handle_one(&mut self, command: Command, ends: &SessionEnds) -> anyhow::Result<()> {
        match command {
            Command::Train { config, set } => self.train(Trainer::new(config, &set)?, set.tomograms, ends),
            Command::Continue { config, set, run } => self.train(Trainer::resume(&run, config, &set)?, set.tomograms, ends),
            Command::Pick { tomograms, flips } => self.pick(&tomograms, flips, ends),
            Command::LoadModel { path, device } => self.load(&path, device, ends),
            Command::SaveModel(path) => {
                let (checkpoint, _) = self.model.as_ref().context("there is no model yet; train one or load one first")?;
                checkpoint.save(&path)?;
                ends.emit(Event::ModelSaved(path));
                Ok(())
            }
            Command::Focus { tomogram, position } => {
                self.focus = Some((tomogram, position));
                Ok(())
            }
            // Without a run there is nothing to pause, to end or to hand new labels to.
            Command::UpdateSet(_)
            | Command::KeepRunAt(_)
            | Command::LiveViewEvery(_)
            | Command::Pause
            | Command::Resume
            | Command::Stop => Ok(()),
        }
    }

    fn load(&mut self, path: &Path, choice: DeviceChoice, ends: &SessionEnds) -> anyhow::Result<()> {
        let device = select(choice)?;
        let checkpoint = Checkpoint::load(path, &device.device)?;
        ends.emit(Event::ModelLoaded {
            path: path.to_owned(),
            classes: checkpoint.metadata.classes.clone(),
            spacing_angstrom: checkpoint.metadata.spacing_angstrom,
        });
        self.model = Some((checkpoint, device));
        Ok(())
    }

    fn pick(&mut self, tomograms: &[TrainingTomogram], flips: bool, ends: &SessionEnds) -> anyhow::Result<()> {
        let (checkpoint, device) = self.model.as_ref().context("there is no model yet; train one or load one first")?;
        let picker = Picker { metadata: &checkpoint.metadata, network: &checkpoint.network, device: &device.device };
        let mut postponed = VecDeque::new();
        for tomogram in tomograms {
            let options = PredictOptions { flips, ..PredictOptions::default() };
            let picked = picker.pick(tomogram, &options, |fraction| {
                ends.emit(Event::Picking { tomogram: tomogram.id, fraction });
                postpone(&mut postponed, ends)
            })?;
            let Some(picked) = picked else { break };
            if picked.scale != 1.0 {
                ends.emit(Event::Note(format!(
                    "{} is rescaled from {:.3} to {:.3} A per voxel, the model's spacing",
                    tomogram.name, tomogram.spacing_angstrom, checkpoint.metadata.spacing_angstrom
                )));
            }
            let picks = Arc::new(picked.picks);
            if let Some(heatmaps) = &picked.heatmaps {
                let heatmap = Arc::new(view_of(tomogram.id, picked.scale, heatmaps, checkpoint.metadata.steps));
                ends.publish(LiveView { heatmap, picks: picks.clone() });
            }
            ends.emit(Event::Picked(picks));
        }
        self.postponed.extend(postponed);
        Ok(())
    }

    fn train(&mut self, mut trainer: Trainer, mut tomograms: Vec<TrainingTomogram>, ends: &SessionEnds) -> anyhow::Result<()> {
        ends.emit(Event::Started { device: trainer.device().name.clone(), parameters: trainer.parameters() });
        trainer.data().notes().into_iter().for_each(|note| ends.emit(Event::Note(note)));
        self.live_view_secs = trainer.config().live_view_secs;
        let mut run = Run::new();
        let mut outcome = Outcome::GoOn;
        while trainer.steps_done() < trainer.last_step() {
            let start = Instant::now();
            let stage = trainer.stage();
            let loss = match trainer.step() {
                Ok(loss) => loss,
                Err(error) => {
                    // What has been learnt so far stays usable, unless it is what failed.
                    if trainer.steps_done() > 0 && !matches!(error, TrainError::Diverged { .. }) {
                        self.model = Some((trainer.checkpoint(), trainer.device().clone()));
                    }
                    return Err(error.into());
                }
            };
            let spent = start.elapsed();
            run.note_step(spent);
            let held_out_f1 = run.measure(&trainer, ends);
            ends.emit(Event::Progress(Progress { held_out_f1, ..run.progress(&trainer, stage, loss) }));
            run.keep(&trainer, ends);
            self.refresh_live(&trainer, &tomograms, &mut run, spent, ends);
            outcome = self.take_commands(&mut trainer, &mut tomograms, ends)?;
            if !matches!(outcome, Outcome::GoOn) {
                break;
            }
        }
        if matches!(outcome, Outcome::Abandon) {
            return Ok(());
        }
        let stopped = trainer.steps_done() < trainer.steps_planned();
        if let Some(path) = trainer.config().checkpoint.clone() {
            save_run(&trainer, &path, ends);
        }
        // The model is usable with its former thresholds should choosing them fail.
        ends.emit(Event::ChoosingThresholds { fraction: 0.0 });
        let mut ended = false;
        let chosen = trainer.choose_thresholds(|fraction| {
            ends.emit(Event::ChoosingThresholds { fraction });
            let go_on = postpone(&mut self.postponed, ends);
            ended = go_on.is_break();
            go_on
        });
        self.model = Some((trainer.checkpoint(), trainer.device().clone()));
        if let Some(live) = &mut run.live {
            ends.publish(live.publish(&trainer.picker()));
        }
        match chosen.context("the thresholds could not be chosen; they stay as they were")? {
            true if ended => {
                ends.emit(Event::Note(
                    "the thresholds suit the labelled tomograms; the unlabelled ones were left out".to_owned(),
                ));
            }
            true => {}
            false => ends.emit(Event::Note("no thresholds were chosen; set them by hand".to_owned())),
        }
        ends.emit(Event::Finished { steps: trainer.steps_done(), stopped, elapsed: run.elapsed });
        Ok(())
    }

    /// Handles what has arrived since the last step; waits while paused.
    fn take_commands(
        &mut self,
        trainer: &mut Trainer,
        tomograms: &mut Vec<TrainingTomogram>,
        ends: &SessionEnds,
    ) -> anyhow::Result<Outcome> {
        let mut paused = false;
        loop {
            let command = if paused {
                match ends.wait_command() {
                    Some(command) => command,
                    None => return Ok(Outcome::Abandon),
                }
            } else {
                match ends.poll_command() {
                    Ok(Some(command)) => command,
                    Ok(None) => return Ok(Outcome::GoOn),
                    Err(_) => return Ok(Outcome::Abandon),
                }
            };
            match command {
                Command::Pause => {
                    if !paused {
                        ends.emit(Event::Paused);
                    }
                    paused = true;
                }
                Command::Resume => {
                    if paused {
                        ends.emit(Event::Resumed);
                    }
                    paused = false;
                }
                Command::Stop => return Ok(Outcome::Stop),
                Command::UpdateSet(set) => match trainer.update(&set) {
                    Ok(()) => *tomograms = set.tomograms,
                    Err(error @ TrainError::ClassesChanged) => return Err(error.into()),
                    // Labels that do not serve for now, such as none at all after an undo: go on with the former ones.
                    Err(error) => ends.emit(Event::Note(format!("training goes on with the former labels: {error}"))),
                },
                Command::Focus { tomogram, position } => self.focus = Some((tomogram, position)),
                Command::KeepRunAt(path) => trainer.keep_run_at(path),
                Command::LiveViewEvery(secs) => self.live_view_secs = secs,
                Command::SaveModel(path) => match trainer.checkpoint().save(&path) {
                    Ok(()) => ends.emit(Event::ModelSaved(path)),
                    Err(error) => ends.emit(Event::Note(error.to_string())),
                },
                restart @ (Command::Train { .. } | Command::Continue { .. } | Command::LoadModel { .. }) => {
                    self.postponed.push_front(restart);
                    return Ok(Outcome::Stop);
                }
                later @ Command::Pick { .. } => self.postponed.push_back(later),
            }
        }
    }

    fn refresh_live(
        &self,
        trainer: &Trainer,
        tomograms: &[TrainingTomogram],
        run: &mut Run,
        spent: Duration,
        ends: &SessionEnds,
    ) {
        let (Some(interval_secs), Some((id, position))) = (self.live_view_secs, self.focus) else { return };
        let picker = trainer.picker();
        if run.live.as_ref().is_none_or(|live| live.tomogram() != id) {
            run.live = None;
            if run.failed_focus == Some(id) {
                return;
            }
            let Some(tomogram) = tomograms.iter().find(|tomogram| tomogram.id == id) else { return };
            match Live::new(tomogram, &picker, trainer.config().crop, position) {
                Ok(live) => run.live = Some(live),
                Err(error) => {
                    run.failed_focus = Some(id);
                    ends.emit(Event::Note(format!("no live view of {}: {error}", tomogram.name)));
                }
            }
        }
        if let Some(live) = &mut run.live {
            live.set_focus(position);
            let interval = Duration::try_from_secs_f64(interval_secs).unwrap_or(Duration::from_secs(1));
            match live.refresh(&picker, spent, interval) {
                Ok(Some(view)) => ends.publish(view),
                Ok(None) => {}
                Err(error) => {
                    run.failed_focus = Some(id);
                    run.live = None;
                    ends.emit(Event::Note(format!("the live view stopped: {error}")));
                }
            }
        }
    }
}

/// Keeps for later what arrives during work that only [`Command::Stop`], or a front end that is gone, ends early.
fn postpone(postponed: &mut VecDeque<Command>, ends: &SessionEnds) -> ControlFlow<()> {
    loop {
        match ends.poll_command() {
            Ok(Some(Command::Stop)) | Err(_) => return ControlFlow::Break(()),
            Ok(Some(other)) => postponed.push_back(other),
            Ok(None) => return ControlFlow::Continue(()),
        }
    }
}

/// Writes the checkpoint of a run; that it fails is said and ends nothing.
fn save_run(trainer: &Trainer, path: &Path, ends: &SessionEnds) {
    if let Err(error) = trainer.save_run(path) {
        ends.emit(Event::Note(format!("the run could not be kept: {error}")));
    }
}

/// The time between the end of writing a checkpoint, which took `cost`, and the next: [`CHECKPOINT_EVERY_SECS`], longer where that
/// would cost the run too much.
fn until_next_checkpoint(cost: Duration) -> Duration {
    Duration::from_secs_f64((cost.as_secs_f64() / KEEPING_SHARE).max(CHECKPOINT_EVERY_SECS))
}

/// What a run keeps besides the trainer.
struct Run {
    live: Option<Live>,
    failed_focus: Option<TomogramId>,
    elapsed: Duration,
    recent: VecDeque<Instant>,
    /// Time spent on scoring held-out labels.
    measuring: Duration,
    /// When the checkpoint was last written.
    kept: Instant,
    /// How long after that it is due again.
    keep_after: Duration,
    /// Whether measuring has failed, which is said once.
    is_blind: bool,
}

impl Run {
    fn new() -> Self {
        Self {
            live: None,
            failed_focus: None,
            elapsed: Duration::ZERO,
            recent: VecDeque::new(),
            measuring: Duration::ZERO,
            kept: Instant::now(),
            keep_after: until_next_checkpoint(Duration::ZERO),
            is_blind: false,
        }
    }

    /// F1 on the held-out labels, as often as a twentieth of the time allows.
    fn measure(&mut self, trainer: &Trainer, ends: &SessionEnds) -> Option<f32> {
        let due = self.measuring.as_secs_f64() < MEASURING_SHARE * self.elapsed.as_secs_f64();
        if self.is_blind || !due || trainer.steps_done() < FIRST_MEASURED {
            return None;
        }
        let start = Instant::now();
        // A request of the user, a pause as much as a stop, goes before it; the loop of steps answers it.
        let measured = trainer.held_out_f1(|_| match ends.has_command() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        self.measuring += start.elapsed();
        match measured {
            Ok(score) => score,
            Err(error) => {
                self.is_blind = true;
                ends.emit(Event::Note(format!("the held-out labels cannot be scored: {error}")));
                None
            }
        }
    }

    /// Writes the run's checkpoint when it is time.
    fn keep(&mut self, trainer: &Trainer, ends: &SessionEnds) {
        let Some(path) = &trainer.config().checkpoint else { return };
        if self.kept.elapsed() >= self.keep_after {
            let start = Instant::now();
            save_run(trainer, path, ends);
            self.kept = Instant::now();
            self.keep_after = until_next_checkpoint(start.elapsed());
        }
    }

    fn note_step(&mut self, spent: Duration) {
        self.elapsed += spent;
        self.recent.push_back(Instant::now());
        if self.recent.len() > SPEED_WINDOW + 1 {
            self.recent.pop_front();
        }
    }

    fn progress(&self, trainer: &Trainer, stage: Stage, loss: StepLoss) -> Progress {
        let (step, steps) = (trainer.steps_done(), trainer.steps_planned());
        let seconds = match (self.recent.front(), self.recent.back()) {
            (Some(first), Some(last)) if self.recent.len() > 1 => {
                last.duration_since(*first).as_secs_f64() / (self.recent.len() - 1) as f64
            }
            _ => self.elapsed.as_secs_f64() / step.max(1) as f64,
        };
        let remaining = Duration::try_from_secs_f64(seconds * (steps - step.min(steps)) as f64).unwrap_or(Duration::MAX);
        Progress {
            stage,
            step,
            steps,
            loss: loss.supervised,
            consistency_loss: loss.consistency,
            difference: loss.difference,
            held_out_f1: None,
            steps_per_second: (1.0 / seconds.max(1e-9)) as f32,
            remaining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costly_checkpoints_are_rarer() {
        assert_eq!(until_next_checkpoint(Duration::ZERO), Duration::from_secs(120));
        assert_eq!(until_next_checkpoint(Duration::from_millis(50)), Duration::from_secs(120));
        // A gigabyte on a slow disk.
        assert_eq!(until_next_checkpoint(Duration::from_secs(10)), Duration::from_secs(500));
    }
}
