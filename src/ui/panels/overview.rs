//! The overview: all labels and picks of the tomogram in three dimensions.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::emath::GuiRounding as _;
use egui::{
    Align2, Button, FontId, Id, Key, Painter, PointerButton, Rect, Response, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2,
    vec2,
};
use egui_wgpu::Callback;

use super::overlay::text_on_chip;
use crate::geometry::VoxelBox;
use crate::labels::TomogramId;
use crate::render::Plane;
use crate::render::overview::gpu::OverviewCallback;
use crate::render::overview::{Projection, box_edges};
use crate::ui::options::OverviewPlace;
use crate::ui::spots::{Spot, SpotOf, Spots};
use crate::ui::state::UiState;
use crate::ui::theme;

/// Complete regions whose boxes are drawn at most.
const MOST_REGIONS: usize = 50;
/// How much the farthest points fade into the background.
const FOG: f32 = 0.4;

/// Draws the overview into a part of the window.
pub fn overview_ui(ui: &mut Ui, state: &mut UiState, rect: Rect) {
    let rect = rect.round_to_pixels(ui.pixels_per_point());
    let response = ui.interact(rect, Id::unique("overview"), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, "3D overview"));
    let painter = ui.painter_at(rect);
    let canvas = theme::overview_canvas(ui.visuals());
    painter.rect_filled(rect, 0.0, canvas);
    let Some((tomogram, volume)) = state.open_volume() else {
        return;
    };
    let shape = volume.shape();
    state.over_overview = response.contains_pointer();
    let spots = state.spots(tomogram, shape);
    let turning = navigate(ui, state, rect, &response);
    let projection = state.orbit.projection(shape, rect.size());
    let hit = response.hover_pos().filter(|_| !response.dragged()).and_then(|pos| hit(&spots, &projection, pos - rect.center()));
    if response.clicked()
        && let Some(spot) = hit
    {
        state.move_crosshair(spot.position);
    }
    if response.double_clicked() && hit.is_none() {
        state.orbit = crate::render::overview::Orbit::default();
    }

    paint_behind(&painter, state, (rect, shape), &projection, tomogram);
    let fog = theme::fog(canvas, FOG);
    let points = spots.overview().clone();
    painter.add(Callback::new_paint_callback(rect, OverviewCallback { points, projection, size: rect.size(), turning, fog }));
    paint_before(&painter, (rect, shape), &projection);
    if let Some(spot) = hit {
        let at = projection.screen(rect, spot.position);
        let radius = projection.radius(spot.radius) as f32 + 3.0;
        painter.circle_stroke(at, radius, Stroke::new(1.5, theme::ON_SLICE));
        let text = describe(state, tomogram, spot);
        let side = if at.x > rect.center().x { -1.0 } else { 1.0 };
        let align = if side > 0.0 { Align2::LEFT_CENTER } else { Align2::RIGHT_CENTER };
        text_on_chip(&painter, at + vec2(side * (radius + 4.0), 0.0), align, &text, 12.0);
    }
    let labels = spots.spots.iter().filter(|spot| matches!(spot.of, SpotOf::Label(_))).count();
    title(&painter, rect, labels, spots.spots.len() - labels);
    if spots.spots.is_empty() {
        let text = "Labels and picks appear here";
        painter.text(rect.center(), Align2::CENTER_CENTER, text, FontId::proportional(13.0), theme::ON_SLICE);
    }
    buttons(ui, state, rect);
    if turning {
        // All points are drawn as soon as the view rests.
        ui.ctx().request_repaint();
    }
}

