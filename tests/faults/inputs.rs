//! Input files: paths, patterns, links, compressed files, and files that change while they are read.
