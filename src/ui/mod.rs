//! The window: labelling, live training, picks.
//!
//! [`UiState`] is what the window knows; `panels` draw it, one file each, and leave [`Action`]s behind; [`App`] carries these
//! out and listens to the threads: the training session, the slice loader, the one that opens tomograms, and the one that
//! reads and writes coordinates. Nothing in a frame waits for any of them.

mod actions;
mod app;
pub mod boxes;
pub mod copick;
mod dialogs;
mod document;
pub mod export;
pub mod files;
mod frame_time;
pub mod import;
mod jobs;
mod keys;
mod loader;
pub mod options;
pub mod panels;
pub mod picks;
pub mod preferences;
pub mod review;
mod select;
pub mod snap;
pub mod spots;
pub mod state;
mod tally;
mod theme;
pub mod toasts;
pub mod training;

use std::path::{Path, PathBuf};

use anyhow::anyhow;

pub use app::{App, WindowOptions};
pub use document::{Document, SaveState};
pub use state::{Action, UiState};

use preferences::Preferences;

use crate::coordinates::read_classes;
use crate::project::Project;
use crate::train::{Session, compute_in_background};

/// Name under which the desktop knows the window.
const APP_ID: &str = "semietpicker";

/// Opens the window with these tomograms, tables of labels, or this project folder, and returns when it is closed.
///
/// # Errors
/// When no window can be opened, or a thread cannot be started.
pub fn run(paths: Vec<PathBuf>) -> anyhow::Result<()> {
    run_with(paths, WindowOptions::default())
}

/// As [`run`], with settings.
///
/// # Errors
/// As [`run`].
pub fn run_with(paths: Vec<PathBuf>, options: WindowOptions) -> anyhow::Result<()> {
    let left_behind = Document::left_behind();
    let (document, elsewhere) = Document::untitled()?;
    open_window(document, options, move |app| {
        app.state.left_behind = left_behind;
        if let Some(error) = elsewhere {
            app.state.fail("The project is kept in the folder for temporary files: save it elsewhere", &error);
        }
        if !paths.is_empty() {
            app.handle(Action::Open(paths));
        }
    })
}

/// Opens the window on the project `demo-project` in `folder`. A new one begins with these tomograms and the classes of a file;
/// tomograms that have a table of positions beside them (`NAME.csv`) begin with these labels and are complete, except the last
/// one, which is there to be picked.
///
/// # Errors
/// As [`run`]; and when the classes cannot be read.
pub fn run_demo(folder: &Path, tomograms: &[PathBuf], classes: &Path) -> anyhow::Result<()> {
    let place = folder.join("demo-project");
    let tomograms = tomograms.to_vec();
    if place.join("project.json").exists() {
        return open_window(Document::open(&place)?, WindowOptions::default(), |_| {});
    }
    let classes = read_classes(classes)?;
    let document = Document::new(Project::create(&place)?);
    open_window(document, WindowOptions::default(), move |app| app.begin_demo(&tomograms, &classes))
}

fn open_window(document: Document, mut options: WindowOptions, begin: impl FnOnce(&mut App) + 'static) -> anyhow::Result<()> {
    compute_in_background();
    options.preferences = options.preferences.or_else(Preferences::usual_file);
    let viewport = egui::ViewportBuilder::default()
        .with_title("SemiETPicker")
        .with_app_id(APP_ID)
        .with_inner_size(options.size)
        .with_min_inner_size([820.0, 520.0])
        .with_drag_and_drop(true)
        .with_icon(icon());
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    let create = move |creation: &eframe::CreationContext<'_>| {
        let ctx = creation.egui_ctx.clone();
        let session = Session::start(move || ctx.request_repaint())?;
        let mut app = App::new(&creation.egui_ctx, creation.wgpu_render_state.as_ref(), session, document, &options)?;
        begin(&mut app);
        Ok(Box::new(app) as Box<dyn eframe::App>)
    };
    eframe::run_native("SemiETPicker", native, Box::new(create)).map_err(|error| {
        anyhow!("the window cannot be opened ({error}); a display and a Vulkan, Metal, DX12 or OpenGL driver are needed")
    })
}

/// The icon: three rings on a slice.
fn icon() -> egui::IconData {
    const SIDE: u32 = 64;
    let mut rgba = Vec::with_capacity((SIDE * SIDE * 4) as usize);
    for y in 0..SIDE {
        for x in 0..SIDE {
            rgba.extend(theme::icon_pixel(x as f32 + 0.5, y as f32 + 0.5));
        }
    }
    egui::IconData { rgba, width: SIDE, height: SIDE }
}
