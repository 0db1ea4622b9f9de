//! One file a panel. A panel reads and changes the state; whatever needs threads or files it leaves as a request.

pub mod banners;
pub mod classes;
pub mod copick;
pub mod display;
pub mod empty;
pub mod export;
pub mod first_steps;
pub mod help;
pub mod import;
pub mod overlay;
pub mod overview;
pub mod picks;
pub mod pointer;
pub mod regions;
pub mod spacing;
pub mod status;
pub mod tomograms;
pub mod tools;
pub mod top_bar;
pub mod training;
pub mod views;

use egui::{CollapsingHeader, RichText, Ui};

use super::theme;

/// Size of remarks, in points.
const HINT_SIZE: f32 = 11.5;

/// A dot before a line of text.
pub(in crate::ui) fn dot(ui: &mut Ui, colour: egui::Color32, filled: bool) {
    let (rect, _) = ui.allocate_exact_size(egui::vec2(10.0, 10.0), egui::Sense::hover());
    if filled {
        ui.painter().circle_filled(rect.center(), 4.0, colour);
    } else {
        ui.painter().circle_stroke(rect.center(), 3.5, egui::Stroke::new(1.2, colour));
    }
}

/// A section of the right-hand panel that folds away.
fn section(ui: &mut Ui, title: &str, contents: impl FnOnce(&mut Ui)) {
    let strong = theme::palette(ui.visuals()).strong;
    CollapsingHeader::new(RichText::new(title).color(strong).strong()).default_open(true).show_unindented(ui, |ui| {
        ui.add_space(2.0);
        contents(ui);
        ui.add_space(8.0);
    });
}

/// A remark in the weak colour, wrapped.
pub(in crate::ui) fn hint(ui: &mut Ui, text: &str) {
    let weak = theme::palette(ui.visuals()).weak;
    ui.add(egui::Label::new(RichText::new(text).color(weak).size(HINT_SIZE)).wrap());
}
