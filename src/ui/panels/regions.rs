//! Complete regions: boxes in which everything has been labelled, so that the rest of them is background.

use egui::{Button, DragValue, RichText, Ui};

use crate::geometry::VoxelBox;
use crate::labels::Edit;
use crate::ui::state::{Tool, UiState};
use crate::ui::theme;

/// Draws the regions of the current tomogram.
pub fn regions_ui(ui: &mut Ui, state: &mut UiState) {
    let Some((tomogram, volume)) = state.open_volume() else {
        return;
    };
    let whole = VoxelBox::whole(volume.shape());
    super::section(ui, "Complete regions", |ui| {
        let labels = state.document.annotations().labels(tomogram);
        let regions: Vec<_> = labels.into_iter().flat_map(|labels| labels.regions.values().copied()).collect();
        if regions.is_empty() {
            super::hint(ui, "Where everything has been labelled, the rest counts as background. Without one, only labels count");
        }
        for (number, region) in regions.iter().enumerate() {
            ui.horizontal(|ui| {
                let [z, y, x] = region.voxels.start;
                let [z_end, y_end, x_end] = region.voxels.end.map(|end| end.saturating_sub(1));
                let text = if region.voxels == whole {
                    "Whole tomogram".to_owned()
                } else {
                    format!("x {x}–{x_end}  y {y}–{y_end}  z {z}–{z_end}")
                };
                ui.label(RichText::new(text).color(theme::palette(ui.visuals()).text));
                let remove = ui.add(Button::new("×").frame(false));
                let remove = remove.accessible_name(format!("Remove complete region {}", number + 1));
                if remove.on_hover_text("Remove this complete region").clicked() {
                    state.perform(Edit::RemoveRegion { tomogram, region: *region });
                }
            });
        }
        ui.horizontal_wrapped(|ui| {
            let present = regions.iter().any(|region| region.voxels == whole);
            let mark = ui.add_enabled(!present, Button::new("Whole tomogram is complete"));
            if mark.on_hover_text("Every particle in this tomogram has been labelled").clicked() {
                state.add_region(whole);
            }
            if ui.button("Draw a box").on_hover_text("Drag in a view; edges can be moved in every view").clicked() {
                state.tool = Tool::Region;
            }
        });
    });
}

/// Chooses the slices of a new region.
pub fn region_depth_ui(ui: &mut Ui, state: &mut UiState) {
    let Some((_, volume)) = state.open_volume() else {
        return;
    };
    let depth = volume.shape()[0];
    let last = depth.saturating_sub(1);
    let mut whole = state.region_depth.is_none();
    let mut slices = state.region_slices(depth);
    if ui.checkbox(&mut whole, "All slices").changed() {
        state.region_depth = (!whole).then_some(slices);
    }
    if !whole {
        let label = ui.label("z from").id;
        let from = ui.add(DragValue::new(&mut slices[0]).range(0..=last)).labelled_by(label);
        let first = slices[0];
        let label = ui.label("to").id;
        let to = ui.add(DragValue::new(&mut slices[1]).range(first..=last)).labelled_by(label);
        if from.changed() || to.changed() {
            state.region_depth = Some([slices[0], slices[1].max(slices[0])]);
        }
    }
    ui.label(RichText::new("drag in a view; edges can be moved").color(theme::palette(ui.visuals()).weak));
}
