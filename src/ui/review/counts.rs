//! Counts and densities of each tomogram: bars, and the numbers.

use egui::{Align2, Button, FontId, Grid, Rect, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use super::ClassLook;
use crate::labels::PointKind;
use crate::review::{TomogramCount, cubic_micrometres};
use crate::ui::panels::hint;
use crate::ui::picks::project_class;
use crate::ui::state::{UiState, VolumeState};
use crate::ui::theme;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plotted {
    /// Picks that are shown and not rejected.
    #[default]
    Picks,
    /// Labels, which accepted picks are among.
    Labels,
}

/// What counts were made from, their classes, and the counts.
type Made = ((u64, u64, Plotted), Vec<ClassLook>, Vec<TomogramCount>);

/// What of the counts is shown.
#[derive(Clone, Debug, Default)]
pub struct CountsForm {
    /// What is counted.
    pub what: Plotted,
    /// Bars of densities, not of counts.
    pub density: bool,
    made: Option<Made>,
}

/// Height of a tomogram's bars, for one class.
const BAR: f32 = 9.0;
/// Width of the names beside the bars.
const NAMES: f32 = 110.0;

impl UiState {
    /// Particles of each tomogram that has any said about it, made anew only when something has changed.
    fn refresh_counts(&mut self) {
        self.refresh_picks();
        let key = (self.picks.revision(), self.review.edits, self.review.counts.what);
        if self.review.counts.made.as_ref().is_some_and(|(present, _, _)| *present == key) {
            return;
        }
        let classes = self.review_classes();
        let counts = self.tomogram_counts(&classes);
        self.review.counts.made = Some((key, classes, counts));
    }

    fn tomogram_counts(&self, classes: &[ClassLook]) -> Vec<TomogramCount> {
        let annotations = self.document.annotations();
        let place = |name: &str| classes.iter().position(|look| look.name == name);
        let mut all = Vec::new();
        for entry in self.document.tomograms() {
            let mut counts = vec![0; classes.len()];
            let mut mask = None;
            match self.review.counts.what {
                Plotted::Labels => {
                    let Some(labels) = annotations.labels(entry.id) else { continue };
                    for point in labels.points.values() {
                        let PointKind::Particle(id) = point.kind else { continue };
                        if let Some(place) = annotations.class(id).and_then(|class| place(&class.name)) {
                            counts[place] += 1;
                        }
                    }
                }
                Plotted::Picks => {
                    let Some(set) = self.picks.set(entry.id) else { continue };
                    mask = self.picks.mask(entry.id);
                    let own = |class| project_class(annotations, class).unwrap_or(class);
                    let places: Vec<Option<usize>> = set.classes.iter().map(|class| place(&own(class).name)).collect();
                    for (index, pick) in set.picks.iter().enumerate() {
                        if self.picks.is_wanted(set, index)
                            && let Some(Some(place)) = places.get(pick.class)
                        {
                            counts[*place] += 1;
                        }
                    }
                }
            }
            let shape = match self.volumes.get(&entry.id) {
                Some(VolumeState::Open(volume)) => volume.shape(),
                _ => entry.shape,
            };
            let volume = self.spacing(entry.id).map(|spacing| cubic_micrometres(shape, mask.as_ref(), spacing));
            all.push(TomogramCount { tomogram: entry.id, name: entry.name.clone(), counts, cubic_micrometres: volume });
        }
        all
    }
}

/// Draws the tab.
pub(super) fn counts_ui(ui: &mut Ui, state: &mut UiState) {
    ui.horizontal_wrapped(|ui| {
        let form = &mut state.review.counts;
        ui.radio_value(&mut form.what, Plotted::Picks, "Picks")
            .on_hover_text("Above the thresholds, in the box, and not rejected");
        ui.radio_value(&mut form.what, Plotted::Labels, "Labels").on_hover_text("Accepted picks are labels too");
        ui.separator();
        ui.radio_value(&mut form.density, false, "Count");
        ui.radio_value(&mut form.density, true, "Density")
            .on_hover_text("Particles per cubic micrometre of the tomogram, or of the box of its picks");
    });
    state.refresh_counts();
    let Some((_, classes, counts)) = state.review.counts.made.clone() else { return };
    if counts.is_empty() {
        ui.add_space(8.0);
        hint(
            ui,
            match state.review.counts.what {
                Plotted::Picks => "No picks to count: train, or pick tomograms with a model under Picks, on the right",
                Plotted::Labels => "No labels to count: click on particles, or accept picks",
            },
        );
        return;
    }
    // Classes of which there is nothing take no room.
    let present: Vec<usize> = (0..classes.len()).filter(|class| counts.iter().any(|count| count.counts[*class] > 0)).collect();
    let density = state.review.counts.density;
    let mut go = None;
    let height = ui.available_height();
    ui.horizontal_top(|ui| {
        let width = (ui.available_width() * 0.5).max(260.0);
        ui.allocate_ui(vec2(width, height), |ui| {
            ScrollArea::vertical().id_salt("bars").auto_shrink(false).show(ui, |ui| {
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = 4.0;
                    go = bars_ui(ui, &classes, &counts, &present, density);
                });
            });
        });
        ui.separator();
        ScrollArea::both().id_salt("numbers").auto_shrink(false).show(ui, |ui| {
            ui.vertical(|ui| numbers_ui(ui, &classes, &counts, &present));
        });
    });
    if let Some(tomogram) = go {
        state.show(tomogram);
    }
}

