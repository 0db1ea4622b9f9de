//! The three linked views and what the pointer does in them.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::emath::GuiRounding as _;
use egui::{Event, EventFilter, Id, Key, MouseWheelUnit, Pos2, Rect, Response, Sense, Stroke, StrokeKind, Ui, WidgetInfo};
use egui_wgpu::Callback;

use super::overlay::{self, Frame};
use super::{overview, pointer};
use crate::geometry::VoxelBox;
use crate::labels::{Region, TomogramId};
use crate::render::{HeatSlice, PaneCallback, Plane, SliceImage, SliceRequest, View, block_for, level_for};
use crate::ui::options::OverviewPlace;
use crate::ui::state::{Drag, Hover, Tool, UiState, VolumeState};
use crate::ui::theme;

/// Movement of a trackpad that makes one slice, in points.
const POINTS_PER_SLICE: f32 = 20.0;
/// Values of the heatmap from which it begins to show, and at which it is fully there.
const HEAT_RANGE: [f32; 2] = [0.08, 0.45];

/// A place for a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pane {
    Slice(Plane),
    Overview,
}

/// What goes where: the main view, those beside it, and whether there is room for the latter.
fn arrangement(width: f32, side_views: bool, place: OverviewPlace) -> (Pane, Vec<Pane>) {
    let [xy, xz, yz] = Plane::ALL.map(Pane::Slice);
    let mut side = if side_views { vec![xz, yz] } else { Vec::new() };
    let main = match place {
        OverviewPlace::Hidden => xy,
        OverviewPlace::Beside => {
            side.push(Pane::Overview);
            xy
        }
        OverviewPlace::Large => {
            side.insert(0, xy);
            Pane::Overview
        }
    };
    if width <= NARROW {
        // The overview was asked for, so it stays when the side views go.
        side.retain(|pane| !matches!(pane, Pane::Slice(Plane::Xz | Plane::Yz)));
    }
    (main, side)
}

/// Width in points below which the side views have no room.
const NARROW: f32 = 420.0;

/// Draws the views into what is left of the window.
pub fn views_ui(ui: &mut Ui, state: &mut UiState) {
    state.hover = None;
    state.focused_plane = None;
    state.over_overview = false;
    let rect = ui.available_rect_before_wrap();
    let gap = 4.0;
    let (main, side) = arrangement(rect.width(), state.panels.side_views, state.display.overview);
    if side.is_empty() {
        view_ui(ui, state, main, rect);
        return;
    }
    let (main_rect, column) = if rect.width() > NARROW {
        let width = (rect.width() * 0.36).clamp(160.0, 620.0);
        let left = rect.with_max_x(rect.right() - width - gap);
        (left, rect.with_min_x(left.right() + gap))
    } else {
        let upper = rect.with_max_y(rect.top() + (rect.height() - gap) * 0.6);
        (upper, rect.with_min_y(upper.bottom() + gap))
    };
    view_ui(ui, state, main, main_rect);
    let count = side.len() as f32;
    let height = ((column.height() - gap * (count - 1.0)) / count).max(1.0);
    for (index, pane) in side.into_iter().enumerate() {
        let top = column.top() + index as f32 * (height + gap);
        view_ui(ui, state, pane, Rect::from_x_y_ranges(column.x_range(), top..=top + height));
    }
}

fn view_ui(ui: &mut Ui, state: &mut UiState, pane: Pane, rect: Rect) {
    match pane {
        Pane::Slice(plane) => pane_ui(ui, state, plane, rect),
        Pane::Overview => overview::overview_ui(ui, state, rect),
    }
}

/// The slice that a pane should show.
pub fn wanted_slice(state: &UiState, plane: Plane, max_side: usize) -> Option<(TomogramId, SliceRequest)> {
    let (tomogram, _) = state.open_volume()?;
    let depth = state.crosshair[plane.depth()];
    let (level, block) = (state.panes[plane.index()].level, state.panes[plane.index()].block);
    let low_pass_voxels = state.low_pass_voxels(tomogram);
    Some((tomogram, SliceRequest { plane, depth, slab: state.display.slab, max_side, level, block, low_pass_voxels }))
}

