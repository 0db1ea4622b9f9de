//! What must be known before a format can be written, so that it can be asked before any work is done.

use super::Format;

impl Format {
    /// Whether the format counts in pixels of the unbinned tilt series, whose size is then needed
    /// ([`ExportOptions::tilt_series_pixel_angstrom`](super::ExportOptions::tilt_series_pixel_angstrom)).
    pub fn needs_tilt_series_pixel(self) -> bool {
        matches!(self, Self::Relion4 | Self::Eman2)
    }

    /// Whether the volume's size is needed: the format counts from its centre or writes it.
    pub fn needs_shape(self) -> bool {
        matches!(self, Self::Relion5 | Self::Relion5Import | Self::Imod | Self::Eman2)
    }

    /// Whether the format holds the particles' size, so that the classes' radii are needed.
    pub fn needs_radius(self) -> bool {
        matches!(self, Self::Imod | Self::Eman2 | Self::Cbox | Self::Cmm)
    }

    /// Whether one table holds all tomograms unless one a tomogram is asked for
    /// ([`ExportOptions::file_per_tomogram`](super::ExportOptions::file_per_tomogram)).
    pub fn may_split(self) -> bool {
        matches!(self, Self::Csv | Self::Kaggle)
    }

    /// Whether both formats write a file of the same name, so that they cannot be written into one folder.
    pub fn clashes_with(self, other: Self, file_per_tomogram: bool) -> bool {
        let pair = [self.min(other), self.max(other)];
        pair == [Self::Relion5, Self::Relion4] || (file_per_tomogram && pair == [Self::Csv, Self::Kaggle])
    }

    /// Whether RELION's own shift of a tilt-series pixel can be repeated
    /// ([`ExportOptions::relion_picker_offset`](super::ExportOptions::relion_picker_offset)).
    pub fn may_shift(self) -> bool {
        matches!(self, Self::Relion5 | Self::Relion5Import)
    }
}
