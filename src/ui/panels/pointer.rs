//! What clicks and drags in a view do.

use egui::{CursorIcon, Key, PointerButton, Pos2, Response, Ui};

use super::overlay::Frame;
use crate::geometry::VoxelBox;
use crate::labels::{Edit, Region, TomogramId};
use crate::render::Plane;
use crate::ui::boxes::{Sides, drawn_box, moved_edges, region_edge_at};
use crate::ui::state::{Drag, Tool, UiState};

/// How near the pointer must come to an edge of a region, in screen points.
const EDGE_REACH: f64 = 5.0;

/// A dragged point keeps its depth.
pub fn moved_point(from: [f64; 3], frame: &Frame, to: [f64; 3]) -> [f64; 3] {
    let mut moved = std::array::from_fn(|axis| to[axis].clamp(0.0, frame.shape[axis].saturating_sub(1) as f64));
    moved[frame.plane.depth()] = from[frame.plane.depth()];
    moved
}

/// The box between two image positions, in whole voxels. In XY it has the slices chosen above the views, in the other planes it goes
/// through the whole tomogram.
pub fn drawn_region(state: &UiState, frame: &Frame, from: [f64; 2], to: [f64; 2]) -> Option<VoxelBox> {
    let depth = frame.shape[frame.plane.depth()];
    let slices = if frame.plane == Plane::Xy { state.region_slices(depth) } else { [0, depth.saturating_sub(1)] };
    drawn_box(frame.plane, from, to, slices, frame.shape)
}

/// A region whose edges are being dragged to an image position.
pub fn moved_region(region: Region, sides: Sides, frame: &Frame, image: [f64; 2]) -> Region {
    Region { voxels: moved_edges(region.voxels, frame.plane, sides, image, frame.shape), ..region }
}

/// The edge of a complete region under an image position, when the tool at hand would move it.
pub fn edge_under(state: &UiState, tomogram: TomogramId, frame: &Frame, image: [f64; 2]) -> Option<(Region, Sides)> {
    if state.tool != Tool::Region {
        return None;
    }
    let regions = state.document.annotations().labels(tomogram).into_iter().flat_map(|labels| labels.regions.values());
    region_edge_at(regions, frame.plane, (image, frame.depth), EDGE_REACH / frame.view.points_per_voxel)
}

/// Clicks and drags.
pub fn point(ui: &Ui, state: &mut UiState, frame: &Frame, response: &Response) {
    let Frame { plane, rect, view, depth, .. } = *frame;
    let image_at = |pos: Pos2| view.image_from_screen(rect, pos);
    let index_at = |pos: Pos2| plane.index_from_image(image_at(pos), depth);
    let Some((tomogram, _)) = state.open_volume() else {
        return;
    };
    click(ui, state, tomogram, frame, response);
    if response.drag_started()
        && let Some(pos) = response.interact_pointer_pos()
    {
        let origin = ui.input(|input| input.pointer.press_origin()).unwrap_or(pos);
        state.panes[plane.index()].drag = begin_drag(ui, state, frame, response, origin);
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
        (Drag::Crosshair, Some(pos)) => state.move_crosshair(index_at(pos)),
        _ => {}
    }
    if response.drag_stopped() || pos.is_none() {
        state.panes[plane.index()].drag = None;
        if let Some(pos) = pos {
            end_drag(state, tomogram, frame, drag, image_at(pos));
        }
    }
}

fn click(ui: &Ui, state: &mut UiState, tomogram: TomogramId, frame: &Frame, response: &Response) {
    let Frame { plane, rect, view, depth, shape, .. } = *frame;
    let enter = response.has_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    if enter && state.tool == Tool::Label && state.picks.reviewed.is_none() {
        // With the keyboard alone, the crosshair is the pointer.
        state.add_point(state.crosshair.map(|n| n as f64));
        return;
    }
    let Some(pos) = response.interact_pointer_pos() else {
        return;
    };
    let index = plane.index_from_image(view.image_from_screen(rect, pos), depth);
    if !VoxelBox::whole(shape).contains(index) {
        return;
    }
    let (space, shift) = ui.input(|input| (input.key_down(Key::Space), input.modifiers.shift));
    let reach = state.grab_distance(tomogram, view.points_per_voxel);
    if response.clicked() && !space {
        match state.tool {
            Tool::Label | Tool::Look if shift => state.toggle_selected(index, reach),
            Tool::Label => state.add_point(index),
            Tool::Look | Tool::Region => state.move_crosshair(index),
        }
    }
    if response.secondary_clicked() {
        if state.tool == Tool::Region {
            state.remove_region_at(index);
        } else {
            state.remove_nearest(index, reach);
        }
    }
}

