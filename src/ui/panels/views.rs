//! The three linked views and what the pointer does in them.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::emath::GuiRounding as _;
use egui::{Event, Id, Key, MouseWheelUnit, PointerButton, Pos2, Rect, Response, Sense, Ui, WidgetInfo, vec2};
use egui_wgpu::Callback;

use super::overlay::{self, Frame};
use crate::geometry::VoxelBox;
use crate::labels::{Edit, TomogramId};
use crate::render::{HeatSlice, PaneCallback, Plane, SliceImage, SliceRequest, View, level_for};
use crate::ui::state::{Drag, Hover, Tool, UiState, VolumeState};
use crate::ui::theme;

/// Movement of a trackpad that makes one slice, in points.
const POINTS_PER_SLICE: f32 = 20.0;
/// Values of the heatmap from which it begins to show, and at which it is fully there.
const HEAT_RANGE: [f32; 2] = [0.08, 0.45];

/// Draws the views into what is left of the window.
pub fn views_ui(ui: &mut Ui, state: &mut UiState) {
    state.hover = None;
    let rect = ui.available_rect_before_wrap();
    let gap = 4.0;
    let side_width = (rect.width() * 0.36).clamp(160.0, 620.0);
    let show_side = state.panels.side_views && rect.width() > 420.0;
    let main = if show_side { rect.with_max_x(rect.right() - side_width - gap) } else { rect };
    pane_ui(ui, state, Plane::Xy, main);
    if show_side {
        let side = rect.with_min_x(main.right() + gap);
        let middle = side.center().y;
        pane_ui(ui, state, Plane::Xz, side.with_max_y(middle - gap / 2.0));
        pane_ui(ui, state, Plane::Yz, side.with_min_y(middle + gap / 2.0));
    }
}

/// The slice that a pane should show.
pub fn wanted_slice(state: &UiState, plane: Plane, max_side: usize) -> Option<(TomogramId, SliceRequest)> {
    let (tomogram, _) = state.open_volume()?;
    let depth = state.crosshair[plane.depth()];
    let level = state.panes[plane.index()].level;
    Some((tomogram, SliceRequest { plane, depth, slab: state.display.slab, max_side, level }))
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
    if response.contains_pointer()
        && let Some(index) = hovered
        && let Some(value) = slice.value_at(plane.image_from_index(index))
    {
        state.hover = Some(Hover { plane, index, value });
    }

    point(ui, state, &frame, &response);
    let moved = match (state.panes[plane.index()].drag, response.interact_pointer_pos()) {
        (Some(Drag::Point(point)), Some(pos)) => Some(moved_point(point.position, &frame, index_at(pos))),
        _ => None,
    };
    let drawn = match (state.panes[plane.index()].drag, response.interact_pointer_pos()) {
        (Some(Drag::Region(start)), Some(pos)) => drawn_region(state, &frame, start, view.image_from_screen(rect, pos)),
        _ => None,
    };

    let idle = state.panes[plane.index()].drag.is_none() && !ui.input(|input| input.key_down(Key::Space));
    let cursor = hovered.filter(|_| response.hovered() && idle && state.tool == Tool::Label);
    let (markers, cues) = overlay::markers(state, tomogram, &frame, cursor, moved);
    let heat = heat_slice(state, tomogram, plane, depth, slice.request.max_side);
    let callback = pane_callback(ui, state, (plane, rect, view), slice.clone(), contrast, markers, heat);
    painter.add(callback);
    overlay::paint_regions(&painter, state, tomogram, &frame, drawn);
    if state.display.crosshair {
        overlay::paint_crosshair(&painter, state.crosshair, &frame);
    }
    overlay::paint_cues(&painter, &cues);
    overlay::paint_title(&painter, &frame, slice.request.slab);
    overlay::paint_scale(&painter, &frame, state.spacing(tomogram));
    set_cursor(ui, state, &response, idle);
}

