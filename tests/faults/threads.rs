//! Tasks never begin inside tasks, and threads that cannot be started are errors.