/// Turns, shifts and magnifies. Returns whether the view is on the move.
fn navigate(ui: &Ui, state: &mut UiState, rect: Rect, response: &Response) -> bool {
    let (space, zoom, scroll) = ui.input(|input| (input.key_down(Key::Space), input.zoom_delta(), input.smooth_scroll_delta().y));
    let before = state.orbit;
    if response.dragged_by(PointerButton::Middle) || (space && response.dragged_by(PointerButton::Primary)) {
        state.orbit.shift(response.drag_delta());
    } else if response.dragged_by(PointerButton::Primary) {
        state.orbit.turn(response.drag_delta());
    }
    if response.contains_pointer()
        && let Some(pos) = response.hover_pos()
    {
        let factor = f64::from(zoom) * (f64::from(scroll) * 0.004).exp();
        if factor != 1.0 {
            state.orbit.zoom_at(pos - rect.center(), factor);
        }
    }
    if response.has_focus() {
        let step = |key| if ui.input(|input| input.key_pressed(key)) { 20.0 } else { 0.0 };
        let turn = vec2(step(Key::ArrowRight) - step(Key::ArrowLeft), step(Key::ArrowDown) - step(Key::ArrowUp));
        if turn != Vec2::ZERO {
            state.orbit.turn(turn);
        }
        let filter = egui::EventFilter { tab: false, horizontal_arrows: true, vertical_arrows: true, escape: false };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        let stroke = Stroke::new(1.5, theme::palette(ui.visuals()).accent);
        ui.painter_at(rect).rect_stroke(rect, 0.0, stroke, egui::StrokeKind::Inside);
    }
    state.orbit != before
}

fn hit<'a>(spots: &'a Arc<Spots>, projection: &Projection, offset: Vec2) -> Option<&'a Spot> {
    spots.of_overview(projection.hit(&spots.overview().points, offset)?)
}

/// A spot in words.
fn describe(state: &UiState, tomogram: TomogramId, spot: &Spot) -> String {
    let [z, y, x] = spot.position.map(|coordinate| coordinate.round() as i64);
    let what = match spot.of {
        SpotOf::Label(id) => {
            let point = state.document.annotations().labels(tomogram).and_then(|labels| labels.points.get(&id));
            point.map_or_else(|| "label".to_owned(), |point| state.kind_name(point.kind))
        }
        SpotOf::Pick(index) => {
            let set = state.picks.set(tomogram);
            let pick = set.and_then(|set| set.picks.get(index).map(|pick| (set, pick)));
            pick.map_or_else(
                || "pick".to_owned(),
                |(set, pick)| {
                    let class = set.classes.get(pick.class).map_or("pick", |class| class.name.as_str());
                    format!("{class}, score {:.2}", pick.score)
                },
            )
        }
    };
    format!("{what}   x {x} y {y} z {z}")
}

/// The farther edges of the volume, the planes of the views, and complete regions: what points may hide.
fn paint_behind(
    painter: &Painter,
    state: &UiState,
    (rect, shape): (Rect, [usize; 3]),
    projection: &Projection,
    tomogram: TomogramId,
) {
    let farthest = far_corner(shape, projection);
    for edge in box_edges([0; 3], shape) {
        if edge.contains(&farthest) {
            painter.line_segment(edge.map(|end| projection.screen(rect, end)), Stroke::new(1.0, theme::BOX_BEHIND));
        }
    }
    if state.display.crosshair {
        for plane in Plane::ALL {
            let corners = plane_corners(plane, state.crosshair, shape).map(|corner| projection.screen(rect, corner)).to_vec();
            let fill = if plane == Plane::Xy { theme::SLICE_PLANE } else { egui::Color32::TRANSPARENT };
            painter.add(Shape::convex_polygon(corners, fill, Stroke::new(1.0, theme::CROSSHAIR)));
        }
    }
    let regions = state.document.annotations().labels(tomogram).into_iter().flat_map(|labels| labels.regions.values());
    for region in regions.filter(|region| region.voxels != VoxelBox::whole(shape)).take(MOST_REGIONS) {
        for edge in box_edges(region.voxels.start, region.voxels.end) {
            let stroke = Stroke::new(1.0, theme::faded(theme::REGION, 0.7));
            painter.line_segment(edge.map(|end| projection.screen(rect, end)), stroke);
        }
    }
}

