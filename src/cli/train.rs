//! `semietpicker train`.

use std::path::{Path, PathBuf};

use super::arguments::{CopickArguments, Train, parse_box};
use super::{Usage, inputs, runner, say};
use crate::coordinates::read_classes;
use crate::copick::{CopickProject, Plan, PlannedTomogram};
use crate::geometry::VoxelBox;
use crate::labels::{Class, ItemId, Point, PointKind};
use crate::train::{Detector, RunFile, Session, TrainConfig, TrainingSet, TrainingTomogram};

pub(super) fn run(options: &Train) -> anyhow::Result<()> {
    let base = match &options.resume {
        Some(run) => RunFile::read(run)?.config,
        None => TrainConfig::default(),
    };
    let config = TrainConfig {
        device: options.device,
        stop_after: options.stop_after,
        checkpoint: options.checkpoint.clone(),
        ..options.settings.applied_to(base, !options.unlabelled.is_empty(), options.resume.is_some())
    };
    if options.settings.segmentation_loss.is_some() && config.detector != Detector::Segmentation {
        return Err(Usage("--segmentation-loss goes with --detector segmentation".into()).into());
    }
    if config.detector == Detector::Segmentation && (config.cotrain_steps > 0 || !options.unlabelled.is_empty()) {
        let remedy = "leave out --unlabelled, --method and --cotrain, or use --detector heatmap";
        return Err(Usage(format!("--detector segmentation learns from labelled tomograms alone: {remedy}")).into());
    }
    let set = training_set(options)?;
    let session = Session::start(|| {})?;
    let summary = runner::train(&session, config, set, options.resume.as_deref())?;
    runner::save(&session, &options.out)?;
    if options.json {
        return say(serde_json::to_string_pretty(&serde_json::json!({ "model": options.out, "training": summary }))?);
    }
    let trained = match summary.last_loss {
        Some(loss) => {
            format!("trained {} steps in {:.0} s on {}, last loss {loss:.5}", summary.steps, summary.seconds, summary.device)
        }
        None => format!("all {} steps had been trained before", summary.steps),
    };
    say(format!("{trained}; model: {}", options.out.display()))
}

/// What is taken from a copick project; without a window every question must be answered.
fn copick_plan(config: &Path, chosen: &CopickArguments) -> anyhow::Result<Plan> {
    let project = CopickProject::open(config)?;
    let suggestion = project.suggest(&chosen.wishes())?;
    if !suggestion.open_questions.is_empty() {
        let questions = suggestion.open_questions.join(", ");
        return Err(Usage(format!(
            "the copick project leaves open: {questions}; add --voxel-spacing, --tomo-type or --picks (`semietpicker info` lists what there is): {}",
            config.display()
        ))
        .into());
    }
    let plan = project.plan(&suggestion.choice)?;
    for note in &plan.notes {
        eprintln!("warning: {note}");
    }
    // A run without picks has not been looked through, and would be taken for one without particles.
    let without = plan.tomograms.iter().filter(|planned| planned.labels.is_empty()).count();
    if without > 0 {
        eprintln!("warning: {without} runs without picks are left out; --unlabelled takes them for co-training");
    }
    anyhow::ensure!(plan.labels() > 0, "no picks that could be learnt from: {}", config.display());
    Ok(plan)
}

fn labelled_by_copick(
    planned: &PlannedTomogram,
    classes: &[Class],
    index: usize,
    next_id: &mut u64,
) -> anyhow::Result<TrainingTomogram> {
    let mut tomogram = inputs::open(&planned.path, index, planned.spacing_override_angstrom)?;
    tomogram.name.clone_from(&planned.run);
    if let Some(spacing) = planned.spacing_override_angstrom {
        tomogram.spacing_angstrom = spacing;
    }
    for (class, position) in &planned.labels {
        let id = ItemId(*next_id);
        *next_id += 1;
        let kind = PointKind::Particle(classes[*class].id);
        tomogram.labels.points.insert(id, Point { id, position: *position, kind });
    }
    Ok(tomogram)
}

fn training_set(options: &Train) -> anyhow::Result<TrainingSet> {
    let mut next_id = 1;
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut tomograms: Vec<TrainingTomogram> = Vec::new();
    let classes = match (&options.copick_config, &options.classes) {
        (Some(config), _) => {
            let plan = copick_plan(config, &options.copick)?;
            for planned in plan.tomograms.iter().filter(|planned| !planned.labels.is_empty()) {
                tomograms.push(labelled_by_copick(planned, &plan.classes, tomograms.len(), &mut next_id)?);
                paths.push(planned.path.clone());
            }
            plan.classes
        }
        (None, _) if !options.copick.is_empty() => {
            return Err(
                Usage("--voxel-spacing, --tomo-type and --picks choose from a copick project: add --copick".into()).into()
            );
        }
        (None, Some(classes)) => read_classes(classes)?,
        (None, None) => return Err(Usage("give the classes: --classes, or --copick".into()).into()),
    };
    for pair in &options.labelled {
        let (path, labels) = inputs::split_pair(pair)?;
        let mut tomogram = inputs::open(&path, tomograms.len(), options.spacing)?;
        tomogram.labels = inputs::labels_from(labels.as_ref(), &tomogram, &classes, options.tilt_series_pixel, &mut next_id)?;
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
