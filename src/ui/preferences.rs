//! What the window remembers from one start to the next, apart from projects.

use std::path::{Path, PathBuf};

use egui::{Context, ThemePreference};
use serde::{Deserialize, Serialize};

use super::options::{OverviewPlace, ScoreCue, Snap};
use super::state::UiState;
use crate::files::temporary_beside;
use crate::project::data_folder;

/// Magnifications of the window that make sense.
const ZOOMS: std::ops::RangeInclusive<f32> = 0.5..=3.0;

/// The choices that are kept; what a file does not say has its usual value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// `dark`, `light` or `system`.
    pub theme: String,
    /// Magnification of the whole window.
    pub zoom: f32,
    /// XZ and YZ are shown.
    pub side_views: bool,
    /// Where the overview is.
    pub overview: OverviewPlace,
    /// Slices are interpolated.
    pub smooth: bool,
    /// The crosshair is shown.
    pub crosshair: bool,
    /// How scores show.
    pub score_cue: ScoreCue,
    /// Whether clicks go to the density.
    pub snap: Snap,
    /// The first steps have been shown.
    pub first_steps_seen: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            theme: "dark".to_owned(),
            zoom: 1.0,
            side_views: true,
            overview: OverviewPlace::default(),
            smooth: true,
            crosshair: true,
            score_cue: ScoreCue::default(),
            snap: Snap::default(),
            first_steps_seen: false,
        }
    }
}

impl Preferences {
    /// The user's file, `~/.local/share/semietpicker/window.json` or its like; `None` where the system names no such folder.
    pub fn usual_file() -> Option<PathBuf> {
        data_folder().map(|folder| folder.join("window.json"))
    }

    /// Reads a file. What cannot be read has its usual value: preferences are no reason not to begin.
    pub fn read(path: &Path) -> Self {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                log::warn!("the preferences are not understood and begin anew ({error}): {}", path.display());
                Self::default()
            }),
            Err(_) => Self::default(),
        }
    }

    /// Writes the file whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = temporary_beside(path)?;
        serde_json::to_writer_pretty(&file, self)?;
        file.persist(path)?;
        Ok(())
    }

    /// Applies them to a window.
    pub fn apply(&self, ctx: &Context, state: &mut UiState) {
        ctx.set_theme(match self.theme.as_str() {
            "light" => ThemePreference::Light,
            "system" => ThemePreference::System,
            _ => ThemePreference::Dark,
        });
        if ZOOMS.contains(&self.zoom) {
            ctx.set_zoom_factor(self.zoom);
        }
        state.panels.side_views = self.side_views;
        state.display.overview = self.overview;
        state.display.smooth = self.smooth;
        state.display.crosshair = self.crosshair;
        state.display.score_cue = self.score_cue;
        state.snap = self.snap;
        state.forms.first_steps = !self.first_steps_seen;
    }

    /// Those of a window.
    pub fn of(ctx: &Context, state: &UiState) -> Self {
        let theme = match ctx.options(|options| options.theme_preference) {
            ThemePreference::Dark => "dark",
            ThemePreference::Light => "light",
            ThemePreference::System => "system",
        };
        Self {
            theme: theme.to_owned(),
            zoom: ctx.zoom_factor(),
            side_views: state.panels.side_views,
            overview: state.display.overview,
            smooth: state.display.smooth,
            crosshair: state.display.crosshair,
            score_cue: state.display.score_cue,
            snap: state.snap,
            // Whoever has the window open has seen them, or left them open on purpose.
            first_steps_seen: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_survive_and_damage_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("window.json");
        assert_eq!(Preferences::read(&path), Preferences::default());
        let chosen = Preferences { theme: "light".to_owned(), zoom: 1.5, snap: Snap::Dark, ..Preferences::default() };
        chosen.write(&path).unwrap();
        assert_eq!(Preferences::read(&path), chosen);
        std::fs::write(&path, "{\"zoom\": 2.0, \"of a later version\": 1}").unwrap();
        assert_eq!(Preferences::read(&path), Preferences { zoom: 2.0, ..Preferences::default() });
        std::fs::write(&path, "no JSON").unwrap();
        assert_eq!(Preferences::read(&path), Preferences::default());
    }
}
