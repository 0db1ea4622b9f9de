//! The review area: tabs, filters, progress.

use egui::{Align, Button, ComboBox, Layout, RichText, Ui};

use super::{ClassLook, List, Tab, VerdictName, compare_ui, counts, gallery, table};
use crate::review::{Column, Order, Verdict};
use crate::ui::panels::hint;
use crate::ui::state::{Action, UiState, VolumeState};
use crate::ui::theme;

/// Draws the area.
pub fn review_ui(ui: &mut Ui, state: &mut UiState) {
    let list = state.review_list();
    ui.horizontal(|ui| {
        for tab in Tab::ALL {
            let chosen = state.review.form.tab == tab;
            if ui.selectable_label(chosen, tab.name()).clicked() {
                state.review.form.tab = tab;
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let close = ui.add(Button::new("×").frame(false)).accessible_name("Close the review");
            if close.on_hover_text("Close; View, Review opens it again").clicked() {
                state.review.open = false;
            }
            progress_ui(ui, &list);
        });
    });
    match state.review.form.tab {
        Tab::Gallery | Tab::Table => {
            if state.picks.is_empty() {
                no_picks_ui(ui, state);
                return;
            }
            filters_ui(ui, state, &list);
            ui.add_space(2.0);
            if list.rows.is_empty() {
                nothing_ui(ui, state, &list);
            } else if state.review.form.tab == Tab::Gallery {
                gallery::gallery_ui(ui, state, &list);
            } else {
                table::table_ui(ui, state, &list);
            }
        }
        Tab::Compare => compare_ui::compare_ui(ui, state),
        Tab::Counts => counts::counts_ui(ui, state),
    }
}

/// Width in points that the bar of the progress needs, and the bar with its text.
const PROGRESS_WIDTHS: [f32; 2] = [90.0, 310.0];

/// How far the review has come, as far as there is room beside the tabs.
fn progress_ui(ui: &mut Ui, list: &List) {
    let [open, accepted, rejected] = list.progress;
    let total = open + accepted + rejected;
    let room = ui.available_width();
    if total == 0 || room < PROGRESS_WIDTHS[0] {
        return;
    }
    let palette = theme::palette(ui.visuals());
    let text = format!("{accepted} accepted · {rejected} rejected · {open} open");
    let of_what = "of the picks above the thresholds, in the tomograms and of the class chosen";
    if room >= PROGRESS_WIDTHS[1] {
        ui.colored_label(palette.weak, &text).on_hover_text(of_what);
    }
    let (rect, response) = ui.allocate_exact_size(egui::vec2(70.0, 8.0), egui::Sense::hover());
    let response = response.on_hover_text(format!("{text}, {of_what}"));
    let name = format!("{} of {total} picks decided", accepted + rejected);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, &name));
    let painter = ui.painter();
    painter.rect_filled(rect, 3.0, palette.sunken);
    let x = |count: usize| rect.left() + rect.width() * count as f32 / total as f32;
    painter.rect_filled(rect.with_max_x(x(accepted)), 3.0, palette.success);
    painter.rect_filled(rect.with_min_x(x(accepted)).with_max_x(x(accepted + rejected)), 0.0, palette.error);
}

fn no_picks_ui(ui: &mut Ui, state: &mut UiState) {
    let palette = theme::palette(ui.visuals());
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.25).max(4.0));
        ui.label(RichText::new("No picks to review yet").color(palette.strong).size(15.0));
        let model = state.training.model.is_some() || state.training.is_active();
        if model {
            hint(ui, "Pick tomograms with the model, and their picks come here");
            let ids = state.document.tomograms().iter().map(|entry| entry.id);
            let open = |id: &crate::labels::TomogramId| {
                matches!(state.volumes.get(id), Some(VolumeState::Open(_))) && state.spacing(*id).is_some()
            };
            let ids: Vec<_> = ids.filter(open).collect();
            let free = state.training.picks_due == 0 && !ids.is_empty();
            if ui.add_enabled(free, Button::new("Pick all tomograms")).clicked() {
                state.request(Action::Pick(ids));
            }
        } else {
            hint(ui, "Label a few particles and train, or load a model; then pick tomograms under Picks, on the right");
            if ui.button("Load model…").clicked() {
                state.request(Action::LoadModelDialog);
            }
        }
    });
}

