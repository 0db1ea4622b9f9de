//! An error with its causes as one text, of a length that fits on a screen.

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

/// Most characters of a message: it may quote a file, which may be one line of a gigabyte.
const MOST_CHARACTERS: usize = 600;

/// `message`, or its beginning and end.
pub(crate) fn brief(message: &str) -> String {
    let start = |character: usize| message.char_indices().nth(character).map(|(place, _)| place);
    // No more bytes than that, so no more characters either.
    if message.len() <= MOST_CHARACTERS || start(MOST_CHARACTERS).is_none() {
        return message.to_owned();
    }
    let (head, tail) = (MOST_CHARACTERS * 2 / 3, MOST_CHARACTERS / 3);
    let end = message.char_indices().rev().nth(tail - 1).map_or(message.len(), |(place, _)| place);
    format!("{} … {}", &message[..start(head).unwrap_or(message.len())], &message[end..])
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
