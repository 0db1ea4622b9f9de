//! `semietpicker import`.

use std::collections::{BTreeMap, BTreeSet};

use super::arguments::Import;
use super::{Usage, positions, say};
use crate::coordinates::{PlaceOptions, Target, place, read_classes, same_tomogram};
use crate::labels::{Class, ClassId, Edit, PointKind, TomogramId, default_colour};
use crate::project::Project;

pub(super) fn run(options: &Import) -> anyhow::Result<()> {
    let more_classes = options.classes.as_deref().map(read_classes).transpose()?.unwrap_or_default();
    let mut project = Project::open(&options.project)?;
    let targets = targets(&project, options.spacing);
    let unnamed = match &options.into {
        None => None,
        Some(name) => Some(targets.iter().position(|target| same_tomogram(&target.name, name)).ok_or_else(|| {
            let known: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
            Usage(format!("--into names {name:?}, which the project does not have ({})", known.join(", ")))
        })?),
    };

    let mut edits = Vec::new();
    let mut classes = Classes { known: project.annotations().classes.clone(), more: more_classes, radius: options.radius };
    let mut points: BTreeMap<TomogramId, Vec<([f64; 3], PointKind)>> = BTreeMap::new();
    let (mut outside, mut elsewhere) = (0, 0);
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for path in &options.files {
        let mut file = positions::read(path, options.from_format, options.as_class.as_deref())?.above(options.threshold);
        let rule = match unnamed {
            Some(_) => PlaceOptions { unnamed, ..PlaceOptions::default() },
            None => positions::rule(&file, &targets)?,
        };
        let rule = PlaceOptions { tilt_series_pixel_angstrom: options.tilt_series_pixel, ..rule };
        file.name_classes(&targets, &rule);
        let placement = place(&file.rows, &targets, &rule);
        positions::refuse_missing(&placement, &targets, path)?;
        positions::warn(&placement, &targets, &file);
        outside += placement.outside.len();
        elsewhere += placement.elsewhere.values().sum::<usize>();
        for placed in placement.placed {
            let name = &file.rows[placed.row].class;
            let Some(kind) = classes.kind(name, &mut project, &mut edits) else {
                *unknown.entry(name.clone()).or_default() += 1;
                continue;
            };
            let tomogram = project.tomograms()[placed.target].id;
            points.entry(tomogram).or_default().push((placed.position, kind));
        }
    }
    for (name, count) in &unknown {
        eprintln!(
            "warning: {count} positions of class {name} are left out, which the project does not have; add --classes with a file that \
             names it, or --radius to add it with this radius in angstrom"
        );
    }
    let count: usize = points.values().map(Vec::len).sum();
    anyhow::ensure!(count > 0, "no position could be imported: {}", project.dir().display());
    let by_tomogram: BTreeMap<String, usize> = points
        .iter()
        .map(|(id, points)| (project.tomogram(*id).map(|tomogram| tomogram.name.clone()).unwrap_or_default(), points.len()))
        .collect();
    for (tomogram, points) in points {
        edits.push(project.import_edit(tomogram, points));
    }
    let name = format!("import of {count} {}", if count == 1 { "label" } else { "labels" });
    project.perform(Edit::Batch { name, edits })?;
    let folder = project.dir().to_owned();
    project.close().map_err(|(_, error)| error)?;
    if options.json {
        let left_out = serde_json::json!({ "outside": outside, "of_other_tomograms": elsewhere, "of_unknown_classes": unknown });
        let report = serde_json::json!({ "project": folder, "labels": by_tomogram, "left_out": left_out });
        return say(serde_json::to_string_pretty(&report)?);
    }
    for (name, count) in by_tomogram {
        say(format!("{name}: {count} {}", if count == 1 { "label" } else { "labels" }))?;
    }
    Ok(())
}

/// The project's tomograms, in their order.
fn targets(project: &Project, spacing: Option<f64>) -> Vec<Target> {
    let target = |tomogram: &crate::project::ProjectTomogram| {
        let of_file = || {
            let file = tomogram.locate(project.dir()).unwrap_or_else(|| tomogram.path.clone());
            match crate::volume::open(&file) {
                Ok(source) => source.info().spacing_angstrom,
                Err(error) => {
                    log::warn!("the spacing of {} cannot be read: {error}", tomogram.name);
                    None
                }
            }
        };
        let spacing_angstrom = tomogram.spacing_angstrom.or_else(of_file).or(spacing);
        Target { name: tomogram.name.clone(), shape: Some(tomogram.shape), spacing_angstrom }
    };
    project.tomograms().iter().map(target).collect()
}

/// The project's classes, and where further ones come from.
struct Classes {
    known: Vec<Class>,
    more: Vec<Class>,
    radius: Option<f64>,
}

impl Classes {
    /// What a class's name says; a class that may be added is, by an edit.
    fn kind(&mut self, name: &str, project: &mut Project, edits: &mut Vec<Edit>) -> Option<PointKind> {
        if let Some(class) = self.known.iter().find(|class| class.name == name) {
            return Some(PointKind::Particle(class.id));
        }
        if positions::is_negative(name) {
            return Some(PointKind::Negative);
        }
        let index = self.known.len();
        let id: ClassId = project.new_class_id();
        let class = match (self.more.iter().find(|class| class.name == name), self.radius) {
            (Some(class), _) => Class { id, ..class.clone() },
            (None, Some(radius_angstrom)) => Class { id, name: name.to_owned(), radius_angstrom, colour: self.free_colour() },
            (None, None) => return None,
        };
        self.known.push(class.clone());
        edits.push(Edit::AddClass { index, class });
        Some(PointKind::Particle(id))
    }

    fn free_colour(&self) -> [u8; 3] {
        let taken: BTreeSet<[u8; 3]> = self.known.iter().map(|class| class.colour).collect();
        let own = default_colour(self.known.len());
        (0..8).map(default_colour).find(|colour| !taken.contains(colour)).unwrap_or(own)
    }
}
