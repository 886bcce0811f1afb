//! Why a message was not obeyed.

use crate::wire::refusal::refusals;

refusals! {
    /// Why a message of the sync protocol, whose seal was good, was not obeyed. Each is counted by itself.
    Truncated, "truncated", "The message ends before it has said what it announces.";
    OtherVersion, "other_version", "The message is of a version of the protocol that this director does not speak.";
    UnknownKind, "unknown_kind", "The message is of a kind that this director does not know.";
    Overlong, "overlong", "The message goes on after its end.";
    BadValue, "bad_value", "The message holds a number that means nothing.";
    Unproven, "unproven", "The sender has not shown yet that it is no recording; only its greeting was read.";
    OtherGeometry, "other_geometry", "The sender divides its connections into other ranges: another version of Tandem.";
    ClockBehind, "clock_behind", "The message is from before the cluster's clock made a leap; its sender has not noticed yet.";
    ClockAhead, "clock_ahead", "The sender's clock is far ahead: this director has not followed it yet, or it is out of all bounds.";
}
