//! Real clients, real servers, the real daemon.

mod config;
mod direct_routing;
