//! The line at the bottom: what a click will do, and what lies under the cursor.

use egui::{Key, Label, Layout, RichText, Ui};

use crate::labels::PointKind;
use crate::ui::options::Snap;
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
            if state.current.is_some_and(|id| state.low_pass_voxels(id) > 0.0) {
                let text = format!("low-pass {:.0} Å (eye only)", state.display.low_pass_angstrom);
                ui.colored_label(palette.warning, text)
                    .on_hover_text("The views are smoothed; training sees the voxels as they are");
            }
            let place = place(state);
            if !place.is_empty() {
                ui.label(RichText::new(place).color(palette.text).monospace());
            }
            ui.with_layout(Layout::left_to_right(egui::Align::Center), |ui| {
                let (shift, space) = ui.input(|input| (input.modifiers.shift, input.key_down(Key::Space)));
                let text = click(state, shift, space);
                ui.add(Label::new(RichText::new(text).color(palette.weak)).truncate());
            });
        });
    });
}

/// What a click or a drag will do, given the tool, what is under the cursor, and the keys that are held.
fn click(state: &UiState, shift: bool, space: bool) -> String {
    if state.open_volume().is_none() {
        return "Open a tomogram: drop it here, or File, Open tomograms…".to_owned();
    }
    if state.over_overview {
        return "click: go to the point · drag: turn · wheel: zoom · Space+drag: shift".to_owned();
    }
    if space {
        return "drag: shift the image".to_owned();
    }
    match (state.tool, state.kind) {
        (Tool::Look | Tool::Label, _) if shift => {
            "Shift+drag: choose the labels in a rectangle · Shift+click: choose one more, or one less".to_owned()
        }
        (Tool::Look, _) => "click: move the crosshair · drag: take it along".to_owned(),
        (Tool::Region, _) if state.review.drawing_mask => "drag: only picks in this box are shown".to_owned(),
        (Tool::Region, _) if state.hover.is_some_and(|hover| hover.on_edge) => "drag: move this edge".to_owned(),
        (Tool::Region, _) => "drag: mark a complete box, or move the edge of one · right click, Delete: remove one".to_owned(),
        (Tool::Label, None) => "add a class on the right, then click on particles".to_owned(),
        (Tool::Label, Some(kind)) => {
            let name = state.kind_name(kind);
            let place = match (state.snap, kind) {
                (Snap::Off, _) | (_, PointKind::Negative) => "",
                (Snap::Dark, _) => " in the middle of the dark density here",
                (Snap::Bright, _) => " in the middle of the bright density here",
                (Snap::Automatic, _) => " in the middle of the density here",
            };
            format!("click: add {name}{place} · drag: move · right click: remove · Shift+drag: choose · ? for all keys")
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
