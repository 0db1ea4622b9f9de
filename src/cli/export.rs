//! `semietpicker export`.

use std::path::{Path, PathBuf};

use super::arguments::Export;
use super::positions::{self, ReadFile};
use super::{Usage, inputs, say, written};
use crate::coordinates::{ExportPoint, ExportTomogram, PlaceOptions, Target, place, read_classes, same_tomogram};
use crate::labels::{Class, ClassId, PointKind, default_colour};
use crate::project::ProjectState;

/// The radius of a class of which nobody has said it; only formats that do not write it accept such a class.
const UNKNOWN_RADIUS: f64 = 1.0;

/// What is to be written.
#[derive(Default)]
struct Set {
    classes: Vec<Class>,
    /// Classes, by their place, whose radius nobody has said.
    without_radius: Vec<bool>,
    targets: Vec<Target>,
    /// The points of each target.
    points: Vec<Vec<ExportPoint>>,
    /// Positions that lie outside their tomogram.
    outside: usize,
    /// Positions of tomograms that are not known.
    elsewhere: usize,
    /// Explicit negatives in files.
    negatives: usize,
}

pub(super) fn run(options: &Export) -> anyhow::Result<()> {
    options.formats.check(options.file_per_tomogram)?;
    let (projects, files): (Vec<_>, Vec<_>) = options.from.iter().partition(|path| is_project(path));
    let mut projects = options.project.iter().chain(projects);
    let project = projects.next();
    if projects.next().is_some() {
        return Err(Usage("more than one project is given; export them one after the other".to_owned()).into());
    }
    let mut set = Set::default();
    if let Some(path) = &options.classes {
        set.add_classes(read_classes(path)?);
    }
    for (index, path) in options.tomogram.iter().enumerate() {
        let tomogram = inputs::open(path, index, options.spacing)?;
        let (shape, spacing_angstrom) = (Some(tomogram.source.info().shape), Some(tomogram.spacing_angstrom));
        set.add_target(Target { name: tomogram.name, shape, spacing_angstrom });
    }
    if let Some(path) = project {
        set.add_project(path, files.is_empty(), options.spacing)?;
    }
    set.add_files(&files, options)?;
    set.keep(options)?;
    let classes = set.classes.clone();
    let tomograms = set.tomograms(options)?;
    let (outside, elsewhere, negatives) = (set.outside, set.elsewhere, set.negatives);
    let files = options.formats.write(&options.out, &classes, &tomograms, options.file_per_tomogram)?;
    if options.json {
        return say(serde_json::to_string_pretty(&serde_json::json!({
            "positions": written::counts(&classes, &tomograms),
            "left_out": { "outside": outside, "of_other_tomograms": elsewhere, "negatives": negatives },
            "files": files,
        }))?);
    }
    written::say_all(&classes, &tomograms, &files)
}

fn is_project(path: &Path) -> bool {
    path.is_dir() || path.file_name().is_some_and(|name| name == "project.json")
}

impl Set {
    fn add_target(&mut self, target: Target) {
        // The file of a tomogram that the project has too says the same of it.
        if self.targets.iter().all(|known| known.name != target.name) {
            self.targets.push(target);
            self.points.push(Vec::new());
        }
    }

    fn add_classes(&mut self, classes: Vec<Class>) {
        for class in classes {
            if self.classes.iter().all(|known| known.name != class.name) {
                self.classes.push(class);
                self.without_radius.push(false);
            }
        }
    }

    /// The place of a class; one that nothing is known of is added.
    fn class(&mut self, name: &str, radius_angstrom: Option<f64>) -> usize {
        if let Some(index) = self.classes.iter().position(|class| class.name == name) {
            return index;
        }
        let index = self.classes.len();
        let id = self.classes.iter().map(|class| class.id.0.saturating_add(1)).max().unwrap_or(0);
        self.classes.push(Class {
            id: ClassId(id),
            name: name.to_owned(),
            radius_angstrom: radius_angstrom.unwrap_or(UNKNOWN_RADIUS),
            colour: default_colour(index),
        });
        self.without_radius.push(radius_angstrom.is_none());
        index
    }

    /// Takes in what a project knows, and its labels when these are asked for. It may be open in a window.
    fn add_project(&mut self, path: &Path, labels: bool, spacing: Option<f64>) -> anyhow::Result<()> {
        let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        let folder = std::path::absolute(folder)?;
        let (state, notes) = ProjectState::read(&folder)?;
        for note in notes {
            eprintln!("warning: {note}: {}", folder.display());
        }
        self.add_classes(state.annotations.classes.clone());
        for tomogram in &state.tomograms {
            let of_file = || {
                let file = tomogram.locate(&folder).unwrap_or_else(|| tomogram.path.clone());
                match crate::volume::open(&file) {
                    Ok(source) => source.info().spacing_angstrom,
                    Err(error) => {
                        eprintln!("warning: the spacing of {} cannot be read: {error}", tomogram.name);
                        None
                    }
                }
            };
            let spacing_angstrom = tomogram.spacing_angstrom.or_else(of_file).or(spacing);
            self.add_target(Target { name: tomogram.name.clone(), shape: Some(tomogram.shape), spacing_angstrom });
            let target = self.targets.iter().position(|target| target.name == tomogram.name);
            let (true, Some(target)) = (labels, target) else { continue };
            let points = state.annotations.labels(tomogram.id).into_iter().flat_map(|labels| labels.points.values());
            for point in points {
                // Explicit negatives are for training alone.
                let PointKind::Particle(id) = point.kind else { continue };
                let Some(name) = state.annotations.class(id).map(|class| class.name.clone()) else { continue };
                let class = self.class(&name, None);
                let source = Some("label".to_owned());
                self.points[target].push(ExportPoint { class, position: point.position, score: None, source });
            }
        }
        Ok(())
    }

