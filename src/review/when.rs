//! Who and when, for records.

use std::time::{SystemTime, UNIX_EPOCH};

/// The present moment in UTC, `YYYY-MM-DDTHH:MM:SSZ` (ISO 8601).
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    iso(seconds)
}

/// Seconds since 1970 in the form of [`now`].
pub(super) fn iso(seconds: u64) -> String {
    let compact = crate::project::date_time(seconds);
    let part = |from: usize, to: usize| compact.get(from..to).unwrap_or_default();
    format!("{}-{}-{}T{}:{}:{}Z", part(0, 4), part(4, 6), part(6, 8), part(9, 11), part(11, 13), part(13, 15))
}

/// The user's name as the environment gives it; `unknown` where it does not.
pub fn user() -> String {
    let named = |name: &str| std::env::var(name).ok().map(|user| user.trim().to_owned()).filter(|user| !user.is_empty());
    ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(named).unwrap_or_else(|| "unknown".to_owned())
}
