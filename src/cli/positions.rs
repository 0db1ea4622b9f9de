//! Files with positions on the command line: what they say, what they leave open, and which flag answers it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Usage;
use crate::coordinates::{
    CoordinateRow, Format, Missing, PlaceOptions, Placement, ReadOptions, Target, bare_tomogram_name, read_positions,
    rest_of_file_name, same_tomogram, target_of_file,
};

/// A file that has been read.
pub(super) struct ReadFile {
    pub path: PathBuf,
    pub rows: Vec<CoordinateRow>,
}

/// Reads a file of any form; what had to be assumed is said.
pub(super) fn read(path: &Path, format: Option<Format>, class: Option<&str>) -> anyhow::Result<ReadFile> {
    let positions = read_positions(path, &ReadOptions { format, class: class.map(str::to_owned) })?;
    for note in &positions.notes {
        eprintln!("note: {note}: {}", path.display());
    }
    log::info!("{} positions read as {}: {}", positions.rows.len(), positions.format, path.display());
    Ok(ReadFile { path: path.to_owned(), rows: positions.rows })
}

/// Whether a class stands for explicit negatives.
pub(super) fn is_negative(class: &str) -> bool {
    class.eq_ignore_ascii_case("negative")
}

impl ReadFile {
    /// Without the positions whose score is less than the threshold.
    pub fn above(mut self, threshold: Option<f32>) -> Self {
        if let Some(threshold) = threshold {
            self.rows.retain(|row| row.score.is_none_or(|score| score >= threshold));
        }
        self
    }

    /// The tomograms that the file speaks of; a file whose positions name none speaks of the one that it is named after.
    pub fn tomogram_names(&self) -> BTreeSet<String> {
        let named = |row: &CoordinateRow| match &row.tomogram {
            Some(name) => bare_tomogram_name(name).to_owned(),
            None => self.own_name(),
        };
        self.rows.iter().map(named).collect()
    }

    /// The tomogram that the file is named after.
    fn own_name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or(self.path.as_os_str()).to_string_lossy();
        bare_tomogram_name(&stem).to_owned()
    }

    /// Takes the tomogram's name out of the class of positions whose class is the file's name: `TS_1_ribosome` is `ribosome`.
    pub fn name_classes(&mut self, targets: &[Target], rule: &PlaceOptions) {
        let stem = self.path.file_stem().unwrap_or(self.path.as_os_str()).to_string_lossy();
        let target = rule.unnamed.and_then(|target| targets.get(target));
        let rest = target.and_then(|target| rest_of_file_name(&self.path, &target.name));
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            for row in self.rows.iter_mut().filter(|row| row.tomogram.is_none() && row.class == stem) {
                row.class.clone_from(&rest);
            }
        }
    }
}

/// Where positions belong that name no tomogram, or another one than is given: to the only one, or to the one that the file is
/// named after.
pub(super) fn rule(file: &ReadFile, targets: &[Target]) -> Result<PlaceOptions, Usage> {
    let mut rule = PlaceOptions::default();
    let only = (targets.len() == 1).then_some(0);
    if file.rows.iter().any(|row| row.tomogram.is_none()) {
        rule.unnamed = only.or_else(|| target_of_file(&file.path, targets));
        if rule.unnamed.is_none() {
            return Err(Usage(format!(
                "the file does not say of which tomogram it speaks, and several are given; give it alone with its tomogram (import: name it with --into): {}",
                file.path.display()
            )));
        }
    }
    let named: BTreeSet<&str> = file.rows.iter().filter_map(|row| row.tomogram.as_deref()).collect();
    if let (Some(target), Some(name), 1) = (only, named.first(), named.len())
        && !same_tomogram(name, &targets[target].name)
    {
        eprintln!(
            "warning: these positions name the tomogram {name}; they are taken for {}: {}",
            targets[target].name,
            file.path.display()
        );
        rule.renamed.insert((*name).to_owned(), target);
    }
    Ok(rule)
}

/// The mistake that something needed is not given, with the flag that gives it.
pub(super) fn missing(missing: Missing, tomogram: &str, path: &Path) -> Usage {
    let path = path.display();
    Usage(match missing {
        Missing::Spacing => format!(
            "the positions must be converted by the voxel spacing of {tomogram}, which is not known; add --spacing with its value \
             in angstrom: {path}"
        ),
        Missing::Shape => format!(
            "the positions count from the centre of {tomogram}, whose size is not known; add --tomogram with its file: {path}"
        ),
        Missing::TiltSeriesPixel => format!(
            "the positions are in pixels of the unbinned tilt series, whose size the file does not say; add --tilt-series-pixel \
             with its value in angstrom: {path}"
        ),
    })
}

/// Refuses a file when something is missing to place its positions.
pub(super) fn refuse_missing(placement: &Placement, targets: &[Target], path: &Path) -> Result<(), Usage> {
    match placement.missing.keys().next() {
        None => Ok(()),
        Some((what, target)) => Err(missing(*what, &targets[*target].name, path)),
    }
}

/// Says which positions are left out and why.
pub(super) fn warn(placement: &Placement, targets: &[Target], file: &ReadFile) {
    let path = file.path.display();
    for (index, target) in targets.iter().enumerate() {
        let outside = placement.outside.iter().filter(|placed| placed.target == index).count();
        let inside = placement.placed.iter().filter(|placed| placed.target == index).count();
        if outside > 0 {
            let [z, y, x] = target.shape.unwrap_or_default();
            eprintln!(
                "warning: {outside} of {} positions lie outside {} (voxels x, y, z: {x}, {y}, {z}) and are left out; check the \
                 spacing: {path}",
                outside + inside,
                target.name
            );
        }
    }
    for (name, count) in &placement.elsewhere {
        eprintln!("warning: {count} positions are left out, because the tomogram {name} is not among those given: {path}");
    }
}
