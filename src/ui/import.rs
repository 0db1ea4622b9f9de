//! Labels from files of positions of any form: what a file leaves open is asked in a form, and all of it becomes one edit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{Action, UiState, VolumeState};
use super::training::file_name;
use crate::coordinates::{
    CoordinateError, PlaceOptions, Placement, Positions, ReadOptions, Target, asks_tilt_series_pixel, place, read_positions,
    rest_of_file_name, same_tomogram, target_of_file,
};
use crate::labels::{Class, ClassId, Edit, PointKind, TomogramId, default_colour};

/// The class name that stands for "not a particle" in files.
const NEGATIVE: &str = "negative";

/// Stands for the class of positions in a file that has none, until the user has said it.
const WITHOUT_CLASS: &str = "(positions without a class)";

/// Name under which the project keeps what was answered.
const SETTING: &str = "import";

/// Endings of files with positions, in small letters.
pub const POSITION_ENDINGS: [&str; 10] = ["csv", "tsv", "txt", "star", "cbox", "ndjson", "mod", "tbl", "coords", "cmm"];

/// Whether a file must hold positions: by its ending, and a JSON file by what it begins with.
pub fn holds_positions(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    if ending != "json" {
        return POSITION_ENDINGS.contains(&ending.as_str());
    }
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    let head = String::from_utf8_lossy(&head);
    read.is_ok() && ["\"pickable_object_name\"", "\"boxes_3d\""].iter().any(|key| head.contains(key))
}

/// A file to import, as it was read.
#[derive(Clone, Debug)]
pub struct ReadFile {
    /// Its positions.
    pub positions: Positions,
    /// What its name or folder says of the class of positions that have none.
    pub class: Option<String>,
}

/// Reads a file to import.
///
/// # Errors
/// As [`read_positions`].
pub fn read(path: &Path) -> Result<ReadFile, CoordinateError> {
    let options = ReadOptions { format: None, class: Some(WITHOUT_CLASS.to_owned()) };
    let positions = read_positions(path, &options)?;
    let class = match positions.rows.iter().position(|row| row.class == WITHOUT_CLASS) {
        None => None,
        Some(row) => read_positions(path, &ReadOptions::default())?.rows.get(row).map(|row| row.class.clone()),
    };
    Ok(ReadFile { positions, class })
}

/// What becomes of the positions of a class that the project does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassChoice {
    /// The class is added.
    Add,
    /// They are of a class of the project.
    Existing(ClassId),
    /// They are explicit negatives.
    Negative,
    /// They are left out.
    LeaveOut,
}

/// A class of a file that the project does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct UnknownClass {
    /// Its name in the file.
    key: String,
    /// The name under which it is added.
    pub name: String,
    /// Number of positions.
    pub count: usize,
    /// What becomes of them.
    pub choice: ClassChoice,
    /// The radius in angstrom with which it is added.
    pub radius_angstrom: f64,
}

impl UnknownClass {
    /// The class as the form names it.
    pub fn title(&self) -> String {
        if self.key == WITHOUT_CLASS { "Positions without a class".to_owned() } else { format!("Class {}", self.name) }
    }
}

/// A file that waits for answers.
#[derive(Clone, Debug)]
pub struct ImportForm {
    /// The file.
    pub path: PathBuf,
    /// Its positions.
    pub positions: Positions,
    /// The size of a tilt-series pixel in angstrom, when it is asked for; 0 until it is given.
    pub tilt_series_pixel_angstrom: Option<f64>,
    /// Number of positions that name no tomogram.
    pub unnamed: usize,
    /// Their tomogram.
    pub tomogram: Option<TomogramId>,
    /// The only tomogram that the file names, when the project does not have it, and the one that is meant.
    pub renamed: Option<(String, Option<TomogramId>)>,
    /// Classes that the project does not have.
    pub classes: Vec<UnknownClass>,
}

