//! What is drawn on top of a slice: markers, complete regions, the crosshair, a scale bar.

use egui::{Align2, Color32, FontId, Pos2, Rect, Shape, Stroke, StrokeKind, pos2, vec2};

use crate::geometry::VoxelBox;
use crate::labels::{ItemId, PointKind, TomogramId};
use crate::render::view::AXIS_NAMES;
use crate::render::{Marker, MarkerStyle, Plane, View, section_radius};
use crate::review::{Finding, Spot};
use crate::ui::picks::project_class;
use crate::ui::spots::{SpotOf, Spots};
use crate::ui::state::{Drag, UiState};
use crate::ui::theme;

/// Spots near a slice above which only those whose spheres reach it are drawn: the dots of all others would only be a haze.
const MOST_WITH_DOTS: usize = 4000;
/// Letters in a view at most; more could not be read.
const MOST_CUES: usize = 400;

/// Where a pane is and what it shows.
#[derive(Clone, Copy)]
pub struct Frame {
    /// The plane.
    pub plane: Plane,
    /// The pane on the screen.
    pub rect: Rect,
    /// Where it looks.
    pub view: View,
    /// Voxel index of the slice that is shown.
    pub depth: usize,
    /// Voxels of the tomogram, `(z, y, x)`.
    pub shape: [usize; 3],
    /// Physical pixels per screen point.
    pub pixels_per_point: f32,
}

impl Frame {
    fn screen(&self, index: [f64; 3]) -> Pos2 {
        self.view.screen_from_image(self.rect, self.plane.image_from_index(index))
    }

    /// A marker unless it lies out of sight. `radius` in screen points.
    fn marker(&self, centre: Pos2, radius: f32, width: f32, style: MarkerStyle, colour: [f32; 4]) -> Option<Marker> {
        if !self.rect.expand(radius + 4.0).contains(centre) {
            return None;
        }
        let offset = centre - self.rect.min;
        let scale = self.pixels_per_point;
        Some(Marker {
            shape: [offset.x * scale, offset.y * scale, radius * scale, width * scale],
            colour,
            style: f32::from(style as u8),
        })
    }

    /// The section of a sphere of `radius` voxels, or a faint dot within twice the radius beyond it.
    fn section(&self, index: [f64; 3], radius: f64, line: (f32, MarkerStyle), colour: Color32) -> Option<Marker> {
        self.section_or_dot(index, radius, line, (colour, 1.0), true)
    }

    /// As [`Frame::section`], with an opacity, and without the dot where `dots` are not wanted.
    fn section_or_dot(
        &self,
        index: [f64; 3],
        radius: f64,
        (width, style): (f32, MarkerStyle),
        (colour, opacity): (Color32, f32),
        dots: bool,
    ) -> Option<Marker> {
        let away = (index[self.plane.depth()] - self.depth as f64).abs();
        let centre = self.screen(index);
        match section_radius(radius, away) {
            Some(section) => {
                let points = ((section * self.view.points_per_voxel) as f32).max(2.5);
                self.marker(centre, points, width, style, theme::marker_colour(colour, opacity))
            }
            None => {
                let fade = 1.0 - (away - radius) / (2.0 * radius);
                if fade <= 0.0 || !dots {
                    return None;
                }
                let faint = (0.55 * fade as f32 + 0.1) * opacity;
                self.marker(centre, 1.6, 0.0, MarkerStyle::Dot, theme::marker_colour(colour, faint))
            }
        }
    }
}

/// A class's letter beside a marker: the second cue besides its colour.
pub struct Cue {
    at: Pos2,
    letter: char,
    colour: Color32,
}

/// Radius in voxels and colour of a kind of point.
fn look(state: &UiState, tomogram: TomogramId, kind: PointKind) -> (f64, Color32) {
    match kind {
        PointKind::Negative => (state.negative_radius(tomogram), theme::NEGATIVE),
        PointKind::Particle(id) => state.document.annotations().class(id).map_or((5.0, theme::NEGATIVE), |class| {
            (state.radius_voxels(tomogram, class.radius_angstrom), theme::class_colour(class.colour))
        }),
    }
}

