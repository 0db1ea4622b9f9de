//! Comparing two sets: what to compare, the scores, and the differences, each linked to the views.

use egui::{
    Align2, Button, ComboBox, FontId, Grid, Rect, RichText, Role, ScrollArea, Sense, TextEdit, Ui, WidgetInfo, pos2, vec2,
};

use super::compare::Side;
use super::jobs::Job;
use crate::review::{Finding, PickRecord};
use crate::score::Counts;
use crate::ui::panels::hint;
use crate::ui::state::{Action, UiState};
use crate::ui::theme;

/// Height of a row of the list of differences.
const ROW: f32 = 20.0;

/// Draws the tab.
pub(super) fn compare_ui(ui: &mut Ui, state: &mut UiState) {
    state.refresh_comparison();
    ui.horizontal_wrapped(|ui| sides_ui(ui, state));
    ui.add_space(2.0);
    if state.review.compare.results().next().is_none() {
        nothing_ui(ui, state);
        return;
    }
    let height = ui.available_height();
    ui.horizontal_top(|ui| {
        let width = (ui.available_width() * 0.58).clamp(300.0, 560.0);
        ui.allocate_ui(vec2(width, height), |ui| {
            ScrollArea::both().id_salt("scores").auto_shrink(false).show(ui, |ui| {
                ui.vertical(|ui| {
                    scores_ui(ui, state);
                    sets_ui(ui, state);
                });
            });
        });
        ui.separator();
        ui.vertical(|ui| differences_ui(ui, state));
    });
}

fn side_ui(ui: &mut Ui, state: &mut UiState, name: &str, reference: bool) {
    let sides = state.sides();
    let compare = &mut state.review.compare;
    let side = if reference { &mut compare.reference } else { &mut compare.candidates };
    let text = sides.iter().find(|(other, _)| other == side).map_or("gone", |(_, name)| name.as_str());
    let label = ui.label(if reference { "Reference" } else { "compared with" });
    let combo = ComboBox::from_id_salt(name).width(150.0).truncate().selected_text(text).show_ui(ui, |ui| {
        for (other, name) in &sides {
            ui.selectable_value(side, *other, name);
        }
    });
    combo.response.labelled_by(label.id).accessible_name(name);
}

fn sides_ui(ui: &mut Ui, state: &mut UiState) {
    side_ui(ui, state, "Reference of the comparison", true);
    side_ui(ui, state, "Set that is compared", false);
    let limits = state.limits_to_complete();
    let compare = &mut state.review.compare;
    if limits {
        let check = ui.checkbox(&mut compare.only_complete, "In complete regions");
        check.on_hover_text("Outside complete regions a particle without a label would count as a mistake");
    }
    ui.checkbox(&mut compare.in_views, "Show in the views").on_hover_text("Draw the findings instead of picks and labels");
    ui.menu_button("With a file…", |ui| {
        ui.set_min_width(260.0);
        hint(ui, "Positions in any form that can be imported; they are compared, not added as labels");
        let field = TextEdit::singleline(&mut state.review.compare.path_field).hint_text("path of the file").desired_width(240.0);
        ui.add(field).accessible_name("Path of the file to compare with");
        ui.horizontal(|ui| {
            let path = state.review.compare.path_field.trim().to_owned();
            if ui.add_enabled(!path.is_empty(), Button::new("Compare with it")).clicked() {
                state.review.jobs.push(Job::Positions(path.into()));
                ui.close();
            }
            if ui.button("Choose…").clicked() {
                state.request(Action::CompareDialog);
                ui.close();
            }
        });
    });
}

fn nothing_ui(ui: &mut Ui, state: &mut UiState) {
    let compare = &state.review.compare;
    let reading = [compare.reference, compare.candidates]
        .into_iter()
        .any(|side| matches!(side, Side::Kept(id) if !state.review.loaded.contains_key(&id)));
    let text = if reading {
        "Reading the picks…"
    } else if compare.reference == compare.candidates {
        "Choose two different sets"
    } else if state.picks.is_empty() && state.review.kept.is_empty() {
        "Nothing to compare yet: pick tomograms with a model; the picks of every model are kept with the project"
    } else if !compare.left_out.is_empty() && compare.only_complete && state.limits_to_complete() {
        "No picks in a tomogram with a complete region: pick one of these, or compare outside complete regions too"
    } else {
        "No tomogram of which both sets speak: label or pick the same one, or choose other sets"
    };
    ui.add_space(8.0);
    hint(ui, text);
    sets_ui(ui, state);
}

