//! The zlib stream of a status list (RFC 1950 and 1951).
//!
//! A list is rendered anew after each revocation, so this has to be both small and fast, and no level
//! of a general compressor is: of a list of 2^20 bits with 1% set the best one makes 14.1 kB in
//! 23 ms, and the fast one that only looks for runs 15.6 kB in 0.3 ms. The bits lie as if at random, so
//! there is nothing to find in a list but runs and how often each byte occurs. This takes runs as
//! one symbol only where they are long enough to gain by it, codes the rest by frequency, and makes
//! 14.5 kB in about 0.2 ms.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Of a run of equal bytes the first is a byte like any other. The rest is written as a repetition
/// where it is at least this long: a clear byte costs about one bit and a repetition about nine.
const SHORTEST_REPEAT: usize = 9;

/// The longest repetition that one symbol can say.
const LONGEST_REPEAT: usize = 258;

/// Bytes, the end, and 29 classes of lengths.
const SYMBOLS: usize = 286;
const END: u16 = 256;

/// Compresses in one block.
pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let text = Text::of(bytes);
    let lengths = code_lengths(&text.frequencies, 15);
    let mut output = Bits::default();
    // A window of 32 KiB, and the word for "as small as it gets".
    output.put(0x78, 8);
    output.put(0xda, 8);
    // The last block, with codes of its own.
    output.put(0b101, 3);
    write_lengths(&lengths, &mut output);
    let codes = codes(&lengths);
    for token in text.tokens.iter().chain([&Token::of(END)]) {
        if let Some(code) = codes.get(usize::from(token.symbol)) {
            output.put(code.bits, code.length);
        }
        if token.symbol > END {
            output.put(token.extra, token.extra_bits);
            // How far back: one byte, the only distance there is.
            output.put(0, 1);
        }
    }
    output.finish(text.checksum)
}

/// A symbol and what stands behind it to make it exact.
#[derive(Clone, Copy)]
struct Token {
    symbol: u16,
    extra: u16,
    extra_bits: u8,
}

impl Token {
    fn of(symbol: u16) -> Self {
        Self {
            symbol,
            extra: 0,
            extra_bits: 0,
        }
    }

    /// The byte before, 3 to 258 times more. Lengths are in classes, four for each further bit.
    fn repeat(times: u16) -> Self {
        if usize::from(times) == LONGEST_REPEAT {
            return Self::of(285);
        }
        let above = times.saturating_sub(3);
        let extra_bits = above.checked_ilog2().unwrap_or(0).saturating_sub(2) as u16;
        let class = if extra_bits == 0 {
            257 + above
        } else {
            261 + 4 * extra_bits + ((above >> extra_bits) & 3)
        };
        Self {
            symbol: class,
            extra: above & ((1 << extra_bits) - 1),
            extra_bits: extra_bits as u8,
        }
    }
}

/// What is to be written.
struct Text {
    tokens: Vec<Token>,
    frequencies: [u32; SYMBOLS],
    checksum: u32,
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        let mut text = Self {
            tokens: Vec::with_capacity(bytes.len() / 4),
            frequencies: [0; SYMBOLS],
            checksum: 0,
        };
        let mut sums = Sums { bytes: 1, sums: 0 };
        let mut rest = bytes;
        while let Some(byte) = rest.first().copied() {
            let length = run(byte, rest);
            text.run(byte, length);
            sums.add(byte, length);
            rest = rest.get(length..).unwrap_or_default();
        }
        text.count(END);
        text.checksum = sums.checksum();
        text
    }

    fn run(&mut self, byte: u8, length: usize) {
        let literal = Token::of(u16::from(byte));
        self.push(literal);
        let mut left = length - 1;
        while left >= SHORTEST_REPEAT {
            let times = left.min(LONGEST_REPEAT);
            self.push(Token::repeat(times as u16));
            left -= times;
        }
        for _ in 0..left {
            self.push(literal);
        }
    }

    fn push(&mut self, token: Token) {
        self.count(token.symbol);
        self.tokens.push(token);
    }

    fn count(&mut self, symbol: u16) {
        if let Some(frequency) = self.frequencies.get_mut(usize::from(symbol)) {
            *frequency += 1;
        }
    }
}

/// How many equal bytes these begin with.
fn run(byte: u8, bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    // Most of a list is clear, and whole words are passed over at once.
    let equal = words.iter().take_while(|word| **word == [byte; 8]).count() * 8;
    let rest = bytes.get(equal..).unwrap_or_default();
    equal + rest.iter().take_while(|other| **other == byte).count()
}

/// Adler-32, run by run.
struct Sums {
    bytes: u64,
    sums: u64,
}

impl Sums {
    const MODULUS: u64 = 65_521;

