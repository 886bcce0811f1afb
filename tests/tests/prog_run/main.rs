//! The real XDP program on single packets: fixtures (packet in, action and bytes out, and exactly the counters that
//! moved), the life of flows, and agreement with the parser on the host.

mod areas;
mod backends;
mod case;
mod connections;
mod coverage;
mod decap;
mod differential;
mod echo;
mod flood;
mod flows;
mod forwarding;
mod fragments;
mod header_v4;
mod header_v6;
mod icmp;
mod jumbo;
mod locality;
mod nat;
mod nat_properties;
mod neighbour;
mod not_ours;
mod packets;
mod path_errors;
mod quic;
mod schedulers;
mod sctp;
mod stack;
mod transport;
mod truncation;
mod tunnels;
mod verifier;
mod world;
