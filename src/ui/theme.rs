//! Colours and spacing of the window. No other file names a colour, except those that users give to classes.

#![allow(clippy::disallowed_methods, reason = "this is the place for colours")]

use egui::style::{Selection, WidgetVisuals, Widgets};
use egui::{Color32, CornerRadius, Margin, Shadow, Stroke, Theme, Visuals, vec2};

use crate::render::PaneColours;
use crate::render::pane::HEAT_COLOURS;

/// Colours with a meaning.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// The surface of panels.
    pub panel: Color32,
    /// Surfaces that lie deeper than panels: fields, plots, the list of tomograms.
    pub sunken: Color32,
    /// Surfaces above panels: windows, menus.
    pub raised: Color32,
    /// Around slices.
    pub canvas: Color32,
    /// Thin lines between panels.
    pub line: Color32,
    /// Text.
    pub text: Color32,
    /// Headings and what is chosen.
    pub strong: Color32,
    /// Hints, units and what is less important.
    pub weak: Color32,
    /// What is active or invites a click.
    pub accent: Color32,
    /// Text on [`Palette::accent`].
    pub on_accent: Color32,
    /// Chosen rows.
    pub selected: Color32,
    /// Something went well.
    pub success: Color32,
    /// Something needs attention.
    pub warning: Color32,
    /// Something failed.
    pub error: Color32,
    /// Behind a failure's message.
    pub error_surface: Color32,
    /// Behind a message that asks for attention.
    pub warning_surface: Color32,
    check: Color32,
    button: Color32,
    button_hover: Color32,
    button_press: Color32,
}

const DARK: Palette = Palette {
    panel: Color32::from_rgb(0x22, 0x25, 0x2a),
    sunken: Color32::from_rgb(0x19, 0x1b, 0x1f),
    raised: Color32::from_rgb(0x2a, 0x2e, 0x34),
    canvas: Color32::from_rgb(0x12, 0x13, 0x16),
    line: Color32::from_rgb(0x36, 0x3b, 0x43),
    text: Color32::from_rgb(0xcf, 0xd4, 0xdb),
    strong: Color32::from_rgb(0xf2, 0xf4, 0xf7),
    weak: Color32::from_rgb(0x96, 0x9e, 0xaa),
    accent: Color32::from_rgb(0x5b, 0xa7, 0xd9),
    on_accent: Color32::from_rgb(0x0c, 0x16, 0x1e),
    selected: Color32::from_rgb(0x2c, 0x4a, 0x5f),
    success: Color32::from_rgb(0x7b, 0xc4, 0x8f),
    warning: Color32::from_rgb(0xe3, 0xb3, 0x5c),
    error: Color32::from_rgb(0xf0, 0x8a, 0x80),
    error_surface: Color32::from_rgb(0x45, 0x28, 0x28),
    warning_surface: Color32::from_rgb(0x40, 0x35, 0x20),
    check: Color32::from_rgb(0x47, 0x4f, 0x5a),
    button: Color32::from_rgb(0x33, 0x38, 0x40),
    button_hover: Color32::from_rgb(0x3e, 0x45, 0x4f),
    button_press: Color32::from_rgb(0x2b, 0x30, 0x37),
};

const LIGHT: Palette = Palette {
    panel: Color32::from_rgb(0xf3, 0xf4, 0xf6),
    sunken: Color32::from_rgb(0xff, 0xff, 0xff),
    raised: Color32::from_rgb(0xfb, 0xfb, 0xfc),
    canvas: Color32::from_rgb(0x4a, 0x50, 0x58),
    line: Color32::from_rgb(0xce, 0xd3, 0xd9),
    text: Color32::from_rgb(0x2d, 0x33, 0x3b),
    strong: Color32::from_rgb(0x0e, 0x12, 0x17),
    weak: Color32::from_rgb(0x5f, 0x68, 0x73),
    accent: Color32::from_rgb(0x1f, 0x6f, 0xa8),
    on_accent: Color32::from_rgb(0xff, 0xff, 0xff),
    selected: Color32::from_rgb(0xc6, 0xdf, 0xf0),
    success: Color32::from_rgb(0x1e, 0x7a, 0x3c),
    warning: Color32::from_rgb(0x8a, 0x5a, 0x00),
    error: Color32::from_rgb(0xb0, 0x2a, 0x24),
    error_surface: Color32::from_rgb(0xfb, 0xe3, 0xe1),
    warning_surface: Color32::from_rgb(0xfb, 0xef, 0xd6),
    check: Color32::from_rgb(0xcc, 0xd2, 0xd9),
    button: Color32::from_rgb(0xe3, 0xe6, 0xea),
    button_hover: Color32::from_rgb(0xd6, 0xdb, 0xe1),
    button_press: Color32::from_rgb(0xc9, 0xcf, 0xd7),
};

