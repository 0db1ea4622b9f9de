//! What the export form holds, which positions it means, and what becomes of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::document::Document;
use super::files::ExportJob;
use super::picks::project_class;
use super::state::{UiState, VolumeState};
use crate::coordinates::{CoordinateError, ExportOptions, ExportPoint, ExportTomogram, Format};
use crate::labels::{Class, PointKind, TomogramId};
use crate::project::ProjectTomogram;

/// Name under which the project keeps the form.
const SETTING: &str = "export";

/// Which positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportWhat {
    /// Labelled particles.
    #[default]
    Labels,
    /// Picks above the thresholds.
    Picks,
}

/// Of which tomograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportWhich {
    /// The one on the screen.
    Current,
    /// All.
    #[default]
    All,
    /// All but those left out.
    Some,
}

/// What the form holds; kept with the project, but for what belongs to one export alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportForm {
    /// Which positions.
    pub what: ExportWhat,
    /// Of which tomograms.
    pub which: ExportWhich,
    /// Tomograms that are left out of some.
    pub tomograms_left_out: BTreeSet<TomogramId>,
    /// Names of classes that are left out.
    pub classes_left_out: BTreeSet<String>,
    /// The files' format.
    #[serde(with = "format_name")]
    pub format: Format,
    /// The folder.
    pub folder: String,
    /// One file a tomogram, where the format can do either.
    pub file_per_tomogram: bool,
    /// The `tomograms.star` of the RELION project.
    pub relion_tomograms_star: String,
    /// Shift by a tilt-series pixel, as RELION's own picker does.
    pub relion_picker_offset: bool,
    /// Pixel of the unbinned tilt series in angstrom; 0 until it is given.
    pub tilt_series_pixel_angstrom: f64,
    /// The user under whose name picks are written into a copick project.
    pub copick_user: String,
    /// The session under which they are written.
    pub copick_session: String,
    /// Replace files that exist.
    #[serde(skip)]
    pub overwrite: bool,
    /// An export is under way.
    #[serde(skip)]
    pub running: bool,
    /// Why the last attempt failed.
    #[serde(skip)]
    pub error: Option<String>,
}

impl Default for ExportForm {
    fn default() -> Self {
        let options = ExportOptions::default();
        Self {
            what: ExportWhat::Labels,
            which: ExportWhich::All,
            tomograms_left_out: BTreeSet::new(),
            classes_left_out: BTreeSet::new(),
            format: Format::Csv,
            folder: String::new(),
            file_per_tomogram: false,
            relion_tomograms_star: options.relion_tomograms_star,
            relion_picker_offset: false,
            tilt_series_pixel_angstrom: 0.0,
            copick_user: options.copick_user,
            copick_session: options.copick_session,
            overwrite: false,
            running: false,
            error: None,
        }
    }
}

/// A format as its name, so that a project stays readable when formats come and go.
mod format_name {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::coordinates::Format;

    pub fn serialize<S: Serializer>(format: &Format, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(format.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
        Ok(String::deserialize(deserializer)?.parse().unwrap_or_default())
    }
}

impl ExportForm {
    /// The form as the project remembers it.
    pub fn of(document: &Document) -> Self {
        document.setting(SETTING).unwrap_or_default()
    }

    /// Whether the size of a tilt-series pixel is asked for.
    pub fn asks_tilt_series_pixel(&self) -> bool {
        self.format.needs_tilt_series_pixel() || (self.format.may_shift() && self.relion_picker_offset)
    }

    /// What must be given before anything can be written.
    pub fn problem(&self) -> Option<&'static str> {
        if self.folder.trim().is_empty() {
            return Some("Give a folder first");
        }
        if self.asks_tilt_series_pixel() && self.tilt_series_pixel_angstrom <= 0.0 {
            return Some("Give the pixel size of the unbinned tilt series first");
        }
        if self.format == Format::Relion5 && self.relion_tomograms_star.trim().is_empty() {
            return Some("Give the tomograms.star of the RELION project first");
        }
        None
    }

    fn options(&self) -> ExportOptions {
        let pixel = self.tilt_series_pixel_angstrom;
        ExportOptions {
            overwrite: self.overwrite,
            file_per_tomogram: self.file_per_tomogram && self.format.may_split(),
            relion_tomograms_star: self.relion_tomograms_star.trim().to_owned(),
            relion_picker_offset: self.relion_picker_offset && self.format.may_shift(),
            tilt_series_pixel_angstrom: (self.asks_tilt_series_pixel() && pixel > 0.0).then_some(pixel),
            copick_user: self.copick_user.trim().to_owned(),
            copick_session: self.copick_session.trim().to_owned(),
        }
    }

    fn means(&self, tomogram: TomogramId, current: Option<TomogramId>) -> bool {
        match self.which {
            ExportWhich::Current => current == Some(tomogram),
            ExportWhich::All => true,
            ExportWhich::Some => !self.tomograms_left_out.contains(&tomogram),
        }
    }
}

/// Whether enough is known of a tomogram: it is open, or the user has said its spacing.
fn is_known(state: &UiState, tomogram: TomogramId) -> bool {
    matches!(state.volumes.get(&tomogram), Some(VolumeState::Open(_))) || state.document.spacing_override(tomogram).is_some()
}

fn chosen(state: &UiState) -> impl Iterator<Item = &ProjectTomogram> {
    state.document.tomograms().iter().filter(|entry| state.export.means(entry.id, state.current))
}

/// Names of tomograms that the form means but that are left out, because they cannot be opened.
pub fn not_open(state: &UiState) -> Vec<&str> {
    chosen(state).filter(|entry| !is_known(state, entry.id)).map(|entry| entry.name.as_str()).collect()
}

