//! The key map.

use egui::{Grid, RichText, ScrollArea, Ui, Window, vec2};

use crate::ui::state::UiState;
use crate::ui::theme;

const KEYS: [(&str, &[(&str, &str)]); 4] = [
    (
        "Views",
        &[
            ("Wheel, Page Up and Down, arrows", "slice; with Shift ten"),
            ("Ctrl+wheel, pinch", "zoom at the cursor"),
            ("Middle drag, Space+drag", "pan"),
            ("Home", "fit"),
            ("- and +", "slab thinner, thicker; for the eye only"),
            ("A, I", "auto-contrast, invert"),
            ("H, P, L", "heatmap, picks, labels on or off"),
            ("O", "3D overview: drag turns, wheel zooms"),
            ("Ctrl++, Ctrl+-, Ctrl+0", "larger, smaller, usual size"),
        ],
    ),
    (
        "Labels",
        &[
            ("Click", "add a point of the chosen class"),
            ("Drag", "move a point"),
            ("Right click, Delete", "remove the nearest point"),
            ("1 to 9", "choose a class"),
            ("N", "choose “not a particle”"),
            ("Shift+drag, Shift+click", "choose labels in a rectangle, one more"),
            ("C", "chosen labels become of the class at hand"),
            ("Delete, Escape", "remove the chosen labels, choose none"),
            ("Region: drag", "mark a complete box, move its edges"),
            ("Tab, Enter", "go to a view; add a point at the crosshair"),
            ("Ctrl+Z", "undo"),
            ("Ctrl+Shift+Z, Ctrl+Y", "redo"),
        ],
    ),
    (
        "Training and picks",
        &[
            ("T", "train, pause, resume"),
            ("J, K", "next pick, previous pick"),
            ("Enter, Backspace", "accept the pick, reject it"),
        ],
    ),
    (
        "Project",
        &[
            ("[ and ]", "previous, next tomogram"),
            ("Ctrl+O", "open tomograms"),
            ("Ctrl+S", "save; every edit is kept at once anyway"),
            ("Ctrl+E", "export coordinates"),
            ("?", "this sheet"),
        ],
    ),
];

/// Which parts stand above each other, so that both columns are about as long.
const COLUMNS: [[usize; 2]; 2] = [[0, 2], [1, 3]];

/// Draws the sheet when it is open.
pub fn help_ui(ui: &mut Ui, state: &mut UiState) {
    if !state.forms.help {
        return;
    }
    let palette = theme::palette(ui.visuals());
    let mut open = true;
    let window = Window::new("Keys and mouse").open(&mut open).collapsible(false).resizable(false);
    window.pivot(egui::Align2::CENTER_CENTER).default_pos(ui.ctx().content_rect().center()).show(ui.ctx(), |ui| {
        // In a small window the sheet scrolls.
        let height = (ui.ctx().content_rect().height() - 90.0).max(120.0);
        let scroll = ScrollArea::vertical().max_height(height);
        scroll.show(ui, |ui| {
            ui.horizontal_top(|ui| {
                for column in COLUMNS {
                    ui.vertical(|ui| {
                        for (title, keys) in column.map(|index| &KEYS[index]) {
                            ui.label(RichText::new(*title).color(palette.accent).strong());
                            Grid::new(*title).num_columns(2).spacing(vec2(14.0, 4.0)).show(ui, |ui| {
                                for (key, action) in *keys {
                                    ui.label(RichText::new(*key).color(palette.strong));
                                    ui.label(*action);
                                    ui.end_row();
                                }
                            });
                            ui.add_space(10.0);
                        }
                    });
                    ui.add_space(18.0);
                }
            })
        });
    });
    if !open || ui.input(|input| input.key_pressed(egui::Key::Escape)) {
        state.forms.help = false;
    }
}