/// The palette of the visuals in use.
pub fn palette(visuals: &Visuals) -> &'static Palette {
    if visuals.dark_mode { &DARK } else { &LIGHT }
}

// Drawn on slices, which are grey in either theme.

/// The crosshair.
pub const CROSSHAIR: Color32 = Color32::from_rgba_premultiplied(70, 100, 115, 120);
/// Around letters and markers on a slice, so that they stay legible on any grey.
pub const HALO: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 170);
/// Behind text on a slice.
pub const CHIP: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 160);
/// Text on a slice.
pub const ON_SLICE: Color32 = Color32::from_rgb(0xe8, 0xec, 0xf0);
/// Complete regions.
pub const REGION: Color32 = Color32::from_rgb(0x66, 0xd9, 0xc0);
/// "Not a particle".
pub const NEGATIVE: Color32 = Color32::from_rgb(0xe6, 0xe6, 0xe6);
/// A picture as it is.
pub const UNTINTED: Color32 = Color32::WHITE;
/// The pick under review.
pub const REVIEWED: Color32 = Color32::from_rgb(0xff, 0xff, 0xff);

/// Inside the rectangle that chooses labels.
pub const SELECTION_FILL: Color32 = Color32::from_rgba_premultiplied(28, 32, 36, 40);
/// Edges of the volume in the overview that lie in front.
pub const BOX_BEFORE: Color32 = Color32::from_rgb(0x8a, 0x93, 0x9f);
/// Edges of the volume in the overview that lie behind.
pub const BOX_BEHIND: Color32 = Color32::from_rgb(0x4c, 0x54, 0x5e);
/// The plane of the XY view in the overview.
pub const SLICE_PLANE: Color32 = Color32::from_rgba_premultiplied(14, 26, 34, 46);

/// Behind the overview: dark in either theme, as class colours are made for it.
pub fn overview_canvas(visuals: &Visuals) -> Color32 {
    if visuals.dark_mode { DARK.canvas } else { Color32::from_rgb(0x24, 0x28, 0x2e) }
}

/// A colour that distant things fade to, and how much they do, as the overview's shader takes it.
pub fn fog(colour: Color32, strength: f32) -> [f32; 4] {
    let [r, g, b, _] = normalised(colour);
    [r, g, b, strength]
}

/// The box outside which picks are hidden.
pub const MASK: Color32 = Color32::from_rgb(0xc8, 0x9a, 0xf0);

/// What comparing two sets found; each has a form of marker as well.
pub fn finding_colour(finding: crate::review::Finding) -> Color32 {
    match finding {
        crate::review::Finding::Matched => Color32::from_rgb(0x56, 0xb4, 0xe9),
        crate::review::Finding::Missed => Color32::from_rgb(0xf0, 0xe4, 0x42),
        crate::review::Finding::Extra => Color32::from_rgb(0xe8, 0x6a, 0x3a),
    }
}

/// The colour map "inferno" of matplotlib (CC0), at ten evenly spaced values: perceptually uniform and safe for colour-blind eyes.
const INFERNO: [[u8; 3]; HEAT_COLOURS] = [
    [0x00, 0x00, 0x04],
    [0x1b, 0x0c, 0x41],
    [0x4a, 0x0c, 0x6b],
    [0x78, 0x1c, 0x6d],
    [0xa5, 0x2c, 0x60],
    [0xcf, 0x44, 0x46],
    [0xed, 0x69, 0x25],
    [0xfb, 0x9b, 0x06],
    [0xf7, 0xd1, 0x3d],
    [0xfc, 0xff, 0xa4],
];

