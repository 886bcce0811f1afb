//! What each purpose needs on a machine, and the installation of what is missing.

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::apt::Apt;
use crate::miri;
use crate::program::find;
use crate::schemathesis;
use crate::toolchain;

/// What the machine is to be made ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// Building everything, XDP programs included.
    Build,
    /// All tests.
    Test,
    /// The demo.
    Demo,
    /// The measurements.
    Bench,
    /// Looking into the packages that `dist` has made.
    Dist,
    /// Trying the package on a clean system (`dist --try`).
    Trial,
    /// Trying another kernel (`kernel`).
    Kernel,
}

impl Purpose {
    pub(crate) const ALL: &[Self] = &[
        Self::Build,
        Self::Test,
        Self::Demo,
        Self::Bench,
        Self::Dist,
        Self::Trial,
        Self::Kernel,
    ];
}

/// A program that the lab runs.
struct Tool {
    /// Its name, or the path of another file that the package brings.
    program: &'static str,
    /// Debian's and Ubuntu's name.
    package: &'static str,
    why: &'static str,
    /// Every purpose also needs what building needs.
    purposes: &'static [Purpose],
    /// The daemon's unit, which the package enables at boot and we do not want.
    unit: Option<&'static str>,
}

const fn tool(
    program: &'static str,
    package: &'static str,
    why: &'static str,
    purposes: &'static [Purpose],
) -> Tool {
    Tool {
        program,
        package,
        why,
        purposes,
        unit: None,
    }
}

const TOOLS: &[Tool] = {
    use Purpose::{Bench, Demo, Dist, Kernel, Test, Trial};
    &[
        tool(
            "ip",
            "iproute2",
            "network namespaces and links",
            &[Test, Demo, Bench, Kernel],
        ),
        tool(
            "ethtool",
            "ethtool",
            "offloads of the lab's links",
            &[Test, Demo, Bench, Kernel],
        ),
        tool(
            "nft",
            "nftables",
            "the kernel's own NAT, to compare with",
            &[Test, Bench],
        ),
        tool(
            "/usr/lib/nginx/modules/ngx_stream_module.so",
            "libnginx-mod-stream",
            "nginx as a proxy to compare with",
            &[Bench],
        ),
        Tool {
            unit: Some("haproxy.service"),
            ..tool("haproxy", "haproxy", "a proxy to compare with", &[Bench])
        },
        Tool {
            unit: Some("nginx.service"),
            ..tool(
                "nginx",
                "nginx-light",
                "real servers behind the director",
                &[Test, Demo, Bench],
            )
        },
        tool(
            "rsvg-convert",
            "librsvg2-bin",
            "pictures of results as PNG",
            &[Test, Bench],
        ),
        tool(
            "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
            "fonts-dejavu-core",
            "letters in them",
            &[Test, Bench],
        ),
        tool("strip", "binutils", "programs without debug information", &[Dist]),
        tool(
            "qemu-system-x86_64",
            "qemu-system-x86",
            "a virtual machine",
            &[Kernel],
        ),
        tool("busybox", "busybox-static", "what is in it", &[Kernel]),
        tool("dpkg-deb", "dpkg", "what is in a .deb", &[Dist]),
        tool("rpm", "rpm", "what is in an .rpm", &[Dist]),
        tool("debootstrap", "debootstrap", "a clean Debian", &[Trial]),
        tool("systemd-nspawn", "systemd-container", "booting it", &[Trial]),
        tool(
            "systemd-analyze",
            "systemd",
            "systemd's opinion of the unit",
            &[Test],
        ),
        tool("curl", "curl", "real clients", &[Test]),
        tool("ping", "iputils-ping", "echo requests to a VIP", &[Test]),
        tool("socat", "socat", "TCP and UDP peers", &[Test]),
        tool(
            "sysctl",
            "procps",
            "a backend's settings, as the documents give them",
            &[Test],
        ),
        tool("tcpdump", "tcpdump", "captures", &[Test]),
        tool(
            "tshark",
            "tshark",
            "another parser's opinion of captured packets",
            &[Test],
        ),
        tool("aiosmtpd", "python3-aiosmtpd", "a real mail server", &[Test]),
        tool(
            "/usr/share/doc/python3-venv/copyright",
            "python3-venv",
            "a place of its own for schemathesis",
            &[Test],
        ),
        tool("dnsmasq", "dnsmasq-base", "a real DNS server", &[Test]),
        Tool {
            unit: Some("prometheus.service"),
            ..tool(
                "promtool",
                "prometheus",
                "Prometheus' opinion of metrics and alerts",
                &[Test],
            )
        },
        Tool {
            unit: Some("keepalived.service"),
            ..tool("keepalived", "keepalived", "a real VRRP peer", &[Test])
        },
    ]
};

/// Installs what is missing for `purposes`, saying what and why; silent and quick where nothing is.
///
/// # Errors
/// Something is missing and could not be installed; the text says what to do by hand.
pub(crate) fn ensure(purposes: &[Purpose]) -> Result<()> {
    toolchain::ensure()?;
    let missing = missing(purposes, |program| find(program).is_some());
    if !missing.is_empty() {
        install(&missing)?;
    }
    if purposes.contains(&Purpose::Test) {
        miri::ensure();
        schemathesis::ensure();
    }
    Ok(())
}

fn missing(purposes: &[Purpose], is_installed: impl Fn(&str) -> bool) -> Vec<&'static Tool> {
    let is_needed = |tool: &&Tool| tool.purposes.iter().any(|purpose| purposes.contains(purpose));
    TOOLS
        .iter()
        .filter(is_needed)
        .filter(|tool| !is_installed(tool.program))
        .collect()
}

fn install(missing: &[&Tool]) -> Result<()> {
    for tool in missing {
        println!("set-up: installing {} ({})", tool.package, tool.why);
    }
    let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    let Some(mut apt) = Apt::find()? else {
        let programs: Vec<_> = missing.iter().map(|tool| tool.program).collect();
        bail!(
            "install these programs with your system's package manager: {}",
            programs.join(", ")
        );
    };
    apt.install(&packages)?;
    apt.disable(&missing.iter().filter_map(|tool| tool.unit).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::{Purpose, TOOLS, missing};

    fn names(purposes: &[Purpose], installed: &[&str]) -> Vec<&'static str> {
        missing(purposes, |program| installed.contains(&program))
            .iter()
            .map(|tool| tool.package)
            .collect()
    }

    #[test]
    fn each_purpose_gets_only_what_it_needs() {
        assert!(names(&[Purpose::Build], &[]).is_empty());
        assert_eq!(
            names(&[Purpose::Demo], &[]),
            ["iproute2", "ethtool", "nginx-light"]
        );
        assert_eq!(names(Purpose::ALL, &[]).len(), TOOLS.len());
    }

    #[test]
    fn what_is_installed_is_left_alone() {
        assert_eq!(names(&[Purpose::Demo], &["ip", "nginx"]), ["ethtool"]);
        assert!(names(&[Purpose::Demo], &["ip", "nginx", "ethtool"]).is_empty());
    }
}
