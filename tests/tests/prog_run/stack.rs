//! How much stack the programs take, as kernels count that have less of it than the one that runs this test.
//!
//! A program and what it calls have 512 bytes together. Linux 6.1 counts frames in steps of 32 bytes, and newer kernels in steps of 16:
//! so there a program may be refused that those take.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::abi::names;
use lb_userspace::datapath::OBJECT;
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SymbolKind,
};

/// Bytes that a program and what it calls have (`MAX_BPF_STACK`).
const MOST: usize = 512;
/// Steps in which Linux 6.1 counts them.
const STEP: usize = 32;
/// The register that points to the end of the frame.
const FRAME: u8 = 10;

/// Instruction classes and codes (RFC 9669).
const LOAD: u8 = 1;
const STORES: [u8; 2] = [2, 3];
const CALL: u8 = 0x85;
const CALL_OF_PROGRAM: u8 = 1;
const MOVE: u8 = 0xBF;
const ADD: u8 = 0x07;

/// A function of the object.
#[derive(Debug, Default)]
struct Function {
    /// Bytes of its frame that it uses.
    frame: usize,
    calls: BTreeSet<String>,
}

/// Where functions are, by section and offset.
type Places = BTreeMap<(usize, u64), (String, u64)>;

fn functions() -> BTreeMap<String, Function> {
    let file = object::File::parse(OBJECT).expect("the object is ELF");
    let places: Places = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .map(|symbol| {
            let section = symbol.section_index().expect("code is in a section");
            let name = symbol.name().expect("a name").to_owned();
            ((section.0, symbol.address()), (name, symbol.size()))
        })
        .collect();
    places
        .iter()
        .map(|(&(section, start), (name, size))| {
            let section = SectionIndex(section);
            (
                name.clone(),
                function(&file, &places, section, start..start + size),
            )
        })
        .collect()
}

fn function(
    file: &object::File<'_>,
    places: &Places,
    section: SectionIndex,
    range: std::ops::Range<u64>,
) -> Function {
    let part = file.section_by_index(section).expect("its section");
    let code = part.data().expect("its code");
    let relocations: BTreeMap<u64, _> = part.relocations().collect();
    let mut found = Function::default();
    let mut take = |offset: i64| found.frame = found.frame.max(usize::try_from(-offset).unwrap_or(0));
    // The register that was made a copy of the frame's end just now.
    let mut copied = None;
    for at in range.step_by(8) {
        let word: [u8; 8] = code[at as usize..][..8].try_into().expect("eight bytes");
        let [code, registers, ..] = word;
        let (to, from) = (registers & 15, registers >> 4);
        let offset = i64::from(i16::from_le_bytes([word[2], word[3]]));
        let constant = i32::from_le_bytes([word[4], word[5], word[6], word[7]]);
        let class = code & 7;
        if STORES.contains(&class) && to == FRAME || class == LOAD && from == FRAME {
            take(offset);
        }
        if code == ADD && copied == Some(to) {
            take(constant.into());
        }
        copied = (code == MOVE && from == FRAME)
            .then_some(to)
            .or(copied.filter(|_| code != ADD));
        if code == CALL && from == CALL_OF_PROGRAM {
            let target = match relocations.get(&at).map(object::Relocation::target) {
                Some(RelocationTarget::Symbol(index)) => {
                    let symbol = file.symbol_by_index(index).expect("a symbol");
                    let section = symbol.section_index().unwrap_or(section);
                    // Of a function, or of its section.
                    let inside = match symbol.kind() {
                        SymbolKind::Section => (i64::from(constant) + 1) * 8,
                        _ => symbol.address().cast_signed(),
                    };
                    (section.0, inside.cast_unsigned())
                }
                _ => (section.0, at.wrapping_add_signed((i64::from(constant) + 1) * 8)),
            };
            let (callee, _) = places.get(&target).expect("a call goes to a function");
            found.calls.insert(callee.clone());
        }
    }
    found
}

/// The chain of calls from this function that takes most, and how much it takes.
fn deepest(functions: &BTreeMap<String, Function>, name: &str) -> (usize, Vec<String>) {
    let function = &functions[name];
    let own = function.frame.max(1).next_multiple_of(STEP);
    let (below, mut chain) = function
        .calls
        .iter()
        .map(|callee| deepest(functions, callee))
        .max()
        .unwrap_or_default();
    chain.insert(0, format!("{name} ({})", function.frame));
    (own + below, chain)
}

#[test]
fn the_programs_fit_into_the_stack_of_the_oldest_kernel() {
    let functions = functions();
    for program in [names::PROGRAM, names::WATCHED_PROGRAM] {
        let (bytes, chain) = deepest(&functions, program);
        println!("{program}: {bytes} bytes: {}", chain.join(" > "));
        assert!(bytes > 64, "the program has frames, and calls");
        assert!(
            bytes <= MOST,
            "{bytes} bytes of stack, and Linux 6.1 has {MOST}: {}",
            chain.join(" > ")
        );
    }
}