impl ImportForm {
    /// Whether something must be answered before the positions can be imported.
    fn asks(&self) -> bool {
        self.tilt_series_pixel_angstrom.is_some()
            || self.renamed.is_some()
            || !self.classes.is_empty()
            || (self.unnamed > 0 && self.tomogram.is_none())
    }

    /// What must be given before the positions can be imported.
    pub fn problem(&self) -> Option<&'static str> {
        if self.tilt_series_pixel_angstrom.is_some_and(|pixel| pixel <= 0.0) {
            return Some("Give the pixel size of the unbinned tilt series first");
        }
        (self.unnamed > 0 && self.tomogram.is_none()).then_some("Choose the tomogram first")
    }
}

/// Answers that are kept with the project.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Remembered {
    tilt_series_pixel_angstrom: f64,
    radius_angstrom: Option<f64>,
    class_of_files_without: Option<ClassId>,
}

impl UiState {
    /// Asks for the files that wait to be imported, once no tomogram is being opened any more.
    pub fn import_due_tables(&mut self) {
        let under_way = self.volumes.values().any(|volume| matches!(volume, VolumeState::Opening));
        if !self.opening.is_empty() || under_way {
            return;
        }
        for table in std::mem::take(&mut self.tables_due) {
            self.request(Action::ImportLabels(table));
        }
    }

    /// Takes in a file that has been read; positions that name no tomogram belong to `otherwise`. What the file leaves open is
    /// asked, else it is imported at once.
    pub fn on_positions_read(&mut self, path: PathBuf, otherwise: Option<TomogramId>, result: Result<ReadFile, CoordinateError>) {
        match result {
            Err(error) => self.fail("The labels were not imported", &error),
            Ok(file) if file.positions.rows.is_empty() => {
                self.fail_text("The labels were not imported", format!("there is no position in the file: {}", path.display()));
            }
            Ok(file) => {
                let form = self.import_form(path, file, otherwise);
                if form.asks() {
                    self.imports.push_back(form);
                } else {
                    self.import(&form);
                }
            }
        }
    }

