//! What a census of the flows makes superfluous.

use std::collections::BTreeSet;

use super::{Planner, QUIET_CENSUSES, Step};

impl Planner {
    /// Takes note of a census (whether any flow names this backend; whether any is of this timeout class) and forgets what
    /// nobody needs.
    pub fn census(
        &mut self,
        has_flows: impl Fn(u32) -> bool,
        class_has_flows: impl Fn(u8) -> bool,
    ) -> Vec<Step> {
        self.classes.census(class_has_flows);
        let mut steps = Vec::new();
        self.backends.retain(|_, backend| {
            if backend.wanted || has_flows(backend.number) {
                backend.quiet_censuses = 0;
                return true;
            }
            backend.quiet_censuses += 1;
            if backend.quiet_censuses < QUIET_CENSUSES {
                return true;
            }
            self.backend_numbers.give_back(backend.number);
            steps.push(Step::ForgetBackend {
                backend: backend.number,
            });
            false
        });
        let populated: BTreeSet<u32> = self.backends.keys().map(|(service, _)| *service).collect();
        self.services.retain(|_, service| {
            let keep = service.wanted || populated.contains(&service.number);
            if !keep {
                self.service_numbers.give_back(service.number);
                steps.push(Step::ForgetService {
                    service: service.number,
                });
            }
            keep
        });
        if self.tunnel_sources.is_some() {
            self.follow_tunnels(&mut steps);
            self.follow_translations(&mut steps);
            self.follow_server_ids(&mut steps);
        }
        steps
    }
}
