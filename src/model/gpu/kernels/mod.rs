//! The kernels. A unit of cubecl is a GPU's thread, a cube its group of threads with common memory.

// The macro generates undocumented modules and casts whose types depend on the kernel's address type.
#![allow(missing_docs, clippy::useless_conversion, clippy::too_many_arguments)]

pub mod columns;
pub mod norm;
pub mod update;
pub mod upsample;
