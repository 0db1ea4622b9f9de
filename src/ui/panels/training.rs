//! Training: what is needed, settings, the run, and its loss.

use egui::{ComboBox, DragValue, ProgressBar, RichText, Ui};
use egui_plot::{Line, Plot};

use crate::train::{DeviceChoice, Method, Preset};
use crate::ui::options::LiveRate;
use crate::ui::state::{Action, UiState};
use crate::ui::theme;
use crate::ui::training::{Phase, duration, problems};

/// What the main button and the key T do: its name, and the request when it is possible.
pub fn main_action(state: &UiState) -> (&'static str, Option<Action>) {
    match state.training.phase {
        Phase::Idle => {
            let ready = !problems(state).iter().any(|problem| problem.blocks);
            ("Train", ready.then_some(Action::Train))
        }
        Phase::Starting => ("Starting…", None),
        Phase::Running => ("Pause", Some(Action::Pause)),
        Phase::Paused => ("Resume", Some(Action::Resume)),
        Phase::Finishing => ("Finishing…", None),
        Phase::Stopping => ("Stopping…", None),
    }
}

/// Draws the section.
pub fn training_ui(ui: &mut Ui, state: &mut UiState) {
    super::section(ui, "Training", |ui| {
        settings_ui(ui, state);
        if state.training.phase == Phase::Idle {
            problems_ui(ui, state);
        }
        ui.horizontal(|ui| {
            let (name, action) = main_action(state);
            let is_ready = action.is_some();
            let button = theme::primary_button(ui, name);
            if ui.add_enabled(is_ready, button).on_hover_text("T").clicked() {
                state.actions.extend(action);
            }
            let active = state.training.is_active() && state.training.phase != Phase::Stopping;
            if state.training.phase == Phase::Idle && state.training.kept_run.is_some() {
                let go_on = ui.add_enabled(is_ready, egui::Button::new("Continue last run"));
                let explanation = "From its checkpoint, with the labels as they are now";
                if go_on.on_hover_text(explanation).clicked() {
                    state.request(Action::ContinueRun);
                }
            }
            let hint = match state.training.phase {
                Phase::Finishing => "Go without what is left; the model stays",
                _ => "End the run early; the model stays",
            };
            if active && ui.button("Stop").on_hover_text(hint).clicked() {
                state.request(Action::StopTraining);
            }
        });
        run_ui(ui, state);
        model_ui(ui, state);
    });
}

fn settings_ui(ui: &mut Ui, state: &mut UiState) {
    let idle = state.training.phase == Phase::Idle;
    let config = &mut state.training.config;
    ui.add_enabled_ui(idle, |ui| {
        ui.horizontal(|ui| {
            let name = |device: DeviceChoice| match device {
                DeviceChoice::Auto => "Automatic",
                DeviceChoice::Cpu => "CPU",
                DeviceChoice::Gpu => "GPU",
            };
            let combo = ComboBox::from_id_salt("device").selected_text(name(config.device)).width(92.0);
            let combo = combo.show_ui(ui, |ui| {
                for device in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Gpu] {
                    ui.selectable_value(&mut config.device, device, name(device));
                }
            });
            combo.response.accessible_name("Device").on_hover_text("Automatic: a GPU when there is one, else the CPU");
            let name = |preset: Preset| match preset {
                Preset::Compact => "Compact",
                Preset::ResNet34 => "ResNet-34",
                Preset::VNet => "V-Net",
                Preset::VNetCompact => "V-Net compact",
                Preset::Fpn => "FPN",
                Preset::FpnCompact => "FPN compact",
            };
            let combo = ComboBox::from_id_salt("preset").selected_text(name(config.preset)).width(84.0);
            let combo = combo.show_ui(ui, |ui| {
                for preset in Preset::ALL {
                    ui.selectable_value(&mut config.preset, preset, name(preset));
                }
            });
            let explanation = "Compact: 1.5 million parameters, for CPUs and live training. ResNet-34: larger, for GPUs. \
                               V-Net and FPN: other networks to compare with, each for GPUs or compact for CPUs";
            combo.response.accessible_name("Network").on_hover_text(explanation);
            let steps = DragValue::new(&mut config.steps).range(1..=1_000_000).speed(10.0).suffix(" steps");
            ui.add(steps).accessible_name("Steps").on_hover_text("Optimiser steps on the labels; as many follow on what is unlabelled");
        });
        let mut learns = config.method != Method::Supervised;
        let explanation = "Co-training: after the steps on the labels, as many in which a teacher, the averaged network, also shows \
                           what it finds in unlabelled tomograms and in the parts that nothing was said of";
        if ui.checkbox(&mut learns, "Learn from unlabelled parts too").on_hover_text(explanation).changed() {
            config.method = if learns { Method::Semi } else { Method::Supervised };
        }
    });
    live_rate_ui(ui, state);
}