/// A table of what was found, by class.
fn scores_ui(ui: &mut Ui, state: &UiState) {
    let palette = theme::palette(ui.visuals());
    let compare = &state.review.compare;
    let sum: Counts = compare.totals.iter().copied().sum();
    let strong = |text: String| RichText::new(text).color(palette.strong);
    Grid::new("scores").num_columns(7).striped(true).spacing(vec2(14.0, 3.0)).show(ui, |ui| {
        ui.label("");
        for finding in Finding::ALL {
            let mark = RichText::new(finding.name()).color(mark_colour(ui, finding));
            ui.label(mark).on_hover_text(match finding {
                Finding::Matched => "In both sets, within half the radius",
                Finding::Missed => "In the reference alone",
                Finding::Extra => "In the other set alone",
            });
        }
        for head in ["precision", "recall", "F1"] {
            ui.colored_label(palette.weak, head);
        }
        ui.end_row();
        let row = |ui: &mut Ui, name: String, counts: &Counts| {
            ui.label(name);
            for count in [counts.true_positive, counts.false_negative, counts.false_positive] {
                ui.label(strong(count.to_string()));
            }
            for ratio in [counts.precision(), counts.recall()] {
                ui.label(format!("{ratio:.3}"));
            }
            ui.label(strong(format!("{:.3}", counts.f_beta(1.0))));
            ui.end_row();
        };
        for (class, counts) in compare.classes.iter().zip(&compare.totals) {
            if *counts != Counts::default() {
                row(ui, class.name.clone(), counts);
            }
        }
        if compare.totals.iter().filter(|counts| **counts != Counts::default()).count() != 1 {
            row(ui, "all".to_owned(), &sum);
        }
    });
    let labels = [compare.reference, compare.candidates].contains(&Side::Labels);
    if labels && !state.limits_to_complete() {
        hint(ui, "The labels are taken for all there is: mark complete regions to compare only where they are");
    }
    if let Some(file) = &compare.file
        && !file.left_out.is_empty()
    {
        hint(ui, &format!("Left out of the file: {}", file.left_out.join("; ")));
    }
    if !compare.left_out.is_empty() {
        let names = compare.left_out.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        let more = if compare.left_out.len() > 4 { format!(" and {} more", compare.left_out.len() - 4) } else { String::new() };
        hint(ui, &format!("Left out, because one set says nothing of them: {names}{more}"));
    }
}

/// A finding's colour where it is legible as text.
fn mark_colour(ui: &Ui, finding: Finding) -> egui::Color32 {
    if ui.visuals().dark_mode { theme::finding_colour(finding) } else { theme::palette(ui.visuals()).strong }
}

/// The sets that the project keeps, with what made them.
fn sets_ui(ui: &mut Ui, state: &mut UiState) {
    if state.review.kept.is_empty() {
        return;
    }
    let palette = theme::palette(ui.visuals());
    ui.add_space(8.0);
    ui.label(RichText::new("Sets of picks in the project").color(palette.strong).strong());
    let records: Vec<PickRecord> = state.review.kept.clone();
    for record in records.iter().rev() {
        ui.horizontal(|ui| {
            let shown = state.review.form.set == Some(record.id);
            super::super::panels::dot(ui, if shown { palette.accent } else { palette.weak }, shown);
            ui.label(record.title()).on_hover_text(story(state, record));
            ui.colored_label(palette.weak, format!("{} picks", record.picks));
            let show = ui.add_enabled(!shown, Button::new("Show").small());
            let show = show.accessible_name(format!("Show set {}", record.id));
            if show.on_hover_text("Its picks become those on the screen").clicked() {
                state.read_kept(record.id, true);
            }
            let sure = state.review.removing == Some(record.id);
            let text = if sure { "Remove for good" } else { "Remove" };
            let remove = ui.add(Button::new(text).small()).accessible_name(format!("{text}: set {}", record.id));
            if remove.on_hover_text("Its file goes away; labels stay").clicked() {
                if sure {
                    let folder = state.document.folder().to_owned();
                    state.review.jobs.push(Job::Remove { folder, id: record.id });
                    state.review.removing = None;
                } else {
                    state.review.removing = Some(record.id);
                }
            }
        });
    }
}

