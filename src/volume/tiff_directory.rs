//! What the directories of a TIFF file say: sizes, types and where the pixels lie, checked against the file's length.
//!
//! The tags are those of TIFF 6.0 (Adobe, 1992) and BigTIFF. The whole chain of directories is read when a file is opened, in time
//! and memory proportional to the file at most, whatever its bytes; pixels are not touched.

use std::collections::HashSet;
use std::path::Path;

use super::voxel::{ByteOrder, Voxel};
use super::{Fact, VolumeError};

/// Directories and tables of a sound file lie side by side. A damaged one can point to the same bytes again and again; what is read of
/// it stays below this many times its length.
const READ_TIMES: u64 = 4;
/// Bytes of a description that are looked at: what is sought stands at its beginning.
const DESCRIPTION_BYTES: usize = 1 << 18;

/// How pixels are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

impl Compression {
    fn of(number: u64) -> Result<Self, String> {
        Ok(match number {
            1 => Self::None,
            5 => Self::Lzw,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            2..=4 => return Err("fax compression".to_owned()),
            6 | 7 => return Err("JPEG compression".to_owned()),
            33003 | 33004 | 33005 | 34712 => return Err("JPEG 2000 compression".to_owned()),
            34887 => return Err("LERC compression".to_owned()),
            34925 => return Err("LZMA compression".to_owned()),
            50000 => return Err("zstd compression".to_owned()),
            50001 => return Err("WebP compression".to_owned()),
            number => return Err(format!("an unknown compression, number {number}")),
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lzw => "LZW",
            Self::Deflate => "deflate",
            Self::PackBits => "PackBits",
        }
    }

    /// The number in a directory.
    pub(super) fn number(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Lzw => 5,
            Self::Deflate => 8,
            Self::PackBits => 32773,
        }
    }

    /// The most bytes that one byte can stand for.
    fn ratio(self) -> u64 {
        match self {
            Self::None => 1,
            // Two bits a copy of 258 bytes.
            Self::Deflate => 1032,
            // 12 bits at most stand for a string that grows by one byte with each of the 4096 codes.
            Self::Lzw => 4096,
            // Two bytes for 128.
            Self::PackBits => 64,
        }
    }
}

/// A strip or tile: where it lies in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// One page: a section of the volume.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// The place of its first chunk in [`Stack::chunks`]; they are in rows.
    pub(super) first_chunk: usize,
    /// Columns and rows of a chunk; the last strip may have fewer rows.
    pub(super) chunk_size: [usize; 2],
    pub(super) tiled: bool,
    pub(super) compression: Compression,
    /// 1 for none, 2 for differences, 3 for differences of the bytes of floats.
    pub(super) predictor: u16,
}

impl Page {
    /// Whether the bytes are the voxels as they stand.
    pub(super) fn is_plain(&self) -> bool {
        self.compression == Compression::None && self.predictor == 1
    }
}

/// All that the directories say.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) order: ByteOrder,
    pub(super) voxel: Voxel,
    /// `(z, y, x)`
    pub(super) shape: [usize; 3],
    pub(super) pages: Vec<Page>,
    pub(super) chunks: Vec<Chunk>,
    /// Bytes from one section to the next when a single page stands for all of them, as in ImageJ's files of more than 4 GB; else 0.
    pub(super) stride: u64,
    pub(super) description: String,
    /// Pixels per unit along x and y, numerator and denominator, and TIFF's number of the unit: 2 for inch, 3 for centimetre.
    pub(super) resolution: [Option<[u32; 2]>; 2],
    pub(super) resolution_unit: u64,
    pub(super) warnings: Vec<String>,
    pub(super) facts: Vec<Fact>,
}

/// What all pages of a stack have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    width: u64,
    height: u64,
    voxel: Voxel,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {} {}", self.width, self.height, self.voxel.data_type())
    }
}

/// An entry of a directory: type, number of values, and where they begin.
#[derive(Clone, Copy)]
struct Entry {
    kind: u16,
    count: u64,
    at: u64,
}

impl Entry {
    /// Bytes of a value; `None` for a type that no tag here has.
    fn size(kind: u16) -> Option<u64> {
        match kind {
            1 | 2 | 6 | 7 => Some(1),
            3 | 8 => Some(2),
            4 | 9 | 11 | 13 => Some(4),
            5 | 10 | 12 | 16 | 17 | 18 => Some(8),
            _ => None,
        }
    }
}

