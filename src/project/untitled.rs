//! The place for sessions that have no folder yet: their labels are saved all the same.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::lock::Lock;
use super::{Project, ProjectError};

const PREFIX: &str = "untitled-";

impl Project {
    /// Creates an unnamed project in the user's data folder, `~/.local/share/semietpicker/untitled-DATE-TIME` (UTC), or under
    /// `XDG_DATA_HOME`. [`Project::save_as`] gives it a place of the user's choice.
    ///
    /// # Errors
    /// When there is no such folder, or it cannot be written.
    pub fn untitled() -> Result<Self, ProjectError> {
        Self::untitled_in(&data_folder().ok_or(ProjectError::NoDataFolder)?)
    }

    pub(super) fn untitled_in(folder: &Path) -> Result<Self, ProjectError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let stamp = date_time(now);
        let mut number = 1;
        loop {
            let name = if number == 1 { format!("{PREFIX}{stamp}") } else { format!("{PREFIX}{stamp}-{number}") };
            match Self::create(&folder.join(name)) {
                Ok(mut project) => {
                    project.untitled = true;
                    return Ok(project);
                }
                // Another session of the same second.
                Err(ProjectError::Exists(_) | ProjectError::AlreadyOpen { .. }) if number < 100 => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Folders of unnamed projects that no window has open, the newest first: what a crash has left behind.
    pub fn left_behind() -> Vec<PathBuf> {
        data_folder().map(|folder| left_behind_in(&folder)).unwrap_or_default()
    }

    /// Opens an unnamed project that was left behind; [`Project::save_as`] then moves it.
    ///
    /// # Errors
    /// As [`Project::open`].
    pub fn open_left_behind(dir: &Path) -> Result<Self, ProjectError> {
        let mut project = Self::open(dir)?;
        project.untitled = is_untitled(&project.dir);
        Ok(project)
    }

    /// Closes the project. An unnamed one in which nothing was ever said or opened is removed. Changes that could not be written
    /// before are tried once more.
    ///
    /// # Errors
    /// [`ProjectError::Unsaved`] with the project, when changes would be lost.
    #[expect(clippy::result_large_err, reason = "the project comes back so that nothing in it is lost")]
    pub fn close(mut self) -> Result<(), (Self, ProjectError)> {
        let annotations = &self.state.annotations;
        let nothing = self.state.tomograms.is_empty() && annotations.classes.is_empty() && annotations.tomograms.is_empty();
        if self.untitled && nothing {
            self.remove_files();
            return Ok(());
        }
        match self.flush() {
            Ok(()) => Ok(()),
            Err(error) => Err((self, error)),
        }
    }
}

/// Where the program keeps what users have not given a place: `~/.local/share/semietpicker`, under `XDG_DATA_HOME` where that is
/// set, under `LOCALAPPDATA` on Windows. `None` where the system names no such folder.
pub fn data_folder() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else {
        absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))
    };
    base.map(|base| base.join("semietpicker"))
}

fn is_untitled(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
}

pub(super) fn left_behind_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut dirs: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|dir| is_untitled(dir) && super::snapshot::files(dir).iter().any(|file| file.exists()))
        // The lock is dropped at once: this is a question, and opening asks again.
        .filter(|dir| Lock::take(dir).is_ok())
        .collect();
    dirs.sort_unstable();
    dirs.reverse();
    dirs
}

/// `YYYYMMDD-HHMMSS` in UTC of seconds since 1970, by the days-to-civil algorithm of Howard Hinnant ("chrono-Compatible
/// Low-Level Date Algorithms").
pub(crate) fn date_time(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}