/// The markers of a pane, picks below labels. `cursor` is where a click would add a point, `moved` where a dragged point is.
pub fn markers(
    state: &UiState,
    spots: &Spots,
    tomogram: TomogramId,
    frame: &Frame,
    cursor: Option<[f64; 3]>,
    moved: Option<[f64; 3]>,
) -> (Vec<Marker>, Vec<Cue>) {
    let depth = frame.depth as f64;
    let plane = frame.plane;
    let (one, three) = (spots.largest_radius, 3.0 * spots.largest_radius);
    let dots = spots.count_within(plane, depth - three, depth + three) <= MOST_WITH_DOTS;
    let reach = if dots { three } else { one };
    let dragged = dragged_point(state);
    let mut markers = Vec::new();
    let mut labels = Vec::new();
    let mut cues = Vec::new();
    for spot in spots.within(plane, depth - reach, depth + reach) {
        let mut spot = *spot;
        let mut is_chosen = false;
        match spot.of {
            SpotOf::Label(id) => {
                if let (Some(moved), true) = (moved, dragged == Some(id)) {
                    spot.position = moved;
                }
                is_chosen = state.selection.contains(&id);
            }
            SpotOf::Pick(_) => {}
        }
        let line = (spot.width, spot.style);
        let Some(marker) = frame.section_or_dot(spot.position, spot.radius, line, (spot.colour, spot.opacity), dots) else {
            continue;
        };
        let into = if matches!(spot.of, SpotOf::Label(_)) { &mut labels } else { &mut markers };
        into.push(marker);
        let section = marker.shape[2] / frame.pixels_per_point;
        if is_chosen {
            let centre = frame.screen(spot.position);
            let colour = theme::marker_colour(theme::REVIEWED, 1.0);
            into.extend(frame.marker(centre, section * 1.12 + 2.5, 1.6, MarkerStyle::Ring, colour));
        }
        if let Some(letter) = spot.letter
            && section >= 6.0
            && cues.len() < MOST_CUES
        {
            let at = frame.screen(spot.position) + vec2(1.0, -1.0) * (section * 0.72 + 5.0);
            cues.push(Cue { at, letter, colour: theme::faded(spot.colour, spot.opacity) });
        }
    }
    if state.review.compare.in_views {
        markers.extend(findings(state, tomogram, frame));
    }
    markers.extend(reviewed(state, tomogram, frame));
    markers.append(&mut labels);
    for click in state.snapping.iter().filter(|click| click.tomogram == tomogram) {
        markers.extend(outline(state, tomogram, frame, click.position, click.kind, 0.7));
    }
    if let (Some(position), Some(kind)) = (cursor, state.kind) {
        markers.extend(outline(state, tomogram, frame, position, kind, 0.45));
    }
    (markers, cues)
}

/// The ring around the pick under review.
fn reviewed(state: &UiState, tomogram: TomogramId, frame: &Frame) -> Option<Marker> {
    let set = state.picks.set(tomogram).filter(|_| state.display.picks && !state.review.compare.in_views)?;
    let (_, index) = state.picks.reviewed.filter(|(under_review, _)| *under_review == tomogram)?;
    let pick = set.picks.get(index)?;
    let class = set.classes.get(pick.class)?;
    let own = project_class(state.document.annotations(), class).unwrap_or(class);
    let radius = state.radius_voxels(tomogram, own.radius_angstrom) * 1.25;
    frame.section(pick.position, radius, (1.6, MarkerStyle::Ring), theme::REVIEWED)
}

/// The label that is being dragged in any view.
fn dragged_point(state: &UiState) -> Option<ItemId> {
    state.panes.iter().find_map(|pane| match pane.drag {
        Some(Drag::Point(point)) => Some(point.id),
        _ => None,
    })
}

/// A point that is not there yet.
fn outline(
    state: &UiState,
    tomogram: TomogramId,
    frame: &Frame,
    position: [f64; 3],
    kind: PointKind,
    opacity: f32,
) -> Option<Marker> {
    let (radius, colour) = look(state, tomogram, kind);
    let style = if kind == PointKind::Negative { MarkerStyle::Crossed } else { MarkerStyle::Ring };
    let points = ((radius * frame.view.points_per_voxel) as f32).max(2.5);
    frame.marker(frame.screen(position), points, 1.2, style, theme::marker_colour(colour, opacity))
}

/// Draws the rectangle that chooses labels.
pub fn paint_selection(painter: &egui::Painter, rect: Rect) {
    painter.rect_filled(rect, 0.0, theme::SELECTION_FILL);
    painter.rect_stroke(rect, 0.0, Stroke::new(1.0, theme::ON_SLICE), StrokeKind::Inside);
}