/// The nearer edges of the volume, and its axes' names at the corner where they begin.
fn paint_before(painter: &Painter, (rect, shape): (Rect, [usize; 3]), projection: &Projection) {
    let farthest = far_corner(shape, projection);
    for edge in box_edges([0; 3], shape) {
        if !edge.contains(&farthest) {
            painter.line_segment(edge.map(|end| projection.screen(rect, end)), Stroke::new(1.0, theme::BOX_BEFORE));
        }
    }
    let origin = [-0.5; 3];
    let at = projection.screen(rect, origin);
    for (axis, name) in crate::render::view::AXIS_NAMES.into_iter().enumerate() {
        let mut end = origin;
        end[axis] = shape[axis] as f64 - 0.5;
        let to = projection.screen(rect, end);
        let along = to - at;
        if along.length() > 24.0 {
            let place = at + along * 0.5;
            painter.text(place, Align2::CENTER_CENTER, name, FontId::proportional(11.0), theme::ON_SLICE);
        }
    }
}

/// The corner of the volume that is farthest from the viewer.
fn far_corner(shape: [usize; 3], projection: &Projection) -> [f64; 3] {
    let depth = |corner: &[f64; 3]| projection.project(*corner).1;
    let corners = box_edges([0; 3], shape).into_iter().flatten();
    corners.max_by(|a, b| depth(a).total_cmp(&depth(b))).unwrap_or([-0.5; 3])
}

/// The corners of the plane of a view through the crosshair, around it.
fn plane_corners(plane: Plane, crosshair: [usize; 3], shape: [usize; 3]) -> [[f64; 3]; 4] {
    let mut corner = crosshair.map(|n| n as f64);
    [(false, false), (true, false), (true, true), (false, true)].map(|(right, down)| {
        let end = |axis: usize, far: bool| if far { shape[axis] as f64 - 0.5 } else { -0.5 };
        corner[plane.horizontal()] = end(plane.horizontal(), right);
        corner[plane.vertical()] = end(plane.vertical(), down);
        corner
    })
}

fn title(painter: &Painter, rect: Rect, labels: usize, picks: usize) {
    let mut text = "3D".to_owned();
    for (count, one, many) in [(labels, "label", "labels"), (picks, "pick", "picks")] {
        if count > 0 {
            text.push_str(&format!("   {count} {}", if count == 1 { one } else { many }));
        }
    }
    text_on_chip(painter, rect.left_top() + vec2(5.0, 5.0), Align2::LEFT_TOP, &text, 12.0);
}

/// Larger or smaller, and away.
fn buttons(ui: &mut Ui, state: &mut UiState, rect: Rect) {
    let large = state.display.overview == OverviewPlace::Large;
    let size = vec2(62.0, 20.0);
    let hide = Rect::from_min_size(pos2(rect.right() - 25.0, rect.top() + 5.0), vec2(20.0, size.y));
    let resize = Rect::from_min_size(pos2(hide.left() - size.x - 4.0, hide.top()), size);
    let (text, name) = if large { ("Reduce", "Reduce the 3D overview") } else { ("Enlarge", "Enlarge the 3D overview") };
    if ui.put(resize, Button::new(text).small()).accessible_name(name).on_hover_text("Exchange it with the XY view").clicked() {
        state.display.overview = if large { OverviewPlace::Beside } else { OverviewPlace::Large };
    }
    if ui.put(hide, Button::new("×").small()).accessible_name("Hide the 3D overview").on_hover_text("Hide (O)").clicked() {
        state.display.overview = OverviewPlace::Hidden;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planes_of_the_views_span_the_volume_through_the_crosshair() {
        let shape = [10, 20, 30];
        for plane in Plane::ALL {
            let corners = plane_corners(plane, [3, 7, 11], shape);
            for corner in corners {
                assert_eq!(corner[plane.depth()], [3.0, 7.0, 11.0][plane.depth()]);
                assert!([-0.5, shape[plane.horizontal()] as f64 - 0.5].contains(&corner[plane.horizontal()]));
            }
            assert!((0..4).all(|a| (0..a).all(|b| corners[a] != corners[b])));
        }
    }
}