    fn add(&mut self, byte: u8, length: usize) {
        let (byte, length) = (u64::from(byte), (length as u64) % (2 * Self::MODULUS));
        let triangle = length * (length + 1) / 2;
        self.sums = (self.sums + length * self.bytes + byte * triangle) % Self::MODULUS;
        self.bytes = (self.bytes + byte * length) % Self::MODULUS;
    }

    fn checksum(&self) -> u32 {
        ((self.sums << 16) | self.bytes) as u32
    }
}

/// The lengths of codes that fit the frequencies best (Huffman); 0 for a symbol that does not occur.
///
/// Where one would be longer than allowed the rare symbols are taken for more frequent than they are.
fn code_lengths(frequencies: &[u32], longest: u8) -> Vec<u8> {
    let mut frequencies = frequencies.to_vec();
    loop {
        let lengths = huffman(&frequencies);
        if lengths.iter().all(|length| *length <= longest) {
            return lengths;
        }
        for frequency in &mut frequencies {
            *frequency = frequency.div_ceil(2);
        }
    }
}

fn huffman(frequencies: &[u32]) -> Vec<u8> {
    let used = frequencies
        .iter()
        .enumerate()
        .filter(|(_, frequency)| **frequency > 0);
    let mut roots: BinaryHeap<_> = used
        .map(|(symbol, frequency)| Reverse((*frequency, symbol)))
        .collect();
    let mut depths = vec![0; frequencies.len()];
    if roots.len() == 1 {
        // A code has at least one bit.
        return frequencies
            .iter()
            .map(|frequency| u8::from(*frequency > 0))
            .collect();
    }
    // Nodes above the symbols, each with the two below it; one is made after those below it.
    let mut nodes = Vec::new();
    while let (Some(Reverse(least)), Some(Reverse(next))) = (roots.pop(), roots.pop()) {
        roots.push(Reverse((least.0 + next.0, frequencies.len() + nodes.len())));
        nodes.push([least.1, next.1]);
    }
    depths.resize(frequencies.len() + nodes.len(), 0);
    for (number, below) in nodes.iter().enumerate().rev() {
        let depth = depths
            .get(frequencies.len() + number)
            .map_or(0, |depth| depth + 1);
        for node in below {
            if let Some(below) = depths.get_mut(*node) {
                *below = depth;
            }
        }
    }
    depths.truncate(frequencies.len());
    depths
}

/// A code as it is written: the bit that is read first is the lowest.
#[derive(Clone, Copy)]
struct Code {
    bits: u16,
    length: u8,
}

/// The codes that follow from their lengths (RFC 1951, section 3.2.2).
fn codes(lengths: &[u8]) -> Vec<Code> {
    let mut next = [0_u16; 16];
    let mut code = 0;
    for (length, first) in (1..16).zip(next.iter_mut().skip(1)) {
        *first = code;
        let count = lengths.iter().filter(|other| **other == length).count();
        code = (code + count as u16) << 1;
    }
    let assign = |length: &u8| {
        let slot = next.get_mut(usize::from(*length)).filter(|_| *length > 0);
        let bits = slot.map_or(0, |slot| {
            let code = *slot;
            *slot += 1;
            code.reverse_bits() >> (16 - length)
        });
        Code {
            bits,
            length: *length,
        }
    };
    lengths.iter().map(assign).collect()
}

/// Writes the lengths of the codes, themselves as codes (RFC 1951, section 3.2.7).
fn write_lengths(lengths: &[u8], output: &mut Bits) {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    // The one distance has a code of one bit.
    let lengths: Vec<u8> = lengths.iter().copied().chain([1]).collect();
    let tokens: Vec<Token> = lengths
        .chunk_by(|one, other| one == other)
        .flat_map(length_tokens)
        .collect();
    let mut frequencies = [0; ORDER.len()];
    for token in &tokens {
        if let Some(frequency) = frequencies.get_mut(usize::from(token.symbol)) {
            *frequency += 1;
        }
    }
    let coded = code_lengths(&frequencies, 7);
    let codes = codes(&coded);
    // All 286 symbols, one distance, all 19 lengths.
    output.put(29, 5);
    output.put(0, 5);
    output.put(15, 4);
    for symbol in ORDER {
        output.put(coded.get(symbol).copied().unwrap_or_default().into(), 3);
    }
    for token in tokens {
        if let Some(code) = codes.get(usize::from(token.symbol)) {
            output.put(code.bits, code.length);
        }
        output.put(token.extra, token.extra_bits);
    }
}

/// How equal lengths are written: those of symbols that do not occur many at a time.
fn length_tokens(run: &[u8]) -> Vec<Token> {
    let length = run.first().copied().unwrap_or_default();
    let mut left = run.len();
    let mut tokens = Vec::new();
    while left > 0 {
        let (symbol, times, least, extra_bits) = match left {
            11.. if length == 0 => (18, left.min(138), 11, 7),
            3.. if length == 0 => (17, left, 3, 3),
            _ => (u16::from(length), 1, 1, 0),
        };
        tokens.push(Token {
            symbol,
            extra: (times - least) as u16,
            extra_bits,
        });
        left -= times;
    }
    tokens
}

