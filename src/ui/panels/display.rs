//! How slices look. Nothing here reaches training.

use egui::{Button, ComboBox, RangeSlider, Rect, Sense, Slider, Stroke, Ui, pos2, vec2};

use crate::ui::options::ScoreCue;
use crate::ui::state::{MAX_SLAB, UiState, VolumeState};
use crate::ui::theme;

/// Draws contrast, slab, interpolation and heatmap.
pub fn display_ui(ui: &mut Ui, state: &mut UiState) {
    super::section(ui, "Display", |ui| {
        contrast_ui(ui, state);
        ui.horizontal(|ui| {
            if ui.button("Auto").on_hover_text("Contrast from the voxels: 0.5 to 99.5 percentile (A)").clicked() {
                state.auto_contrast();
            }
            ui.checkbox(&mut state.display.invert, "Invert").on_hover_text("Dark for bright (I)");
            ui.checkbox(&mut state.display.smooth, "Smooth").on_hover_text("Interpolate between voxels");
            ui.checkbox(&mut state.display.crosshair, "Crosshair");
        });
        ui.horizontal(|ui| {
            let label = ui.label("Slab").id;
            if ui.add(Button::new("−").min_size(vec2(24.0, 0.0))).accessible_name("Thinner slab").clicked() {
                state.change_slab(false);
            }
            let mut slab = state.display.slab;
            let field = egui::DragValue::new(&mut slab).range(1..=MAX_SLAB).speed(0.1);
            if ui.add(field).labelled_by(label).on_hover_text("Slices averaged, for the eye only (- and +)").changed() {
                state.display.slab = slab | 1;
            }
            if ui.add(Button::new("+").min_size(vec2(24.0, 0.0))).accessible_name("Thicker slab").clicked() {
                state.change_slab(true);
            }
            super::hint(ui, "slices, for the eye only");
        });
        low_pass_ui(ui, state);
        heatmap_ui(ui, state);
        score_ui(ui, state);
    });
}

/// Widest low-pass, in angstrom.
const MAX_LOW_PASS: f64 = 500.0;

fn low_pass_ui(ui: &mut Ui, state: &mut UiState) {
    let Some((tomogram, _)) = state.open_volume() else {
        return;
    };
    let known = state.spacing(tomogram).is_some();
    ui.horizontal(|ui| {
        let label = ui.label("Low-pass").id;
        let width = &mut state.display.low_pass_angstrom;
        let field = egui::DragValue::new(width).range(0.0..=MAX_LOW_PASS).speed(0.5).max_decimals(0).suffix(" Å");
        let hint = "Width of a Gaussian at half its height, within the plane of each view; 0 for none. \
            For the eye only: it never reaches training";
        let response = ui.add_enabled(known, field).labelled_by(label).on_hover_text(hint);
        response.on_disabled_hover_text("The spacing of this tomogram is not known: type it above the views");
        if ui.add_enabled(*width > 0.0, Button::new("None")).accessible_name("No low-pass").clicked() {
            *width = 0.0;
        }
        super::hint(ui, "wide, for the eye only");
    });
}

fn score_ui(ui: &mut Ui, state: &mut UiState) {
    if state.picks.is_empty() {
        return;
    }
    ui.horizontal(|ui| {
        ui.checkbox(&mut state.display.picks, "Picks").on_hover_text("Show picks above the thresholds (P)");
        let cue = &mut state.display.score_cue;
        let name = ScoreCue::ALL.iter().find(|(other, _)| other == cue).map_or("", |(_, name)| *name);
        let combo = ComboBox::from_id_salt("score").selected_text(name).width(84.0).show_ui(ui, |ui| {
            for (value, name) in ScoreCue::ALL {
                ui.selectable_value(cue, value, name);
            }
        });
        combo.response.accessible_name("Score shown by").on_hover_text("How the score of a pick shows in the views");
        super::hint(ui, "shows the score");
    });
}

