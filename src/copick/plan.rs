//! From a choice to the content of a project.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::name::Notes;
use super::project::read_picks;
use super::{CopickError, CopickProject, Run, Source, Tomogram, VoxelSpacing};
use crate::coordinates::Frame;
use crate::files::absolute;
use crate::geometry::{VoxelBox, distance};
use crate::labels::{Annotations, Class, ClassId, Edit, PointKind, TomogramId, default_colour};
use crate::project::{Project, ProjectError, ProjectTomogram};
use crate::volume;

/// Name under which a project keeps its [`CopickLink`].
pub const LINK_SETTING: &str = "copick";

/// Radius in angstrom of an object that has none.
const ASSUMED_RADIUS_ANGSTROM: f64 = 60.0;

/// A volume's own spacing that differs from its folder's by more than this is not believed.
const SPACING_TOLERANCE: f64 = 1e-3;

/// What to take from a copick project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The voxel spacing of the tomograms, in angstrom.
    pub spacing_angstrom: VoxelSpacing,
    /// Their type.
    pub tomo_type: String,
    /// The runs; `None` for all.
    pub runs: Option<BTreeSet<String>>,
    /// Whose picks become labels.
    pub sources: Vec<Source>,
}

/// What a project of this program remembers of the copick project that it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopickLink {
    /// The configuration.
    pub config: PathBuf,
    /// What was taken.
    pub choice: Choice,
    /// The run of each tomogram.
    pub runs: Vec<RunOf>,
    /// Under which users and sessions labels or picks were saved.
    #[serde(default)]
    pub saved: Vec<Source>,
}

/// The run that a tomogram belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunOf {
    /// The tomogram.
    pub tomogram: TomogramId,
    /// Its run.
    pub run: String,
}

impl CopickLink {
    /// The run of a tomogram; `None` for one that was added otherwise.
    pub fn run(&self, tomogram: TomogramId) -> Option<&str> {
        self.runs.iter().find(|of| of.tomogram == tomogram).map(|of| of.run.as_str())
    }
}

/// A tomogram that a project will have.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTomogram {
    /// Its run, which is its name too.
    pub run: String,
    /// Its OME-Zarr.
    pub path: PathBuf,
    /// Voxels `(z, y, x)`.
    pub shape: [usize; 3],
    /// The spacing in angstrom, where the volume does not say it or its folder says another one.
    pub spacing_override_angstrom: Option<f64>,
    /// Labels: index into the classes, and voxel index `(z, y, x)`.
    pub labels: Vec<(usize, [f64; 3])>,
}

/// Everything that a project will have.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The project's name.
    pub name: String,
    /// The particles among the objects; their identities are given when the project is filled.
    pub classes: Vec<Class>,
    /// The tomograms, by run.
    pub tomograms: Vec<PlannedTomogram>,
    /// What was left out or assumed, one sentence each.
    pub notes: Vec<String>,
    config: PathBuf,
    choice: Choice,
}

impl CopickProject {
    /// Reads what was chosen: the headers of the tomograms and the picks. What cannot be read is left out and noted.
    ///
    /// # Errors
    /// When nothing can be taken at all.
    pub fn plan(&self, choice: &Choice) -> Result<Plan, CopickError> {
        let mut notes = Notes::default();
        let classes = self.classes(&mut notes);
        let mut tally = Tally::default();
        let mut tomograms = Vec::new();
        let mut without = 0;
        let mut why = None;
        for run in self.runs().iter().filter(|run| choice.runs.as_ref().is_none_or(|runs| runs.contains(&run.name))) {
            let Some(tomogram) = run.tomogram(choice.spacing_angstrom, &choice.tomo_type) else {
                without += 1;
                continue;
            };
            match planned(run, tomogram, &classes, &choice.sources, &mut tally, &mut notes) {
                Ok(planned) => tomograms.push(planned),
                Err(error) => {
                    let note = format!("{} is left out: {error}", run.name);
                    why.get_or_insert_with(|| note.clone());
                    notes.add(note);
                }
            }
        }
        let kind = format!("{} at {} Å", choice.tomo_type, choice.spacing_angstrom);
        if tomograms.is_empty() {
            let message = why.unwrap_or_else(|| format!("no chosen run has a tomogram {kind}: choose others"));
            return Err(CopickError::Choice { message, path: self.config().path.clone() });
        }
        if without > 0 {
            notes.add(format!("{without} runs are left out, they have no tomogram {kind}"));
        }
        tally.say(&mut notes);
        let mut list = self.notes().to_vec();
        list.extend(notes.into_list());
        Ok(Plan {
            name: self.config().title(),
            classes,
            tomograms,
            notes: list,
            config: self.config().path.clone(),
            choice: choice.clone(),
        })
    }

