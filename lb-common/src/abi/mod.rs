//! Map layouts.
