//! From file names to what a session works on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::arguments::Info;
use super::{Usage, positions, say};
use crate::coordinates::{CoordinateRow, Frame, same_tomogram};
use crate::copick::{self, CopickProject};
use crate::geometry::VoxelBox;
use crate::labels::{Class, ItemId, Point, PointKind, Region, TomogramId, TomogramLabels};
use crate::train::TrainingTomogram;
use crate::volume;

/// Runs `info`.
pub(super) fn info(options: &Info) -> anyhow::Result<()> {
    if let Some(config) = copick::config_at(&options.file) {
        let project = CopickProject::open(&config)?;
        return if options.json { say(serde_json::to_string_pretty(&project.summary())?) } else { say(project) };
    }
    let description = volume::describe(&options.file, &options.voxel)?;
    if options.json { say(serde_json::to_string_pretty(&description)?) } else { say(description) }
}

/// Opens a tomogram without labels.
pub(super) fn open(path: &Path, index: usize, spacing: Option<f64>) -> anyhow::Result<TrainingTomogram> {
    let source = volume::open(path)?;
    let Some(spacing_angstrom) = source.info().spacing_angstrom.or(spacing) else {
        return Err(Usage(format!(
            "the file does not say its voxel spacing; add --spacing with its value in angstrom: {}",
            path.display()
        ))
        .into());
    };
    for warning in &source.info().warnings {
        log::info!("{}: {warning}", path.display());
    }
    Ok(TrainingTomogram {
        id: TomogramId(index as u32),
        name: volume::tomogram_name(path),
        source,
        spacing_angstrom,
        labels: TomogramLabels::default(),
    })
}

/// Splits `TOMO=REST` where the left side is a file; paths may hold `=` themselves.
pub(super) fn split_pair(text: &str) -> Result<(PathBuf, &str), Usage> {
    let splits: Vec<(&str, &str)> = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..])).collect();
    splits
        .iter()
        .find(|(left, _)| Path::new(left).exists())
        .or(splits.first())
        .map(|(left, right)| (PathBuf::from(left), *right))
        .ok_or_else(|| Usage(format!("`{text}` must name a tomogram and a file or a box, joined by `=`")))
}

/// The labels of one tomogram out of a file of any form. Where the file names several tomograms, rows of the others are left out; where it names
/// only one, the pair given on the command line decides. Rows of unknown classes are left out with a warning.
pub(super) fn labels_from(
    path: &Path,
    tomogram: &TrainingTomogram,
    classes: &[Class],
    tilt_series_pixel_angstrom: Option<f64>,
    next_id: &mut u64,
) -> anyhow::Result<TomogramLabels> {
    // Positions of a file without classes can only be of the one class that there is.
    let only_class = if let [only] = classes { Some(only.name.as_str()) } else { None };
    let rows = positions::read(path, None, only_class)?.rows;
    let mut labels = TomogramLabels::default();
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut outside = 0;
    let shape = tomogram.source.info().shape;
    let frame = Frame { shape: Some(shape), spacing_angstrom: Some(tomogram.spacing_angstrom), tilt_series_pixel_angstrom };
    let named: BTreeSet<&str> = rows.iter().filter_map(|row| row.tomogram.as_deref()).collect();
    if let (Some(only), 1) = (named.first(), named.len())
        && !same_tomogram(only, &tomogram.name)
    {
        eprintln!("warning: these labels name the tomogram {only}; they are taken for {}: {}", tomogram.name, path.display());
    }
    for row in rows.iter().filter(|row| named.len() <= 1 || belongs(row, &tomogram.name)) {
        let Some(kind) = kind_of(&row.class, classes) else {
            *unknown.entry(&row.class).or_default() += 1;
            continue;
        };
        let position = row.voxel_zyx(&frame).map_err(|missing| positions::missing(missing, &tomogram.name, path))?;
        if !VoxelBox::whole(shape).contains(position) {
            outside += 1;
        }
        let id = ItemId(*next_id);
        *next_id += 1;
        labels.points.insert(id, Point { id, position, kind });
    }
    for (class, count) in unknown {
        eprintln!(
            "warning: {count} labels of class {class} are left out, which the classes file does not name: {}",
            path.display()
        );
    }
    if outside > 0 {
        eprintln!(
            "warning: {outside} of {} labels lie outside {} (voxels x, y, z: {}, {}, {}); check the spacing: {}",
            labels.points.len(),
            tomogram.name,
            shape[2],
            shape[1],
            shape[0],
            path.display()
        );
    }
    anyhow::ensure!(
        !labels.points.is_empty(),
        "no label of a known class for {} in this file: {}",
        tomogram.name,
        path.display()
    );
    Ok(labels)
}

/// The class of a name in a label file; `negative` stands for an explicit negative.
fn kind_of(name: &str, classes: &[Class]) -> Option<PointKind> {
    classes
        .iter()
        .find(|class| class.name == name)
        .map(|class| PointKind::Particle(class.id))
        .or_else(|| positions::is_negative(name).then_some(PointKind::Negative))
}

/// Whether a row speaks of this tomogram; a row without a tomogram's name does.
fn belongs(row: &CoordinateRow, tomogram: &str) -> bool {
    row.tomogram.as_deref().is_none_or(|name| same_tomogram(name, tomogram))
}

/// Adds a complete region to labels.
pub(super) fn add_region(tomogram: &mut TrainingTomogram, voxels: VoxelBox, next_id: &mut u64) -> Result<(), Usage> {
    let shape = tomogram.source.info().shape;
    if !voxels.fits_in(shape) {
        return Err(Usage(format!(
            "the region {:?} to {:?} (z, y, x) does not lie inside {}, which has {shape:?} voxels",
            voxels.start, voxels.end, tomogram.name
        )));
    }
    let id = ItemId(*next_id);
    *next_id += 1;
    tomogram.labels.regions.insert(id, Region { id, voxels });
    Ok(())
}

/// Makes a folder for results.
pub(super) fn make_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}
