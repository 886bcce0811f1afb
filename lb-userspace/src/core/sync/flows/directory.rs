//! Backends and services: by number, as flow tables name them, and by name and address, as directors do.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use lb_common::wire::sync::{Rewrite, ServiceId, Target};

use super::digest;
use crate::core::sync::survey::service_id;

/// A backend of a service, and the number that this director gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedBackend {
    /// Its number.
    pub number: u32,
    /// Name of its service.
    pub service: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 where it is the frontend's.
    pub port: u16,
}

/// What a number stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// But for what becomes of packets.
    pub(super) target: Target,
    /// The target in digests.
    pub(super) identity: u64,
    /// Whether the present survey is of its service.
    pub(super) in_scope: bool,
}

/// What a target stands for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    /// This backend; flows to it have this class of timeouts.
    Backend { number: u32, class: u8 },
    /// A backend of a service that is served here, which has no number yet.
    UnknownBackend,
    /// A service that is not served here.
    UnknownService,
}

/// Who the numbers stand for at present.
#[derive(Debug, Default)]
pub struct Directory {
    by_number: Vec<Option<Known>>,
    numbers: HashMap<(ServiceId, IpAddr, u16), u32>,
    services: Vec<ServiceId>,
    classes: BTreeMap<ServiceId, u8>,
    names: BTreeMap<ServiceId, String>,
}

impl Directory {
    /// A directory of these services (each with the class of its timeouts) and backends.
    #[must_use]
    pub fn new(
        services: impl IntoIterator<Item = (String, u8)>,
        backends: impl IntoIterator<Item = NumberedBackend>,
    ) -> Self {
        let mut directory = Self::default();
        for (name, class) in services {
            let id = service_id(&name);
            directory.classes.insert(id, class);
            directory.names.insert(id, name);
        }
        directory.services = directory.classes.keys().copied().collect();
        for backend in backends {
            let target = Target {
                service: service_id(&backend.service),
                backend: backend.address,
                port: backend.port,
                rewrite: Rewrite::Nothing,
            };
            let index = backend.number as usize;
            if directory.by_number.len() <= index {
                directory.by_number.resize(index + 1, None);
            }
            directory.by_number[index] = Some(Known {
                target,
                identity: digest::of_target(&target),
                in_scope: true,
            });
            directory
                .numbers
                .insert((target.service, target.backend, target.port), backend.number);
        }
        directory
    }

    /// Services in ascending order.
    pub(super) fn services(&self) -> &[ServiceId] {
        &self.services
    }

    /// The name of a service.
    pub(super) fn name(&self, service: ServiceId) -> Option<&str> {
        self.names.get(&service).map(String::as_str)
    }

    pub(super) fn known(&self, number: u32) -> Option<&Known> {
        self.by_number.get(number as usize)?.as_ref()
    }

    /// The survey that begins is of these services.
    pub(super) fn set_scope(&mut self, services: &[ServiceId]) {
        for known in self.by_number.iter_mut().flatten() {
            known.in_scope = services.binary_search(&known.target.service).is_ok();
        }
    }

    pub(super) fn resolve(&self, target: &Target) -> Resolved {
        let Some(&class) = self.classes.get(&target.service) else {
            return Resolved::UnknownService;
        };
        match self.numbers.get(&(target.service, target.backend, target.port)) {
            Some(&number) => Resolved::Backend { number, class },
            None => Resolved::UnknownBackend,
        }
    }
}
