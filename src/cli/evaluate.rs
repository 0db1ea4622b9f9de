//! `semietpicker evaluate`.

use std::path::Path;

use anyhow::Context as _;

use super::arguments::Evaluate;
use super::{Usage, inputs, positions, say};
use crate::coordinates::{CoordinateRow, Frame, Missing, Target, Unit, bare_tomogram_name, read_classes, same_tomogram};
use crate::labels::Class;
use crate::score::{ScoreRegion, evaluate, pairs_from_rows};

pub(super) fn run(options: &Evaluate) -> anyhow::Result<()> {
    if options.picks.len() != options.truth.len() {
        return Err(Usage(format!(
            "{} files of picks and {} of truth do not make pairs; give one --truth for each --picks",
            options.picks.len(),
            options.truth.len()
        ))
        .into());
    }
    if options.ignore.len() > 1 && options.ignore.len() != options.picks.len() {
        return Err(Usage(format!(
            "{} files to ignore for {} pairs; give one for all or one for each",
            options.ignore.len(),
            options.picks.len()
        ))
        .into());
    }
    let classes = read_classes(&options.classes)?;
    let targets = targets(options)?;
    let read = |path: &Path| read(path, options, &targets, &classes);
    let mut pairs = Vec::new();
    for (index, (picks, truth)) in options.picks.iter().zip(&options.truth).enumerate() {
        let ignored = match options.ignore.as_slice() {
            [] => Vec::new(),
            [one] => read(one)?,
            many => read(&many[index])?,
        };
        let sorted = pairs_from_rows(&classes, &read(picks)?, &read(truth)?, &ignored, options.spacing)
            .with_context(|| format!("cannot compare {} with {}", picks.display(), truth.display()))?;
        for name in sorted.without_truth {
            eprintln!("warning: the truth says nothing of {name}; its picks are left out: {}", picks.display());
        }
        pairs.extend(sorted.pairs);
    }
    let region = match (options.region, options.spacing) {
        (Some(voxels), Some(spacing_angstrom)) => Some(ScoreRegion { voxels, spacing_angstrom }),
        _ => None,
    };
    let evaluation = evaluate(&pairs, &classes, region.as_ref());
    if options.json { say(serde_json::to_string_pretty(&evaluation)?) } else { say(evaluation) }
}

/// The tomograms given for their sizes and spacings.
fn targets(options: &Evaluate) -> anyhow::Result<Vec<Target>> {
    let target = |(index, path): (usize, &std::path::PathBuf)| -> anyhow::Result<Target> {
        let tomogram = inputs::open(path, index, options.spacing)?;
        let (shape, spacing_angstrom) = (Some(tomogram.source.info().shape), Some(tomogram.spacing_angstrom));
        Ok(Target { name: tomogram.name, shape, spacing_angstrom })
    };
    options.tomogram.iter().enumerate().map(target).collect()
}

/// The positions of a file, in angstrom where the tomograms or the flags allow it.
fn read(path: &Path, options: &Evaluate, targets: &[Target], classes: &[Class]) -> anyhow::Result<Vec<CoordinateRow>> {
    let only_class = if let [only] = classes { Some(only.name.as_str()) } else { None };
    let mut rows = positions::read(path, None, only_class)?.rows;
    for row in &mut rows {
        let of_row = |target: &&Target| row.tomogram.as_deref().is_some_and(|name| same_tomogram(&target.name, name));
        let target = targets.iter().find(of_row).or(if let [only] = targets { Some(only) } else { None });
        let frame = Frame {
            shape: target.and_then(|target| target.shape),
            spacing_angstrom: target.and_then(|target| target.spacing_angstrom).or(options.spacing),
            tilt_series_pixel_angstrom: options.tilt_series_pixel,
        };
        let name = row.tomogram.as_deref().map_or("the tomogram", bare_tomogram_name);
        // Asked first, because the file that answers it gives the spacing too.
        if matches!(row.unit, Unit::CentredAngstrom | Unit::CentredPixel(_)) && frame.shape.is_none() {
            return Err(positions::missing(Missing::Shape, name, path).into());
        }
        row.xyz = row.angstrom_xyz(&frame).map_err(|missing| positions::missing(missing, name, path))?;
        row.unit = Unit::Angstrom;
        row.shift_angstrom = [0.0; 3];
    }
    Ok(rows)
}
