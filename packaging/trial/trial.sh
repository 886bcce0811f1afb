#!/bin/sh
# What somebody who knows LVS does with a new package, on a clean Debian with systemd and nothing but the manual.
# `cargo xtask dist --try` boots such a system and runs this in it; it ends with "trial: passed" or where it went wrong.
set -eux
trap 'status=$?; [ $status = 0 ] || { journalctl --no-pager -u tandemd | tail -n 60; echo "trial: FAILED"; }' EXIT

ended() { # EXPECTED COMMAND...: the command's exit code
    expected=$1
    shift
    code=0
    "$@" || code=$?
    [ "$code" = "$expected" ]
}
soon() { # COMMAND...: it succeeds within some seconds
    for _ in $(seq 200); do
        "$@" && return
        sleep 0.1
    done
    return 1
}
never() { # COMMAND...: it fails; `! COMMAND` would go unnoticed by set -e
    if "$@"; then return 1; fi
}
main_pid() { systemctl show --property MainPID --value tandemd; }
is_other() { # PID: systemd has another one by now; between two there is none
    pid=$(main_pid)
    [ "$pid" != 0 ] && [ "$pid" != "$1" ]
}
says() { systemctl show --property StatusText --value tandemd | grep -q "$1"; }

# A network: this machine and a backend behind a veth.
ip netns add backend
ip link add eth0 type veth peer name eth0 netns backend
ip address add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip netns exec backend sh -c 'ip address add 192.0.2.11/24 dev eth0; ip link set eth0 up; ip link set lo up'

# systemd mounts this on machines, but not in containers.
mountpoint -q /sys/fs/bpf || mount -t bpf -o mode=0700 bpf /sys/fs/bpf

# What the package brought.
man -w tandem tandemd tandem-import
[ -s /usr/share/bash-completion/completions/tandem ]
getent passwd tandem
[ ! -e /etc/tandem/tandem.toml ]
ended 3 tandem status

# From the old configuration to a running director.
cat > /tmp/keepalived.conf <<'END'
vrrp_instance front {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.10
    }
}
virtual_server 192.0.2.10 80 {
    lb_algo wrr
    lb_kind DR
    protocol TCP
    real_server 192.0.2.11 80 {
        weight 100
    }
}
END
tandem import keepalived /tmp/keepalived.conf -o /etc/tandem/tandem.toml
chgrp tandem /etc/tandem/tandem.toml
tandem check /etc/tandem/tandem.toml
tandem doctor --config /etc/tandem/tandem.toml || [ $? = 1 ]
systemctl start tandemd
systemctl is-active tandemd
says balancing
soon sh -c "tandem ha -j | grep -q '\"role\":\"active\"'"
ip address show dev eth0 | grep 192.0.2.10
tandem service
tandem backend
tandem stats > /dev/null

# The live view, on a terminal of 80 by 24, until somebody says that it is enough.
tandem top --once | grep 192.0.2.11
{ sleep 3; printf q; } | timeout 30 script --quiet --return --command 'stty rows 24 cols 80; tandem top' /tmp/top > /dev/null
grep -aq 192.0.2.11 /tmp/top

# The unit lets it set up a MAC address of the VIPs' own.
cp /etc/tandem/tandem.toml /tmp/plain.toml
sed -i 's/^vrid = 51$/vrid = 51\nvirtual_mac = true/' /etc/tandem/tandem.toml
systemctl reload tandemd
soon sh -c "ip link show group 84 up | grep 00:00:5e:00:01:33"
soon sh -c "ip address show group 84 | grep 192.0.2.10"
cp /tmp/plain.toml /etc/tandem/tandem.toml
systemctl reload tandemd
soon sh -c "ip address show dev eth0 | grep 192.0.2.10"
[ -z "$(ip link show group 84)" ]

# It runs as an ordinary user, with real-time priority and locked memory, and says nothing against it.
[ "$(stat -c %U "/proc/$(main_pid)")" = tandem ]
[ "$(stat -c %U:%a /sys/fs/bpf/tandem)" = tandem:750 ]
# A container may not be allowed to raise the limits, and then there is nothing to be had.
if grep -E 'Max realtime priority +50 ' "/proc/$(main_pid)/limits"; then
    never sh -c "journalctl -u tandemd | grep -E 'WARN.*(priority|locked)'"
fi

# Members of the group may ask, others may not.
useradd friend -G tandem
useradd stranger
runuser -u friend -- tandem status
ended 4 runuser -u stranger -- tandem status

# Reload, also of nonsense; restart; kill; hang.
systemctl reload tandemd
soon says balancing
cp /etc/tandem/tandem.toml /tmp/good.toml
echo nonsense >> /etc/tandem/tandem.toml
systemctl reload tandemd
soon says 'by the old configuration'
cp /tmp/good.toml /etc/tandem/tandem.toml
systemctl reload tandemd
before=$(main_pid)
systemctl restart tandemd
is_other "$before"
before=$(main_pid)
kill -KILL "$before"
soon is_other "$before"
soon says balancing
before=$(main_pid)
kill -STOP "$before"
soon is_other "$before"
soon says balancing
journalctl -u tandemd | grep -i watchdog

# The kernel balances without the daemon, until somebody says no.
systemctl stop tandemd
[ -e /sys/fs/bpf/tandem/links/eth0 ]
tandemd --detach
systemctl start tandemd
systemctl is-active tandemd

# Gone without a trace.
apt-get remove -y tandem
never systemctl is-active tandemd
[ ! -e /sys/fs/bpf/tandem/links ]
never sh -c 'ip link show dev eth0 | grep xdp'
apt-get purge -y tandem
[ ! -e /var/lib/tandem ]
trap - EXIT
echo "trial: passed"
