//! `semietpicker pick`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::arguments::{Pick, Threshold};
use super::{inputs, runner, say, written};
use crate::coordinates::{ExportPoint, ExportTomogram};
use crate::model::{Checkpoint, select};
use crate::pick::{Heatmaps, Picked, Picker, PredictOptions};
use crate::train::PickSet;
use crate::volume::{MrcMode, write_mrc};

pub(super) fn run(options: &Pick) -> anyhow::Result<()> {
    options.formats.check(true)?;
    let device = select(options.device)?;
    let mut checkpoint = Checkpoint::load(&options.model, &device.device)?;
    if matches!(options.threshold, Threshold::Recall) {
        let recall = std::mem::take(&mut checkpoint.metadata.recall_thresholds);
        anyhow::ensure!(
            !recall.is_empty(),
            "this model was trained by an earlier version and has no thresholds for recall; give a number: {}",
            options.model.display()
        );
        checkpoint.metadata.thresholds = recall;
    }
    let picker = Picker { metadata: &checkpoint.metadata, network: &checkpoint.network, device: &device.device };
    inputs::make_folder(&options.out)?;
    eprintln!("picking on {}", device.name);
    let predict = PredictOptions {
        flips: options.tta,
        precision: options.precision,
        heatmaps: options.heatmaps,
        ..PredictOptions::default()
    };
    let mut exports = Vec::with_capacity(options.tomograms.len());
    let mut files: Vec<PathBuf> = Vec::new();
    for (index, path) in options.tomograms.iter().enumerate() {
        let tomogram = inputs::open(path, index, options.spacing)?;
        let model_spacing = checkpoint.metadata.spacing_angstrom;
        let bar = runner::bar(100, "picking");
        bar.set_message(tomogram.name.clone());
        let start = std::time::Instant::now();
        let picked = picker.pick(&tomogram, &predict, |fraction| {
            bar.set_position((fraction * 100.0) as u64);
            ControlFlow::Continue(())
        })?;
        bar.finish();
        // Nothing ends the work early here.
        let Some(picked) = picked else { continue };
        if picked.scale != 1.0 {
            eprintln!(
                "note: {} is rescaled from {:.3} to {:.3} A per voxel, the model's spacing",
                tomogram.name, tomogram.spacing_angstrom, model_spacing
            );
        }
        if let Some(heatmaps) = &picked.heatmaps {
            files.extend(write_heatmaps(options, &picked, heatmaps, &tomogram.name, tomogram.spacing_angstrom)?);
        }
        let points = chosen(&picked.picks, options.threshold);
        eprintln!("{}: {} picks in {:.1} s", tomogram.name, points.len(), start.elapsed().as_secs_f64());
        exports.push(ExportTomogram {
            name: tomogram.name,
            shape: tomogram.source.info().shape,
            spacing_angstrom: Some(tomogram.spacing_angstrom),
            points,
        });
    }
    let classes = &checkpoint.metadata.classes;
    files.extend(options.formats.write(&options.out, classes, &exports, true)?);
    if options.json {
        let report = serde_json::json!({ "picks": written::counts(classes, &exports), "files": files });
        return say(serde_json::to_string_pretty(&report)?);
    }
    written::say_all(classes, &exports, &files)
}

/// The picks above their threshold.
pub(super) fn chosen(picks: &PickSet, threshold: Threshold) -> Vec<ExportPoint> {
    let above: Vec<_> = match threshold {
        // The recall thresholds have taken the others' place.
        Threshold::Auto | Threshold::Recall => picks.above_thresholds().collect(),
        Threshold::Score(score) => picks.picks.iter().filter(|pick| pick.score >= score).collect(),
    };
    above
        .into_iter()
        .map(|pick| ExportPoint {
            class: pick.class,
            position: pick.position,
            score: Some(pick.score),
            source: Some("model".to_owned()),
        })
        .collect()
}

fn write_heatmaps(
    options: &Pick,
    picked: &Picked,
    heatmaps: &Heatmaps,
    name: &str,
    spacing: f64,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (class, values) in picked.picks.classes.iter().zip(&heatmaps.classes) {
        let safe: String = class.name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        let path = options.out.join(format!("{name}.{safe}.heatmap.mrc"));
        if path.exists() && !options.formats.overwrite {
            anyhow::bail!("the file exists; add --overwrite to replace it: {}", path.display());
        }
        write_mrc(&path, heatmaps.cells, picked.cell_angstrom(spacing), values, MrcMode::Float32)?;
        files.push(path);
    }
    Ok(files)
}