/// The list is empty though there are picks.
fn nothing_ui(ui: &mut Ui, state: &mut UiState, list: &List) {
    let decided = list.progress[1] + list.progress[2];
    let here = state.current.is_some_and(|id| state.picks.set(id).is_some());
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.25).max(4.0));
        let open_wanted = state.review.form.uncertain || state.review.form.verdict == Some(VerdictName::Open);
        if open_wanted && decided > 0 && list.progress[0] == 0 {
            hint(ui, "Every pick has been decided: train again to make use of it, or choose another state");
        } else if !state.review.form.all && !here {
            hint(ui, "No picks in this tomogram: pick it under Picks, on the right, or look at all tomograms");
            if ui.button("Show all tomograms").clicked() {
                state.review.form.all = true;
            }
        } else {
            hint(ui, "No pick passes the filters: lower a threshold under Picks, on the right, or choose other filters");
            let filtered = state.review.form.class.is_some() || state.review.form.verdict.is_some();
            if filtered && ui.button("Clear the filters").clicked() {
                state.review.form.class = None;
                state.review.form.verdict = None;
            }
        }
    });
}

fn filters_ui(ui: &mut Ui, state: &mut UiState, list: &List) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().combo_width = 90.0;
        scope_ui(ui, &mut state.review.form.all);
        class_ui(ui, &mut state.review.form.class, &list.classes);
        verdict_ui(ui, &mut state.review.form.verdict, state.review.form.uncertain);
        order_ui(ui, state);
        if state.review.form.tab == Tab::Gallery {
            let form = &mut state.review.form;
            let size = egui::Slider::new(&mut form.size, 40.0..=160.0).show_value(false).step_by(4.0);
            ui.scope(|ui| {
                ui.spacing_mut().slider_width = 70.0;
                ui.add(size).accessible_name("Size of the sections").on_hover_text("Size of the sections");
            });
            let slab = egui::DragValue::new(&mut form.slab).range(1..=51).speed(0.1).suffix(" slices");
            let slab = ui.add(slab).accessible_name("Slices that a section averages");
            slab.on_hover_text("Slices that a section averages; for the eye only");
        }
        let reviewed = state.picks.reviewed;
        let standing = reviewed.and_then(|(tomogram, index)| state.picks.view(tomogram)?.standings.get(index).copied());
        let decide = |ui: &mut Ui, name: &str, hint: &str, enabled: bool| {
            let button = ui.add_enabled(standing.is_some() && enabled, Button::new(name));
            button.on_hover_text(hint).on_disabled_hover_text("Choose a pick first: J for the next one, or click on it").clicked()
        };
        let verdict = standing.map(|standing| standing.verdict);
        if decide(ui, "Accept", "It becomes a label of its class (Enter)", verdict != Some(Verdict::Accepted)) {
            state.review_decide(Verdict::Accepted);
        }
        if decide(ui, "Reject", "It becomes “not a particle” (Backspace)", verdict != Some(Verdict::Rejected)) {
            state.review_decide(Verdict::Rejected);
        }
        if verdict.is_some_and(|verdict| verdict != Verdict::Open)
            && decide(ui, "Take back", "Its label, or “not a particle”, goes away", true)
        {
            state.review_decide(Verdict::Open);
        }
    });
}

pub(super) fn scope_ui(ui: &mut Ui, all: &mut bool) {
    let name = |all: bool| if all { "All tomograms" } else { "This tomogram" };
    let combo = ComboBox::from_id_salt("review scope").selected_text(name(*all)).show_ui(ui, |ui| {
        ui.selectable_value(all, false, name(false));
        ui.selectable_value(all, true, name(true));
    });
    combo.response.accessible_name("Tomograms of the review");
}

fn class_ui(ui: &mut Ui, class: &mut Option<String>, classes: &[ClassLook]) {
    if classes.len() < 2 {
        *class = None;
        return;
    }
    let text = class.clone().unwrap_or_else(|| "All classes".to_owned());
    let combo = ComboBox::from_id_salt("review class").selected_text(text).show_ui(ui, |ui| {
        ui.selectable_value(class, None, "All classes");
        for look in classes {
            ui.selectable_value(class, Some(look.name.clone()), &look.name);
        }
    });
    combo.response.accessible_name("Class of the review");
}

