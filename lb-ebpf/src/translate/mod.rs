//! Network address translation: a flow's packets go to the backend's own address and port, and its replies come back through
//! the director.

mod acquire;
mod error;
mod error_back;
mod family;
mod forward;
mod quote;
mod readdress;
mod reply;
mod reply_part;
mod rewrite;
mod tables;

pub(crate) use self::{
    acquire::{Bid, acquire, tandem_acquire4, tandem_acquire6, tandem_bid4, tandem_bid6},
    error::{error_to_backend4, error_to_backend6},
    error_back::{error_to_client4, error_to_client6},
    family::NatFamily,
    forward::forward,
    reply::{reply4, reply6},
    reply_part::{remember_reply4, remember_reply6},
};
