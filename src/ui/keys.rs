//! The key map. `panels::help` shows it to the user.

use egui::{Context, Key, Modifiers};

use super::panels::training::main_action;
use super::state::{Action, Tool, UiState};
use crate::labels::PointKind;
use crate::render::Plane;
use crate::review::Verdict;

const NUMBERS: [Key; 9] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];

/// Acts on the keys pressed since the last frame. While text is being typed, keys are text.
pub fn keys(ctx: &Context, state: &mut UiState) {
    commands(ctx, state);
    if ctx.text_edit_focused() {
        return;
    }
    let pressed = |key| times(ctx, Modifiers::NONE, key) > 0;
    views(ctx, state);
    for (index, key) in NUMBERS.into_iter().enumerate() {
        if pressed(key) {
            match state.document.annotations().classes.get(index) {
                Some(class) => state.kind = Some(PointKind::Particle(class.id)),
                None => state.toasts.add(format!("There is no class {}", index + 1)),
            }
        }
    }
    if pressed(Key::N) {
        state.kind = Some(PointKind::Negative);
    }
    if pressed(Key::C) {
        match state.kind {
            Some(kind) => state.change_selected(kind),
            None => state.toasts.add("Add a class first, on the right: its name and radius"),
        }
    }
    if ctx.input(|input| input.key_pressed(Key::Escape)) && !state.forms.help && !state.forms.first_steps {
        state.selection.clear();
    }
    for _ in 0..times(ctx, Modifiers::NONE, Key::Delete) {
        if !state.selection.is_empty() {
            state.remove_selected();
            continue;
        }
        let plane = state.hover.map_or(Plane::Xy, |hover| hover.plane);
        let at = state.hover.map_or(state.crosshair.map(|n| n as f64), |hover| hover.index);
        if state.tool == Tool::Region {
            state.remove_region_at(at);
            continue;
        }
        let scale = state.panes[plane.index()].view.map_or(1.0, |view| view.points_per_voxel);
        if let Some((tomogram, _)) = state.open_volume() {
            let distance = state.grab_distance(tomogram, scale);
            state.remove_nearest(at, distance);
        }
    }
    for _ in 0..times(ctx, Modifiers::NONE, Key::OpenBracket) {
        state.step_tomogram(-1);
    }
    for _ in 0..times(ctx, Modifiers::NONE, Key::CloseBracket) {
        state.step_tomogram(1);
    }
    if pressed(Key::T) {
        match main_action(state).1 {
            Some(action) => state.request(action),
            None => state.toasts.add("Training cannot start yet: see what is missing under Training"),
        }
    }
    // Enter and space also press the button that has the keyboard's focus.
    let free = ctx.memory(|memory| memory.focused().is_none());
    for _ in 0..times(ctx, Modifiers::NONE, Key::J) {
        state.review_step(true);
    }
    for _ in 0..times(ctx, Modifiers::NONE, Key::K) {
        state.review_step(false);
    }
    if free && state.picks.reviewed.is_some() {
        for _ in 0..times(ctx, Modifiers::NONE, Key::Enter) {
            state.review_decide(Verdict::Accepted);
        }
        for _ in 0..times(ctx, Modifiers::NONE, Key::Backspace) {
            state.review_decide(Verdict::Rejected);
        }
    }
    let help = ctx.input(|input| {
        input.key_pressed(Key::Questionmark)
            || input.key_pressed(Key::F1)
            || (input.modifiers.shift && input.key_pressed(Key::Slash))
    });
    if help {
        state.forms.help = !state.forms.help;
    }
}

/// How often a key was pressed since the last frame. A slow frame gathers several presses, and none of them may be lost.
fn times(ctx: &Context, modifiers: Modifiers, key: Key) -> usize {
    ctx.input_mut(|input| input.count_and_consume_key(modifiers, key))
}

/// What works while text is being typed too.
fn commands(ctx: &Context, state: &mut UiState) {
    let pressed = |modifiers, key| times(ctx, modifiers, key) > 0;
    let typing = ctx.text_edit_focused();
    let shifted = Modifiers::COMMAND | Modifiers::SHIFT;
    if !typing {
        // The more specific combination comes first: egui takes ctrl+shift+Z for ctrl+Z as well.
        for _ in 0..times(ctx, shifted, Key::Z) + times(ctx, Modifiers::COMMAND, Key::Y) {
            state.request(Action::Redo);
        }
        for _ in 0..times(ctx, Modifiers::COMMAND, Key::Z) {
            state.request(Action::Undo);
        }
    }
    for (key, action) in [(Key::S, Action::Save), (Key::O, Action::OpenDialog), (Key::Q, Action::Quit)] {
        if pressed(Modifiers::COMMAND, key) {
            state.request(action);
        }
    }
    if pressed(Modifiers::COMMAND, Key::E) {
        state.forms.export = true;
    }
}

fn views(ctx: &Context, state: &mut UiState) {
    let pressed = |modifiers, key| times(ctx, modifiers, key) > 0;
    let plane = state.hover.map(|hover| hover.plane).or(state.focused_plane).unwrap_or(Plane::Xy);
    // A slider that has the keyboard's focus needs the arrows for itself, and so does the overview.
    let free = state.focused_plane.is_some() || ctx.memory(|memory| memory.focused().is_none());
    for (key, step, always) in
        [(Key::PageUp, 1, true), (Key::PageDown, -1, true), (Key::ArrowUp, 1, false), (Key::ArrowDown, -1, false)]
    {
        if !(always || free) {
            continue;
        }
        let count = 10 * times(ctx, Modifiers::SHIFT, key) + times(ctx, Modifiers::NONE, key);
        if count > 0 {
            state.step_slice(plane, step * count as isize);
        }
    }
    if pressed(Modifiers::NONE, Key::Home) {
        state.fit_views();
    }
    if pressed(Modifiers::NONE, Key::O) {
        state.display.overview = state.display.overview.toggled();
    }
    if pressed(Modifiers::NONE, Key::A) {
        state.auto_contrast();
    }
    if pressed(Modifiers::NONE, Key::I) {
        state.display.invert = !state.display.invert;
    }
    if pressed(Modifiers::NONE, Key::H) {
        state.display.heatmap = !state.display.heatmap;
    }
    if pressed(Modifiers::NONE, Key::P) {
        state.display.picks = !state.display.picks;
    }
    if pressed(Modifiers::NONE, Key::L) {
        state.display.labels = !state.display.labels;
    }
    for _ in 0..times(ctx, Modifiers::NONE, Key::Minus) {
        state.change_slab(false);
    }
    let thicker = [(Modifiers::NONE, Key::Plus), (Modifiers::SHIFT, Key::Plus), (Modifiers::NONE, Key::Equals)];
    for _ in 0..thicker.into_iter().map(|(modifiers, key)| times(ctx, modifiers, key)).sum() {
        state.change_slab(true);
    }
}
