//! An open copick project, and what can be chosen from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::name::Notes;
use super::plan::Choice;
use super::{Config, CopickError, PicksFile, Run, Source, VoxelSpacing, tree};
use crate::coordinates::{CoordinateError, CoordinateRow, Format, ReadOptions, read_positions};

/// Larger files of picks are refused: half a million picks take about as much.
const LARGEST_PICKS_BYTES: u64 = 256 << 20;

/// Bytes of picks that are read to count them; what comes after that stays uncounted.
const COUNTED_BYTES: u64 = 64 << 20;

/// A copick project: its configuration and what was found below its roots when it was opened.
#[derive(Clone, Debug)]
pub struct CopickProject {
    config: Config,
    runs: Vec<Run>,
    notes: Vec<String>,
}

/// A kind of tomogram: spacing and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// Its voxel spacing in angstrom.
    pub spacing_angstrom: VoxelSpacing,
    /// Its type.
    pub tomo_type: String,
    /// Runs that have it.
    pub runs: usize,
}

/// How much a user picked in a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Who, and in which session.
    #[serde(flatten)]
    pub source: Source,
    /// Runs with picks of theirs.
    pub runs: usize,
    /// Files.
    pub files: usize,
    /// Positions per object, as far as they were counted.
    pub positions: BTreeMap<String, usize>,
    /// Files that were not counted, because they cannot be read or there is too much of it.
    pub uncounted: usize,
}

impl Counted {
    /// Positions of all objects.
    pub fn total(&self) -> usize {
        self.positions.values().sum()
    }
}

/// What the user has said before anything was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// The voxel spacing in angstrom.
    pub voxel_spacing: Option<f64>,
    /// The type of the tomograms.
    pub tomo_type: Option<String>,
    /// Whose picks become labels.
    pub picks: Option<Vec<Source>>,
}

/// A choice, and whether it is the only one there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// The choice.
    pub choice: Choice,
    /// What several possibilities were left for: ask before going on. Empty: there is nothing to ask.
    pub open_questions: Vec<&'static str>,
}

impl CopickProject {
    /// Reads the configuration at `path` and lists the project's folders; no tomogram and no picks are opened.
    ///
    /// # Errors
    /// When the configuration is none or speaks of data outside the file system, or no run can be found.
    pub fn open(path: &Path) -> Result<Self, CopickError> {
        let config = Config::read(path)?;
        let mut notes = Notes::default();
        let runs = tree::runs(&config, &mut notes)?;
        let mut list = config.notes.clone();
        list.extend(notes.into_list());
        Ok(Self { config, runs, notes: list })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The runs by name.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What was left out or assumed, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The kinds of tomograms, those of most runs first.
    pub fn grids(&self) -> Vec<Grid> {
        let mut counts: BTreeMap<(VoxelSpacing, &str), usize> = BTreeMap::new();
        for tomogram in self.runs.iter().flat_map(|run| &run.tomograms) {
            *counts.entry((tomogram.spacing_angstrom, tomogram.tomo_type.as_str())).or_default() += 1;
        }
        let mut grids: Vec<Grid> = counts
            .into_iter()
            .map(|((spacing_angstrom, tomo_type), runs)| Grid { spacing_angstrom, tomo_type: tomo_type.to_owned(), runs })
            .collect();
        // Of as many runs the coarser goes first, which is what particles are picked in, then what was denoised.
        let denoised = |grid: &Grid| grid.tomo_type.to_lowercase().contains("denois");
        grids.sort_by_key(|grid| {
            (std::cmp::Reverse(grid.runs), std::cmp::Reverse(grid.spacing_angstrom), !denoised(grid), grid.tomo_type.clone())
        });
        grids
    }

    /// Who has picked, and in which sessions.
    pub fn sources(&self) -> BTreeSet<Source> {
        self.runs.iter().flat_map(|run| &run.picks).map(|picks| picks.source.clone()).collect()
    }

    /// Who has picked how much. Reads the files, though no more than 64 MB of them.
    pub fn counts(&self) -> Vec<Counted> {
        let mut counts: BTreeMap<&Source, (BTreeSet<&str>, Counted)> = BTreeMap::new();
        let mut budget = COUNTED_BYTES;
        for run in &self.runs {
            for file in &run.picks {
                let fresh =
                    || Counted { source: file.source.clone(), runs: 0, files: 0, positions: BTreeMap::new(), uncounted: 0 };
                let (names, counted) = counts.entry(&file.source).or_insert_with(|| (BTreeSet::new(), fresh()));
                names.insert(&run.name);
                counted.files += 1;
                let bytes = std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
                let affordable = bytes <= budget;
                budget = budget.saturating_sub(bytes);
                match affordable.then(|| read_picks(file)) {
                    Some(Ok(rows)) => *counted.positions.entry(file.object.clone()).or_default() += rows.len(),
                    Some(Err(_)) | None => counted.uncounted += 1,
                }
            }
        }
        counts.into_values().map(|(names, counted)| Counted { runs: names.len(), ..counted }).collect()
    }

    /// All of it as JSON: configuration, runs, kinds of tomograms, and who picked how much.
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({
            "config": self.config, "runs": self.runs, "tomograms": self.grids(), "picks": self.counts(), "notes": self.notes,
        })
    }

