//! Checkpoints say which rows they hold, and errors name the part that is damaged.

mod damage;
mod depth;
mod many_parts;
mod new_inputs;
mod shapes;
mod unions;
