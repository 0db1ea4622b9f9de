//! Names of tomograms as different programs write them.

/// The name of the tilt series behind a tomogram's name: without `rec_` before it (RELION's reconstructions), and without
/// `:mrc` (RELION), `.tomostar`, `.mrc`, `.rec`, `.st` and a pixel size such as `_10.00Apx` (Warp) after it. `001` stays `001`.
pub fn bare_tomogram_name(name: &str) -> &str {
    let mut bare = name.trim();
    for suffix in [":mrcs", ":mrc", ".tomostar", ".mrc", ".rec", ".map", ".st"] {
        bare = bare.strip_suffix(suffix).unwrap_or(bare);
    }
    if let Some((head, number)) = bare.strip_suffix("Apx").and_then(|rest| rest.rsplit_once('_'))
        && number.parse::<f64>().is_ok_and(f64::is_finite)
        && !head.is_empty()
    {
        bare = head;
    }
    bare.strip_prefix("rec_").filter(|rest| !rest.is_empty()).unwrap_or(bare)
}

/// Whether two names mean the same tomogram: equal, or equal once each is bare ([`bare_tomogram_name`]).
pub fn same_tomogram(a: &str, b: &str) -> bool {
    a == b || bare_tomogram_name(a) == bare_tomogram_name(b)
}
