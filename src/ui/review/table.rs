//! The picks in a table; only the rows in sight are laid out.

use egui::{Align2, Button, FontId, Rect, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use super::List;
use super::area::{decided_by, paint_verdict};
use super::gallery::{follow, row_name};
use crate::review::{Column, Order};
use crate::ui::state::UiState;
use crate::ui::theme;

/// Height of a row.
const ROW: f32 = 21.0;

/// Left edges of the columns: number, class, score, tomogram, position, state, who; and the right edge.
fn edges(left: f32, width: f32) -> [f32; 8] {
    let flexible = (width - 52.0 - 60.0 - 130.0 - 86.0).max(160.0);
    let widths = [52.0, flexible * 0.28, 60.0, flexible * 0.3, 130.0, 86.0, flexible * 0.42];
    let mut edges = [left; 8];
    for (index, width) in widths.into_iter().enumerate() {
        edges[index + 1] = edges[index] + width;
    }
    edges
}

/// Draws the table.
pub(super) fn table_ui(ui: &mut Ui, state: &mut UiState, list: &List) {
    let width = ui.available_width() - ui.spacing().scroll.bar_width - 4.0;
    header_ui(ui, state, width);
    let count = list.rows.len();
    let mut area = ScrollArea::vertical().id_salt("table").auto_shrink(false);
    if let Some(offset) = follow(state, list, |at| at as f32 * ROW, ROW) {
        area = area.vertical_scroll_offset(offset);
    }
    let shown = area.show_viewport(ui, |ui, viewport| {
        ui.set_min_size(vec2(width, count as f32 * ROW));
        let origin = ui.max_rect().min;
        let first = (viewport.top() / ROW).max(0.0) as usize;
        let last = ((viewport.bottom() / ROW).ceil().max(0.0) as usize).min(count);
        for at in first..last {
            let rect = Rect::from_min_size(origin + vec2(0.0, at as f32 * ROW), vec2(width, ROW));
            row_ui(ui, state, list, at, rect);
        }
    });
    state.review.scroll = (shown.state.unclamped_offset().y, shown.inner_rect.height());
}

fn header_ui(ui: &mut Ui, state: &mut UiState, width: f32) {
    let palette = theme::palette(ui.visuals());
    let (rect, _) = ui.allocate_exact_size(vec2(width, ROW), Sense::hover());
    let edges = edges(rect.left(), width);
    let places = [(Column::Class, 1), (Column::Score, 2), (Column::Tomogram, 3), (Column::State, 5)];
    for (column, place) in places {
        let form = &mut state.review.form;
        let sorted = !form.uncertain && form.order.by == column;
        let colour = if sorted { palette.strong } else { palette.weak };
        let text = RichText::new(column.name()).color(colour).size(12.0);
        let cell = Rect::from_min_max(pos2(edges[place], rect.top()), pos2(edges[place + 1] - 4.0, rect.bottom()));
        let mut child =
            ui.new_child(egui::UiBuilder::new().max_rect(cell).layout(egui::Layout::left_to_right(egui::Align::Center)));
        let button =
            child.add(Button::new(text).frame(false)).accessible_name(format!("Sort by {}", column.name().to_lowercase()));
        if sorted {
            paint_arrow(ui.painter(), pos2(button.rect.right() + 6.0, rect.center().y), form.order.descending, colour);
        }
        if button.clicked() {
            // Scores are looked at from the best, the rest from the first.
            let first = column == Column::Score;
            let descending = if sorted { !form.order.descending } else { first };
            form.order = Order { by: column, descending };
            form.uncertain = false;
        }
    }
    let middle = rect.center().y;
    for (text, place) in [("x  y  z", 4), ("Decided", 6)] {
        let font = FontId::proportional(12.0);
        ui.painter().text(pos2(edges[place], middle), Align2::LEFT_CENTER, text, font, palette.weak);
    }
    ui.painter().hline(rect.x_range(), rect.bottom(), egui::Stroke::new(1.0, palette.line));
}

/// A triangle that points down where the largest come first, else up.
fn paint_arrow(painter: &egui::Painter, centre: egui::Pos2, descending: bool, colour: egui::Color32) {
    let tip = if descending { 3.0 } else { -3.0 };
    let points = vec![centre + vec2(0.0, tip), centre + vec2(-3.5, -tip), centre + vec2(3.5, -tip)];
    painter.add(egui::Shape::convex_polygon(points, colour, egui::Stroke::NONE));
}

fn row_ui(ui: &mut Ui, state: &mut UiState, list: &List, at: usize, rect: Rect) {
    let row = list.rows[at];
    let look = list.classes.get(usize::from(row.class));
    let response = ui.interact(rect, ui.scope_id().with(("row", at)), Sense::click());
    let under_review = state.picks.reviewed == Some((row.tomogram, row.index as usize));
    let name = row_name(state, &row, look, at);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, under_review, &name));
    if response.clicked() {
        state.review_go_to(row.tomogram, row.index as usize);
        state.review.follow = false;
    }
    let palette = theme::palette(ui.visuals());
    let painter = ui.painter();
    if under_review {
        painter.rect_filled(rect, 3.0, palette.selected);
    } else if response.hovered() {
        painter.rect_filled(rect, 3.0, palette.raised);
    }
    let edges = edges(rect.left(), rect.width());
    let middle = rect.center().y;
    let font = FontId::proportional(12.5);
    let cell = |place: usize, inset: f32, text: String, colour: egui::Color32| {
        let space = Rect::from_min_max(pos2(edges[place], rect.top()), pos2(edges[place + 1] - 6.0, rect.bottom()));
        let clipped = painter.with_clip_rect(space.intersect(painter.clip_rect()));
        clipped.text(pos2(edges[place] + inset, middle), Align2::LEFT_CENTER, text, font.clone(), colour);
    };
    cell(0, 6.0, (at + 1).to_string(), palette.weak);
    if let Some(look) = look {
        painter.circle_filled(pos2(edges[1] + 5.0, middle), 4.5, look.colour);
        let letter = look.letter.map_or_else(String::new, |letter| format!("{letter}  "));
        cell(1, 14.0, format!("{letter}{}", look.name), palette.text);
    }
    cell(2, 0.0, format!("{:.3}", row.score), palette.strong);
    cell(3, 0.0, state.document.name(row.tomogram), palette.text);
    if let Some(pick) = state.picks.set(row.tomogram).and_then(|set| set.picks.get(row.index as usize)) {
        let [z, y, x] = pick.position;
        cell(4, 0.0, format!("{x:.0}  {y:.0}  {z:.0}"), palette.weak);
    }
    let tick = Rect::from_center_size(pos2(edges[5] + 6.0, middle), vec2(10.0, 10.0));
    paint_verdict(painter, tick, row.verdict, palette);
    cell(5, 16.0, row.verdict.name().to_owned(), palette.text);
    if let Some(decided) = decided_by(state, &row) {
        let short = decided.split_once(" by ").map_or(decided.as_str(), |(_, rest)| rest).to_owned();
        cell(6, 0.0, short, palette.weak);
    }
}
