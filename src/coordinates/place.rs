//! From positions of a file to places in the tomograms at hand: by name, in voxels, inside or outside.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{CoordinateRow, Frame, Missing, Unit, bare_tomogram_name};
use crate::geometry::VoxelBox;

/// A tomogram that positions may belong to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Voxels `(z, y, x)`; without them nothing lies outside.
    pub shape: Option<[usize; 3]>,
    /// Edge of a voxel in angstrom.
    pub spacing_angstrom: Option<f64>,
}

/// What is said about a file's positions besides the file itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlaceOptions {
    /// The target, by its place in the list, of positions without a tomogram's name.
    pub unnamed: Option<usize>,
    /// The targets of names that no target has.
    pub renamed: BTreeMap<String, usize>,
    /// Pixel of the unbinned tilt series in angstrom, for files that count in it and do not say it.
    pub tilt_series_pixel_angstrom: Option<f64>,
}

/// A position in its tomogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// Which of the rows it comes from.
    pub row: usize,
    /// The tomogram, by its place among the targets.
    pub target: usize,
    /// Continuous voxel index `(z, y, x)`.
    pub position: [f64; 3],
}

/// Where the positions of a file lie. Every row is in exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Positions inside their tomogram, in the order of the rows.
    pub placed: Vec<Placed>,
    /// Positions outside their tomogram.
    pub outside: Vec<Placed>,
    /// Numbers of positions of tomograms that are not among the targets, by the name that the file gives.
    pub elsewhere: BTreeMap<String, usize>,
    /// Number of positions without a tomogram's name, when nothing says where these belong.
    pub unnamed: usize,
    /// Numbers of positions that cannot be placed, by what is missing and the target.
    pub missing: BTreeMap<(Missing, usize), usize>,
}

/// Places rows in tomograms. A row belongs to the target of its tomogram's name; other programs' spellings of a name count when
/// they mean just one target ([`bare_tomogram_name`]).
pub fn place(rows: &[CoordinateRow], targets: &[Target], options: &PlaceOptions) -> Placement {
    let mut by_name: HashMap<&str, Option<usize>> = HashMap::new();
    let mut placement = Placement::default();
    for (row, content) in rows.iter().enumerate() {
        let target = match content.tomogram.as_deref() {
            None => options.unnamed,
            Some(name) => *by_name.entry(name).or_insert_with(|| target_named(name, targets, options)),
        };
        let Some((target, tomogram)) = target.and_then(|target| Some((target, targets.get(target)?))) else {
            match &content.tomogram {
                Some(name) => *placement.elsewhere.entry(name.clone()).or_default() += 1,
                None => placement.unnamed += 1,
            }
            continue;
        };
        let frame = Frame {
            shape: tomogram.shape,
            spacing_angstrom: tomogram.spacing_angstrom,
            tilt_series_pixel_angstrom: options.tilt_series_pixel_angstrom,
        };
        match content.voxel_zyx(&frame) {
            Err(missing) => *placement.missing.entry((missing, target)).or_default() += 1,
            Ok(position) => {
                let placed = Placed { row, target, position };
                let inside = tomogram.shape.is_none_or(|shape| VoxelBox::whole(shape).contains(position));
                if inside { placement.placed.push(placed) } else { placement.outside.push(placed) }
            }
        }
    }
    placement
}

fn target_named(name: &str, targets: &[Target], options: &PlaceOptions) -> Option<usize> {
    if let Some(target) = targets.iter().position(|target| target.name == name) {
        return Some(target);
    }
    if let Some(target) = options.renamed.get(name) {
        return Some(*target);
    }
    let bare = bare_tomogram_name(name);
    let mut same = targets.iter().enumerate().filter(|(_, target)| bare_tomogram_name(&target.name) == bare);
    match (same.next(), same.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    }
}

/// The target of which a file speaks by its own name, for positions that name no tomogram: `TS_1_ribosome.coords` speaks of
/// `TS_1`. Of several, the longest.
pub fn target_of_file(path: &Path, targets: &[Target]) -> Option<usize> {
    let fitting = targets.iter().enumerate().filter(|(_, target)| rest_of_file_name(path, &target.name).is_some());
    fitting.max_by_key(|(_, target)| target.name.len()).map(|(index, _)| index)
}

/// What follows the tomogram's name in the name of a file, without separators and the file's ending: mostly the class, and empty
/// in a file named after the tomogram alone. `None` when the file is not named after the tomogram.
pub fn rest_of_file_name(path: &Path, tomogram: &str) -> Option<String> {
    let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    [stem.as_ref(), bare_tomogram_name(&stem)].into_iter().find_map(|stem| {
        let rest = stem.strip_prefix(tomogram).or_else(|| stem.strip_prefix(bare_tomogram_name(tomogram)))?;
        let separated = rest.is_empty() || rest.starts_with(|letter: char| !letter.is_alphanumeric());
        separated.then(|| rest.trim_start_matches(|letter: char| !letter.is_alphanumeric()).to_owned())
    })
}

