//! Failures, where the user looks, until they are dismissed.

use egui::{Frame, Label, Layout, Margin, RichText, Ui};

use crate::ui::state::UiState;
use crate::ui::theme;

/// Most banners that are drawn at once; the others come after.
const MOST: usize = 3;

/// Draws the banners.
pub fn banners_ui(ui: &mut Ui, state: &mut UiState) {
    let palette = theme::palette(ui.visuals());
    let mut dismissed = None;
    for (index, banner) in state.banners.iter().enumerate().take(MOST) {
        Frame::NONE.fill(palette.error_surface).inner_margin(Margin::symmetric(10, 6)).corner_radius(4).show(ui, |ui| {
            ui.horizontal_top(|ui| {
                ui.with_layout(Layout::right_to_left(egui::Align::Min), |ui| {
                    let button = ui.button("Dismiss");
                    if button.clicked() {
                        dismissed = Some(index);
                    }
                    ui.with_layout(Layout::top_down(egui::Align::Min), |ui| {
                        ui.label(RichText::new(&banner.title).color(palette.error).strong());
                        ui.add(Label::new(RichText::new(&banner.detail).color(palette.text)).wrap().selectable(true));
                    });
                });
            });
        });
        ui.add_space(2.0);
    }
    let more = state.banners.len().saturating_sub(MOST);
    if more > 0 {
        ui.horizontal(|ui| {
            ui.colored_label(palette.error, format!("and {more} more messages"));
            if ui.small_button("Dismiss all").clicked() {
                state.banners.clear();
            }
        });
    }
    if let Some(index) = dismissed
        && index < state.banners.len()
    {
        state.banners.remove(index);
    }
}
