//! Finds a toolchain that can build the XDP programs, and builds them.