    /// What to take unless the user chooses otherwise: what was wished for, else the tomograms that most runs have, and the picks
    /// of the only session there is or else of the configuration's own user.
    ///
    /// # Errors
    /// When there is no tomogram, or none as wished for, or no such picks; the message says what there is.
    pub fn suggest(&self, wishes: &Wishes) -> Result<Suggestion, CopickError> {
        let refuse = |message: String| CopickError::Choice { message, path: self.config.path.clone() };
        let all = self.grids();
        let fits = |grid: &&Grid| {
            let spacing = wishes.voxel_spacing.is_none_or(|wish| VoxelSpacing::new(wish) == Some(grid.spacing_angstrom));
            spacing && wishes.tomo_type.as_ref().is_none_or(|wish| *wish == grid.tomo_type)
        };
        let fitting: Vec<&Grid> = all.iter().filter(fits).collect();
        let Some(first) = fitting.first() else {
            let there: Vec<String> = all.iter().map(Grid::to_string).collect();
            return Err(refuse(if there.is_empty() {
                "the project has no tomogram (ExperimentRuns/RUN/VoxelSpacing10.000/TYPE.zarr): write one with copick first"
                    .to_owned()
            } else {
                format!("the project has no such tomogram: choose one of {}", there.join(", "))
            }));
        };
        let mut open_questions = Vec::new();
        if fitting.iter().any(|grid| grid.spacing_angstrom != first.spacing_angstrom) {
            open_questions.push("voxel spacing");
        }
        if fitting.iter().any(|grid| grid.tomo_type != first.tomo_type) {
            open_questions.push("type of tomogram");
        }
        let there = self.sources();
        let sources = match &wishes.picks {
            Some(wished) => {
                if let Some(missing) = wished.iter().find(|source| !there.contains(source)) {
                    let known: Vec<String> = there.iter().map(Source::to_string).collect();
                    return Err(refuse(format!("the project has no picks of {missing}: choose of {}", known.join(", "))));
                }
                wished.clone()
            }
            None if there.len() <= 1 => there.into_iter().collect(),
            None => {
                open_questions.push("picks");
                let own = |source: &Source| Some(&source.user) == self.config.user_id.as_ref();
                there.into_iter().filter(own).collect()
            }
        };
        let choice = Choice { spacing_angstrom: first.spacing_angstrom, tomo_type: first.tomo_type.clone(), runs: None, sources };
        Ok(Suggestion { choice, open_questions })
    }
}

/// The positions of a file of picks.
pub(super) fn read_picks(file: &PicksFile) -> Result<Vec<CoordinateRow>, CoordinateError> {
    let read = |source| CoordinateError::Read { path: file.path.clone(), source };
    let content = |message: &str| CoordinateError::Content { path: file.path.clone(), message: message.to_owned() };
    let metadata = std::fs::metadata(&file.path).map_err(read)?;
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(content("these picks are not a file"));
    }
    if metadata.len() > LARGEST_PICKS_BYTES {
        return Err(content("these picks are larger than 256 MB: split them into sessions"));
    }
    let options = ReadOptions { format: Some(Format::Copick), class: Some(file.object.clone()) };
    read_positions(&file.path, &options).map(|positions| positions.rows)
}

impl fmt::Display for Grid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {} Å", self.tomo_type, self.spacing_angstrom)
    }
}

impl fmt::Display for CopickProject {
    /// For `semietpicker info`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        writeln!(formatter, "copick project: {}", config.title())?;
        for (what, text) in [
            ("description", &config.description),
            ("version", &config.version),
            ("user", &config.user_id),
            ("session", &config.session_id),
        ] {
            if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                writeln!(formatter, "{what}: {text}")?;
            }
        }
        writeln!(formatter, "overlay root: {}", config.overlay_root.display())?;
        if let Some(root) = &config.static_root {
            writeln!(formatter, "static root (read only): {}", root.display())?;
        }
        for object in &config.objects {
            let kind = if object.is_particle { "" } else { ", segmented" };
            let radius = object.radius_angstrom.map_or("radius unknown".to_owned(), |radius| format!("radius {radius} Å"));
            writeln!(formatter, "object: {}, {radius}{kind}", object.name)?;
        }
        writeln!(formatter, "runs: {}", self.runs.len())?;
        for grid in self.grids() {
            writeln!(formatter, "tomograms: {grid}, {} runs", grid.runs)?;
        }
        for counted in self.counts() {
            let objects: Vec<String> = counted.positions.iter().map(|(object, count)| format!("{count} {object}")).collect();
            let rest = if counted.uncounted > 0 { format!(", {} files not counted", counted.uncounted) } else { String::new() };
            writeln!(formatter, "picks of {} in {} runs: {}{rest}", counted.source, counted.runs, objects.join(", "))?;
        }
        for note in &self.notes {
            writeln!(formatter, "note: {note}")?;
        }
        Ok(())
    }
}
