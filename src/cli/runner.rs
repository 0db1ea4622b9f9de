//! Drives a session to its end and shows how far it is.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::train::{Command, Event, PickSet, Session, TrainConfig, TrainingSet};

/// How often a run that is not watched on a terminal says where it is.
const REPORT_EVERY: usize = 50;

/// The end of a training run.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct TrainSummary {
    pub device: String,
    pub parameters: usize,
    pub steps: usize,
    pub seconds: f64,
    pub seconds_per_step: f64,
    pub last_loss: Option<f32>,
}

/// A progress bar on a terminal; nothing elsewhere.
pub(super) fn bar(length: u64, what: &str) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(length) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{prefix:12} {wide_bar} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}

fn next(session: &Session) -> anyhow::Result<Event> {
    loop {
        if let Some(event) = session.wait_event(Duration::from_secs(3600))? {
            return Ok(event);
        }
    }
}

/// Trains and leaves the model in the session.
pub(super) fn train(
    session: &Session,
    config: TrainConfig,
    set: TrainingSet,
    resume: Option<&Path>,
) -> anyhow::Result<TrainSummary> {
    let bar = bar((config.steps + config.cotrain_steps) as u64, "training");
    let mut summary =
        TrainSummary { device: String::new(), parameters: 0, steps: 0, seconds: 0.0, seconds_per_step: 0.0, last_loss: None };
    let mut losses: Vec<f32> = Vec::new();
    let (mut held_out, mut is_choosing) = (None, false);
    session.send(match resume {
        Some(run) => Command::Continue { config, set, run: run.to_owned() },
        None => Command::Train { config, set },
    })?;
    loop {
        match next(session)? {
            Event::Started { device, parameters } => {
                eprintln!("training {parameters} parameters on {device}");
                (summary.device, summary.parameters) = (device, parameters);
            }
            Event::Progress(progress) => {
                losses.push(progress.loss);
                let recent = &losses[losses.len().saturating_sub(REPORT_EVERY)..];
                let loss = recent.iter().sum::<f32>() / recent.len() as f32;
                summary.last_loss = Some(loss);
                let consistency = progress.consistency_loss.map_or(String::new(), |loss| format!(", consistency {loss:.5}"));
                let difference = progress.difference.map_or(String::new(), |rms| format!(", teacher and student {rms:.3} apart"));
                held_out = progress.held_out_f1.or(held_out);
                let score = held_out.map_or(String::new(), |f1| format!(", held-out F1 {f1:.3}"));
                let text = format!(
                    "{}, loss {loss:.5}{consistency}{difference}{score}, {:.2} steps/s, {} s left",
                    progress.stage,
                    progress.steps_per_second,
                    progress.remaining.as_secs()
                );
                if bar.is_hidden() && progress.step % REPORT_EVERY == 0 {
                    eprintln!("step {}/{}: {text}", progress.step, progress.steps);
                }
                bar.set_length(progress.steps as u64);
                bar.set_position(progress.step as u64);
                bar.set_message(text);
            }
            Event::ChoosingThresholds { fraction } => {
                if !is_choosing && bar.is_hidden() {
                    eprintln!("choosing thresholds");
                }
                is_choosing = true;
                bar.set_message(format!("choosing thresholds, {:.0} %", 100.0 * fraction));
            }
            Event::Note(note) => bar.suspend(|| eprintln!("note: {note}")),
            Event::Finished { steps, elapsed, .. } => {
                bar.finish();
                summary.steps = steps;
                summary.seconds = elapsed.as_secs_f64();
                summary.seconds_per_step = summary.seconds / steps.max(1) as f64;
                return Ok(summary);
            }
            Event::Failed(message) => anyhow::bail!(message),
            _ => {}
        }
    }
}

/// Saves the session's model.
pub(super) fn save(session: &Session, path: &Path) -> anyhow::Result<()> {
    session.send(Command::SaveModel(path.to_owned()))?;
    loop {
        match next(session)? {
            Event::ModelSaved(_) => return Ok(()),
            Event::Failed(message) => anyhow::bail!(message),
            _ => {}
        }
    }
}

/// Picks one tomogram with the session's model.
pub(super) fn pick(session: &Session, tomogram: crate::train::TrainingTomogram, flips: bool) -> anyhow::Result<Arc<PickSet>> {
    let bar = bar(100, "picking");
    bar.set_message(tomogram.name.clone());
    session.send(Command::Pick { tomograms: vec![tomogram], flips })?;
    loop {
        match next(session)? {
            Event::Picking { fraction, .. } => bar.set_position((fraction * 100.0) as u64),
            Event::Picked(picks) => {
                bar.finish();
                return Ok(picks);
            }
            Event::Failed(message) => anyhow::bail!(message),
            _ => {}
        }
    }
}
