//! The forms for copick projects: what to take from one, and as whom to save.

use egui::{Align2, Button, CollapsingHeader, Label, RichText, ScrollArea, TextEdit, Ui, Window};

use crate::ui::copick::{OpenForm, SaveForm};
use crate::ui::export::ExportWhat;
use crate::ui::state::{Action, UiState, VolumeState};
use crate::ui::theme;
use crate::ui::training::file_name;

/// Width of the forms, in points.
const WIDTH: f32 = 460.0;

/// Height of a list in a form before it scrolls, in points.
const LIST_HEIGHT: f32 = 180.0;

/// Draws what is open.
pub fn copick_ui(ui: &mut Ui, state: &mut UiState) {
    if let Some(mut form) = state.copick.open.take()
        && open_ui(ui, state, &mut form)
    {
        state.copick.open = Some(form);
    }
    if let Some(mut form) = state.copick.save.take()
        && save_ui(ui, state, &mut form)
    {
        state.copick.save = Some(form);
    }
    if let Some(what) = state.copick.busy {
        let window = Window::new("copick").title_bar(false).collapsible(false).resizable(false);
        window.anchor(Align2::CENTER_BOTTOM, egui::vec2(0.0, -48.0)).show(ui.ctx(), |ui| {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(what);
            });
        });
    }
}

fn window<'a>(ui: &Ui, title: &'a str) -> Window<'a> {
    let centre = ui.ctx().content_rect().center();
    Window::new(title).collapsible(false).resizable(false).pivot(Align2::CENTER_CENTER).default_pos(centre)
}

/// Returns whether the form stays.
fn open_ui(ui: &mut Ui, state: &mut UiState, form: &mut OpenForm) -> bool {
    let mut open = true;
    let mut done = false;
    window(ui, "Open copick project").open(&mut open).show(ui.ctx(), |ui| {
        ui.set_width(WIDTH);
        let config = form.project.config();
        let text = format!("{}: {} runs", config.title(), form.runs.len());
        ui.label(text).on_hover_text(config.path.display().to_string());
        if !form.earlier.is_empty() {
            super::hint(ui, "There is unsaved work on it from before; go on there, or take the project anew:");
            for folder in form.earlier.iter().take(4) {
                if ui.link(file_name(folder)).on_hover_text(folder.display().to_string()).clicked() {
                    state.request(Action::Open(vec![folder.clone()]));
                    done = true;
                }
            }
            ui.separator();
        }
        tomograms_ui(ui, form);
        sources_ui(ui, form);
        runs_ui(ui, form);
        let notes = form.project.notes();
        if !notes.is_empty() {
            CollapsingHeader::new(format!("Remarks ({})", notes.len())).show(ui, |ui| {
                ScrollArea::vertical().max_height(LIST_HEIGHT).show(ui, |ui| {
                    notes.iter().for_each(|note| super::hint(ui, note));
                });
            });
        }
        ui.horizontal(|ui| {
            let button = ui.add_enabled(form.is_possible(), Button::new("Open"));
            if button.on_disabled_hover_text("No chosen run has such a tomogram").clicked() {
                // Taken from the state when the request is handled.
                state.request(Action::TakeCopick);
            }
            done |= ui.button("Cancel").clicked();
        });
    });
    open && !done
}

fn tomograms_ui(ui: &mut Ui, form: &mut OpenForm) {
    let mut spacings: Vec<_> = form.grids.iter().map(|grid| grid.spacing_angstrom).collect();
    spacings.sort_unstable();
    spacings.dedup();
    ui.horizontal_wrapped(|ui| {
        ui.label("Voxel spacing");
        for spacing in spacings {
            ui.radio_value(&mut form.spacing, spacing, format!("{spacing} Å"));
        }
    });
    ui.horizontal_wrapped(|ui| {
        ui.label("Tomograms");
        for grid in form.grids.iter().filter(|grid| grid.spacing_angstrom == form.spacing) {
            let text = format!("{} ({})", grid.tomo_type, grid.runs);
            ui.radio_value(&mut form.tomo_type, grid.tomo_type.clone(), text).on_hover_text("In so many runs");
        }
    });
}

fn sources_ui(ui: &mut Ui, form: &mut OpenForm) {
    if form.sources.is_empty() {
        return;
    }
    ui.label("Picks that become labels");
    ScrollArea::vertical().id_salt("copick sources").max_height(LIST_HEIGHT).show(ui, |ui| {
        for (counted, taken) in &mut form.sources {
            let objects: Vec<String> = counted.positions.iter().map(|(object, count)| format!("{count} {object}")).collect();
            let mut text = format!("{}: {}", counted.source, objects.join(", "));
            if counted.uncounted > 0 {
                text += &format!(", {} files not counted", counted.uncounted);
            }
            ui.checkbox(taken, text).on_hover_text(format!("In {} runs", counted.runs));
        }
    });
}

fn runs_ui(ui: &mut Ui, form: &mut OpenForm) {
    let taken = form.runs.iter().filter(|(_, taken)| *taken).count();
    CollapsingHeader::new(format!("Runs ({taken} of {})", form.runs.len())).id_salt("copick runs").show(ui, |ui| {
        ui.horizontal(|ui| {
            for (name, value) in [("All", true), ("None", false)] {
                if ui.small_button(name).clicked() {
                    form.runs.iter_mut().for_each(|(_, taken)| *taken = value);
                }
            }
        });
        let height = ui.spacing().interact_size.y;
        let list = ScrollArea::vertical().id_salt("copick run list").max_height(LIST_HEIGHT);
        list.show_rows(ui, height, form.runs.len(), |ui, rows| {
            for (name, taken) in &mut form.runs[rows] {
                ui.checkbox(taken, name.as_str());
            }
        });
    });
}

/// Returns whether the form stays.
fn save_ui(ui: &mut Ui, state: &mut UiState, form: &mut SaveForm) -> bool {
    let mut open = true;
    let mut done = false;
    window(ui, "Save to copick project").open(&mut open).show(ui.ctx(), |ui| {
        ui.set_width(WIDTH);
        super::hint(
            ui,
            &format!("Particles of all tomograms go into the overlay of {}. Picks of others are never changed.", form.title),
        );
        ui.add_enabled_ui(!form.running, |ui| {
            ui.horizontal(|ui| {
                ui.radio_value(&mut form.what, ExportWhat::Labels, "Labels");
                ui.radio_value(&mut form.what, ExportWhat::Picks, "Picks above the thresholds");
            });
            let text = |ui: &mut Ui, name: &str, value: &mut String| {
                ui.horizontal(|ui| {
                    let label = ui.label(name).id;
                    ui.add(TextEdit::singleline(value).desired_width(220.0)).labelled_by(label);
                });
            };
            text(ui, "User", &mut form.user);
            text(ui, "Session", form.session());
            ui.checkbox(&mut form.replace, "Replace this user's files of this session");
        });
        if let Some(error) = &form.error {
            let colour = theme::palette(ui.visuals()).error;
            ui.add(Label::new(RichText::new(error).color(colour)).wrap());
        }
        let opening = state.volumes.values().any(|volume| matches!(volume, VolumeState::Opening));
        ui.horizontal(|ui| {
            let button = ui.add_enabled(!form.running && !opening, Button::new("Save"));
            if button.on_disabled_hover_text("Wait until all tomograms are open and nothing is being saved").clicked() {
                // Taken from the state when the request is handled.
                state.request(Action::SaveCopick);
            }
            done |= ui.button("Close").clicked();
        });
    });
    // A form that is being saved stays until the outcome is known.
    form.running || (open && !done)
}
