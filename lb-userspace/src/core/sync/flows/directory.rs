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

/// A service whose connections the directors tell each other of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Its name.
    pub name: String,
    /// Class of the timeouts of its flows.
    pub class: u8,
    /// Whether half-open flows are told, too.
    pub half_open: bool,
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
    /// Whether half-open flows of its service are told, too.
    pub(super) half_open: bool,
}

/// What a target stands for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    /// This backend; flows to it have this class of timeouts.
    Backend { number: u32, class: u8 },
    /// A backend of a service that is served here, which has no number yet.
    UnknownBackend,
    /// A service that is not served here, or of whose connections nobody is told.
    UnknownService,
}

/// Who the numbers stand for at present.
#[derive(Debug, Default)]
pub struct Directory {
    by_number: Vec<Option<Known>>,
    numbers: HashMap<(ServiceId, IpAddr, u16), u32>,
    ids: Vec<ServiceId>,
    services: BTreeMap<ServiceId, Synced>,
}

impl Directory {
    /// A directory of these services and backends.
    #[must_use]
    pub fn new(
        services: impl IntoIterator<Item = Synced>,
        backends: impl IntoIterator<Item = NumberedBackend>,
    ) -> Self {
        let services = services.into_iter();
        let mut directory = Self {
            services: services
                .map(|service| (service_id(&service.name), service))
                .collect(),
            ..Self::default()
        };
        directory.ids = directory.services.keys().copied().collect();
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
                half_open: directory
                    .services
                    .get(&target.service)
                    .is_some_and(|service| service.half_open),
            });
            directory
                .numbers
                .insert((target.service, target.backend, target.port), backend.number);
        }
        directory
    }

    /// Services in ascending order.
    pub(super) fn services(&self) -> &[ServiceId] {
        &self.ids
    }

    /// The name of a service.
    pub(super) fn name(&self, service: ServiceId) -> Option<&str> {
        self.services.get(&service).map(|service| service.name.as_str())
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
        let Some(class) = self.services.get(&target.service).map(|service| service.class) else {
            return Resolved::UnknownService;
        };
        match self.numbers.get(&(target.service, target.backend, target.port)) {
            Some(&number) => Resolved::Backend { number, class },
            None => Resolved::UnknownBackend,
        }
    }
}
