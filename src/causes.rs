//! An error with its causes as one text.

use std::error::Error;

/// The message of an error, followed by those of its causes that it does not name already, each after `joint`.
pub(crate) fn with_causes(error: &dyn Error, joint: &str) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(joint);
            text.push_str(&message);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read: {source}: a.mrc")]
    struct Named {
        source: std::io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no picks")]
    struct Outer {
        source: Named,
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = Outer { source: Named { source: std::io::Error::other("disk gone") } };
        assert_eq!(with_causes(&error, ": "), "no picks: cannot read: disk gone: a.mrc");
    }
}
