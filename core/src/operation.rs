//! Operations of the user's program and their call sites.

use std::fmt;
use std::panic::Location;

/// A source location in the user's program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallSite(&'static Location<'static>);

impl CallSite {
    /// Returns the location from which the calling function was called. That function must be
    /// `#[track_caller]`.
    #[track_caller]
    pub fn here() -> Self {
        CallSite(Location::caller())
    }

    /// Returns the file name as the compiler spells it.
    pub fn file(&self) -> &'static str {
        self.0.file()
    }

    /// Returns the line, counted from 1.
    pub fn line(&self) -> u32 {
        self.0.line()
    }

    /// Returns the column, counted from 1.
    pub fn column(&self) -> u32 {
        self.0.column()
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}

impl fmt::Debug for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An operation of the user's program: its name and its call site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The public name of the operation, such as `reduce_by_key`.
    pub name: &'static str,
    /// The location of the call.
    pub call_site: CallSite,
}

impl Operation {
    /// Returns the operation `name`, called where the calling function was called.
    #[track_caller]
    pub fn new(name: &'static str) -> Self {
        Operation { name, call_site: CallSite::here() }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.call_site)
    }
}
