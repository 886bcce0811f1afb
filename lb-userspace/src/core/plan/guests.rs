//! Numbers as other directors need to know them, and backends that only they have flows to.

use std::net::IpAddr;

use lb_common::abi::PolicyFlags;

use super::{KnownBackend, LoadLimits, OnGone, PlanError, Planner, Step};
use crate::core::sync::flows::{Directory, NumberedBackend, Synced};

impl Planner {
    /// Who the numbers stand for. Services whose connections nobody is told of are not in it, nor are their backends.
    #[must_use]
    pub fn directory(&self) -> Directory {
        let told = self.services.iter().filter(|(_, service)| {
            let policy = service.policy.unwrap_or_default();
            !policy.flags.has(PolicyFlags::UNTOLD)
        });
        let services = told.clone().filter_map(|(name, service)| {
            let policy = service.policy.filter(|_| service.wanted)?;
            Some(Synced {
                name: name.clone(),
                class: policy.timeout_class,
                half_open: policy.flags.has(PolicyFlags::TOLD_EARLY),
            })
        });
        let name = |number: u32| {
            let mut services = told.clone();
            services
                .find(|(_, service)| service.number == number)
                .map(|(name, _)| name)
        };
        let backends = self.backends.iter().filter_map(|(&(service, address), backend)| {
            Some(NumberedBackend {
                number: backend.number,
                service: name(service)?.clone(),
                address,
                port: backend.port.unwrap_or(0),
            })
        });
        Directory::new(services, backends)
    }

    /// Gives a number to a backend that this director has no use for, and another director has flows to, at this port (0: the
    /// frontend's): it takes no new ones, and is forgotten when they have ended, as one that was removed is.
    ///
    /// # Errors
    /// [`PlanError::TooManyBackends`].
    pub fn host(&mut self, service: &str, address: IpAddr, port: u16) -> Result<Vec<Step>, PlanError> {
        let Some(number) = self.services.get(service).map(|known| known.number) else {
            return Ok(Vec::new());
        };
        if self.backends.contains_key(&(number, address)) {
            return Ok(Vec::new());
        }
        let backend = self
            .backend_numbers
            .take()
            .ok_or_else(|| PlanError::TooManyBackends {
                address,
                service: service.to_owned(),
                limit: self.limits.1,
                retired: self.retired().count(),
            })?;
        // As to the others of the service.
        let mut others = self.backends.iter().filter(|((of, _), _)| *of == number);
        let forward = others.find_map(|(_, other)| other.forward);
        let known = KnownBackend {
            number: backend,
            forward,
            port: Some(port).filter(|port| *port != 0),
            server_id: None,
            way: None,
            inherited: false,
            load: LoadLimits::default(),
            on_gone: OnGone::Keep,
            wanted: false,
            quiet_censuses: 0,
        };
        self.backends.insert((number, address), known);
        Ok(vec![Step::AssignBackend {
            backend,
            service: number,
            address,
        }])
    }
}
