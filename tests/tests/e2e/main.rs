//! Real clients, real servers, the real daemon.

mod areas;
mod cluster;
mod config;
mod connections;
mod continuity;
mod direct_routing;
mod drain;
mod events;
mod exit;
mod failures;
mod fragments;
mod health;
mod icmp;
mod kernel_nat;
mod metrics;
mod nat;
mod network;
mod operator;
mod reload;
mod scheduling;
mod service_manager;
mod steady;
mod storms;
mod tunnels;
