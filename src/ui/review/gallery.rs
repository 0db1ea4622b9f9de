//! Central sections of the picks, XY and XZ side by side; only those in sight are laid out and read.

use egui::{Align2, FontId, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::area::{decided_by, paint_verdict};
use super::thumbs::{Grey, Shown, ThumbKey};
use super::{ClassLook, List};
use crate::review::Row;
use crate::ui::state::{UiState, VolumeState};
use crate::ui::theme;

/// Between cards.
const GAP: f32 = 6.0;
/// Around the sections of a card.
const BORDER: f32 = 3.0;
/// The line of text below the sections.
const TEXT: f32 = 16.0;
/// Radii of the class that a section shows on either side of its middle.
const REACH: f64 = 1.8;

/// Draws the gallery.
pub(super) fn gallery_ui(ui: &mut Ui, state: &mut UiState, list: &List) {
    let size = state.review.form.size;
    let card = vec2(2.0 * size + 1.0 + 2.0 * BORDER, size + TEXT + 2.0 * BORDER);
    let width = ui.available_width() - ui.spacing().scroll.bar_width - 4.0;
    let columns = (((width + GAP) / (card.x + GAP)) as usize).max(1);
    let count = list.rows.len();
    let pitch = card.y + GAP;
    let rows = count.div_ceil(columns);
    let mut area = ScrollArea::vertical().id_salt("gallery").auto_shrink(false);
    if let Some(offset) = follow(state, list, |at| (at / columns) as f32 * pitch, pitch) {
        area = area.vertical_scroll_offset(offset);
    }
    let shown = area.show_viewport(ui, |ui, viewport| {
        ui.set_min_size(vec2(width, rows as f32 * pitch - GAP));
        let origin = ui.max_rect().min;
        let first = (viewport.top() / pitch).max(0.0) as usize;
        let last = ((viewport.bottom() / pitch).ceil().max(0.0) as usize).min(rows);
        for at in (first * columns)..(last * columns).min(count) {
            let min = origin + vec2((at % columns) as f32 * (card.x + GAP), (at / columns) as f32 * pitch);
            card_ui(ui, state, list, at, Rect::from_min_size(min, card));
        }
    });
    state.review.scroll = (shown.state.unclamped_offset().y, shown.inner_rect.height());
}

/// Where the list must be scrolled to so that the pick under review is in sight, when it has just been put under review.
pub(super) fn follow(state: &mut UiState, list: &List, top: impl Fn(usize) -> f32, height: f32) -> Option<f32> {
    if !std::mem::take(&mut state.review.follow) {
        return None;
    }
    let (tomogram, index) = state.picks.reviewed?;
    let at = list.rows.iter().position(|row| row.tomogram == tomogram && row.index as usize == index)?;
    let (offset, visible) = state.review.scroll;
    let top = top(at);
    let in_sight = top >= offset && top + height <= offset + visible;
    (!in_sight).then(|| (top - (visible - height) / 2.0).max(0.0))
}

/// What a pick is called.
pub(super) fn row_name(state: &UiState, row: &Row, look: Option<&ClassLook>, at: usize) -> String {
    let class = look.map_or("", |look| look.name.as_str());
    let tomogram = state.document.name(row.tomogram);
    format!("Pick {}: {class}, score {:.2}, {}, {tomogram}", at + 1, row.score, row.verdict.name())
}

fn card_ui(ui: &mut Ui, state: &mut UiState, list: &List, at: usize, rect: Rect) {
    let row = list.rows[at];
    let look = list.classes.get(usize::from(row.class));
    let id = ui.scope_id().with(("card", at));
    let response = ui.interact(rect, id, Sense::click());
    let under_review = state.picks.reviewed == Some((row.tomogram, row.index as usize));
    let name = row_name(state, &row, look, at);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, under_review, &name));
    if response.clicked() {
        state.review_go_to(row.tomogram, row.index as usize);
        state.review.follow = false;
    }
    let palette = theme::palette(ui.visuals());
    let painter = ui.painter();
    let fill = if under_review {
        palette.selected
    } else if response.hovered() {
        palette.raised
    } else {
        palette.sunken
    };
    painter.rect_filled(rect, 4.0, fill);
    let size = state.review.form.size;
    let xy = Rect::from_min_size(rect.min + vec2(BORDER, BORDER), vec2(size, size));
    let xz = xy.translate(vec2(size + 1.0, 0.0));
    sections(ui, state, &row, look, xy, xz);
    let painter = ui.painter();
    let colour = look.map_or(palette.weak, |look| look.colour);
    let stroke = Stroke::new(if under_review { 2.5 } else { 1.5 }, colour);
    painter.rect_stroke(rect.with_max_y(xy.bottom() + BORDER), 3.0, stroke, StrokeKind::Inside);
    if let Some(letter) = look.and_then(|look| look.letter) {
        let chip = Rect::from_min_size(xy.min, vec2(14.0, 14.0));
        painter.rect_filled(chip, 2.0, colour);
        painter.text(chip.center(), Align2::CENTER_CENTER, letter, FontId::proportional(10.5), theme::text_on(colour));
    }
    let line = rect.bottom() - BORDER - TEXT / 2.0 + 1.0;
    let font = FontId::proportional(11.5);
    let text = format!("{:.2}", row.score);
    let text = painter.text(pos2(rect.left() + BORDER + 2.0, line), Align2::LEFT_CENTER, text, font.clone(), palette.strong);
    let tick = Rect::from_center_size(pos2(rect.right() - BORDER - 8.0, line), vec2(10.0, 10.0));
    paint_verdict(painter, tick, row.verdict, palette);
    if state.review.form.all {
        let space = Rect::from_min_max(pos2(text.right() + 6.0, rect.top()), pos2(tick.left() - 4.0, rect.bottom()));
        let clipped = painter.with_clip_rect(space);
        let tomogram = state.document.name(row.tomogram);
        clipped.text(pos2(space.left(), line), Align2::LEFT_CENTER, tomogram, font, palette.weak);
    }
    if row.verdict == crate::review::Verdict::Rejected {
        painter.rect_filled(xy.union(xz), 0.0, theme::faded(palette.sunken, 0.45));
    }
    if response.hovered() {
        let decided = decided_by(state, &row).unwrap_or_else(|| "open".to_owned());
        response.on_hover_text(format!("{name}\nXY on the left, XZ on the right\n{decided}"));
    }
}

