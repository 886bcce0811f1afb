//! The contract between the XDP programs and the daemon.
#![no_std]