/// Whether some of the rows count in pixels of the unbinned tilt series whose size the file does not say.
pub fn asks_tilt_series_pixel(rows: &[CoordinateRow]) -> bool {
    rows.iter().any(|row| matches!(row.unit, Unit::TiltSeriesPixel(None) | Unit::CentredPixel(None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tomogram: Option<&str>, xyz: [f64; 3], unit: Unit) -> CoordinateRow {
        CoordinateRow {
            tomogram: tomogram.map(str::to_owned),
            class: "a".to_owned(),
            xyz,
            unit,
            shift_angstrom: [0.0; 3],
            score: None,
            source: None,
            line: 1,
        }
    }

    fn target(name: &str) -> Target {
        Target { name: name.to_owned(), shape: Some([10, 20, 30]), spacing_angstrom: Some(10.0) }
    }

    #[test]
    fn every_row_is_somewhere() {
        let targets = [target("TS_1"), target("TS_2_10.00Apx"), target("TS_2_5.00Apx")];
        let rows = [
            row(Some("rec_TS_1"), [290.0, 190.0, 90.0], Unit::Angstrom),
            row(Some("TS_1.tomostar"), [30.0, 1.0, 1.0], Unit::Voxel),
            row(Some("TS_2"), [1.0; 3], Unit::Voxel),
            row(Some("TS_2_5.00Apx"), [1.0; 3], Unit::Voxel),
            row(Some("TS_9"), [1.0; 3], Unit::Voxel),
            row(None, [1.0; 3], Unit::Voxel),
            row(Some("TS_1"), [1.0; 3], Unit::TiltSeriesPixel(None)),
        ];
        assert!(asks_tilt_series_pixel(&rows) && !asks_tilt_series_pixel(&rows[..6]));
        let mut options = PlaceOptions::default();
        let found = place(&rows, &targets, &options);
        let placed: Vec<_> = found.placed.iter().map(|placed| (placed.row, placed.target, placed.position)).collect();
        assert_eq!(placed, [(0, 0, [9.0, 19.0, 29.0]), (3, 2, [1.0; 3])]);
        assert_eq!(found.outside.iter().map(|placed| placed.row).collect::<Vec<_>>(), [1]);
        // A name that could mean two tomograms means neither.
        assert_eq!(found.elsewhere, BTreeMap::from([("TS_2".to_owned(), 1), ("TS_9".to_owned(), 1)]));
        assert_eq!(found.unnamed, 1);
        assert_eq!(found.missing, BTreeMap::from([((Missing::TiltSeriesPixel, 0), 1)]));

        options.unnamed = Some(2);
        options.renamed.insert("TS_9".to_owned(), 1);
        options.tilt_series_pixel_angstrom = Some(5.0);
        let found = place(&rows, &targets, &options);
        let placed: Vec<_> = found.placed.iter().map(|placed| (placed.row, placed.target)).collect();
        assert_eq!(placed, [(0, 0), (3, 2), (4, 1), (5, 2), (6, 0)]);
        assert_eq!(found.placed[4].position, [0.5; 3]);
        assert_eq!(found.unnamed + found.missing.len(), 0);
    }

    #[test]
    fn a_file_may_be_named_after_its_tomogram() {
        let targets = [target("TS_1"), target("TS_1_b"), target("TS_10"), target("rec_TS_2.mrc")];
        let found = |name: &str| target_of_file(Path::new(name), &targets);
        assert_eq!(found("/a/TS_1_ribosome.coords"), Some(0));
        assert_eq!(found("TS_1.coords"), Some(0));
        assert_eq!(found("TS_1_b_ribosome.coords"), Some(1));
        assert_eq!(found("TS_10-a.coords"), Some(2));
        assert_eq!(found("TS_2_a.coords"), Some(3));
        assert_eq!(found("TS_100.coords"), None);
        assert_eq!(rest_of_file_name(Path::new("TS_1__80S ribosome.coords"), "TS_1").as_deref(), Some("80S ribosome"));
        assert_eq!(rest_of_file_name(Path::new("TS_1.coords"), "TS_1").as_deref(), Some(""));
    }

    #[test]
    fn nothing_lies_outside_a_volume_of_unknown_size() {
        let unknown = Target { shape: None, ..target("TS_1") };
        let found =
            place(&[row(None, [1e6; 3], Unit::Angstrom)], &[unknown], &PlaceOptions { unnamed: Some(0), ..Default::default() });
        assert_eq!(found.placed.len(), 1);
    }
}
