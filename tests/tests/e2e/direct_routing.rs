//! Direct routing, end to end.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting, http},
    topology::{OneDirector, VIP4, VIP6},
};

use crate::config;

#[test]
fn http_over_both_families_reaches_every_backend() -> Result<()> {
    let lab = OneDirector::build("e2e-http", 1, 3)?;
    let servers = lab
        .backends
        .iter()
        .map(|backend| lab.serve_http(backend))
        .collect::<Result<Vec<_>, _>>()?;
    let backends: Vec<_> = lab.backends.iter().map(|backend| (backend, 100)).collect();
    let tandem = Tandem::start(&lab.director, &config::web(&backends))?;
    for vip in [SocketAddr::from((VIP4, 80)), SocketAddr::from((VIP6, 80))] {
        let page = http::get(&lab.clients[0], vip, "/", Duration::from_secs(5))?;
        assert_eq!(page.status, 200);
        let mut crowd = Crowd::open(&lab.clients[0], &Dial::new(vip, Greeting::Http), 300)?;
        assert_eq!((crowd.len(), crowd.failures().len()), (300, 0));
        assert_eq!(crowd.by_backend().len(), 3, "{:?}", crowd.by_backend());
        assert_eq!(crowd.ask().kept, 300);
    }
    tandem.process().ensure_running()?;
    drop(servers);
    Ok(())
}