/// What made a set, for people.
fn story(state: &UiState, record: &PickRecord) -> String {
    let mut lines = vec![format!("Model: {}", record.model.title())];
    lines.extend(record.model.path.as_ref().map(|path| format!("File: {}", path.display())));
    lines.extend(record.model.fingerprint.as_ref().map(|print| format!("Its content: {print}")));
    lines.extend(record.model.trained.as_ref().map(|when| format!("Trained in this project, begun {when}")));
    lines.push(format!("Made by {} with version {}, last written {}", record.who, record.program, record.written));
    for (class, (threshold, suggested)) in record.classes.iter().zip(record.thresholds.iter().zip(&record.suggested)) {
        lines.push(format!("{}: threshold {threshold:.2}, suggested {suggested:.2}", class.name));
    }
    let decisions = state.review.log.decisions().iter().filter(|decision| decision.set == Some(record.id));
    let decided: usize = decisions.map(|decision| decision.picks.len()).sum();
    lines.push(format!("{} tomograms; {decided} decisions about its picks", record.tomograms.len()));
    lines.join("\n")
}

fn differences_ui(ui: &mut Ui, state: &mut UiState) {
    let palette = theme::palette(ui.visuals());
    ui.horizontal(|ui| {
        for finding in [Finding::Missed, Finding::Extra, Finding::Matched] {
            let listed = state.review.compare.listed == finding;
            let name = format!("List {}", finding.name());
            if ui.selectable_label(listed, finding.name()).accessible_name(name).clicked() {
                state.review.compare.listed = finding;
            }
        }
    });
    state.refresh_comparison();
    let rows = state.review.compare.rows.clone();
    if rows.is_empty() {
        hint(ui, &format!("No position is {}", state.review.compare.listed.name()));
        return;
    }
    let width = ui.available_width() - ui.spacing().scroll.bar_width - 4.0;
    let mut chosen = None;
    ScrollArea::vertical().id_salt("differences").auto_shrink(false).show_viewport(ui, |ui, viewport| {
        ui.set_min_size(vec2(width, rows.len() as f32 * ROW));
        let origin = ui.max_rect().min;
        let first = (viewport.top() / ROW).max(0.0) as usize;
        let last = ((viewport.bottom() / ROW).ceil().max(0.0) as usize).min(rows.len());
        for at in first..last {
            let row = rows[at];
            let rect = Rect::from_min_size(origin + vec2(0.0, at as f32 * ROW), vec2(width, ROW));
            let response = ui.interact(rect, ui.scope_id().with(("difference", at)), Sense::click());
            let [z, y, x] = row.spot.position;
            let class = state.review.compare.classes.get(row.spot.class).map_or("", |class| class.name.as_str());
            let tomogram = state.document.name(row.tomogram);
            let name = format!("{} {}: {class} at {x:.0} {y:.0} {z:.0}, {tomogram}", row.spot.finding.name(), at + 1);
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
            if response.clicked() {
                chosen = Some(row);
            }
            let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
            if response.hovered() {
                painter.rect_filled(rect, 3.0, palette.raised);
            }
            let font = FontId::proportional(12.0);
            let middle = rect.center().y;
            painter.circle_filled(pos2(rect.left() + 6.0, middle), 4.0, theme::finding_colour(row.spot.finding));
            painter.text(pos2(rect.left() + 16.0, middle), Align2::LEFT_CENTER, class, font.clone(), palette.text);
            let place = format!("{x:.0}  {y:.0}  {z:.0}");
            let at_x = rect.left() + width * 0.42;
            painter.rect_filled(
                Rect::from_min_max(pos2(at_x - 4.0, rect.top()), rect.max),
                0.0,
                if response.hovered() { palette.raised } else { palette.panel },
            );
            painter.text(pos2(at_x, middle), Align2::LEFT_CENTER, place, font.clone(), palette.weak);
            painter.text(pos2(rect.left() + width * 0.7, middle), Align2::LEFT_CENTER, tomogram, font, palette.weak);
        }
    });
    if let Some(row) = chosen {
        state.go_to_position(row.tomogram, row.spot.position);
    }
}
