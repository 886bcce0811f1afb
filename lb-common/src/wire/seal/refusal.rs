//! Why a datagram was not opened.

use crate::wire::refusal::refusals;

refusals! {
    /// Why a datagram that arrived was not opened, or not believed. Each is counted by itself.
    Truncated, "truncated", "The datagram ends before its header or its tag does.";
    NotTandem, "not_tandem", "The datagram does not begin as one of Tandem's does: something else uses this address and port.";
    UnknownVersion, "unknown_version", "The envelope is of a version that this director does not know.";
    OtherChannel, "other_channel", "The datagram is of another channel: heartbeats and connections have been given the same port.";
    CounterZero, "counter_zero", "The datagram's counter is 0, which no director sends.";
    OtherCluster, "other_cluster", "The datagram is of another cluster, which uses the same address and port.";
    NotSealed, "not_sealed", "The datagram is not sealed, and this director believes sealed ones only.";
    UnknownKey, "unknown_key", "The datagram is sealed with a key that this director does not have.";
    Replayed, "replayed", "The datagram was received already: a repetition, by the network or by somebody who recorded it.";
    TooOld, "too_old", "The datagram is so far behind others of its sender that nobody knows whether it was received already.";
    Forged, "forged", "The seal does not fit: the datagram was not made with the key whose number it bears, or was changed on its way.";
    OwnEcho, "own_echo", "This director's own datagram came back: the network returns multicast.";
    SameName, "same_name", "Another director of the cluster has this one's name: give each its own.";
    TooManySenders, "too_many_senders", "More directors than a cluster may have are sending.";
}
