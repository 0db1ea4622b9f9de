//! The 1024 bytes at the start of an MRC file: what they say, and what must be assumed.
//!
//! Field offsets are those of MRC2014 (Cheng et al., J. Struct. Biol. 192, 2015, 146), with IMOD's flag for unsigned bytes.

use std::path::Path;

use super::voxel::{ByteOrder, Voxel};
use super::{Fact, PLAUSIBLE_SPACING_ANGSTROM, VolumeError, anisotropy_warning, simplest_decimal};

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 1024;
/// What IMOD writes at byte 152 of the files whose flags, at byte 156, are its own.
const IMOD_STAMP: i32 = 1_146_047_817;
/// Relative rounding of a header's 32-bit numbers.
const ROUNDING: f64 = 2e-7;

/// What a header says, checked for itself; whether the file is long enough is [`Header::data_start`]'s question.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) order: ByteOrder,
    pub(super) voxel: Voxel,
    /// Sections, rows and columns: the file's own order, slowest first. Each is at least 1.
    pub(super) counts: [u64; 3],
    /// The axis that sections, rows and columns run along: 0 for z, 1 for y, 2 for x.
    pub(super) axes: [usize; 3],
    pub(super) spacing_angstrom: Option<f64>,
    /// Bytes between the header and the data.
    extended_bytes: u64,
    pub(super) warnings: Vec<String>,
    pub(super) facts: Vec<Fact>,
}

/// Reads the header's fields in one byte order.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    order: ByteOrder,
}

impl Fields<'_> {
    fn word(self, offset: usize) -> [u8; 4] {
        let mut word = [0; 4];
        word.copy_from_slice(&self.bytes[offset..offset + 4]);
        word
    }

    fn int(self, offset: usize) -> i32 {
        match self.order {
            ByteOrder::Little => i32::from_le_bytes(self.word(offset)),
            ByteOrder::Big => i32::from_be_bytes(self.word(offset)),
        }
    }

    fn ints(self, offset: usize) -> [i32; 3] {
        [self.int(offset), self.int(offset + 4), self.int(offset + 8)]
    }

    fn float(self, offset: usize) -> f32 {
        f32::from_bits(self.int(offset) as u32)
    }

    fn floats(self, offset: usize) -> [f32; 3] {
        [self.float(offset), self.float(offset + 4), self.float(offset + 8)]
    }

    /// The rule for an unknown machine stamp: the mode is known, the sizes are in 1..65535, the axes are a permutation.
    fn plausible(self) -> bool {
        let known_mode = matches!(self.int(12), 0 | 1 | 2 | 3 | 4 | 6 | 12 | 101);
        known_mode && self.ints(0).iter().all(|size| (1..=65535).contains(size)) && axes(self.ints(64)).is_some()
    }
}

/// Axes of sections, rows and columns in `(z, y, x)` numbering, from the header's columns, rows and sections in 1, 2, 3 for
/// x, y, z; all zero is how old programs say "the usual order".
fn axes(map: [i32; 3]) -> Option<[usize; 3]> {
    if map == [0; 3] {
        return Some([0, 1, 2]);
    }
    let mut sorted = map;
    sorted.sort_unstable();
    (sorted == [1, 2, 3]).then(|| [3 - map[2] as usize, 3 - map[1] as usize, 3 - map[0] as usize])
}

