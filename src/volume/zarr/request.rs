//! One request to a web server, tried again while that may help.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use zarrs::storage::Bytes;
use zarrs::storage::byte_range::ByteRange;

use crate::volume::VolumeError;

/// Redirections followed.
const REDIRECTS: u32 = 5;

const TRY_AGAIN: &str = "check the network and try again";
const CHECK_ADDRESS: &str = "check the address, and that you may read it without a login";
const NOT_ZARR: &str = "ask whoever runs the server";

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Attempts in all.
    pub(super) attempts: u32,
    /// Pause before the second attempt; each further one is four times as long.
    pub(super) pause: Duration,
    /// For a connection to be made.
    pub(super) connect: Duration,
    /// For the next bytes of an answer.
    pub(super) silence: Duration,
    /// For a whole answer.
    pub(super) answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 4,
            pause: Duration::from_millis(250),
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            answer: Duration::from_secs(600),
        }
    }
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    /// Whether it is the part asked for, and not the whole file.
    pub(super) part: bool,
    /// The file's length, when the server says it.
    pub(super) length: Option<u64>,
}

/// Why an attempt failed.
struct Failure {
    problem: String,
    advice: &'static str,
    may_pass: bool,
}

impl Failure {
    fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: TRY_AGAIN, may_pass: true }
    }

    fn lasting(problem: impl Into<String>, advice: &'static str) -> Self {
        Self { problem: problem.into(), advice, may_pass: false }
    }
}

/// Sends requests.
pub(super) struct Client {
    agent: Agent,
    pub(super) patience: Patience,
}

impl Client {
    pub(super) fn new(patience: Patience) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            .user_agent(concat!("semietpicker/", env!("CARGO_PKG_VERSION")))
            // Chunks are compressed already, and a part of a compressed answer is of no use.
            .accept_encoding("identity")
            .timeout_connect(Some(patience.connect))
            .timeout_per_read(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_global(Some(patience.answer))
            .build();
        Self { agent: Agent::new_with_config(config), patience }
    }

