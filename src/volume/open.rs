//! Opening a file by what it contains.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;

use super::mrc::MrcVolume;
use super::mrc_header::{HEADER_BYTES, Header};
use super::tiff::TiffVolume;
use super::{Fact, VolumeError, VolumeSource, zarr};
use crate::files::is_url;

/// Bytes of a compressed volume held in memory at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// Opens a volume; the name and its ending do not matter, the content decides. A path that is a web address, `http://` or
/// `https://`, is that of a Zarr hierarchy. No voxel is read, so a file of any size
/// opens at once, unless it is compressed by gzip or bzip2: that is decompressed into a temporary file, which vanishes with the
/// volume.
///
/// # Errors
/// When the file cannot be read, is of another form, is damaged or shorter than its header says, or holds no grey values: complex
/// numbers, colours.
///
/// # Example
/// ```no_run
/// use semietpicker::geometry::VoxelBox;
///
/// let volume = semietpicker::volume::open("tomogram.mrc".as_ref())?;
/// let [_, y, x] = volume.info().shape;
/// let mut first_section = vec![0.0; y * x];
/// volume.read_region(0, VoxelBox::new([0, 0, 0], [1, y, x]), &mut first_section)?;
/// # Ok::<(), semietpicker::volume::VolumeError>(())
/// ```
pub fn open(path: &Path) -> Result<Arc<dyn VolumeSource>, VolumeError> {
    let opening = |source| VolumeError::Open { path: path.to_path_buf(), source };
    let reading = |source| VolumeError::Read { path: path.to_path_buf(), source };
    if is_url(path) {
        return zarr::open_url(&path.to_string_lossy());
    }
    let metadata = std::fs::metadata(path).map_err(opening)?;
    if metadata.is_dir() {
        return directory(path);
    }
    if let Some(folder) = zarr::folder_of_metadata(path) {
        // File dialogs choose files: one of its metadata stands for the folder.
        return zarr::open_folder(folder);
    }
    if !metadata.is_file() {
        // Opening a pipe would wait for its other end.
        return Err(unsupported("a device or pipe", "save the volume to a file first", path));
    }
    let mut file = File::open(path).map_err(opening)?;
    let mut head = [0; HEADER_BYTES];
    let length = read_up_to(&mut file, &mut head).map_err(reading)?;
    let volume = match Content::of(&head[..length]) {
        Content::Compressed(compressor) => {
            file.seek(SeekFrom::Start(0)).map_err(reading)?;
            decompress(file, compressor, path)?
        }
        Content::Tiff => return Ok(Arc::new(TiffVolume::open(file, path)?)),
        Content::Other(found, advice) => return Err(unsupported(found, advice, path)),
        Content::Binary if length == 0 => return Err(VolumeError::Empty { path: path.to_path_buf() }),
        Content::Binary if length < HEADER_BYTES => {
            return Err(VolumeError::ShortHeader { length: length as u64, path: path.to_path_buf() });
        }
        Content::Binary => {
            let mut header = Header::parse(&head, path)?;
            header.facts.insert(1, Fact::new("compression", "none"));
            MrcVolume::open(file, header, path)?
        }
    };
    Ok(Arc::new(volume))
}

fn unsupported(found: &'static str, advice: &'static str, path: &Path) -> VolumeError {
    VolumeError::Unsupported { found, advice, path: path.to_path_buf() }
}

fn directory(path: &Path) -> Result<Arc<dyn VolumeSource>, VolumeError> {
    if zarr::is_zarr_folder(path) {
        zarr::open_folder(path)
    } else {
        Err(unsupported("a folder", "choose a .zarr folder, or an .mrc, .rec, .map or .tif file in it", path))
    }
}

/// What a file's first bytes show it to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Compressed(Compressor),
    Tiff,
    /// MRC, or nothing that is known.
    Binary,
    /// Something else: what, and what to do about it.
    Other(&'static str, &'static str),
}

/// What a file is compressed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compressor {
    Gzip,
    Bzip2,
}

impl Compressor {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
        }
    }

    /// The decompressed content of `file`, of which several compressed pieces may follow one another.
    fn decoder(self, file: File) -> Box<dyn Read> {
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(file)),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(file)),
        }
    }
}

