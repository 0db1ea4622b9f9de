//! Picks: thresholds, counts, and turning picks into labels.

use std::sync::Arc;

use egui::{Button, Color32, ProgressBar, Rect, RichText, Sense, Slider, Stroke, Ui, pos2, vec2};

use crate::labels::TomogramId;
use crate::train::PickSet;
use crate::ui::picks::{SCORE_BINS, Scores, project_class};
use crate::ui::state::{Action, UiState, VolumeState};
use crate::ui::theme;

/// Draws the section.
pub fn picks_ui(ui: &mut Ui, state: &mut UiState) {
    super::section(ui, "Picks", |ui| {
        pick_buttons(ui, state);
        let set = state.current.and_then(|id| state.picks.set(id).cloned());
        match set {
            Some(set) => {
                thresholds_ui(ui, state, &set);
                crate::ui::review::mask_ui(ui, state);
            }
            None if state.picks.is_empty() => {
                super::hint(ui, "Picks come while training runs, or for whole tomograms once there is a model");
            }
            None => super::hint(ui, "No picks in this tomogram yet"),
        }
        accept_ui(ui, state);
        ui.horizontal(|ui| {
            let review = ui
                .selectable_label(state.review.open, "Review…")
                .on_hover_text("Gallery, table, comparison and counts, below the views");
            if review.clicked() {
                state.review.open = !state.review.open;
            }
            if ui.button("Export…").on_hover_text("Write labels or picks for other programs (Ctrl+E)").clicked() {
                state.forms.export = true;
            }
        });
    });
}

/// Tomograms that can be picked: open, with a known spacing.
fn pickable(state: &UiState) -> Vec<TomogramId> {
    let ids = state.document.tomograms().iter().map(|entry| entry.id);
    ids.filter(|id| matches!(state.volumes.get(id), Some(VolumeState::Open(_))) && state.spacing(*id).is_some()).collect()
}

fn pick_buttons(ui: &mut Ui, state: &mut UiState) {
    let model = state.training.model.is_some() || state.training.is_active();
    let free = state.training.picks_due == 0;
    let all = pickable(state);
    let here = state.current.filter(|id| all.contains(id));
    let reason = if !model {
        "Train or load a model first"
    } else if !free {
        "Picking is under way"
    } else {
        "Open a tomogram with a known spacing first"
    };
    ui.horizontal(|ui| {
        let one = ui.add_enabled(model && free && here.is_some(), Button::new("Pick this tomogram"));
        if one.on_disabled_hover_text(reason).clicked() {
            state.actions.extend(here.map(|id| Action::Pick(vec![id])));
        }
        let every = ui.add_enabled(model && free && !all.is_empty(), Button::new("Pick all"));
        if every.on_disabled_hover_text(reason).clicked() {
            state.request(Action::Pick(all));
        }
    });
    if state.training.picks_due > 0 {
        let (name, share) = match state.training.picking {
            Some((id, share)) => (state.document.name(id), share),
            None => ("waiting for the training thread".to_owned(), 0.0),
        };
        let text = format!("{name}, {} to do", state.training.picks_due);
        ui.add(ProgressBar::new(share).text(RichText::new(text).small()).desired_height(16.0))
            .accessible_name("Picking progress");
    }
}

fn thresholds_ui(ui: &mut Ui, state: &mut UiState, set: &Arc<PickSet>) {
    let counts = state.picks.counts(set.tomogram).to_vec();
    let scores = state.picks.scores(set.tomogram).unwrap_or_default();
    for (index, class) in set.classes.iter().enumerate() {
        let own = project_class(state.document.annotations(), class).unwrap_or(class);
        let (colour, name) = (theme::class_colour(own.colour), own.name.clone());
        let mut threshold = state.picks.threshold(set, index);
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
            ui.painter().circle_filled(rect.center(), 4.5, colour);
            ui.label(&name);
            let count = counts.get(index).copied().unwrap_or(0);
            let total = scores.get(index).map_or(0, |scores| scores.total);
            let text = RichText::new(format!("{count} of {total}")).strong();
            ui.label(text).on_hover_text("Picks above the threshold, of all that were found");
            if state.picks.is_chosen(class.id) {
                let suggested = set.thresholds.get(index).copied().unwrap_or(0.5);
                let reset =
                    ui.small_button("Suggested").on_hover_text(format!("Back to {suggested:.2}, chosen on labelled data"));
                if reset.clicked() {
                    state.picks.choose_threshold(class.id, None);
                }
            }
        });
        let mut chosen = scores.get(index).and_then(|scores| scores_ui(ui, scores, threshold, colour, &name));
        ui.horizontal(|ui| {
            ui.spacing_mut().slider_width = (ui.available_width() - 150.0).clamp(60.0, 180.0);
            let slider = Slider::new(&mut threshold, 0.0..=1.0).fixed_decimals(2).step_by(0.01);
            if ui.add(slider).accessible_name(format!("Threshold of {name}")).changed() {
                chosen = Some(threshold);
            }
            let mut apart = state.picks.least_distance(class.id);
            let drag = egui::DragValue::new(&mut apart)
                .range(0.0..=20.0 * class.radius_angstrom)
                .speed(1.0)
                .suffix(" Å")
                .max_decimals(0);
            let drag = ui.add(drag.prefix("apart ")).accessible_name(format!("Least distance of {name} picks"));
            let drag =
                drag.on_hover_text("Least distance of two picks: of two that are nearer, the better one stays; 0 for none");
            if drag.changed() {
                state.picks.set_least_distance(class.id, apart);
            }
        });
        if chosen.is_some() {
            state.picks.choose_threshold(class.id, chosen);
        }
    }
}

