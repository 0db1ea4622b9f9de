//! What can go wrong with a volume.

use std::io;
use std::path::PathBuf;

/// Why a volume could not be opened, read or written. Each message names what is wrong, what to do, and last the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The file is missing or may not be read.
    #[error("cannot open the file ({source}); check that it exists and that you may read it: {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Reading failed half-way.
    #[error("reading failed ({source}); check the disk or the network drive: {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file without a byte.
    #[error("empty file; copy or download it again: {path}")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Some other kind of file, or a folder.
    #[error("not MRC, TIFF or Zarr but {found}; {advice}: {path}")]
    Unsupported {
        /// What it is instead, with its article.
        found: &'static str,
        /// What to do.
        advice: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Nothing in the header looks like MRC.
    #[error(
        "not MRC: neither sizes, mode nor the MAP word are those of a volume; choose an .mrc, .rec, .map or .tif file: {path}"
    )]
    NotMrc {
        /// The file.
        path: PathBuf,
    },
    /// Fewer bytes than the 1024 of a header.
    #[error("shorter than a header: {length} bytes of at least 1024; copy or download it again: {path}")]
    ShortHeader {
        /// Bytes there.
        length: u64,
        /// The file.
        path: PathBuf,
    },
    /// Modes 3 and 4.
    #[error("complex data (mode {mode}) cannot be shown; write the volume in real space, as mode 2, and open that: {path}")]
    Complex {
        /// The header's mode.
        mode: i32,
        /// The file.
        path: PathBuf,
    },
    /// A mode that MRC does not define or that is not for volumes.
    #[error("unknown mode {mode}: modes 0, 1, 2, 6, 12 and 101 are read; convert it to mode 2: {path}")]
    UnknownMode {
        /// The header's mode.
        mode: i32,
        /// The file.
        path: PathBuf,
    },
    /// A size of zero or less.
    #[error("size is not positive: {x} x {y} x {z} voxels in the header, which is damaged; write it again: {path}")]
    Size {
        /// Columns.
        x: i32,
        /// Rows.
        y: i32,
        /// Sections.
        z: i32,
        /// The file.
        path: PathBuf,
    },
    /// Fewer bytes than the header promises.
    #[error("file ends before the data does: {length} of {promised} bytes; copy or download it again: {path}")]
    Truncated {
        /// Bytes there.
        length: u64,
        /// Bytes that the header promises.
        promised: u128,
        /// The file.
        path: PathBuf,
    },
    /// Another program shortened the file after it was opened.
    #[error("the file became shorter while it was open; wait until it has been written and open it again: {path}")]
    Shrunk {
        /// The file.
        path: PathBuf,
    },
    /// More bytes than this machine can address.
    #[error("a file of {length} bytes is too large for this machine; use a 64-bit one: {path}")]
    TooLarge {
        /// Its bytes.
        length: u64,
        /// The file.
        path: PathBuf,
    },
    /// A TIFF file that is damaged or no volume.
    #[error("TIFF file: {problem}; {advice}: {path}")]
    Tiff {
        /// What is wrong.
        problem: String,
        /// What to do.
        advice: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A compressed page of a TIFF file that does not decompress.
    #[error("page {page} of the TIFF file cannot be decompressed ({source}); write or download the file again: {path}")]
    TiffPage {
        /// The page, from 1.
        page: usize,
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        source: tiff::TiffError,
    },
    /// A gzip or bzip2 stream that does not decompress.
    #[error("the {program} data are damaged or cut short ({source}); copy or download the file again: {path}")]
    Compressed {
        /// What it is compressed by.
        program: &'static str,
        /// The file.
        path: PathBuf,
        /// What the decompressor says.
        source: io::Error,
    },
    /// The temporary file for a compressed volume.
    #[error(
        "cannot keep the decompressed volume of {bytes} bytes in the temporary folder {folder} ({source}); decompress the \
         file first, or set TMPDIR to a folder with room: {path}"
    )]
    Temporary {
        /// Bytes that the header promises.
        bytes: u128,
        /// The temporary folder.
        folder: PathBuf,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A level of detail that the volume has not.
    #[error("level {level} of detail does not exist, there are {levels}; choose one below that: {path}")]
    Level {
        /// The level asked for.
        level: usize,
        /// How many there are.
        levels: usize,
        /// The file.
        path: PathBuf,
    },
    /// A region that reaches out of the volume.
    #[error("region {start:?} to {end:?} (z, y, x) does not lie in the volume of {shape:?}; choose one inside: {path}")]
    Region {
        /// First voxel inside, `(z, y, x)`.
        start: [usize; 3],
        /// First voxel outside, `(z, y, x)`.
        end: [usize; 3],
        /// The level's voxels, `(z, y, x)`.
        shape: [usize; 3],
        /// The file.
        path: PathBuf,
    },
    /// A voxel outside the volume.
    #[error("voxel {voxel:?} (z, y, x) lies outside the volume of {shape:?}; count from 0 and stay below that: {path}")]
    Voxel {
        /// The voxel asked for, `(z, y, x)`.
        voxel: [usize; 3],
        /// Voxels, `(z, y, x)`.
        shape: [usize; 3],
        /// The file.
        path: PathBuf,
    },
    /// A slice whose length is not the number of voxels.
    #[error("{length} values for {voxels} voxels; give one value a voxel: {path}")]
    Length {
        /// Voxels of the region, section or volume.
        voxels: usize,
        /// Values given.
        length: usize,
        /// The file.
        path: PathBuf,
    },
    /// A shape that no volume can have.
    #[error("a volume of {shape:?} voxels (z, y, x) cannot be made; each size must be between 1 and 2147483647: {path}")]
    Shape {
        /// Voxels, `(z, y, x)`.
        shape: [usize; 3],
        /// The file.
        path: PathBuf,
    },
    /// A spacing that makes no sense.
    #[error(
        "cannot use a spacing of {spacing_angstrom} angstrom for a volume of {source_angstrom}; give positive spacings \
         that differ at most a hundredfold: {path}"
    )]
    Spacing {
        /// The spacing asked for.
        spacing_angstrom: f64,
        /// The spacing of the voxels at hand.
        source_angstrom: f64,
        /// The file.
        path: PathBuf,
    },
    /// Writing failed; nothing of the old file is lost.
    #[error("cannot write the volume ({source}); check that the folder exists, is writable and has room: {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A value that the chosen mode cannot hold.
    #[error(
        "section {section} holds {value}, which a {data_type} voxel cannot keep; give finite values, or mode 2 when they \
         are too large: {path}"
    )]
    Value {
        /// The section, from 0.
        section: usize,
        /// The value.
        value: f32,
        /// The type of a stored voxel.
        data_type: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// More or fewer sections than announced.
    #[error("{written} sections were written of a volume of {sections}; write each section once: {path}")]
    Sections {
        /// Sections given.
        written: usize,
        /// Sections announced.
        sections: usize,
        /// The file.
        path: PathBuf,
    },
    /// A Zarr array or group that cannot be read.
    #[error("{problem}; {advice}: {path}")]
    Zarr {
        /// What is wrong, and in which part of it.
        problem: String,
        /// What to do.
        advice: &'static str,
        /// The `.zarr` folder or its URL.
        path: PathBuf,
    },
    /// A request over the network that failed, after several attempts where another might have helped.
    #[error("{problem}; {advice}: {url}")]
    Network {
        /// What happened.
        problem: String,
        /// What to do.
        advice: &'static str,
        /// What was asked for.
        url: String,
    },
}