mod tag {
    pub(super) const SUBFILE: u16 = 254;
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const DESCRIPTION: u16 = 270;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const X_RESOLUTION: u16 = 282;
    pub(super) const Y_RESOLUTION: u16 = 283;
    pub(super) const RESOLUTION_UNIT: u16 = 296;
    pub(super) const SOFTWARE: u16 = 305;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTES: u16 = 325;
    pub(super) const FORMAT: u16 = 339;
    /// All of them, for leaving out the rest.
    pub(super) const ALL: [u16; 22] = [
        SUBFILE,
        WIDTH,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        DESCRIPTION,
        STRIP_OFFSETS,
        SAMPLES,
        ROWS_PER_STRIP,
        STRIP_BYTES,
        X_RESOLUTION,
        Y_RESOLUTION,
        RESOLUTION_UNIT,
        SOFTWARE,
        PREDICTOR,
        TILE_WIDTH,
        TILE_HEIGHT,
        TILE_OFFSETS,
        TILE_BYTES,
        FORMAT,
    ];
}

/// The tags of one directory that matter.
struct Directory {
    entries: Vec<(u16, Entry)>,
    /// Where the next directory begins; 0 after the last.
    next: u64,
}

impl Directory {
    fn get(&self, tag: u16) -> Option<Entry> {
        self.entries.iter().find(|(found, _)| *found == tag).map(|(_, entry)| *entry)
    }
}

/// A file's bytes, and what it takes to read them.
struct Reader<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
    big: bool,
    /// Bytes of directories and tables read so far.
    read: u64,
    path: &'a Path,
}

/// The error for a file that breaks the rules.
fn damaged(problem: impl Into<String>, path: &Path) -> VolumeError {
    VolumeError::Tiff { problem: problem.into(), advice: "write or download the file again", path: path.to_path_buf() }
}

/// The error for a file that is no volume.
fn unsuitable(problem: impl Into<String>, advice: &'static str, path: &Path) -> VolumeError {
    VolumeError::Tiff { problem: problem.into(), advice, path: path.to_path_buf() }
}

impl<'a> Reader<'a> {
    fn slice(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        self.bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    /// The unsigned number of `size` bytes at `at`.
    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let bytes = self.slice(at, size)?.iter();
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.order {
            ByteOrder::Little => bytes.rev().fold(0, join),
            ByteOrder::Big => bytes.fold(0, join),
        })
    }

    fn directory(&mut self, at: u64, number: usize) -> Result<Directory, VolumeError> {
        let outside = || damaged(format!("page {number}: its directory does not lie in the file"), self.path);
        let [count_bytes, entry_bytes, value_bytes] = if self.big { [8, 20, 8] } else { [2, 12, 4] };
        let count = self.number(at, count_bytes).ok_or_else(outside)?;
        let first = at + count_bytes;
        let length = count.checked_mul(entry_bytes).ok_or_else(outside)?;
        self.slice(first, length).ok_or_else(outside)?;
        let next = self.number(first + length, value_bytes).ok_or_else(outside)?;
        let mut entries: Vec<(u16, Entry)> = Vec::new();
        for index in 0..count {
            let entry = first + index * entry_bytes;
            let number = |offset, size| self.number(entry + offset, size).ok_or_else(outside);
            let tag = number(0, 2)? as u16;
            if !tag::ALL.contains(&tag) || entries.iter().any(|(seen, _)| *seen == tag) {
                continue;
            }
            let kind = number(2, 2)? as u16;
            let count = number(4, value_bytes)?;
            let value = 4 + value_bytes;
            let Some(size) = Entry::size(kind) else { continue };
            let inline = count.checked_mul(size).is_some_and(|length| length <= value_bytes);
            entries.push((tag, Entry { kind, count, at: if inline { entry + value } else { number(value, value_bytes)? } }));
        }
        self.has_read(count_bytes + length + value_bytes)?;
        Ok(Directory { entries, next })
    }

    /// Notes that so many bytes were read of directories and tables.
    fn has_read(&mut self, bytes: u64) -> Result<(), VolumeError> {
        self.read = self.read.saturating_add(bytes);
        if self.read > READ_TIMES * self.bytes.len() as u64 {
            return Err(damaged("its directories lie on top of each other", self.path));
        }
        Ok(())
    }

    /// Value `index` of an entry of whole numbers.
    fn value(&self, entry: Entry, index: u64) -> Option<u64> {
        let size = match entry.kind {
            1 | 3 | 4 | 13 | 16 | 18 => Entry::size(entry.kind)?,
            _ => return None,
        };
        if index >= entry.count {
            return None;
        }
        self.number(entry.at.checked_add(index.checked_mul(size)?)?, size)
    }

    fn rational(&self, entry: Entry) -> Option<[u32; 2]> {
        let number = |at| self.number(at, 4).map(|number| number as u32);
        if entry.kind != 5 || entry.count != 1 { None } else { Some([number(entry.at)?, number(entry.at.checked_add(4)?)?]) }
    }

    /// The beginning of a text, as UTF-8 or else Latin-1.
    fn text(&self, entry: Entry) -> String {
        let rest = usize::try_from(entry.at).ok().and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        let length = usize::try_from(entry.count).unwrap_or(usize::MAX).min(rest.len()).min(DESCRIPTION_BYTES);
        let text = rest[..length].split(|byte| *byte == 0).next().unwrap_or_default();
        match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            // Cut at the end, or damaged further on than anything of interest.
            Err(error) if error.error_len().is_none() || error.valid_up_to() > 1 << 12 => {
                String::from_utf8_lossy(&text[..error.valid_up_to()]).into_owned()
            }
            Err(_) => text.iter().map(|byte| char::from(*byte)).collect(),
        }
    }
}

