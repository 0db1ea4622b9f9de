//! The form for writing coordinates.

use egui::{Button, ComboBox, DragValue, ScrollArea, TextEdit, Ui, Window};

use crate::coordinates::Format;
use crate::ui::export::{ExportWhat, ExportWhich, count, export_classes, not_open};
use crate::ui::picks::project_class;
use crate::ui::state::{Action, UiState};
use crate::ui::theme;

/// Width of the form, in points.
const WIDTH: f32 = 460.0;

/// Draws the form when it is open.
pub fn export_ui(ui: &mut Ui, state: &mut UiState) {
    if !state.forms.export {
        return;
    }
    let mut open = true;
    let window = Window::new("Export coordinates").open(&mut open).collapsible(false).resizable(false);
    let centre = ui.ctx().content_rect().center();
    window.pivot(egui::Align2::CENTER_CENTER).default_pos(centre).show(ui.ctx(), |ui| {
        ui.set_width(WIDTH);
        let running = state.export.running;
        ui.add_enabled_ui(!running, |ui| {
            what_ui(ui, state);
            tomograms_ui(ui, state);
            classes_ui(ui, state);
            format_ui(ui, state);
            questions_ui(ui, state);
            folder_ui(ui, state);
        });
        end_ui(ui, state);
    });
    if !open {
        state.forms.export = false;
    }
}

fn what_ui(ui: &mut Ui, state: &mut UiState) {
    let form = &mut state.export;
    ui.horizontal(|ui| {
        ui.radio_value(&mut form.what, ExportWhat::Labels, "Labels");
        ui.radio_value(&mut form.what, ExportWhat::Picks, "Picks above the thresholds");
    });
    if state.export.what == ExportWhat::Picks {
        let thresholds = thresholds(state);
        if thresholds.is_empty() {
            super::hint(ui, "There are no picks yet");
        } else {
            super::hint(ui, &format!("Thresholds, as under Picks: {thresholds}"));
        }
    }
}