/// Draws both sections, or says why there are none yet.
fn sections(ui: &Ui, state: &mut UiState, row: &Row, look: Option<&ClassLook>, xy: Rect, xz: Rect) {
    let palette = theme::palette(ui.visuals());
    let both = xy.union(xz);
    let say = |text: &str| {
        let font = FontId::proportional(10.5);
        ui.painter().text(both.center(), Align2::CENTER_CENTER, text, font, palette.weak);
    };
    let Some(VolumeState::Open(volume)) = state.volumes.get(&row.tomogram) else {
        say(match state.volumes.get(&row.tomogram) {
            Some(VolumeState::Failed(_)) => "cannot be read",
            _ => "opening…",
        });
        return;
    };
    let contrast = volume.contrast;
    let Some(pick) = state.picks.set(row.tomogram).and_then(|set| set.picks.get(row.index as usize)) else {
        return;
    };
    let radius = look.map_or(50.0, |look| look.radius_angstrom);
    let half = (REACH * state.radius_voxels(row.tomogram, radius)).ceil().clamp(5.0, 400.0) as usize;
    let centre = pick.position.map(|coordinate| coordinate.round() as i64);
    let key =
        ThumbKey { cache: state.review.thumbs.serial(), tomogram: row.tomogram, centre, half, slab: state.review.form.slab };
    let grey = Grey { contrast, invert: state.display.invert, smooth: state.display.smooth };
    match state.review.thumbs.get(ui.ctx(), key, grey) {
        Shown::Texture(texture) => {
            // Half a texel from the seam, so that the sections do not run into each other.
            let inset = 0.5 / texture.size()[0].max(1) as f32;
            let uv = |from: f32, to: f32| Rect::from_min_max(pos2(from, 0.0), pos2(to, 1.0));
            ui.painter().image(texture.id(), xy, uv(0.0, 0.5 - inset), theme::UNTINTED);
            ui.painter().image(texture.id(), xz, uv(0.5 + inset, 1.0), theme::UNTINTED);
        }
        Shown::Waiting => say("…"),
        Shown::Failed => say("cannot be read"),
    }
}