    fn import_form(&self, path: PathBuf, file: ReadFile, otherwise: Option<TomogramId>) -> ImportForm {
        let remembered: Remembered = self.document.setting(SETTING).unwrap_or_default();
        let ReadFile { positions, class: class_of_file } = file;
        let rows = &positions.rows;
        let tomograms = self.document.tomograms();
        let pixel = remembered.tilt_series_pixel_angstrom;
        let pixel = if pixel > 0.0 { pixel } else { self.export.tilt_series_pixel_angstrom };
        let known = |name: &str| tomograms.iter().any(|entry| same_tomogram(&entry.name, name));
        let named: BTreeSet<&str> = rows.iter().filter_map(|row| row.tomogram.as_deref()).collect();
        let renamed = match (named.len(), named.first()) {
            (1, Some(name)) if !known(name) && !tomograms.is_empty() => Some(((*name).to_owned(), None)),
            _ => None,
        };
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            if self.document.annotations().class_named(&row.class).is_none() && !row.class.eq_ignore_ascii_case(NEGATIVE) {
                *unknown.entry(&row.class).or_default() += 1;
            }
        }
        let radius_angstrom = remembered.radius_angstrom.unwrap_or(self.new_class.1);
        let targets: Vec<Target> =
            tomograms.iter().map(|entry| Target { name: entry.name.clone(), ..Target::default() }).collect();
        let own = target_of_file(&path, &targets).map(|index| &tomograms[index]);
        let rest = own.and_then(|entry| rest_of_file_name(&path, &entry.name)).filter(|rest| !rest.is_empty());
        let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        // The tomogram's name before the class's is no part of it.
        let guess = match class_of_file {
            Some(class) if class == stem => rest.unwrap_or(class),
            other => other.unwrap_or(stem),
        };
        let class = |(key, count): (&str, usize)| {
            let annotations = self.document.annotations();
            let named = |name: &str| annotations.class_named(name).map(|class| class.id);
            let (name, choice) = if key == WITHOUT_CLASS {
                // Of the class that the file's name says, or that the last such file was of, or that is being labelled.
                let name = guess.clone();
                let last = remembered.class_of_files_without.filter(|id| annotations.class(*id).is_some());
                let current = if let Some(PointKind::Particle(id)) = self.kind { Some(id) } else { None };
                let class = named(&name).or(last).or(current);
                (name, class.map_or(ClassChoice::Add, ClassChoice::Existing))
            } else {
                (key.to_owned(), ClassChoice::Add)
            };
            UnknownClass { key: key.to_owned(), name, count, choice, radius_angstrom }
        };
        ImportForm {
            tilt_series_pixel_angstrom: asks_tilt_series_pixel(rows).then_some(pixel),
            unnamed: rows.iter().filter(|row| row.tomogram.is_none()).count(),
            // A file that is named after a tomogram belongs to it, whatever is on the screen.
            tomogram: own.map(|entry| entry.id).or(otherwise),
            renamed,
            classes: unknown.into_iter().map(class).collect(),
            path,
            positions,
        }
    }

    /// Imports the file whose form has been filled in, and remembers the answers.
    pub fn finish_import(&mut self, form: &ImportForm) {
        let mut remembered: Remembered = self.document.setting(SETTING).unwrap_or_default();
        if let Some(pixel) = form.tilt_series_pixel_angstrom {
            remembered.tilt_series_pixel_angstrom = pixel;
        }
        for class in &form.classes {
            if class.choice == ClassChoice::Add {
                remembered.radius_angstrom = Some(class.radius_angstrom);
            }
            if let (WITHOUT_CLASS, ClassChoice::Existing(id)) = (class.key.as_str(), class.choice) {
                remembered.class_of_files_without = Some(id);
            }
        }
        if let Err(error) = self.document.set_setting(SETTING, &remembered) {
            self.fail("The answers were not kept", &error);
        }
        self.import(form);
    }

    /// Adds the positions as labels, as one edit that can be undone. What cannot be used is said.
    fn import(&mut self, form: &ImportForm) {
        let entries: Vec<_> = self.document.tomograms().to_vec();
        let target = |entry: &crate::project::ProjectTomogram| Target {
            name: entry.name.clone(),
            shape: Some(match self.volumes.get(&entry.id) {
                Some(VolumeState::Open(volume)) => volume.shape(),
                _ => entry.shape,
            }),
            spacing_angstrom: self.spacing(entry.id),
        };
        let targets: Vec<Target> = entries.iter().map(target).collect();
        let index = |id: TomogramId| entries.iter().position(|entry| entry.id == id);
        let renamed = form.renamed.iter().filter_map(|(name, id)| Some((name.clone(), index((*id)?)?)));
        let options = PlaceOptions {
            unnamed: form.tomogram.and_then(index),
            renamed: renamed.collect(),
            tilt_series_pixel_angstrom: form.tilt_series_pixel_angstrom.filter(|pixel| *pixel > 0.0),
        };
        let placement = place(&form.positions.rows, &targets, &options);

        let mut edits = Vec::new();
        let mut kinds: BTreeMap<&str, Option<PointKind>> = BTreeMap::new();
        let mut points: BTreeMap<TomogramId, Vec<([f64; 3], PointKind)>> = BTreeMap::new();
        let mut declined = 0;
        for placed in &placement.placed {
            let name = form.positions.rows[placed.row].class.as_str();
            let kind = match kinds.get(name) {
                Some(kind) => *kind,
                None => {
                    let kind = self.imported_kind(name, &form.classes, &mut edits);
                    kinds.insert(name, kind);
                    kind
                }
            };
            match kind {
                Some(kind) => points.entry(entries[placed.target].id).or_default().push((placed.position, kind)),
                None => declined += 1,
            }
        }
        let count: usize = points.values().map(Vec::len).sum();
        let into = match points.keys().next() {
            Some(only) if points.len() == 1 => self.document.name(*only),
            _ => format!("{} tomograms", points.len()),
        };
        edits.extend(points.into_iter().map(|(tomogram, points)| self.document.import_edit(tomogram, points)));
        let labels = if count == 1 { "label" } else { "labels" };
        if count > 0 && self.perform(Edit::Batch { name: format!("import of {count} {labels}"), edits }) {
            let rest = if declined > 0 { format!("; {declined} of classes not wanted were left out") } else { String::new() };
            self.toasts.add(format!("{count} {labels} were imported into {into}{rest}"));
        }
        self.say_left_out(form, &placement, &targets, count);
    }

    /// What a class's name says; a class that is to be added is, by an edit.
    fn imported_kind(&mut self, name: &str, unknown: &[UnknownClass], edits: &mut Vec<Edit>) -> Option<PointKind> {
        if let Some(class) = self.document.annotations().class_named(name) {
            return Some(PointKind::Particle(class.id));
        }
        let Some(unknown) = unknown.iter().find(|class| class.key == name) else {
            // Asked about every class but this.
            return name.eq_ignore_ascii_case(NEGATIVE).then_some(PointKind::Negative);
        };
        match unknown.choice {
            ClassChoice::LeaveOut => None,
            ClassChoice::Negative => Some(PointKind::Negative),
            ClassChoice::Existing(id) => self.document.annotations().class(id).map(|class| PointKind::Particle(class.id)),
            ClassChoice::Add => {
                let wanted = unknown.name.trim();
                if let Some(class) = self.document.annotations().class_named(wanted) {
                    return Some(PointKind::Particle(class.id));
                }
                let index = self.document.annotations().classes.len() + edits.len();
                let id = self.document.new_class_id();
                let (name, radius_angstrom) = (wanted.to_owned(), unknown.radius_angstrom);
                let class = Class { id, name, radius_angstrom, colour: default_colour(index) };
                edits.push(Edit::AddClass { index, class });
                Some(PointKind::Particle(id))
            }
        }
    }

    fn say_left_out(&mut self, form: &ImportForm, placement: &Placement, targets: &[Target], imported: usize) {
        let name = |target: usize| targets.get(target).map_or("", |target| target.name.as_str());
        let mut reasons: Vec<String> = Vec::new();
        let mut outside: BTreeMap<usize, usize> = BTreeMap::new();
        for placed in &placement.outside {
            *outside.entry(placed.target).or_default() += 1;
        }
        let lie = |count| if count == 1 { "1 position lies".to_owned() } else { format!("{count} positions lie") };
        for (target, count) in outside {
            reasons.push(format!("{} outside {}; check the spacing", lie(count), name(target)));
        }
        for (tomogram, count) in &placement.elsewhere {
            reasons.push(format!("{count} of {tomogram:?}: the project has no such tomogram; open it first"));
        }
        if placement.unnamed > 0 {
            let count = placement.unnamed;
            reasons.push(format!("{count}: the file names no tomogram; show the one that it belongs to first"));
        }
        for ((missing, target), count) in &placement.missing {
            reasons.push(format!("{count} of {}: {missing}", name(*target)));
        }
        reasons.extend(form.positions.notes.iter().cloned());
        if !reasons.is_empty() {
            let total = form.positions.rows.len();
            let title = format!("{imported} of {total} positions were imported: {}", file_name(&form.path));
            self.fail_text(title, reasons.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_positions_are_told_from_tomograms() {
        for name in ["a.csv", "A.STAR", "a.mod", "a.tbl", "a.cbox", "a.ndjson", "a.coords", "a.cmm", "a.txt"] {
            assert!(holds_positions(Path::new(name)), "{name}");
        }
        for name in ["a.mrc", "a.rec", "a.st", "a.zarr", "a.tif", "a", "project.json", "none.json"] {
            assert!(!holds_positions(Path::new(name)), "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        assert!(holds_positions(&file("picks.json", r#"{"pickable_object_name": "a", "points": []}"#)));
        assert!(holds_positions(&file("TS_info.json", r#"{"boxes_3d": []}"#)));
        assert!(!holds_positions(&file("project.json", r#"{"version": 1}"#)));
    }
}