/// The value of a class in a tomogram; `None` where there is no density.
fn value(count: &TomogramCount, class: usize, density: bool) -> Option<f64> {
    if density { count.density(class) } else { Some(count.counts[class] as f64) }
}

/// Bars of every tomogram, one a class; the tomogram that was clicked on.
fn bars_ui(
    ui: &mut Ui,
    classes: &[ClassLook],
    counts: &[TomogramCount],
    present: &[usize],
    density: bool,
) -> Option<crate::labels::TomogramId> {
    let palette = theme::palette(ui.visuals());
    let values = counts.iter().flat_map(|count| present.iter().filter_map(|class| value(count, *class, density)));
    let most = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let mut clicked = None;
    for count in counts {
        let height = (present.len().max(1) as f32 * BAR).max(14.0);
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width() - 10.0, height), Sense::click());
        let said: Vec<String> =
            present.iter().map(|class| format!("{} {}", classes[*class].name, number(value(count, *class, density)))).collect();
        let name = format!("Bars of {}: {}", count.name, said.join(", "));
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        if response.clicked() {
            clicked = Some(count.tomogram);
        }
        let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
        if response.hovered() {
            painter.rect_filled(rect, 2.0, palette.raised);
        }
        let names = painter.with_clip_rect(rect.with_max_x(rect.left() + NAMES - 6.0).intersect(painter.clip_rect()));
        let font = FontId::proportional(12.0);
        names.text(rect.left_center(), Align2::LEFT_CENTER, &count.name, font, palette.text);
        let left = rect.left() + NAMES;
        let room = (rect.right() - left - 58.0).max(20.0);
        for (line, class) in present.iter().enumerate() {
            let Some(value) = value(count, *class, density) else { continue };
            let top = rect.top() + (height - present.len() as f32 * BAR) / 2.0 + line as f32 * BAR;
            let width = (room * (value / most) as f32).max(1.0);
            let bar = Rect::from_min_size(pos2(left, top + 1.0), vec2(width, BAR - 2.0));
            painter.rect_filled(bar, 1.0, classes[*class].colour);
            let text = match classes[*class].letter.filter(|_| present.len() > 1) {
                Some(letter) => format!("{letter} {}", number(Some(value))),
                None => number(Some(value)),
            };
            let at = pos2(bar.right() + 4.0, bar.center().y);
            painter.text(at, Align2::LEFT_CENTER, text, FontId::proportional(10.0), palette.weak);
        }
        response.on_hover_text(name);
    }
    clicked
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value == value.round() && value.abs() < 1e6 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.1}"),
    }
}

/// The numbers behind the bars.
fn numbers_ui(ui: &mut Ui, classes: &[ClassLook], counts: &[TomogramCount], present: &[usize]) {
    let palette = theme::palette(ui.visuals());
    let columns = 2 + 2 * present.len();
    Grid::new("numbers").num_columns(columns).striped(true).spacing(vec2(12.0, 3.0)).show(ui, |ui| {
        ui.colored_label(palette.weak, "tomogram");
        ui.colored_label(palette.weak, "µm³").on_hover_text("Volume of the tomogram, or of the box of its picks");
        for class in present {
            ui.horizontal(|ui| {
                super::super::panels::dot(ui, classes[*class].colour, true);
                ui.label(RichText::new(&classes[*class].name).color(palette.strong));
            });
            ui.colored_label(palette.weak, "per µm³");
        }
        ui.end_row();
        for count in counts {
            ui.label(&count.name);
            ui.label(count.cubic_micrometres.map_or_else(|| "–".to_owned(), volume));
            for class in present {
                ui.label(RichText::new(count.counts[*class].to_string()).color(palette.strong));
                ui.label(number(count.density(*class)));
            }
            ui.end_row();
        }
        let whole: Option<f64> = counts.iter().map(|count| count.cubic_micrometres).sum();
        ui.label("all");
        ui.label(whole.map_or_else(|| "–".to_owned(), volume));
        for class in present {
            let sum: usize = counts.iter().map(|count| count.counts[*class]).sum();
            ui.label(RichText::new(sum.to_string()).color(palette.strong).strong());
            ui.label(number(whole.filter(|whole| *whole > 0.0).map(|whole| sum as f64 / whole)));
        }
        ui.end_row();
    });
    if ui.add(Button::new("Copy as a table").small()).on_hover_text("Tab-separated, for a spreadsheet").clicked() {
        ui.ctx().copy_text(as_text(classes, counts, present));
    }
}

/// A volume in cubic micrometres with three digits.
fn volume(cubic_micrometres: f64) -> String {
    if cubic_micrometres >= 0.01 { format!("{cubic_micrometres:.3}") } else { format!("{cubic_micrometres:.2e}") }
}

/// The numbers, tab-separated.
fn as_text(classes: &[ClassLook], counts: &[TomogramCount], present: &[usize]) -> String {
    let mut text = "tomogram\tcubic_micrometres".to_owned();
    for class in present {
        let name = &classes[*class].name;
        text.push_str(&format!("\t{name}\t{name}_per_cubic_micrometre"));
    }
    for count in counts {
        let volume = count.cubic_micrometres.map_or_else(String::new, |volume| format!("{volume:.6}"));
        text.push_str(&format!("\n{}\t{volume}", count.name));
        for class in present {
            let density = count.density(*class).map_or_else(String::new, |density| format!("{density:.3}"));
            text.push_str(&format!("\t{}\t{density}", count.counts[*class]));
        }
    }
    text.push('\n');
    text
}
