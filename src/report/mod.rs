//! A recorded run, as text.