fn end_drag(state: &mut UiState, tomogram: TomogramId, frame: &Frame, drag: Drag, image: [f64; 2]) {
    match drag {
        Drag::Point(point) => {
            let to = moved_point(point.position, frame, frame.plane.index_from_image(image, frame.depth));
            if to != point.position {
                state.perform(Edit::MovePoint { tomogram, id: point.id, from: point.position, to });
                state.move_crosshair(to);
            }
        }
        Drag::Region(start) => {
            if let Some(voxels) = drawn_region(state, frame, start, image) {
                state.add_region(voxels);
            }
        }
        Drag::Edges(from, sides) => {
            let to = moved_region(from, sides, frame, image);
            if to != from {
                state.perform(Edit::SetRegion { tomogram, from, to });
            }
        }
        Drag::Select(start) => state.select_rectangle(frame.plane, frame.depth, [start, image]),
        Drag::Pan | Drag::Crosshair => {}
    }
}

/// What a drag that begins at `origin` moves.
fn begin_drag(ui: &Ui, state: &UiState, frame: &Frame, response: &Response, origin: Pos2) -> Option<Drag> {
    let (space, shift) = ui.input(|input| (input.key_down(Key::Space), input.modifiers.shift));
    if response.dragged_by(PointerButton::Middle) || (response.dragged_by(PointerButton::Primary) && space) {
        return Some(Drag::Pan);
    }
    if !response.dragged_by(PointerButton::Primary) {
        return None;
    }
    let (tomogram, _) = state.open_volume()?;
    let image = frame.view.image_from_screen(frame.rect, origin);
    if state.tool == Tool::Region {
        let edge = edge_under(state, tomogram, frame, image);
        return Some(edge.map_or(Drag::Region(image), |(region, sides)| Drag::Edges(region, sides)));
    }
    if shift {
        return Some(Drag::Select(image));
    }
    let index = frame.plane.index_from_image(image, frame.depth);
    let grabbed = (state.tool == Tool::Label && state.display.labels)
        .then(|| {
            let distance = state.grab_distance(tomogram, frame.view.points_per_voxel);
            state.document.annotations().nearest_point(tomogram, index, distance).copied()
        })
        .flatten();
    Some(grabbed.map_or(Drag::Crosshair, Drag::Point))
}

/// The pointer's shape says what a click or a drag would do.
pub fn set_cursor(ui: &Ui, state: &UiState, response: &Response, idle: bool, edge: Option<(Region, Sides)>) {
    if !response.contains_pointer() {
        return;
    }
    let icon = match (state.tool, idle, edge) {
        (_, _, Some((_, sides))) => match sides {
            [Some(_), None] => CursorIcon::ResizeHorizontal,
            [Some(right), Some(bottom)] if right == bottom => CursorIcon::ResizeNwSe,
            [Some(_), Some(_)] => CursorIcon::ResizeNeSw,
            _ => CursorIcon::ResizeVertical,
        },
        (_, false, _) => CursorIcon::Grabbing,
        (Tool::Look, ..) => CursorIcon::Default,
        (Tool::Label | Tool::Region, ..) => CursorIcon::Crosshair,
    };
    ui.ctx().set_cursor_icon(icon);
}

impl UiState {
    /// Removes the smallest complete region that contains a voxel index `(z, y, x)` of the tomogram on the screen.
    pub fn remove_region_at(&mut self, index: [f64; 3]) {
        let Some((tomogram, _)) = self.open_volume() else {
            return;
        };
        let labels = self.document.annotations().labels(tomogram);
        let regions = labels.into_iter().flat_map(|labels| labels.regions.values());
        let smallest =
            regions.filter(|region| region.voxels.contains(index)).min_by_key(|region| region.voxels.voxels()).copied();
        match smallest {
            Some(region) => {
                self.perform(Edit::RemoveRegion { tomogram, region });
            }
            None => self.toasts.add("No complete region here to remove"),
        }
    }
}
