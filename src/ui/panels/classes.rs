//! Classes: what is to be picked.

use egui::{Button, Color32, DragValue, Grid, RichText, Sense, TextEdit, Ui, vec2};

use crate::labels::{Class, ClassId, Edit, PointKind, cue, default_colour};
use crate::ui::state::UiState;
use crate::ui::theme;

/// Radii that can be given, in angstrom.
pub(super) const RADII: std::ops::RangeInclusive<f64> = 1.0..=5000.0;

/// Draws the classes with their counts, and the form for a new one.
pub fn classes_ui(ui: &mut Ui, state: &mut UiState) {
    super::section(ui, "Classes", |ui| {
        let classes = state.document.annotations().classes.clone();
        if classes.is_empty() {
            super::hint(ui, "Name what you want to pick and give its radius; then click on particles in the views");
        } else {
            let in_all = state.tally.all().clone();
            let here = state.current.map(|id| state.tally.of_tomogram(id)).unwrap_or_default();
            Grid::new("classes").num_columns(5).spacing(vec2(6.0, 4.0)).min_col_width(0.0).show(ui, |ui| {
                for (index, class) in classes.iter().enumerate() {
                    let counts = (here.particles.get(index).copied(), in_all.particles.get(index).copied());
                    class_row(ui, state, index, class, (counts.0.unwrap_or(0), counts.1.unwrap_or(0)));
                    ui.end_row();
                }
                negative_row(ui, state, (here.negatives, in_all.negatives));
                ui.end_row();
            });
        }
        ui.add_space(4.0);
        new_class_ui(ui, state);
        remove_form(ui, state);
    });
}

fn chooser(ui: &mut Ui, chosen: bool, name: &str, colour: Option<Color32>, letter: &str, key: &str) -> egui::Response {
    let palette = theme::palette(ui.visuals());
    let width = 128.0;
    let (rect, response) = ui.allocate_exact_size(vec2(width, 24.0), Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::RadioButton, true, chosen, name));
    let fill = if chosen {
        palette.selected
    } else if response.hovered() {
        palette.raised
    } else {
        Color32::TRANSPARENT
    };
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 4.0, fill);
    let disc = rect.left_center() + vec2(13.0, 0.0);
    let font = egui::FontId::proportional(11.0);
    match colour {
        Some(colour) => {
            painter.circle_filled(disc, 8.0, colour);
            painter.text(disc, egui::Align2::CENTER_CENTER, letter, font, theme::text_on(colour));
        }
        None => {
            painter.circle_stroke(disc, 7.0, egui::Stroke::new(1.5, palette.text));
            for side in [-1.0, 1.0] {
                let arm = vec2(4.5, 4.5 * side);
                painter.line_segment([disc - arm, disc + arm], egui::Stroke::new(1.5, palette.text));
            }
        }
    }
    let colour = if chosen { palette.strong } else { palette.text };
    let text = egui::WidgetText::from(RichText::new(name).color(colour));
    let galley = text.into_galley(ui, Some(egui::TextWrapMode::Truncate), width - 46.0, egui::TextStyle::Body);
    let at = rect.left_center() + vec2(27.0, -galley.size().y / 2.0);
    painter.galley(at, galley, colour);
    let small = egui::FontId::proportional(10.0);
    painter.text(rect.right_center() - vec2(5.0, 0.0), egui::Align2::RIGHT_CENTER, key, small, palette.weak);
    response
}