/// What comparing two sets has found: matched as rings, missed dashed, extra crossed.
fn findings(state: &UiState, tomogram: TomogramId, frame: &Frame) -> Vec<Marker> {
    let compare = &state.review.compare;
    let marker = |spot: &Spot| {
        let radius = state.radius_voxels(tomogram, compare.classes.get(spot.class).map_or(50.0, |class| class.radius_angstrom));
        let style = match spot.finding {
            Finding::Matched => MarkerStyle::Ring,
            Finding::Missed => MarkerStyle::Dashed,
            Finding::Extra => MarkerStyle::Crossed,
        };
        frame.section(spot.position, radius, (1.7, style), theme::finding_colour(spot.finding))
    };
    compare.spots(tomogram).iter().filter_map(marker).collect()
}

/// Draws the box outside which picks are hidden.
fn paint_mask(painter: &egui::Painter, state: &UiState, tomogram: TomogramId, frame: &Frame) {
    let Some(mask) = state.picks.mask(tomogram).filter(|_| state.display.picks) else {
        return;
    };
    let (across, down) = (frame.plane.horizontal(), frame.plane.vertical());
    let corner = |corner: [usize; 3]| frame.view.screen_from_image(frame.rect, [corner[across] as f64, corner[down] as f64]);
    let rect = Rect::from_two_pos(corner(mask.start), corner(mask.end));
    let path = [rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom(), rect.left_top()];
    painter.extend(Shape::dashed_line(&path, Stroke::new(1.5, theme::MASK), 8.0, 5.0));
    if rect.width() > 110.0 && rect.height() > 24.0 {
        let at = rect.right_top() + vec2(-4.0, 3.0);
        text_with_halo(painter, at, Align2::RIGHT_TOP, "picks only in here", FontId::proportional(11.0), theme::MASK);
    }
}

/// Text that stays legible on any grey.
fn text_with_halo(painter: &egui::Painter, at: Pos2, align: Align2, text: &str, font: FontId, colour: Color32) -> Rect {
    for offset in [vec2(-1.0, 0.0), vec2(1.0, 0.0), vec2(0.0, -1.0), vec2(0.0, 1.0)] {
        painter.text(at + offset, align, text, font.clone(), theme::HALO);
    }
    painter.text(at, align, text, font, colour)
}

/// Text on a dark chip, for what must be read at any time.
pub fn text_on_chip(painter: &egui::Painter, at: Pos2, align: Align2, text: &str, size: f32) {
    let galley = painter.layout_no_wrap(text.to_owned(), FontId::proportional(size), theme::ON_SLICE);
    let rect = align.anchor_size(at, galley.size() + vec2(8.0, 4.0));
    painter.rect_filled(rect, 3.0, theme::CHIP);
    painter.galley(rect.min + vec2(4.0, 2.0), galley, theme::ON_SLICE);
}

/// Draws the letters.
pub fn paint_cues(painter: &egui::Painter, cues: &[Cue]) {
    for Cue { at, letter, colour } in cues {
        text_with_halo(painter, *at, Align2::CENTER_CENTER, &letter.to_string(), FontId::proportional(11.0), *colour);
    }
}

/// Draws complete regions: solid on their slices, dashed and faint on others. `drawn` is one being drawn or changed, the latter with
/// the identity of the region that it was.
pub fn paint_regions(
    painter: &egui::Painter,
    state: &UiState,
    tomogram: TomogramId,
    frame: &Frame,
    drawn: Option<(Option<ItemId>, VoxelBox)>,
) {
    paint_mask(painter, state, tomogram, frame);
    let regions = state.document.annotations().labels(tomogram).into_iter().flat_map(|labels| labels.regions.values());
    let changed = drawn.and_then(|(id, _)| id);
    let regions = regions.filter(|region| Some(region.id) != changed);
    let boxes = regions.map(|region| (region.voxels, false)).chain(drawn.map(|(_, voxels)| (voxels, true)));
    for (voxels, is_new) in boxes {
        let (across, down, deep) = (frame.plane.horizontal(), frame.plane.vertical(), frame.plane.depth());
        let corner = |corner: [usize; 3]| frame.view.screen_from_image(frame.rect, [corner[across] as f64, corner[down] as f64]);
        let rect = Rect::from_two_pos(corner(voxels.start), corner(voxels.end)).shrink(1.0);
        let inside = (voxels.start[deep]..voxels.end[deep]).contains(&frame.depth);
        if inside || is_new {
            painter.rect_stroke(rect, 0.0, Stroke::new(1.5, theme::REGION), StrokeKind::Inside);
        } else {
            let path = [rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom(), rect.left_top()];
            let stroke = Stroke::new(1.0, theme::faded(theme::REGION, 0.5));
            painter.extend(Shape::dashed_line(&path, stroke, 4.0, 4.0));
        }
        if inside && !is_new && rect.width() > 70.0 && rect.height() > 24.0 {
            let at = rect.right_bottom() - vec2(4.0, 3.0);
            text_with_halo(painter, at, Align2::RIGHT_BOTTOM, "complete", FontId::proportional(11.0), theme::REGION);
        }
    }
}