impl Stack {
    /// Reads all directories of the file `bytes`. `path` is for messages.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self, VolumeError> {
        let order = if bytes.first() == Some(&b'M') { ByteOrder::Big } else { ByteOrder::Little };
        let mut reader = Reader { bytes, order, big: false, read: 0, path };
        let short = || damaged("it ends in its header", path);
        let mut next = match reader.number(2, 2).ok_or_else(short)? {
            43 => {
                reader.big = true;
                if reader.number(4, 2) != Some(8) {
                    return Err(damaged("its offsets are not of 8 bytes", path));
                }
                reader.number(8, 8)
            }
            _ => reader.number(4, 4),
        }
        .ok_or_else(short)?;
        let first_directory = next;
        let mut stack = Self {
            order,
            voxel: Voxel::Uint8,
            shape: [0; 3],
            pages: Vec::new(),
            chunks: Vec::new(),
            stride: 0,
            description: String::new(),
            resolution: [None; 2],
            resolution_unit: 0,
            warnings: Vec::new(),
            facts: Vec::new(),
        };
        let mut common: Option<Kind> = None;
        let mut seen = HashSet::new();
        let mut reduced = 0_usize;
        let mut inverted = false;
        let mut software = String::new();
        while next != 0 {
            let number = stack.pages.len() + reduced + 1;
            if !seen.insert(next) {
                return Err(damaged(format!("page {number}: its directory is that of an earlier page"), path));
            }
            let directory = reader.directory(next, number)?;
            let value = |tag| directory.get(tag).and_then(|entry| reader.value(entry, 0));
            next = directory.next;
            if common.is_some() && value(tag::SUBFILE).is_some_and(|kind| kind & 1 == 1) {
                reduced += 1;
                continue;
            }
            let kind = reader.kind(&directory, number)?;
            match common {
                None => {
                    let text = |tag| directory.get(tag).map(|entry| reader.text(entry)).unwrap_or_default();
                    let resolution = |tag| directory.get(tag).and_then(|entry| reader.rational(entry));
                    stack.description = text(tag::DESCRIPTION);
                    software = text(tag::SOFTWARE);
                    stack.resolution = [resolution(tag::X_RESOLUTION), resolution(tag::Y_RESOLUTION)];
                    stack.resolution_unit = value(tag::RESOLUTION_UNIT).unwrap_or(2);
                }
                Some(first) if first != kind => {
                    return Err(unsuitable(
                        format!("page {number} is {kind}, the first page {first}: these are not the sections of one volume"),
                        "save the sections alone, all of one size and type",
                        path,
                    ));
                }
                Some(_) => {}
            }
            common = Some(kind);
            inverted |= value(tag::PHOTOMETRIC) == Some(0);
            stack.add_page(&mut reader, &directory, kind, number)?;
        }
        let Some(kind) = common else {
            return Err(damaged(format!("there is no page: the first directory is at {first_directory}"), path));
        };
        if reduced > 0 {
            stack.warnings.push(format!("{reduced} pages of reduced resolution are left out"));
        }
        if inverted {
            stack.warnings.push("stored with 0 as white: the values are read as they are stored, not inverted".to_owned());
        }
        let size = |size: u64| usize::try_from(size).ok();
        let (Some(y), Some(x)) = (size(kind.height), size(kind.width)) else {
            return Err(damaged(format!("pages of {kind} are too large for this machine"), path));
        };
        stack.voxel = kind.voxel;
        stack.shape = [stack.pages.len(), y, x];
        // No sum or product of positions inside the volume overflows from here on.
        let voxels = stack.shape.iter().try_fold(8_usize, |product, size| product.checked_mul(*size));
        if voxels.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
            return Err(VolumeError::Shape { shape: stack.shape, path: path.to_path_buf() });
        }
        stack.describe(if reader.big { "BigTIFF" } else { "TIFF" }, &software);
        Ok(stack)
    }

    /// Adds a page whose kind has been checked.
    fn add_page(&mut self, reader: &mut Reader<'_>, directory: &Directory, kind: Kind, number: usize) -> Result<(), VolumeError> {
        let path = reader.path;
        let fail = |problem: &str| damaged(format!("page {number}: {problem}"), path);
        let value = |tag| directory.get(tag).and_then(|entry| reader.value(entry, 0));
        let compression = Compression::of(value(tag::COMPRESSION).unwrap_or(1)).map_err(|name| {
            unsuitable(
                format!("page {number} has {name}, which is not read"),
                "save the stack without compression, or with deflate or LZW",
                path,
            )
        })?;
        if value(tag::FILL_ORDER) == Some(2) {
            return Err(unsuitable(
                format!("page {number} has its bits in reverse order, which is not read"),
                "save the stack without compression",
                path,
            ));
        }
        let predictor = value(tag::PREDICTOR).unwrap_or(1);
        if !(predictor <= 2 || predictor == 3 && kind.voxel.is_float()) || predictor == 0 {
            return Err(fail(&format!("there is no predictor {predictor} for {} pixels", kind.voxel.data_type())));
        }
        let tiled = directory.get(tag::TILE_OFFSETS).is_some();
        let (offsets, counts) = if tiled { (tag::TILE_OFFSETS, tag::TILE_BYTES) } else { (tag::STRIP_OFFSETS, tag::STRIP_BYTES) };
        let offsets = directory.get(offsets).ok_or_else(|| fail("it does not say where its pixels are"))?;
        let counts = directory.get(counts);
        let [width, height] = match tiled {
            true => [value(tag::TILE_WIDTH).unwrap_or(0), value(tag::TILE_HEIGHT).unwrap_or(0)],
            false => [kind.width, value(tag::ROWS_PER_STRIP).unwrap_or(kind.height).min(kind.height)],
        };
        if width == 0 || height == 0 || width > u64::from(u32::MAX) || height > u64::from(u32::MAX) {
            return Err(fail(&format!("strips or tiles of {width} x {height} pixels")));
        }
        let down = kind.height.div_ceil(height);
        let expected = kind.width.div_ceil(width) * down;
        if offsets.count < expected {
            return Err(fail(&format!("{} strips or tiles of {expected}", offsets.count)));
        }
        // Below 2^35.
        let row_bytes = kind.voxel.row_bytes(width);
        // A table that does not lie in the file has no values, and this ends at the first that is missing.
        reader.has_read(expected.saturating_mul(Entry::size(offsets.kind).unwrap_or(1) * 2))?;
        let mut page = Page {
            first_chunk: self.chunks.len(),
            chunk_size: [width as usize, height as usize],
            tiled,
            compression,
            predictor: predictor as u16,
        };
        let mut consecutive = !tiled && page.is_plain();
        let mut end = None;
        for index in 0..expected {
            let offset = reader.value(offsets, index).ok_or_else(|| fail("the table of its strips does not lie in the file"))?;
            let rows = if tiled { height } else { height.min(kind.height - index * height) };
            let decoded = u128::from(row_bytes) * u128::from(rows);
            let bytes = if compression == Compression::None {
                // The length of the rows is what is read; some programs note another.
                decoded
            } else {
                let bytes = counts.and_then(|counts| reader.value(counts, index));
                u128::from(bytes.ok_or_else(|| fail("it does not say how long its strips are"))?)
            };
            let promised = u128::from(offset) + bytes;
            if promised > reader.bytes.len() as u128 {
                return Err(VolumeError::Truncated { length: reader.bytes.len() as u64, promised, path: path.to_path_buf() });
            }
            if offset < 8 || decoded > (bytes + 8) * u128::from(compression.ratio()) {
                return Err(fail(&format!("{decoded} bytes of pixels cannot be in the {bytes} bytes at {offset}")));
            }
            // They lie in the file, so this many fit.
            let bytes = bytes as u64;
            if compression != Compression::None && bytes > u64::from(u32::MAX >> 1) {
                return Err(fail(&format!("a compressed strip of {bytes} bytes is too large")));
            }
            consecutive &= end.is_none_or(|end| end == offset);
            end = Some(offset + bytes);
            self.chunks.push(Chunk { offset, bytes });
        }
        if consecutive {
            // Strips one after the other are one.
            let bytes = self.chunks.drain(page.first_chunk + 1..).map(|chunk| chunk.bytes).sum::<u64>();
            self.chunks[page.first_chunk].bytes += bytes;
            page.chunk_size[1] = kind.height as usize;
        }
        self.pages.push(page);
        Ok(())
    }

    /// The facts that do not depend on a program's own notes.
    fn describe(&mut self, form: &str, software: &str) {
        let [pages, ..] = self.shape;
        let first = &self.pages[0];
        let [columns, rows] = first.chunk_size;
        let chunks = if first.tiled {
            format!("tiles of {columns} x {rows} pixels")
        } else if rows >= self.shape[1] {
            "one piece a page".to_owned()
        } else {
            format!("strips of {rows} rows")
        };
        let predictor = match first.predictor {
            2 => ", differences along rows (predictor 2)",
            3 => ", differences of the bytes of floats (predictor 3)",
            _ => "",
        };
        self.facts.push(Fact::new("form", format!("{form}, {pages} pages, page = z")));
        self.facts.push(Fact::new("compression", format!("{}{predictor}", first.compression.name())));
        self.facts.push(Fact::new("layout", chunks));
        self.facts.push(Fact::new("byte order", self.order.name()));
        if !software.is_empty() {
            self.facts.push(Fact::new("software", software.trim().chars().take(200).collect::<String>()));
        }
    }
}