/// The distribution of the scores, with the threshold, which can be dragged; a threshold that was chosen.
fn scores_ui(ui: &mut Ui, scores: &Scores, threshold: f32, colour: Color32, name: &str) -> Option<f32> {
    let palette = theme::palette(ui.visuals());
    let width = (ui.available_width() - 56.0).clamp(80.0, 270.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 34.0), Sense::click_and_drag());
    let response = response.on_hover_cursor(egui::CursorIcon::ResizeHorizontal);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Scores of {name}")));
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 3.0, palette.sunken);
    let most = scores.bins.iter().copied().max().unwrap_or(0).max(1) as f32;
    let bin_width = rect.width() / SCORE_BINS as f32;
    for (bin, count) in scores.bins.iter().enumerate() {
        let left = rect.left() + bin as f32 * bin_width;
        let height = (*count as f32 / most).sqrt() * (rect.height() - 2.0);
        let above = (bin as f32 + 0.5) / SCORE_BINS as f32 >= threshold;
        let fill = if above { colour } else { palette.line };
        let bar = Rect::from_min_max(pos2(left, rect.bottom() - height), pos2(left + bin_width - 0.5, rect.bottom()));
        painter.rect_filled(bar, 0.0, fill);
    }
    let x = rect.left() + threshold.clamp(0.0, 1.0) * rect.width();
    painter.line_segment([pos2(x, rect.top()), pos2(x, rect.bottom())], Stroke::new(1.5, palette.strong));
    let grip = Rect::from_center_size(pos2(x.clamp(rect.left() + 4.0, rect.right() - 4.0), rect.top() + 4.0), vec2(8.0, 8.0));
    let held = response.hovered() || response.dragged();
    painter.rect_filled(grip, 2.0, if held { palette.accent } else { palette.strong });
    let pointer = response.interact_pointer_pos().filter(|_| response.clicked() || response.dragged())?;
    let share = ((pointer.x - rect.left()) / rect.width()).clamp(0.0, 1.0);
    Some((share * 100.0).round() / 100.0)
}

fn accept_ui(ui: &mut Ui, state: &mut UiState) {
    let Some(id) = state.current else {
        return;
    };
    let new = state.picks.open_count(id);
    let with_picks = state.picks.sets().count();
    if with_picks == 0 {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let accept = ui.add_enabled(new > 0, Button::new(format!("Accept {new} picks as labels")));
        let explanation = "Those above the threshold of which nothing has been said yet; one undo takes them back";
        if accept.on_hover_text(explanation).clicked() {
            state.request(Action::AcceptPicks(Some(id)));
        }
        if with_picks > 1 && ui.button("Accept in all tomograms").on_hover_text(explanation).clicked() {
            state.request(Action::AcceptPicks(None));
        }
    });
    let Some((tomogram, reviewed)) = state.picks.reviewed else {
        super::hint(ui, "Review one by one: J next, K previous, Enter accepts, Backspace rejects");
        return;
    };
    let score = state.picks.set(tomogram).and_then(|set| set.picks.get(reviewed)).map(|pick| pick.score);
    if let Some(score) = score {
        super::hint(ui, &format!("Reviewing a pick of score {score:.2}: Enter accepts, Backspace rejects, J next, K previous"));
    }
}