/// Notes the level of detail that the pane's magnification calls for.
fn choose_level(state: &mut UiState, plane: Plane, pixels_per_point: f32) {
    let Some((_, volume)) = state.open_volume() else {
        return;
    };
    if let Some(view) = state.panes[plane.index()].view {
        let pixels_per_voxel = view.points_per_voxel * f64::from(pixels_per_point);
        let level = level_for(volume.source.levels(), plane, 1.0 / pixels_per_voxel);
        state.panes[plane.index()].level = level;
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

/// A dragged point keeps its depth.
fn moved_point(from: [f64; 3], frame: &Frame, to: [f64; 3]) -> [f64; 3] {
    let mut moved = std::array::from_fn(|axis| to[axis].clamp(0.0, frame.shape[axis].saturating_sub(1) as f64));
    moved[frame.plane.depth()] = from[frame.plane.depth()];
    moved
}

/// The box between two image positions in XY, in whole voxels, with the chosen depth.
fn drawn_region(state: &UiState, frame: &Frame, from: [f64; 2], to: [f64; 2]) -> Option<VoxelBox> {
    if frame.plane != Plane::Xy {
        return None;
    }
    let [z, y, x] = frame.shape;
    let [first, last] = state.region_slices(z);
    let range = |axis: usize, size: usize| {
        let (low, high) = (from[axis].min(to[axis]), from[axis].max(to[axis]));
        let size = size as f64;
        (low.floor().clamp(0.0, size) as usize, high.ceil().clamp(0.0, size) as usize)
    };
    let (left, right) = range(0, x);
    let (top, bottom) = range(1, y);
    let voxels = VoxelBox::new([first, top, left], [last + 1, bottom, right]);
    (!voxels.is_empty()).then_some(voxels)
}

/// Clicks and drags.
fn point(ui: &Ui, state: &mut UiState, frame: &Frame, response: &Response) {
    let Frame { plane, rect, view, depth, shape, .. } = *frame;
    let image_at = |pos: Pos2| view.image_from_screen(rect, pos);
    let index_at = |pos: Pos2| plane.index_from_image(image_at(pos), depth);
    let inside = |index: [f64; 3]| VoxelBox::whole(shape).contains(index);
    let Some((tomogram, _)) = state.open_volume() else {
        return;
    };

    if let Some(pos) = response.interact_pointer_pos() {
        let index = index_at(pos);
        let space = ui.input(|input| input.key_down(Key::Space));
        if response.clicked() && !space && inside(index) {
            match state.tool {
                Tool::Label => state.add_point(index),
                Tool::Look | Tool::Region => state.move_crosshair(index),
            }
        }
        if response.secondary_clicked() && inside(index) {
            if state.tool == Tool::Region {
                remove_region_at(state, tomogram, index);
            } else {
                let distance = state.grab_distance(tomogram, view.points_per_voxel);
                state.remove_nearest(index, distance);
            }
        }
        if response.drag_started() {
            let origin = ui.input(|input| input.pointer.press_origin()).unwrap_or(pos);
            state.panes[plane.index()].drag = begin_drag(ui, state, frame, response, origin);
        }
    }

    let Some(drag) = state.panes[plane.index()].drag else {
        return;
    };
    let pos = response.interact_pointer_pos();
    match (drag, pos) {
        (Drag::Pan, _) => {
            if let Some(view) = &mut state.panes[plane.index()].view {
                view.pan(response.drag_delta());
            }
        }
        (Drag::Crosshair, Some(pos)) => {
            let index = index_at(pos);
            state.move_crosshair(index);
        }
        _ => {}
    }
    if response.drag_stopped() || pos.is_none() {
        state.panes[plane.index()].drag = None;
        match (drag, pos) {
            (Drag::Point(point), Some(pos)) => {
                let to = moved_point(point.position, frame, index_at(pos));
                if to != point.position {
                    state.perform(Edit::MovePoint { tomogram, id: point.id, from: point.position, to });
                    state.move_crosshair(to);
                }
            }
            (Drag::Region(start), Some(pos)) => {
                if let Some(voxels) = drawn_region(state, frame, start, image_at(pos)) {
                    state.add_region(voxels);
                }
            }
            _ => {}
        }
    }
}

/// What a drag that begins at `origin` moves.
fn begin_drag(ui: &Ui, state: &UiState, frame: &Frame, response: &Response, origin: Pos2) -> Option<Drag> {
    let space = ui.input(|input| input.key_down(Key::Space));
    if response.dragged_by(PointerButton::Middle) || (response.dragged_by(PointerButton::Primary) && space) {
        return Some(Drag::Pan);
    }
    if !response.dragged_by(PointerButton::Primary) {
        return None;
    }
    let image = frame.view.image_from_screen(frame.rect, origin);
    let index = frame.plane.index_from_image(image, frame.depth);
    if state.tool == Tool::Region {
        return (frame.plane == Plane::Xy).then_some(Drag::Region(image));
    }
    let (tomogram, _) = state.open_volume()?;
    let grabbed = (state.tool == Tool::Label && state.display.labels)
        .then(|| {
            let distance = state.grab_distance(tomogram, frame.view.points_per_voxel);
            state.document.annotations().nearest_point(tomogram, index, distance).copied()
        })
        .flatten();
    Some(grabbed.map_or(Drag::Crosshair, Drag::Point))
}

/// Removes the smallest complete region that contains a voxel index.
fn remove_region_at(state: &mut UiState, tomogram: TomogramId, index: [f64; 3]) {
    let labels = state.document.annotations().labels(tomogram);
    let regions = labels.into_iter().flat_map(|labels| labels.regions.values());
    let smallest = regions.filter(|region| region.voxels.contains(index)).min_by_key(|region| region.voxels.voxels()).copied();
    match smallest {
        Some(region) => {
            state.perform(Edit::RemoveRegion { tomogram, region });
        }
        None => state.toasts.add("No complete region here to remove"),
    }
}

fn set_cursor(ui: &Ui, state: &UiState, response: &Response, idle: bool) {
    if !response.contains_pointer() {
        return;
    }
    let icon = match (state.tool, idle) {
        (_, false) => egui::CursorIcon::Grabbing,
        (Tool::Look, _) => egui::CursorIcon::Default,
        (Tool::Label | Tool::Region, _) => egui::CursorIcon::Crosshair,
    };
    ui.ctx().set_cursor_icon(icon);
}

/// Tools and what must be known before labels count, above the views.
pub fn tools_ui(ui: &mut Ui, state: &mut UiState) {
    ui.horizontal(|ui| {
        for (tool, name, hint) in [
            (Tool::Look, "Look", "A click moves the crosshair and nothing else"),
            (Tool::Label, "Label", "A click adds a point of the chosen class"),
            (Tool::Region, "Region", "A drag in XY marks a box in which everything has been labelled"),
        ] {
            if ui.selectable_label(state.tool == tool, name).on_hover_text(hint).clicked() {
                state.tool = tool;
            }
        }
        if state.tool == Tool::Region {
            ui.separator();
            super::regions::region_depth_ui(ui, state);
        } else {
            ui.separator();
            kind_ui(ui, state);
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let name = if state.panels.right { "Hide panels" } else { "Show panels" };
            if ui.button(name).on_hover_text("Give the views the whole window").clicked() {
                state.panels.right = !state.panels.right;
                state.panels.left = state.panels.right;
            }
            if ui.button("Fit").on_hover_text("Show the whole tomogram (Home)").clicked() {
                state.panes.iter_mut().for_each(|pane| pane.view = None);
            }
        });
    });
}

/// What a click adds.
fn kind_ui(ui: &mut Ui, state: &UiState) {
    let palette = theme::palette(ui.visuals());
    let annotations = state.document.annotations();
    match state.kind {
        Some(crate::labels::PointKind::Particle(id)) => {
            if let Some(class) = annotations.class(id) {
                let (rect, _) = ui.allocate_exact_size(vec2(12.0, 12.0), Sense::hover());
                ui.painter().circle_filled(rect.center(), 5.0, theme::class_colour(class.colour));
                ui.colored_label(palette.strong, &class.name);
            }
        }
        Some(crate::labels::PointKind::Negative) => {
            ui.colored_label(palette.strong, "Not a particle");
        }
        None => {
            ui.colored_label(palette.weak, "No class yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use egui::{Modifiers, MouseWheelSource, TouchPhase};

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
}
