//! Sizes, flags and numbers of IMOD's binary model file (`binspec.html`, and `include/imodel.h`, `include/istore.h` of IMOD).

/// The name of a model, ended by a null character.
pub(super) const MODEL_NAME_BYTES: usize = 128;
/// The name of an object, ended by a null character.
pub(super) const OBJECT_NAME_BYTES: usize = 64;
/// A model's header after the 8 bytes of the file's and version's identity.
pub(super) const MODEL_BYTES: usize = 232;
/// An object's header after `OBJT`.
pub(super) const OBJECT_BYTES: usize = 176;
/// Pixel sizes in no unit.
pub(super) const UNIT_PIXEL: i32 = 0;
/// Pixel sizes in angstrom.
pub(super) const UNIT_ANGSTROM: i32 = -10;

/// Bits of a model's and an object's flags.
pub(super) mod flags {
    /// Model: several clipping planes are possible.
    pub const MULTIPLE_CLIP: u32 = 1 << 12;
    /// Model: not written by 3dmod yet.
    pub const NEW_TO_3DMOD: u32 = 1 << 11;
    /// Model: the parts of a material are bytes.
    pub const MATERIAL_BYTES: u32 = 1 << 13;
    /// Model: `otrans` of `MINX` has the image's origin.
    pub const ORIGIN: u32 = 1 << 14;
    /// Model: y and z are exchanged.
    pub const FLIPPED_YZ: u32 = 1 << 16;
    /// Model: shown last on a volume rotated about x.
    pub const ROTATED_X: u32 = 1 << 17;
    /// Object: contours are not closed.
    pub const OPEN: u32 = 1 << 3;
    /// Object: scattered points.
    pub const SCATTERED: u32 = 1 << 9;
}

/// General storage: 12 bytes an entry, kind and flags of 2 bytes, index and value of 4.
pub(super) mod store {
    pub const ENTRY_BYTES: usize = 12;
    /// Kind: a general value of a point.
    pub const VALUE: i16 = 10;
    /// Kind: the least and the greatest value.
    pub const MIN_AND_MAX: i16 = 11;
    /// Bits 0 and 1, the index: a number with a fraction.
    pub const FLOAT_INDEX: u16 = 1;
    /// Bits 0 and 1, whatever they are.
    pub const INDEX_TYPE: u16 = 3;
    /// Bits 2 and 3, the value: a number with a fraction.
    pub const FLOAT_VALUE: u16 = 1 << 2;
    /// Bits 2 and 3, whatever they are.
    pub const VALUE_TYPE: u16 = 3 << 2;
    /// The index is none.
    pub const NO_INDEX: u16 = 1 << 4;
    /// The entry ends a change and has no value.
    pub const REVERT: u16 = 1 << 5;
    /// The entry is of one point.
    pub const ONE_POINT: u16 = 1 << 7;
}
