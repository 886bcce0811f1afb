//! Flows that an operator ends.

use std::sync::Arc;

use tokio::{sync::oneshot, task::spawn_blocking};

use super::director::Director;
use crate::{
    api::{
        flows::{EndAnswer, EndRequest, FlowEnding},
        query::Refusal,
    },
    core::event,
    datapath::Ending,
};

impl Director {
    /// Ends flows, beside the loop. Who asked may have gone when it is done.
    pub(super) fn cut(
        &self,
        request: EndRequest,
        who: String,
        to: oneshot::Sender<Result<EndAnswer, Refusal>>,
    ) {
        if request.filter.is_empty() && !request.all {
            let _ = to.send(Err(Refusal::harmful(
                "nothing says which flows are meant",
                "choose some (`tandem flow delete --client 198.51.100.7`), or say that you mean all of them with --all",
            )));
            return;
        }
        let how = match request.how {
            FlowEnding::Reset => Ending::Reset,
            FlowEnding::Forget => Ending::Forget,
        };
        let flows = Arc::clone(&self.flows);
        let loads = Arc::clone(&self.kernel.tables.loads);
        let events = self.events.clone();
        spawn_blocking(move || {
            let ended = flows.end(&request.filter, how, &loads);
            events.tell(event::Order::Cut {
                which: request.filter.describe(),
                flows: ended,
                who,
            });
            let _ = to.send(Ok(EndAnswer { ended }));
        });
    }
}
