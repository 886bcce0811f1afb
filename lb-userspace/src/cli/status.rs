//! `tandem status`

use std::io::{self, Write};

use super::{CliError, Exit, Show, units};
use crate::{
    api::{
        Client,
        types::{ClusterView, InterfaceView, StatusView, XdpMode},
    },
    core::seal::Authentication,
};

pub(super) async fn run<W: Write>(client: &Client, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let status = client.status().await?;
    if show.json {
        show.json(&status)?;
    } else {
        render(&status, show.out)?;
    }
    Ok(Exit::Success)
}

fn render(status: &StatusView, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "director   {}", status.name)?;
    let uptime = units::seconds(status.uptime_seconds);
    writeln!(
        out,
        "daemon     version {}, process {}, running for {uptime}",
        status.version, status.pid
    )?;
    writeln!(out, "config     {}", status.config)?;
    if let Some(cluster) = &status.cluster {
        writeln!(out, "cluster    {}: {}", cluster.name, describe_keys(cluster))?;
    }
    let mut title = "interface";
    for interface in &status.interfaces {
        writeln!(out, "{title:<9}  {}", describe(interface))?;
        title = "";
    }
    Ok(())
}

fn describe_keys(cluster: &ClusterView) -> String {
    let Some(authentication) = cluster.authentication else {
        return "NO KEY; whoever reaches the network is believed".to_owned();
    };
    let how = match authentication {
        Authentication::ReceiveOnly => "seals nothing yet, believes everybody (receive-only)",
        Authentication::Permissive => "seals, believes everybody (permissive)",
        Authentication::Enforce => "seals, believes who has a key (enforce)",
    };
    let keys = cluster
        .keys
        .iter()
        .map(|key| format!("key {} ({})", key.id, key.fingerprint))
        .collect::<Vec<_>>();
    format!("{how}; {}", keys.join(", "))
}

fn describe(interface: &InterfaceView) -> String {
    let name = &interface.name;
    let Some(ifindex) = interface.ifindex else {
        return format!("{name}: there is no such interface");
    };
    let mode = match interface.mode {
        None => "the program is not attached",
        Some(XdpMode::Native) => "native XDP",
        Some(XdpMode::Generic) => "generic XDP (slow)",
        Some(XdpMode::Offloaded) => "offloaded XDP",
    };
    format!("{name} ({ifindex}): {mode}")
}

#[cfg(test)]
mod tests {
    use super::{super::testdata::golden, render};

    #[test]
    fn looks_as_documented() {
        golden("status", render);
    }
}
