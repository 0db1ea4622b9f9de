//! The box outside which a tomogram's picks are hidden.

use egui::{DragValue, Grid, Ui};

use crate::geometry::VoxelBox;
use crate::ui::panels::hint;
use crate::ui::state::{Tool, UiState};

impl UiState {
    /// Takes a box that has been drawn as the mask, when one was asked for.
    pub(in crate::ui) fn take_mask(&mut self, voxels: VoxelBox) -> bool {
        if !std::mem::take(&mut self.review.drawing_mask) {
            return false;
        }
        self.tool = Tool::Label;
        if let Some(tomogram) = self.current {
            self.picks.set_mask(tomogram, Some(voxels));
        }
        true
    }
}

/// Draws the mask of the tomogram on the screen: drawn or by numbers.
pub fn mask_ui(ui: &mut Ui, state: &mut UiState) {
    let Some((tomogram, volume)) = state.open_volume() else {
        return;
    };
    let shape = volume.shape();
    let mut mask = state.picks.mask(tomogram);
    let before = mask;
    ui.horizontal(|ui| {
        let mut on = mask.is_some();
        let check = ui.checkbox(&mut on, "Only picks in a box");
        if check.on_hover_text("Picks of this tomogram outside the box are hidden: not counted, accepted or exported").changed() {
            mask = on.then(|| VoxelBox::whole(shape));
        }
        let draw = ui
            .selectable_label(state.review.drawing_mask, "Draw")
            .on_hover_text("Drag in a view; choose the slices above the views");
        if draw.clicked() {
            state.review.drawing_mask = !state.review.drawing_mask;
            state.tool = if state.review.drawing_mask { Tool::Region } else { Tool::Label };
        }
    });
    if state.review.drawing_mask && state.tool != Tool::Region {
        state.review.drawing_mask = false;
    }
    if state.review.drawing_mask {
        hint(ui, "Drag in XY: the next box becomes the mask");
    }
    if let Some(mask) = &mut mask {
        Grid::new("mask").num_columns(4).spacing(egui::vec2(6.0, 3.0)).show(ui, |ui| {
            for (axis, name) in [(2, "x"), (1, "y"), (0, "z")] {
                let last = shape[axis].saturating_sub(1);
                let mut from = mask.start[axis].min(last);
                let mut to = mask.end[axis].saturating_sub(1).clamp(from, last);
                ui.label(name);
                ui.add(DragValue::new(&mut from).range(0..=last)).accessible_name(format!("Box from {name}"));
                ui.label("to");
                ui.add(DragValue::new(&mut to).range(from..=last)).accessible_name(format!("Box to {name}"));
                ui.end_row();
                (mask.start[axis], mask.end[axis]) = (from, to.max(from) + 1);
            }
        });
    }
    if mask != before {
        state.picks.set_mask(tomogram, mask);
    }
}
