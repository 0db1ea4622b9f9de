//! Menus, and what must always be visible: the project, the device, and whether everything is saved.

use egui::{Button, Layout, MenuBar, ThemePreference, Ui};

use crate::ui::document::SaveState;
use crate::ui::options::OverviewPlace;
use crate::ui::state::{Action, UiState};
use crate::ui::theme;
use crate::ui::training::Phase;

/// Draws the bar.
pub fn top_bar_ui(ui: &mut Ui, state: &mut UiState) {
    MenuBar::new().ui(ui, |ui| {
        ui.menu_button("File", |ui| file_menu(ui, state));
        ui.menu_button("Edit", |ui| edit_menu(ui, state));
        ui.menu_button("View", |ui| view_menu(ui, state));
        ui.menu_button("Training", |ui| train_menu(ui, state));
        ui.menu_button("Help", |ui| {
            item(ui, state, "First steps", "", true, |state| state.forms.first_steps = true);
            item(ui, state, "Keys and mouse", "?", true, |state| state.forms.help = true);
        });
        ui.with_layout(Layout::right_to_left(egui::Align::Center), |ui| summary(ui, state));
    });
}

fn summary(ui: &mut Ui, state: &UiState) {
    let palette = theme::palette(ui.visuals());
    let (text, colour) = match state.document.save_state() {
        SaveState::Saved => ("saved".to_owned(), palette.success),
        SaveState::Failing { changes, reason } => {
            let edits = if changes == 1 { "1 edit".to_owned() } else { format!("{changes} edits") };
            (format!("{edits} not saved: {reason}"), palette.error)
        }
    };
    let folder = state.document.folder().display();
    let kept = if state.document.is_untitled() {
        format!("Every edit is kept at once, in a folder for untitled projects: {folder}")
    } else {
        format!("Every edit is kept at once: {folder}")
    };
    ui.add(egui::Label::new(egui::RichText::new(text).color(colour)).truncate()).on_hover_text(kept);
    ui.colored_label(palette.line, "|");
    let device = match (&state.training.device, state.training.phase) {
        (Some(device), Phase::Running | Phase::Finishing) => format!("training on {device}"),
        (Some(device), Phase::Paused) => format!("paused on {device}"),
        (Some(device), _) => device.clone(),
        (None, Phase::Starting) => "starting…".to_owned(),
        (None, _) => "not training".to_owned(),
    };
    ui.colored_label(palette.weak, device);
    ui.colored_label(palette.line, "|");
    ui.colored_label(palette.strong, state.document.title());
}

/// A menu entry with its key.
fn item(ui: &mut Ui, state: &mut UiState, text: &str, key: &str, enabled: bool, act: impl FnOnce(&mut UiState)) {
    let weak = theme::palette(ui.visuals()).weak;
    let button = Button::new(text).shortcut_text(egui::RichText::new(key).color(weak));
    // Otherwise the key would be part of the name.
    if ui.add_enabled(enabled, button).accessible_name(text).clicked() {
        act(state);
        ui.close();
    }
}

fn file_menu(ui: &mut Ui, state: &mut UiState) {
    item(ui, state, "Open tomograms…", "Ctrl+O", true, |state| state.request(Action::OpenDialog));
    item(ui, state, "Open project…", "", true, |state| state.request(Action::OpenProjectDialog));
    item(ui, state, "New project", "", true, |state| state.request(Action::NewProject));
    ui.separator();
    item(ui, state, "Save", "Ctrl+S", true, |state| state.request(Action::Save));
    item(ui, state, "Save project as…", "", true, |state| state.request(Action::SaveAsDialog));
    ui.separator();
    let model = state.training.model.is_some();
    item(ui, state, "Load model…", "", true, |state| state.request(Action::LoadModelDialog));
    item(ui, state, "Save model…", "", model, |state| state.request(Action::SaveModelDialog));
    item(ui, state, "Import labels…", "", true, |state| state.request(Action::ImportLabelsDialog));
    item(ui, state, "Export coordinates…", "Ctrl+E", true, |state| state.forms.export = true);
    if state.copick_link().is_some() {
        item(ui, state, "Save to copick project…", "", true, |state| state.request(Action::SaveCopickForm));
    }
    ui.separator();
    item(ui, state, "Quit", "Ctrl+Q", true, |state| state.request(Action::Quit));
}