/// The colour of a class.
pub fn class_colour(rgb: [u8; 3]) -> Color32 {
    Color32::from_rgb(rgb[0], rgb[1], rgb[2])
}

/// The same colour with an opacity of 0 to 1.
pub fn faded(colour: Color32, opacity: f32) -> Color32 {
    colour.gamma_multiply(opacity)
}

/// Text on a surface of this colour: dark or bright, whichever is easier to read.
pub fn text_on(colour: Color32) -> Color32 {
    let [r, g, b, _] = colour.to_array().map(f32::from);
    if 0.299 * r + 0.587 * g + 0.114 * b > 140.0 { DARK.on_accent } else { LIGHT.on_accent }
}

fn normalised(colour: Color32) -> [f32; 4] {
    let [r, g, b, a] = colour.to_array();
    [r, g, b, a].map(|part| f32::from(part) / 255.0)
}

/// The colours for the shaders.
pub fn pane_colours(visuals: &Visuals) -> PaneColours {
    PaneColours {
        background: normalised(palette(visuals).canvas),
        halo: normalised(HALO),
        heat: INFERNO.map(|[r, g, b]| normalised(Color32::from_rgb(r, g, b))),
    }
}

/// A class's colour as the marker shader takes it, with an opacity of 0 to 1.
pub fn marker_colour(colour: Color32, opacity: f32) -> [f32; 4] {
    let [r, g, b, _] = normalised(colour);
    [r, g, b, opacity]
}

/// Puts both themes into the context; the dark one is the default.
pub fn install(ctx: &egui::Context) {
    for (theme, palette) in [(Theme::Dark, &DARK), (Theme::Light, &LIGHT)] {
        ctx.style_mut_of(theme, |style| {
            style.visuals = visuals(theme, palette);
            style.spacing.item_spacing = vec2(8.0, 6.0);
            style.spacing.button_padding = vec2(8.0, 3.0);
            style.spacing.interact_size.y = 22.0;
            style.spacing.slider_width = 120.0;
            style.spacing.window_margin = Margin::same(12);
            style.spacing.menu_margin = Margin::same(6);
            style.spacing.indent = 14.0;
            style.spacing.scroll.bar_width = 8.0;
            style.interaction.selectable_labels = false;
            style.animation_time = 0.1;
        });
    }
    ctx.set_theme(egui::ThemePreference::Dark);
}

fn visuals(theme: Theme, palette: &Palette) -> Visuals {
    let radius = CornerRadius::same(4);
    let widget = |fill: Color32, stroke: Stroke, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: stroke,
        corner_radius: radius,
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let line = Stroke::new(1.0, palette.line);
    Visuals {
        widgets: Widgets {
            noninteractive: widget(palette.panel, line, palette.text),
            // Check boxes and radio buttons take the first fill, buttons the second.
            inactive: WidgetVisuals { bg_fill: palette.check, ..widget(palette.button, Stroke::NONE, palette.text) },
            hovered: widget(palette.button_hover, Stroke::new(1.0, palette.weak), palette.strong),
            active: widget(palette.button_press, Stroke::new(1.0, palette.accent), palette.strong),
            open: widget(palette.button_press, line, palette.strong),
        },
        selection: Selection { bg_fill: palette.selected, stroke: Stroke::new(1.0, palette.strong) },
        hyperlink_color: palette.accent,
        faint_bg_color: palette.raised,
        extreme_bg_color: palette.sunken,
        text_edit_bg_color: Some(palette.sunken),
        code_bg_color: palette.sunken,
        warn_fg_color: palette.warning,
        error_fg_color: palette.error,
        weak_text_color: Some(palette.weak),
        window_fill: palette.raised,
        window_stroke: line,
        window_corner_radius: CornerRadius::same(6),
        menu_corner_radius: radius,
        panel_fill: palette.panel,
        window_shadow: Shadow { offset: [0, 6], blur: 18, spread: 0, color: faded(Color32::BLACK, 0.35) },
        popup_shadow: Shadow { offset: [0, 3], blur: 10, spread: 0, color: faded(Color32::BLACK, 0.3) },
        slider_trailing_fill: true,
        ..match theme {
            Theme::Dark => Visuals::dark(),
            Theme::Light => Visuals::light(),
        }
    }
}

