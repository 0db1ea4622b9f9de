//! `semietpicker train`.

use std::path::PathBuf;

use super::arguments::{Train, parse_box};
use super::{Usage, inputs, runner, say};
use crate::coordinates::read_classes;
use crate::geometry::VoxelBox;
use crate::train::{Session, TrainConfig, TrainingSet, TrainingTomogram};

pub(super) fn run(options: &Train) -> anyhow::Result<()> {
    let set = training_set(options)?;
    let config = TrainConfig {
        preset: options.network,
        steps: options.steps,
        cotrain_steps: options.cotrain.unwrap_or(if options.unlabelled.is_empty() { 0 } else { options.steps }),
        crop: options.crop,
        batch: options.batch,
        seed: options.seed,
        device: options.device,
        ..TrainConfig::default()
    };
    let session = Session::start(|| {})?;
    let summary = runner::train(&session, config, set)?;
    runner::save(&session, &options.out)?;
    if options.json {
        return say(serde_json::to_string_pretty(&serde_json::json!({ "model": options.out, "training": summary }))?);
    }
    say(format!(
        "trained {} steps in {:.0} s on {}, last loss {:.5}; model: {}",
        summary.steps,
        summary.seconds,
        summary.device,
        summary.last_loss,
        options.out.display()
    ))
}

fn training_set(options: &Train) -> anyhow::Result<TrainingSet> {
    let classes = read_classes(&options.classes)?;
    let mut next_id = 1;
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut tomograms: Vec<TrainingTomogram> = Vec::new();
    for pair in &options.labelled {
        let (path, labels) = inputs::split_pair(pair)?;
        let mut tomogram = inputs::open(&path, tomograms.len(), options.spacing)?;
        tomogram.labels = inputs::labels_from(labels.as_ref(), &tomogram, &classes, &mut next_id)?;
        paths.push(path);
        tomograms.push(tomogram);
    }
    for pair in &options.region {
        let (path, region) = inputs::split_pair(pair)?;
        let voxels = parse_box(region).map_err(Usage)?;
        let index = paths
            .iter()
            .position(|known| *known == path)
            .ok_or_else(|| Usage(format!("--region names a tomogram that --labelled does not: {}", path.display())))?;
        inputs::add_region(&mut tomograms[index], voxels, &mut next_id)?;
    }
    if !options.sparse {
        for tomogram in tomograms.iter_mut().filter(|tomogram| tomogram.labels.regions.is_empty()) {
            let whole = VoxelBox::whole(tomogram.source.info().shape);
            inputs::add_region(tomogram, whole, &mut next_id)?;
        }
    }
    for path in &options.unlabelled {
        tomograms.push(inputs::open(path, tomograms.len(), options.spacing)?);
    }
    Ok(TrainingSet { classes, tomograms })
}
