//! What every format of positions promises, except the STAR files, which have their own tests: what is written reads back, names
//! come back or are refused, and no file makes a reader panic, hang, or take more than the file has.

mod examples;
mod hostile;
mod round_trip;