fn pane_ui(ui: &mut Ui, state: &mut UiState, plane: Plane, rect: Rect) {
    let rect = rect.round_to_pixels(ui.pixels_per_point());
    let response = ui.interact(rect, Id::unique(("view", plane.index())), Sense::click_and_drag());
    let name = format!("{} view", plane.name());
    response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, &name));
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 0.0, theme::palette(ui.visuals()).canvas);

    let Some((tomogram, volume)) = state.open_volume() else {
        placeholder(ui, state, plane, rect);
        return;
    };
    let shape = volume.shape();
    let contrast = volume.contrast;
    let pane = &mut state.panes[plane.index()];
    let fitted = View::fit(plane.image_size(shape), rect.size());
    let resized = pane.size != rect.size() && pane.view.is_some_and(|view| view.points_per_voxel == pane.fit);
    pane.size = rect.size();
    pane.fit = fitted.points_per_voxel;
    if pane.view.is_none() || resized {
        pane.view = Some(fitted);
    }
    choose_level(state, plane, ui.pixels_per_point());
    let Some((sliced, slice)) = state.panes[plane.index()].slice.clone() else {
        return;
    };
    if sliced != tomogram {
        // The picture of the other tomogram stays until the new one comes, but nothing is drawn on it and no click counts.
        let view = View::fit(slice.image_size, rect.size());
        painter.add(pane_callback(ui, state, (plane, rect, view), slice, contrast, Vec::new(), None));
        return;
    }

    navigate(ui, state, plane, rect, &response);
    choose_level(state, plane, ui.pixels_per_point());
    let depth = slice.request.depth;
    let view = state.panes[plane.index()].view.unwrap_or(fitted);
    let frame = Frame { plane, rect, view, depth, shape, pixels_per_point: ui.pixels_per_point() };
    let index_at = |pos: Pos2| plane.index_from_image(view.image_from_screen(rect, pos), depth);
    let inside = |index: [f64; 3]| VoxelBox::whole(shape).contains(index);

    let pointer = response.hover_pos().or_else(|| response.interact_pointer_pos());
    let hovered = pointer.map(index_at).filter(|index| inside(*index));
    let mut edge = None;
    if response.contains_pointer()
        && let Some(index) = hovered
        && let Some(value) = slice.value_at(plane.image_from_index(index))
    {
        edge = pointer::edge_under(state, tomogram, &frame, plane.image_from_index(index));
        state.hover = Some(Hover { plane, index, value, on_edge: edge.is_some() });
    }

    pointer::point(ui, state, &frame, &response);
    let drag = state.panes[plane.index()].drag;
    let dragged_to = response.interact_pointer_pos().filter(|_| drag.is_some());
    let moved = match (drag, dragged_to) {
        (Some(Drag::Point(point)), Some(pos)) => Some(pointer::moved_point(point.position, &frame, index_at(pos))),
        _ => None,
    };
    let drawn = match (drag, dragged_to) {
        (Some(Drag::Region(start)), Some(pos)) => {
            pointer::drawn_region(state, &frame, start, view.image_from_screen(rect, pos)).map(|voxels| (None, voxels))
        }
        (Some(Drag::Edges(region, sides)), Some(pos)) => {
            let Region { id, voxels } = pointer::moved_region(region, sides, &frame, view.image_from_screen(rect, pos));
            Some((Some(id), voxels))
        }
        _ => None,
    };

    let idle = drag.is_none() && !ui.input(|input| input.key_down(Key::Space) || input.modifiers.shift);
    let cursor = hovered.filter(|_| response.hovered() && idle && state.tool == Tool::Label);
    let spots = state.spots(tomogram, shape);
    let (markers, cues) = overlay::markers(state, &spots, tomogram, &frame, cursor, moved);
    let heat = heat_slice(state, tomogram, plane, depth, slice.request.max_side);
    let callback = pane_callback(ui, state, (plane, rect, view), slice.clone(), contrast, markers, heat);
    painter.add(callback);
    overlay::paint_regions(&painter, state, tomogram, &frame, drawn);
    if state.display.crosshair {
        overlay::paint_crosshair(&painter, state.crosshair, &frame);
    }
    overlay::paint_cues(&painter, &cues);
    if let (Some(Drag::Select(start)), Some(pos)) = (drag, dragged_to) {
        overlay::paint_selection(&painter, Rect::from_two_pos(view.screen_from_image(rect, start), pos));
    }
    let low_pass = (slice.request.low_pass_voxels > 0.0).then_some(state.display.low_pass_angstrom);
    overlay::paint_title(&painter, &frame, slice.request.slab, low_pass);
    overlay::paint_scale(&painter, &frame, state.spacing(tomogram));
    pointer::set_cursor(ui, state, &response, idle, edge);
    focus(ui, state, plane, rect, &response);
}

