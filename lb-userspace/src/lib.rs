//! Tandem's daemon and command line, as a library.