/// The project's classes, and, where picks are meant, those that only the picks know.
pub fn export_classes(state: &UiState) -> Vec<Class> {
    let annotations = state.document.annotations();
    let mut classes = annotations.classes.clone();
    if state.export.what == ExportWhat::Picks {
        for class in state.picks.sets().flat_map(|set| &set.classes) {
            if project_class(annotations, class).is_none() && classes.iter().all(|other| other.name != class.name) {
                classes.push(class.clone());
            }
        }
    }
    classes
}

/// Calls `found` with class (by its place in `classes`), position and score of each point of a tomogram that is meant.
fn visit(state: &UiState, tomogram: TomogramId, classes: &[Class], mut found: impl FnMut(usize, [f64; 3], Option<f32>)) {
    let annotations = state.document.annotations();
    let place = |name: &str| classes.iter().position(|class| class.name == name);
    match state.export.what {
        ExportWhat::Labels => {
            let places: Vec<_> = annotations.classes.iter().map(|class| (class.id, place(&class.name))).collect();
            for point in annotations.labels(tomogram).into_iter().flat_map(|labels| labels.points.values()) {
                let PointKind::Particle(id) = point.kind else { continue };
                if let Some((_, Some(class))) = places.iter().find(|(own, _)| *own == id) {
                    found(*class, point.position, None);
                }
            }
        }
        ExportWhat::Picks => {
            let Some(set) = state.picks.set(tomogram) else { return };
            let own = |class| project_class(annotations, class).unwrap_or(class);
            let places: Vec<Option<usize>> = set.classes.iter().map(|class| place(&own(class).name)).collect();
            let wanted = set.picks.iter().enumerate().filter(|(index, _)| state.picks.is_wanted(set, *index));
            for (_, pick) in wanted {
                if let Some(Some(class)) = places.get(pick.class) {
                    found(*class, pick.position, Some(pick.score));
                }
            }
        }
    }
}

fn kept_classes(state: &UiState) -> Vec<Class> {
    let mut classes = export_classes(state);
    classes.retain(|class| !state.export.classes_left_out.contains(&class.name));
    classes
}

/// How many positions the form means.
pub fn count(state: &UiState) -> usize {
    let classes = kept_classes(state);
    let mut count = 0;
    for entry in chosen(state).filter(|entry| is_known(state, entry.id)) {
        visit(state, entry.id, &classes, |_, _, _| count += 1);
    }
    count
}

impl UiState {
    /// What the form asks for, to be written by another thread; `None` while an export is under way or something must be given
    /// first. The form is remembered.
    pub fn begin_export(&mut self) -> Option<ExportJob> {
        if self.export.running || self.export.problem().is_some() {
            return None;
        }
        let classes = kept_classes(self);
        let tomograms = chosen(self).filter(|entry| is_known(self, entry.id)).map(|entry| self.export_tomogram(entry, &classes));
        let tomograms: Vec<ExportTomogram> = tomograms.collect();
        if let Err(error) = self.document.set_setting(SETTING, &self.export) {
            self.fail("The form was not kept", &error);
        }
        self.export.error = None;
        self.export.running = true;
        let (format, options) = (self.export.format, self.export.options());
        Some(ExportJob { format, folder: PathBuf::from(self.export.folder.trim()), classes, tomograms, options })
    }

    /// Labels, or picks above the thresholds, of all tomograms that are known well enough, whatever the form says.
    pub fn positions_of_all(&mut self, what: ExportWhat) -> (Vec<Class>, Vec<(TomogramId, ExportTomogram)>) {
        let form = std::mem::replace(&mut self.export, ExportForm { what, ..ExportForm::default() });
        let classes = kept_classes(self);
        let known = chosen(self).filter(|entry| is_known(self, entry.id));
        let tomograms = known.map(|entry| (entry.id, self.export_tomogram(entry, &classes))).collect();
        self.export = form;
        (classes, tomograms)
    }

    fn export_tomogram(&self, entry: &ProjectTomogram, classes: &[Class]) -> ExportTomogram {
        let source = match (self.export.what, self.picks.set(entry.id)) {
            (ExportWhat::Picks, Some(set)) => format!("picked at step {}", set.step),
            _ => "label".to_owned(),
        };
        let mut points = Vec::new();
        visit(self, entry.id, classes, |class, position, score| {
            points.push(ExportPoint { class, position, score, source: Some(source.clone()) });
        });
        let shape = match self.volumes.get(&entry.id) {
            Some(VolumeState::Open(volume)) => volume.shape(),
            _ => entry.shape,
        };
        ExportTomogram { name: entry.name.clone(), shape, spacing_angstrom: self.spacing(entry.id), points }
    }

    /// Takes in what came of an export: shown in the form, or as a toast.
    pub fn on_exported(&mut self, positions: usize, folder: &std::path::Path, result: Result<Vec<PathBuf>, CoordinateError>) {
        self.export.running = false;
        match result {
            Ok(files) => {
                self.export.error = None;
                self.export.overwrite = false;
                self.forms.export = false;
                let positions = if positions == 1 { "1 position".to_owned() } else { format!("{positions} positions") };
                let place = match files.as_slice() {
                    [only] => format!("1 file: {}", only.display()),
                    many => format!("{} files: {}", many.len(), folder.display()),
                };
                self.toasts.add(format!("{positions} in {place}"));
            }
            Err(error) if self.forms.export => {
                let remedy = match error {
                    CoordinateError::Exists(_) => "\nTick “Replace files that exist”, or give another folder",
                    _ => "",
                };
                self.export.error = Some(format!("{error}{remedy}"));
            }
            Err(error) => self.fail("The coordinates were not exported", &error),
        }
    }
}