/// How often the views follow the run; also while it goes on.
fn live_rate_ui(ui: &mut Ui, state: &mut UiState) {
    let mut rate = LiveRate::of(state.training.config.live_view_secs);
    let before = rate;
    ui.horizontal(|ui| {
        ui.label("Live view").on_hover_text("How often heatmap and picks on the screen follow the training");
        for (value, name) in LiveRate::ALL {
            let hint = match value {
                LiveRate::Off => "All the time goes to training",
                LiveRate::Low => "Every 15 s at most",
                LiveRate::Live => "Every 3 s at most",
            };
            let response = ui.selectable_value(&mut rate, value, name).on_hover_text(hint);
            response.widget_info(|| {
                egui::WidgetInfo::selected(egui::Role::RadioButton, true, before == value, format!("Live view {name}"))
            });
        }
    });
    if rate != before {
        state.training.config.live_view_secs = rate.secs();
        if state.training.is_active() {
            state.request(Action::LiveViewEvery(rate.secs()));
        }
    }
}

fn problems_ui(ui: &mut Ui, state: &UiState) {
    let palette = theme::palette(ui.visuals());
    for problem in problems(state) {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 5.0;
            super::dot(ui, if problem.blocks { palette.warning } else { palette.weak }, problem.blocks);
            ui.colored_label(if problem.blocks { palette.text } else { palette.weak }, format!("{}.", problem.what));
            ui.colored_label(palette.weak, problem.remedy);
        });
    }
}

/// A plot over steps that is only looked at, from 0 upwards.
fn curve_plot(ui: &Ui, name: &'static str, height: f32) -> Plot<'static> {
    Plot::new(name)
        .height(height)
        .width(ui.available_width() - 6.0)
        .show_axes([false, true])
        .show_grid([false, true])
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .show_x(false)
        .y_axis_min_width(34.0)
        .include_y(0.0)
}

fn run_ui(ui: &mut Ui, state: &UiState) {
    let palette = theme::palette(ui.visuals());
    let training = &state.training;
    if let Some(device) = &training.device {
        let parameters = training.parameters as f64 / 1e6;
        super::hint(ui, &format!("{device}, {parameters:.1} million parameters"));
    }
    if let Some(progress) = training.progress {
        let (share, text) = match training.choosing {
            Some(share) => (share, format!("choosing thresholds, {:.0} %", 100.0 * share)),
            None => {
                let share = progress.step as f32 / progress.steps.max(1) as f32;
                (share, format!("{} / {} steps", progress.step, progress.steps))
            }
        };
        let name = format!("Training progress: {text}");
        ui.add(ProgressBar::new(share).text(RichText::new(text).small()).desired_height(16.0)).accessible_name(name);
        let left = if training.phase == Phase::Running || training.phase == Phase::Paused {
            format!(", {} left", duration(progress.remaining))
        } else {
            String::new()
        };
        let speed = progress.steps_per_second;
        let consistency = progress.consistency_loss.map_or(String::new(), |loss| format!(", consistency {loss:.5}"));
        let apart = progress.difference.map_or(String::new(), |rms| format!(", teacher and student {rms:.3} apart"));
        let stage = progress.stage;
        super::hint(ui, &format!("{stage}: loss {:.5}{consistency}{apart}, {speed:.2} steps/s{left}", progress.loss));
    }
    if training.losses.points.len() > 1 {
        let plot = curve_plot(ui, "loss", 92.0);
        let single = training.losses.points.clone();
        let mean = training.losses.smoothed();
        let consistency = training.consistency.smoothed();
        let (accent, other) = (palette.accent, palette.warning);
        plot.show(ui, move |plot| {
            plot.line(Line::new("loss of each step", single).color(theme::faded(accent, 0.35)).width(1.0));
            plot.line(Line::new("mean", mean).color(accent).width(1.8));
            plot.line(Line::new("consistency", consistency).color(other).width(1.8));
        });
        if !training.consistency.points.is_empty() {
            ui.horizontal(|ui| {
                for (colour, text) in [(accent, "on labels"), (other, "between teacher and student")] {
                    super::dot(ui, colour, true);
                    super::hint(ui, text);
                }
            });
        }
    }
    if let Some([step, f1]) = training.held_out.last() {
        super::hint(ui, &format!("F1 on held-out labels {f1:.3} at step {step:.0}"));
        let plot = curve_plot(ui, "held-out", 56.0).include_y(1.0);
        let (points, accent) = (training.held_out.clone(), palette.accent);
        plot.show(ui, move |plot| plot.line(Line::new("F1 on held-out labels", points).color(accent).width(1.8)));
    }
    if let Some(outcome) = &training.outcome {
        ui.colored_label(palette.text, outcome);
    }
}

fn model_ui(ui: &mut Ui, state: &mut UiState) {
    ui.add_space(2.0);
    match &state.training.model {
        Some(model) => {
            let names: Vec<&str> = model.classes.iter().map(|class| class.name.as_str()).collect();
            let spacing = model.spacing_angstrom.map_or(String::new(), |spacing| format!(", at {spacing:.2} Å"));
            super::hint(ui, &format!("Model: {} ({}{spacing})", model.origin, names.join(", ")));
        }
        None => super::hint(ui, "No model yet: train one, or load one"),
    }
    ui.horizontal(|ui| {
        let idle = !state.training.is_active();
        if ui.add_enabled(idle, egui::Button::new("Load model…")).clicked() {
            state.request(Action::LoadModelDialog);
        }
        if ui.add_enabled(state.training.model.is_some(), egui::Button::new("Save model…")).clicked() {
            state.request(Action::SaveModelDialog);
        }
    });
}