/// A pixel of the icon, 64 pixels wide: three rings on a dark slice.
pub fn icon_pixel(x: f32, y: f32) -> [u8; 4] {
    let mut colour = DARK.sunken;
    for (index, (centre_x, centre_y, radius)) in
        [(22.0, 24.0, 13.0), (44.0, 40.0, 11.0), (20.0, 48.0, 7.0)].into_iter().enumerate()
    {
        let away = ((x - centre_x).hypot(y - centre_y) - radius).abs();
        let strength = (3.2 - away).clamp(0.0, 1.0);
        colour = colour.lerp_to_gamma(class_colour(crate::labels::default_colour(index)), strength);
    }
    let corner = (x - x.clamp(12.0, 52.0)).hypot(y - y.clamp(12.0, 52.0));
    let [r, g, b, _] = colour.to_array();
    [r, g, b, ((12.5 - corner).clamp(0.0, 1.0) * 255.0) as u8]
}

/// A button that stands for the next step.
pub fn primary_button(ui: &egui::Ui, text: &str) -> egui::Button<'static> {
    let palette = palette(ui.visuals());
    egui::Button::new(egui::RichText::new(text.to_owned()).color(palette.on_accent).strong()).fill(palette.accent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(colour: Color32) -> f32 {
        let linear = egui::Rgba::from(colour);
        0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b()
    }

    /// Contrast of WCAG 2.2: 4.5 is what it asks of normal text.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_legible_in_both_themes() {
        for palette in [&DARK, &LIGHT] {
            for surface in [palette.panel, palette.sunken, palette.raised, palette.button] {
                assert!(contrast(palette.text, surface) > 7.0);
            }
            for text in [palette.weak, palette.warning, palette.error, palette.success] {
                assert!(contrast(text, palette.panel) > 4.5, "{text:?}");
            }
            assert!(contrast(palette.error, palette.error_surface) > 4.5);
            assert!(contrast(palette.warning, palette.warning_surface) > 4.5);
            assert!(contrast(palette.on_accent, palette.accent) > 4.5);
            assert!(contrast(palette.strong, palette.selected) > 4.5);
            for surface in [palette.panel, palette.raised] {
                assert!(contrast(palette.weak, surface) >= 4.5, "hints");
                assert!(contrast(palette.accent, surface) >= 4.5, "links and counts");
            }
            assert!(contrast(palette.weak, palette.sunken) >= 4.5, "hints in fields");
            for surface in [palette.button, palette.button_hover, palette.button_press, palette.selected] {
                assert!(contrast(palette.strong, surface) >= 4.5, "buttons");
                assert!(contrast(palette.text, surface) >= 4.5, "buttons");
            }
            for surface in [palette.error_surface, palette.warning_surface] {
                assert!(contrast(palette.text, surface) >= 4.5, "what a banner says");
            }
        }
    }

    #[test]
    fn text_on_slices_and_on_the_overview_is_legible() {
        for theme in [Visuals::dark(), Visuals::light()] {
            let canvas = overview_canvas(&theme);
            assert!(contrast(ON_SLICE, canvas) >= 4.5);
            for index in 0..8 {
                let colour = class_colour(crate::labels::default_colour(index));
                assert!(contrast(colour, canvas) >= 2.5, "class {index} on the overview: {}", contrast(colour, canvas));
            }
        }
        // Text on a slice has a chip behind it, which darkens even a white slice.
        let [.., alpha] = CHIP.to_array();
        let grey = 255 - alpha;
        let behind = Color32::from_rgb(grey, grey, grey);
        assert!(contrast(ON_SLICE, behind) >= 4.5, "{}", contrast(ON_SLICE, behind));
    }

    #[test]
    fn text_on_any_class_colour_is_legible() {
        for index in 0..8 {
            let colour = class_colour(crate::labels::default_colour(index));
            assert!(contrast(text_on(colour), colour) > 3.0, "class {index}");
        }
    }
}