fn class_row(ui: &mut Ui, state: &mut UiState, index: usize, class: &Class, (here, in_all): (usize, usize)) {
    let kind = PointKind::Particle(class.id);
    let chosen = state.kind == Some(kind);
    if let Some((id, name)) = &mut state.class_name_field
        && *id == class.id
    {
        let field = TextEdit::singleline(name).desired_width(112.0);
        let response = ui.add(field).accessible_name(format!("New name of {}", class.name));
        if response.lost_focus() {
            let name = name.trim().to_owned();
            state.class_name_field = None;
            if name != class.name && !name.is_empty() && !ui.input(|input| input.key_pressed(egui::Key::Escape)) {
                change(state, class, Class { name, ..class.clone() });
            }
        } else {
            response.request_focus();
        }
    } else {
        let key = if index < 9 { (index + 1).to_string() } else { String::new() };
        let colour = theme::class_colour(class.colour);
        let response = chooser(ui, chosen, &class.name, Some(colour), &cue(index).to_string(), &key);
        let response = response.on_hover_text("Click to label with this class; double click to rename");
        if response.double_clicked() {
            state.class_name_field = Some((class.id, class.name.clone()));
        } else if response.clicked() {
            state.kind = Some(kind);
        }
    }
    let mut radius = class.radius_angstrom;
    let field = DragValue::new(&mut radius).range(RADII).speed(1.0).suffix(" Å").max_decimals(1).update_while_editing(false);
    let response = ui.add(field).accessible_name(format!("Radius of {}", class.name));
    let response = response.on_hover_text("Radius of the particle in angstrom");
    if response.changed() && radius != class.radius_angstrom {
        change(state, class, Class { radius_angstrom: radius, ..class.clone() });
    }
    let mut colour = class.colour;
    let button = ui.scope(|ui| {
        ui.spacing_mut().interact_size = vec2(24.0, 18.0);
        ui.color_edit_button_srgb(&mut colour)
    });
    let response = button.inner.accessible_name(format!("Colour of {}", class.name));
    if response.changed() && colour != class.colour {
        change(state, class, Class { colour, ..class.clone() });
    }
    ui.label(format!("{here} / {in_all}")).on_hover_text("Labels in this tomogram, and in all");
    let remove = ui.add(Button::new("×").frame(false)).accessible_name(format!("Remove class {}", class.name));
    if remove.on_hover_text("Remove the class with its labels").clicked() {
        if in_all == 0 {
            remove_class(state, class.id);
        } else {
            state.forms.remove_class = Some(class.id);
        }
    }
}

fn negative_row(ui: &mut Ui, state: &mut UiState, (here, in_all): (usize, usize)) {
    let chosen = state.kind == Some(PointKind::Negative);
    let response = chooser(ui, chosen, "Not a particle", None, "", "N");
    if response.on_hover_text("Click to say that nothing is at a place").clicked() {
        state.kind = Some(PointKind::Negative);
    }
    ui.label("");
    ui.label("");
    ui.label(format!("{here} / {in_all}")).on_hover_text("Negatives in this tomogram, and in all");
    ui.label("");
}

/// Changes a class. Successive changes of a dragged value are one edit each: undo steps back through them.
fn change(state: &mut UiState, from: &Class, to: Class) {
    state.perform(Edit::ChangeClass { from: from.clone(), to });
}

fn remove_class(state: &mut UiState, id: ClassId) {
    if let Some(edit) = state.document.annotations().remove_class_edit(id) {
        state.perform(edit);
    }
}

fn new_class_ui(ui: &mut Ui, state: &mut UiState) {
    ui.horizontal(|ui| {
        let field = TextEdit::singleline(&mut state.new_class.0).hint_text("New class").desired_width(112.0);
        let response = ui.add(field).accessible_name("Name of a new class");
        let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let radius = DragValue::new(&mut state.new_class.1).range(RADII).speed(1.0).suffix(" Å").max_decimals(1);
        ui.add(radius).accessible_name("Radius of a new class").on_hover_text("Radius of the particle in angstrom");
        let name = state.new_class.0.trim().to_owned();
        let add = ui.add_enabled(!name.is_empty(), Button::new("Add class"));
        if (entered || add.clicked()) && !name.is_empty() {
            let index = state.document.annotations().classes.len();
            let id = state.document.new_class_id();
            let class = Class { id, name, radius_angstrom: state.new_class.1, colour: default_colour(index) };
            if state.perform(Edit::AddClass { index, class }) {
                state.new_class.0.clear();
                state.kind = Some(PointKind::Particle(id));
            }
        }
    });
}

fn remove_form(ui: &mut Ui, state: &mut UiState) {
    let Some(id) = state.forms.remove_class else {
        return;
    };
    let Some(class) = state.document.annotations().class(id).cloned() else {
        state.forms.remove_class = None;
        return;
    };
    let palette = theme::palette(ui.visuals());
    egui::Frame::group(ui.style()).fill(palette.warning_surface).show(ui, |ui| {
        let labels = state.document.annotations().count(id);
        ui.label(format!("Remove {} and its {labels} labels? Undo brings them back", class.name));
        ui.horizontal(|ui| {
            if ui.button("Remove").clicked() {
                remove_class(state, id);
                state.forms.remove_class = None;
            }
            if ui.button("Keep").clicked() {
                state.forms.remove_class = None;
            }
        });
    });
}
