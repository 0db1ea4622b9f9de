//! The form that asks what a file of positions leaves open.

use egui::{Button, ComboBox, DragValue, TextEdit, Ui, Window};

use super::classes::RADII;
use super::export::pixel_ui;
use crate::labels::{Class, TomogramId};
use crate::ui::import::{ClassChoice, UnknownClass};
use crate::ui::state::UiState;
use crate::ui::training::file_name;

/// Width of the form, in points.
const WIDTH: f32 = 460.0;

/// Draws the form for the first file that waits for answers.
pub fn import_ui(ui: &mut Ui, state: &mut UiState) {
    // Out of the state while it is drawn, so that the state can be read.
    let Some(mut form) = state.imports.pop_front() else {
        return;
    };
    let mut open = true;
    let mut import = false;
    let mut cancel = false;
    let tomograms: Vec<(TomogramId, String)> =
        state.document.tomograms().iter().map(|entry| (entry.id, entry.name.clone())).collect();
    let classes = state.document.annotations().classes.clone();
    let window = Window::new("Import positions").open(&mut open).collapsible(false).resizable(false);
    let centre = ui.ctx().content_rect().center();
    window.pivot(egui::Align2::CENTER_CENTER).default_pos(centre).show(ui.ctx(), |ui| {
        ui.set_width(WIDTH);
        ui.label(format!("{} positions in {}", form.positions.rows.len(), file_name(&form.path)))
            .on_hover_text(form.path.display().to_string());
        super::hint(ui, &format!("Read as {}: {}", form.positions.format, form.positions.format.description()));
        if let Some(pixel) = &mut form.tilt_series_pixel_angstrom {
            pixel_ui(ui, pixel);
        }
        if form.unnamed > 0 {
            ui.horizontal(|ui| {
                let label = ui.label("Tomogram of these positions").id;
                let combo = tomogram_ui(ui, "tomogram of positions", &mut form.tomogram, "choose…", &tomograms);
                combo.labelled_by(label);
            });
        }
        if let Some((name, meant)) = &mut form.renamed {
            ui.horizontal(|ui| {
                let label = ui.label(format!("Tomogram {name}, which the project lacks")).id;
                tomogram_ui(ui, "tomogram of another name", meant, "leave out", &tomograms).labelled_by(label);
            });
        }
        for class in &mut form.classes {
            class_ui(ui, class, &classes);
        }
        let problem = form.problem();
        ui.horizontal(|ui| {
            let button = ui.add_enabled(problem.is_none(), Button::new("Import"));
            import = button.on_disabled_hover_text(problem.unwrap_or_default()).clicked();
            cancel = ui.button("Cancel").clicked();
            if let Some(problem) = problem {
                super::hint(ui, problem);
            }
        });
    });
    if import {
        state.finish_import(&form);
    } else if !cancel && open {
        state.imports.push_front(form);
    }
}

/// Lets the user choose one of the project's tomograms, or none.
fn tomogram_ui(
    ui: &mut Ui,
    salt: &str,
    chosen: &mut Option<TomogramId>,
    none: &str,
    tomograms: &[(TomogramId, String)],
) -> egui::Response {
    let name = |id: Option<TomogramId>| {
        let entry = tomograms.iter().find(|(own, _)| Some(*own) == id);
        entry.map_or_else(|| none.to_owned(), |(_, name)| name.clone())
    };
    let combo = ComboBox::from_id_salt(salt.to_owned()).selected_text(name(*chosen)).width(180.0);
    let combo = combo.show_ui(ui, |ui| {
        for id in std::iter::once(None).chain(tomograms.iter().map(|(id, _)| Some(*id))) {
            ui.selectable_value(chosen, id, name(id));
        }
    });
    combo.response
}

/// Asks what becomes of a class that the project does not have.
fn class_ui(ui: &mut Ui, unknown: &mut UnknownClass, classes: &[Class]) {
    let title = unknown.title();
    let name = |choice: ClassChoice| match choice {
        ClassChoice::Add => "add as a new class".to_owned(),
        ClassChoice::Negative => "not particles".to_owned(),
        ClassChoice::LeaveOut => "leave out".to_owned(),
        ClassChoice::Existing(id) => {
            let class = classes.iter().find(|class| class.id == id);
            class.map_or_else(String::new, |class| format!("are {}", class.name))
        }
    };
    ui.horizontal(|ui| {
        ui.label(format!("{title} ({})", unknown.count));
        let combo = ComboBox::from_id_salt(format!("class {title}")).selected_text(name(unknown.choice)).width(140.0);
        let combo = combo.show_ui(ui, |ui| {
            let existing = classes.iter().map(|class| ClassChoice::Existing(class.id));
            let choices = [ClassChoice::Add, ClassChoice::Negative, ClassChoice::LeaveOut];
            for choice in choices.into_iter().chain(existing) {
                ui.selectable_value(&mut unknown.choice, choice, name(choice));
            }
        });
        combo.response.accessible_name(format!("What becomes of {title}"));
    });
    if unknown.choice == ClassChoice::Add {
        ui.horizontal(|ui| {
            ui.add_space(18.0);
            let field = TextEdit::singleline(&mut unknown.name).desired_width(130.0);
            ui.add(field).accessible_name(format!("New name of {title}"));
            let radius = DragValue::new(&mut unknown.radius_angstrom).range(RADII).speed(1.0).suffix(" Å").max_decimals(1);
            ui.add(radius).accessible_name(format!("New radius of {title}")).on_hover_text("Radius of the particle in angstrom");
        });
    }
}
