//! `semietpicker simulate`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::Simulate;
use super::{inputs, runner, say};
use crate::coordinates::{ExportPoint, ExportTomogram, write_classes, write_csv};
use crate::simulate::{ImagingConfig, Simulation, SimulationConfig, classes, simulate};
use crate::volume::{MrcMode, write_mrc};

const ANGSTROM_PER_MICROMETRE: f64 = 1e4;

/// One simulated tomogram on disk.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Simulated {
    pub name: String,
    pub tomogram: PathBuf,
    pub positions: PathBuf,
    pub particles: usize,
}

pub(super) fn run(options: &Simulate) -> anyhow::Result<()> {
    let imaging = ImagingConfig {
        defocus_angstrom: options.defocus * ANGSTROM_PER_MICROMETRE,
        defocus_spread_angstrom: options.defocus_spread * ANGSTROM_PER_MICROMETRE,
        ..ImagingConfig::default()
    };
    let mut config = SimulationConfig { seed: options.seed, noise: options.noise, imaging, ..SimulationConfig::default() };
    if let Some([z, y, x]) = options.shape.as_deref() {
        config.shape = [*z, *y, *x];
    }
    let names: Vec<String> = (1..=options.count).map(|i| format!("{}-{i}", options.name)).collect();
    let made = make(&config, &names, &options.out)?;
    if options.json {
        return say(serde_json::to_string_pretty(&serde_json::json!({
            "classes": options.out.join("classes.toml"), "tomograms": made
        }))?);
    }
    for one in made {
        say(format!("{} with {} particles: {}", one.tomogram.display(), one.particles, one.positions.display()))?;
    }
    Ok(())
}

/// Simulates one tomogram a name, with seeds that count up, and writes each with its positions, and the classes once.
pub(super) fn make(config: &SimulationConfig, names: &[String], out: &Path) -> anyhow::Result<Vec<Simulated>> {
    inputs::make_folder(out)?;
    let bar = runner::bar(100 * names.len() as u64, "simulating");
    let mut made = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let config = SimulationConfig { seed: config.seed + index as u64, ..config.clone() };
        let simulation = simulate(&config, |fraction| {
            bar.set_position(100 * index as u64 + (fraction * 100.0) as u64);
        })?;
        made.push(write(&simulation, name, out)?);
    }
    write_classes(&out.join("classes.toml"), &classes(), true)?;
    bar.finish();
    Ok(made)
}

fn write(simulation: &Simulation, name: &str, out: &Path) -> anyhow::Result<Simulated> {
    let tomogram = out.join(format!("{name}.mrc"));
    let positions = out.join(format!("{name}.csv"));
    write_mrc(&tomogram, simulation.shape, simulation.spacing_angstrom, &simulation.volume, MrcMode::Float16)?;
    let points = simulation
        .positions
        .iter()
        .map(|particle| ExportPoint {
            class: particle.class,
            position: particle.position,
            score: None,
            source: Some("simulation".to_owned()),
        })
        .collect();
    let export = ExportTomogram {
        name: name.to_owned(),
        shape: simulation.shape,
        spacing_angstrom: Some(simulation.spacing_angstrom),
        points,
    };
    write_csv(&positions, &simulation.classes, &[export], true)?;
    Ok(Simulated { name: name.to_owned(), tomogram, positions, particles: simulation.positions.len() })
}
