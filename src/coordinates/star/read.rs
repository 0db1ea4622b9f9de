//! Positions out of STAR files of RELION 3 to 5, Warp, M and crYOLO.
//!
//! The block that has coordinates is found by its columns, whatever its name; the unit comes from the columns too (see
//! [`super::pixels`]). RELION's origins are what refinement moved a particle by: they are subtracted, turned by the
//! subtomogram's own angles where there are some, as RELION's `ParticleSet::getPosition` does it.

use std::collections::HashMap;
use std::path::Path;

use super::follow;
use super::parse::{Table, Tables, Wrong};
use super::pixels::{PixelColumns, PixelSizes, number, optional_number, shown};
use crate::coordinates::{CoordinateError, CoordinateRow, Format, Positions, ReadOptions, Unit, bare_tomogram_name, text};

/// A file with more is no list of picks, and would take more memory than there is.
pub(super) const MOST_POSITIONS: usize = 10_000_000;
/// RELION has one optics group a tomogram at most.
const MOST_OPTICS_GROUPS: usize = 1_000_000;

/// Names of files that say nothing about the class: the folder does.
const GENERAL_NAMES: [&str; 8] =
    ["particles", "optimisation_set", "import_coordinates", "coordinates", "run_data", "data", "picks", "run_optimisation_set"];

pub(in crate::coordinates) fn read(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    let scan = Scan::new(text::of(bytes, path)?).map_err(|wrong| wrong.in_file(path))?;
    match (&scan.coordinates, scan.particles_file, &scan.index) {
        (None, Some(named), _) => follow::optimisation_set(named, path, options),
        (None, None, Some(index)) => follow::import_index(index, path, options),
        _ => scan.positions(path, options),
    }
}

/// As [`read`], for a file that another one names; one that names further files is refused.
pub(super) fn read_followed(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
    Scan::new(text::of(bytes, path)?).map_err(|wrong| wrong.in_file(path))?.positions(path, options)
}

impl Wrong {
    pub(super) fn in_file(self, path: &Path) -> CoordinateError {
        CoordinateError::Line { path: path.to_owned(), line: self.line, message: self.message }
    }
}

/// The tables of a file that matter.
struct Scan<'a> {
    coordinates: Option<Table<'a>>,
    /// How many more tables have coordinates.
    further: usize,
    optics: Option<Table<'a>>,
    index: Option<Table<'a>>,
    particles_file: Option<&'a str>,
    /// Why there are no coordinates, when there are none.
    no_coordinates: &'static str,
    /// The last line has no end: the file may be cut short.
    is_open: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Result<Self, Wrong> {
        let mut scan = Self {
            coordinates: None,
            further: 0,
            optics: None,
            index: None,
            particles_file: None,
            no_coordinates: "no block of this STAR file has coordinates (rlnCenteredCoordinateX/Y/ZAngst or rlnCoordinateX/Y/Z): \
                choose the file with the particles",
            is_open: !text.is_empty() && !text.ends_with('\n'),
        };
        let mut tables = Tables::new(text);
        let mut optics_last = None;
        while let Some(table) = tables.next_table()? {
            optics_last = None;
            let has = |name| table.columns.contains(&name);
            if let Some((_, file)) = table.pairs.iter().find(|(key, _)| *key == "rlnTomoParticlesFile") {
                scan.particles_file.get_or_insert(file);
            }
            if has("rlnTomoParticlesFile") {
                let place = table.column("rlnTomoParticlesFile")?;
                table.for_each_row(|_, row| {
                    scan.particles_file = scan.particles_file.or(place.map(|place| row[place]));
                    Ok(())
                })?;
            }
            if Kind::of(&table).is_some() {
                match scan.coordinates {
                    None => scan.coordinates = Some(table),
                    Some(_) => scan.further += 1,
                }
            } else if has("rlnTomoImportParticleFile") {
                scan.index.get_or_insert(table);
            } else if has("rlnOpticsGroup") && !has("rlnTomoName") && !has("rlnMicrographName") {
                optics_last = Some(table.line);
                scan.optics.get_or_insert(table);
            } else if has("rlnCoordinateX") && has("rlnCoordinateY") {
                scan.no_coordinates =
                    "the positions have no z (rlnCoordinateZ): these are particles in micrographs, not in tomograms";
            }
        }
        // A pixel size that breaks off would misplace every position.
        if let Some(line) = optics_last.filter(|_| scan.is_open) {
            return Err(Wrong::new(line, "the file breaks off within its optics groups: copy it again, or end its last line"));
        }
        Ok(scan)
    }

    fn positions(&self, path: &Path, options: &ReadOptions) -> Result<Positions, CoordinateError> {
        let Some(table) = &self.coordinates else {
            return Err(CoordinateError::Content { path: path.to_owned(), message: self.no_coordinates.to_owned() });
        };
        Reader::new(self, table, path, options).and_then(|reader| reader.read(self, table)).map_err(|wrong| wrong.in_file(path))
    }
}

