//! Asks for a spacing that the file does not give.

use egui::{Button, DragValue, Frame, Margin, Ui};

use crate::ui::state::{UiState, VolumeState};
use crate::ui::theme;

/// Draws the question above the views when the tomogram on the screen needs it.
pub fn spacing_ui(ui: &mut Ui, state: &mut UiState) {
    let Some((id, _)) = state.open_volume() else {
        return;
    };
    if state.spacing(id).is_some() {
        return;
    }
    let palette = theme::palette(ui.visuals());
    let unknown: Vec<_> = state
        .document
        .tomograms()
        .iter()
        .map(|entry| entry.id)
        .filter(|id| matches!(state.volumes.get(id), Some(VolumeState::Open(_))) && state.spacing(*id).is_none())
        .collect();
    let name = state.document.name(id);
    Frame::NONE.fill(palette.warning_surface).inner_margin(Margin::symmetric(10, 6)).corner_radius(4).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(format!("{name} does not say its voxel spacing:")).id;
            let spacing = state.spacing_fields.entry(id).or_insert(10.0);
            let field = DragValue::new(spacing).range(0.01..=1000.0).speed(0.05).max_decimals(4).suffix(" Å");
            ui.add(field).labelled_by(label).on_hover_text("Edge of a voxel in angstrom");
            let spacing = *spacing;
            if ui.button("Set").clicked() {
                state.set_spacing(&[id], spacing);
            }
            if unknown.len() > 1 && ui.add(Button::new(format!("Set for all {} without one", unknown.len()))).clicked() {
                state.set_spacing(&unknown, spacing);
            }
            ui.colored_label(palette.weak, "sizes in angstrom, training and export need it");
        });
    });
    ui.add_space(2.0);
}
