//! keccak256 (as Ethereum has it) of many texts at once: with AVX2 four of them side by side, a lane for each.

/// Bytes that go into the state before it is permuted: 1600 bits less twice the 256 of a digest.
const RATE: usize = 136;
const WORDS: usize = 25;

/// So many states side by side, word by word.
type States<const LANES: usize> = [[u64; LANES]; WORDS];

/// Iota of the Keccak reference (version 3.0, 1.2).
const ROUNDS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// The keccak256 of each message, in order. Several short ones take as long as the longest of them: it pays for a hundred and more.
pub fn keccak256_many<M: AsRef<[u8]>>(messages: &[M]) -> Vec<[u8; 32]> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return digests(messages, |states| unsafe { permute_four(states) });
    }
    digests(messages, permute_one)
}

/// A message that is being absorbed by a lane.
struct Absorbing<'a> {
    message: usize,
    rest: &'a [u8],
}

/// Whoever is done makes room for the next message, so that lanes wait for none but at the very end.
fn digests<M: AsRef<[u8]>, const LANES: usize>(messages: &[M], permute: impl Fn(&mut States<LANES>)) -> Vec<[u8; 32]> {
    let mut digests = vec![[0; 32]; messages.len()];
    let mut waiting = messages.iter().enumerate();
    let mut states = [[0; LANES]; WORDS];
    let mut lanes: [Option<Absorbing<'_>>; LANES] = std::array::from_fn(|_| None);
    loop {
        let mut ended = [None; LANES];
        for (lane, absorbing) in lanes.iter_mut().enumerate() {
            if absorbing.is_none()
                && let Some((message, text)) = waiting.next()
            {
                states.iter_mut().for_each(|word| word[lane] = 0);
                *absorbing = Some(Absorbing { message, rest: text.as_ref() });
            }
            if let Some(Absorbing { message, rest }) = absorbing {
                if let Some((block, after)) = rest.split_first_chunk::<RATE>() {
                    absorb(&mut states, lane, block);
                    *rest = after;
                } else {
                    absorb(&mut states, lane, &padded(rest));
                    ended[lane] = Some(*message);
                }
            }
        }
        if lanes.iter().all(Option::is_none) {
            return digests;
        }
        permute(&mut states);
        for (lane, message) in ended.iter().enumerate() {
            let Some(message) = message else { continue };
            for (bytes, word) in digests[*message].chunks_exact_mut(8).zip(&states) {
                bytes.copy_from_slice(&word[lane].to_le_bytes());
            }
            lanes[lane] = None;
        }
    }
}

fn absorb<const LANES: usize>(states: &mut States<LANES>, lane: usize, block: &[u8; RATE]) {
    for (word, bytes) in states.iter_mut().zip(block.as_chunks().0) {
        word[lane] ^= u64::from_le_bytes(*bytes);
    }
}

/// The last block: less than a whole one, and Keccak's padding (not that of SHA-3).
fn padded(rest: &[u8]) -> [u8; RATE] {
    let mut block = [0; RATE];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 1;
    block[RATE - 1] |= 0x80;
    block
}

/// A word of each state.
trait Word: Copy {
    fn xor(self, other: Self) -> Self;
    /// Not this one, and the other.
    fn not_and(self, other: Self) -> Self;
    /// To the left by `LEFT`, which is 64 less `RIGHT`.
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self;
}

impl Word for u64 {
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn not_and(self, other: Self) -> Self {
        !self & other
    }

    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        self << LEFT | self >> RIGHT
    }
}

/// Keccak-f[1600]; `rounds` are its constants.
#[inline(always)]
fn permute<W: Word>(state: &mut [W; WORDS], rounds: impl Iterator<Item = W>) {
    let mut a = *state;
    for round in rounds {
        // theta
        let c: [W; 5] = std::array::from_fn(|x| a[x].xor(a[x + 5]).xor(a[x + 10]).xor(a[x + 15]).xor(a[x + 20]));
        let d: [W; 5] = std::array::from_fn(|x| c[(x + 4) % 5].xor(c[(x + 1) % 5].rotate::<1, 63>()));
        // rho, and pi by the order in which words are taken
        macro_rules! taken {
            ($($word:literal by $left:literal),*) => { [$(a[$word].xor(d[$word % 5]).rotate::<$left, { 64 - $left }>()),*] };
        }
        let first = a[0].xor(d[0]);
        let b = taken!(
            6 by 44, 12 by 43, 18 by 21, 24 by 14,
            3 by 28, 9 by 20, 10 by 3, 16 by 45, 22 by 61,
            1 by 1, 7 by 6, 13 by 25, 19 by 8, 20 by 18,
            4 by 27, 5 by 36, 11 by 10, 17 by 15, 23 by 56,
            2 by 62, 8 by 55, 14 by 39, 15 by 41, 21 by 2
        );
        let b = |at: usize| if at == 0 { first } else { b[at - 1] };
        // chi
        for y in 0..5 {
            for x in 0..5 {
                a[5 * y + x] = b(5 * y + x).xor(b(5 * y + (x + 1) % 5).not_and(b(5 * y + (x + 2) % 5)));
            }
        }
        a[0] = a[0].xor(round);
    }
    *state = a;
}