fn contrast_ui(ui: &mut Ui, state: &mut UiState) {
    let Some(id) = state.current else {
        return;
    };
    let Some(VolumeState::Open(volume)) = state.volumes.get_mut(&id) else {
        return;
    };
    let palette = theme::palette(ui.visuals());
    let histogram = &volume.limits.histogram;
    let (low, high) = (histogram.low, histogram.high);
    if low >= high {
        return;
    }
    let width = ui.available_width().min(320.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 46.0), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Histogram of voxel values"));
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 3.0, palette.sunken);
    // The slider's handles run within this range, so the bars stand above the values that they show.
    let radius = 6.0;
    let plot = Rect::from_x_y_ranges(rect.left() + radius..=rect.right() - radius, rect.y_range());
    let most = histogram.counts.iter().copied().max().unwrap_or(0).max(1) as f32;
    let bin_width = plot.width() / histogram.counts.len().max(1) as f32;
    let inside = |value: f32| value >= volume.contrast[0] && value <= volume.contrast[1];
    for (bin, count) in histogram.counts.iter().enumerate() {
        let left = plot.left() + bin as f32 * bin_width;
        // The square root lets rare values be seen beside the mode.
        let height = (*count as f32 / most).sqrt() * (plot.height() - 4.0);
        let value = low + (bin as f32 + 0.5) / histogram.counts.len() as f32 * (high - low);
        let colour = if inside(value) { palette.weak } else { palette.line };
        let bar = Rect::from_min_max(pos2(left, plot.bottom() - height), pos2(left + bin_width, plot.bottom()));
        painter.rect_filled(bar, 0.0, colour);
    }
    for value in volume.contrast {
        let x = plot.left() + ((value - low) / (high - low)).clamp(0.0, 1.0) * plot.width();
        painter.line_segment([pos2(x, rect.top()), pos2(x, rect.bottom())], Stroke::new(1.0, palette.accent));
    }
    let [mut black, mut white] = volume.contrast.map(f64::from);
    let range = f64::from(low.min(volume.contrast[0]))..=f64::from(high.max(volume.contrast[1]));
    let separation = f64::from(high - low) * 1e-3;
    let slider = RangeSlider::new(&mut black, &mut white, range).show_value(false).min_separation(separation);
    let response = ui.scope(|ui| {
        ui.spacing_mut().slider_width = width;
        ui.add(slider)
    });
    if response.inner.accessible_name("Black and white value").changed() {
        volume.contrast = [black as f32, white as f32];
    }
}

fn heatmap_ui(ui: &mut Ui, state: &mut UiState) {
    let Some(model_classes) = state.heatmap_classes() else {
        return;
    };
    ui.horizontal(|ui| {
        ui.checkbox(&mut state.display.heatmap, "Heatmap").on_hover_text("Show what the network sees (H)");
        let chosen = model_classes.get(state.display.heat_class).cloned().unwrap_or_default();
        ComboBox::from_id_salt("heatmap class")
            .selected_text(chosen)
            .width(110.0)
            .show_ui(ui, |ui| {
                for (index, name) in model_classes.iter().enumerate() {
                    ui.selectable_value(&mut state.display.heat_class, index, name);
                }
            })
            .response
            .accessible_name("Class of the heatmap");
    });
    let slider = Slider::new(&mut state.display.heat_opacity, 0.0..=1.0).show_value(false).text("Opacity");
    ui.add_enabled(state.display.heatmap, slider);
}

impl UiState {
    /// Sets the contrast of the tomogram on the screen from its voxels.
    pub fn auto_contrast(&mut self) {
        if let Some(VolumeState::Open(volume)) = self.current.and_then(|id| self.volumes.get_mut(&id)) {
            volume.contrast = [volume.limits.low, volume.limits.high];
        }
    }

    /// Names of the classes that the heatmap of the current tomogram has; `None` when there is no heatmap.
    fn heatmap_classes(&self) -> Option<Vec<String>> {
        let id = self.current?;
        let channels = self.training.heatmap(id)?.channels.len();
        let classes = self.picks.set(id).map_or(&self.training.run_classes, |set| &set.classes);
        Some((0..channels).map(|index| classes.get(index).map_or(format!("class {}", index + 1), |c| c.name.clone())).collect())
    }
}
