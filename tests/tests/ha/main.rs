//! Directors that stand in for each other: real daemons, real keepalived, real clients.

mod demo;
mod handover;
mod health;
mod heartbeats;
mod interop;
mod lease;
mod orders;
mod pair;
mod roles;
mod sync;
mod transfers;
mod wire;
