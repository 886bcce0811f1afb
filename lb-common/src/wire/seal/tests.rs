use proptest::prelude::*;
use std::{format, vec, vec::Vec};

use super::*;

const HEADER_OF: Header = Header {
    channel: Channel::Sync,
    cluster: ClusterId(0x0102_0304),
    sender: NodeId(0x1112_1314_1516_1718),
    session: Session {
        epoch: 0x2122_2324_2526_2728,
        salt: 0x3132_3334_3536_3738,
    },
    key: Some(KeyId(NonZeroU8::new(0x41).unwrap())),
    counter: 0x0042_4344_4546_4748,
};

#[rustfmt::skip]
const BYTES: [u8; HEADER] = [
    b'T', b'd', 1, 2, 0x01, 0x02, 0x03, 0x04,
    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
    0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
    0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
];

fn datagram(length: usize) -> Vec<u8> {
    let mut datagram = BYTES.to_vec();
    datagram.resize(length, 0);
    datagram
}

#[test]
fn the_header_is_the_picture() {
    assert_eq!(HEADER_OF.emit(), BYTES);
    assert_eq!(Header::parse(&datagram(OVERHEAD)), Ok(HEADER_OF));
    let plain = Header {
        key: None,
        ..HEADER_OF
    };
    assert_eq!(Header::parse(&plain.emit()), Ok(plain), "needs no tag");
}

#[test]
fn each_fault_has_its_name() {
    let altered = |at: usize, bytes: &[u8]| {
        let mut datagram = datagram(OVERHEAD);
        datagram[at..at + bytes.len()].copy_from_slice(bytes);
        Header::parse(&datagram)
    };
    assert_eq!(Header::parse(&BYTES[..HEADER - 1]), Err(Refusal::Truncated));
    assert_eq!(Header::parse(&datagram(OVERHEAD - 1)), Err(Refusal::Truncated));
    assert_eq!(altered(0, b"tD"), Err(Refusal::NotTandem));
    assert_eq!(altered(2, &[2]), Err(Refusal::UnknownVersion));
    for channel in [0, 3, 255] {
        assert_eq!(altered(3, &[channel]), Err(Refusal::OtherChannel));
    }
    assert_eq!(altered(33, &[0; 7]), Err(Refusal::CounterZero));
}

#[test]
fn channels_have_numbers() {
    for channel in Channel::ALL {
        assert_eq!(Channel::from_number(channel as u8), Some(channel));
    }
}

#[test]
fn refusals_are_told_apart() {
    let mut slugs: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.slug()).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), Refusal::ALL.len());
    for (index, refusal) in Refusal::ALL.iter().enumerate() {
        assert_eq!(*refusal as usize, index, "counters are indexed by it");
        assert!(refusal.sentence().ends_with('.'));
    }
}

#[test]
fn a_greeting_is_its_bytes() {
    let mut greeting = Greeting::new(0x0102_0304_0506_0708);
    assert!(greeting.push(NodeId(0x11), 0x22));
    #[rustfmt::skip]
    let bytes = [
        1, 2, 3, 4, 5, 6, 7, 8, 1,
        0, 0, 0, 0, 0, 0, 0, 0x11,
        0, 0, 0, 0, 0, 0, 0, 0x22,
        0x99,
    ];
    assert_eq!(Greeting::parse(&bytes), Ok((greeting, &[0x99][..])));
    let mut buffer = [0xA5; 26];
    assert_eq!(greeting.emit(&mut buffer).map(|rest| rest.len()), Some(1));
    assert_eq!(buffer[..25], bytes[..25]);
    assert!(greeting.answers(NodeId(0x11), 0x22));
    assert!(!greeting.answers(NodeId(0x11), 0x23) && !greeting.answers(NodeId(0x12), 0x22));
    for length in 0..25 {
        assert_eq!(Greeting::parse(&bytes[..length]), Err(Malformed));
        assert!(greeting.emit(&mut buffer[..length]).is_none());
    }
}

#[test]
fn a_greeting_is_bounded() {
    let mut greeting = Greeting::new(1);
    for n in 0..MAX_ECHOES as u64 {
        assert!(greeting.push(NodeId(n), n));
    }
    assert!(!greeting.push(NodeId(0), 0));
    assert_eq!(greeting.echoes().len(), MAX_ECHOES);
    let mut bytes = vec![0; greeting.length() + ECHO_LENGTH];
    assert!(greeting.emit(&mut bytes).is_some());
    assert_eq!(Greeting::parse(&bytes).map(|(parsed, _)| parsed), Ok(greeting));
    bytes[8] += 1;
    assert_eq!(Greeting::parse(&bytes), Err(Malformed));
}

const ECHO_LENGTH: usize = 16;

proptest! {
    #[test]
    fn any_header_round_trips(
        heartbeat: bool, cluster: u32, sender: u64, epoch: u64, salt: u64, key: u8, counter in 1..=MAX_COUNTER,
    ) {
        let header = Header {
            channel: if heartbeat { Channel::Heartbeat } else { Channel::Sync },
            cluster: ClusterId(cluster),
            sender: NodeId(sender),
            session: Session { epoch, salt },
            key: NonZeroU8::new(key).map(KeyId),
            counter,
        };
        let mut datagram = [0; OVERHEAD];
        datagram[..HEADER].copy_from_slice(&header.emit());
        prop_assert_eq!(Header::parse(&datagram), Ok(header));
    }

    /// What is taken apart can be put together again, and nothing panics.
    #[test]
    fn no_bytes_are_misread(bytes: Vec<u8>) {
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert_eq!(&header.emit()[..], &bytes[..HEADER], "{}", format!("{header:?}"));
        }
        if let Ok((greeting, rest)) = Greeting::parse(&bytes) {
            let mut again = vec![0; greeting.length()];
            prop_assert!(greeting.emit(&mut again).is_some());
            prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.len()]);
        }
    }
}