impl Header {
    /// Reads a header. `path` is for messages.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES], path: &Path) -> Result<Self, VolumeError> {
        let path = || path.to_path_buf();
        let mut warnings = Vec::new();
        let order = byte_order(bytes, &mut warnings).ok_or_else(|| VolumeError::NotMrc { path: path() })?;
        let fields = Fields { bytes, order };
        if &bytes[208..211] != b"MAP" {
            warnings.push("no MAP word in the header: read as MRC because its sizes and mode fit".to_owned());
        }
        let [x, y, z] = fields.ints(0);
        if x < 1 || y < 1 || z < 1 {
            return Err(VolumeError::Size { x, y, z, path: path() });
        }
        let voxel = match fields.int(12) {
            0 if fields.int(152) == IMOD_STAMP && fields.int(156) & 1 == 0 => Voxel::Uint8,
            0 => Voxel::Int8,
            1 => Voxel::Int16,
            2 => Voxel::Float32,
            6 => Voxel::Uint16,
            12 => Voxel::Float16,
            101 => Voxel::Uint4,
            mode @ (3 | 4) => return Err(VolumeError::Complex { mode, path: path() }),
            mode => return Err(VolumeError::UnknownMode { mode, path: path() }),
        };
        let axes = axes(fields.ints(64)).unwrap_or_else(|| {
            let [c, r, s] = fields.ints(64);
            warnings.push(format!("axis order {c}, {r}, {s} is none: columns, rows and sections are taken for x, y and z"));
            [0, 1, 2]
        });
        let counts = [z as u64, y as u64, x as u64];
        let spacing_angstrom = spacing(fields, &mut warnings);
        warn_of_oddities(fields, z, &mut warnings);
        let extended = fields.int(92);
        if extended < 0 {
            warnings.push(format!("the length of the extended header is negative ({extended}): taken for 0"));
        }
        Ok(Self {
            order,
            voxel,
            counts,
            axes,
            spacing_angstrom,
            extended_bytes: extended.max(0) as u64,
            warnings,
            facts: facts(fields, voxel, axes, spacing_angstrom),
        })
    }

    /// Voxels, `(z, y, x)`; `None` when this machine cannot count them.
    pub(super) fn shape(&self) -> Option<[usize; 3]> {
        let mut shape = [0; 3];
        for (count, axis) in self.counts.iter().zip(self.axes) {
            shape[axis] = usize::try_from(*count).ok()?;
        }
        Some(shape)
    }

    /// Bytes of a row of the file.
    pub(super) fn row_bytes(&self) -> u64 {
        self.voxel.row_bytes(self.counts[2])
    }

    /// Bytes of the data. No product of three sizes overflows this.
    fn data_bytes(&self) -> u128 {
        u128::from(self.row_bytes()) * u128::from(self.counts[0]) * u128::from(self.counts[1])
    }

    /// Bytes of the whole file, as promised.
    pub(super) fn promised_bytes(&self) -> u128 {
        HEADER_BYTES as u128 + u128::from(self.extended_bytes) + self.data_bytes()
    }

    /// Where the data begin in a file of `length` bytes; adds a warning when that is not where the header says, or when
    /// bytes follow the data.
    pub(super) fn data_start(&mut self, length: u64, path: &Path) -> Result<u64, VolumeError> {
        let promised = self.promised_bytes();
        if u128::from(length) >= promised {
            let surplus = u128::from(length) - promised;
            if surplus > 0 {
                self.warnings.push(format!("the file is {surplus} bytes longer than its header says: the rest is ignored"));
            }
            return Ok(HEADER_BYTES as u64 + self.extended_bytes);
        }
        if self.extended_bytes > 0 && u128::from(length) == HEADER_BYTES as u128 + self.data_bytes() {
            let bytes = self.extended_bytes;
            self.warnings.push(format!("extended header promised but absent: the file is short by exactly its {bytes} bytes"));
            return Ok(HEADER_BYTES as u64);
        }
        Err(VolumeError::Truncated { length, promised, path: path.to_path_buf() })
    }
}

/// The byte order: the machine stamp's, unless the header makes sense in the other order alone. `None` when nothing speaks
/// for MRC.
fn byte_order(bytes: &[u8; HEADER_BYTES], warnings: &mut Vec<String>) -> Option<ByteOrder> {
    let plausible = |order| Fields { bytes, order }.plausible();
    let stamp = &bytes[212..216];
    let stamped = match stamp {
        [0x44, 0x44 | 0x41, ..] => Some(ByteOrder::Little),
        [0x11, 0x11, ..] => Some(ByteOrder::Big),
        _ => None,
    };
    // At most one order is plausible: a size below 65536 has 65536 or more in the other.
    let guess = [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| plausible(*order));
    let bytes_of_stamp = || stamp.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    match (stamped, guess) {
        (Some(stamped), Some(guess)) if guess == stamped.other() => {
            warnings.push(format!(
                "the machine stamp says {}, but only as {} does the header make sense: read as that",
                stamped.name(),
                guess.name()
            ));
            Some(guess)
        }
        (Some(stamped), _) if &bytes[208..211] == b"MAP" || plausible(stamped) => Some(stamped),
        (None, Some(guess)) => {
            warnings.push(format!("unknown machine stamp {}: read as {}", bytes_of_stamp(), guess.name()));
            Some(guess)
        }
        // Damaged, but MRC: reading on says which field is wrong.
        (None, None) if &bytes[208..211] == b"MAP" => {
            warnings.push(format!("unknown machine stamp {}: read as little-endian", bytes_of_stamp()));
            Some(ByteOrder::Little)
        }
        _ => None,
    }
}