impl Content {
    /// `head` is the file's beginning, as far as a header is long. None of these signatures is the start of a possible MRC
    /// file: they stand for sizes far above any volume's.
    fn of(head: &[u8]) -> Self {
        const DECOMPRESS: &str = "decompress it first";
        const CONVERT: &str = "convert it to MRC";
        let signatures: [(&[u8], &str, &str); 8] = [
            (b"version https://git-lfs", "a Git LFS pointer, not the data", "run `git lfs pull` to fetch the volume"),
            (b"\xfd7zXZ\0", "a file compressed by xz", DECOMPRESS),
            (b"\x28\xb5\x2f\xfd", "a file compressed by zstd", DECOMPRESS),
            (b"PK\x03\x04", "a ZIP archive", "unpack it first"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file", CONVERT),
            (b"\x89PNG", "a PNG image", "choose the volume instead"),
            (b"%PDF", "a PDF document", "choose the volume instead"),
            (b"\x93NUMPY", "a NumPy array", CONVERT),
        ];
        if head.starts_with(b"\x1f\x8b\x08") {
            return Self::Compressed(Compressor::Gzip);
        }
        // A block begins with the digits of pi, an empty file ends with those of its root.
        let is_block = |bytes: &[u8]| bytes.starts_with(b"1AY&SY") || bytes.starts_with(b"\x17rE8P\x90");
        if matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if is_block(rest) || rest.len() < 6) {
            return Self::Compressed(Compressor::Bzip2);
        }
        if [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|signature| head.starts_with(*signature)) {
            return Self::Tiff;
        }
        if let Some((_, found, advice)) = signatures.iter().find(|(signature, ..)| head.starts_with(signature)) {
            return Self::Other(found, advice);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Self::Other("a tar archive", "unpack it first");
        }
        if is_text(head) {
            let start = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
            return if start.starts_with("<!doctype html") || start.contains("<html") {
                Self::Other("a web page", "the download failed or asked for a login; download the volume again")
            } else {
                Self::Other("text", "choose an .mrc, .rec, .map or .tif file")
            };
        }
        Self::Binary
    }
}

/// Whether `head` is text; a header always has bytes that text has not.
fn is_text(head: &[u8]) -> bool {
    let characters = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character may be cut at the end.
        Err(error) => error.error_len().is_none(),
    };
    let control = |byte: &u8| *byte < 32 && !matches!(byte, b'\t' | b'\n' | b'\r' | 12 | 27);
    !head.is_empty() && characters && !head.iter().any(control)
}

/// Reads until `buffer` is full or the stream ends; returns the bytes read.
fn read_up_to(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match stream.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(bytes) => length += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Decompresses a volume into an unnamed temporary file. The header is looked at first, and no more is written than it
/// promises, so neither another kind of file nor an endless stream fills the disk.
fn decompress(file: File, compressor: Compressor, path: &Path) -> Result<MrcVolume, VolumeError> {
    let damaged = |source| VolumeError::Compressed { program: compressor.name(), path: path.to_path_buf(), source };
    let mut stream = compressor.decoder(file);
    let mut head = [0; HEADER_BYTES];
    let length = read_up_to(&mut stream, &mut head).map_err(damaged)?;
    match Content::of(&head[..length]) {
        Content::Compressed(_) => return Err(unsupported("a file compressed twice", "decompress it once", path)),
        Content::Tiff => return Err(unsupported("a compressed TIFF file", "decompress it first, with gunzip or bunzip2", path)),
        Content::Other(found, advice) => return Err(unsupported(found, advice, path)),
        Content::Binary if length == 0 => return Err(VolumeError::Empty { path: path.to_path_buf() }),
        Content::Binary if length < HEADER_BYTES => {
            return Err(VolumeError::ShortHeader { length: length as u64, path: path.to_path_buf() });
        }
        Content::Binary => {}
    }
    let mut header = Header::parse(&head, path)?;
    header.facts.insert(1, Fact::new("compression", format!("{}, decompressed to a temporary file", compressor.name())));
    let promised = header.promised_bytes();
    let keeping =
        |source| VolumeError::Temporary { bytes: promised, folder: std::env::temp_dir(), path: path.to_path_buf(), source };
    let mut temporary = tempfile::tempfile().map_err(keeping)?;
    temporary.write_all(&head).map_err(keeping)?;
    let mut remaining = promised - HEADER_BYTES as u128;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // One byte more than promised shows that the stream goes on.
        let wanted = remaining.saturating_add(1).min(BUFFER_BYTES as u128) as usize;
        let bytes = read_up_to(&mut stream, &mut buffer[..wanted]).map_err(damaged)?;
        let kept = remaining.min(bytes as u128) as usize;
        temporary.write_all(&buffer[..kept]).map_err(keeping)?;
        remaining -= kept as u128;
        if bytes > kept {
            header.warnings.push("the decompressed file is longer than its header says: the rest is ignored".to_owned());
            break;
        }
        if bytes < wanted {
            break;
        }
    }
    MrcVolume::open(temporary, header, path)
}
