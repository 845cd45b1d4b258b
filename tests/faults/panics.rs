//! Rows whose methods panic at any call: an action returns an error and the context stays usable.