fn permute_one(states: &mut States<1>) {
    let mut state = states.map(|[word]| word);
    permute(&mut state, ROUNDS.into_iter());
    *states = state.map(|word| [word]);
}

#[cfg(target_arch = "x86_64")]
use four::permute_four;

#[cfg(target_arch = "x86_64")]
mod four {
    use std::arch::x86_64::{
        __m256i, _mm256_andnot_si256, _mm256_loadu_si256, _mm256_or_si256, _mm256_set1_epi64x, _mm256_slli_epi64, _mm256_srli_epi64,
        _mm256_storeu_si256, _mm256_xor_si256,
    };

    use super::{ROUNDS, States, Word, permute};

    /// Made by [`permute_four`] alone, so only where there is AVX2.
    #[derive(Clone, Copy)]
    struct Four(__m256i);

    impl Word for Four {
        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            // SAFETY: see `Four`.
            Self(unsafe { _mm256_xor_si256(self.0, other.0) })
        }

        #[inline(always)]
        fn not_and(self, other: Self) -> Self {
            // SAFETY: see `Four`.
            Self(unsafe { _mm256_andnot_si256(self.0, other.0) })
        }

        #[inline(always)]
        fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
            // SAFETY: see `Four`.
            Self(unsafe { _mm256_or_si256(_mm256_slli_epi64::<LEFT>(self.0), _mm256_srli_epi64::<RIGHT>(self.0)) })
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn permute_four(states: &mut States<4>) {
        // SAFETY: four words are 32 bytes.
        let mut words = states.each_ref().map(|four| Four(unsafe { _mm256_loadu_si256(four.as_ptr().cast()) }));
        permute(&mut words, ROUNDS.into_iter().map(|round| Four(_mm256_set1_epi64x(round.cast_signed()))));
        for (four, Four(word)) in states.iter_mut().zip(words) {
            // SAFETY: four words are 32 bytes.
            unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), word) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of texts with no, some and more than one whole block, as alloy's `keccak256` gives them.
    #[test]
    fn digests_are_those_of_ethereum() {
        let messages: Vec<Vec<u8>> =
            [0, 3, 135, 136, 137, 272, 300].iter().map(|length| (b'a'..=b'z').cycle().take(*length).collect()).collect();
        let digests: Vec<String> = keccak256_many(&messages).iter().map(hex::encode).collect();
        let expected = [
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
            "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
            "8d237f5df8929398beb5240705b61f6c35b8e03a02fa7d691701f356facafb16",
            "b98753581a7e73d753e1863f91847255c9a0dc6d4f751cbe191e70ce272a3565",
            "e7eedf0c2b2ad46aef681626370d6d7e0f0521d8e54d873c6c7895adb3ff7986",
            "2b0ea46cfb00cf48974dc4c219cd38840fe4ad17c810042b2124466850180160",
            "5208eae4d1b18a827690de04c51656186bde5137d13950f9069add8853c0c6af",
        ];
        assert_eq!(digests, expected);
        let alone: Vec<String> = messages.iter().flat_map(|message| super::digests(&[message], permute_one)).map(hex::encode).collect();
        assert_eq!(alone, expected);
    }

    proptest! {
        /// Whatever stands beside it, and however long that is.
        #[test]
        fn a_digest_depends_on_its_message_alone(lengths in prop::collection::vec(0usize..600, 0..12), seed: u8) {
            let messages: Vec<Vec<u8>> = lengths.iter().map(|length| (0..*length).map(|at| seed ^ at.to_le_bytes()[0]).collect()).collect();
            let alone: Vec<[u8; 32]> = messages.iter().flat_map(|message| digests(&[message], permute_one)).collect();
            prop_assert_eq!(keccak256_many(&messages), alone);
        }
    }
}