    /// Takes in the positions of files.
    fn add_files(&mut self, paths: &[&PathBuf], options: &Export) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for path in paths {
            let file = positions::read(path, options.from_format, options.as_class.as_deref())?;
            files.push(file.above(options.threshold));
        }
        if self.targets.is_empty() {
            for name in files.iter().flat_map(ReadFile::tomogram_names) {
                if self.targets.iter().all(|target| !same_tomogram(&target.name, &name)) {
                    self.add_target(Target { name, shape: None, spacing_angstrom: options.spacing });
                }
            }
        }
        for file in &mut files {
            let rule = PlaceOptions {
                tilt_series_pixel_angstrom: options.formats.tilt_series_pixel,
                ..positions::rule(file, &self.targets)?
            };
            file.name_classes(&self.targets, &rule);
            let placement = place(&file.rows, &self.targets, &rule);
            positions::refuse_missing(&placement, &self.targets, &file.path)?;
            positions::warn(&placement, &self.targets, file);
            self.outside += placement.outside.len();
            self.elsewhere += placement.elsewhere.values().sum::<usize>();
            for placed in placement.placed {
                let row = &file.rows[placed.row];
                if positions::is_negative(&row.class) && self.classes.iter().all(|class| class.name != row.class) {
                    self.negatives += 1;
                    continue;
                }
                let class = self.class(&row.class, options.radius);
                let point = ExportPoint { class, position: placed.position, score: row.score, source: row.source.clone() };
                self.points[placed.target].push(point);
            }
        }
        if self.negatives > 0 {
            eprintln!("note: {} positions of class negative are left out; they are for training alone", self.negatives);
        }
        Ok(())
    }

    /// Leaves only the tomograms and classes that are asked for.
    fn keep(&mut self, options: &Export) -> Result<(), Usage> {
        let names = |known: Vec<&str>| known.join(", ");
        for name in &options.only {
            if !self.targets.iter().any(|target| same_tomogram(&target.name, name)) {
                let known = names(self.targets.iter().map(|target| target.name.as_str()).collect());
                return Err(Usage(format!("--only names the tomogram {name:?}, which is not among those there are ({known})")));
            }
        }
        if !options.only.is_empty() {
            let kept = |target: &Target| options.only.iter().any(|name| same_tomogram(&target.name, name));
            let mut keep = self.targets.iter().map(kept).collect::<Vec<_>>().into_iter();
            self.points.retain(|_| keep.next().unwrap_or(true));
            self.targets.retain(kept);
        }
        for name in &options.class {
            if !self.classes.iter().any(|class| class.name == *name) {
                let known = names(self.classes.iter().map(|class| class.name.as_str()).collect());
                return Err(Usage(format!("--class names {name:?}, which is not among the classes ({known})")));
            }
        }
        if !options.class.is_empty() {
            let mut place = vec![None; self.classes.len()];
            let mut kept = 0;
            for (index, class) in self.classes.iter().enumerate() {
                if options.class.contains(&class.name) {
                    place[index] = Some(kept);
                    kept += 1;
                }
            }
            for points in &mut self.points {
                *points = std::mem::take(points)
                    .into_iter()
                    .filter_map(|point| Some(ExportPoint { class: place[point.class]?, ..point }))
                    .collect();
            }
            let mut at = place.iter();
            self.without_radius.retain(|_| at.next().is_some_and(Option::is_some));
            self.classes.retain(|class| options.class.contains(&class.name));
        }
        Ok(())
    }

    /// The tomograms with their points, after a check that everything is known that the formats need.
    fn tomograms(&mut self, options: &Export) -> Result<Vec<ExportTomogram>, Usage> {
        let formats = options.formats.formats();
        if self.targets.is_empty() {
            return Err(Usage("there is no tomogram to write: the project is empty, or the files hold no position".to_owned()));
        }
        if let Some(format) = formats.iter().find(|format| format.needs_radius())
            && let Some(index) = self.without_radius.iter().position(|without| *without)
        {
            return Err(Usage(format!(
                "{format} writes the particles' size, and the radius of {:?} is not known; add --classes with a file that says it, \
                 or --radius with its value in angstrom",
                self.classes[index].name
            )));
        }
        if let Some(format) = formats.iter().find(|format| format.needs_shape())
            && let Some(target) = self.targets.iter().find(|target| target.shape.is_none())
        {
            return Err(Usage(format!(
                "{format} counts from the volume's centre, and the size of {} is not known; add --tomogram with its file",
                target.name
            )));
        }
        let points = std::mem::take(&mut self.points);
        let tomogram = |(target, points): (&Target, Vec<ExportPoint>)| ExportTomogram {
            name: target.name.clone(),
            // Formats that need it were refused above.
            shape: target.shape.unwrap_or_default(),
            spacing_angstrom: target.spacing_angstrom,
            points,
        };
        Ok(self.targets.iter().zip(points).map(tomogram).collect())
    }
}
