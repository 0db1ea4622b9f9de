//! The form for writing coordinates.

use std::path::PathBuf;

use egui::{Button, TextEdit, Ui, Window};

use crate::coordinates::{CoordinateError, ExportOptions, ExportPoint, ExportTomogram, Format, export};
use crate::labels::{Class, PointKind, TomogramId};
use crate::ui::picks::project_class;
use crate::ui::state::{Action, UiState, VolumeState};

/// Which positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportWhat {
    /// Labelled particles.
    #[default]
    Labels,
    /// Picks above the thresholds.
    Picks,
}

/// What the form holds.
#[derive(Clone, Debug)]
pub struct ExportForm {
    /// Which positions.
    pub what: ExportWhat,
    /// Of all tomograms, or of the current one.
    pub all_tomograms: bool,
    /// The files' format.
    pub format: Format,
    /// The folder.
    pub folder: String,
    /// Replace files that exist.
    pub overwrite: bool,
    /// The `tomograms.star` of the RELION project.
    pub relion_tomograms_star: String,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl Default for ExportForm {
    fn default() -> Self {
        Self {
            what: ExportWhat::Labels,
            all_tomograms: true,
            format: Format::Csv,
            folder: String::new(),
            overwrite: false,
            relion_tomograms_star: ExportOptions::default().relion_tomograms_star,
            error: None,
        }
    }
}

/// Draws the form when it is open.
pub fn export_ui(ui: &mut Ui, state: &mut UiState) {
    if !state.forms.export {
        return;
    }
    let mut open = true;
    let window = Window::new("Export coordinates").open(&mut open).collapsible(false).resizable(false);
    let centre = ui.ctx().content_rect().center();
    window.pivot(egui::Align2::CENTER_CENTER).default_pos(centre).show(ui.ctx(), |ui| {
        ui.set_width(440.0);
        form_ui(ui, state);
    });
    if !open {
        state.forms.export = false;
    }
}

fn form_ui(ui: &mut Ui, state: &mut UiState) {
    let positions: usize = positions(state).iter().map(|tomogram| tomogram.points.len()).sum();
    let form = &mut state.export;
    ui.horizontal(|ui| {
        ui.radio_value(&mut form.what, ExportWhat::Labels, "Labels");
        ui.radio_value(&mut form.what, ExportWhat::Picks, "Picks above the thresholds");
    });
    ui.horizontal(|ui| {
        ui.radio_value(&mut form.all_tomograms, false, "This tomogram");
        ui.radio_value(&mut form.all_tomograms, true, "All tomograms");
    });
    ui.horizontal(|ui| {
        for format in Format::ALL {
            let name = match format {
                Format::Csv => "CSV",
                Format::Relion5 => "RELION 5 STAR",
            };
            ui.radio_value(&mut form.format, format, name);
        }
    });
    super::hint(ui, form.format.description());
    if form.format == Format::Relion5 {
        ui.horizontal(|ui| {
            let label = ui.label("tomograms.star of the RELION project").id;
            ui.add(TextEdit::singleline(&mut form.relion_tomograms_star).desired_width(190.0)).labelled_by(label);
        });
    }
    ui.horizontal(|ui| {
        let label = ui.label("Folder").id;
        let field = TextEdit::singleline(&mut form.folder).hint_text("/path/of/folder").desired_width(300.0);
        ui.add(field).labelled_by(label);
        if ui.button("Choose…").clicked() {
            state.actions.push(Action::ExportFolderDialog);
        }
    });
    ui.checkbox(&mut form.overwrite, "Replace files that exist");
    if let Some(error) = &form.error {
        let colour = ui.visuals().error_fg_color;
        ui.add(egui::Label::new(egui::RichText::new(error).color(colour)).wrap());
    }
    let folder_given = !form.folder.trim().is_empty();
    ui.horizontal(|ui| {
        let name = format!("Export {positions} positions");
        let button = ui.add_enabled(folder_given, Button::new(name));
        if button.on_disabled_hover_text("Give a folder first").clicked() {
            state.request(Action::Export);
        }
        if ui.button("Close").clicked() {
            state.forms.export = false;
        }
    });
}

/// The positions that the form asks for, with class indices of the project's classes.
pub fn positions(state: &UiState) -> Vec<ExportTomogram> {
    let annotations = state.document.annotations();
    let chosen = |id: TomogramId| state.export.all_tomograms || state.current == Some(id);
    let mut tomograms = Vec::new();
    for entry in state.document.tomograms().iter().filter(|entry| chosen(entry.id)) {
        let shape = match state.volumes.get(&entry.id) {
            Some(VolumeState::Open(volume)) => volume.shape(),
            // Without the file neither its size nor its spacing is known.
            _ => continue,
        };
        let points = match state.export.what {
            ExportWhat::Labels => {
                let points = annotations.labels(entry.id).into_iter().flat_map(|labels| labels.points.values());
                let export_point = |point: &crate::labels::Point| match point.kind {
                    PointKind::Particle(class) => Some(ExportPoint {
                        class: annotations.class_index(class)?,
                        position: point.position,
                        score: None,
                        source: Some("label".to_owned()),
                    }),
                    PointKind::Negative => None,
                };
                points.filter_map(export_point).collect()
            }
            ExportWhat::Picks => picks_of(state, entry.id),
        };
        tomograms.push(ExportTomogram { name: entry.name.clone(), shape, spacing_angstrom: state.spacing(entry.id), points });
    }
    tomograms
}

fn picks_of(state: &UiState, tomogram: TomogramId) -> Vec<ExportPoint> {
    let Some(set) = state.picks.set(tomogram) else {
        return Vec::new();
    };
    let classes = export_classes(state);
    let index = |class: &Class| {
        let own = project_class(state.document.annotations(), class).unwrap_or(class);
        classes.iter().position(|other| other.name == own.name)
    };
    let indices: Vec<Option<usize>> = set.classes.iter().map(index).collect();
    let above = set.picks.iter().filter(|pick| state.picks.is_above(set, pick));
    above
        .filter_map(|pick| {
            Some(ExportPoint {
                class: indices.get(pick.class).copied().flatten()?,
                position: pick.position,
                score: Some(pick.score),
                source: Some(format!("picked at step {}", set.step)),
            })
        })
        .collect()
}

/// The project's classes, and after them those that only the picks know.
fn export_classes(state: &UiState) -> Vec<Class> {
    let annotations = state.document.annotations();
    let mut classes = annotations.classes.clone();
    for class in state.picks.sets().flat_map(|set| &set.classes) {
        if project_class(annotations, class).is_none() && classes.iter().all(|other| other.name != class.name) {
            classes.push(class.clone());
        }
    }
    classes
}

impl UiState {
    /// Writes what the form asks for; the outcome is shown in the form or as a toast.
    pub fn run_export(&mut self) {
        let tomograms = positions(self);
        let folder = PathBuf::from(self.export.folder.trim());
        let options = ExportOptions {
            overwrite: self.export.overwrite,
            relion_tomograms_star: self.export.relion_tomograms_star.trim().to_owned(),
            ..ExportOptions::default()
        };
        let written: Result<Vec<PathBuf>, CoordinateError> =
            export(self.export.format, &folder, &export_classes(self), &tomograms, &options);
        match written {
            Ok(files) => {
                let count: usize = tomograms.iter().map(|tomogram| tomogram.points.len()).sum();
                self.export.error = None;
                self.forms.export = false;
                let files = if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
                self.toasts.add(format!("{count} positions in {files}: {}", folder.display()));
            }
            Err(error) => self.export.error = Some(error.to_string()),
        }
    }
}
