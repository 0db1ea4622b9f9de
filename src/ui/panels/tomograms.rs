//! The list of tomograms.

use egui::{Color32, Label, RichText, ScrollArea, Sense, TextEdit, Ui, vec2};

use crate::labels::TomogramId;
use crate::ui::state::{Action, UiState, VolumeState};
use crate::ui::theme;
use crate::ui::training::file_name;

/// Draws the list, and what adds to it.
pub fn tomograms_ui(ui: &mut Ui, state: &mut UiState) {
    let palette = theme::palette(ui.visuals());
    ui.horizontal(|ui| {
        ui.label(RichText::new("Tomograms").color(palette.strong).strong());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button("Open…").on_hover_text("Open tomograms (Ctrl+O)").clicked() {
                state.request(Action::OpenDialog);
            }
        });
    });
    path_ui(ui, state);
    ui.add_space(2.0);
    let rows: Vec<(TomogramId, String)> = state.document.tomograms().iter().map(|entry| (entry.id, entry.name.clone())).collect();
    if rows.is_empty() && state.opening.is_empty() {
        super::hint(ui, "None yet. Open MRC files, drop them onto the window, or type a path above");
        return;
    }
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        for (id, name) in rows {
            row_ui(ui, state, id, &name);
        }
        for path in &state.opening {
            let weak = theme::palette(ui.visuals()).weak;
            ui.add(Label::new(RichText::new(format!("  {} …", file_name(path))).color(weak)).truncate());
        }
    });
}

/// A path can be typed where no dialog can be shown.
pub fn path_ui(ui: &mut Ui, state: &mut UiState) {
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 48.0).max(60.0);
        let field = TextEdit::singleline(&mut state.path_field).hint_text("/path/of/tomogram.mrc").desired_width(width);
        let response = ui.add(field).accessible_name("Path of a tomogram or a project folder");
        let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let path = state.path_field.trim().to_owned();
        let clicked = ui.add_enabled(!path.is_empty(), egui::Button::new("Add")).clicked();
        if (entered || clicked) && !path.is_empty() {
            state.path_field.clear();
            state.request(Action::Open(vec![path.into()]));
        }
    });
}

fn row_ui(ui: &mut Ui, state: &mut UiState, id: TomogramId, name: &str) {
    let palette = theme::palette(ui.visuals());
    let chosen = state.current == Some(id);
    let counts = state.tally.of_tomogram(id);
    let labels = counts.total_particles() + counts.negatives;
    let volume = state.volumes.get(&id);
    let (badge, colour, explanation): (String, Color32, String) = match volume {
        Some(VolumeState::Failed(error)) => {
            let remedy = "Click to try again, or open the file where it is now: one of the same name and size takes its place";
            ("!".to_owned(), palette.error, format!("{error}\n{remedy}"))
        }
        Some(VolumeState::Opening) | None => ("…".to_owned(), palette.weak, "Being opened".to_owned()),
        Some(VolumeState::Open(_)) if labels == 0 && counts.regions == 0 => {
            ("u".to_owned(), palette.weak, "Unlabelled: training learns from it without labels".to_owned())
        }
        Some(VolumeState::Open(_)) => {
            let mut text = format!("{} particles, {} negatives", counts.total_particles(), counts.negatives);
            if counts.regions > 0 {
                text.push_str(&format!(", {} complete regions", counts.regions));
            }
            (labels.to_string(), palette.text, text)
        }
    };
    let detail = match volume {
        Some(VolumeState::Open(volume)) => {
            let info = volume.source.info();
            let [z, y, x] = info.shape;
            let spacing = state.spacing(id).map_or("spacing unknown".to_owned(), |spacing| format!("{spacing:.3} Å"));
            let mut text = format!("{x} × {y} × {z} voxels (x, y, z), {spacing}, {}\n{}", info.data_type, info.path.display());
            for warning in &info.warnings {
                text.push_str(&format!("\n{warning}"));
            }
            text
        }
        _ => explanation.clone(),
    };

    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, chosen, name));
    let fill = if chosen {
        palette.selected
    } else if response.hovered() {
        palette.raised
    } else {
        Color32::TRANSPARENT
    };
    ui.painter().rect_filled(rect, 4.0, fill);
    let failed = matches!(volume, Some(VolumeState::Failed(_)));
    let text_colour = if failed {
        palette.error
    } else if chosen {
        palette.strong
    } else {
        palette.text
    };
    let mut inner = ui.new_child(
        egui::UiBuilder::new().max_rect(rect.shrink2(vec2(6.0, 0.0))).layout(egui::Layout::right_to_left(egui::Align::Center)),
    );
    let remove_shown = response.hovered() || response.contains_pointer() || chosen;
    let remove = inner.add_visible(remove_shown, egui::Button::new("×").frame(false).min_size(vec2(16.0, 16.0)));
    let remove = remove.accessible_name(format!("Remove {name} from the project"));
    if remove.on_hover_text("Remove from the project; the file stays").clicked() {
        state.request(Action::RemoveTomogram(id));
    }
    inner.add(Label::new(RichText::new(badge).color(colour)).selectable(false)).on_hover_text(explanation);
    inner.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
        ui.add(Label::new(RichText::new(name).color(text_colour)).truncate().selectable(false));
    });
    if failed {
        let find =
            ui.button("Find its file…").on_hover_text("Choose where the file is now; others that moved with it are found too");
        let find = find.accessible_name(format!("Find the file of {name}"));
        if find.clicked() {
            state.request(Action::RelinkDialog(id));
        }
    }
    if response.on_hover_text(detail).clicked() {
        if failed {
            state.request(Action::RetryTomogram(id));
        }
        state.show(id);
    }
}
