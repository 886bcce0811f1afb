//! Statements of which nothing is made, and why.

use crate::config::import::report::Outcome;

/// Keywords with whether somebody has to do something about it, and why nothing was made of them.
pub(super) type Table = &'static [(&'static [&'static str], Loss, &'static str)];

/// Whether something is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing is: it is not needed here.
    None,
    /// What it did is not done here.
    Something,
}
use Loss::{None as Nothing, Something};

/// Why nothing was made of `keyword`.
pub(super) fn why(table: Table, keyword: &str) -> Outcome {
    let known = table.iter().find(|(keywords, ..)| keywords.contains(&keyword));
    match known {
        Some((_, Nothing, why)) => Outcome::needless(*why),
        Some((_, Something, why)) => Outcome::missing(*why),
        None => Outcome::missing("keepalived 2.2 does not document this here, and nothing was made of it"),
    }
}

const TUNING: &str = "this is for keepalived's own processes";
const FIREWALL: &str = "no firewall rules are needed: what is for a VIP is decided before the firewall";
const NETWORK: &str =
    "addresses, routes and rules other than VIPs belong into the system's network configuration";
const MAIL: &str = "mail is sent about every event of severity `warning` and above";
const DOWN_AT_FIRST: &str = "a backend counts as down until its first check has succeeded";
const TRACKED: &str = "write what is tracked into `track` of the instances that depend on it";

/// At the top of the file.
pub(super) const AT_TOP: Table = &[
    (
        &[
            "net_namespace",
            "net_namespace_ipvs",
            "namespace_with_ipsets",
            "instance",
            "use_pid_dir",
            "child_wait_time",
        ],
        Nothing,
        TUNING,
    ),
    (
        &[
            "linkbeat_use_polling",
            "linkbeat_interfaces",
            "interface_up_down_delays",
        ],
        Nothing,
        "the kernel tells of changes of links",
    ),
    (
        &["garp_group"],
        Something,
        "`rate` of `announce` bounds the announcements of an instance",
    ),
    (
        &["static_ipaddress", "static_routes", "static_rules", "track_group"],
        Something,
        NETWORK,
    ),
    (
        &[
            "vrrp_script",
            "track_file",
            "vrrp_track_file",
            "vrrp_track_process",
            "bfd_instance",
        ],
        Something,
        TRACKED,
    ),
    (
        &["SSL"],
        Something,
        "checks show no certificate of their own; whom they trust is said in each (`ca_file`)",
    ),
];

