//! Congestion notification through a tunnel (RFC 6040).

/// The two ECN bits of a packet that leaves a tunnel, from those of the outer and of the inner header (section 4.2, figure 4);
/// `None` for a packet that must be dropped: it met congestion, and its sender would not understand the mark.
#[inline(always)]
#[must_use]
pub const fn leave_tunnel(outer: u8, inner: u8) -> Option<u8> {
    const NOT_ECT: u8 = 0b00;
    const ECT_1: u8 = 0b01;
    const ECT_0: u8 = 0b10;
    const CE: u8 = 0b11;
    match (outer & CE, inner & CE) {
        (CE, NOT_ECT) => None,
        (CE, _) => Some(CE),
        (ECT_1, ECT_0) => Some(ECT_1),
        (_, inner) => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_4_of_rfc_6040() {
        #[rustfmt::skip]
        let figure = [
            // inner, and what leaves for an outer Not-ECT, ECT(0), ECT(1), CE
            (0b00, [Some(0b00), Some(0b00), Some(0b00), None]),
            (0b10, [Some(0b10), Some(0b10), Some(0b01), Some(0b11)]),
            (0b01, [Some(0b01), Some(0b01), Some(0b01), Some(0b11)]),
            (0b11, [Some(0b11), Some(0b11), Some(0b11), Some(0b11)]),
        ];
        for (inner, leaving) in figure {
            for (outer, leaves) in [0b00, 0b10, 0b01, 0b11].into_iter().zip(leaving) {
                assert_eq!(leave_tunnel(outer, inner), leaves, "{outer:02b} {inner:02b}");
                // DSCP is none of its business.
                assert_eq!(leave_tunnel(outer | 0xB8, inner | 0x28), leaves);
            }
        }
    }
}