/// Shows which view has the keyboard's focus, and gives it the arrows, which change its slice.
fn focus(ui: &Ui, state: &mut UiState, plane: Plane, rect: Rect, response: &Response) {
    if !response.has_focus() {
        return;
    }
    state.focused_plane = Some(plane);
    let filter = EventFilter { tab: false, horizontal_arrows: false, vertical_arrows: true, escape: false };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
    let stroke = Stroke::new(1.5, theme::palette(ui.visuals()).accent);
    ui.painter_at(rect).rect_stroke(rect, 0.0, stroke, StrokeKind::Inside);
}

/// Notes the level of detail that the pane's magnification calls for.
fn choose_level(state: &mut UiState, plane: Plane, pixels_per_point: f32) {
    let Some((_, volume)) = state.open_volume() else {
        return;
    };
    if let Some(view) = state.panes[plane.index()].view {
        let pixels_per_voxel = view.points_per_voxel * f64::from(pixels_per_point);
        let levels = volume.source.levels();
        let level = level_for(levels, plane, 1.0 / pixels_per_voxel);
        let block = levels.get(level).map_or(1, |level| block_for(level, plane, 1.0 / pixels_per_voxel));
        (state.panes[plane.index()].level, state.panes[plane.index()].block) = (level, block);
    }
}

/// What stands in a pane that has nothing to show.
fn placeholder(ui: &mut Ui, state: &UiState, plane: Plane, rect: Rect) {
    if plane != Plane::Xy {
        return;
    }
    let palette = theme::palette(ui.visuals());
    let text = match state.current.and_then(|id| state.volumes.get(&id)) {
        Some(VolumeState::Opening) => "Opening…",
        Some(VolumeState::Failed(_)) => "This tomogram cannot be read: see the list on the left",
        _ => return,
    };
    ui.painter().text(rect.center(), egui::Align2::CENTER_CENTER, text, egui::FontId::proportional(14.0), palette.weak);
}

fn pane_callback(
    ui: &Ui,
    state: &UiState,
    (plane, rect, view): (Plane, Rect, View),
    slice: Arc<SliceImage>,
    contrast: [f32; 2],
    markers: Vec<crate::render::Marker>,
    heat: Option<Arc<HeatSlice>>,
) -> egui::epaint::PaintCallback {
    let callback = PaneCallback {
        plane,
        view,
        size: rect.size(),
        slice,
        contrast,
        invert: state.display.invert,
        smooth: state.display.smooth,
        heat: heat.map(|heat| (heat, state.display.heat_opacity)),
        heat_range: HEAT_RANGE,
        markers,
        colours: theme::pane_colours(ui.visuals()),
    };
    Callback::new_paint_callback(rect, callback)
}

/// The heatmap's slice, cut anew only when something about it has changed.
fn heat_slice(state: &mut UiState, tomogram: TomogramId, plane: Plane, depth: usize, max_side: usize) -> Option<Arc<HeatSlice>> {
    if !state.display.heatmap {
        return None;
    }
    let heatmap = state.training.heatmap(tomogram)?;
    let channel = state.display.heat_class;
    let key = (heatmap.step, Arc::as_ptr(heatmap) as usize, channel, depth);
    let pane = &mut state.panes[plane.index()];
    if pane.heat.as_ref().is_none_or(|(present, _)| *present != key) {
        pane.heat = HeatSlice::cut(heatmap, channel, plane, depth, max_side).map(|heat| (key, Arc::new(heat)));
    }
    pane.heat.as_ref().map(|(_, heat)| heat.clone())
}

