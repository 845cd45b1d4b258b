//! Operations of the user's program and the lines they were called at.

use std::fmt;
use std::panic::Location;

/// A line of the user's program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallSite(&'static Location<'static>);

impl CallSite {
    /// The caller of the function that calls this, if that function is `#[track_caller]`.
    #[track_caller]
    pub fn here() -> Self {
        CallSite(Location::caller())
    }

    /// The file as the compiler names it.
    pub fn file(&self) -> &'static str {
        self.0.file()
    }

    /// The line, from 1 up.
    pub fn line(&self) -> u32 {
        self.0.line()
    }

    /// The column, from 1 up.
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

/// One operation of the user's program: its name and where it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The public name of the operation, such as `reduce_by_key`.
    pub name: &'static str,
    /// Where the user called it.
    pub call_site: CallSite,
}

impl Operation {
    /// The operation, called by the caller of the function that calls this.
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