/// Draws the crosshair, leaving the place itself free.
pub fn paint_crosshair(painter: &egui::Painter, crosshair: [usize; 3], frame: &Frame) {
    let centre = frame.screen(crosshair.map(|n| n as f64));
    let size = frame.plane.image_size(frame.shape).map(|n| n as f64);
    let low = frame.view.screen_from_image(frame.rect, [0.0; 2]).max(frame.rect.min);
    let high = frame.view.screen_from_image(frame.rect, size).min(frame.rect.max);
    let stroke = Stroke::new(1.0, theme::CROSSHAIR);
    let gap = 14.0;
    for [from, to] in [
        [pos2(low.x, centre.y), pos2(centre.x - gap, centre.y)],
        [pos2(centre.x + gap, centre.y), pos2(high.x, centre.y)],
        [pos2(centre.x, low.y), pos2(centre.x, centre.y - gap)],
        [pos2(centre.x, centre.y + gap), pos2(centre.x, high.y)],
    ] {
        if from.x <= to.x && from.y <= to.y {
            painter.line_segment([from, to], stroke);
        }
    }
}

/// Names the plane and its slice, and what was done to it for the eye: a slab of slices, a low-pass of so many angstrom.
pub fn paint_title(painter: &egui::Painter, frame: &Frame, slab: usize, low_pass_angstrom: Option<f64>) {
    let axis = frame.plane.depth();
    let mut eye = Vec::new();
    if slab > 1 {
        eye.push(format!("mean of {slab} slices"));
    }
    if let Some(width) = low_pass_angstrom {
        eye.push(format!("low-pass {width:.0} Å"));
    }
    let eye = if eye.is_empty() { String::new() } else { format!("   {}, for the eye only", eye.join(", ")) };
    let slices = frame.shape[axis];
    let text = format!("{}   {} {} / {}{eye}", frame.plane.name(), AXIS_NAMES[axis], frame.depth, slices.saturating_sub(1));
    let at = frame.rect.left_top() + vec2(5.0, 5.0);
    text_on_chip(painter, at, Align2::LEFT_TOP, &text, 12.0);
}

/// A round length that fits, in nanometres, and its length on the screen.
fn scale_length(points_per_nanometre: f64, longest: f64) -> Option<(f64, f32)> {
    if !(points_per_nanometre.is_finite() && points_per_nanometre > 0.0) {
        return None;
    }
    let most = longest / points_per_nanometre;
    let decade = 10f64.powf(most.log10().floor());
    let length = [5.0, 2.0, 1.0].into_iter().map(|step| step * decade).find(|length| *length <= most)?;
    Some((length, (length * points_per_nanometre) as f32))
}

/// Draws a scale bar when the spacing is known.
pub fn paint_scale(painter: &egui::Painter, frame: &Frame, spacing_angstrom: Option<f64>) {
    let Some(spacing) = spacing_angstrom else {
        return;
    };
    let longest = f64::from(frame.rect.width()).min(480.0) * 0.25;
    let Some((length, points)) = scale_length(frame.view.points_per_voxel / spacing * 10.0, longest) else {
        return;
    };
    let left = frame.rect.left_bottom() + vec2(10.0, -10.0);
    let right = left + vec2(points, 0.0);
    painter.line_segment([left + vec2(-1.0, 0.0), right + vec2(1.0, 0.0)], Stroke::new(5.0, theme::HALO));
    painter.line_segment([left, right], Stroke::new(3.0, theme::ON_SLICE));
    let text = if length >= 1000.0 { format!("{} µm", length / 1000.0) } else { format!("{length} nm") };
    text_on_chip(painter, left + vec2(-2.0, -6.0), Align2::LEFT_BOTTOM, &text, 11.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_bars_are_round_and_fit() {
        assert_eq!(scale_length(1.0, 120.0), Some((100.0, 100.0)));
        assert_eq!(scale_length(2.0, 120.0), Some((50.0, 100.0)));
        assert_eq!(scale_length(0.5, 120.0), Some((200.0, 100.0)));
        assert_eq!(scale_length(0.0, 120.0), None);
    }
}