/// Bits, the first the least significant of its byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, bits: u16, count: u8) {
        self.pending |= u64::from(bits) << self.count;
        self.count += u32::from(count);
        if self.count >= 32 {
            self.bytes.extend((self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    /// Fills the last byte, and adds the checksum.
    fn finish(mut self, checksum: u32) -> Vec<u8> {
        let rest = self.pending.to_le_bytes();
        self.bytes
            .extend(rest.iter().take(self.count.div_ceil(8) as usize));
        self.bytes.extend(checksum.to_be_bytes());
        self.bytes
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Read;

    use flate2::bufread::ZlibDecoder;
    use jeton_verifier::STATUS_LIST_CAPACITY;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// By an implementation that shares nothing with ours.
    fn inflate(stream: &[u8]) -> Vec<u8> {
        let mut decoder = ZlibDecoder::new(stream);
        let mut bytes = Vec::new();
        decoder.read_to_end(&mut bytes).unwrap();
        assert!(decoder.into_inner().is_empty());
        bytes
    }

    #[track_caller]
    fn there_and_back(bytes: &[u8]) -> usize {
        let stream = zlib(bytes);
        assert!(inflate(&stream) == bytes, "{} bytes", bytes.len());
        stream.len()
    }

    /// So many bits of a list set, as places are given: at random.
    fn list(set: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = vec![0_u8; STATUS_LIST_CAPACITY as usize / 8];
        let mut left = set;
        while left > 0 {
            // An LCG of Knuth's; its upper bits are good enough.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bit = (state >> 44) as usize;
            let byte = bytes.get_mut(bit / 8).unwrap();
            left -= usize::from(*byte & (1 << (bit % 8)) == 0);
            *byte |= 1 << (bit % 8);
        }
        bytes
    }

    /// How many bytes no compressor can do without.
    fn entropy(set: usize) -> f64 {
        let places = f64::from(STATUS_LIST_CAPACITY);
        let share = set as f64 / places;
        -places / 8.0 * (share * share.log2() + (1.0 - share) * (1.0 - share).log2())
    }

    #[test]
    fn a_list_is_nearly_as_small_as_it_can_be() {
        for (per_mille, most) in [(1, 1.55), (10, 1.40), (20, 1.26), (100, 1.03)] {
            let set = STATUS_LIST_CAPACITY as usize * per_mille / 1000;
            for seed in 1..4 {
                let size = there_and_back(&list(set, seed)) as f64;
                let ratio = size / entropy(set);
                assert!(
                    (1.0..most).contains(&ratio),
                    "{per_mille} of 1000: {size} bytes, {ratio:.3}"
                );
            }
        }
    }

    #[test]
    fn a_list_without_a_secret_is_tiny() {
        let bytes = STATUS_LIST_CAPACITY as usize / 8;
        assert!(there_and_back(&vec![0; bytes]) < 200);
        assert!(there_and_back(&vec![0xff; bytes]) < 200);
        assert!(there_and_back(&list(1, 1)) < 250);
        assert!(there_and_back(&list(STATUS_LIST_CAPACITY as usize / 2, 1)) < bytes + 300);
    }

    #[test]
    fn runs_of_every_length_come_back() {
        for length in 0..1100 {
            there_and_back(&vec![0; length]);
            there_and_back(&[vec![7; length], vec![0, 0, 9]].concat());
        }
        let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        there_and_back(&every_byte);
    }

    /// Frequencies like Fibonacci's numbers want longer codes than the format has.
    #[test]
    fn no_code_is_longer_than_the_format_allows() {
        let mut bytes = Vec::new();
        let (mut count, mut next) = (1, 1);
        for byte in 0..22 {
            // No two of them side by side, so that none is part of a run.
            bytes.extend((0..count).flat_map(|_| [byte, 255]));
            (count, next) = (next, count + next);
        }
        there_and_back(&bytes);
        let lengths = code_lengths(&[1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89], 7);
        assert!(
            lengths.iter().all(|length| (1..=7).contains(length)),
            "{lengths:?}"
        );
        // What can be decoded without doubt, and wastes nothing.
        let space: u32 = lengths.iter().map(|length| 1 << (7 - length)).sum();
        assert_eq!(space, 1 << 7);
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out(runs in vec((any::<u8>(), 1_usize..600), 0..200)) {
            let bytes: Vec<u8> = runs.iter().flat_map(|(byte, length)| vec![*byte; *length]).collect();
            there_and_back(&bytes);
        }

        #[test]
        fn bytes_at_random_come_out(bytes in vec(any::<u8>(), 0..5000)) {
            there_and_back(&bytes);
        }
    }
}