/// In what the coordinates of a table are given.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Centred,
    Pixels,
    Boxes,
}

impl Kind {
    const ALL: [(Self, [&'static str; 3]); 3] = [
        (Self::Centred, ["rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst"]),
        (Self::Pixels, ["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]),
        (Self::Boxes, ["CoordinateX", "CoordinateY", "CoordinateZ"]),
    ];

    /// RELION 5 prefers centred coordinates where there are both.
    fn of(table: &Table<'_>) -> Option<(Self, [&'static str; 3])> {
        Self::ALL.into_iter().find(|(_, names)| names.iter().all(|name| table.columns.contains(name)))
    }
}

/// Where the columns are, and what has been decided for the whole file.
struct Reader {
    kind: Kind,
    xyz: [(usize, &'static str); 3],
    tomogram: Option<usize>,
    score: Option<usize>,
    group: Option<usize>,
    class_number: Option<usize>,
    /// Width, height and depth of a box.
    widths: Option<[usize; 2]>,
    origins_angstrom: [Option<usize>; 3],
    origins_pixel: [Option<usize>; 3],
    turn: Option<[usize; 3]>,
    pixels: PixelColumns,
    /// The unit of pixels whose size is not known.
    unsized_unit: Unit,
    may_be_fractions: bool,
    class: String,
    file_tomogram: Option<String>,
    format: Format,
    notes: Vec<String>,
}

impl Reader {
    fn new(scan: &Scan<'_>, table: &Table<'_>, path: &Path, options: &ReadOptions) -> Result<Self, Wrong> {
        let Some((kind, names)) = Kind::of(table) else {
            return Err(Wrong::new(table.line, "the block has no coordinates"));
        };
        let need = |name: &'static str| {
            table
                .column(name)?
                .map(|place| (place, name))
                .ok_or_else(|| Wrong::new(table.line, format!("there is no column _{name}")))
        };
        let triple = |names: [&str; 3]| -> Result<[Option<usize>; 3], Wrong> {
            Ok([table.column(names[0])?, table.column(names[1])?, table.column(names[2])?])
        };
        let turn = match triple(["rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi"])? {
            [Some(rot), Some(tilt), Some(psi)] => Some([rot, tilt, psi]),
            _ => None,
        };
        let micrograph = table.column("rlnMicrographName")?;
        let tomogram = table.column("rlnTomoName")?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut notes = Vec::new();

        let mut first_tomogram = None;
        if let Some(place) = tomogram.or(micrograph) {
            // Only to know the style of the names; the rows are read for good later.
            let _ = table.for_each_row(|line, row| {
                first_tomogram = Some(row[place].to_owned());
                Err(Wrong::new(line, ""))
            });
        }
        let first_tomogram = first_tomogram.unwrap_or_default();
        let is_warp = first_tomogram.ends_with(".tomostar") && tomogram.is_none();
        let boxes_only = scan.optics.as_ref().is_some_and(|optics| optics.columns.contains(&"rlnImagePixelSize"));
        let picked_in_relion5 =
            tomogram.is_some() && stem.strip_suffix("_particles").is_some_and(|name| !name.is_empty() && name == first_tomogram);
        let unsized_unit = match options.format {
            Some(Format::Warp) => Unit::Voxel,
            Some(Format::Relion4) => Unit::TiltSeriesPixel(None),
            _ if picked_in_relion5 => Unit::Voxel,
            _ if tomogram.is_some() || (boxes_only && !is_warp) => Unit::TiltSeriesPixel(None),
            _ => Unit::Voxel,
        };
        let format = match kind {
            Kind::Centred => Format::Relion5,
            Kind::Boxes => Format::Cbox,
            Kind::Pixels if is_warp || (first_tomogram.is_empty() && tomogram.is_none() && micrograph.is_some()) => Format::Warp,
            Kind::Pixels => Format::Relion4,
        };
        let (class, class_note) = class_of(path, &stem, &first_tomogram, kind, options);
        notes.extend(class_note);
        if scan.further > 0 {
            notes.push(format!("{} more blocks have coordinates and were left out: the first was read", scan.further));
        }
        if scan.is_open {
            notes.push("the last line has no line end: the file may be cut short".to_owned());
        }
        if tomogram.or(micrograph).is_none() && kind != Kind::Boxes {
            notes.push("the file does not name the tomograms".to_owned());
        }
        let widths = match (table.column("Width")?, table.column("Height")?) {
            (Some(width), Some(height)) => Some([width, height]),
            _ if kind == Kind::Boxes => return Err(Wrong::new(table.line, "boxes need the columns _Width and _Height")),
            _ => None,
        };
        Ok(Self {
            kind,
            xyz: [need(names[0])?, need(names[1])?, need(names[2])?],
            tomogram: tomogram.or(micrograph),
            score: table.column(if kind == Kind::Boxes { "Confidence" } else { "rlnAutopickFigureOfMerit" })?,
            group: table.column("rlnOpticsGroup")?,
            class_number: table.column("rlnClassNumber")?,
            widths,
            origins_angstrom: triple(["rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst"])?,
            origins_pixel: triple(["rlnOriginX", "rlnOriginY", "rlnOriginZ"])?,
            turn,
            pixels: PixelColumns::find(table)?,
            unsized_unit,
            may_be_fractions: is_warp && table.columns.contains(&"rlnAngleRot"),
            class,
            file_tomogram: (kind == Kind::Boxes && !stem.is_empty()).then_some(stem),
            format,
            notes,
        })
    }

    fn read(mut self, scan: &Scan<'_>, table: &Table<'_>) -> Result<Positions, Wrong> {
        let optics = optics_groups(scan.optics.as_ref())?;
        let mut rows = Vec::new();
        let mut seen = Seen::default();
        table.for_each_row(|line, row| {
            if rows.len() == MOST_POSITIONS {
                return Err(Wrong::new(line, format!("the file has more than {MOST_POSITIONS} positions")));
            }
            rows.push(self.row(line, row, &optics, &mut seen)?);
            Ok(())
        })?;
        let is_fraction =
            |row: &CoordinateRow| row.unit == Unit::Voxel && row.xyz.iter().all(|coordinate| (0.0..=1.0).contains(coordinate));
        if self.may_be_fractions && !rows.is_empty() && rows.iter().all(is_fraction) {
            for row in &mut rows {
                row.unit = Unit::VolumeFraction;
            }
            self.notes.push("all coordinates lie between 0 and 1: they are taken for fractions of the volume, as Warp's template matching writes them".to_owned());
        } else {
            self.notes.extend(self.unit_note(rows.first(), seen.sizes));
        }
        if seen.shifted {
            self.notes.push("the shifts of refinement (rlnOriginX/Y/Z) were subtracted from the coordinates".to_owned());
        }
        if seen.unknown_shift {
            self.notes.push(
                "shifts in pixels (rlnOriginX/Y/Z) were left out, as the file does not say the size of those pixels".to_owned(),
            );
        }
        if seen.class_numbers > 1 {
            self.notes.push(format!(
                "rlnClassNumber differs among the particles, which are all taken for {:?}: it numbers the classes of a classification",
                self.class
            ));
        }
        Ok(Positions { format: self.format, rows, notes: self.notes })
    }

    fn row(&self, line: u64, row: &[&str], optics: &HashMap<&str, PixelSizes>, seen: &mut Seen) -> Result<CoordinateRow, Wrong> {
        let mut xyz = [0.0; 3];
        for (coordinate, (place, name)) in xyz.iter_mut().zip(self.xyz) {
            *coordinate = number(line, name, row[place])?;
        }
        let group = self.group.and_then(|place| optics.get(row[place])).copied().unwrap_or_default();
        // A file of one optics group may leave the column out.
        let group =
            if self.group.is_none() && optics.len() == 1 { optics.values().copied().next().unwrap_or_default() } else { group };
        let sizes = self.pixels.read(line, row)?.or(group);
        seen.sizes = sizes;
        let unit = match self.kind {
            Kind::Centred => Unit::CentredAngstrom,
            Kind::Boxes => Unit::Voxel,
            Kind::Pixels => sizes.of_coordinates().map_or(self.unsized_unit, |pixel| Unit::TiltSeriesPixel(Some(pixel))),
        };
        if let Some(widths) = self.widths.filter(|_| self.kind == Kind::Boxes) {
            for (coordinate, (place, name)) in xyz.iter_mut().zip(widths.into_iter().zip(["Width", "Height"])) {
                *coordinate += number(line, name, row[place])? / 2.0;
            }
        }
        let shift_angstrom = self.shift(line, row, sizes, &mut xyz, seen)?;
        if !xyz.iter().chain(&shift_angstrom).all(|coordinate| coordinate.is_finite()) {
            return Err(Wrong::new(line, "the position is not finite"));
        }
        let score = match self.score {
            Some(place) => {
                optional_number(line, "the score", row[place])?.map(|score| score as f32).filter(|score| score.is_finite())
            }
            None => None,
        };
        if let Some(place) = self.class_number {
            seen.count_class(row[place]);
        }
        let tomogram = self.tomogram.map(|place| tomogram_name(row[place])).filter(|name| !name.is_empty());
        Ok(CoordinateRow {
            tomogram: tomogram.map(str::to_owned).or_else(|| self.file_tomogram.clone()),
            class: self.class.clone(),
            xyz,
            unit,
            shift_angstrom,
            score,
            source: None,
            line,
        })
    }

    /// The shift in angstrom; shifts in the coordinates' own pixels go into `xyz`.
    fn shift(&self, line: u64, row: &[&str], sizes: PixelSizes, xyz: &mut [f64; 3], seen: &mut Seen) -> Result<[f64; 3], Wrong> {
        let read = |places: [Option<usize>; 3], name: &str| -> Result<[f64; 3], Wrong> {
            let mut numbers = [0.0; 3];
            for (number, place) in numbers.iter_mut().zip(places) {
                if let Some(place) = place {
                    *number = optional_number(line, name, row[place])?.unwrap_or(0.0);
                }
            }
            Ok(numbers)
        };
        let angles = self.turn.map(|places| read(places.map(Some), "rlnTomoSubtomogramRot/Tilt/Psi")).transpose()?;
        let turned = |origin: [f64; 3]| angles.map_or(origin, |angles| turn(angles, origin));
        // A zero is kept as 0 instead of -0.
        let minus = |origin: [f64; 3]| origin.map(|origin| 0.0 - origin);
        if self.origins_angstrom.iter().any(Option::is_some) {
            let origin = read(self.origins_angstrom, "rlnOriginX/Y/ZAngst")?;
            seen.shifted |= origin != [0.0; 3];
            return Ok(minus(turned(origin)));
        }
        let origin = read(self.origins_pixel, "rlnOriginX/Y/Z")?;
        if origin == [0.0; 3] {
            return Ok([0.0; 3]);
        }
        let origin = turned(origin);
        if let Some(pixel) = sizes.of_boxes() {
            seen.shifted = true;
            return Ok(minus(origin.map(|origin| origin * pixel)));
        }
        if self.kind != Kind::Pixels {
            seen.unknown_shift = true;
            return Ok([0.0; 3]);
        }
        seen.shifted = true;
        for (coordinate, origin) in xyz.iter_mut().zip(origin) {
            *coordinate -= origin;
        }
        Ok([0.0; 3])
    }

    /// What the unit was taken for, where the file does not say it outright.
    fn unit_note(&self, first: Option<&CoordinateRow>, sizes: PixelSizes) -> Option<String> {
        let first = first.filter(|_| self.kind == Kind::Pixels)?;
        Some(match first.unit {
            Unit::TiltSeriesPixel(Some(pixel)) => format!("coordinates are in pixels of {pixel} angstrom"),
            Unit::TiltSeriesPixel(None) => match sizes.of_boxes() {
                Some(pixel) => format!(
                    "the file says the pixel size of the boxes ({pixel} angstrom) but not that of the tilt series or tomogram in \
                     which the coordinates count"
                ),
                None => "the file does not say the pixel size of the tilt series in which the coordinates count".to_owned(),
            },
            _ => "the file says no pixel size: coordinates are taken for voxels of the tomogram".to_owned(),
        })
    }
}

/// What the rows had, for the notes.
#[derive(Default)]
struct Seen {
    shifted: bool,
    unknown_shift: bool,
    sizes: PixelSizes,
    first_class: Option<String>,
    class_numbers: usize,
}

impl Seen {
    fn count_class(&mut self, number: &str) {
        match &self.first_class {
            None => (self.first_class, self.class_numbers) = (Some(number.to_owned()), 1),
            Some(first) if first != number => self.class_numbers = 2,
            Some(_) => {}
        }
    }
}

/// The pixel sizes of the optics groups, by the group's number.
fn optics_groups<'a>(table: Option<&Table<'a>>) -> Result<HashMap<&'a str, PixelSizes>, Wrong> {
    let mut groups = HashMap::new();
    let Some(table) = table else { return Ok(groups) };
    let Some(group) = table.column("rlnOpticsGroup")? else { return Ok(groups) };
    let columns = PixelColumns::find(table)?;
    table.for_each_row(|line, row| {
        if groups.len() == MOST_OPTICS_GROUPS {
            return Err(Wrong::new(line, format!("the file has more than {MOST_OPTICS_GROUPS} optics groups")));
        }
        if groups.insert(row[group], columns.read(line, row)?).is_some() {
            return Err(Wrong::new(line, format!("the optics group {} is there twice", shown(row[group]))));
        }
        Ok(())
    })?;
    Ok(groups)
}

/// A tomogram's name without folder, and bare.
fn tomogram_name(value: &str) -> &str {
    bare_tomogram_name(value.rsplit('/').next().unwrap_or(value))
}

/// The class of a file that names none, and a sentence on where it comes from.
fn class_of(path: &Path, stem: &str, first_tomogram: &str, kind: Kind, options: &ReadOptions) -> (String, Option<String>) {
    if let Some(class) = options.class.as_ref().filter(|class| !class.trim().is_empty()) {
        return (class.clone(), None);
    }
    let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let says_nothing = kind == Kind::Boxes
        || GENERAL_NAMES.contains(&stem)
        || stem.trim().is_empty()
        || (!first_tomogram.is_empty() && bare_tomogram_name(stem) == tomogram_name(first_tomogram))
        || (stem.starts_with("run_it") && stem.ends_with("_data"));
    match folder.filter(|folder| says_nothing && !folder.trim().is_empty()) {
        Some(folder) => {
            let note = format!("the file names no class: its folder's name, {folder:?}, is taken for it");
            (folder, Some(note))
        }
        None => {
            let class = if stem.trim().is_empty() { "particle" } else { stem };
            (class.to_owned(), Some(format!("the file names no class: its own name, {class:?}, is taken for it")))
        }
    }
}

/// `origin` turned from the subtomogram's frame into the tomogram's: RELION's matrix of the angles rot, tilt, psi in degrees
/// (`Euler::anglesToMatrix3`) times the vector.
fn turn([rot, tilt, psi]: [f64; 3], [x, y, z]: [f64; 3]) -> [f64; 3] {
    let ((sp, cp), (st, ct), (sc, cc)) = (rot.to_radians().sin_cos(), tilt.to_radians().sin_cos(), psi.to_radians().sin_cos());
    [
        (cc * ct * cp - sc * sp) * x + (cc * ct * sp + sc * cp) * y - cc * st * z,
        (-sc * ct * cp - cc * sp) * x + (-sc * ct * sp + cc * cp) * y + sc * st * z,
        st * cp * x + st * sp * y + ct * z,
    ]
}