    /// The particles among the objects as classes.
    fn classes(&self, notes: &mut Notes) -> Vec<Class> {
        let mut annotations = Annotations::default();
        for object in self.config().objects.iter().filter(|object| object.is_particle) {
            let index = annotations.classes.len();
            let radius_angstrom = object.radius_angstrom.unwrap_or_else(|| {
                notes.add(format!("{:?} has no radius; {ASSUMED_RADIUS_ANGSTROM} Å is assumed", object.name));
                ASSUMED_RADIUS_ANGSTROM
            });
            let colour = object.colour.map_or_else(|| default_colour(index), |[red, green, blue, _]| [red, green, blue]);
            let class = Class { id: ClassId(index as u32), name: object.name.clone(), radius_angstrom, colour };
            if let Err(error) = annotations.apply(&Edit::AddClass { index, class }) {
                notes.add(format!("the object {:?} is left out: {error}", object.name));
            }
        }
        annotations.classes
    }
}

/// What happened to picks that did not become labels.
#[derive(Default)]
struct Tally {
    /// By object: not listed, or not a particle.
    unknown: BTreeMap<String, usize>,
    outside: BTreeMap<String, usize>,
    twice: usize,
}

impl Tally {
    fn say(self, notes: &mut Notes) {
        for (object, count) in self.unknown {
            notes.add(format!("{count} picks of {object:?} are left out: the configuration lists no such particle"));
        }
        for (run, count) in self.outside {
            notes.add(format!("{count} picks of {run} are left out: they lie outside the tomogram; check the voxel spacing"));
        }
        if self.twice > 0 {
            notes.add(format!("{} picks are left out: another chosen session has a pick of the same particle", self.twice));
        }
    }
}

fn planned(
    run: &Run,
    tomogram: &Tomogram,
    classes: &[Class],
    sources: &[Source],
    tally: &mut Tally,
    notes: &mut Notes,
) -> Result<PlannedTomogram, volume::VolumeError> {
    let source = volume::open(&tomogram.path)?;
    let info = source.info();
    let of_folder = tomogram.spacing_angstrom.angstrom();
    let own = info.spacing_angstrom.filter(|own| ((own - of_folder) / of_folder).abs() <= SPACING_TOLERANCE);
    if let (Some(said), None) = (info.spacing_angstrom, own) {
        notes.add(format!(
            "{}: the volume says {said} Å and its folder {of_folder} Å a voxel; the folder's counts, as in copick",
            run.name
        ));
    }
    let frame =
        Frame { shape: Some(info.shape), spacing_angstrom: Some(own.unwrap_or(of_folder)), tilt_series_pixel_angstrom: None };
    let mut gathered = Gathered::new(classes, own.unwrap_or(of_folder));
    for (order, chosen) in sources.iter().enumerate() {
        for file in run.picks.iter().filter(|file| file.source == *chosen) {
            let rows = match read_picks(file) {
                Ok(rows) => rows,
                Err(error) => {
                    notes.add(format!("picks are left out: {error}"));
                    continue;
                }
            };
            // The file's name says the object, as copick finds it; what stands inside is only compared.
            let Some(class) = classes.iter().position(|class| class.name == file.object) else {
                *tally.unknown.entry(file.object.clone()).or_default() += rows.len();
                continue;
            };
            if let Some(row) = rows.iter().find(|row| row.class != file.object) {
                notes.add(format!("picks of {:?} call themselves {:?}: {}", file.object, row.class, file.path.display()));
            }
            for row in rows {
                match row.voxel_zyx(&frame) {
                    Ok(position) if VoxelBox::whole(info.shape).contains(position) => {
                        if !gathered.add(order, class, position) {
                            tally.twice += 1;
                        }
                    }
                    _ => *tally.outside.entry(run.name.clone()).or_default() += 1,
                }
            }
        }
    }
    Ok(PlannedTomogram {
        run: run.name.clone(),
        path: tomogram.path.clone(),
        shape: info.shape,
        spacing_override_angstrom: if own.is_some() { None } else { Some(of_folder) },
        labels: gathered.labels,
    })
}