/// Cell over sampling (not over size), along x; `None` with a warning when the header does not tell.
fn spacing(fields: Fields<'_>, warnings: &mut Vec<String>) -> Option<f64> {
    let (sampling, cell) = (fields.ints(28), fields.floats(40));
    let [x, y, z]: [f64; 3] = std::array::from_fn(|axis| match sampling[axis] {
        1.. => simplest_decimal(f64::from(cell[axis]) / f64::from(sampling[axis]), ROUNDING),
        _ => 0.0,
    });
    if x == 1.0 && y == 1.0 {
        warnings.push("spacing of exactly 1 angstrom, which programs write when they do not know it: give the spacing".into());
        return None;
    }
    if !PLAUSIBLE_SPACING_ANGSTROM.contains(&x) {
        warnings.push(format!("spacing unknown, the header says {x} angstrom: give the spacing"));
        return None;
    }
    warnings.extend(anisotropy_warning([x, y, z]));
    Some(x)
}

/// Warns of what is read past: stack flags, starts and origins, skewed cells.
fn warn_of_oddities(fields: Fields<'_>, sections: i32, warnings: &mut Vec<String>) {
    match fields.int(88) {
        0 if sections > 1 => {
            warnings.push(format!("flagged as an image stack (space group 0): its {sections} sections are read as a volume"));
        }
        401..=630 => warnings.push("flagged as a stack of volumes: all its sections are read as one volume".to_owned()),
        _ => {}
    }
    let (start, origin) = (fields.ints(16), fields.floats(196));
    if start != [0; 3] || origin.iter().any(|value| *value != 0.0) {
        warnings.push(format!("origin is ignored: start {start:?}, origin {origin:?}; positions count from the first voxel"));
    }
    let angles = fields.floats(52);
    let is_right = |angle: &f32| *angle == 0.0 || (angle - 90.0).abs() < 0.01;
    if !angles.iter().all(is_right) {
        warnings.push(format!("cell angles {angles:?} are ignored: the axes are taken as perpendicular"));
    }
}

/// What the header says besides sizes, and how it was understood.
fn facts(fields: Fields<'_>, voxel: Voxel, axes: [usize; 3], spacing_angstrom: Option<f64>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push(Fact::new(name, value));
    let sign = match fields.int(12) {
        0 if fields.int(152) != IMOD_STAMP => ", signed bytes as MRC2014 has them",
        0 if voxel == Voxel::Uint8 => ", unsigned bytes by IMOD's flag",
        0 => ", signed bytes by IMOD's flag",
        101 => ", two voxels a byte, the low bits first",
        _ => "",
    };
    add("form", format!("MRC, mode {} ({}{sign})", fields.int(12), voxel.data_type()));
    let stamp = fields.bytes[212..216].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    add("byte order", format!("{}, machine stamp {stamp}", fields.order.name()));
    let [sections, rows, columns] = axes.map(|axis| ["z", "y", "x"][axis]);
    add("axes", format!("columns {columns}, rows {rows}, sections {sections}"));
    let ([x, y, z], [mx, my, mz]) = (fields.floats(40), fields.ints(28));
    let understood = if spacing_angstrom.is_some() { "" } else { ", which says nothing" };
    add("spacing from", format!("cell / sampling along x, y, z: {x} / {mx}, {y} / {my}, {z} / {mz}{understood}"));
    let (start, origin) = (fields.ints(16), fields.floats(196));
    if start != [0; 3] || origin.iter().any(|value| *value != 0.0) {
        add("origin", format!("{origin:?} angstrom, start {start:?} (x, y, z); positions ignore both"));
    }
    let extended = fields.int(92);
    if extended > 0 {
        let kind = printable(&fields.bytes[104..108]);
        add(
            "extended header",
            if kind.is_empty() { format!("{extended} bytes") } else { format!("{extended} bytes, type {kind}") },
        );
    }
    add("space group", fields.int(88).to_string());
    let [min, max, mean] = fields.floats(76);
    add("header's statistics", format!("minimum {min}, maximum {max}, mean {mean}, deviation {}", fields.float(216)));
    // At most ten, whatever the header says.
    let labels = fields.bytes[224..].chunks_exact(80).take(fields.int(220).clamp(0, 10) as usize).map(printable);
    labels.filter(|label| !label.is_empty()).for_each(|label| add("label", label));
    facts
}

/// The text of a field, without padding and what cannot be printed.
fn printable(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' }).collect();
    text.trim().to_owned()
}
