//! What the window says before a tomogram is open.

use egui::{RichText, Ui};

use crate::ui::state::{Action, UiState};
use crate::ui::theme;
use crate::ui::training::file_name;

const STEPS: [&str; 4] = [
    "Open one or more tomograms",
    "Click on a few particles",
    "Train, and watch the picks come",
    "Accept or correct, then export",
];

/// Draws the way in.
pub fn empty_ui(ui: &mut Ui, state: &mut UiState) {
    let palette = theme::palette(ui.visuals());
    let height = ui.available_height();
    ui.vertical_centered(|ui| {
        ui.add_space((height * 0.28).max(20.0));
        ui.label(RichText::new("Open a tomogram to begin").color(palette.strong).size(20.0));
        ui.add_space(6.0);
        ui.colored_label(palette.weak, "Drop MRC files or a project folder here, or");
        ui.add_space(10.0);
        if ui.add(theme::primary_button(ui, "Open tomograms…")).clicked() {
            state.request(Action::OpenDialog);
        }
        ui.add_space(4.0);
        if ui.button("Open project…").clicked() {
            state.request(Action::OpenProjectDialog);
        }
        left_behind_ui(ui, state);
        ui.add_space(18.0);
        ui.scope(|ui| {
            ui.set_max_width(230.0);
            ui.vertical(|ui| {
                for (number, step) in STEPS.into_iter().enumerate() {
                    ui.colored_label(palette.weak, format!("{}   {step}", number + 1));
                }
            });
        });
    });
}

/// Unnamed projects of earlier sessions, the newest first.
fn left_behind_ui(ui: &mut Ui, state: &mut UiState) {
    if state.left_behind.is_empty() {
        return;
    }
    let palette = theme::palette(ui.visuals());
    ui.add_space(14.0);
    ui.colored_label(palette.weak, "Untitled projects from before");
    let mut chosen = None;
    for folder in state.left_behind.iter().take(4) {
        let name = file_name(folder);
        if ui.link(&name).on_hover_text(folder.display().to_string()).clicked() {
            chosen = Some(folder.clone());
        }
    }
    if let Some(folder) = chosen {
        state.left_behind.retain(|other| *other != folder);
        state.request(Action::Open(vec![folder]));
    }
}
