//! What the packet path asks of the loopback device.

use std::{fs, io};

/// Has the loopback device forward, in both families, so that the XDP program may look up routes as the kernel does for what
/// this machine sends itself (`bpf_fib_lookup` refuses interfaces that do not). Nothing is forwarded by that: packets come in
/// by other interfaces.
///
/// # Errors
/// What the system said, and of which setting.
pub fn let_it_forward() -> Result<(), (String, io::Error)> {
    for family in ["ipv4", "ipv6"] {
        let path = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        let set = match fs::read_to_string(&path) {
            Ok(value) if value.trim() != "0" => Ok(()),
            Ok(_) => fs::write(&path, "1"),
            // Without a family there are no packets of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        set.map_err(|error| (path, error))?;
    }
    Ok(())
}
