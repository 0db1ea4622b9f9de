//! Where compiled kernels and the choices among them are kept, so that only the first start on a machine pays for them.

use std::env;
use std::path::PathBuf;

use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Sends the GPU libraries' files to the user's cache folder. Must come before anything else touches a GPU; later calls do nothing.
///
/// Environment variables of the library (`CUBECL_...`) keep their effect, for finding faults.
pub(crate) fn keep_kernels() {
    let mut config = CubeClRuntimeConfig::default();
    config.compilation.cache = true;
    // Kernels of one program at one place: without a folder of its own, the library would put them below the working folder.
    config.environment.name = "kernels".to_owned();
    config.environment.path = cache_folder().map_or(CacheConfig::Global, |folder| CacheConfig::Directory(folder.join("gpu")));
    CubeClRuntimeConfig::try_set(config.override_from_env());
}

/// Where the program keeps what it can make again: `~/.cache/semietpicker`, under `XDG_CACHE_HOME` where that is set,
/// `~/Library/Caches/semietpicker` on macOS, under `LOCALAPPDATA` on Windows. `None` where the system names no such folder.
pub fn cache_folder() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return absolute("LOCALAPPDATA").map(|base| base.join("semietpicker").join("cache"));
    }
    let of_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(of_home)));
    base.map(|base| base.join("semietpicker"))
}
