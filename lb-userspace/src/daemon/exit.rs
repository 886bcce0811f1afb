//! Balancing ends while the daemon runs, because an operator wants it.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;

use super::director::Director;
use crate::{
    api::{
        exit::{ExitAnswer, ExitRequest},
        query::Refusal,
    },
    core::{event, order::Scope},
};

/// For the answer to get to whoever asked, before there is nobody left to send it.
pub(super) const FAREWELL: Duration = Duration::from_millis(50);

impl Director {
    /// Whether balancing may end; who asked is told.
    pub(super) fn consents(
        &self,
        request: ExitRequest,
        who: String,
        to: oneshot::Sender<Result<ExitAnswer, Refusal>>,
    ) -> bool {
        let flows = self.census.v4.flows() + self.census.v6.flows();
        let undrained = self.undrained();
        let consents = request.force || undrained.is_empty();
        // Who asked may have gone.
        let _ = to.send(if consents {
            self.events.tell(event::Director::Ending { who, flows });
            Ok(ExitAnswer { flows })
        } else {
            Err(Refusal::harmful(
                format!("clients are served: {} not drained", list(&undrained)),
                "`tandem director drain --exit` drains first, and waits; \"force\" ends it at once",
            ))
        });
        consents
    }

    /// Backends that may have flows, or get some.
    fn undrained(&self) -> Vec<String> {
        let members = self.members(&Scope::Director).into_iter();
        let serving = members.filter(|(service, backend)| {
            let drain = self.orders.drain(&service.name, backend.address);
            drain.is_none_or(|drain| !drain.drained)
        });
        let serving = serving.map(|(service, backend)| format!("{}/{}", service.name, backend.name));
        let retired = self
            .planner
            .retired()
            .filter(|(number, _)| self.census.of_backend(*number) > 0);
        serving
            .chain(retired.map(|(_, address)| address.to_string()))
            .collect()
    }

    /// What has to be done before the pins go: the VIPs lead nobody here any more, and the next daemon does not find everything
    /// drained.
    pub(super) async fn end_balancing(&mut self) -> Result<(), super::DaemonError> {
        if self.orders.book.take(&Scope::Director).is_some() {
            drop(self.orders.keep());
            while self.orders.keeper.is_behind() {
                if let Err(error) = self.orders.keeper.finished().await {
                    warn!(
                        error,
                        "the order to drain cannot be taken back: the next daemon will be drained"
                    );
                    break;
                }
            }
        }
        Ok(self.vips.drop_all().await?)
    }
}

fn list(backends: &[String]) -> String {
    const MOST: usize = 5;
    let names = backends.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match (backends.len(), backends.len().saturating_sub(MOST)) {
        (1, _) => format!("{names} is"),
        (_, 0) => format!("{names} are"),
        (_, more) => format!("{names} and {more} others are"),
    }
}
