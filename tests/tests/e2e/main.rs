//! Real clients, real servers, the real daemon.

mod config;
mod continuity;
mod direct_routing;
mod icmp;
mod operator;
