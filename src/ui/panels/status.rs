//! The line at the bottom: what a click will do, and what lies under the cursor.

use egui::{Label, Layout, RichText, Ui};

use crate::labels::PointKind;
use crate::ui::state::{Tool, UiState};
use crate::ui::theme;

/// Draws the line.
pub fn status_ui(ui: &mut Ui, state: &UiState) {
    let palette = theme::palette(ui.visuals());
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(egui::Align::Center), |ui| {
            let frame = state.frame_secs.map_or("– ms".to_owned(), |secs| format!("{:.1} ms", secs * 1e3));
            ui.colored_label(palette.weak, frame).on_hover_text("Processor time of a frame, mean of the last 30");
            if state.display.slab > 1 {
                let text = format!("slab {} (eye only)", state.display.slab);
                ui.colored_label(palette.warning, text).on_hover_text("The views show means; training sees single voxels");
            } else {
                ui.colored_label(palette.weak, "slab 1");
            }
            let place = place(state);
            if !place.is_empty() {
                ui.label(RichText::new(place).color(palette.text).monospace());
            }
            ui.with_layout(Layout::left_to_right(egui::Align::Center), |ui| {
                ui.add(Label::new(RichText::new(click(state)).color(palette.weak)).truncate());
            });
        });
    });
}

/// What a click will do.
fn click(state: &UiState) -> String {
    if state.open_volume().is_none() {
        return "Open a tomogram: drop it here, or File, Open tomograms…".to_owned();
    }
    match (state.tool, state.kind) {
        (Tool::Look, _) => "click: move the crosshair".to_owned(),
        (Tool::Region, _) if state.review.drawing_mask => "drag in XY: only picks in this box are shown".to_owned(),
        (Tool::Region, _) => "drag in XY: mark a complete box · right click: remove one".to_owned(),
        (Tool::Label, None) => "add a class on the right, then click on particles".to_owned(),
        (Tool::Label, Some(kind)) => {
            let annotations = state.document.annotations();
            let name = match kind {
                PointKind::Negative => "“not a particle”",
                PointKind::Particle(id) => annotations.class(id).map_or("label", |class| class.name.as_str()),
            };
            format!("click: add {name} · drag: move · right click: remove · ? for all keys")
        }
    }
}

/// Voxel, angstrom and value under the cursor.
fn place(state: &UiState) -> String {
    let Some(hover) = state.hover else {
        return String::new();
    };
    let [z, y, x] = hover.index.map(|index| index.round() as i64);
    let spacing = state.current.and_then(|id| state.spacing(id));
    let angstrom = spacing.map_or("Å unknown".to_owned(), |spacing| {
        let [z, y, x] = hover.index.map(|index| index * spacing);
        format!("{x:.0} {y:.0} {z:.0} Å")
    });
    format!("x {x} y {y} z {z} | {angstrom} | {}", value(hover.value))
}

/// A voxel's value with four digits or so.
fn value(value: f32) -> String {
    if value == 0.0 || (1e-2..1e5).contains(&value.abs()) { format!("{value:.3}") } else { format!("{value:.2e}") }
}