fn edit_menu(ui: &mut Ui, state: &mut UiState) {
    let undo = state.document.undo_name();
    let redo = state.document.redo_name();
    let named = |verb: &str, name: &Option<String>| name.as_ref().map_or(verb.to_owned(), |name| format!("{verb} {name}"));
    item(ui, state, &named("Undo", &undo), "Ctrl+Z", undo.is_some(), |state| state.request(Action::Undo));
    item(ui, state, &named("Redo", &redo), "Ctrl+Shift+Z", redo.is_some(), |state| state.request(Action::Redo));
    ui.separator();
    let chosen = !state.selection.is_empty();
    if let Some(kind) = state.kind {
        let text = format!("Make chosen labels {}", state.kind_name(kind));
        item(ui, state, &text, "C", chosen, |state| state.change_selected(kind));
    }
    item(ui, state, "Remove chosen labels", "Delete", chosen, UiState::remove_selected);
    item(ui, state, "Choose no labels", "Escape", chosen, |state| state.selection.clear());
}

fn view_menu(ui: &mut Ui, state: &mut UiState) {
    item(ui, state, "Fit all views", "Home", true, UiState::fit_views);
    ui.separator();
    ui.checkbox(&mut state.display.labels, "Labels (L)");
    ui.checkbox(&mut state.display.picks, "Picks (P)");
    ui.checkbox(&mut state.display.heatmap, "Heatmap (H)");
    ui.checkbox(&mut state.display.crosshair, "Crosshair");
    ui.separator();
    ui.checkbox(&mut state.panels.left, "List of tomograms");
    ui.checkbox(&mut state.panels.right, "Panels on the right");
    ui.checkbox(&mut state.panels.side_views, "XZ and YZ");
    let mut overview = state.display.overview != OverviewPlace::Hidden;
    if ui.checkbox(&mut overview, "3D overview (O)").changed() {
        state.display.overview = state.display.overview.toggled();
    }
    ui.separator();
    zoom_menu(ui, state);
    ui.checkbox(&mut state.review.open, "Review");
    ui.separator();
    let mut preference = ui.ctx().options(|options| options.theme_preference);
    for (value, name) in
        [(ThemePreference::Dark, "Dark"), (ThemePreference::Light, "Light"), (ThemePreference::System, "As the system")]
    {
        if ui.radio_value(&mut preference, value, name).clicked() {
            ui.ctx().set_theme(value);
            ui.close();
        }
    }
}

/// Makes the whole window larger or smaller, for large screens and weak eyes.
fn zoom_menu(ui: &mut Ui, state: &mut UiState) {
    let ctx = ui.ctx().clone();
    let percent = (ctx.zoom_factor() * 100.0).round();
    item(ui, state, "Larger window contents", "Ctrl++", percent < 300.0, |_| egui::gui_zoom::zoom_in(&ctx));
    item(ui, state, "Smaller window contents", "Ctrl+-", percent > 50.0, |_| egui::gui_zoom::zoom_out(&ctx));
    let text = format!("Usual size (now {percent} %)");
    item(ui, state, &text, "Ctrl+0", percent != 100.0, |_| ctx.set_zoom_factor(1.0));
}

fn train_menu(ui: &mut Ui, state: &mut UiState) {
    let (name, action) = super::training::main_action(state);
    let enabled = action.is_some();
    item(ui, state, name, "T", enabled, |state| state.actions.extend(action));
    let active = state.training.is_active();
    item(ui, state, "Stop", "", active, |state| state.request(Action::StopTraining));
}
