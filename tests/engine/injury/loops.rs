//! Long lineages and long loops.
