//! What lies in the folders of a copick project: `ExperimentRuns/RUN/VoxelSpacing10.000/TYPE.zarr` and
//! `ExperimentRuns/RUN/Picks/USER_SESSION_OBJECT.json` below either root.
//!
//! Folders are listed, no file is opened. Links are followed only as long as they stay inside the two roots.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::name::Notes;
use super::{Config, CopickError, Source, VoxelSpacing};

/// Entries of one folder that are looked at; a folder with more is said to be cut short.
const MOST_ENTRIES: usize = 100_000;

const RUNS: &str = "ExperimentRuns";

/// A tomogram of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tomogram {
    /// The voxel spacing that its folder says.
    pub spacing_angstrom: VoxelSpacing,
    /// Its type, such as `denoised`.
    pub tomo_type: String,
    /// Its OME-Zarr.
    pub path: PathBuf,
}

/// A file of picks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PicksFile {
    /// Who picked, and in which session.
    #[serde(flatten)]
    pub source: Source,
    /// Which object.
    pub object: String,
    /// The file.
    pub path: PathBuf,
    /// Whether it lies in the static root, which is never written to.
    pub read_only: bool,
}

/// A run: usually a tilt series, its tomograms and their picks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its tomograms, by spacing and type; one in the overlay goes before its like in the static root.
    pub tomograms: Vec<Tomogram>,
    /// Its picks, by user, session and object; those in the overlay go before their like in the static root.
    pub picks: Vec<PicksFile>,
}

impl Run {
    /// The tomogram of a spacing and type.
    pub fn tomogram(&self, spacing: VoxelSpacing, tomo_type: &str) -> Option<&Tomogram> {
        self.tomograms.iter().find(|tomogram| tomogram.spacing_angstrom == spacing && tomogram.tomo_type == tomo_type)
    }
}

/// The two roots, and where they are once all links are resolved.
pub(super) struct Roots {
    /// Folder and whether it is only read; what comes later goes first.
    folders: Vec<(PathBuf, bool)>,
    real: Vec<PathBuf>,
}

impl Roots {
    pub fn of(config: &Config) -> Self {
        let mut folders = Vec::new();
        let overlay = fs::canonicalize(&config.overlay_root).ok();
        if let Some(root) = &config.static_root
            && (overlay.is_none() || fs::canonicalize(root).ok() != overlay)
        {
            folders.push((root.clone(), true));
        }
        folders.push((config.overlay_root.clone(), false));
        let real = folders.iter().filter_map(|(folder, _)| fs::canonicalize(folder).ok()).collect();
        Self { folders, real }
    }

    /// Whether a path is a link that leads out of the roots, or nowhere.
    fn leads_out(&self, path: &Path) -> bool {
        fs::canonicalize(path).map_or(true, |target| !self.real.iter().any(|root| target.starts_with(root)))
    }
}

/// The folder of picks of a run below a root.
pub(super) fn picks_folder(root: &Path, run: &str) -> PathBuf {
    root.join(RUNS).join(run).join("Picks")
}

#[derive(Default)]
struct Found {
    tomograms: BTreeMap<(VoxelSpacing, String), Tomogram>,
    picks: BTreeMap<(Source, String), PicksFile>,
}

/// All runs, by name.
///
/// # Errors
/// When neither root has runs, or a folder of runs cannot be read.
pub(super) fn runs(config: &Config, notes: &mut Notes) -> Result<Vec<Run>, CopickError> {
    let roots = Roots::of(config);
    let mut runs: BTreeMap<String, Found> = BTreeMap::new();
    let mut any = false;
    for (root, read_only) in &roots.folders {
        let folder = root.join(RUNS);
        if folder.is_symlink() && roots.leads_out(&folder) {
            notes.add(left_out(&folder));
            continue;
        }
        let Some(entries) = list(&folder, &roots, notes).map_err(CopickError::read(&folder))? else {
            continue;
        };
        any = true;
        for entry in entries.into_iter().filter(|entry| entry.is_folder) {
            let found = runs.entry(entry.name).or_default();
            let parts = match list(&entry.path, &roots, notes) {
                Ok(parts) => parts.unwrap_or_default(),
                Err(error) => {
                    notes.add(format!("a run cannot be read: {error}: {}", entry.path.display()));
                    continue;
                }
            };
            for part in parts.iter().filter(|part| part.is_folder) {
                match VoxelSpacing::of_folder(&part.name) {
                    Some(Ok(spacing)) => tomograms(part, spacing, &roots, found, notes),
                    Some(Err(())) => notes.add(format!("the folder does not name a voxel spacing: {}", part.path.display())),
                    None if part.name == "Picks" => picks(part, *read_only, &roots, found, notes),
                    // Segmentations, meshes and the like.
                    None => {}
                }
            }
        }
    }
    if !any {
        let folders: Vec<String> = roots.folders.iter().map(|(folder, _)| folder.display().to_string()).collect();
        let message = format!(
            "there is no folder {RUNS} in {}: correct overlay_root or static_root (relative ones are taken from the folder of the configuration)",
            folders.join(" or in ")
        );
        return Err(CopickError::Config { message, path: config.path.clone() });
    }
    Ok(runs
        .into_iter()
        .map(|(name, found)| Run {
            name,
            tomograms: found.tomograms.into_values().collect(),
            picks: found.picks.into_values().collect(),
        })
        .collect())
}

