//! What the daemon tells: HTTP and JSON on a unix socket.
//!
//! [`types`] is what is told, [`query`] how the daemon is asked for it. The daemon's loop answers [`query::Query`]s and
//! knows nothing of HTTP; [`serve`] does the rest. [`Client`] is the other end.
//!
//! | `GET` | answer |
//! |---|---|
//! | `/v1/status` | [`types::StatusView`] |
//! | `/v1/services` | array of [`types::ServiceView`] |
//! | `/v1/backends` | array of [`types::BackendView`] |
//! | `/v1/stats` | [`types::StatsView`] |
//! | `/v1/ha` | [`types::HaView`] |
//! | `/v1/flows` | [`types::FlowView`]s, one a line; parameters as in [`query::FlowFilter`] |
//! | `/v1/flows/count` | [`types::FlowCount`]; the same parameters |
//! | `/v1/flows/end` | only `POST`: ends flows: [`flows::EndRequest`] in, [`flows::EndAnswer`] out |
//! | `/v1/orders` | array of [`orders::OrderView`]; `POST` gives an order: [`orders::OrderRequest`] in, [`orders::OrderAnswer`] out |
//! | `/v1/events` | [`Record`](crate::core::event::Record)s, one a line; parameters as in [`query::EventFilter`] |
//! | `/v1/events/receivers` | array of [`ReceiverView`](crate::notify::ReceiverView) |
//! | `/v1/config` | [`config::ConfigView`]; `POST` has the daemon read its file again, or roll back: [`config::ReloadRequest`] in, or nothing; [`config::ReloadAnswer`] out |
//! | `/v1/trace` | [`trace::TraceView`]; parameters as in [`trace::TraceRequest`] |
//! | `/v1/packets` | [`watch::PacketView`]s as they happen, one a line; parameters as in [`watch::WatchRequest`] |
//! | `/v1/openapi.json` | all of this as an OpenAPI document: [`openapi`] |
//! | `/v1/exit` | only `POST`: ends balancing, and the daemon: [`exit::ExitRequest`] in, [`exit::ExitAnswer`] out |
//! | `/v1/metrics` | [`crate::metrics`] as text; the same as `/metrics` over TCP |
//!
//! What fails is answered with [`types::ErrorView`].

mod access;
mod client;
pub mod config;
mod dump;
pub mod exit;
mod filter;
pub mod flows;
mod follow;
pub mod health;
mod lines;
mod metrics;
pub mod openapi;
pub mod orders;
mod patience;
mod peer;
pub mod query;
mod routes;
mod server;
mod socket;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod types;
pub mod watch;

pub use access::{Access, NoGroup};
pub use client::{Client, ClientError};
pub use metrics::serve_metrics;
pub use query::Sources;
pub use server::{Bounds, serve};
pub use socket::{ApiSocket, DEFAULT_SOCKET, SocketError, open_to};