fn verdict_ui(ui: &mut Ui, verdict: &mut Option<VerdictName>, uncertain: bool) {
    let name = |verdict: Option<VerdictName>| match verdict {
        None => "Any state",
        Some(VerdictName::Open) => "Open",
        Some(VerdictName::Accepted) => "Accepted",
        Some(VerdictName::Rejected) => "Rejected",
    };
    let shown = if uncertain { Some(VerdictName::Open) } else { *verdict };
    ui.add_enabled_ui(!uncertain, |ui| {
        let combo = ComboBox::from_id_salt("review state").selected_text(name(shown)).show_ui(ui, |ui| {
            for entry in [None, Some(VerdictName::Open), Some(VerdictName::Accepted), Some(VerdictName::Rejected)] {
                ui.selectable_value(verdict, entry, name(entry));
            }
        });
        combo.response.accessible_name("State of the picks").on_disabled_hover_text("The queue has open picks only");
    });
}

fn order_ui(ui: &mut Ui, state: &mut UiState) {
    const ORDERS: [(&str, Option<Order>); 6] = [
        ("Best first", Some(Order { by: Column::Score, descending: true })),
        ("Worst first", Some(Order { by: Column::Score, descending: false })),
        ("Most uncertain", None),
        ("By class", Some(Order { by: Column::Class, descending: false })),
        ("By tomogram", Some(Order { by: Column::Tomogram, descending: false })),
        ("By state", Some(Order { by: Column::State, descending: false })),
    ];
    let form = &mut state.review.form;
    let chosen = if form.uncertain { None } else { Some(form.order) };
    let text = ORDERS.iter().find(|(_, order)| *order == chosen).map_or("As in the table", |(name, _)| name);
    let combo = ComboBox::from_id_salt("review order").selected_text(text).show_ui(ui, |ui| {
        for (name, order) in ORDERS {
            let entry = ui.selectable_label(chosen == order, name);
            let entry = match order {
                None => entry.on_hover_text(
                    "Open picks whose scores are nearest to their class's threshold, on either side, taken in turn from all \
                     tomograms and apart from each other: the next labels that help most",
                ),
                Some(_) => entry,
            };
            if entry.clicked() {
                form.uncertain = order.is_none();
                form.order = order.unwrap_or(form.order);
            }
        }
    });
    combo.response.accessible_name("Order of the picks");
}

/// Draws what stands for a state: a tick, a cross, or nothing.
pub(super) fn paint_verdict(painter: &egui::Painter, rect: egui::Rect, verdict: Verdict, palette: &theme::Palette) {
    let at = |x: f32, y: f32| egui::pos2(rect.left() + x * rect.width(), rect.top() + y * rect.height());
    match verdict {
        Verdict::Open => {}
        Verdict::Accepted => {
            let stroke = egui::Stroke::new(2.0, palette.success);
            painter.line_segment([at(0.1, 0.55), at(0.4, 0.85)], stroke);
            painter.line_segment([at(0.4, 0.85), at(0.9, 0.15)], stroke);
        }
        Verdict::Rejected => {
            let stroke = egui::Stroke::new(2.0, palette.error);
            painter.line_segment([at(0.15, 0.15), at(0.85, 0.85)], stroke);
            painter.line_segment([at(0.85, 0.15), at(0.15, 0.85)], stroke);
        }
    }
}

/// Who decided about a pick and when, for people.
pub(super) fn decided_by(state: &UiState, row: &crate::review::Row) -> Option<String> {
    let standing = *state.picks.view(row.tomogram)?.standings.get(row.index as usize)?;
    let label = standing.by?;
    let verb = match standing.verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::Open => return None,
    };
    Some(match state.review.log.of(label).filter(|decided| decided.decision.verdict == verb) {
        Some(decided) => {
            let when = decided.decision.when.get(..16).unwrap_or(&decided.decision.when).replace('T', " ");
            format!("{verb} by {} on {when} UTC", decided.decision.who)
        }
        None => format!("{verb} by a label"),
    })
}
