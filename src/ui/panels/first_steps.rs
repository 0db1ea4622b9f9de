//! What someone needs to know who opens the window for the first time; shown once, and from the Help menu.

use egui::{Align2, RichText, Ui, Window, vec2};

use crate::ui::state::UiState;
use crate::ui::theme;

const STEPS: [(&str, &str); 6] = [
    ("Open tomograms", "Drop MRC, TIFF or OME-Zarr files onto the window, or use Open… on the left. Several are better than one"),
    ("Name what you look for", "Under Classes on the right: a name and the particle's radius in angstrom"),
    ("Label a few", "Click on particles; drag moves a point, a right click removes it. Wheel and arrows change the slice"),
    ("Say where you are done", "Mark a box in which everything is labelled (Region): the rest of it then counts as background"),
    ("Train", "Press Train or T. Heatmap and picks appear while it learns; labels that you add meanwhile count at once"),
    ("Review and export", "Set the threshold, go through the picks with J and K, accept or reject them, then export (Ctrl+E)"),
];

/// Draws the sheet when it is open.
pub fn first_steps_ui(ui: &mut Ui, state: &mut UiState) {
    if !state.forms.first_steps {
        return;
    }
    let palette = theme::palette(ui.visuals());
    let mut open = true;
    let mut begin = false;
    let window = Window::new("First steps").open(&mut open).collapsible(false).resizable(false);
    window.pivot(Align2::CENTER_CENTER).default_pos(ui.ctx().content_rect().center()).show(ui.ctx(), |ui| {
        ui.set_width(460.0_f32.min(ui.ctx().content_rect().width() - 60.0));
        for (number, (title, text)) in STEPS.into_iter().enumerate() {
            ui.horizontal_top(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(26.0, 26.0), egui::Sense::hover());
                ui.painter().circle_filled(rect.center(), 11.0, palette.selected);
                let font = egui::FontId::proportional(13.0);
                ui.painter().text(rect.center(), Align2::CENTER_CENTER, (number + 1).to_string(), font, palette.strong);
                ui.vertical(|ui| {
                    ui.label(RichText::new(title).color(palette.strong).strong());
                    ui.add(egui::Label::new(RichText::new(text).color(palette.text)).wrap());
                });
            });
            ui.add_space(6.0);
        }
        ui.horizontal(|ui| {
            begin = ui.add(theme::primary_button(ui, "Begin")).clicked();
            if ui.button("Keys and mouse").clicked() {
                state.forms.help = true;
                begin = true;
            }
            super::hint(ui, "Help, First steps shows this again");
        });
    });
    if !open || begin || ui.input(|input| input.key_pressed(egui::Key::Escape)) {
        state.forms.first_steps = false;
    }
}