/// Wheel, zoom and pan.
fn navigate(ui: &Ui, state: &mut UiState, plane: Plane, rect: Rect, response: &Response) {
    let (zoom, notches) = ui.input(|input| (input.zoom_delta(), wheel_notches(&input.events)));
    let pane = &mut state.panes[plane.index()];
    if response.contains_pointer() {
        if zoom != 1.0
            && let (Some(view), Some(pos)) = (&mut pane.view, response.hover_pos())
        {
            view.zoom_at(rect, pos, f64::from(zoom), pane.fit);
        }
        pane.wheel += notches;
        let whole = pane.wheel.trunc();
        pane.wheel -= whole;
        if whole != 0.0 {
            state.step_slice(plane, whole as isize);
        }
    }
}

/// Slices that the wheel events ask for; with shift, ten a notch. Some systems turn shift and the wheel into sideways movement.
fn wheel_notches(events: &[Event]) -> f32 {
    let notch = |event: &Event| match event {
        Event::MouseWheel { unit, delta, modifiers, .. } if !modifiers.ctrl && !modifiers.command => {
            let amount = if delta.y == 0.0 && modifiers.shift { delta.x } else { delta.y };
            let notches = match unit {
                MouseWheelUnit::Line => amount,
                MouseWheelUnit::Point => amount / POINTS_PER_SLICE,
                MouseWheelUnit::Page => amount * 10.0,
            };
            if modifiers.shift { notches * 10.0 } else { notches }
        }
        _ => 0.0,
    };
    events.iter().map(notch).sum()
}

#[cfg(test)]
mod tests {
    use egui::{Modifiers, MouseWheelSource, TouchPhase, vec2};

    use super::*;

    fn wheel(delta: egui::Vec2, unit: MouseWheelUnit, modifiers: Modifiers) -> Event {
        Event::MouseWheel { unit, delta, phase: TouchPhase::Move, source: MouseWheelSource::Unknown, modifiers }
    }

    #[test]
    fn a_notch_is_a_slice_and_with_shift_ten() {
        let line = MouseWheelUnit::Line;
        assert_eq!(wheel_notches(&[wheel(vec2(0.0, -1.0), line, Modifiers::NONE)]), -1.0);
        assert_eq!(wheel_notches(&[wheel(vec2(1.0, 0.0), line, Modifiers::SHIFT)]), 10.0);
        assert_eq!(wheel_notches(&[wheel(vec2(0.0, 1.0), line, Modifiers::SHIFT)]), 10.0);
        assert_eq!(wheel_notches(&[wheel(vec2(0.0, 1.0), line, Modifiers::CTRL)]), 0.0);
        assert_eq!(wheel_notches(&[wheel(vec2(0.0, 10.0), MouseWheelUnit::Point, Modifiers::NONE)]), 0.5);
    }

    #[test]
    fn the_overview_finds_a_place_in_every_window() {
        let [xy, xz, yz] = Plane::ALL.map(Pane::Slice);
        assert_eq!(arrangement(800.0, true, OverviewPlace::Hidden), (xy, vec![xz, yz]));
        assert_eq!(arrangement(800.0, true, OverviewPlace::Beside), (xy, vec![xz, yz, Pane::Overview]));
        assert_eq!(arrangement(800.0, true, OverviewPlace::Large), (Pane::Overview, vec![xy, xz, yz]));
        assert_eq!(arrangement(300.0, true, OverviewPlace::Beside), (xy, vec![Pane::Overview]));
        assert_eq!(arrangement(300.0, true, OverviewPlace::Hidden), (xy, vec![]));
        assert_eq!(arrangement(800.0, false, OverviewPlace::Large), (Pane::Overview, vec![xy]));
    }
}
