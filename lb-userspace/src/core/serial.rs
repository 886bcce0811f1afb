//! Datagrams on a serial line: each is stuffed so that it has no byte of zero (Cheshire and Baker, *Consistent Overhead Byte
//! Stuffing*, 1999), and stands between two of them. So whoever begins to listen in the middle, or reads noise, is right
//! again from the next zero on.

/// Stands between datagrams.
const DELIMITER: u8 = 0;
/// Most bytes that one code byte stands before.
const LONGEST: usize = 254;

/// A datagram as it goes over the line.
#[must_use]
pub fn encode(datagram: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(datagram.len() + datagram.len() / LONGEST + 3);
    line.push(DELIMITER);
    let mut rest = datagram;
    loop {
        let run = rest
            .iter()
            .take(LONGEST)
            .take_while(|byte| **byte != DELIMITER)
            .count();
        line.push(run as u8 + 1);
        line.extend(&rest[..run]);
        let is_whole = run == LONGEST;
        match rest.get(run) {
            None => break,
            // A code of 255 stands for no zero.
            Some(_) if is_whole => rest = &rest[run..],
            Some(_) => rest = &rest[run + 1..],
        }
    }
    line.push(DELIMITER);
    line
}

/// What was between two delimiters; `None` where that was no datagram.
fn decode(mut line: &[u8]) -> Option<Vec<u8>> {
    let mut datagram = Vec::with_capacity(line.len());
    while let Some((code, rest)) = line.split_first() {
        let run = usize::from(*code).checked_sub(1)?;
        datagram.extend(rest.get(..run)?);
        line = &rest[run..];
        if run < LONGEST && !line.is_empty() {
            datagram.push(DELIMITER);
        }
    }
    Some(datagram)
}

/// What comes over a line, however it is cut into pieces.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// What came since the last delimiter.
    line: Vec<u8>,
    /// Most bytes of a datagram on the line; what is longer is none.
    most: usize,
    is_too_long: bool,
    /// What came between delimiters and was no datagram.
    noise: u64,
}

impl Decoder {
    /// For datagrams of this length at most.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            line: Vec::new(),
            most: most + most / LONGEST + 1,
            is_too_long: false,
            noise: 0,
        }
    }

    /// Takes the next bytes, up to the end of a datagram; how many were taken, and the datagram that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Option<Vec<u8>>) {
        for (index, byte) in bytes.iter().enumerate() {
            if *byte != DELIMITER {
                self.is_too_long |= self.line.len() == self.most;
                if !self.is_too_long {
                    self.line.push(*byte);
                }
                continue;
            }
            let is_too_long = std::mem::take(&mut self.is_too_long);
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                continue;
            }
            let datagram = decode(&line).filter(|_| !is_too_long);
            if datagram.is_some() {
                return (index + 1, datagram);
            }
            self.noise += 1;
        }
        (bytes.len(), None)
    }

    /// How often something came that was no datagram.
    #[must_use]
    pub fn noise(&self) -> u64 {
        self.noise
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const MOST: usize = 2048;

    /// All datagrams in these bytes, handed in in pieces of this length.
    fn read(decoder: &mut Decoder, bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let (taken, datagram) = decoder.take(piece);
                piece = &piece[taken..];
                found.extend(datagram);
            }
        }
        found
    }

    #[test]
    fn byte_for_byte() {
        let run = [1_u8; 254];
        for (datagram, line) in [
            (&[][..], &[0, 1, 0][..]),
            (&[0], &[0, 1, 1, 0]),
            (&[7], &[0, 2, 7, 0]),
            (&[7, 0], &[0, 2, 7, 1, 0]),
            (&[0, 0, 9], &[0, 1, 1, 2, 9, 0]),
            (&run, &[&[0, 255][..], &run, &[0]].concat()),
            (
                &[&run[..], &[2]].concat(),
                &[&[0, 255][..], &run, &[2, 2, 0]].concat(),
            ),
        ] {
            assert_eq!(encode(datagram), line, "{datagram:?}");
            assert_eq!(read(&mut Decoder::new(MOST), line, 1), [datagram]);
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(datagrams in vec(vec(prop_oneof![Just(0), any::<u8>()], 1..700), 1..5), piece in 1..900_usize) {
            let line: Vec<u8> = datagrams.iter().flat_map(|datagram| encode(datagram)).collect();
            prop_assert_eq!(read(&mut Decoder::new(MOST), &line, piece), datagrams);
        }

        /// Noise costs what it hits, and nothing behind it.
        #[test]
        fn noise_harms_nothing_that_follows(noise in vec(any::<u8>(), 0..9000), datagram in vec(any::<u8>(), 1..700), piece in 1..900_usize) {
            let mut decoder = Decoder::new(MOST);
            let line = [noise, encode(&datagram)].concat();
            let found = read(&mut decoder, &line, piece);
            prop_assert_eq!(found.last(), Some(&datagram));
            prop_assert!(decoder.line.len() <= decoder.most);
            prop_assert!(found.iter().all(|datagram| datagram.len() <= MOST + 10));
        }
    }
}
