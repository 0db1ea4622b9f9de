//! `semietpicker demo`: the whole job on data that the program makes itself.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::arguments::{Demo, Threshold};
use super::{figure, inputs, pick, runner, say, simulate};
use crate::coordinates::{ExportOptions, ExportTomogram, Format, export, read_csv};
use crate::geometry::VoxelBox;
use crate::score::{Pair, evaluate, pairs_from_rows};
use crate::simulate::{SimulationConfig, classes};
use crate::train::{Session, TrainConfig, TrainingSet, TrainingTomogram};

/// Voxels `(z, y, x)` of a demo tomogram: small enough for minutes on two cores.
const SHAPE: [usize; 3] = [56, 160, 160];
/// Seed of the first demo tomogram.
const SEED: u64 = 20;
/// Less noise than a usual exposure, so that a few minutes of training suffice.
const NOISE: f64 = 0.6;
/// The tomograms: the first two are learnt from, the last is picked and scored.
const NAMES: [&str; 3] = ["demo-train-1", "demo-train-2", "demo-test"];

pub(super) fn run(options: &Demo) -> anyhow::Result<()> {
    let folder = match &options.out {
        Some(out) => out.clone(),
        None => default_folder()?,
    };
    let tomograms = prepare(&folder)?;
    if !options.headless {
        return crate::ui::run_demo(&folder, &tomograms, &folder.join("classes.toml"));
    }
    headless(options, &folder, &tomograms)
}

/// `~/.local/share/semietpicker/demo`, or where the system keeps such things.
fn default_folder() -> anyhow::Result<PathBuf> {
    crate::project::data_folder()
        .map(|folder| folder.join("demo"))
        .context("no folder for the demo's files is known; give one with --out")
}

/// Simulates the tomograms unless an earlier run has.
fn prepare(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = NAMES.iter().map(|name| folder.join(format!("{name}.mrc"))).collect();
    let complete = folder.join("classes.toml").exists() && paths.iter().all(|path| path.with_extension("csv").exists());
    if !complete {
        eprintln!("making three tomograms with known particles in {}", folder.display());
        let config = SimulationConfig { shape: SHAPE, seed: SEED, noise: NOISE, ..SimulationConfig::default() };
        simulate::make(&config, &NAMES.map(str::to_owned), folder)?;
    }
    Ok(paths)
}

fn headless(options: &Demo, folder: &Path, paths: &[PathBuf]) -> anyhow::Result<()> {
    let classes = classes();
    let mut next_id = 1;
    let mut tomograms: Vec<TrainingTomogram> = Vec::new();
    for (index, path) in paths[..2].iter().enumerate() {
        let mut tomogram = inputs::open(path, index, None)?;
        tomogram.labels = inputs::labels_from(&path.with_extension("csv"), &tomogram, &classes, None, &mut next_id)?;
        let whole = VoxelBox::whole(tomogram.source.info().shape);
        inputs::add_region(&mut tomogram, whole, &mut next_id)?;
        tomograms.push(tomogram);
    }
    let test = inputs::open(&paths[2], 2, None)?;

    let session = Session::start(|| {})?;
    let config = TrainConfig { steps: options.steps, crop: 48, device: options.device, ..TrainConfig::default() };
    runner::train(&session, config, TrainingSet { classes: classes.clone(), tomograms }, None)?;
    runner::save(&session, &folder.join("demo.model"))?;
    let picks = runner::pick(&session, test.clone(), false)?;

    let points = pick::chosen(&picks, Threshold::Auto);
    let mut pair = Pair { found: vec![Vec::new(); classes.len()], ..Pair::default() };
    for point in &points {
        pair.found[point.class].push(point.position.map(|p| p * test.spacing_angstrom));
    }
    let truth = read_csv(&paths[2].with_extension("csv"))?;
    pair.truth = pairs_from_rows(&classes, &[], &truth, &[], Some(test.spacing_angstrom))?
        .pairs
        .into_iter()
        .next()
        .map_or_else(Vec::new, |sorted| sorted.truth);
    let evaluation = evaluate(&[pair], &classes, None);

    let picture = folder.join("demo-test.png");
    let middle = test.source.info().shape[0] / 2;
    let shown: Vec<_> = picks.above_thresholds().copied().collect();
    figure::write_slice(&picture, &test, middle, &classes, &shown)?;
    let tomogram = ExportTomogram {
        name: test.name.clone(),
        shape: test.source.info().shape,
        spacing_angstrom: Some(test.spacing_angstrom),
        points,
    };
    let options = ExportOptions { overwrite: true, file_per_tomogram: true, ..ExportOptions::default() };
    let results = folder.join("picks");
    inputs::make_folder(&results)?;
    let mut files = vec![folder.join("demo.model"), picture];
    for format in [Format::Csv, Format::Relion5] {
        files.extend(export(format, &results, &classes, std::slice::from_ref(&tomogram), &options)?);
    }
    say(format!("\nScores of the picks in {}, which was not learnt from:\n{evaluation}\nFiles:", test.name))?;
    files.iter().try_for_each(|file| say(format!("  {}", file.display())))
}
