//! Short messages that go away by themselves: for what went well. Failures stay, as banners.
//!
//! A toast asks for one repaint, at its end, instead of repainting as long as it is shown, and has a name for screen readers.

use std::time::Duration;

use egui::{Align2, Area, Frame, Id, Order, Sense, vec2};

use super::theme;

/// How long a toast stays.
const SHOWN_SECS: f64 = 4.0;
/// More toasts than these push the oldest away.
const MOST: usize = 4;

#[derive(Debug)]
struct Toast {
    text: String,
    /// Set when it is first drawn.
    until: Option<f64>,
}

/// The toasts on the screen.
#[derive(Debug, Default)]
pub struct Toasts {
    toasts: Vec<Toast>,
}

impl Toasts {
    /// Shows a message.
    pub fn add(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.toasts.retain(|toast| toast.text != text);
        self.toasts.push(Toast { text, until: None });
        if self.toasts.len() > MOST {
            self.toasts.remove(0);
        }
    }

    /// Draws them above the lower right corner of `within`.
    pub fn ui(&mut self, ctx: &egui::Context, within: egui::Rect) {
        let now = ctx.input(|input| input.time);
        self.toasts.retain(|toast| toast.until.is_none_or(|until| until > now));
        if self.toasts.is_empty() {
            return;
        }
        for toast in &mut self.toasts {
            let until = *toast.until.get_or_insert(now + SHOWN_SECS);
            ctx.request_repaint_after(Duration::from_secs_f64((until - now).max(0.01)));
        }
        Area::new(Id::unique("toasts"))
            .order(Order::Foreground)
            .pivot(Align2::RIGHT_BOTTOM)
            .fixed_pos(within.right_bottom() - vec2(12.0, 12.0))
            .interactable(false)
            .show(ctx, |ui| {
                ui.set_max_width(420.0);
                for toast in &self.toasts {
                    Frame::window(ui.style()).show(ui, |ui| {
                        ui.horizontal(|ui| {
                            let palette = theme::palette(ui.visuals());
                            let (dot, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
                            ui.painter().circle_filled(dot.center(), 4.0, palette.success);
                            ui.label(&toast.text);
                        });
                    });
                }
            });
    }
}