/// The thresholds as they are now, by class.
fn thresholds(state: &UiState) -> String {
    let mut texts: Vec<String> = Vec::new();
    for set in state.picks.sets() {
        for (index, class) in set.classes.iter().enumerate() {
            let own = project_class(state.document.annotations(), class).unwrap_or(class);
            let text = format!("{} {:.2}", own.name, state.picks.threshold(set, index));
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    texts.join(", ")
}

fn tomograms_ui(ui: &mut Ui, state: &mut UiState) {
    let form = &mut state.export;
    ui.horizontal(|ui| {
        ui.radio_value(&mut form.which, ExportWhich::Current, "This tomogram");
        ui.radio_value(&mut form.which, ExportWhich::All, "All tomograms");
        ui.radio_value(&mut form.which, ExportWhich::Some, "Some tomograms");
    });
    if form.which == ExportWhich::Some {
        let entries: Vec<_> = state.document.tomograms().iter().map(|entry| (entry.id, entry.name.clone())).collect();
        ScrollArea::vertical().id_salt("tomograms to export").max_height(110.0).show(ui, |ui| {
            for (id, name) in entries {
                let mut kept = !state.export.tomograms_left_out.contains(&id);
                if ui.checkbox(&mut kept, &name).accessible_name(format!("Export tomogram {name}")).changed() {
                    toggle(&mut state.export.tomograms_left_out, id, kept);
                }
            }
        });
    }
    let closed = not_open(state);
    if !closed.is_empty() {
        super::hint(ui, &format!("Left out, because they are not open: {}", closed.join(", ")));
    }
}

fn classes_ui(ui: &mut Ui, state: &mut UiState) {
    let classes = export_classes(state);
    if classes.len() < 2 {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        for class in classes {
            let mut kept = !state.export.classes_left_out.contains(&class.name);
            let box_ = ui.checkbox(&mut kept, &class.name).accessible_name(format!("Export class {}", class.name));
            if box_.changed() {
                toggle(&mut state.export.classes_left_out, class.name, kept);
            }
        }
    });
}

fn toggle<T: Ord>(left_out: &mut std::collections::BTreeSet<T>, one: T, kept: bool) {
    if kept {
        left_out.remove(&one);
    } else {
        left_out.insert(one);
    }
}

fn format_ui(ui: &mut Ui, state: &mut UiState) {
    let form = &mut state.export;
    ui.horizontal(|ui| {
        let label = ui.label("Format").id;
        let combo = ComboBox::from_id_salt("format").selected_text(form.format.name()).width(150.0).height(420.0);
        let combo = combo.show_ui(ui, |ui| {
            for format in Format::ALL {
                ui.selectable_value(&mut form.format, format, format!("{format}: {}", format.description()));
            }
        });
        combo.response.labelled_by(label);
    });
    super::hint(ui, form.format.description());
}

/// The questions of the chosen format.
fn questions_ui(ui: &mut Ui, state: &mut UiState) {
    let form = &mut state.export;
    let text = |ui: &mut Ui, name: &str, value: &mut String| {
        ui.horizontal(|ui| {
            let label = ui.label(name).id;
            ui.add(TextEdit::singleline(value).desired_width(190.0)).labelled_by(label);
        });
    };
    if form.format.may_split() {
        ui.checkbox(&mut form.file_per_tomogram, "One file a tomogram");
    }
    if form.format == Format::Relion5 {
        text(ui, "tomograms.star of the RELION project", &mut form.relion_tomograms_star);
    }
    if form.format.may_shift() {
        let explanation = "RELION's own picker in napari writes positions that are off by one pixel of the tilt series \
                           (RELION issue 1137). Only to match positions that were picked there";
        ui.checkbox(&mut form.relion_picker_offset, "Shift as RELION's own picker does").on_hover_text(explanation);
    }
    if form.asks_tilt_series_pixel() {
        pixel_ui(ui, &mut form.tilt_series_pixel_angstrom);
    }
    if form.format == Format::Copick {
        text(ui, "User", &mut form.copick_user);
        text(ui, "Session", &mut form.copick_session);
    }
}

/// Asks for the pixel of the unbinned tilt series.
pub(super) fn pixel_ui(ui: &mut Ui, pixel_angstrom: &mut f64) {
    ui.horizontal(|ui| {
        let label = ui.label("Pixel of the unbinned tilt series").id;
        let field = DragValue::new(pixel_angstrom).range(0.0..=100.0).speed(0.005).max_decimals(4).suffix(" Å");
        ui.add(field).labelled_by(label).on_hover_text("Not the tomogram's voxel: the pixel before any binning, in angstrom");
    });
}

fn folder_ui(ui: &mut Ui, state: &mut UiState) {
    let form = &mut state.export;
    ui.horizontal(|ui| {
        let label = ui.label("Folder").id;
        let field = TextEdit::singleline(&mut form.folder).hint_text("/path/of/folder").desired_width(300.0);
        ui.add(field).labelled_by(label);
        if ui.button("Choose…").clicked() {
            state.actions.push(Action::ExportFolderDialog);
        }
    });
    ui.checkbox(&mut form.overwrite, "Replace files that exist");
}

fn end_ui(ui: &mut Ui, state: &mut UiState) {
    if let Some(error) = &state.export.error {
        let colour = theme::palette(ui.visuals()).error;
        ui.add(egui::Label::new(egui::RichText::new(error).color(colour)).wrap());
    }
    ui.horizontal(|ui| {
        if state.export.running {
            ui.spinner();
            ui.label("Writing…");
        } else {
            let positions = count(state);
            let name = if positions == 1 { "Export 1 position".to_owned() } else { format!("Export {positions} positions") };
            let problem = state.export.problem();
            let button = ui.add_enabled(problem.is_none(), Button::new(name));
            if button.on_disabled_hover_text(problem.unwrap_or_default()).clicked() {
                state.request(Action::Export);
            }
        }
        if ui.button("Close").clicked() {
            state.forms.export = false;
        }
        if let (false, Some(problem)) = (state.export.running, state.export.problem()) {
            super::hint(ui, problem);
        }
    });
}
