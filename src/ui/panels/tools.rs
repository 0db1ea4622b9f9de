//! The row above the views: what a click does, and what becomes of the labels that are chosen.

use egui::{ComboBox, Sense, Ui, vec2};

use crate::labels::PointKind;
use crate::ui::options::{OverviewPlace, Snap};
use crate::ui::state::{Tool, UiState};
use crate::ui::theme;

/// Draws the row; it goes on in a second one where the window is narrow.
pub fn tools_ui(ui: &mut Ui, state: &mut UiState) {
    ui.horizontal_wrapped(|ui| {
        for (tool, name, hint) in [
            (Tool::Look, "Look", "A click moves the crosshair and nothing else"),
            (Tool::Label, "Label", "A click adds a point of the chosen class"),
            (Tool::Region, "Region", "A drag marks a box in which everything has been labelled, or moves an edge of one"),
        ] {
            if ui.selectable_label(state.tool == tool, name).on_hover_text(hint).clicked() {
                state.tool = tool;
            }
        }
        ui.separator();
        if state.tool == Tool::Region {
            super::regions::region_depth_ui(ui, state);
        } else if state.selection.is_empty() {
            kind_ui(ui, state);
            if state.tool == Tool::Label {
                snap_ui(ui, state);
            }
        }
        // In the place of what a click adds, so that the views below stay where they are.
        selection_ui(ui, state);
        ui.separator();
        if ui.button("Fit").on_hover_text("Show the whole tomogram in every view (Home)").clicked() {
            state.fit_views();
        }
        let shown = state.display.overview != OverviewPlace::Hidden;
        let hint = "All labels and picks in three dimensions (O)";
        if ui.selectable_label(shown, "3D").on_hover_text(hint).clicked() {
            state.display.overview = state.display.overview.toggled();
        }
        let name = if state.panels.right { "Hide panels" } else { "Show panels" };
        if ui.button(name).on_hover_text("Give the views the whole window").clicked() {
            state.panels.right = !state.panels.right;
            state.panels.left = state.panels.right;
        }
    });
}

/// What a click adds.
fn kind_ui(ui: &mut Ui, state: &UiState) {
    let palette = theme::palette(ui.visuals());
    let annotations = state.document.annotations();
    match state.kind {
        Some(PointKind::Particle(id)) => {
            if let Some(class) = annotations.class(id) {
                let (rect, _) = ui.allocate_exact_size(vec2(12.0, 12.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 5.0, theme::class_colour(class.colour));
                ui.colored_label(palette.strong, &class.name);
            }
        }
        Some(PointKind::Negative) => {
            ui.colored_label(palette.strong, "Not a particle");
        }
        None => {
            ui.colored_label(palette.weak, "No class yet");
        }
    }
}

fn snap_ui(ui: &mut Ui, state: &mut UiState) {
    let name = Snap::ALL.iter().find(|(snap, _)| *snap == state.snap).map_or("", |(_, name)| *name);
    let combo = ComboBox::from_id_salt("snap").selected_text(name).width(112.0).show_ui(ui, |ui| {
        for (snap, name) in Snap::ALL {
            ui.selectable_value(&mut state.snap, snap, name);
        }
    });
    let hint = "Move each new point to the middle of the density within the class's radius, in three dimensions";
    combo.response.accessible_name("Snapping").on_hover_text(hint);
}

/// Changes and removes the labels that are chosen.
fn selection_ui(ui: &mut Ui, state: &mut UiState) {
    let count = state.selection.len();
    if count == 0 {
        return;
    }
    let palette = theme::palette(ui.visuals());
    ui.colored_label(palette.accent, if count == 1 { "1 label chosen".to_owned() } else { format!("{count} labels chosen") });
    if let Some(kind) = state.kind {
        let name = format!("Make {}", state.kind_name(kind));
        if ui.button(name).on_hover_text("They become of the class at hand: choose another with 1 to 9 (C)").clicked() {
            state.change_selected(kind);
        }
    }
    let remove = ui.button("Remove").accessible_name("Remove the chosen labels");
    if remove.on_hover_text("Remove the chosen labels (Delete)").clicked() {
        state.remove_selected();
    }
    if ui.button("None").accessible_name("Choose no labels").on_hover_text("Choose no labels (Escape)").clicked() {
        state.selection.clear();
    }
}

impl UiState {
    /// Shows the whole tomogram in every view.
    pub fn fit_views(&mut self) {
        self.panes.iter_mut().for_each(|pane| pane.view = None);
        self.orbit = crate::render::overview::Orbit::default();
    }
}