/// A class and a place on its grid.
type Cell = (usize, [i64; 3]);

/// Labels of one tomogram from several sessions, each particle once.
struct Gathered {
    /// For each class the distance in voxels within which picks of two sessions mean the same particle: a quarter of the radius,
    /// as with clicks in the window.
    same: Vec<f64>,
    /// Session and position of labels by cells of that size.
    cells: HashMap<Cell, Vec<(usize, [f64; 3])>>,
    labels: Vec<(usize, [f64; 3])>,
}

impl Gathered {
    fn new(classes: &[Class], spacing_angstrom: f64) -> Self {
        let same = classes.iter().map(|class| (0.25 * class.radius_angstrom / spacing_angstrom).max(1.0)).collect();
        Self { same, cells: HashMap::new(), labels: Vec::new() }
    }

    /// Adds a label unless another session has the particle already.
    fn add(&mut self, order: usize, class: usize, position: [f64; 3]) -> bool {
        let same = self.same[class];
        // Positions inside a tomogram divided by at least one voxel are far below 2^63.
        let cell = position.map(|index| (index / same).floor() as i64);
        let near = (0..27).map(|n| [cell[0] + n / 9 - 1, cell[1] + n / 3 % 3 - 1, cell[2] + n % 3 - 1]);
        let known = near
            .filter_map(|near| self.cells.get(&(class, near)))
            .flatten()
            .any(|(other, place)| *other != order && distance(*place, position) < same);
        if !known {
            self.cells.entry((class, cell)).or_default().push((order, position));
            self.labels.push((class, position));
        }
        !known
    }
}

impl Plan {
    /// Labels of all tomograms.
    pub fn labels(&self) -> usize {
        self.tomograms.iter().map(|tomogram| tomogram.labels.len()).sum()
    }

    /// Fills a project that is empty so far: classes, tomograms, labels, name, and the [`CopickLink`] under [`LINK_SETTING`].
    ///
    /// # Errors
    /// As [`Project::perform`]; [`ProjectError::Unsaved`] when all is there but not yet on the disk.
    pub fn fill(&self, project: &mut Project) -> Result<(), ProjectError> {
        let mut unsaved = None;
        let mut kept = |result: Result<(), ProjectError>| match result {
            Err(error @ ProjectError::Unsaved { .. }) => {
                unsaved = Some(error);
                Ok(())
            }
            other => other,
        };
        kept(project.rename(&self.name))?;
        let mut ids = Vec::with_capacity(self.classes.len());
        for class in &self.classes {
            let id = project.new_class_id();
            let index = project.annotations().classes.len();
            kept(project.record(&Edit::AddClass { index, class: Class { id, ..class.clone() } }))?;
            ids.push(id);
        }
        let mut runs = Vec::with_capacity(self.tomograms.len());
        for planned in &self.tomograms {
            let id = project.new_tomogram_id();
            kept(project.add_tomogram(ProjectTomogram {
                id,
                name: planned.run.clone(),
                path: absolute(&planned.path),
                relative_path: None,
                shape: planned.shape,
                spacing_angstrom: planned.spacing_override_angstrom,
                size_bytes: None,
                fingerprint: None,
            }))?;
            runs.push(RunOf { tomogram: id, run: planned.run.clone() });
            let points: Vec<_> =
                planned.labels.iter().map(|(class, position)| (*position, PointKind::Particle(ids[*class]))).collect();
            if !points.is_empty() {
                let edit = project.import_edit(id, points);
                kept(project.record(&edit))?;
            }
        }
        let link = CopickLink { config: self.config.clone(), choice: self.choice.clone(), runs, saved: Vec::new() };
        kept(project.set_setting(LINK_SETTING, &link))?;
        unsaved.map_or(Ok(()), Err)
    }
}