impl Reader<'_> {
    /// Size and type of a page; an error when it is not one grey value a pixel of a type that is read.
    fn kind(&self, directory: &Directory, number: usize) -> Result<Kind, VolumeError> {
        const GREY: &str = "save the stack as grey values of 8, 16 or 32 bits";
        let refuse = |problem: String| unsuitable(format!("page {number} {problem}"), GREY, self.path);
        let value = |tag| directory.get(tag).and_then(|entry| self.value(entry, 0));
        let size = |tag| value(tag).filter(|size| (1..=u64::from(u32::MAX)).contains(size));
        let (Some(width), Some(height)) = (size(tag::WIDTH), size(tag::HEIGHT)) else {
            return Err(damaged(format!("page {number}: its size is missing or not positive"), self.path));
        };
        match value(tag::PHOTOMETRIC).unwrap_or(1) {
            0 | 1 => {}
            2 => return Err(refuse("is in colour (RGB)".to_owned())),
            3 => return Err(refuse("has a palette".to_owned())),
            4 => return Err(refuse("is a transparency mask".to_owned())),
            5 => return Err(refuse("is in colour (CMYK)".to_owned())),
            6 => return Err(refuse("is in colour (YCbCr)".to_owned())),
            8..=10 => return Err(refuse("is in colour (Lab)".to_owned())),
            other => return Err(refuse(format!("has the unknown photometric interpretation {other}"))),
        }
        match value(tag::SAMPLES).unwrap_or(1) {
            1 => {}
            samples => return Err(refuse(format!("has {samples} values a pixel"))),
        }
        let bits = value(tag::BITS).unwrap_or(1);
        let voxel = match (value(tag::FORMAT).unwrap_or(1), bits) {
            (1 | 4, 8) => Voxel::Uint8,
            (1 | 4, 16) => Voxel::Uint16,
            (1 | 4, 32) => Voxel::Uint32,
            (1 | 4, 64) => Voxel::Uint64,
            (2, 8) => Voxel::Int8,
            (2, 16) => Voxel::Int16,
            (2, 32) => Voxel::Int32,
            (2, 64) => Voxel::Int64,
            (3, 16) => Voxel::Float16,
            (3, 32) => Voxel::Float32,
            (3, 64) => Voxel::Float64,
            (5 | 6, _) => return Err(refuse("has complex numbers".to_owned())),
            (1 | 2 | 4, _) => return Err(refuse(format!("has whole numbers of {bits} bits"))),
            (3, _) => return Err(refuse(format!("has floats of {bits} bits"))),
            (format, _) => return Err(refuse(format!("has the unknown sample format {format}"))),
        };
        Ok(Kind { width, height, voxel })
    }
}
