//! What tests stand on.

pub(crate) mod test_listener;