fn tomograms(folder: &Entry, spacing: VoxelSpacing, roots: &Roots, found: &mut Found, notes: &mut Notes) {
    for entry in parts_of(folder, roots, notes).into_iter().filter(|entry| entry.is_folder) {
        // As copick has it, features that a network computed lie among the tomograms and have the word in their names.
        let Some(tomo_type) = entry.name.strip_suffix(".zarr").filter(|name| !name.is_empty() && !name.contains("features"))
        else {
            continue;
        };
        let tomogram = Tomogram { spacing_angstrom: spacing, tomo_type: tomo_type.to_owned(), path: entry.path };
        let key = (spacing, tomo_type.to_owned());
        // `VoxelSpacing10` beside `VoxelSpacing10.000`: copick looks into the latter alone.
        if folder.name == spacing.folder() || !found.tomograms.contains_key(&key) {
            found.tomograms.insert(key, tomogram);
        }
    }
}

fn picks(folder: &Entry, read_only: bool, roots: &Roots, found: &mut Found, notes: &mut Notes) {
    for entry in parts_of(folder, roots, notes).into_iter().filter(|entry| !entry.is_folder) {
        let Some(name) = entry.name.strip_suffix(".json") else {
            continue;
        };
        let parts: Vec<&str> = name.split('_').collect();
        let [user, session, object] = parts[..] else {
            notes.add(format!("picks are left out, their name is not USER_SESSION_OBJECT: {}", entry.path.display()));
            continue;
        };
        if [user, session, object].iter().any(|part| part.is_empty()) {
            notes.add(format!("picks are left out, a part of their name is empty: {}", entry.path.display()));
            continue;
        }
        let source = Source { user: user.to_owned(), session: session.to_owned() };
        let key = (source.clone(), object.to_owned());
        found.picks.insert(key, PicksFile { source, object: object.to_owned(), path: entry.path, read_only });
    }
}

struct Entry {
    name: String,
    path: PathBuf,
    is_folder: bool,
}

fn parts_of(folder: &Entry, roots: &Roots, notes: &mut Notes) -> Vec<Entry> {
    match list(&folder.path, roots, notes) {
        Ok(entries) => entries.unwrap_or_default(),
        Err(error) => {
            notes.add(format!("a folder cannot be read: {error}: {}", folder.path.display()));
            Vec::new()
        }
    }
}

fn left_out(path: &Path) -> String {
    format!(
        "a link is left out because it leads nowhere or out of the project's roots (name its target's folder as static_root, or copy it): {}",
        path.display()
    )
}

/// The entries of a folder by name, without hidden ones and links that leave the roots; `None` when there is no such folder.
fn list(folder: &Path, roots: &Roots, notes: &mut Notes) -> std::io::Result<Option<Vec<Entry>>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for (count, entry) in listing.enumerate() {
        if count == MOST_ENTRIES {
            notes.add(format!("only the first {MOST_ENTRIES} entries of this folder are looked at: {}", folder.display()));
            break;
        }
        let entry = entry?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            notes.add(format!("a name that is not UTF-8 is left out: {}", path.display()));
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type()?;
        let is_folder = if kind.is_symlink() {
            if roots.leads_out(&path) {
                notes.add(left_out(&path));
                continue;
            }
            path.is_dir()
        } else {
            kind.is_dir()
        };
        entries.push(Entry { name, path, is_folder });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(entries))
}