/// In `global_defs`.
pub(super) const GLOBAL: Table = &[
    (
        &[
            "tmp_config_directory",
            "config_save_dir",
            "process_names",
            "process_name",
            "vrrp_process_name",
            "checker_process_name",
            "bfd_process_name",
            "max_auto_priority",
            "min_auto_priority_delay",
            "vrrp_priority",
            "checker_priority",
            "bfd_priority",
            "vrrp_no_swap",
            "checker_no_swap",
            "bfd_no_swap",
            "vrrp_cpu_affinity",
            "checker_cpu_affinity",
            "bfd_cpu_affinity",
            "vrrp_rt_priority",
            "checker_rt_priority",
            "bfd_rt_priority",
            "vrrp_rlimit_rttime",
            "checker_rlimit_rttime",
            "bfd_rlimit_rttime",
            "vrrp_netlink_cmd_rcv_bufs",
            "vrrp_netlink_cmd_rcv_bufs_force",
            "vrrp_netlink_monitor_rcv_bufs",
            "vrrp_netlink_monitor_rcv_bufs_force",
            "lvs_netlink_cmd_rcv_bufs",
            "lvs_netlink_cmd_rcv_bufs_force",
            "lvs_netlink_monitor_rcv_bufs",
            "lvs_netlink_monitor_rcv_bufs_force",
            "process_monitor_rcv_bufs",
            "process_monitor_rcv_bufs_force",
            "vrrp_rx_bufs_policy",
            "vrrp_rx_bufs_multiplier",
            "umask",
            "random_seed",
            "data_use_instance",
            "net_namespace",
            "net_namespace_ipvs",
            "namespace_with_ipsets",
            "instance",
            "use_pid_dir",
            "child_wait_time",
        ],
        Nothing,
        TUNING,
    ),
    (
        &["reload_check_config", "include_check", "reload_file"],
        Nothing,
        "a configuration with an error is never adopted, and is read at once",
    ),
    (
        &["reload_time_file", "reload_repeat"],
        Something,
        "a timer of systemd can have the configuration read at a given time",
    ),
    (
        &["lvs_flush", "lvs_flush_on_stop"],
        Nothing,
        "what is in force is compared with the configuration, and only differences are changed; `tandemd --detach` ends it",
    ),
    (
        &[
            "nftables",
            "nftables_priority",
            "nftables_counters",
            "nftables_ifindex",
            "nftables_ipvs",
            "nftables_ipvs_priority",
            "nftables_ipvs_start_fwmark",
            "vrrp_iptables",
            "vrrp_ipsets",
            "disable_local_igmp",
        ],
        Nothing,
        FIREWALL,
    ),
    (
        &[
            "snmp_socket",
            "enable_snmp_vrrp",
            "enable_snmp_checker",
            "enable_snmp_rfc",
            "enable_snmp_rfcv2",
            "enable_snmp_rfcv3",
            "enable_snmp_keepalived",
            "enable_traps",
            "enable_dbus",
            "dbus_service_name",
        ],
        Something,
        "there is neither SNMP nor D-Bus; `tandem -j` and the API on its socket say the same",
    ),
    (
        &["script_user", "enable_script_security"],
        Nothing,
        "programs run as the user that the daemon runs as, without a shell",
    ),
    (
        &[
            "startup_script",
            "startup_script_timeout",
            "shutdown_script",
            "shutdown_script_timeout",
        ],
        Something,
        "ExecStartPre= and ExecStopPost= of the systemd unit can run it",
    ),
    (
        &[
            "notify_fifo",
            "notify_fifo_script",
            "vrrp_notify_fifo",
            "vrrp_notify_fifo_script",
            "lvs_notify_fifo",
            "lvs_notify_fifo_script",
            "fifo_write_vrrp_states_on_reload",
            "vrrp_notify_priority_changes",
        ],
        Something,
        "`tandem events -f -j` says what happens, in order, a JSON object a line",
    ),
    (
        &[
            "smtp_helo_name",
            "smtp_connect_timeout",
            "no_email_faults",
            "no_checker_emails",
        ],
        Nothing,
        "mail has defaults of its own; `kinds` and `severity` of [[events.mail]] choose what it is about",
    ),
    (
        &["checker_log_all_failures", "rs_init_notifies"],
        Something,
        "there are no health checks yet",
    ),
    (
        &[
            "vrrp_mcast_group4",
            "vrrp_mcast_group6",
            "vrrp_down_timer_adverts",
        ],
        Something,
        "advertisements go to the group of RFC 9568, and three missed ones are a takeover",
    ),
    (
        &[
            "vrrp_garp_lower_prio_delay",
            "vrrp_garp_lower_prio_repeat",
            "vrrp_garp_master_refresh_repeat",
            "vrrp_garp_extra_if",
            "vrrp_lower_prio_no_advert",
            "vrrp_higher_prio_send_advert",
        ],
        Nothing,
        "VIPs are announced again whenever a lesser Active was heard",
    ),
    (
        &[
            "vrrp_check_unicast_src",
            "vrrp_skip_check_adv_addr",
            "vrrp_strict",
            "dynamic_interfaces",
            "vrrp_startup_delay",
            "log_unknown_vrids",
            "vmac_prefix",
            "vmac_addr_prefix",
        ],
        Nothing,
        "the rules of RFC 9568 always hold; interfaces may come and go; unknown VRIDs are counted",
    ),
    (
        &["lvs_sync_daemon", "lvs_sync_daemon_interface"],
        Something,
        "connections are not copied to other directors yet",
    ),
];

