//! The command line: the same sessions as the window's, without a window.

mod arguments;
mod demo;
mod evaluate;
mod export;
mod figure;
mod import;
mod inputs;
mod pick;
mod positions;
mod runner;
mod simulate;
mod train;
mod written;

use std::process::ExitCode;

use clap::Parser as _;

pub use arguments::{Arguments, Task};

use crate::causes::with_causes;

/// A mistake in the arguments that only shows when they are used together; exit code 2, as for any other bad argument.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Parses the arguments, runs the task and turns its result into an exit code: 0 done, 1 failed, 2 bad arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that stops early, such as `head`, is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("semietpicker: {}", with_causes(error.as_ref(), ": "));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Runs one task.
///
/// # Errors
/// Whatever went wrong, with its causes.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.task {
        None => {
            if !arguments.copick.is_empty() && !arguments.paths.iter().any(|path| crate::copick::config_at(path).is_some()) {
                let message = "--voxel-spacing, --tomo-type and --picks choose from a copick project: give its config.json";
                return Err(Usage(message.to_owned()).into());
            }
            let copick = arguments.copick.wishes();
            crate::ui::run_with(arguments.paths, crate::ui::WindowOptions { copick, ..Default::default() })
        }
        Some(Task::Info(info)) => inputs::info(&info),
        Some(Task::Simulate(options)) => simulate::run(&options),
        Some(Task::Train(options)) => train::run(&options),
        Some(Task::Pick(options)) => pick::run(&options),
        Some(Task::Export(options)) => export::run(&options),
        Some(Task::Import(options)) => import::run(&options),
        Some(Task::Evaluate(options)) => evaluate::run(&options),
        Some(Task::Demo(options)) => demo::run(&options),
    }
}

/// Writes to standard output; a closed pipe is an error instead of a panic.
fn say(text: impl std::fmt::Display) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests;
