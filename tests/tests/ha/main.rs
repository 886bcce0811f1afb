//! Directors that stand in for each other: real daemons, real keepalived, real clients.

mod demo;
mod guests;
mod handover;
mod health;
mod heartbeats;
mod hooks;
mod interop;
mod lease;
mod mail;
mod many;
mod orders;
mod pair;
mod probes;
mod recordings;
mod roles;
mod serial;
mod sync;
mod transfers;
mod translated;
mod verdicts;
mod virtual_mac;
mod wire;