/// In `vrrp_instance` and `vrrp_sync_group`.
pub(super) const INSTANCE: Table = &[
    (
        &[
            "state",
            "preempt",
            "accept",
            "debug",
            "native_ipv6",
            "kernel_rx_buf_size",
            "skip_check_adv_addr",
        ],
        Nothing,
        "it is the priority that counts, and what clients send to a VIP is always taken",
    ),
    (
        &["authentication"],
        Something,
        "advertisements are not authenticated, and were not with a password that is sent in clear",
    ),
    (
        &[
            "check_unicast_src",
            "unicast_fault_no_peer",
            "strict_mode",
            "old_unicast_checksum",
        ],
        Nothing,
        "with `peers`, advertisements come from nobody else; the rules of RFC 9568 always hold",
    ),
    (
        &["mcast_src_ip", "unicast_src_ip", "track_src_ip"],
        Something,
        "advertisements come from the interface's own first address",
    ),
    (
        &["mcast_dst_ip", "vrf", "unicast_ttl", "down_timer_adverts"],
        Something,
        "advertisements go to the group and with the TTL of RFC 9568, and three missed ones are a takeover",
    ),
    (
        &[
            "garp_extra_if",
            "garp_lower_prio_delay",
            "garp_lower_prio_repeat",
            "garp_master_refresh_repeat",
            "higher_prio_send_advert",
            "lower_prio_no_advert",
        ],
        Nothing,
        "VIPs are announced again whenever a lesser Active was heard",
    ),
    (
        &["promote_secondaries", "linkbeat_use_polling"],
        Nothing,
        "VIPs have no prefix, and the kernel tells of changes of links",
    ),
    (
        &["no_accept", "dont_track_primary"],
        Something,
        "a director takes what clients send to its VIPs, and takes no part while its interface is down",
    ),
    (
        &["vmac_xmit_base"],
        Nothing,
        "with `virtual_mac` all that concerns the VIPs comes from that address",
    ),
    (
        &["use_vmac_addr", "use_ipvlan"],
        Something,
        "VIPs are at the interface's own MAC address, which is announced at a takeover, or with `virtual_mac` at that of RFC 9568",
    ),
    (
        &[
            "global_tracking",
            "sync_group_tracking_weight",
            "track_bfd",
            "track_file",
            "track_interface",
            "track_process",
            "track_script",
        ],
        Something,
        "write what is tracked into `track` of the instance",
    ),
    (
        &["virtual_routes", "virtual_rules"],
        Something,
        "a hook for `ha.active` and one for `ha.backup` can set routes and rules",
    ),
    (
        &[
            "notify_deleted",
            "notify_master_rx_lower_pri",
            "notify_priority_changes",
        ],
        Something,
        "`tandem events -f` says what happens",
    ),
    (&["smtp_alert"], Nothing, MAIL),
];

/// In `virtual_server`.
pub(super) const VIRTUAL_SERVER: Table = &[
    (
        &["persistence_engine"],
        Something,
        "clients are told apart by their addresses alone",
    ),
    (
        &["ha_suspend", "ip_family"],
        Nothing,
        "every director is ready for every VIP, and a service may have addresses of both families",
    ),
    (
        &["inhibit_on_failure", "sorry_server_inhibit"],
        Nothing,
        "a backend that takes no new connections always keeps those it has",
    ),
    (
        &["quorum_up", "quorum_down"],
        Something,
        "an [[events.hook]] for `service.quorum_lost` or `service.quorum_regained` can do it",
    ),
    (&["alpha", "omega"], Nothing, DOWN_AT_FIRST),
    (&["smtp_alert"], Nothing, MAIL),
    (
        &["sorry_server_lvs_method"],
        Something,
        "all backends of a service are reached by one method",
    ),
];

/// In `real_server`.
pub(super) const REAL_SERVER: Table = &[
    (
        &["inhibit_on_failure"],
        Nothing,
        "a backend that takes no new connections always keeps those it has",
    ),
    (
        &["notify_up", "notify_down"],
        Something,
        "an [[events.hook]] for `backend.up` or `backend.down` can do it",
    ),
    (&["alpha"], Nothing, DOWN_AT_FIRST),
    (&["smtp_alert"], Nothing, MAIL),
    (
        &["FILE_CHECK", "BFD_CHECK"],
        Something,
        "there is no check of this kind: a `script` can do the same",
    ),
];

/// In a check.
pub(super) const CHECK: Table = &[(
    &[
        "connect_ip",
        "bindto",
        "bind_port",
        "bind_if",
        "fwmark",
        "ssl_version",
        "tls_compliant",
        "regex_options",
        "regex_stack",
        "regex_min_offset",
        "regex_max_offset",
        "regex_no_match",
    ],
    Something,
    "a check has nothing like it: it asks the backend's own address, from the one that the kernel chooses",
)];