    /// Asks until there is an answer or no hope; `None` when the file is not there. The error comes with the HTTP status, or 0.
    /// With `forbidden_is_missing`, neither is it where the server answers 403.
    pub(super) fn fetch(
        &self,
        url: String,
        part: Option<&ByteRange>,
        most: u64,
        forbidden_is_missing: bool,
    ) -> Result<Option<Answer>, (VolumeError, u16)> {
        let mut pause = self.patience.pause;
        let mut attempt = 1;
        loop {
            let (failure, status) = match self.attempt(&url, part, most, forbidden_is_missing) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if !failure.may_pass || attempt >= self.patience.attempts.max(1) {
                let problem = if attempt > 1 { format!("{} ({attempt} attempts)", failure.problem) } else { failure.problem };
                return Err((VolumeError::Network { problem, advice: failure.advice, url }, status));
            }
            log::info!("{}; trying again: {url}", failure.problem);
            std::thread::sleep(pause);
            pause = pause.saturating_mul(4);
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        url: &str,
        part: Option<&ByteRange>,
        most: u64,
        forbidden_is_missing: bool,
    ) -> Result<Option<Answer>, (Failure, u16)> {
        let mut request = self.agent.get(url);
        if let Some(part) = part {
            let range = match *part {
                ByteRange::FromStart(start, None) => format!("bytes={start}-"),
                ByteRange::FromStart(start, Some(bytes)) => {
                    format!("bytes={start}-{}", start.saturating_add(bytes).saturating_sub(1))
                }
                ByteRange::Suffix(bytes) => format!("bytes=-{bytes}"),
            };
            request = request.header("Range", range);
        }
        let mut response = request.call().map_err(|error| (failure_of(&error), 0))?;
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let is_part = status == 206;
        // "bytes 0-99/1234"
        let content_range = header("content-range").and_then(|text| text.strip_prefix("bytes ")).map(str::to_owned);
        let promised = header("content-length").and_then(|text| text.parse::<u64>().ok());
        match status {
            200 => {}
            206 if part.is_some() => {}
            404 | 410 => return Ok(None),
            403 if forbidden_is_missing => return Ok(None),
            401 | 403 => return Err((Failure::lasting(format!("the server refuses access ({status})"), CHECK_ADDRESS), status)),
            416 => return Err((Failure::lasting("the file is shorter than its array needs", NOT_ZARR), status)),
            408 | 425 | 429 | 500 | 502..=504 => {
                return Err((Failure::passing(format!("the server failed or is busy ({status})")), status));
            }
            300..=399 => {
                return Err((Failure::lasting(format!("the server redirects to nowhere ({status})"), CHECK_ADDRESS), status));
            }
            _ => return Err((Failure::lasting(format!("the server answered {status}"), NOT_ZARR), status)),
        }
        // A part may be cut off at the file's end, but is never longer than what was asked for.
        let most = match part {
            Some(ByteRange::FromStart(_, Some(bytes)) | ByteRange::Suffix(bytes)) if is_part => most.min(*bytes),
            _ => most,
        };
        if promised.is_some_and(|bytes| bytes > most) {
            let problem = format!("{} bytes are too many, {most} are expected", promised.unwrap_or(0));
            return Err((Failure::lasting(problem, NOT_ZARR), status));
        }
        let mut bytes = Vec::new();
        let reader = response.body_mut().with_config().limit(u64::MAX).reader();
        reader.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| {
            let problem = if is_timeout(&error) {
                "the server stopped sending".to_owned()
            } else {
                format!("the answer broke off ({error})")
            };
            (Failure::passing(problem), 0)
        })?;
        if bytes.len() as u64 > most {
            return Err((Failure::lasting(format!("more bytes than {most}, the most that is expected"), NOT_ZARR), status));
        }
        if promised.is_some_and(|promised| promised != bytes.len() as u64) {
            let problem = format!("the answer broke off after {} of {} bytes", bytes.len(), promised.unwrap_or(0));
            return Err((Failure::passing(problem), 0));
        }
        let mut length = promised.filter(|_| !is_part);
        if is_part {
            let (range, total) = content_range.as_deref().and_then(|text| text.split_once('/')).unwrap_or(("", ""));
            length = total.parse().ok();
            let first = range.split_once('-').and_then(|(first, _)| first.parse::<u64>().ok());
            let right = match part {
                Some(ByteRange::FromStart(start, _)) => first == Some(*start),
                Some(ByteRange::Suffix(wanted)) => {
                    length.is_none() || first == length.map(|length| length.saturating_sub(*wanted))
                }
                None => false,
            };
            if !right {
                return Err((Failure::lasting("the server sent another part than was asked for", NOT_ZARR), status));
            }
        }
        Ok(Some(Answer { bytes: Bytes::from(bytes), part: is_part, length }))
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock) || error.to_string().contains("timeout")
}

fn failure_of(error: &ureq::Error) -> Failure {
    use ureq::Error;
    match error {
        Error::Timeout(_) => Failure::passing("the server did not answer in time"),
        Error::HostNotFound => Failure {
            problem: "there is no server of that name".to_owned(),
            advice: "check the address and the network",
            may_pass: true,
        },
        Error::ConnectionFailed => Failure::passing("no connection to the server"),
        Error::Io(error) if is_timeout(error) => Failure::passing("the server did not answer in time"),
        Error::Io(error) => Failure::passing(format!("no connection to the server ({error})")),
        Error::BadUri(_) | Error::Http(_) => Failure::lasting(format!("not an address ({error})"), CHECK_ADDRESS),
        Error::TooManyRedirects | Error::RedirectFailed => {
            Failure::lasting(format!("the server redirects more than {REDIRECTS} times"), CHECK_ADDRESS)
        }
        _ => Failure::lasting(format!("the request failed ({error})"), TRY_AGAIN),
    }
}
