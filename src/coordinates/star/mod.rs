//! STAR files, as RELION, Warp, M and crYOLO write and read them.

pub(super) mod cbox;
mod follow;
mod parse;
mod pixels;
mod read;
pub(super) mod relion4;
pub(super) mod relion5;
pub(super) mod relion5_import;
pub(super) mod warp;
mod writing;

pub(super) use read::read;

#[cfg(test)]
mod tests;
